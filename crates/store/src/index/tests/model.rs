//! Any sequence of operations does to the table what it does to a map.

use std::collections::HashMap;

use proptest::prelude::*;

use super::support::{Heap, Numbered, Numbers, hash_of, item};
use crate::index::{Load, Slot};

#[derive(Clone, Debug)]
enum Op {
    /// Adds or removes items from this number on.
    Add(u64, u64),
    Remove(u64, u64),
    /// Puts an item with other bits in the place of one.
    Replace(u64, u8),
    /// As a reader does.
    Set(u64, u64),
    Get(u64),
    /// So many steps, for a table with more or fewer items than there are, in percent.
    Resize(u16, u64, bool),
    Scan,
}

const NUMBERS: u64 = 3000;

fn op() -> impl Strategy<Value = Op> {
    let number = 1..=NUMBERS;
    let flag = prop::sample::select(vec![Slot::FETCHED, Slot::CAS_KNOWN, Slot::STALE, Slot::WON]);
    prop_oneof![
        6 => (number.clone(), 1..400_u64).prop_map(|(first, count)| Op::Add(first, count)),
        4 => (number.clone(), 1..400_u64).prop_map(|(first, count)| Op::Remove(first, count)),
        4 => (number.clone(), 0..=3_u8).prop_map(|(number, freq)| Op::Replace(number, freq)),
        4 => (number.clone(), flag).prop_map(|(number, flag)| Op::Set(number, flag)),
        4 => number.prop_map(Op::Get),
        12 => (0..90_u16, 50..150_u64, any::<bool>())
            .prop_map(|(steps, percent, roomy)| Op::Resize(steps, percent, roomy)),
        1 => Just(Op::Scan),
    ]
}

fn run(table: &Numbered<'_>, heap: &Heap, model: &mut HashMap<u64, Slot>, op: &Op) {
    match *op {
        Op::Add(first, count) => {
            for number in first..first + count {
                let mut home = table.lock(hash_of(number));
                let at = home.find(|slot| slot.location() == number);
                assert_eq!(at.map(|at| at.slot), model.get(&number).copied());
                let slot = item(number).1;
                if at.is_none() && home.insert(slot).is_ok() {
                    model.insert(number, slot);
                }
            }
        }
        Op::Remove(first, count) => {
            for number in first..first + count {
                assert_eq!(table.take(number), model.remove(&number));
            }
        }
        Op::Replace(number, freq) => {
            let mut home = table.lock(hash_of(number));
            if let Some(at) = home.find(|slot| slot.location() == number) {
                let new = at.slot.with_freq(freq);
                assert_eq!(Some(home.update(at, |_| new)), model.insert(number, new));
            }
        }
        Op::Set(number, flag) => {
            if let Some(found) = table.get(number) {
                let new = found.slot.with(flag);
                assert!(found.set(new));
                model.insert(number, new);
            }
        }
        Op::Get(number) => {
            let found = table.get(number).map(|found| found.slot);
            assert_eq!(found, model.get(&number).copied());
        }
        Op::Resize(steps, percent, roomy) => {
            let load = Load { items: model.len() as u64 * percent / 100, roomy };
            for _ in 0..steps {
                table.resize_step(&heap, load, &Numbers, |slot| {
                    assert_eq!(model.remove(&slot.location()), Some(slot));
                });
            }
        }
        Op::Scan => {
            let mut seen = HashMap::new();
            table.for_each(|slot| assert!(seen.insert(slot.location(), slot).is_none()));
            assert_eq!(&seen, model);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_is_a_map(pages in 1..4_usize, ops in prop::collection::vec(op(), 1..60)) {
        let heap = Heap::new(24, 128);
        let table = Numbered::of(&heap, pages * 128);
        let mut model = HashMap::new();
        for op in &ops {
            run(&table, &heap, &mut model, op);
            prop_assert_eq!(table.validate(&Numbers), Ok(model.len() as u64));
        }
        for number in 1..=NUMBERS + 200 {
            run(&table, &heap, &mut model, &Op::Get(number));
        }
    }
}
