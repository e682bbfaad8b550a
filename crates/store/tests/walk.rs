//! Walking over all items, also while they change.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use std::collections::HashMap;

use common::{Checked, MIB, ms, set};
use larder_store::{Limits, Position};

#[test]
fn for_each_meets_every_live_item_of_the_tenant_once() {
    let tenant = Checked::new(2 * MIB);
    let other = tenant.store.add_tenant(Limits::NONE);
    for n in 0..3_000_u32 {
        let ttl = if n % 3 == 0 { ms(1_000) } else { None };
        tenant.set(format!("k{n}").as_bytes(), format!("v{n}").as_bytes(), n, ttl).unwrap();
        set(&other, &format!("k{n}"), "other");
    }
    tenant.advance_ms(1_000);
    let mut seen = Vec::new();
    tenant.for_each(|item| {
        assert_eq!(item.key(), format!("k{}", item.flags()).as_bytes());
        assert!(item.value() == *format!("v{}", item.flags()).as_bytes());
        seen.push(item.flags());
    });
    seen.sort_unstable();
    assert_eq!(seen, (0..3_000).filter(|n| n % 3 != 0).collect::<Vec<_>>());
    let stats = tenant.stats();
    assert_eq!((stats.hits, stats.misses), (0, 0));
}

#[test]
fn an_empty_store_has_nothing_to_walk_over() {
    let tenant = Checked::new(MIB);
    tenant.for_each(|_| panic!("there is nothing"));
}

/// What stays throughout is met, and nothing that was never there, while the index grows and items
/// are moved, replaced, deleted.
#[test]
fn a_walk_meets_all_that_stays_while_the_rest_changes() {
    let tenant = Checked::new(16 * MIB);
    for n in 0..2_000 {
        set(&tenant, &format!("stays{n}"), "v");
    }
    let mut met: HashMap<Vec<u8>, u32> = HashMap::new();
    let (mut from, mut n) = (Some(Position::START), 0_u64);
    while let Some(position) = from {
        from = tenant.walk(position, |item| *met.entry(item.key().to_vec()).or_default() += 1);
        for _ in 0..500 {
            set(&tenant, &format!("comes{n}"), "v");
            tenant.delete(format!("comes{}", n / 2).as_bytes());
            set(&tenant, &format!("stays{}", n % 2_000), "w");
            n += 1;
        }
    }
    assert!((0..2_000).all(|n| met.contains_key(format!("stays{n}").as_bytes())));
    let comes = |key: &[u8]| {
        let text = std::str::from_utf8(key).unwrap();
        text.strip_prefix("comes").is_some_and(|number| number.parse::<u64>().unwrap() < n)
    };
    assert!(met.keys().all(|key| key.starts_with(b"stays") || comes(key)));
}

#[test]
fn a_walk_may_change_what_it_walks_over() {
    let tenant = Checked::new(4 * MIB);
    for n in 0..3_000_u64 {
        tenant.set(&n.to_be_bytes(), b"1", 0, None).unwrap();
    }
    let mut met = 0;
    tenant.for_each(|item| {
        met += 1;
        if met % 3 == 0 {
            assert!(tenant.delete(item.key()));
        } else {
            // For want of room it may not be done.
            let _ = tenant.incr(item.key(), 1);
        }
    });
    assert_eq!(tenant.len(), 2_000);
    tenant.for_each(|item| assert!(item.value().as_slice() == Some(b"2")));
}

#[test]
fn a_flush_ends_a_walk_without_items() {
    let tenant = Checked::new(MIB);
    for n in 0..3_000_u64 {
        tenant.set(&n.to_be_bytes(), b"1", 0, None).unwrap();
    }
    let mut met = 0;
    let mut from = tenant.walk(Position::START, |_| met += 1);
    tenant.flush();
    let before = met;
    while let Some(position) = from {
        from = tenant.walk(position, |_| met += 1);
    }
    assert_eq!(met, before);
}
