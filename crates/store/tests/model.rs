//! Any sequence of operations gives what a plain map gives.
//!
//! In a roomy store results are equal; in a tiny one an item may be missing, having been evicted, but
//! never wrong.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use common::Checked;
use larder_store::{Arith, Mode, Outcome};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Get(u8),
    Store(StoreOp),
    /// Stores over the version that is there, if any.
    CasCurrent(u8, Vec<u8>),
    Delete(u8),
    Touch(u8, Option<Duration>),
    Incr(u8, u64),
    Decr(u8, u64),
    Flush,
    Advance(u64),
}

#[derive(Debug, Clone)]
struct StoreOp {
    mode: Mode,
    key: u8,
    value: Vec<u8>,
    flags: u32,
    ttl: Option<Duration>,
}

#[derive(Debug, Clone)]
struct ModelItem {
    value: Vec<u8>,
    flags: u32,
    cas: u64,
    expires: Option<u64>,
}

/// What a cache is by definition: a map, a clock, and no limit.
#[derive(Debug, Default)]
struct Model {
    items: HashMap<u8, ModelItem>,
    now: u64,
}

impl Model {
    fn live(&mut self, key: u8) -> Option<&mut ModelItem> {
        let now = self.now;
        self.items.get_mut(&key).filter(|item| item.expires.is_none_or(|at| now < at))
    }

    fn expiry(&self, ttl: Option<Duration>) -> Option<u64> {
        let ms = ttl?.as_nanos().div_ceil(1_000_000);
        Some(self.now + u64::try_from(ms).unwrap())
    }

    /// Stores; `cas` is the number the store reported. Returns what should have been reported.
    fn store(&mut self, op: &StoreOp, cas: u64) -> Outcome {
        let expires = self.expiry(op.ttl);
        let StoreOp { mode, key, value, flags, .. } = op.clone();
        match (mode, self.live(key)) {
            (Mode::Add, Some(_)) | (Mode::Replace | Mode::Append | Mode::Prepend, None) => {
                return Outcome::NotStored;
            }
            (Mode::Cas(_), None) => return Outcome::NotFound,
            (Mode::Cas(wanted), Some(item)) if item.cas != wanted => return Outcome::Exists,
            (Mode::Append, Some(item)) => {
                item.value.extend(value);
                item.cas = cas;
            }
            (Mode::Prepend, Some(item)) => {
                item.value.splice(0..0, value);
                item.cas = cas;
            }
            _ => drop(self.items.insert(key, ModelItem { value, flags, cas, expires })),
        }
        Outcome::Stored { cas }
    }

    fn arith(&mut self, key: u8, f: impl FnOnce(u64) -> u64) -> Arith {
        let Some(item) = self.live(key) else {
            return Arith::NotFound;
        };
        let text = String::from_utf8_lossy(&item.value);
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let Some(number) = digits.then(|| text.parse().ok()).flatten() else {
            return Arith::NotANumber;
        };
        let result = f(number);
        item.value = result.to_string().into_bytes();
        Arith::Value(result)
    }
}

/// Runs the operations on both and compares each result.
///
/// With `evicting`, the model first forgets what the store has evicted: a miss in the store is always
/// right, anything else is compared.
fn compare(max_bytes: usize, evicting: bool, ops: &[Op]) -> Result<(), TestCaseError> {
    let store = Checked::new(max_bytes);
    let mut model = Model { now: store.clock.now_ms(), ..Model::default() };
    for (number, op) in ops.iter().enumerate() {
        if evicting {
            // Nine more items of this size are more than fit: something has to go all the time.
            store.set(&format!("ballast{}", number % 9), &"b".repeat(7_000));
            model.items.retain(|key, _| held(&store, *key));
        }
        step(&store, &mut model, op)?;
        let fault = store.validate();
        prop_assert!(fault.is_ok(), "{fault:?} after {op:?}");
    }
    // What makes room after a flush is dead already; without one, this test has to have evicted.
    if !ops.iter().any(|op| matches!(op, Op::Flush)) {
        prop_assert_eq!(store.stats().evictions > 0, evicting);
    }
    Ok(())
}

fn held(store: &Checked, key: u8) -> bool {
    let mut found = false;
    store.for_each(|k, _| found |= k == name(key));
    found
}

fn step(store: &Checked, model: &mut Model, op: &Op) -> Result<(), TestCaseError> {
    match op {
        Op::Get(key) => check_get(store, model, *key)?,
        Op::Store(op) => check_store(store, model, op)?,
        Op::CasCurrent(key, value) => {
            let cas = model.live(*key).map_or(1, |item| item.cas);
            let (mode, value) = (Mode::Cas(cas), value.clone());
            check_store(store, model, &StoreOp { mode, key: *key, value, flags: 3, ttl: None })?;
        }
        Op::Delete(key) => {
            let there = model.live(*key).is_some();
            prop_assert_eq!(store.delete(&name(*key)), there);
            model.items.remove(key);
        }
        Op::Touch(key, ttl) => {
            let expires = model.expiry(*ttl);
            let there = model.live(*key).map(|item| item.expires = expires).is_some();
            prop_assert_eq!(store.touch(&name(*key), *ttl), there);
        }
        Op::Incr(key, delta) => {
            let expected = model.arith(*key, |n| n.wrapping_add(*delta));
            prop_assert_eq!(store.incr(&name(*key), *delta), expected);
            learn_cas(store, model, *key);
        }
        Op::Decr(key, delta) => {
            let expected = model.arith(*key, |n| n.saturating_sub(*delta));
            prop_assert_eq!(store.decr(&name(*key), *delta), expected);
            learn_cas(store, model, *key);
        }
        Op::Flush => {
            store.flush();
            model.items.clear();
            prop_assert!(store.is_empty());
        }
        Op::Advance(ms) => {
            store.advance_ms(*ms);
            model.now += ms;
        }
    }
    Ok(())
}

