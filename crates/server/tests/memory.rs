//! The memory of the process stays under what is configured and a little more, whatever clients do.
//!
//! The clients are in the same process: their buffers are kept small, and those of the kernel are not in its
//! memory. One test at a time, so that each sees only its own.

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use larder_server::Settings;
use larder_tenancy::Node;
use support::{Client, FOREVER, descriptors, eventually, hit, rss, set, settings, start, value};

/// Held by the test that runs.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Both ends are in this process, so each connection is two descriptors; what the kernel keeps of them is
/// not in its memory.
#[test]
fn ten_thousand_idle_connections_take_little_memory() {
    let _alone = alone();
    let count = 10_000.min((descriptors() - 200) / 2);
    let server = start(Settings { max_connections: count + 10, ..settings() });
    let mut first = server.connect();
    first.ask(b"mn\r\n", b"MN\r\n");
    let before = rss();
    let clients: Vec<_> = (0..count).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    eventually("all are accepted", || server.handle.connections() == count + 1);
    let each = rss().saturating_sub(before) / count;
    for mut client in &clients {
        client.write_all(b"get k\r\n").unwrap();
    }
    first.ask(b"mn\r\n", b"MN\r\n");
    let after = rss().saturating_sub(before) / count;
    assert!(each <= 1024, "{each} bytes for an idle connection");
    assert!(after <= 1024, "{after} bytes for a connection that was used");
    drop(clients);
    eventually("all are closed", || server.handle.connections() == 1);
}

#[test]
fn connections_opened_and_reset_leave_nothing_behind() {
    let _alone = alone();
    let server = start(Settings { workers: 2, ..Settings::new(8 << 20) });
    let before = rss();
    let done = AtomicUsize::new(0);
    let until = Instant::now() + Duration::from_secs(60);
    std::thread::scope(|scope| {
        for number in 0..2 {
            let (done, address) = (&done, server.address);
            scope.spawn(move || {
                while done.load(Ordering::Relaxed) < 100_000 && Instant::now() < until {
                    let mut stream = TcpStream::connect(address).unwrap();
                    let round = done.fetch_add(1, Ordering::Relaxed);
                    match (round + number) % 4 {
                        0 => {}
                        1 => stream.write_all(b"get a").unwrap(),
                        2 => stream.write_all(b"set k 0 0 70000\r\nabc").unwrap(),
                        // With replies that nobody reads: closing resets the connection.
                        _ => stream.write_all(&b"version\r\n".repeat(10)).unwrap(),
                    }
                    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
                }
            });
        }
    });
    // Time-boxed: a machine that is busy with other things opens fewer.
    assert!(done.into_inner() >= 10_000);
    eventually("all are gone", || server.handle.connections() == 0);
    assert_eq!(server.handle.buffer_bytes(), 0);
    let mut client = server.connect();
    client.ask(&set("k", b"v"), b"STORED\r\n");
    let more = rss().saturating_sub(before);
    assert!(more < 24 << 20, "{more} bytes more after connections that are gone");
}

#[test]
fn who_does_not_read_is_closed_and_costs_others_nothing() {
    let _alone = alone();
    let settings = Settings {
        buffer_bytes: 8 << 20,
        max_connections: 200,
        request_deadline: FOREVER,
        ..settings()
    };
    let server = start(settings);
    let mut polite = server.connect();
    let value = value("big", 900_000);
    polite.ask(&set("big", &value), b"STORED\r\n");
    let before = rss();
    let bytes_read = || server.handle.figures(None).bytes_read;
    let read_before = bytes_read();
    let mut rude: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for client in &mut rude {
        // Fails for those that are closed already.
        let _ = client.stream.write_all(&b"get big\r\n".repeat(100));
    }
    // Who is answered just while they take all there is may be closed with them, for there is nothing left.
    eventually("all have what they get", || {
        assert!(server.handle.buffer_bytes() <= 8 << 20);
        bytes_read() >= read_before + 100 * 900
    });
    for _ in 0..50 {
        assert!(server.handle.buffer_bytes() <= 8 << 20);
        polite.ask(b"get big\r\n", &[hit("big", &value), b"END\r\n".to_vec()].concat());
    }
    eventually("rude clients are closed", || server.stat("curr_connections") < 101);
    // Both ends of all sockets are in this process, but not in its memory.
    let more = rss().saturating_sub(before);
    assert!(more < 64 << 20, "{more} bytes for clients that read nothing");
    drop(rude);
    eventually("buffers are given back", || server.handle.buffer_bytes() == 0);
}

#[test]
fn lengths_that_nobody_can_mean_cost_nothing() {
    let _alone = alone();
    let server = start(settings());
    let before = rss();
    let mut clients: Vec<Client<TcpStream>> = Vec::new();
    for len in ["2147483645", "1073741824", "2147483647", "4294967296", "9223372036854775807", "-1"]
    {
        for command in ["set k 0 0 {}", "append k 0 0 {}", "ms k {}"] {
            let mut client = server.connect();
            let line = command.replace("{}", len);
            client.send(format!("{line}\r\n").as_bytes());
            clients.push(client);
        }
    }
    for body in [u32::MAX, 1 << 31, 1 << 30] {
        let mut client = server.connect();
        let mut header = [0; 24];
        header[..2].copy_from_slice(&[0x80, 0x01]);
        header[3] = 1;
        header[4] = 8;
        header[8..12].copy_from_slice(&body.to_be_bytes());
        client.send(&header);
        client.send(&[b'k'; 9]);
        clients.push(client);
    }
    let mut client = server.connect();
    client.ask(b"mn\r\n", b"MN\r\n");
    let more = rss().saturating_sub(before);
    assert!(more < 16 << 20, "{more} bytes");
}
