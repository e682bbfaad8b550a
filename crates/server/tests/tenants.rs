//! Many tenants on one node, and what each may have.

mod support;

use larder_server::Settings;
use larder_tenancy::{Capabilities, Node, Tenant, TenantId, TenantLimits};
use support::{directory, rss, set, settings, start_with, tenant, user};

const MIB: u64 = 1 << 20;

/// The most that a tenant may cost that does nothing, all in; and one that has no items.
const IDLE_TENANT: usize = 64 << 10;
const EMPTY_TENANT: usize = 8 << 10;

#[test]
fn ten_thousand_idle_tenants_fit_on_a_node() {
    const TENANTS: u32 = 10_000;
    let ids = || 1..=TENANTS;
    let limits = TenantLimits { floor: 0, ceiling: MIB };
    let tenants = ids().map(|id| Tenant { limits, ..tenant(id) });
    let users = ids().map(|id| user(&format!("u{id}"), id, Capabilities::ALL));
    let directory = directory(1, tenants, users);
    let settings = Settings { memory_bytes: 1 << 30, ..settings() };
    let server = start_with(settings, directory, |tcp| vec![tcp]);
    // What is there once, whoever comes.
    server.log_in("u1").ask(b"get nothing\r\n", b"END\r\n");
    let before = rss();
    let each = || rss().saturating_sub(before) / TENANTS as usize;
    for id in ids() {
        server.log_in(&format!("u{id}")).ask(b"get nothing\r\n", b"END\r\n");
    }
    assert!(each() <= EMPTY_TENANT, "{} bytes each", each());
    for id in ids() {
        let mut client = server.log_in(&format!("u{id}"));
        client.ask(&set("k", format!("{id:05}").as_bytes()), b"STORED\r\n");
        client.ask(b"get k\r\n", format!("VALUE k 0 5\r\n{id:05}\r\nEND\r\n").as_bytes());
    }
    assert!(each() <= IDLE_TENANT, "{} bytes each", each());
    let figures = server.handle.all_figures();
    assert!(figures.iter().filter(|(_, figures)| figures.items == 1).count() >= TENANTS as usize);
}

#[test]
fn a_tenant_evicts_its_own_items_at_its_ceiling_and_nobody_elses() {
    let limits = |floor, ceiling| TenantLimits { floor, ceiling };
    let small = Tenant { limits: limits(4 * MIB, 4 * MIB), ..tenant(1) };
    let other = Tenant { limits: limits(16 * MIB, 16 * MIB), ..tenant(2) };
    let users = [user("ann", 1, Capabilities::ALL), user("bob", 2, Capabilities::ALL)];
    let server = start_with(settings(), directory(1, [small, other], users), |tcp| vec![tcp]);
    let mut bob = server.log_in("bob");
    let value = vec![b'v'; 1000];
    for number in 0..5000 {
        bob.ask(&set(&format!("k{number}"), &value), b"STORED\r\n");
    }
    let mut ann = server.log_in("ann");
    for number in 0..40_000 {
        ann.ask(&set(&format!("k{number}"), &value), b"STORED\r\n");
    }
    let [ann, bob] = [1, 2].map(|id| server.handle.figures(Some(TenantId::new(id))));
    assert_eq!((ann.limit_bytes, bob.limit_bytes), (4 * MIB, 16 * MIB));
    // With its share of the index, and all that goes with items.
    assert!(ann.bytes <= 4 * MIB, "{} bytes", ann.bytes);
    assert!(ann.evictions > 30_000 && ann.items > 2000, "{ann:?}");
    assert_eq!((bob.evictions, bob.items), (0, 5000));
}

/// A tenant with ten times its share of everything does not push another below its floor.
#[test]
fn what_is_guaranteed_stays_whoever_wants_more() {
    let floors = TenantLimits { floor: 20 * MIB, ceiling: 64 * MIB };
    let tenants = [1, 2].map(|id| Tenant { limits: floors, ..tenant(id) });
    let users = [user("ann", 1, Capabilities::ALL), user("bob", 2, Capabilities::ALL)];
    let server = start_with(settings(), directory(1, tenants, users), |tcp| vec![tcp]);
    let mut bob = server.log_in("bob");
    let value = vec![b'v'; 1000];
    // Well below the floor, with what goes with items.
    for number in 0..12_000 {
        bob.ask(&set(&format!("k{number}"), &value), b"STORED\r\n");
    }
    let mut ann = server.log_in("ann");
    for number in 0..150_000 {
        ann.ask(&set(&format!("k{number}"), &value), b"STORED\r\n");
    }
    let [ann, bob] = [1, 2].map(|id| server.handle.figures(Some(TenantId::new(id))));
    assert_eq!((bob.evictions, bob.items), (0, 12_000), "{bob:?}");
    assert!(ann.evictions > 0 && ann.bytes > 30 * MIB, "lent what is idle: {ann:?}");
    assert!(server.handle.figures(None).bytes <= 64 * MIB);
}

/// A ceiling that is lowered takes effect on items that are there, as the tenant goes on.
#[test]
fn a_tenant_that_is_resized_shrinks_and_grows() {
    let sized = |version, ceiling| {
        let limits = TenantLimits { floor: ceiling, ceiling };
        let ann = user("ann", 1, Capabilities::ALL);
        directory(version, [Tenant { limits, ..tenant(1) }], [ann])
    };
    let server = start_with(settings(), sized(1, 16 * MIB), |tcp| vec![tcp]);
    let mut ann = server.log_in("ann");
    let value = vec![b'v'; 1000];
    let mut fill = |from: u32| {
        for number in from..from + 20_000 {
            ann.ask(&set(&format!("k{number}"), &value), b"STORED\r\n");
        }
        server.handle.figures(Some(TenantId::new(1))).bytes
    };
    assert!(fill(0) > 12 * MIB);
    server.directory.publish(sized(2, 4 * MIB)).unwrap();
    let shrunk = fill(20_000);
    assert!(shrunk <= 4 * MIB, "{shrunk}");
    server.directory.publish(sized(3, 16 * MIB)).unwrap();
    assert!(fill(40_000) > 12 * MIB);
}
