//! One thread.

use std::collections::HashSet;

use super::support::{Heap, Numbered, Numbers, hash_of, item};
use crate::index::bucket::SLOTS;
use crate::index::{Full, Load, PROBES, Slot, Step};

/// Fills the table up to `items` by number from 1 on.
fn filled(table: &Numbered<'_>, items: u64) {
    for number in 1..=items {
        assert!(table.add(number), "no room for {number}");
    }
}

/// Steps until nothing is to be done.
fn resize(table: &Numbered<'_>, heap: &Heap, items: u64, roomy: bool) -> u32 {
    let mut steps = 0;
    while table.step(heap, items, roomy) != Step::Idle {
        steps += 1;
        assert!(steps < 1_000_000, "it never ends");
    }
    steps
}

fn assert_holds(table: &Numbered<'_>, items: u64) {
    assert_eq!(table.validate(&Numbers), Ok(items));
    for number in 1..=items {
        assert!(table.get(number).is_some(), "{number} is missing");
    }
    for number in items + 1..2 * items {
        assert!(table.get(number).is_none(), "{number} is not there");
    }
}

#[test]
fn a_slot_keeps_its_parts_apart() {
    let last = (1 << 40) - 1;
    let slot = Slot::new(0xabcd_ef01, last, 3);
    assert_eq!((slot.tag(), slot.location(), slot.freq()), (0xef01, last, 3));
    assert_eq!(Slot::tag_of(0xabcd_ef01), slot.tag());
    let flags = [Slot::FETCHED, Slot::CAS_KNOWN, Slot::STALE, Slot::WON];
    for flag in flags {
        let with = slot.with(flag);
        assert!(with.has(flag) && !slot.has(flag));
        assert!(flags.iter().all(|other| *other == flag || !with.has(*other)));
        assert!(with.is_same_item(slot.with_freq(1)));
    }
    let other = slot.with_location(7).with_freq(1);
    assert_eq!((other.tag(), other.location(), other.freq()), (0xef01, 7, 1));
    assert!(!other.is_same_item(slot));
    assert_eq!(other.merged(slot.with(Slot::WON)), other.with(Slot::WON).with_freq(3));
    assert!(Slot::EMPTY.is_empty() && !slot.is_empty());
}

#[test]
fn what_is_put_in_is_found_and_what_is_removed_is_not() {
    let heap = Heap::new(1, 128);
    let table = Numbered::of(&heap, 1);
    filled(&table, 700);
    assert_holds(&table, 700);
    for number in (1..=700).step_by(2) {
        assert_eq!(table.take(number), Some(item(number).1));
        assert!(table.take(number).is_none());
    }
    assert_eq!(table.validate(&Numbers), Ok(350));
    for number in 1..=700 {
        assert_eq!(table.get(number).is_some(), number % 2 == 0, "{number}");
    }
}

#[test]
fn an_item_whose_tag_is_zero_is_not_an_empty_slot() {
    let heap = Heap::new(1, 128);
    let table = Numbered::of(&heap, 1);
    let number = (1..).find(|number| Slot::tag_of(hash_of(*number)) == 0).unwrap();
    assert!(table.seek(hash_of(number), |slot| panic!("asked of {slot:?}")).is_none());
    assert!(table.add(number));
    assert_eq!(table.get(number).map(|found| found.slot), Some(item(number).1));
}

#[test]
fn one_home_may_fill_its_whole_group_and_no_more() {
    let heap = Heap::new(1, 256);
    let table = Numbered::of(&heap, 1);
    // The same home and tag for all: only the location tells them apart.
    let hash = 70 << 57 | 5;
    let room = (PROBES * SLOTS) as u64;
    for location in 1..=room {
        assert_eq!(table.lock(hash).insert(Slot::new(hash, location, 0)), Ok(()));
    }
    assert_eq!(table.lock(hash).insert(Slot::new(hash, room + 1, 0)), Err(Full));
    for location in 1..=room {
        assert!(table.seek(hash, |slot| slot.location() == location).is_some());
    }
    assert_eq!(table.lock(0).insert(Slot::new(0, room + 1, 0)), Ok(()), "the other group");
    for location in 1..=room {
        let mut home = table.lock(hash);
        let at = home.find(|slot| slot.location() == location).unwrap();
        home.remove(at);
    }
    assert_eq!(table.validate(&Zero), Ok(1), "reach and displaced are back at 0");
}

struct Zero;

impl crate::index::Items for Zero {
    fn hash_of(&self, _: Slot) -> u64 {
        0
    }

    fn prefetch(&self, _: Slot) {}
}

#[test]
fn changes_hand_back_what_readers_have_set() {
    let heap = Heap::new(1, 128);
    let table = Numbered::of(&heap, 1);
    let (hash, slot) = item(1);
    assert!(table.add(1));
    let found = table.get(1).unwrap();
    let mut home = table.lock(hash);
    let at = home.find(|_| true).unwrap();
    assert!(found.set(slot.with(Slot::FETCHED).with_freq(2)));
    assert!(!found.set(slot.with_freq(1)), "it is not what was read any more");
    let last = home.update(at, |slot| slot.with(Slot::STALE));
    assert_eq!(last, slot.with(Slot::FETCHED).with_freq(2));
    assert_eq!(home.update(at, |_| slot.with_location(9)), last.with(Slot::STALE));
    drop(home);
    assert!(table.get(1).is_none());
    assert!(table.seek(hash, |slot| slot.location() == 9).is_some());
}

