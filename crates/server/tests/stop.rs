//! The end of a server: what was acknowledged was done, and no reply is cut in half.

mod support;

use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use larder_server::Settings;
use support::{FOREVER, eventually, set, settings, start, value};

#[test]
fn an_idle_server_stops_at_once() {
    let server = start(settings());
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.ask(b"mn\r\n", b"MN\r\n");
    }
    server.stop().unwrap();
    for client in &mut clients {
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn a_server_can_be_stopped_before_it_runs() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = larder_tenancy::SharedDirectory::new(larder_tenancy::Directory::open());
    let server = larder_server::Server::new(settings(), directory).unwrap();
    server.handle().stop();
    server.run(vec![larder_server::Listener::tcp(socket)]).unwrap();
}

/// Clients send sets as fast as they can while the server stops. All replies they get are whole, and
/// in order; those they do not get are of requests that were not acknowledged.
#[test]
fn under_load_every_reply_is_whole() {
    for _ in 0..5 {
        let server = start(Settings { stop_deadline: FOREVER, ..settings() });
        let address = server.address;
        let (answered, is_answered) = channel();
        let clients: Vec<_> = (0..8)
            .map(|number| {
                let answered = answered.clone();
                std::thread::spawn(move || {
                    let mut stream = std::net::TcpStream::connect(address).unwrap();
                    stream.set_read_timeout(Some(FOREVER)).unwrap();
                    let mut writer = stream.try_clone().unwrap();
                    let sender = std::thread::spawn(move || {
                        let value = value("v", 100 + 700 * number);
                        let mut batch = Vec::new();
                        for key in 0..50 {
                            batch.extend(set(&format!("{number}-{key}"), &value));
                            batch.extend_from_slice(b"get nothing\r\n");
                        }
                        while writer.write_all(&batch).is_ok() {}
                    });
                    let mut replies = vec![0];
                    stream.read_exact(&mut replies).unwrap();
                    answered.send(()).unwrap();
                    let _ = stream.read_to_end(&mut replies);
                    sender.join().unwrap();
                    replies
                })
            })
            .collect();
        for _ in &clients {
            is_answered.recv_timeout(FOREVER).unwrap();
        }
        std::thread::sleep(Duration::from_millis(50));
        server.stop().unwrap();
        for client in clients {
            let replies = client.join().unwrap();
            let one = b"STORED\r\nEND\r\n";
            let mut rest = &replies[..];
            while let Some(after) = rest.strip_prefix(one) {
                rest = after;
            }
            let whole = rest.is_empty() || rest == b"STORED\r\n";
            assert!(whole, "the replies end with {}", support::shown(rest));
        }
    }
}

#[test]
fn a_client_that_does_not_read_cannot_keep_a_server_from_stopping() {
    let deadline = Duration::from_millis(500);
    let server = start(Settings { stop_deadline: deadline, ..settings() });
    let mut client = server.connect();
    client.ask(&set("big", &value("big", 900_000)), b"STORED\r\n");
    // More than any socket buffers. The first byte shows that the server is at it.
    client.send(&b"get big\r\n".repeat(400));
    client.expect(b"V");
    let start = Instant::now();
    server.stop().unwrap();
    // The server's clock ticks a hundred times a second at least.
    assert!(
        start.elapsed() >= deadline - Duration::from_millis(50),
        "it waits for its clients, but not for ever"
    );
}

#[test]
fn a_client_that_reads_gets_what_it_asked_for_before_the_stop() {
    let server = start(Settings { stop_deadline: FOREVER, ..settings() });
    let mut client = server.connect();
    let value = value("big", 900_000);
    client.ask(&set("big", &value), b"STORED\r\n");
    client.send(&b"get big\r\n".repeat(3));
    client.expect(b"V");
    let stopper = std::thread::spawn(move || server.stop());
    let one = [support::hit("big", &value), b"END\r\n".to_vec()].concat();
    let replies = client.rest();
    assert_eq!(replies.len(), 3 * one.len() - 1);
    assert!(replies == one.repeat(3)[1..]);
    stopper.join().unwrap().unwrap();
}

/// Replies are kept for a client that reads slowly, and what it has asked for since was not read: closing such a
/// socket at once would cost the client what it was sent.
#[test]
fn what_a_slow_reader_was_answered_survives_what_it_asks_then() {
    let value = value("v", 900_000);
    let one = [support::hit("v", &value), b"END\r\n".to_vec()].concat();
    for count in [7, 8, 10, 12, 14, 20] {
        let server = start(Settings { stop_deadline: FOREVER, ..settings() });
        let mut client = server.connect();
        client.ask(&set("v", &value), b"STORED\r\n");
        client.send(&b"get v\r\n".repeat(count));
        eventually("replies are kept", || server.handle.buffer_bytes() > 0);
        client.send(&b"get v\r\n".repeat(40));
        let stopper = std::thread::spawn(move || server.stop());
        let mut replies = vec![];
        let mut chunk = vec![0; 128 << 10];
        loop {
            match client.stream.read(&mut chunk).expect("an end that is no reset") {
                0 => break,
                read => replies.extend_from_slice(&chunk[..read]),
            }
            // Slowly.
            std::thread::sleep(Duration::from_millis(1));
        }
        stopper.join().unwrap().unwrap();
        let whole = replies.len() / one.len();
        assert!(whole > 0 && replies == one.repeat(whole), "{count}: {} bytes", replies.len());
    }
}

#[test]
fn a_value_on_its_way_is_not_stored_by_a_stop() {
    let server = start(settings());
    let mut client = server.connect();
    client.send(b"set k 0 0 100000\r\nabc");
    server.stop().unwrap();
    assert_eq!(client.rest(), b"");
}
