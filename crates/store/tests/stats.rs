//! Every removal is counted once, under its reason.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use common::{Checked, MIB, ms, numbers, set, text};
use larder_store::{Limits, Mode, Stats, Tenant};

#[test]
fn statistics_count_what_happened() {
    let tenant = Checked::new(MIB);
    set(&tenant, "a", "1");
    set(&tenant, "a", "2");
    set(&tenant, "b", "1");
    tenant.store(Mode::Append, b"b", b"1", 0, None).unwrap();
    tenant.store(Mode::Add, b"b", b"1", 0, None).unwrap();
    tenant.set(b"c", b"1", 0, ms(1_000)).unwrap();
    tenant.incr(b"a", 1).unwrap();
    text(&tenant, "a");
    text(&tenant, "none");
    tenant.get_many(&["a", "none", "b"], |_, _| ());
    tenant.delete(b"a");
    tenant.delete(b"a");
    tenant.advance_ms(1_000);
    text(&tenant, "c");
    let stats = tenant.stats();
    assert_eq!((stats.sets, stats.replaced, stats.deleted), (6, 3, 1));
    assert_eq!((stats.hits, stats.misses, stats.expired_misses), (3, 3, 1));
    assert_eq!((stats.evictions, stats.relocated, stats.flushed), (0, 0, 0));
    // The expired item is counted until its memory is taken back, and then as expired.
    assert_eq!((stats.items, stats.expired), (2, 0));
    tenant.set(b"c", b"2", 0, None).unwrap();
    let stats = tenant.stats();
    assert_eq!((stats.items, stats.expired, stats.replaced), (2, 1, 3));
    assert!(stats.live_bytes > 0 && stats.live_bytes <= stats.bytes);
    assert!(stats.bytes <= stats.max_bytes && stats.max_bytes == MIB as u64);
}

/// Items that were ever stored are there, or were removed for exactly one reason.
fn balance(stats: &Stats) -> u64 {
    stats.items + stats.evictions + stats.expired + stats.deleted + stats.flushed + stats.replaced
}

#[test]
fn what_was_stored_is_there_or_was_removed_for_one_reason() {
    for max_bytes in [MIB, 4 * MIB] {
        let tenant = Checked::new(max_bytes);
        let mut next = numbers(max_bytes as u64);
        for step in 0..40_000_u64 {
            let key = (next() % 3_000).to_be_bytes();
            let ttl = (next().is_multiple_of(3))
                .then(|| std::time::Duration::from_millis(next() % 9_000 + 1));
            let len = usize::try_from(if next().is_multiple_of(50) {
                next() % 30_000
            } else {
                next() % 700
            });
            match next() % 20 {
                0..10 => tenant.set(&key, &vec![b'v'; len.unwrap()], 0, ttl).unwrap(),
                10..14 => drop(tenant.get(&key, |_| ())),
                14 => drop(tenant.delete(&key)),
                15 => drop(tenant.store(Mode::Append, &key, b"1", 0, None).unwrap()),
                16 => drop(tenant.touch(&key, ttl).unwrap()),
                17 => drop(tenant.incr(&key, 1).unwrap()),
                18 => tenant.advance_ms(next() % 20),
                _ if step % 9_000 == 0 => tenant.flush(),
                _ => drop(tenant.reserve(tenant.hashed(&key), 50, 0, None)),
            }
        }
        // What is flushed is counted as its memory is taken back.
        tenant.maintain();
        let stats = tenant.stats();
        assert_eq!(balance(&stats), stats.sets, "{stats:?}");
        assert_eq!(
            stats.hits + stats.misses,
            tenant.store.stats().hits + tenant.store.stats().misses
        );
        assert!(stats.evicted_unread <= stats.evictions);
        assert!(stats.expired > 0 && stats.deleted > 0 && stats.replaced > 0, "{stats:?}");
        assert_eq!(stats.evictions > 0, max_bytes == MIB, "{stats:?}");
        tenant.flush();
        tenant.maintain();
        let stats = tenant.stats();
        assert_eq!((stats.items, balance(&stats)), (0, stats.sets), "{stats:?}");
    }
}