fn check_get(store: &Checked, model: &mut Model, key: u8) -> Result<(), TestCaseError> {
    let now = model.now;
    let expected = model.live(key).map(|item| {
        let left = item.expires.map(|at| Duration::from_millis(at - now));
        (item.value.clone(), item.flags, item.cas, left)
    });
    let found = store.get(&name(key), |item| (item.value.to_vec(), item.flags, item.cas, item.ttl));
    prop_assert_eq!(found, expected);
    Ok(())
}

fn check_store(store: &Checked, model: &mut Model, op: &StoreOp) -> Result<(), TestCaseError> {
    let before = model.live(op.key).map(|item| item.cas);
    let found = store.store(op.mode, &name(op.key), &op.value, op.flags, op.ttl).unwrap();
    let cas = match found {
        Outcome::Stored { cas } => cas,
        _ => 0,
    };
    prop_assert_eq!(found, model.store(op, cas));
    let stored = matches!(found, Outcome::Stored { .. });
    prop_assert!(!stored || Some(cas) > before.or(Some(0)), "CAS {} after {:?}", cas, before);
    Ok(())
}

/// Arithmetic does not report the new CAS number: takes it over, having checked that it grew.
fn learn_cas(store: &Checked, model: &mut Model, key: u8) {
    if let Some(item) = model.live(key) {
        store.for_each(|k, found| {
            if k == name(key) {
                assert!(found.cas >= item.cas);
                item.cas = found.cas;
            }
        });
    }
}

/// Keys of different lengths, one a prefix of the other.
fn name(key: u8) -> Vec<u8> {
    vec![b'k'; usize::from(key) * 3]
}

fn ttl() -> impl Strategy<Value = Option<Duration>> {
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(Duration::ZERO)),
        1 => Just(Some(Duration::from_micros(1))),
        4 => (0_u64..40).prop_map(|ms| Some(Duration::from_millis(ms))),
    ]
}

fn value(length: Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => vec(any::<u8>(), length),
        2 => (0_u64..30).prop_map(|n| n.to_string().into_bytes()),
        1 => (u64::MAX - 3..=u64::MAX).prop_map(|n| n.to_string().into_bytes()),
        1 => Just(b"007".to_vec()),
    ]
}

fn store_op(keys: u8, length: Range<usize>) -> impl Strategy<Value = StoreOp> {
    let mode = prop_oneof![
        4 => Just(Mode::Set),
        1 => Just(Mode::Add),
        1 => Just(Mode::Replace),
        1 => Just(Mode::Append),
        1 => Just(Mode::Prepend),
        1 => (0_u64..20).prop_map(Mode::Cas),
    ];
    (mode, 0..keys, value(length), any::<u32>(), ttl())
        .prop_map(|(mode, key, value, flags, ttl)| StoreOp { mode, key, value, flags, ttl })
}

fn op(keys: u8, length: Range<usize>) -> impl Strategy<Value = Op> {
    let key = move || 0..keys;
    prop_oneof![
        8 => key().prop_map(Op::Get),
        8 => store_op(keys, length.clone()).prop_map(Op::Store),
        2 => (key(), value(length)).prop_map(|(key, value)| Op::CasCurrent(key, value)),
        2 => key().prop_map(Op::Delete),
        2 => (key(), ttl()).prop_map(|(key, ttl)| Op::Touch(key, ttl)),
        2 => (key(), 0_u64..5).prop_map(|(key, delta)| Op::Incr(key, delta)),
        2 => (key(), any::<u64>()).prop_map(|(key, delta)| Op::Incr(key, delta)),
        2 => (key(), 0_u64..5).prop_map(|(key, delta)| Op::Decr(key, delta)),
        1 => Just(Op::Flush),
        3 => (0_u64..30).prop_map(Op::Advance),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_roomy_store_is_a_map(ops in vec(op(12, 0..60), 1..120)) {
        compare(1024 * 1024, false, &ops)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_exhausted_store_forgets_but_never_lies(ops in vec(op(12, 0..7_000), 10..150)) {
        let ops: Vec<Op> = ops.into_iter().filter(|op| !grows(op)).collect();
        compare(0, true, &ops)?;
    }
}

/// Whether an operation could make an item larger than the tiny store allows.
fn grows(op: &Op) -> bool {
    matches!(op, Op::Store(StoreOp { mode: Mode::Append | Mode::Prepend, value, .. }) if value.len() > 20)
}
