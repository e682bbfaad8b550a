//! The limit in bytes holds, whatever is stored, and what is evicted is chosen sensibly.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use std::time::Duration;

use common::{Checked, MIB, ms, numbers, set, text};
use larder_store::{Clock, Config, MIN_MAX_BYTES, Mode, Outcome, Store, StoreError};

#[test]
fn the_limit_holds_for_items_of_every_size() {
    for (max_bytes, value_bytes) in
        [(0, 0), (MIB, 1), (MIB, 900), (MIB, 4_000), (MIB, 100_000), (16 * MIB, 900_000)]
    {
        let store = Checked::new(max_bytes);
        let value = vec![b'v'; value_bytes];
        let most = u32::try_from(2 * max_bytes.max(MIB) / (value_bytes + 32)).unwrap();
        for n in 0..most.min(40_000) {
            store.set(&n.to_be_bytes(), &value, n, None).unwrap();
            let newest = store.get(&n.to_be_bytes(), |item| (item.flags(), item.value() == *value));
            assert_eq!(newest, Some((n, true)), "{max_bytes} {value_bytes}");
        }
        let stats = store.store.stats();
        assert!(stats.bytes <= stats.max_bytes && stats.max_bytes <= max_bytes.max(MIB) as u64);
        assert!(stats.evictions > 0, "{max_bytes} {value_bytes} {stats:?}");
    }
}

#[test]
fn a_full_store_is_full_of_items() {
    for (max_bytes, value_bytes, percent) in
        [(MIB, 100, 75), (8 * MIB, 100, 78), (8 * MIB, 1_000, 85)]
    {
        let store = Checked::new(max_bytes);
        let value = vec![b'v'; value_bytes];
        for n in 0..u64::try_from(2 * max_bytes / (value_bytes + 16)).unwrap() {
            store.set(&n.to_be_bytes(), &value, 0, None).unwrap();
        }
        let stats = store.stats();
        let held = stats.items * (value_bytes as u64 + 8);
        assert!(
            held * 100 > max_bytes as u64 * percent,
            "{max_bytes} {value_bytes} {held} {stats:?}"
        );
    }
}

#[test]
fn after_the_smallest_items_the_largest_fit_and_grow() {
    for max_bytes in [MIN_MAX_BYTES, 4 * MIB] {
        let store = Checked::new(max_bytes);
        for n in 0..(max_bytes / 20) as u64 {
            store.set(&n.to_be_bytes(), b"", 0, None).unwrap();
        }
        assert!(store.stats().evictions > 0);
        let value = vec![b'v'; store.max_item_bytes() - 2];
        for round in 0..20_u8 {
            store.set(&[round], &value, 0, None).unwrap();
            let appended = store.store(Mode::Append, &[round], b"x", 0, None).unwrap();
            let read = store.get(&[round], |item| item.value().len());
            // Making room for the longer version may evict the one that is to be extended.
            let expected = (appended != Outcome::NotStored).then_some(value.len() + 1);
            assert_eq!(read, expected, "{max_bytes}, round {round}");
            store.store.validate().unwrap();
        }
        for n in 0..1000_u64 {
            store.set(&n.to_be_bytes(), b"", 0, None).unwrap();
        }
    }
}

#[test]
fn item_counts_recover_when_sizes_shift_there_and_back() {
    let store = Checked::new(2 * MIB);
    let fill = |from: u64, count: u64, bytes: usize| {
        for n in from..from + count {
            store.set(&n.to_be_bytes(), &vec![b'v'; bytes], 0, None).unwrap();
            let stats = store.store.stats();
            assert!(n % 64 > 0 || stats.bytes <= stats.max_bytes, "{stats:?}");
        }
        store.stats().items
    };
    let small = fill(0, 60_000, 32);
    let large = fill(1_000_000, 1_500, 4_096);
    let small_again = fill(2_000_000, 60_000, 32);
    let large_again = fill(3_000_000, 1_500, 4_096);
    assert!(large > 300, "{small} {large} {small_again} {large_again}");
    assert!(small_again * 100 >= small * 95, "{small} {large} {small_again}");
    assert!(large_again * 100 >= large * 95, "{large} {large_again}");
}

