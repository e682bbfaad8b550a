//! Who finds no room waits for those who are about to make some, and for nobody else.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Checked, MIB};
use larder_store::{Limits, Reservation, StoreError, Tenant};

/// Longer than a few operations wait that each wait as long as they may; so many would take longer.
const FOREVER: Duration = Duration::from_secs(60);
const MANY: usize = 100;

/// Sets that take more memory than a store or tenant of 1 MiB has.
const ALL: u64 = 10_000;

fn set(tenant: &Tenant, key: u64) -> Result<(), StoreError> {
    tenant.set(&key.to_be_bytes(), &[b'v'; 150], 0, None)
}

/// Sets until so many were refused; whether they were before the end of time.
fn is_refused(tenant: &Tenant, times: usize) -> bool {
    let end = Instant::now() + FOREVER;
    let mut keys = 0..;
    let mut next = || set(tenant, keys.next().unwrap());
    (0..times).all(|_| {
        while next().is_ok() && Instant::now() < end {}
        Instant::now() < end
    })
}

#[test]
fn a_set_waits_for_a_reader_who_does_not_run() {
    let store = Checked::new(MIB);
    (0..ALL).for_each(|key| set(&store, key).unwrap());
    let round = |_| {
        thread::scope(|scope| {
            let (reads, begun) = mpsc::channel();
            let store = &store;
            scope.spawn(move || {
                let _reader = store.store.reader();
                reads.send(()).unwrap();
                thread::sleep(Duration::from_millis(100));
            });
            begun.recv().unwrap();
            (0..ALL).all(|key| set(store, key).is_ok())
        })
    };
    // It sleeps for longer where it does not even run when it might.
    assert!((0..10).any(round));
}

#[test]
fn a_reader_who_stays_is_waited_for_once() {
    let store = Checked::new(MIB);
    (0..ALL).for_each(|key| set(&store, key).unwrap());
    let reader = store.store.reader();
    let refused = thread::scope(|scope| scope.spawn(|| is_refused(&store, MANY)).join().unwrap());
    assert!(refused, "each set has waited for the same reader");
    drop(reader);
    (0..ALL).for_each(|key| set(&store, key).unwrap());
}

/// Values on their way may take as long as their senders like.
#[test]
fn nobody_waits_for_what_is_on_its_way() {
    let store = Checked::new(16 * MIB);
    (0..100_000).for_each(|key| set(&store, key).unwrap());
    let tenant = store.store.add_tenant(Limits { floor_bytes: 0, ceiling_bytes: 0 });
    let mut on_their_way: Vec<Reservation> = Vec::new();
    for key in 0..20_u64 {
        on_their_way.extend(tenant.reserve(tenant.hashed(&key.to_le_bytes()), 9_000, 0, None));
    }
    assert!(is_refused(&tenant, MANY), "sets have waited for what is on its way");
    on_their_way.clear();
    (0..ALL).for_each(|key| set(&tenant, key).unwrap());
}
