//! What a server tells of what its clients do, from the request on the wire to the account of it.

mod support;

use std::time::Duration;

use larder_server::Settings;
use larder_store::Clock;
use larder_tenancy::{
    Capabilities, Command, Insight, KeyUse, Missed, Node, PrefixUse, Tenant, TenantId,
};
use support::{Client, Running, directory, hit, set, settings, start_with, tenant, user};

const ONE: TenantId = TenantId::new(1);
const TWO: TenantId = TenantId::new(2);

fn start(settings: Settings) -> Running {
    let users = [user("ann", 1, Capabilities::ALL), user("bob", 2, Capabilities::ALL)];
    let directory = directory(1, [tenant(1), tenant(2)], users);
    start_with(settings, directory, |tcp| vec![tcp])
}

fn insight(server: &Running) -> Insight {
    server.handle.insight(ONE)
}

fn key(insight: &Insight, key: &str) -> KeyUse {
    let found = insight.keys.iter().find(|it| *it.key == *key.as_bytes());
    found.unwrap_or_else(|| panic!("no {key}: {insight:?}")).clone()
}

fn prefix(insight: &Insight, pattern: &str) -> PrefixUse {
    let found = insight.prefixes.iter().find(|it| &*it.pattern == pattern);
    found.unwrap_or_else(|| panic!("no {pattern}: {insight:?}")).clone()
}

/// Asks for a key that is not there.
fn miss(client: &mut Client<std::net::TcpStream>, key: &str) {
    client.ask(format!("get {key}\r\n").as_bytes(), b"END\r\n");
}

#[test]
fn a_newcomer_sees_exactly_what_was_done() {
    let server = start(settings());
    let mut ann = server.log_in("ann");
    for id in 1..=4 {
        ann.ask(&set(&format!("task-fragment:{id}"), b"12345"), b"STORED\r\n");
    }
    ann.ask(
        b"get task-fragment:1\r\n",
        &[hit("task-fragment:1", b"12345"), b"END\r\n".to_vec()].concat(),
    );
    ann.ask(b"mg task-fragment:1 v\r\n", b"VA 5\r\n12345\r\n");
    ann.ask(b"get all_tasks\r\nget all_tasks\r\n", b"END\r\nEND\r\n");
    ann.ask(b"delete task-fragment:2\r\n", b"DELETED\r\n");
    let insight = insight(&server);
    assert!((insight.share - 1.0).abs() < 1e-9, "all is looked at: {}", insight.share);
    let one = key(&insight, "task-fragment:1");
    assert_eq!((one.hits, one.misses, one.sets, one.bytes), (2, 0, 1, 5));
    assert_eq!(key(&insight, "all_tasks").misses, 2);
    let fragments = prefix(&insight, "task-fragment:*");
    assert_eq!(
        (fragments.hits, fragments.sets, fragments.deletes, fragments.bytes_set),
        (2, 4, 1, 20)
    );
    assert_eq!(insight.missed, Missed { never_set: 2, ..Missed::default() });
    let latest: Vec<_> = insight.recent.iter().take(2).map(|it| (it.command, it.found)).collect();
    assert_eq!(latest, [(Command::Delete, true), (Command::Get, false)]);
    assert_eq!(insight.recent.len(), 9);
    assert_eq!(server.handle.insight(TWO).recent, []);
    assert_eq!(server.handle.insight(TenantId::new(9)), Insight::default());
}

#[test]
fn every_reason_why_a_key_is_missed_is_told() {
    let clock = Clock::manual(1_800_000_000_000);
    let server = start(Settings { clock: clock.clone(), ..settings() });
    let mut ann = server.log_in("ann");
    let missed = || insight(&server).missed;
    miss(&mut ann, "never");
    assert_eq!(missed(), Missed { never_set: 1, ..Missed::default() });
    ann.ask(b"set old 0 10 1\r\nx\r\n", b"STORED\r\n");
    clock.advance(Duration::from_secs(20));
    miss(&mut ann, "old");
    ann.ask(&set("deleted", b"x"), b"STORED\r\n");
    ann.ask(b"delete deleted\r\n", b"DELETED\r\n");
    miss(&mut ann, "deleted");
    ann.ask(&set("flushed", b"x"), b"STORED\r\n");
    ann.ask(b"flush_all\r\n", b"OK\r\n");
    clock.advance(Duration::from_secs(1));
    miss(&mut ann, "flushed");
    let expected = Missed { never_set: 1, expired: 1, deleted: 1, flushed: 1, evicted: 0 };
    assert_eq!(missed(), expected);
}

