//! Which cache lines an operation writes: what decides how well many cores get along.
//!
//! The engine's atomics and locks record the lines they write; for data behind a lock all of its
//! lines count. Not recorded: the bytes of keys and values, which lie where nobody else writes, and
//! what a thread does once in its life.
//!
//! Some things are shared, but rarely touched: whoever opens a segment takes it from the pool and
//! seals the one before, once in some hundred sets; whoever has filled 64 slots of the index looks
//! at its size; two keys may have the same home. So it is counted in how many operations a line is
//! written: one that two threads write in more than one of a [hundred](RARE) is a fault.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Barrier, Mutex};

use common::{Checked, MIB};
use larder_store::{LineWrites, Tenant, record_writes};

/// A line that fewer operations write than one in so many is no matter.
const RARE: u64 = 100;

/// What each thread does in a test.
const OPERATIONS: u64 = 1000;

/// In how many operations a thread has written each line.
type Written = BTreeMap<usize, u64>;

/// Calls `operation` for each number on each of two threads, and says which lines they wrote.
///
/// Each number is done once before anything is recorded: by then a thread has all that is its own.
fn record(store: &Checked, operation: impl Fn(&Tenant, u64, u64) + Sync) -> [Written; 2] {
    let tenant = store.store.tenant();
    let (barrier, results) = (Barrier::new(2), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (barrier, results, operation) = (&barrier, &results, &operation);
            scope.spawn(move || {
                (0..OPERATIONS).for_each(|number| operation(tenant, thread, number));
                barrier.wait();
                let mut written = Written::new();
                for number in 0..OPERATIONS {
                    let lines: LineWrites = record_writes(|| operation(tenant, thread, number));
                    lines.into_keys().for_each(|line| *written.entry(line).or_default() += 1);
                }
                results.lock().unwrap().insert(thread, written);
                // A thread that ends leaves what is its own to the next.
                barrier.wait();
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    [0, 1].map(|thread| results.remove(&thread).unwrap())
}

/// The lines that both write, with how often.
fn shared([one, other]: &[Written; 2]) -> BTreeMap<usize, (u64, u64)> {
    let both = one.iter().filter_map(|(line, times)| Some((*line, (*times, *other.get(line)?))));
    both.collect()
}

/// Those of them that are written all the time.
fn often_shared(written: &[Written; 2]) -> BTreeMap<usize, (u64, u64)> {
    let mut shared = shared(written);
    shared.retain(|_, (one, other)| (*one).min(*other) * RARE > OPERATIONS);
    shared
}

/// A store whose tenant holds so much that it has an open segment for each of two threads.
fn large() -> Checked {
    let store = Checked::new(64 * MIB);
    let value = vec![1; 60_000];
    for number in 0..400_u64 {
        store.set(format!("large{number}").as_bytes(), &value, 0, None).unwrap();
    }
    store
}

fn own_key(thread: u64, number: u64) -> Vec<u8> {
    format!("{thread}:{number}").into_bytes()
}

#[test]
fn a_warm_get_writes_no_line_that_another_writes() {
    let store = large();
    let keys: Vec<_> = (0..OPERATIONS).map(|number| own_key(9, number)).collect();
    for key in &keys {
        store.set(key, &[7; 100], 0, None).unwrap();
    }
    // Used so often that using it changes nothing, and read in this minute.
    for key in keys.iter().cycle().take(4 * keys.len()) {
        assert!(store.get(key, |_| ()).is_some());
    }
    let same = |number: u64| &keys[usize::try_from(number).unwrap()];
    let single = record(&store, |tenant, _, number| {
        assert_eq!(tenant.get(same(number), |item| item.value().len()), Some(100));
    });
    assert_eq!(shared(&single), BTreeMap::new());
    let batch = record(&store, |tenant, _, number| {
        let first = usize::try_from(number).unwrap().min(keys.len() - 20);
        tenant.get_many(&keys[first..first + 20], |_, item| assert!(item.is_some()));
    });
    assert_eq!(shared(&batch), BTreeMap::new());
    let miss = record(&store, |tenant, thread, number| {
        assert!(tenant.get(&own_key(100 + thread, number), |_| ()).is_none());
    });
    assert_eq!(shared(&miss), BTreeMap::new());
    // The announcement, and two or three lines of counters.
    let most = single.iter().map(BTreeMap::len).max().unwrap();
    assert!(most <= 4, "{most} lines");
}

#[test]
fn a_set_writes_no_line_that_all_sets_write() {
    let store = large();
    // The keys are there, and each thread's in segments of its own, from the round before.
    let replacing = record(&store, |tenant, thread, number| {
        tenant.set(&own_key(thread, number), &[7; 100], 0, None).unwrap();
    });
    assert_eq!(often_shared(&replacing), BTreeMap::new());
    let all: u64 = replacing.iter().flat_map(BTreeMap::values).sum();
    let lines = all / (2 * OPERATIONS);
    assert!(lines <= 24, "{lines} lines a set");
}

#[test]
fn a_set_of_a_new_key_writes_no_line_that_all_sets_write() {
    let store = large();
    let calls = [(); 2].map(|()| std::sync::atomic::AtomicU64::new(0));
    let new = record(&store, |tenant, thread, number| {
        let round = calls[usize::try_from(thread).unwrap()]
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed)
            / OPERATIONS;
        tenant.set(&own_key(10 * round + thread, number), &[7; 100], 0, None).unwrap();
    });
    // With every 64th a thread has the index's size looked at, as it has with every new segment.
    let mut often = often_shared(&new);
    often.retain(|_, (one, other)| (*one).min(*other) * 40 > OPERATIONS);
    assert_eq!(often, BTreeMap::new());
}

#[test]
fn a_delete_writes_no_line_that_all_deletes_write() {
    let store = large();
    let deleted = record(&store, |tenant, thread, number| {
        // Stored by this thread: in its own segments.
        tenant.set(&own_key(thread, number), &[7; 100], 0, None).unwrap();
        assert!(tenant.delete(&own_key(thread, number)));
    });
    assert_eq!(often_shared(&deleted), BTreeMap::new());
}

#[test]
fn the_recorder_sees_what_is_shared() {
    let store = Checked::new(MIB);
    // Both append to the only open segment of a small tenant.
    let written = record(&store, |tenant, thread, number| {
        tenant.set(&own_key(thread, number % 8), &[7; 100], 0, None).unwrap();
    });
    let often: BTreeSet<_> = often_shared(&written).into_keys().collect();
    assert!(often.len() > 1, "{often:?}");
}
