//! Many schedules of few threads, tried by shuttle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use shuttle::thread;

use super::support::{Heap, Numbered, Numbers, hash_of, item};
use crate::index::{Slot, Step};

/// Leaks a heap: shuttle's threads want what lives for ever, and so do tables.
fn heap(pages: usize) -> &'static Heap {
    Box::leak(Box::new(Heap::new(pages, 128)))
}

/// Runs a test in random schedules, and in ones with few switches at bad places.
fn explore(test: fn()) {
    let most = if cfg!(debug_assertions) { 30 } else { 300 };
    let runs = std::env::var("SHUTTLE_RUNS").map_or(most, |runs| runs.parse().expect("a number"));
    shuttle::check_random(test, runs);
    shuttle::check_pct(test, runs, 3);
}

/// Numbers whose home in a table of 128 buckets is below 8: they move early, and fill their homes to
/// overflowing, so that some are displaced.
fn early_numbers() -> impl Iterator<Item = u64> {
    (1..).filter(|number| hash_of(*number) >> 60 == 0)
}

/// Steps until the move is done, or nothing can be done.
fn resize(table: &Numbered<'_>, heap: &Heap, items: u64, roomy: bool) {
    for _ in 0..200 {
        let step = {
            let _pin = heap.pin(0);
            table.step(heap, items, roomy)
        };
        match step {
            Step::Finished | Step::Idle => return,
            Step::Moved | Step::Busy => (),
            Step::Waiting | Step::NeedsPage => thread::yield_now(),
        }
    }
}

#[test]
fn a_reader_that_races_a_move_finds_what_is_there() {
    explore(|| {
        let heap = heap(4);
        let table = Arc::new(Numbered::of(heap, 1));
        let numbers: Vec<u64> = early_numbers().take(60).collect();
        numbers.iter().for_each(|number| assert!(table.add(*number)));
        let done = Arc::new(AtomicBool::new(false));
        let readers = [1, 2].map(|thread| {
            let (table, numbers, done) = (table.clone(), numbers.clone(), done.clone());
            thread::spawn(move || {
                while !done.load(SeqCst) {
                    for number in &numbers {
                        let _pin = heap.pin(thread);
                        let found = table.get(*number).expect("it is there");
                        assert_eq!(found.slot.location(), *number);
                    }
                    // A schedule need not be fair to those who resize.
                    thread::yield_now();
                }
            })
        });
        resize(&table, heap, 800, false);
        done.store(true, SeqCst);
        for reader in readers {
            reader.join().unwrap();
        }
        assert_eq!(table.validate(&Numbers), Ok(60));
        assert_eq!(table.buckets(), 256);
    });
}

#[test]
fn what_a_reader_sets_during_a_move_is_not_lost() {
    explore(|| {
        let heap = heap(4);
        let table = Arc::new(Numbered::of(heap, 1));
        let numbers: Vec<u64> =
            (1..).filter(|number| hash_of(*number) >> 59 == 1).take(6).collect();
        numbers.iter().for_each(|number| assert!(table.add(*number)));
        // The first step makes room and moves the homes before theirs: the next is short.
        assert_eq!(table.step(heap, 800, false), Step::Moved);
        let reader = {
            let (table, numbers) = (table.clone(), numbers.clone());
            thread::spawn(move || {
                let mut known = Vec::new();
                for number in numbers {
                    let _pin = heap.pin(1);
                    let found = table.get(number).expect("it is there");
                    if found.set(found.slot.with(Slot::CAS_KNOWN).with_freq(2)) {
                        known.push(number);
                    }
                }
                known
            })
        };
        assert_eq!(table.step(heap, 800, false), Step::Moved);
        for number in reader.join().unwrap() {
            let slot = table.get(number).unwrap().slot;
            assert!(slot.has(Slot::CAS_KNOWN) && slot.freq() == 2, "{slot:?}");
        }
    });
}

#[test]
fn what_is_removed_while_its_home_moves_is_gone() {
    explore(|| {
        let heap = heap(4);
        let table = Arc::new(Numbered::of(heap, 1));
        let numbers: Vec<u64> =
            (1..).filter(|number| hash_of(*number) >> 59 == 1).take(6).collect();
        numbers.iter().for_each(|number| assert!(table.add(*number)));
        // As above, the next step is short.
        assert_eq!(table.step(heap, 800, false), Step::Moved);
        let remover = {
            let (table, numbers) = (table.clone(), numbers.clone());
            thread::spawn(move || {
                for number in numbers {
                    let _pin = heap.pin(1);
                    let found = table.get(number).expect("it is there");
                    found.set(found.slot.with(Slot::CAS_KNOWN));
                    assert!(table.take(number).is_some());
                    assert!(table.get(number).is_none(), "{number} is back");
                }
            })
        };
        assert_eq!(table.step(heap, 800, false), Step::Moved);
        remover.join().unwrap();
        assert_eq!(table.validate(&Numbers), Ok(0));
    });
}