#[test]
fn flushes_from_everywhere_are_reasons() {
    let clock = Clock::manual(1_800_000_000_000);
    let server = start(Settings { clock: clock.clone(), ..settings() });
    let mut ann = server.log_in("ann");
    let users = || [user("ann", 1, Capabilities::ALL), user("bob", 2, Capabilities::ALL)];
    let flushed = Tenant { flushes: 1, ..tenant(1) };
    let by_account = || {
        server.directory.publish(directory(2, [flushed.clone(), tenant(2)], users())).unwrap();
    };
    let later = || {
        server.log_in("ann").ask(b"flush_all 5\r\n", b"OK\r\n");
        clock.advance(Duration::from_secs(6));
    };
    let flushes: [&dyn Fn(); 3] = [&|| server.handle.flush(ONE), &by_account, &later];
    for (flush, number) in flushes.into_iter().zip(1..) {
        let key = format!("key{number}");
        ann.ask(&set(&key, b"x"), b"STORED\r\n");
        flush();
        clock.advance(Duration::from_secs(1));
        miss(&mut ann, &key);
        let missed = insight(&server).missed;
        assert_eq!(missed, Missed { flushed: number, ..Missed::default() });
    }
}

#[test]
fn what_the_console_deletes_was_deleted() {
    let server = start(settings());
    let mut ann = server.log_in("ann");
    ann.ask(&set("k", b"x"), b"STORED\r\n");
    assert!(server.handle.delete(ONE, b"k"));
    miss(&mut ann, "k");
    assert_eq!(insight(&server).missed, Missed { deleted: 1, ..Missed::default() });
}

#[test]
fn what_was_evicted_is_missed_for_that() {
    let server = start(Settings { memory_bytes: 4 << 20, ..settings() });
    let mut ann = server.log_in("ann");
    let value = vec![b'v'; 10_000];
    for number in 0..1500 {
        ann.ask(&set(&format!("page:{number}"), &value), b"STORED\r\n");
    }
    let mut misses = 0;
    for number in 0..1500 {
        ann.send(format!("mg page:{number}\r\n").as_bytes());
        misses += u64::from(ann.line() == "EN");
    }
    assert!(misses > 800, "{misses}");
    // Whether a key is still there is looked at twice, some keys a time.
    support::eventually("it is known", || {
        let insight = insight(&server);
        insight.missed.evicted > 0 && insight.missed.never_set < misses / 4
    });
    let evicted = server.handle.figures(Some(ONE)).evictions;
    assert!(evicted >= misses);
}

#[test]
fn all_protocols_and_kinds_of_commands_are_seen() {
    let server = start(settings());
    let mut ann = server.log_in("ann");
    ann.ask(b"ms k 1\r\n1\r\n", b"HD\r\n");
    ann.ask(b"incr k 1\r\nma k\r\n", b"2\r\nHD\r\n");
    ann.ask(b"touch k 100\r\nmg k T50\r\n", b"TOUCHED\r\nHD\r\n");
    ann.ask(b"gat 100 k\r\n", b"VALUE k 0 1\r\n3\r\nEND\r\n");
    ann.ask(b"get k j k\r\n", b"VALUE k 0 1\r\n3\r\nVALUE k 0 1\r\n3\r\nEND\r\n");
    ann.ask(b"md k\r\n", b"HD\r\n");
    let large = vec![b'x'; 200_000];
    ann.ask(&set("large", &large), b"STORED\r\n");
    let mut binary = server.connect();
    let frame = |opcode: u8, extras: &[u8], key: &[u8], value: &[u8]| {
        let body = u32::try_from(extras.len() + key.len() + value.len()).unwrap();
        let (keys, extra) = (u8::try_from(key.len()).unwrap(), u8::try_from(extras.len()).unwrap());
        let head = [&[0x80, opcode, 0, keys, extra, 0, 0, 0][..], &body.to_be_bytes(), &[0; 12]];
        [&head.concat()[..], extras, key, value].concat()
    };
    binary.send(&frame(0x21, &[], b"PLAIN", b"\0ann\0secret"));
    binary.send(&frame(0x01, &[0; 8], b"b", b"7"));
    binary.send(&frame(0x00, &[], b"b", b""));
    binary.send(&frame(0x04, &[], b"b", b""));
    binary.send(&frame(0x07, &[], b"", b""));
    binary.rest();
    let insight = insight(&server);
    let of = |key: &str| -> Vec<_> {
        let all = insight.recent.iter().rev().filter(|it| *it.key == *key.as_bytes());
        all.map(|it| (it.command, it.found, it.bytes)).collect()
    };
    use Command::{Arith, Delete, Get, Set, Touch};
    let expected = [
        (Set, true, 1),
        (Arith, true, 1),
        (Arith, true, 1),
        (Touch, true, 1),
        (Get, true, 1),
        (Touch, true, 1),
        (Get, true, 1),
        (Touch, true, 1),
        (Get, true, 1),
        (Get, true, 1),
        (Delete, true, 0),
    ];
    assert_eq!(of("k"), expected);
    assert_eq!(of("j"), [(Get, false, 0)]);
    assert_eq!(of("large"), [(Set, true, 200_000)]);
    assert_eq!(of("b"), [(Set, true, 1), (Get, true, 1), (Delete, true, 0)]);
}

