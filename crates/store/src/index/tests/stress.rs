//! Several threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::support::{Heap, Numbered, Numbers, hash_of};
use crate::index::{Load, Slot};

/// Numbers that are always there; the writers have others.
const KEPT: u64 = 2000;
/// Numbers of a writer.
const OWN: u64 = 20_000;
/// Where a relocated item's number is kept: above any number.
const RELOCATED: u64 = 1 << 30;

const TIME: Duration = Duration::from_millis(if cfg!(miri) { 200 } else { 1500 });
/// Only what hangs takes so long.
const FOREVER: Duration = Duration::from_secs(60);
/// So many sizes the table has at least; on a busy machine that takes longer.
const SIZES: usize = if cfg!(miri) { 0 } else { 6 };

struct Run<'a> {
    heap: &'a Heap,
    table: &'a Numbered<'a>,
    items: AtomicU64,
    lost: AtomicU64,
    /// Which of the kept ones found no room in a smaller table.
    gone: Vec<AtomicBool>,
    stop: AtomicBool,
}

/// A cheap random sequence.
fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
    *random >> 33
}

impl Run<'_> {
    /// Reads what must be there, and sets bits as a reader does.
    fn read(&self, thread: usize) -> u64 {
        let mut random = thread as u64;
        let mut reads = 0;
        while !self.stop.load(Relaxed) {
            let _pin = self.heap.pin(thread);
            for _ in 0..16 {
                let number = 1 + next(&mut random) % KEPT;
                let is_it = |slot: Slot| slot.location() % RELOCATED == number;
                let Some(found) = self.table.seek(hash_of(number), is_it) else {
                    self.must_be_gone(number);
                    continue;
                };
                if number.is_multiple_of(3) {
                    found.set(found.slot.with_freq((reads % 4) as u8));
                } else if number.is_multiple_of(7) && found.set(found.slot.with(Slot::CAS_KNOWN)) {
                    // Once set it stays: nobody clears it.
                    let again = self.table.seek(hash_of(number), is_it);
                    match again {
                        Some(found) => assert!(found.slot.has(Slot::CAS_KNOWN)),
                        None => self.must_be_gone(number),
                    }
                }
                reads += 1;
            }
        }
        reads
    }

    /// An item that was not found must have been lost for good. Readers may see that before the thread
    /// that lost it can say so.
    fn must_be_gone(&self, number: u64) {
        let start = Instant::now();
        while !self.gone[number as usize].load(Relaxed) {
            let found =
                self.table.seek(hash_of(number), |slot| slot.location() % RELOCATED == number);
            assert!(found.is_none(), "{number} was missing for a moment");
            assert!(start.elapsed() < FOREVER, "{number} is missing");
            std::thread::yield_now();
        }
    }

    /// Adds and removes its own numbers in waves, relocates kept ones, and resizes.
    fn write(&self, thread: usize) {
        let mut random = thread as u64;
        let first = KEPT + OWN * thread as u64;
        let mut there = vec![false; OWN as usize];
        let mut growing = true;
        while !self.stop.load(Relaxed) {
            let _pin = self.heap.pin(thread);
            for _ in 0..8 {
                let index = next(&mut random) % OWN;
                let number = first + index + 1;
                let was = &mut there[index as usize];
                assert!(*was || self.table.get(number).is_none());
                if !*was && growing {
                    *was = self.table.add(number);
                    self.items.fetch_add(u64::from(*was), Relaxed);
                } else if *was && !growing {
                    // It may have been lost in a move to a smaller table.
                    let taken = self.table.take(number).is_some();
                    self.items.fetch_sub(u64::from(taken), Relaxed);
                    *was = false;
                }
                self.relocate(1 + next(&mut random) % KEPT);
            }
            let share = there.iter().filter(|there| **there).count() as u64 * 100 / OWN;
            growing = if growing { share < 90 } else { share < 10 };
            self.resize(next(&mut random).is_multiple_of(2));
        }
    }

    /// Moves an item that is always there, as reclaim does.
    fn relocate(&self, number: u64) {
        let mut home = self.table.lock(hash_of(number));
        let Some(at) = home.find(|slot| slot.location() % RELOCATED == number) else { return };
        if number.is_multiple_of(2) {
            home.update(at, |slot| slot.with_location(slot.location() ^ RELOCATED));
        } else {
            home.update(at, |_| at.slot.with_location(at.slot.location() ^ RELOCATED));
        }
    }

    fn resize(&self, roomy: bool) {
        for _ in 0..8 {
            let load = Load { items: self.items.load(Relaxed), roomy };
            self.table.resize_step(&self.heap, load, &Relocated, |slot| {
                let number = slot.location() % RELOCATED;
                if number <= KEPT {
                    self.gone[number as usize].store(true, Relaxed);
                }
                self.items.fetch_sub(1, Relaxed);
                self.lost.fetch_add(1, Relaxed);
            });
        }
    }
}

