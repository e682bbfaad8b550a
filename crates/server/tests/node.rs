//! What others can ask a running server, from outside its event loops.

mod support;

use std::sync::Arc;
use std::time::Duration;

use larder_server::{Server, Settings};
use larder_store::Clock;
use larder_tenancy::{
    Capabilities, Credential, Directory, Node, NodeFacts, SharedDirectory, Tenant, TenantId,
    TenantLimits,
};
use support::{
    FOREVER, Running, directory, eventually, set, settings, start, start_with, tenant, user,
};

const ONE: TenantId = TenantId::new(1);
const TWO: TenantId = TenantId::new(2);

fn two_tenants() -> Directory {
    let users = [user("ann", 1, Capabilities::ALL), user("bob", 2, Capabilities::ALL)];
    directory(1, [tenant(1), tenant(2)], users)
}

fn start_two(settings: Settings) -> Running {
    start_with(settings, two_tenants(), |tcp| vec![tcp])
}

#[test]
fn facts_say_what_the_node_is() {
    let server = start_two(Settings { max_connections: 1, ..settings() });
    let _one = server.log_in("ann");
    assert_eq!(server.connect().rest(), b"ERROR Too many open connections\r\n");
    server.directory.publish(directory(7, [], [])).unwrap();
    let facts = server.handle.facts();
    let expected = NodeFacts {
        started: facts.started,
        directory_version: 7,
        memory_bytes: 64 << 20,
        max_item_bytes: 1 << 20,
        workers: 2,
        connections: facts.connections,
        max_connections: 1,
        rejected_connections: 1,
        buffer_bytes: 0,
        max_buffer_bytes: 64 << 20,
        listening: vec![server.address.to_string()],
    };
    assert_eq!(facts, expected);
    assert!(facts.started > 1_700_000_000);
    eventually("who is in no directory is gone", || server.handle.facts().connections == 0);
}

#[test]
fn figures_are_of_one_tenant_or_of_all_and_no_client_resets_them() {
    let server = start_two(settings());
    let mut ann = server.log_in("ann");
    let mut bob = server.log_in("bob");
    ann.ask(&set("n", b"7"), b"STORED\r\n");
    ann.ask(b"get n\r\nget none\r\n", b"VALUE n 0 1\r\n7\r\nEND\r\nEND\r\n");
    ann.ask(
        b"incr n 1\r\nincr x 1\r\ndecr n 2\r\ndecr x 1\r\n",
        b"8\r\nNOT_FOUND\r\n6\r\nNOT_FOUND\r\n",
    );
    ann.ask(b"touch n 0\r\ntouch x 0\r\n", b"TOUCHED\r\nNOT_FOUND\r\n");
    ann.ask(b"cas x 0 0 1 9\r\n1\r\ncas n 0 0 1 1\r\n1\r\n", b"NOT_FOUND\r\nEXISTS\r\n");
    ann.ask(b"delete n\r\ndelete n\r\n", b"DELETED\r\nNOT_FOUND\r\n");
    ann.ask(&set("e", b"1"), b"STORED\r\n");
    ann.ask(b"touch e -1\r\nget e\r\n", b"TOUCHED\r\nEND\r\n");
    ann.ask(&set("f", b"1"), b"STORED\r\n");
    ann.ask(b"flush_all\r\nget f\r\n", b"OK\r\nEND\r\n");
    bob.ask(&set("b", b"1"), b"STORED\r\n");
    let before = server.handle.figures(Some(ONE));
    ann.ask(b"stats reset\r\n", b"RESET\r\n");
    let figures = server.handle.figures(Some(ONE));
    for (name, expected) in [
        ("get_hits", 1),
        ("get_misses", 3),
        ("get_expired", 1),
        ("get_flushed", 1),
        ("sets", 5),
        ("delete_hits", 1),
        ("delete_misses", 1),
        ("incr_hits", 1),
        ("incr_misses", 1),
        ("decr_hits", 1),
        ("decr_misses", 1),
        ("cas_hits", 0),
        ("cas_misses", 1),
        ("cas_badval", 1),
        ("touch_hits", 2),
        ("touch_misses", 1),
        ("flushes", 1),
        ("items", 0),
        ("connections", 1),
        ("total_connections", 1),
        ("auth_commands", 1),
        ("auth_errors", 0),
        ("limit_bytes", 64 << 20),
    ] {
        let found = figures.fields().find(|(field, ..)| *field == name);
        assert_eq!(found.map(|(_, value, _)| value), Some(expected), "{name}");
    }
    assert!(figures.bytes_read > before.bytes_read);
    // It is counted when it was written, and may be read before that.
    let written = || server.handle.figures(Some(ONE)).bytes_written;
    eventually("it is counted", || written() > before.bytes_written);
    let all = server.handle.all_figures();
    let of = |tenant| all.iter().find(|(id, _)| *id == tenant).map(|(_, figures)| *figures);
    assert_eq!(of(TWO).map(|figures| (figures.sets, figures.items)), Some((1, 1)));
    let node = server.handle.figures(None);
    assert_eq!((node.sets, node.items, node.connections), (6, 1, 2));
    assert_eq!(server.handle.figures(Some(TenantId::new(9))), Default::default());
}

