//! A little of everything, for Miri: `cargo xtask miri`. The smallest store there is fills quickly.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use std::time::Duration;

use common::{Checked, ms, numbers, pattern};
use larder_store::{Arith, Commit, Limits, MIN_MAX_BYTES, Mode};

/// The smallest store that has room for values in many chunks.
const SMALL: usize = 2 * MIN_MAX_BYTES;

/// A value that takes about an eighth of a segment of the smallest store.
const EIGHTH: usize = 980;

/// Rounds of each test.
const ROUNDS: u64 = if cfg!(miri) { 1 } else { 20 };

fn key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// Reads a key, whose value must be one of [`put`]'s.
fn read(store: &Checked, number: u64) -> bool {
    let tenant = store.store.tenant();
    let right = tenant.get(&key(number), |item| {
        let bytes = item.value().to_vec();
        bytes == pattern(number, bytes.len())
    });
    assert_ne!(right, Some(false), "the value of {number} is wrong");
    right.is_some()
}

fn put(store: &Checked, number: u64, len: usize) {
    store.set(&key(number), &pattern(number, len), 7, ms(90_000)).unwrap();
}

#[test]
fn commands() {
    let store = Checked::new(SMALL);
    for _ in 0..ROUNDS {
        store.set(b"n", b"41", 3, None).unwrap();
        assert_eq!(store.incr(b"n", 1).unwrap(), Arith::Value(42));
        let cas = store.get(b"n", |item| item.cas()).unwrap();
        store.store(Mode::Cas(cas), b"n", b"x", 0, ms(5_000)).unwrap();
        store.store(Mode::Append, b"n", b"yz", 0, None).unwrap();
        assert!(store.touch(b"n", ms(70_000)).unwrap() && store.touch(b"n", None).unwrap());
        assert!(store.invalidate(b"n", None).unwrap());
        assert!(store.get(b"n", |item| item.is_stale() && item.win()).unwrap());
        for len in [0, 100, EIGHTH, 1500, 5000] {
            let value = pattern(1, len);
            let mut reservation =
                store.reserve(store.hashed(b"piecewise"), len, 1, ms(1_000)).unwrap();
            value.chunks(333).for_each(|piece| reservation.append(piece));
            reservation.commit(&Commit::new(Mode::Set)).unwrap();
            assert_eq!(store.get(b"piecewise", |item| item.value().to_vec()), Some(value));
        }
        drop(store.reserve(store.hashed(b"left"), 1000, 0, None).unwrap());
        store.advance_ms(2_000);
        assert!(!store.delete(b"piecewise") && store.delete(b"n"));
    }
}

#[test]
fn eviction_compaction_and_flush() {
    let store = Checked::new(SMALL);
    let mut next = numbers(1);
    for round in 0..ROUNDS {
        for number in 0..120 {
            let len = [20, 300, EIGHTH, 1500][(next() % 4) as usize];
            put(&store, number, len);
            read(&store, next() % 120);
        }
        let deleted = (0..120).step_by(2).filter(|number| store.delete(&key(*number))).count();
        assert!(deleted > 0);
        store.maintain();
        let mut met = 0;
        store.for_each(|item| met += item.value().len());
        assert!(met > 0);
        assert!((0..120).filter(|number| read(&store, *number)).count() > 0);
        if round % 2 == 0 {
            store.flush();
            assert!(!(0..120).any(|number| read(&store, number)));
        }
    }
}

#[test]
fn many_small_items_and_a_larger_index() {
    let store = Checked::new(SMALL);
    for number in 0..800 {
        store.set(&key(number), b"", 0, None).unwrap();
    }
    store.maintain();
    assert_eq!((0..800).filter(|number| read(&store, *number)).count(), 800);
    let keys: Vec<_> = (0..40).map(key).collect();
    let mut hits = 0;
    store.get_many(&keys, |_, item| hits += u32::from(item.is_some()));
    assert_eq!(hits, 40);
}

#[test]
fn threads() {
    let store = Checked::new(SMALL);
    let other = store.store.add_tenant(Limits::NONE);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (store, other) = (&store, &other);
            scope.spawn(move || {
                let mut next = numbers(thread);
                for _ in 0..60 * ROUNDS {
                    let number = next() % 40;
                    let value = pattern(number, [20, EIGHTH, 1500][(next() % 3) as usize]);
                    // Few segments and slow threads: there need not be room.
                    _ = store.set(&key(number), &value, 7, ms(90_000));
                    read(store, next() % 40);
                    match next() % 8 {
                        0 => _ = store.delete(&key(next() % 40)),
                        1 => _ = store.touch(&key(next() % 40), Some(Duration::from_secs(60))),
                        2 => _ = store.store.maintain(3),
                        3 => _ = other.set(&key(number), &pattern(number, 500), 0, None),
                        4 if next().is_multiple_of(8) => store.flush(),
                        _ => {}
                    }
                }
            });
        }
        scope.spawn(|| {
            for number in (0..40).cycle().take(usize::try_from(120 * ROUNDS).unwrap()) {
                read(&store, number);
            }
        });
    });
    store.store.remove_tenant(&other);
}
