//! Answers as long as the cache is large, or the server busy: what is sent behind them, others meanwhile,
//! and clients that do not read them.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;

use larder_server::Settings;
use larder_tenancy::{Capabilities, Credential, Tenant};
use support::{FOREVER, Running, directory, eventually, settings, start, start_with, user};

/// Keys of the tenant: many pieces of a list.
const KEYS: usize = 40_000;

/// Stores all keys, as a user if there is one.
fn fill(server: &Running, user: Option<&str>) {
    let mut client = user.map_or_else(|| server.connect(), |user| server.log_in(user));
    for at in (0..KEYS).step_by(1000) {
        let sets = (at..at + 1000).map(|key| format!("set key:{key:05} 0 0 1\r\nx\r\n"));
        client.ask(sets.collect::<String>().as_bytes(), &b"STORED\r\n".repeat(1000));
    }
}

/// A line without its ending, which is no CRLF in a metadump.
fn next_line(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    assert!(reader.read_line(&mut line).unwrap() > 0, "closed");
    line.trim_end().to_owned()
}

/// A server with one worker, whose user `scoped` may list keys but has none, for all are another's of the
/// same tenant: its lists take long and say nothing, so no full socket ever ends a turn.
fn start_scoped() -> Running {
    let scoped =
        Credential { key_prefix: Some((*b"none:").into()), ..user("scoped", 0, Capabilities::USE) };
    let users = [user("all", 0, Capabilities::USE), scoped];
    let settings = Settings { workers: 1, ..settings() };
    start_with(settings, directory(1, [Tenant::shared()], users), |listener| vec![listener])
}

#[test]
fn requests_behind_a_listing_are_answered_after_it() {
    let server = start(settings());
    fill(&server, None);
    let mut client = server.connect();
    client.ask(b"stats detail on\r\n", b"OK\r\n");
    client.ask(b"get key:00001\r\n", b"VALUE key:00001 0 1\r\nx\r\nEND\r\n");
    let behind = b"get key:00007\r\nmn\r\nset key:new 0 0 1\r\ny\r\nget key:new\r\n";
    let answers = "VALUE key:00007 0 1|x|END|MN|STORED|VALUE key:new 0 1|y|END";
    for (listing, begins, ends, lines) in [
        ("lru_crawler metadump all", "key=", "END", KEYS),
        ("lru_crawler mgdump all", "mg key:", "EN", KEYS),
        ("stats cachedump 1 0", "ITEM key:", "END", KEYS),
        ("stats detail dump", "PREFIX key ", "END", 1),
        ("stats conns", "STAT ", "END", 4),
    ] {
        let whole = [listing.as_bytes(), b"\r\n", behind].concat();
        // At once, cut in the next request, and what is behind when the list is on its way.
        for cut in [whole.len(), listing.len() + 8, listing.len() + 2] {
            client.send(&whole[..cut]);
            let mut reader = BufReader::new(client.stream.try_clone().unwrap());
            let mut line = next_line(&mut reader);
            client.send(&whole[cut..]);
            let mut listed = 0;
            while line != ends {
                let is_listed = line.starts_with(begins);
                assert!(is_listed || (line == "OK" && listed == 0), "{listing}: {line}");
                listed += usize::from(is_listed);
                line = next_line(&mut reader);
            }
            assert!(listed >= lines, "{listing}: {listed} lines");
            for answer in answers.split('|') {
                assert_eq!(next_line(&mut reader), answer, "behind {listing}");
            }
            client.ask(b"delete key:new\r\n", b"DELETED\r\n");
        }
    }
}

#[test]
fn a_listing_gives_others_their_turn_after_each_piece() {
    let server = start_scoped();
    fill(&server, Some("all"));
    let mut client = server.log_in("scoped");
    let before = client.stat("conn_yields");
    client.ask(b"lru_crawler mgdump all\r\n", b"OK\r\nEN\r\n");
    let pieces = client.stat("conn_yields") - before;
    assert!(pieces >= 20, "{pieces} turns for {KEYS} keys");
}

/// Lists one after the other, of which each looks at all keys and tells of none.
#[test]
fn a_client_that_lists_without_end_does_not_starve_others() {
    let server = start_scoped();
    fill(&server, Some("all"));
    let greedy = server.log_in("scoped");
    let mut writer = greedy.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let lists = b"lru_crawler mgdump all\r\n".repeat(1000);
        while writer.write_all(&lists).is_ok() {}
    });
    let mut reader = greedy.stream.try_clone().unwrap();
    let taker = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while reader.read(&mut buffer).is_ok_and(|read| read > 0) {}
    });
    let mut other = server.log_in("all");
    for _ in 0..100 {
        other.ask(b"get key:00001\r\n", b"VALUE key:00001 0 1\r\nx\r\nEND\r\n");
    }
    greedy.stream.shutdown(Shutdown::Both).unwrap();
    sender.join().unwrap();
    taker.join().unwrap();
}

#[test]
fn lists_of_connections_that_nobody_reads_take_little() {
    const LISTS: usize = 200;
    let server = start(Settings { request_deadline: FOREVER, ..settings() });
    let mut others: Vec<_> = (0..500).map(|_| server.connect()).collect();
    let mut rude: Vec<_> = (0..4).map(|_| server.connect()).collect();
    let mut polite = server.connect();
    eventually("all are open", || server.handle.connections() == 505);
    for client in &mut rude {
        client.send(&b"stats conns\r\n".repeat(LISTS));
    }
    eventually("they wait to be read", || server.handle.buffer_bytes() > 0);
    for _ in 0..200 {
        polite.ask(b"mn\r\n", b"MN\r\n");
        // A piece of the list, and the requests behind it.
        let held = server.handle.buffer_bytes();
        assert!(held <= 4 * (64 << 10), "{held} bytes for 4 lists");
    }
    // Some close in the middle of the list; those that stay are told of once.
    others.truncate(400);
    eventually("some are gone", || server.handle.connections() == 405);
    for client in rude.iter().take(2) {
        let mut reader = BufReader::new(client.stream.try_clone().unwrap());
        for list in 0..LISTS {
            let mut states = Vec::new();
            let mut line = next_line(&mut reader);
            while line != "END" {
                if line.contains(":secs_since_last_cmd ") {
                    states.push(line);
                }
                line = next_line(&mut reader);
            }
            assert!((405..=505).contains(&states.len()), "{} in list {list}", states.len());
            let count = states.len();
            states.sort();
            states.dedup();
            assert_eq!(states.len(), count, "told of twice in list {list}");
            assert!(list < LISTS - 1 || count == 405, "{count} in the last list");
        }
    }
    polite.ask(b"mn\r\n", b"MN\r\n");
}