#[test]
fn writers_that_race_a_move_lose_nothing() {
    explore(|| {
        let heap = heap(4);
        let table = Arc::new(Numbered::of(heap, 1));
        let numbers: Vec<u64> = early_numbers().take(40).collect();
        let (there, later) = numbers.split_at(20);
        there.iter().for_each(|number| assert!(table.add(*number)));
        let adder = {
            let (table, later) = (table.clone(), later.to_vec());
            thread::spawn(move || {
                for number in later {
                    let _pin = heap.pin(1);
                    assert!(table.add(number));
                    assert!(table.get(number).is_some());
                }
            })
        };
        let remover = {
            let (table, there) = (table.clone(), there.to_vec());
            thread::spawn(move || {
                for number in there {
                    let _pin = heap.pin(2);
                    assert_eq!(table.take(number), Some(item(number).1));
                    assert!(table.get(number).is_none());
                }
            })
        };
        resize(&table, heap, 800, false);
        adder.join().unwrap();
        remover.join().unwrap();
        assert_eq!(table.validate(&Numbers), Ok(20));
        assert!(later.iter().all(|number| table.get(*number).is_some()));
        assert!(there.iter().all(|number| table.get(*number).is_none()));
    });
}

#[test]
fn readers_of_one_move_are_waited_for_before_the_next() {
    explore(|| {
        let heap = heap(4);
        let table = Arc::new(Numbered::of(heap, 1));
        let numbers: Vec<u64> = early_numbers().take(5).collect();
        numbers.iter().for_each(|number| assert!(table.add(*number)));
        let reader = {
            let (table, numbers) = (table.clone(), numbers.clone());
            thread::spawn(move || {
                for number in numbers.iter().cycle().take(100) {
                    let _pin = heap.pin(1);
                    assert!(table.get(*number).is_some());
                }
            })
        };
        for (items, roomy) in [(800, false), (5, false), (800, false)] {
            resize(&table, heap, items, roomy);
        }
        reader.join().unwrap();
        assert_eq!(table.validate(&Numbers), Ok(5));
    });
}

#[test]
fn two_writers_that_want_the_last_free_slot_get_one_each_or_are_told() {
    explore(|| {
        let heap = heap(1);
        let table = Arc::new(Numbered::of(heap, 1));
        let room = 128 * 7;
        (1..=room).for_each(|number| assert!(table.add(number)));
        // The free slot is in the home of the one writer, and at the other's first probe.
        let home = |number: u64| hash_of(number) >> 57;
        let in_home = |number: &u64| {
            let bucket = table.home(hash_of(*number)).bucket(0);
            bucket.occupied().any(|(_, slot)| slot.location() == *number)
        };
        let last = (1..=room).find(in_home).unwrap();
        assert!(table.take(last).is_some());
        let of_home = |sought: u64| (room + 1..).find(|number| home(*number) == sought).unwrap();
        let writers = [of_home(home(last)), of_home(home(last) ^ 1)].map(|number| {
            let table = table.clone();
            thread::spawn(move || {
                let added = table.add(number);
                assert_eq!(table.get(number).is_some(), added);
                added
            })
        });
        let added = writers.map(|writer| writer.join().unwrap());
        assert_eq!(added.iter().filter(|added| **added).count(), 1);
        assert_eq!(table.validate(&Numbers), Ok(room));
    });
}

#[test]
fn a_replacement_gets_what_readers_have_set() {
    explore(|| {
        let heap = heap(1);
        let table = Arc::new(Numbered::of(heap, 1));
        assert!(table.add(1));
        let readers = [Slot::FETCHED, Slot::CAS_KNOWN].map(|flag| {
            let table = table.clone();
            thread::spawn(move || {
                let found = table.seek(hash_of(1), |_| true).expect("it is there");
                found.set(found.slot.with(flag)).then_some((found.slot.location(), flag))
            })
        });
        let mut home = table.lock(hash_of(1));
        let at = home.find(|_| true).unwrap();
        let last = home.update(at, |_| at.slot.with_location(2));
        drop(home);
        let now = |table: &Numbered<'_>| table.seek(hash_of(1), |_| true).unwrap().slot;
        for set in readers.map(|reader| reader.join().unwrap()).into_iter().flatten() {
            match set {
                (1, flag) => assert!(last.has(flag), "{last:?} lost what a reader has set"),
                (_, flag) => assert!(now(&table).has(flag)),
            }
        }
        assert_eq!(now(&table).location(), 2);
    });
}
