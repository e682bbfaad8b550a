//! Pages on the heap, epochs of threads, and items that are nothing but hashes.

use std::sync::atomic::{AtomicU64 as Plain, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

use crate::index::{Bucket, Found, Items, Load, Pages, Slot, Step, Supply, Table};

pub(super) const THREADS: usize = 8;

/// Pages given back, each with its stamp: reusable when that has passed.
type Free = Vec<(u64, u32)>;

/// Memory and epochs in one.
#[derive(Debug)]
pub(super) struct Heap {
    pages: Vec<Box<[Bucket]>>,
    free: Mutex<Free>,
    epoch: Plain,
    /// The epoch each thread is pinned in, or `u64::MAX`.
    pinned: [Plain; THREADS],
}

impl Heap {
    pub(super) fn new(pages: usize, buckets_a_page: usize) -> Heap {
        let page = || (0..buckets_a_page).map(|_| Bucket::default()).collect();
        Heap {
            pages: (0..pages).map(|_| page()).collect(),
            free: Mutex::new((0..pages as u32).rev().map(|page| (0, page)).collect()),
            epoch: Plain::new(1),
            pinned: [const { Plain::new(u64::MAX) }; THREADS],
        }
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(not(feature = "shuttle"))]
    pub(super) fn free_pages(&self) -> usize {
        self.free().len()
    }

    pub(super) fn pin(&self, thread: usize) -> Pin<'_> {
        loop {
            let epoch = self.epoch.load(SeqCst);
            self.pinned[thread].store(epoch, SeqCst);
            if self.epoch.load(SeqCst) == epoch {
                return Pin(&self.pinned[thread]);
            }
        }
    }
}

pub(super) struct Pin<'a>(&'a Plain);

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        self.0.store(u64::MAX, SeqCst);
    }
}

impl Pages for &Heap {
    fn page(&self, page: u32) -> &[Bucket] {
        &self.pages[page as usize]
    }

    fn buckets_a_page(&self) -> usize {
        self.pages[0].len()
    }

    fn pages(&self) -> usize {
        self.pages.len()
    }
}

impl Supply for &Heap {
    fn take(&self) -> Option<u32> {
        let mut free = self.free();
        let index = free.iter().rposition(|(stamp, _)| self.passed(*stamp))?;
        let (_, page) = free.remove(index);
        // Whoever still looks at it shall notice: it finds items that are none.
        self.pages[page as usize].iter().for_each(|bucket| bucket.spoil(GARBAGE));
        Some(page)
    }

    fn give_back(&self, page: u32) {
        let stamp = self.now();
        let mut free = self.free();
        assert!(!free.iter().any(|(_, other)| *other == page), "page {page} was given back twice");
        free.insert(0, (stamp, page));
    }

    fn now(&self) -> u64 {
        self.epoch.fetch_add(1, SeqCst) + 1
    }

    fn passed(&self, stamp: u64) -> bool {
        self.pinned.iter().all(|epoch| epoch.load(SeqCst) >= stamp)
    }
}

/// What is in a page before the table clears it: no such item is in any test.
const GARBAGE: u64 = 0xffff_00ff_ffff_ffff;

/// The item of a number: its location. Its hash is the number, stirred.
pub(super) fn item(number: u64) -> (u64, Slot) {
    let hash = hash_of(number);
    (hash, Slot::new(hash, number, 0))
}

/// An invertible hash, so that no two numbers collide (murmur3's finaliser).
pub(super) fn hash_of(number: u64) -> u64 {
    let mut hash = number;
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(factor);
    }
    hash ^ hash >> 33
}

/// The items above.
pub(super) struct Numbers;

impl Items for Numbers {
    fn hash_of(&self, slot: Slot) -> u64 {
        hash_of(slot.location())
    }

    fn prefetch(&self, _: Slot) {}
}

/// The table, with items that are numbers.
pub(super) type Numbered<'h> = Table<&'h Heap>;

impl<'h> Table<&'h Heap> {
    pub(super) fn of(heap: &'h Heap, buckets: usize) -> Numbered<'h> {
        Table::new(heap, &heap, buckets).expect("pages for the first table")
    }

    pub(super) fn get(&self, number: u64) -> Option<Found<'_>> {
        self.seek(hash_of(number), |slot| slot.location() == number)
    }

    /// The first item whose tag matches and that `is_it` says yes to.
    pub(super) fn seek(&self, hash: u64, mut is_it: impl FnMut(Slot) -> bool) -> Option<Found<'_>> {
        self.find(hash, |found| is_it(found.slot).then_some(found))
    }

    /// Adds an item that is not there; `false` if there is no room.
    pub(super) fn add(&self, number: u64) -> bool {
        let (hash, slot) = item(number);
        self.lock(hash).insert(slot).is_ok()
    }

    /// Removes an item; returns its slot if it was there.
    pub(super) fn take(&self, number: u64) -> Option<Slot> {
        let mut home = self.lock(hash_of(number));
        let at = home.find(|slot| slot.location() == number)?;
        Some(home.remove(at))
    }

    /// A step that loses nothing.
    pub(super) fn step(&self, heap: &Heap, items: u64, roomy: bool) -> Step {
        let load = Load { items, roomy };
        self.resize_step(&heap, load, &Numbers, |slot| panic!("no room for {slot:?}"))
    }
}