#[test]
fn what_is_refused_or_only_looked_at_is_not_seen() {
    let users = [user("ann", 1, Capabilities::READ)];
    let directory = directory(1, [tenant(1)], users);
    let server = start_with(settings(), directory, |tcp| vec![tcp]);
    let mut ann = server.log_in("ann");
    ann.send(&set("k", b"x"));
    assert!(ann.line().starts_with("CLIENT_ERROR"));
    ann.ask(b"me k\r\nmg k u\r\n", b"EN\r\nEN\r\n");
    assert_eq!(insight(&server).recent, []);
}

/// Under load a part is looked at, and stands for all.
#[test]
fn much_is_looked_at_in_part_and_counted_in_full() {
    let server = start(settings());
    let mut ann = server.log_in("ann");
    ann.ask(&set("hot", b"x"), b"STORED\r\n");
    let reply = [hit("hot", b"x"), b"END\r\n".to_vec()].concat();
    let (requests, replies) = (b"get hot\r\n".repeat(500), reply.repeat(500));
    let mut asked = 0_u64;
    // Until it has been decided, which is once a second, and some seconds more.
    let begin = std::time::Instant::now();
    // Asking takes in what was sampled: the server's own thread may come too late for it.
    while insight(&server).share > 0.5 || begin.elapsed() < Duration::from_secs(6) {
        ann.ask(&requests, &replies);
        asked += 500;
        assert!(begin.elapsed() < support::FOREVER, "all is still looked at");
    }
    let insight = insight(&server);
    assert!(insight.share < 1.0);
    let hot = key(&insight, "hot");
    // What came faster than it was decided to look at less was dropped in part.
    assert!(hot.hits > asked / 2 && hot.hits < asked * 3 / 2, "{} of {asked}", hot.hits);
}

#[test]
fn it_can_be_switched_off() {
    let server = start(Settings { insight: false, ..settings() });
    let mut ann = server.log_in("ann");
    ann.ask(&set("k", b"x"), b"STORED\r\n");
    ann.ask(b"flush_all\r\n", b"OK\r\n");
    assert_eq!(insight(&server), Insight::default());
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(insight(&server), Insight::default(), "nor does it begin when it would be decided");
}

/// More tenants than are looked at.
#[test]
fn the_busiest_of_many_tenants_are_looked_at() {
    let ids = || 1..=200;
    let users = ids().map(|id| user(&format!("u{id}"), id, Capabilities::ALL));
    let directory = directory(1, ids().map(tenant), users);
    let server = start_with(Settings { insight: true, ..settings() }, directory, |tcp| vec![tcp]);
    let mut clients: Vec<_> = ids().map(|id| server.log_in(&format!("u{id}"))).collect();
    support::eventually("the busy one is seen", || {
        for client in &mut clients {
            miss(client, "x");
        }
        for _ in 0..20 {
            miss(&mut clients[150], "busy");
        }
        let insight = server.handle.insight(TenantId::new(151));
        insight.keys.iter().any(|it| *it.key == *b"busy" && it.misses > 20)
    });
    let seen = ids().filter(|id| server.handle.insight(TenantId::new(*id)).since > 0).count();
    assert!(seen <= 64, "{seen}");
}
