//! What each of several tenants may have.

mod support;

use larder_tenancy::{Capabilities, Node, Tenant, TenantId, TenantLimits};
use support::{directory, set, settings, start_with, tenant, user};

const MIB: u64 = 1 << 20;

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