#[test]
fn overwriting_the_same_keys_evicts_nothing() {
    let store = Checked::new(2 * MIB);
    for n in 0..40_000_u64 {
        let number = n % 2_000;
        store.set(&number.to_be_bytes(), &n.to_be_bytes().repeat(40), 0, None).unwrap();
    }
    let stats = store.stats();
    assert_eq!((stats.items, stats.replaced, stats.evictions), (2_000, 38_000, 0), "{stats:?}");
    let newest = |n: u64| store.get(&n.to_be_bytes(), |item| item.value().to_vec());
    assert!((0..2_000).all(|n| newest(n) == Some((38_000 + n).to_be_bytes().repeat(40))));
}

#[test]
fn memory_of_expired_items_is_used_again_before_anything_is_evicted() {
    let store = Checked::new(2 * MIB);
    let keeps = |n: u64| format!("keeps{n}");
    for n in 0..500 {
        set(&store, &keeps(n), &"k".repeat(200));
    }
    for n in 0..30_000_u64 {
        store.set(&n.to_be_bytes(), &[b't'; 300], 0, ms(1_000)).unwrap();
        if n % 100 == 0 {
            store.advance_ms(50);
        }
    }
    let stats = store.stats();
    assert_eq!(stats.evictions, 0, "{stats:?}");
    assert!((0..500).all(|n| text(&store, &keeps(n)).is_some()));
    assert!(stats.expired > 20_000, "{stats:?}");
}

#[test]
fn little_is_held_of_what_has_expired() {
    let store = Checked::new(2 * MIB);
    let mut next = numbers(5);
    let mut expires = Vec::new();
    for n in 0..30_000_u64 {
        let ttl = 500 * (1 + next() % 40);
        store.set(&n.to_be_bytes(), &[b't'; 100], 0, ms(ttl)).unwrap();
        expires.push((n / 200 + 1) * 20 + ttl);
        if n % 200 == 199 {
            store.advance_ms(20);
        }
    }
    let items = store.stats().items;
    let mut live = 0;
    store.for_each(|_| live += 1);
    assert!(live as f64 >= items as f64 * 0.8, "{live} of {items} live, {:?}", store.stats());
}

#[test]
fn what_is_read_outlives_what_is_not() {
    let store = Checked::new(MIB);
    let read_often: Vec<String> = (0..200).map(|n| format!("hot{n}")).collect();
    for key in &read_often {
        set(&store, key, "v");
    }
    for n in 0..30_000 {
        set(&store, &format!("cold{n}"), "some value that is never read");
        if n % 50 == 0 {
            read_often.iter().for_each(|key| drop(text(&store, key)));
        }
    }
    let survivors = read_often.iter().filter(|key| text(&store, key).is_some()).count();
    assert_eq!(survivors, read_often.len());
    let stats = store.stats();
    assert_eq!(stats.evictions, stats.evicted_unread);
}

#[test]
fn a_store_where_everything_is_read_often_still_takes_new_items() {
    let store = Checked::new(3 * MIB);
    let mut count = 0_u64;
    while store.stats().evictions == 0 {
        for _ in 0..100 {
            store.set(&count.to_be_bytes(), &[b'v'; 40], 0, None).unwrap();
            count += 1;
        }
    }
    for _ in 0..4 {
        for n in 0..count {
            store.get(&n.to_be_bytes(), |_| ());
        }
    }
    for n in count..count + 2_000 {
        store.set(&n.to_be_bytes(), &[b'n'; 40], 0, None).unwrap();
        assert!(store.get(&n.to_be_bytes(), |_| ()).is_some());
    }
}