#[test]
fn evictions_are_told_apart_by_whether_the_item_was_read() {
    let tenant = Checked::new(MIB);
    for n in 0..20_000_u64 {
        tenant.set(&n.to_be_bytes(), &[b'v'; 100], 0, None).unwrap();
    }
    let unread = tenant.stats();
    assert!(unread.evictions > 0 && unread.evictions == unread.evicted_unread);
    tenant.flush();
    tenant.maintain();
    for n in 0..20_000_u64 {
        tenant.set(&n.to_be_bytes(), &[b'v'; 100], 0, None).unwrap();
        // At once: it counts as read, though not as a use that keeps it.
        tenant.get(&n.to_be_bytes(), |_| ());
    }
    let read = tenant.stats();
    assert!(read.evictions > unread.evictions);
    assert_eq!(read.evicted_unread, unread.evicted_unread);
}

#[test]
fn what_expires_and_is_met_by_reclaim_is_expired_and_not_evicted() {
    let tenant = Checked::new(MIB);
    for n in 0..1_500_u64 {
        tenant.set(&n.to_be_bytes(), &[b'v'; 300], 0, ms(1_000)).unwrap();
    }
    tenant.advance_ms(2_000);
    for n in 10_000..12_000_u64 {
        tenant.set(&n.to_be_bytes(), &[b'v'; 300], 0, None).unwrap();
    }
    let stats = tenant.stats();
    assert_eq!(stats.evictions, 0, "{stats:?}");
    assert_eq!(stats.items + stats.expired, stats.sets);
}

#[test]
fn the_store_counts_what_its_tenants_count() {
    let store = Checked::new(2 * MIB);
    let other = store.store.add_tenant(Limits::NONE);
    for n in 0..9_000_u64 {
        let tenant = if n % 3 == 0 { &other } else { &*store };
        tenant.set(&n.to_be_bytes(), &[b'v'; 200], 0, None).unwrap();
        tenant.get(&(n / 2).to_be_bytes(), |_| ());
    }
    let (one, two, all) = (store.stats(), other.stats(), store.store.stats());
    assert_eq!(one.sets + two.sets, all.sets);
    assert_eq!(one.hits + two.hits, all.hits);
    assert_eq!(one.misses + two.misses, all.misses);
    assert_eq!(one.evictions + two.evictions, all.evictions);
    assert_eq!(one.items + two.items, all.items);
    assert_eq!(one.live_bytes + two.live_bytes, all.live_bytes);
    assert!(one.bytes + two.bytes <= all.bytes, "{one:?} {two:?} {all:?}");
}

#[test]
fn figures_of_many_tenants_are_those_of_each() {
    let store = Checked::new(16 * MIB);
    let tenants: Vec<Tenant> = (0..40).map(|_| store.store.add_tenant(Limits::NONE)).collect();
    // Some have nothing, some a little, one has segments of all kinds: open, sealed, being taken back.
    for (number, tenant) in (0_u64..).zip(&tenants).skip(5) {
        let count = if number == 39 { 300_000 } else { number };
        for n in 0..count {
            tenant.set(&n.to_be_bytes(), &[b'v'; 100], 0, None).unwrap();
            tenant.get(&(n / 2).to_be_bytes(), |_| ());
        }
        if number % 7 == 0 {
            tenant.flush();
        }
    }
    let all = store.store.stats_of(&tenants);
    for (tenant, stats) in tenants.iter().zip(&all) {
        assert_eq!(*stats, tenant.stats());
        let mut items = 0;
        tenant.for_each(|_| items += 1);
        assert_eq!(stats.items, items, "{stats:?}");
    }
    assert!(all[39].evictions > 0 && all[39].relocated > 0, "{:?}", all[39]);
    assert_eq!(store.store.stats().items, all.iter().map(|stats| stats.items).sum::<u64>());
    assert!(store.store.stats_of(&[]).is_empty());
}
