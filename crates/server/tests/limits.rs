//! What one client may take: connections, memory, time, and turns.

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use larder_server::Settings;
use larder_tenancy::Directory;
use support::{FOREVER, eventually, hit, set, settings, shown, start, start_with, value};

/// Longer than a client of these tests is held up between connecting and asking.
const IDLE: Duration = Duration::from_secs(2);

#[test]
fn one_connection_too_many_is_told_so() {
    let server = start(Settings { max_connections: 5, ..settings() });
    let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.ask(b"mn\r\n", b"MN\r\n");
    }
    for _ in 0..3 {
        assert_eq!(shown(&server.connect().rest()), shown(b"ERROR Too many open connections\r\n"));
    }
    clients.pop();
    eventually("a place is free", || server.handle.connections() == 4);
    clients.push(server.connect());
    clients[4].ask(b"mn\r\n", b"MN\r\n");
    clients.pop();
    eventually("a place is free", || server.handle.connections() == 4);
    assert_eq!(server.stat("rejected_connections"), 3);
    eventually("a place is free", || server.handle.connections() == 4);
    assert_eq!(server.stat("max_connections"), 5);
}

#[test]
fn idle_connections_are_closed() {
    let server = start(Settings { idle_timeout: Some(IDLE), ..settings() });
    let mut idle = server.connect();
    idle.ask(b"mn\r\n", b"MN\r\n");
    assert_eq!(idle.rest(), b"");
    assert_eq!(server.stat("idle_kicks"), 1);
}

#[test]
fn half_a_command_is_not_waited_for_for_ever() {
    let deadline = Duration::from_millis(300);
    let server = start(Settings { request_deadline: deadline, ..settings() });
    for beginning in [&b"get a"[..], b"set a 0 0 10\r\nabc", b"set a 0 0 90000\r\nabc", b"\x80"] {
        let mut client = server.connect();
        client.send(beginning);
        assert_eq!(client.rest(), b"", "{}", shown(beginning));
    }
    // One byte now and then does not help.
    let mut client = server.connect();
    let start = Instant::now();
    while client.stream.write_all(b"x").is_ok() {
        assert!(start.elapsed() < FOREVER);
        std::thread::sleep(Duration::from_millis(20));
    }
    // Whole commands do, however long they go on, and a quiet client is left alone.
    let mut client = server.connect();
    for _ in 0..20 {
        client.ask(b"mn\r\n", b"MN\r\n");
        std::thread::sleep(deadline / 10);
    }
    std::thread::sleep(deadline * 2);
    client.ask(b"mn\r\n", b"MN\r\n");
    assert_eq!(server.handle.buffer_bytes(), 0);
}

#[test]
fn who_does_not_log_in_is_closed() {
    let directory = Directory::new(1, [larder_tenancy::Tenant::shared()], [], None).unwrap();
    let deadline = Duration::from_millis(300);
    let server =
        start_with(Settings { request_deadline: deadline, ..settings() }, directory, |listener| {
            vec![listener]
        });
    assert_eq!(server.connect().rest(), b"");
    // Whole requests that are refused, each followed by a piece of the next, do not help.
    let mut client = server.connect();
    let start = Instant::now();
    let list = [&[0x80, 0x20][..], &[0; 22]].concat();
    client.send(&list[..1]);
    while client.stream.write_all(&[&list[1..], &list[..1]].concat()).is_ok() {
        assert!(start.elapsed() < FOREVER);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn who_is_being_answered_is_not_idle() {
    let server = start(Settings { idle_timeout: Some(IDLE), ..settings() });
    let mut client = server.connect();
    let value = value("big", 900_000);
    // All at once, so that it is not idle before it is answered either.
    client.send(&[set("big", &value), b"get big\r\n".repeat(20)].concat());
    client.expect(b"STORED\r\n");
    let one = [hit("big", &value), b"END\r\n".to_vec()].concat();
    for _ in 0..20 {
        std::thread::sleep(IDLE / 10);
        client.expect(&one);
    }
    assert_eq!(client.rest(), b"", "idle now");
}

#[test]
fn a_slow_reader_gets_everything_it_waits_for() {
    let server = start(settings());
    let mut client = server.connect();
    let value = value("big", 500_000);
    client.ask(&set("big", &value), b"STORED\r\n");
    client.send(&b"get big\r\n".repeat(40));
    let one = [hit("big", &value), b"END\r\n".to_vec()].concat();
    let mut got = 0;
    let mut piece = vec![0; 300_000];
    while got < 40 * one.len() {
        let read = client.stream.read(&mut piece).unwrap();
        assert!(read > 0, "closed after {got}");
        for (offset, byte) in piece[..read].iter().enumerate() {
            assert!(*byte == one[(got + offset) % one.len()], "at {}", got + offset);
        }
        got += read;
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_client_that_pipelines_without_end_does_not_starve_others() {
    let server = start(Settings { workers: 1, requests_per_turn: 16, ..settings() });
    let greedy = server.connect();
    let mut writer = greedy.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let requests = b"get nothing\r\n".repeat(10_000);
        while writer.write_all(&requests).is_ok() {}
    });
    let mut reader = greedy.stream.try_clone().unwrap();
    let taker = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        while reader.read(&mut buffer).is_ok_and(|read| read > 0) {}
    });
    eventually("it has to wait for its turns", || server.stat("conn_yields") > 0);
    let mut other = server.connect();
    for round in 0..500 {
        let value = round.to_string();
        other.ask(&set("k", value.as_bytes()), b"STORED\r\n");
        other.ask(b"get k\r\n", &[hit("k", value.as_bytes()), b"END\r\n".to_vec()].concat());
    }
    greedy.stream.shutdown(Shutdown::Both).unwrap();
    sender.join().unwrap();
    taker.join().unwrap();
}

/// One that is never done: each turn leaves it with keys to answer and with more to read.
#[test]
fn a_client_that_asks_for_very_many_keys_has_one_turn_in_two() {
    let server = start(Settings { workers: 1, ..settings() });
    let greedy = server.connect();
    let mut writer = greedy.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let line = format!("get {}\r\n", vec!["z"; 400_000].join(" "));
        while writer.write_all(line.as_bytes()).is_ok() {}
    });
    let mut reader = greedy.stream.try_clone().unwrap();
    let taker = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while reader.read(&mut buffer).is_ok_and(|read| read > 0) {}
    });
    let mut other = server.connect();
    for _ in 0..30 {
        other.ask(b"get k\r\n", b"END\r\n");
    }
    greedy.stream.shutdown(Shutdown::Both).unwrap();
    sender.join().unwrap();
    taker.join().unwrap();
}

#[test]
fn a_rate_of_accepting_is_kept_and_nobody_is_turned_away() {
    let server = start(Settings { accepts_per_second: Some(50), ..settings() });
    let start = Instant::now();
    let mut clients: Vec<_> = (0..75).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.ask(b"mn\r\n", b"MN\r\n");
    }
    // Fifty at once, and then one each 20 ms: at least this long on any machine.
    assert!(start.elapsed() > Duration::from_millis(300));
    // If this thread was held up in between, so many were not too many: then there are more.
    eventually("accepting is suspended", || {
        let is_suspended = server.stat("listen_disabled_num") > 0;
        clients.extend((0..75).filter(|_| !is_suspended).map(|_| server.connect()));
        is_suspended
    });
}
