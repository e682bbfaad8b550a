//! Many connections: idle ones, short ones, all at once; and whose replies are whose.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use larder_server::Settings;
use support::{FOREVER, descriptors, eventually, hit, set, settings, start, value};

/// Every client checks that what it gets is its own, while others come and go.
#[test]
fn no_client_gets_the_reply_of_another() {
    let most = Settings { max_connections: 10_000, ..Settings::new(256 << 20) };
    let server = start(Settings { workers: 2, ..most });
    let until = Instant::now() + Duration::from_secs(5);
    std::thread::scope(|scope| {
        for number in 0..12 {
            let server = &server;
            scope.spawn(move || {
                // Once at least, however late it is.
                loop {
                    let mut client = server.connect();
                    for round in 0..50 {
                        let key = format!("c{number}-{round}");
                        let value = value(&key, [10, 100, 5_000, 70_000][round % 4]);
                        client.send(&set(&key, &value));
                        client.send(format!("get {key}\r\nget {key} none {key}\r\n").as_bytes());
                        let hit = hit(&key, &value);
                        let end = b"END\r\n";
                        client.expect(&[b"STORED\r\n", &hit[..], end, &hit, &hit, end].concat());
                    }
                    if Instant::now() >= until {
                        break;
                    }
                }
            });
        }
        // Slots of connections are used again and again, with requests that nobody waits for.
        scope.spawn(|| {
            while Instant::now() < until {
                // Never so many that those who wait find no place, or this process no descriptor.
                eventually("some are gone", || server.handle.connections() < 300);
                let mut client = server.connect();
                client.send(b"get c0-3 c1-3 c2-3 c3-3\r\n");
            }
        });
    });
}

/// All clients lose their connections and come back at the same moment.
#[test]
fn a_reconnect_storm_is_served() {
    let count = 2000.min(descriptors() / 3);
    let server = start(Settings { max_connections: 2 * count, ..settings() });
    let mut client = server.connect();
    client.ask(&set("k", b"v"), b"STORED\r\n");
    for _ in 0..3 {
        let clients: Vec<_> = (0..count).map(|_| server.connect()).collect();
        for mut client in clients {
            client.ask(b"get k\r\n", &[hit("k", b"v"), b"END\r\n".to_vec()].concat());
        }
    }
    eventually("all are gone", || server.handle.connections() == 1);
}

/// A value that is being sent is whole, whatever becomes of its item meanwhile.
#[test]
fn a_flush_during_a_large_get_does_not_tear_it() {
    let server = start(settings());
    let value = value("big", 900_000);
    let begin = Instant::now();
    let until = begin + Duration::from_secs(3);
    // Those who have not read enough: all goes on until everybody has read something.
    let reading = AtomicUsize::new(3);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = server.connect();
                let mut hits = 0;
                while Instant::now() < until || hits == 0 {
                    assert!(begin.elapsed() < FOREVER, "it is never there");
                    client.send(b"get big\r\n");
                    if client.line() != "END" {
                        client.expect(&[&value[..], b"\r\nEND\r\n"].concat());
                        hits += 1;
                    }
                }
                reading.fetch_sub(1, Ordering::Relaxed);
            });
        }
        scope.spawn(|| {
            let mut flusher = server.connect();
            let mut client = server.connect();
            // While those who read are not let run, there may be no room.
            let mut put = || {
                client.send(&set("big", &value));
                let reply = client.line();
                let full = "SERVER_ERROR out of memory storing object";
                assert!(reply == "STORED" || reply == full, "{reply}");
            };
            while reading.load(Ordering::Relaxed) > 0 && begin.elapsed() < FOREVER {
                put();
                flusher.ask(b"flush_all\r\n", b"OK\r\n");
                put();
            }
        });
    });
}
