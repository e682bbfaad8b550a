//! Threads at work on one store never see a value that is not its key's.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use common::Checked;
use larder_store::{Arith, Mode, Outcome, StoreError};

/// A cheap deterministic stream of numbers (xorshift).
fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

#[test]
fn every_value_read_contains_its_key() {
    const THREADS: u64 = 4;
    for max_bytes in [64 * 1024, 4 * 1024 * 1024] {
        let store = Checked::new(max_bytes);
        thread::scope(|scope| {
            for seed in 1..=THREADS {
                let store = &store;
                scope.spawn(move || hammer(store, seed));
            }
        });
        let stats = store.stats();
        assert!(stats.hits > 0 && stats.misses > 0 && stats.expired > 0, "{stats:?}");
        assert!(max_bytes > 64 * 1024 || stats.evictions > 0, "{stats:?}");
    }
}

fn hammer(store: &Checked, seed: u64) {
    let mut next = numbers(seed);
    for _ in 0..30_000 {
        let (what, number) = (next() % 100, next() % 2_000);
        let key = format!("key-{number}");
        match what {
            0..50 => {
                let right = store.get(key.as_bytes(), |item| {
                    item.value.strip_prefix(key.as_bytes()).is_some_and(|rest| {
                        rest.iter().all(|&b| b == b'.') && u64::from(item.flags) == number
                    })
                });
                assert_ne!(right, Some(false), "{key}");
            }
            50..85 => {
                let dots = usize::try_from(next() % 200).unwrap();
                let value = format!("{key}{}", ".".repeat(dots));
                let mode = [Mode::Set, Mode::Add, Mode::Replace][dots % 3];
                let ttl = dots.is_multiple_of(2).then(|| Duration::from_millis(next() % 50));
                let flags = u32::try_from(number).unwrap();
                store.store(mode, key.as_bytes(), value.as_bytes(), flags, ttl).unwrap();
            }
            85..90 => match store.store(Mode::Append, key.as_bytes(), b"..", 0, None) {
                Ok(_) | Err(StoreError::TooLarge { .. }) => {}
            },
            90..94 => drop(store.delete(key.as_bytes())),
            94..97 => drop(store.touch(key.as_bytes(), Some(Duration::from_millis(number)))),
            97 if number < 20 => store.flush(),
            _ => store.advance_ms(1),
        }
    }
}

#[test]
fn no_increment_and_no_cas_is_lost() {
    const EACH: u64 = 5_000;
    let store = Checked::new(1024 * 1024);
    store.set("incr", "0");
    store.set("cas", "0");
    let retries = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..EACH {
                    assert!(matches!(store.incr(b"incr", 1), Arith::Value(_)));
                    while !add_one_by_cas(&store) {
                        retries.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(store.text("incr"), Some((4 * EACH).to_string()));
    assert_eq!(store.text("cas"), Some((4 * EACH).to_string()));
}

fn add_one_by_cas(store: &Checked) -> bool {
    let (number, cas) = store
        .get(b"cas", |item| {
            (std::str::from_utf8(item.value).unwrap().parse::<u64>().unwrap(), item.cas)
        })
        .unwrap();
    let value = (number + 1).to_string();
    let outcome = store.store(Mode::Cas(cas), b"cas", value.as_bytes(), 0, None).unwrap();
    matches!(outcome, Outcome::Stored { .. })
}

/// What a thread stores after its own flush returned is there, whatever others flush before that.
#[test]
fn a_flush_spares_what_is_stored_after_it() {
    let store = Checked::new(4 * 1024 * 1024);
    for round in 0..200 {
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| store.flush());
            }
            scope.spawn(|| store.set("before", "v"));
        });
        store.flush();
        store.set("after", "v");
        assert_eq!(store.text("before"), None, "round {round}");
        assert!(store.text("after").is_some(), "round {round}");
        assert_eq!(store.len(), 1);
        store.validate().unwrap();
    }
}
