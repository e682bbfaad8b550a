//! The limit in bytes holds, whatever is stored, and what is evicted is chosen sensibly.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use std::time::Duration;

use common::Checked;
use larder_store::{Clock, Config, MIN_MAX_BYTES, Mode, Outcome, Store};

const MIB: usize = 1024 * 1024;

#[test]
fn the_limit_holds_for_items_of_every_size() {
    for (max_bytes, value_bytes) in [
        (0, 0),
        (MIN_MAX_BYTES, 1),
        (MIN_MAX_BYTES, 4_000),
        (MIB, 0),
        (MIB, 100),
        (MIB, 100_000),
        (64 * MIB, 900_000),
    ] {
        let store = Checked::new(max_bytes);
        let value = vec![b'v'; value_bytes];
        for n in 0..20_000_u32.min(u32::try_from(400 * MIB / (value_bytes + 100)).unwrap()) {
            let outcome = store.store(Mode::Set, &n.to_be_bytes(), &value, n, None);
            assert!(matches!(outcome, Ok(Outcome::Stored { .. })), "{max_bytes} {value_bytes}");
            let newest = store.get(&n.to_be_bytes(), |item| (item.flags, item.value == value));
            assert_eq!(newest, Some((n, true)));
        }
        let stats = store.stats();
        assert!(
            stats.bytes <= stats.max_bytes
                && stats.max_bytes <= max_bytes.max(MIN_MAX_BYTES) as u64
        );
        assert!(stats.evictions > 0, "{max_bytes} {value_bytes} {stats:?}");
        // Full means full, give or take an item and a chunk of slots.
        let slack = 6_000 + 2 * value_bytes as u64;
        let shards = stats.max_bytes / (8 * MIB as u64) + 2;
        assert!(
            stats.bytes + shards * slack > stats.max_bytes,
            "{max_bytes} {value_bytes} {stats:?}"
        );
    }
}

/// Slots are not given back: the worst case for large items is a store that was full of tiny ones.
#[test]
fn after_the_smallest_items_the_largest_fit_and_grow() {
    for max_bytes in [MIN_MAX_BYTES, 100_000, MIB, 8 * MIB] {
        let store = Checked::new(max_bytes);
        for n in 0..(max_bytes / 48) as u64 {
            store.store(Mode::Set, &n.to_be_bytes(), b"", 0, None).unwrap();
        }
        assert!(store.stats().evictions > 0);
        let value = vec![b'v'; store.max_item_bytes() - 2];
        for round in 0..20_u8 {
            store.store(Mode::Set, &[round], &value, 0, None).unwrap();
            store.store(Mode::Append, &[round], b"x", 0, None).unwrap();
            let read = store.get(&[round], |item| item.value.len());
            assert_eq!(read, Some(value.len() + 1), "{max_bytes}, round {round}");
            store.validate().unwrap();
        }
        for n in 0..1000_u64 {
            store.store(Mode::Set, &n.to_be_bytes(), b"", 0, None).unwrap();
        }
        store.validate().unwrap();
    }
}

#[test]
fn what_is_read_outlives_what_is_not() {
    let store = Checked::new(MIB);
    let read_often: Vec<String> = (0..200).map(|n| format!("hot{n}")).collect();
    for key in &read_often {
        store.set(key, "v");
    }
    for n in 0..30_000 {
        store.set(&format!("cold{n}"), "some value that is never read");
        if n % 20 == 0 {
            read_often.iter().for_each(|key| drop(store.text(key)));
        }
    }
    let survivors = read_often.iter().filter(|key| store.text(key).is_some()).count();
    assert_eq!(survivors, read_often.len());
    let stats = store.stats();
    assert_eq!(stats.evictions, stats.evicted_unread);
}

#[test]
fn dead_items_leave_before_live_ones() {
    for kill in [expire as fn(&Checked), flush] {
        let store = Checked::new(MIB);
        for n in 0..1_000 {
            let (key, ttl) = (format!("dead{n}"), Some(Duration::from_secs(1)));
            store.store(Mode::Set, key.as_bytes(), &[b'v'; 700], 0, ttl).unwrap();
            // Marked as read, they would be spared if they were alive.
            store.text(&key);
        }
        kill(&store);
        for n in 0..1_000 {
            store.store(Mode::Set, format!("live{n}").as_bytes(), &[b'v'; 700], 0, None).unwrap();
        }
        assert_eq!(store.stats().evictions, 0);
        assert!((0..1_000).all(|n| store.text(&format!("live{n}")).is_some()));
    }
}

fn expire(store: &Checked) {
    store.advance_ms(1_000);
}

fn flush(store: &Checked) {
    store.flush();
}

#[test]
fn the_size_of_items_is_limited_by_the_size_of_the_store() {
    for (max_bytes, max_item_bytes, allowed) in [
        (64 * MIB, MIB, MIB),
        (MIB, MIB, MIB / 8),
        (MIB, 1000, 1000),
        (0, MIB, MIN_MAX_BYTES / 8),
        (usize::MAX, MIB, MIB),
    ] {
        // The largest store is only described: its index alone would be too much.
        let max_bytes = max_bytes.min(512 * MIB);
        let config = Config { max_bytes, max_item_bytes, clock: Clock::manual(0) };
        let store = Store::new(config);
        assert_eq!(store.max_item_bytes(), allowed);
        assert!(store.stats().max_bytes <= max_bytes.max(MIN_MAX_BYTES) as u64);
    }
}
