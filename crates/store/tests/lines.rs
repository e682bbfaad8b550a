//! Which cache lines an operation writes: what decides how well many cores get along.
//!
//! The engine's atomics and locks record the lines they write; for data behind a lock all of its
//! lines count. Not recorded: the bytes of keys and values, which lie where nobody else writes, and
//! what a thread does once in its life.
//!
//! Some things are shared, but rarely touched: whoever opens a segment takes it from the pool and
//! seals the one before, once in some hundred sets; two keys may have the same home. So it is counted
//! in how many operations a line is written: one that two threads write in more than one of a
//! [hundred](RARE) is a fault.
//!
//! Not so where threads write for *one* tenant that has to make room: one of them at a time does so,
//! and they take turns. A tenant's own lines are then shared by its writers, and nobody else's.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};

use common::{Checked, MIB};
use larder_store::{Limits, LineWrites, Tenant, record_writes};

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
    record_each(|thread, number| operation(tenant, thread, number))
}

/// The same for whatever the operation is done to.
fn record_each(operation: impl Fn(u64, u64) + Sync) -> [Written; 2] {
    let (barrier, results) = (Barrier::new(2), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (barrier, results, operation) = (&barrier, &results, &operation);
            scope.spawn(move || {
                (0..OPERATIONS).for_each(|number| operation(thread, number));
                barrier.wait();
                let mut written = Written::new();
                for number in 0..OPERATIONS {
                    let lines: LineWrites = record_writes(|| operation(thread, number));
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

/// Those that are not of a segment which one has taken back, in some twenty steps, and the other was
/// given then.
fn shared_but_handed_over(written: &[Written; 2]) -> BTreeMap<usize, (u64, u64)> {
    let mut shared = often_shared(written);
    shared.retain(|_, (one, other)| (*one).min(*other) * 40 > OPERATIONS);
    shared
}

/// A store whose tenant holds so much that it has an open segment for each of two threads. As large as where
/// many cores share one: in a smaller one segments are half as long, and are told twice as often how much of
/// them is dead, in 16 of 1000 overwrites.
fn large() -> Checked {
    let store = Checked::new(4096 * MIB);
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
    let calls = counters();
    let new = record(&store, |tenant, thread, number| {
        let round =
            calls[usize::try_from(thread).unwrap()].fetch_add(1, Ordering::Relaxed) / OPERATIONS;
        tenant.set(&own_key(10 * round + thread, number), &[7; 100], 0, None).unwrap();
    });
    assert_eq!(often_shared(&new), BTreeMap::new());
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

/// Numbers for new keys, of each thread its own.
fn counters() -> [AtomicU64; 2] {
    [const { AtomicU64::new(0) }; 2]
}

/// Sets a key that was never set before; each thread its tenant.
fn set_new(tenants: &[Tenant; 2], counters: &[AtomicU64; 2], thread: u64, value: &[u8]) {
    let thread = usize::try_from(thread).unwrap();
    let number = counters[thread].fetch_add(1, Ordering::Relaxed);
    tenants[thread].set(&number.to_be_bytes(), value, 0, None).unwrap();
}

fn fill(tenants: &[Tenant; 2], counters: &[AtomicU64; 2], sets: u64, value: &[u8]) {
    for number in 0..sets {
        set_new(tenants, counters, number % 2, value);
    }
}

/// Each makes room by evicting its own items.
#[test]
fn a_set_of_a_tenant_at_its_ceiling_writes_no_line_that_those_of_another_write() {
    let store = Checked::new(64 * MIB);
    let limits = Limits { floor_bytes: 0, ceiling_bytes: 8 * MIB };
    let tenants = [(); 2].map(|()| store.store.add_tenant(limits));
    let (counters, value) = (counters(), [7; 100]);
    fill(&tenants, &counters, 300_000, &value);
    let evictions = store.store.stats().evictions;
    let written = record_each(|thread, _| set_new(&tenants, &counters, thread, &value));
    assert!(store.store.stats().evictions > evictions + OPERATIONS);
    assert_eq!(shared_but_handed_over(&written), BTreeMap::new());
}

/// The store is full, and has more than one tenant: each evicts its own items as long as it has the
/// most, and looks for others that have more without writing anything they share.
#[test]
fn a_set_in_a_full_store_of_several_tenants_writes_no_line_that_all_sets_write() {
    let store = Checked::new(16 * MIB);
    let tenants = [(); 2].map(|()| store.store.add_tenant(Limits::NONE));
    for _ in 0..30 {
        let _ = store.store.add_tenant(Limits::NONE);
    }
    let (counters, value) = (counters(), [7; 100]);
    fill(&tenants, &counters, 300_000, &value);
    let evictions = store.store.stats().evictions;
    let written = record_each(|thread, _| set_new(&tenants, &counters, thread, &value));
    assert!(store.store.stats().evictions > evictions + OPERATIONS / 2);
    assert_eq!(shared_but_handed_over(&written), BTreeMap::new());
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
