//! What a tenant costs that does nothing. Alone in its program, for it looks at the memory of the process.

mod support;

use larder_server::Settings;
use larder_tenancy::{Capabilities, Node, Tenant, TenantLimits};
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