#[test]
fn what_a_removed_tenant_counted_stays_in_the_figures_of_the_node() {
    let server = start_two(settings());
    let mut ann = server.log_in("ann");
    ann.ask(&set("k", b"1"), b"STORED\r\n");
    let before = server.handle.figures(None);
    let bob = user("bob", 2, Capabilities::ALL);
    server.directory.publish(directory(2, [tenant(2)], [bob])).unwrap();
    assert_eq!(ann.rest(), b"");
    eventually("it is gone", || server.handle.figures(None).connections == 0);
    let after = server.handle.figures(None);
    assert_eq!((after.sets, after.items), (before.sets, 0));
    assert!(after.bytes_read >= before.bytes_read);
    assert!(server.handle.latency(None).total() > 0);
    assert_eq!(server.handle.figures(Some(ONE)), Default::default());
    assert!(server.handle.all_figures().iter().all(|(id, _)| *id != ONE));
}

#[test]
fn an_item_can_be_looked_at_read_and_deleted() {
    let server = start_two(settings());
    let mut ann = server.log_in("ann");
    let value = support::value("k", 50_000);
    ann.ask(b"set k 5 100 3\r\nabc\r\n", b"STORED\r\n");
    ann.ask(&set("large", &value), b"STORED\r\n");
    let node = &server.handle;
    let facts = node.look_up(ONE, b"k").unwrap();
    assert_eq!((facts.value_bytes, facts.flags, facts.fetched), (3, 5, false));
    assert!(facts.ttl.is_some_and(|ttl| ttl > Duration::from_secs(90)) && facts.bytes > 4);
    assert_eq!(node.value(ONE, b"k", 100), Some(b"abc".to_vec()));
    assert_eq!(node.value(ONE, b"k", 0), Some(Vec::new()));
    assert_eq!(node.value(ONE, b"large", 40_000), Some(value[..40_000].to_vec()));
    for other in [TWO, TenantId::DEFAULT, TenantId::new(9)] {
        assert!(node.look_up(other, b"k").is_none() && node.value(other, b"k", 9).is_none());
        assert!(!node.delete(other, b"k"));
        node.flush(other);
    }
    assert!(!node.look_up(ONE, b"k").unwrap().fetched, "looking is not using");
    assert!(node.delete(ONE, b"k") && !node.delete(ONE, b"k"));
    ann.ask(b"get k\r\n", b"END\r\n");
    node.flush(ONE);
    ann.ask(b"get large\r\n", b"END\r\n");
    let figures = node.figures(Some(ONE));
    assert_eq!((figures.get_hits, figures.delete_hits), (0, 0), "these were no clients");
}

#[test]
fn it_is_known_when_a_credential_was_last_used() {
    let clock = Clock::manual(1_800_000_000_000);
    let server = start_two(Settings { clock: clock.clone(), ..settings() });
    let used = || {
        let mut used = server.handle.last_used();
        used.sort_unstable();
        used
    };
    assert_eq!(used(), []);
    let mut ann = server.log_in("ann");
    clock.advance(Duration::from_secs(10));
    let _bob = server.log_in("bob");
    let names: [Arc<[u8]>; 2] = [b"ann".as_slice().into(), b"bob".as_slice().into()];
    let [first, second] = [1_800_000_000, 1_800_000_010];
    assert_eq!(used(), [(names[0].clone(), first), (names[1].clone(), second)]);
    clock.advance(Duration::from_secs(10));
    ann.ask(b"mn\r\n", b"MN\r\n");
    assert_eq!(used()[0], (names[0].clone(), 1_800_000_020));
    let bob = user("bob", 2, Capabilities::ALL);
    server.directory.publish(directory(2, [tenant(1), tenant(2)], [bob])).unwrap();
    assert_eq!(used(), [(names[1].clone(), second)], "who is revoked is forgotten");
    let wrong = b"set auth 0 0 9\r\ncy secret\r\n";
    server.connect().ask(wrong, b"CLIENT_ERROR authentication failure\r\n");
    assert_eq!(used().len(), 1);
}

#[test]
fn requests_are_timed_for_their_tenant() {
    let server = start_two(settings());
    let mut ann = server.log_in("ann");
    let timed = || server.handle.latency(Some(ONE)).total();
    let mut asked = 1;
    // One in eight at least; of so few most.
    eventually("they are counted", || {
        ann.ask(b"mn\r\n", b"MN\r\n");
        asked += 1;
        timed() > 10
    });
    assert!(timed() <= asked);
    let median = server.handle.latency(Some(ONE)).quantile(0.5).unwrap();
    assert!(u128::from(median) < FOREVER.as_nanos(), "in nanoseconds: {median}");
    assert_eq!(server.handle.latency(Some(TWO)).total(), 0);
    assert!(server.handle.latency(None).total() > 10);
}