#[test]
fn a_set_within_a_get_finds_room_or_says_so_and_evicts_little() {
    let store = Checked::new(MIB);
    let fill = |from: u64| {
        for n in from..from + 8_000 {
            store.set(&n.to_be_bytes(), &[b'v'; 150], 0, None).unwrap();
        }
    };
    fill(0);
    set(&store, "read", "value");
    let before = store.stats();
    let mut refused = 0;
    store.get(b"read", |item| {
        for n in 0..2_000_u64 {
            match store.set(&n.to_le_bytes(), &[b'w'; 150], 0, None) {
                Ok(()) => {}
                Err(StoreError::NoRoom { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(item.value(), *b"value"[..].as_ref());
    });
    let after = store.stats();
    let evicted = after.evictions - before.evictions;
    assert!(refused > 0, "all the room there is was found while it was read");
    assert!(
        evicted < before.items / 2,
        "{evicted} of {} evicted for {refused} refused",
        before.items
    );
    fill(100_000);
}

#[test]
fn an_edit_in_a_full_store_evicts_no_more_than_it_needs() {
    let store = Checked::new(MIB);
    for n in 0..8_000_u64 {
        store.set(&n.to_be_bytes(), &[b'v'; 150], 0, None).unwrap();
    }
    set(&store, "number", "0");
    let before = store.stats();
    for n in 1..3_000_u64 {
        // What is edited all the time is never evicted.
        assert_eq!(store.incr(b"number", 1), Ok(larder_store::Arith::Value(n)));
    }
    let evicted = store.stats().evictions - before.evictions;
    assert!(evicted <= 3_000, "{evicted} of {} evicted", before.items);
}

#[test]
fn dead_items_leave_before_live_ones() {
    for kill in [expire as fn(&Checked), flush] {
        let store = Checked::new(MIB);
        for n in 0..1_000 {
            let key = format!("dead{n}");
            store.set(key.as_bytes(), &[b'v'; 700], 0, ms(1_000)).unwrap();
            // Marked as read, they would be spared if they were alive.
            text(&store, &key);
        }
        kill(&store);
        for n in 0..1_000 {
            store.set(format!("live{n}").as_bytes(), &[b'v'; 700], 0, None).unwrap();
        }
        assert_eq!(store.stats().evictions, 0, "{:?}", store.stats());
        assert!((0..1_000).all(|n| text(&store, &format!("live{n}")).is_some()));
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
        (2048 * MIB, 256 * MIB, 128 * MIB),
    ] {
        let config = Config { max_item_bytes, clock: Clock::manual(0), ..Config::new(max_bytes) };
        let store = Store::new(config).unwrap();
        assert_eq!(store.max_item_bytes(), allowed);
        assert!(store.stats().max_bytes <= max_bytes.max(MIN_MAX_BYTES) as u64);
    }
}

#[test]
fn items_that_were_never_read_leave_and_leave_room_for_large_ones() {
    let store = Checked::new(4 * MIB);
    let mut next = numbers(9);
    for n in 0..4_000_u64 {
        let bytes = usize::try_from(next() % 7).unwrap();
        let value = common::pattern(n, [0, 10, 100, 1_000, 5_000, 50_000, 300_000][bytes]);
        store
            .set(&n.to_be_bytes(), &value, 0, (n % 5 == 0).then_some(Duration::from_secs(1)))
            .unwrap();
        assert!(store.get(&n.to_be_bytes(), |item| item.value() == *value).unwrap());
        let earlier = next() % (n + 1);
        store.get(&earlier.to_be_bytes(), |item| {
            let value = item.value().to_vec();
            assert_eq!(value, common::pattern(earlier, value.len()), "{earlier}");
        });
        if n % 40 == 0 {
            store.advance_ms(100);
        }
        if n % 500 == 0 {
            store.store.validate().unwrap();
        }
    }
}

/// However large items and segments are, an operation moves little more for others than it stores.
#[test]
fn a_set_moves_little_more_than_it_stores() {
    const VALUE: usize = 12 * 1024;
    // Segments of 128 KiB: what holds items of 16 MiB needs them.
    let config = Config { max_item_bytes: 16 * MIB, ..Config::new(128 * MIB) };
    let store = Checked::with(&config);
    let value = vec![b'v'; VALUE];
    let set = |n: u64| store.set(&(n % 13_000).to_be_bytes(), &value, 0, None).unwrap();
    let (mut most, mut all) = (0, 0);
    for n in 0..40_000_u64 {
        let before = if n % 16 == 0 { store.stats().relocated } else { 0 };
        set(n);
        if n % 16 == 0 {
            let moved = store.stats().relocated - before;
            (most, all) = (most.max(moved), all + moved);
        }
        // Everything is used again and again: all of it is worth keeping.
        for back in [3_000, 6_000, 9_000] {
            store.get(&(n.saturating_sub(back) % 13_000).to_be_bytes(), |_| ());
        }
    }
    assert!(all > 100, "{all} moved");
    assert!(most <= 12, "{most} items of {VALUE} bytes moved by one set");
}
