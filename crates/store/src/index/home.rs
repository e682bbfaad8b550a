//! A locked home: the only way to add, change or remove items.
//!
//! Between locking and dropping, the items with this home are as this thread leaves them, but for
//! the frequency and flag bits that readers set meanwhile; therefore each change hands back the slot
//! it took the place of, with the last of those bits.

use super::bucket::{Bucket, Control};
use super::slot::Slot;
use super::{Full, Group, PROBES};
use crate::sync::{AtomicU64, Ordering};

/// The lock of all items that share a home bucket. A thread holds one at a time: two could wait for
/// each other.
#[derive(Debug)]
pub(crate) struct Home<'a> {
    group: &'a Group,
    index: usize,
    tag: u16,
    /// What dropping stores.
    control: Control,
}

/// Where an item of the locked home lies.
#[derive(Copy, Clone, Debug)]
pub(crate) struct At {
    /// The slot as it was read.
    pub(crate) slot: Slot,
    probe: usize,
    index: usize,
}

impl<'a> Home<'a> {
    /// Locks bucket `index` of `page`; `None` if its items have moved to another table.
    pub(super) fn lock(group: &'a Group, index: usize, tag: u16) -> Option<Home<'a>> {
        let control = group[index].lock()?;
        Some(Home { group, index, tag, control })
    }

    fn bucket(&self, probe: usize) -> &'a Bucket {
        &self.group[(self.index ^ probe) % PROBES]
    }

    fn word(&self, at: At) -> &'a AtomicU64 {
        self.bucket(at.probe).slot(at.index)
    }

    /// The item that `is_it` says yes to, among those whose tag matches. It may be asked of items
    /// that have another home.
    pub(crate) fn find(&mut self, mut is_it: impl FnMut(Slot) -> bool) -> Option<At> {
        for probe in 0..=self.control.reach() {
            for (index, slot) in self.bucket(probe).matches(self.tag) {
                if is_it(slot) {
                    return Some(At { slot, probe, index });
                }
            }
        }
        None
    }

    /// Adds an item. It has this home, and its key is not there.
    pub(crate) fn insert(&mut self, slot: Slot) -> Result<(), Full> {
        debug_assert_eq!(slot.tag(), self.tag, "an item is put where it would not be found");
        self.place(slot).map(|_| ())
    }

    /// Adds an item and says where.
    pub(super) fn place(&mut self, slot: Slot) -> Result<&'a AtomicU64, Full> {
        debug_assert!(!slot.is_empty());
        for probe in 0..PROBES {
            if let Some(at) = self.bucket(probe).claim(slot) {
                if probe > 0 {
                    self.control = self.control.with_displaced(probe);
                }
                return Ok(at);
            }
        }
        Err(Full)
    }

    /// Removes an item. Returns what was there last.
    pub(crate) fn remove(&mut self, at: At) -> Slot {
        let last = Slot::from_word(self.word(at).swap(0, Ordering::AcqRel));
        debug_assert!(last.is_same_item(at.slot), "an item changed under its lock");
        if at.probe > 0 {
            self.control = self.control.without_displaced();
        }
        last
    }

    /// Changes an item's slot to what `change` makes of it; asks again when a reader came in between.
    /// Returns what was there last.
    pub(crate) fn update(&mut self, at: At, change: impl Fn(Slot) -> Slot) -> Slot {
        update(self.word(at), change)
    }

    /// Hands each item that may have this home to `f`, which says whether it has, until all
    /// displaced ones have been met.
    pub(super) fn each(&self, mut f: impl FnMut(Slot, &'a AtomicU64) -> bool) {
        let mut displaced = self.control.displaced();
        for probe in 0..=self.control.reach() {
            let bucket = self.bucket(probe);
            for (index, slot) in bucket.occupied() {
                if f(slot, bucket.slot(index)) && probe > 0 {
                    displaced -= 1;
                }
            }
            if displaced == 0 {
                break;
            }
        }
    }

    /// Tells readers that the items are in the next table, where they have been put.
    pub(super) fn announce_move(&mut self) {
        self.bucket(0).announce_move(self.control);
        self.control = Control::LEFT;
    }
}

impl Drop for Home<'_> {
    fn drop(&mut self) {
        self.bucket(0).unlock(self.control);
    }
}

/// Exchanges a word for what `change` makes of it. Returns what it was.
pub(super) fn update(word: &AtomicU64, change: impl Fn(Slot) -> Slot) -> Slot {
    let mut last = word.load(Ordering::Acquire);
    loop {
        let new = change(Slot::from_word(last)).word();
        match word.compare_exchange(last, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return Slot::from_word(last),
            Err(now) => last = now,
        }
    }
}