#[test]
fn the_candidate_is_most_likely_the_item_sought() {
    let heap = Heap::new(1, 128);
    let table = Numbered::of(&heap, 1);
    filled(&table, 400);
    let in_home = (1..=400).filter(|number| {
        table.prefetch(hash_of(*number));
        let candidate = table.home(hash_of(*number)).candidate(hash_of(*number));
        candidate.is_some_and(|found| found.slot.location() == *number)
    });
    assert!(in_home.count() > 380);
}

#[test]
fn a_table_grows_and_shrinks_and_gives_its_pages_back() {
    let heap = Heap::new(100, 128);
    let table = Numbered::of(&heap, 1);
    let mut items = 0;
    for number in 1..=20_000 {
        assert!(table.add(number), "no room for {number}");
        items += 1;
        table.step(&heap, items, number % 3 == 0);
        if number % 1000 == 0 {
            assert_eq!(table.validate(&Numbers), Ok(items));
        }
    }
    resize(&table, &heap, items, false);
    assert_holds(&table, items);
    let pages = table.bytes() / (64 * 128);
    assert_eq!(heap.free_pages() + pages, 100);
    assert_eq!(pages, table.buckets() as usize / 128);
    let load = items * 100 / (u64::from(table.buckets()) * 7);
    assert!((60..=83).contains(&load), "load {load} %");

    for number in (101..=items).rev() {
        assert!(table.take(number).is_some());
        assert_eq!(table.step(&heap, number - 1, true), Step::Idle, "there is room");
    }
    resize(&table, &heap, 100, false);
    assert_holds(&table, 100);
    assert_eq!(table.buckets(), 128);
    assert_eq!(heap.free_pages(), 99);
}

#[test]
fn flags_move_along() {
    let heap = Heap::new(10, 128);
    let table = Numbered::of(&heap, 1);
    filled(&table, 760);
    for number in 1..=760 {
        let found = table.get(number).unwrap();
        assert!(found.set(found.slot.with(Slot::CAS_KNOWN).with_freq((number % 4) as u8)));
    }
    assert!(resize(&table, &heap, 760, true) > 1);
    for number in 1..=760 {
        let slot = table.get(number).unwrap().slot;
        assert!(slot.has(Slot::CAS_KNOWN));
        assert_eq!(u64::from(slot.freq()), number % 4);
    }
}

#[test]
fn a_move_waits_for_pages_and_for_readers_of_the_last_one() {
    let heap = Heap::new(5, 128);
    let table = Numbered::of(&heap, 2 * 128);
    filled(&table, 1400);
    let taken: Vec<u32> = std::iter::from_fn(|| crate::index::Supply::take(&&heap)).collect();
    assert_eq!(table.step(&heap, 1600, false), Step::NeedsPage);
    assert_eq!(table.step(&heap, 1600, false), Step::NeedsPage);
    assert!(table.add(1401));
    assert_holds(&table, 1401);
    let pin = heap.pin(0);
    for page in taken {
        crate::index::Supply::give_back(&&heap, page);
    }
    assert_eq!(table.step(&heap, 1600, false), Step::NeedsPage, "they are not free yet");
    drop(pin);
    let pin = heap.pin(0);
    while table.step(&heap, 1600, false) != Step::Finished {}
    assert_eq!(table.step(&heap, 10, false), Step::Waiting);
    drop(pin);
    assert_eq!(table.step(&heap, 1600, false), Step::Idle);
    assert_holds(&table, 1401);
}

#[test]
fn what_finds_no_room_in_a_smaller_table_is_lost_and_told() {
    let heap = Heap::new(10, 128);
    let table = Numbered::of(&heap, 3 * 128);
    filled(&table, 2000);
    // It is told of fewer items than there are.
    let load = Load { items: 100, roomy: false };
    let mut lost = HashSet::new();
    let keep = |slot: Slot, lost: &mut HashSet<u64>| assert!(lost.insert(slot.location()));
    while table.resize_step(&&heap, load, &Numbers, |slot| keep(slot, &mut lost)) != Step::Idle {}
    assert_eq!(table.buckets(), 128);
    assert_eq!(table.validate(&Numbers), Ok(128 * 7));
    assert_eq!(lost.len(), 2000 - 128 * 7);
    for number in 1..=2000 {
        assert_eq!(table.get(number).is_none(), lost.contains(&number), "{number}");
    }
}

#[test]
fn a_scan_gives_each_item_once_at_any_stage_of_a_move() {
    let heap = Heap::new(40, 128);
    let table = Numbered::of(&heap, 5 * 128);
    filled(&table, 3600);
    for (items, roomy) in [(3800, true), (3600, false), (4000, false)] {
        loop {
            let mut seen = HashSet::new();
            table.for_each(|slot| assert!(seen.insert(slot.location()), "{slot:?} twice"));
            assert_eq!(seen.len(), 3600);
            if table.step(&heap, items, roomy) == Step::Idle {
                break;
            }
        }
    }
}

#[test]
fn a_scan_misses_nothing_while_the_table_moves_under_it() {
    let heap = Heap::new(40, 128);
    let table = Numbered::of(&heap, 5 * 128);
    filled(&table, 3400);
    for steps in 1..12 {
        for (items, roomy) in [(3800, true), (3400, false), (5200, true), (3400, false)] {
            let mut seen = HashSet::new();
            let mut position = Some(0);
            while let Some(from) = position {
                position = table.scan(from, |slot| {
                    seen.insert(slot.location());
                });
                for _ in 0..steps {
                    let load = Load { items, roomy };
                    let lost = |slot| panic!("no room for {slot:?}");
                    table.resize_step(&&heap, load, &Numbers, lost);
                }
            }
            assert!(seen.len() as u64 == 3400, "{} of 3400", seen.len());
        }
    }
}