struct Relocated;

impl crate::index::Items for Relocated {
    fn hash_of(&self, slot: Slot) -> u64 {
        hash_of(slot.location() % RELOCATED)
    }

    fn prefetch(&self, _: Slot) {}
}

#[test]
fn readers_miss_only_what_found_no_room_while_everything_moves() {
    let heap = Heap::new(400, 128);
    let table = Numbered::of(&heap, 1);
    let run = Run {
        heap: &heap,
        table: &table,
        items: AtomicU64::new(0),
        lost: AtomicU64::new(0),
        gone: (0..=KEPT).map(|_| AtomicBool::new(false)).collect(),
        stop: AtomicBool::new(false),
    };
    for number in 1..=KEPT {
        assert!(table.add(number));
        run.items.fetch_add(1, Relaxed);
        run.resize(false);
    }
    let mut sizes = std::collections::HashSet::new();
    let reads = std::thread::scope(|scope| {
        let run = &run;
        let writers = [0, 1].map(|thread| scope.spawn(move || run.write(thread)));
        let readers = [2, 3].map(|thread| scope.spawn(move || run.read(thread)));
        let start = Instant::now();
        while start.elapsed() < if sizes.len() < SIZES { FOREVER } else { TIME } {
            std::thread::sleep(Duration::from_millis(1));
            sizes.insert(table.buckets());
            if readers.iter().any(std::thread::ScopedJoinHandle::is_finished) {
                break;
            }
        }
        run.stop.store(true, Relaxed);
        for writer in writers {
            writer.join().expect("a writer");
        }
        readers.map(|reader| reader.join().expect("a reader")).iter().sum::<u64>()
    });
    let items = run.items.into_inner();
    assert_eq!(table.validate(&Relocated), Ok(items));
    assert!(sizes.len() >= SIZES, "it was resized: {sizes:?}");
    assert!(reads > 0);
    let lost = run.lost.into_inner();
    assert!(lost < reads, "{lost} items were lost");
    let gone = run.gone.iter().filter(|gone| gone.load(Relaxed)).count() as u64;
    assert!(gone < KEPT / 10, "{gone} of {KEPT} that were never removed are gone");
}

#[test]
fn scans_miss_nothing_while_another_thread_resizes() {
    let heap = Heap::new(60, 128);
    let table = Numbered::of(&heap, 5 * 128);
    for number in 1..=3400 {
        assert!(table.add(number));
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut wanted = [5200, 3400].into_iter().cycle();
            while !stop.load(Relaxed) {
                let items = wanted.next().expect("it is a cycle");
                for _ in 0..2000 {
                    let _pin = heap.pin(0);
                    table.step(&heap, items, items > 4000);
                }
            }
        });
        for _ in 0..if cfg!(miri) { 3 } else { 500 } {
            let mut seen = std::collections::HashSet::new();
            let mut position = Some(0);
            while let Some(from) = position {
                let _pin = heap.pin(1);
                position = table.scan(from, |slot| {
                    seen.insert(slot.location());
                });
            }
            if seen.len() != 3400 {
                stop.store(true, Relaxed);
                panic!("{} of 3400", seen.len());
            }
        }
        stop.store(true, Relaxed);
    });
    assert_eq!(table.validate(&Numbers), Ok(3400));
}