#[test]
fn a_probe_goes_through_every_event_loop_and_leaves_nothing() {
    let server = start(Settings { max_connections: 1, ..settings() });
    let mut only = server.connect();
    only.ask(b"mn\r\n", b"MN\r\n");
    let before = server.handle.figures(None);
    // One that is not answered within a second has failed: that may happen on a loaded machine.
    for _ in 0..4 {
        eventually("it goes through", || server.handle.probe().is_ok());
    }
    eventually("its connections are gone", || server.handle.connections() == 1);
    let after = server.handle.figures(None);
    assert_eq!(
        (after.sets, after.total_connections, after.get_hits, after.items),
        (before.sets, before.total_connections, before.get_hits, before.items)
    );
    only.ask(b"mn\r\n", b"MN\r\n");
    let handle = server.handle.clone();
    drop(only);
    drop(server);
    let error = handle.probe().unwrap_err();
    assert_eq!(error, "the server stops");
}

#[test]
fn a_probe_works_where_nobody_may_do_anything() {
    let server = start_with(settings(), directory(1, [], []), |tcp| vec![tcp]);
    eventually("it runs", || server.handle.probe().is_ok());
    server.directory.publish(directory(2, [tenant(1)], [])).unwrap();
    eventually("it still does", || server.handle.probe().is_ok());
}

#[test]
fn a_server_that_does_not_run_is_found_out() {
    let server = Server::new(settings(), SharedDirectory::new(Directory::open())).unwrap();
    assert_eq!(server.handle().probe(), Err("the server does not run".to_owned()));
}

#[test]
fn a_flush_of_the_account_reaches_the_node_without_any_connection() {
    let server = start_two(settings());
    let mut ann = server.log_in("ann");
    let mut bob = server.log_in("bob");
    ann.ask(&set("k", b"1"), b"STORED\r\n");
    bob.ask(&set("k", b"1"), b"STORED\r\n");
    drop((ann, bob));
    let users = || [user("ann", 1, Capabilities::ALL), user("bob", 2, Capabilities::ALL)];
    let flushed = |id, flushes| Tenant { flushes, ..tenant(id) };
    server.directory.publish(directory(2, [flushed(1, 1), tenant(2)], users())).unwrap();
    assert!(server.handle.look_up(ONE, b"k").is_none());
    assert!(server.handle.look_up(TWO, b"k").is_some());
    // The same number again is no flush, and neither is what was counted before a tenant came here.
    let mut ann = server.log_in("ann");
    ann.ask(&set("k", b"2"), b"STORED\r\n");
    server.directory.publish(directory(3, [flushed(1, 1), flushed(2, 0)], users())).unwrap();
    assert!(server.handle.look_up(ONE, b"k").is_some());
    let cy = user("cy", 3, Capabilities::ALL);
    let third = |version, flushes| directory(version, [flushed(3, flushes)], [cy.clone()]);
    server.directory.publish(third(4, 5)).unwrap();
    let mut cy = server.log_in("cy");
    cy.ask(&set("k", b"3"), b"STORED\r\n");
    server.directory.publish(third(5, 5)).unwrap();
    cy.ask(b"get k\r\n", b"VALUE k 0 1\r\n3\r\nEND\r\n");
    server.directory.publish(third(6, 6)).unwrap();
    cy.ask(b"get k\r\n", b"END\r\n");
}

#[test]
fn limits_of_the_account_reach_the_node_without_any_connection() {
    let server = start_two(settings());
    drop(server.log_in("ann"));
    let limited = |ceiling| Tenant { limits: TenantLimits { floor: 0, ceiling }, ..tenant(1) };
    let ann = user("ann", 1, Capabilities::ALL);
    for (version, ceiling) in [(2, 8 << 20), (3, 16 << 20)] {
        server.directory.publish(directory(version, [limited(ceiling)], [ann.clone()])).unwrap();
        assert_eq!(server.handle.figures(Some(ONE)).limit_bytes, ceiling);
    }
}

#[test]
fn idle_connections_of_revoked_and_expired_credentials_are_closed() {
    let clock = Clock::manual(1_800_000_000_000);
    let expiring = Credential { expires: Some(1_800_000_100), ..user("cy", 1, Capabilities::ALL) };
    let ann = user("ann", 1, Capabilities::ALL);
    let users = [ann.clone(), user("bob", 1, Capabilities::ALL), expiring.clone()];
    let settings = Settings { clock: clock.clone(), ..settings() };
    let server = start_with(settings, directory(1, [tenant(1)], users), |tcp| vec![tcp]);
    let mut stays = server.log_in("ann");
    let mut revoked: Vec<_> = (0..8).map(|_| server.log_in("bob")).collect();
    let mut expires = server.log_in("cy");
    server.directory.publish(directory(2, [tenant(1)], [ann, expiring])).unwrap();
    for client in &mut revoked {
        assert_eq!(client.rest(), b"");
    }
    expires.ask(b"mn\r\n", b"MN\r\n");
    clock.advance(Duration::from_secs(100));
    assert_eq!(expires.rest(), b"");
    stays.ask(b"mn\r\n", b"MN\r\n");
}
