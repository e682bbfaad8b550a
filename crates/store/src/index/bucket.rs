//! A cache line of seven slots and a control word.
//!
//! Who may write what:
//!
//! - The control word belongs to whoever has set its LOCK bit: that thread alone writes the word
//!   until it stores it without LOCK. It locks the *home*, not the seven slots beside it: every item
//!   whose home this bucket is, wherever it lies.
//! - A slot that holds an item belongs to the lock of that item's home. Only frequency and flags may
//!   be changed by anyone, by an exchange of the whole word.
//! - An empty slot belongs to whoever first exchanges it for an item.
//!
//! Slots are read with acquire and written with release, so a reader of a slot sees the bytes of its
//! item; and a reader of a cleared slot sees what the clearing thread wrote to a control word before.

use super::slot::Slot;
use crate::sync::{AtomicU64, Ordering, yield_now};

/// Slots in a bucket.
pub(crate) const SLOTS: usize = 7;

/// How far apart the bits of a mask are.
const LANE_BITS: u32 = 2;

/// How often a taken lock is looked at before the thread lets others run.
const SPINS: u32 = 64;

/// One line of the table. All zero is an empty bucket.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Bucket {
    control: AtomicU64,
    slots: [AtomicU64; SLOTS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// The slots of a bucket whose tags matched when they were looked at.
pub(super) struct Matches<'a> {
    bucket: &'a Bucket,
    tag: u16,
    mask: u32,
}

impl Iterator for Matches<'_> {
    type Item = (usize, Slot);

    #[inline]
    fn next(&mut self) -> Option<(usize, Slot)> {
        while self.mask != 0 {
            let index = (self.mask.trailing_zeros() / LANE_BITS) as usize;
            self.mask &= self.mask - 1;
            // Read anew, which is cheaper than keeping all seven; an empty slot matches the tag 0.
            let slot = Slot::from_word(self.bucket.slots[index].load(Ordering::Acquire));
            if slot.tag() == self.tag && !slot.is_empty() {
                return Some((index, slot));
            }
        }
        None
    }
}

impl Bucket {
    /// The slots with this tag. Reads all seven without a branch: where a key lies in its bucket
    /// cannot be predicted.
    #[inline]
    pub(super) fn matches(&self, tag: u16) -> Matches<'_> {
        Matches { bucket: self, tag, mask: self.mask(tag) }
    }

    /// A bit for each slot with this tag, [`LANE_BITS`] apart.
    #[cfg(not(all(
        target_arch = "x86_64",
        not(any(miri, feature = "shuttle", feature = "lines"))
    )))]
    #[inline]
    fn mask(&self, tag: u16) -> u32 {
        let mut mask = 0;
        for (index, slot) in (0_u32..).zip(&self.slots) {
            let word = slot.load(Ordering::Acquire);
            mask |= u32::from(Slot::from_word(word).tag() == tag) << (index * LANE_BITS);
        }
        mask
    }

    /// The same, all seven and the control word at a time: a third of the instructions.
    ///
    /// In assembly, because others write the words meanwhile: what the compiler knows of them is that
    /// each is read once, as by an atomic load. Every x86-64 has these instructions, and no load of
    /// theirs is reordered with another.
    #[cfg(all(target_arch = "x86_64", not(any(miri, feature = "shuttle", feature = "lines"))))]
    #[inline]
    #[allow(unsafe_code, reason = "vectors of atomics")]
    fn mask(&self, tag: u16) -> u32 {
        let mask: u32;
        // SAFETY: reads the 64 bytes of the bucket, which is aligned to as many, and writes nothing.
        unsafe {
            std::arch::asm!(
                // The upper halves of two words and two words ...
                "movdqa {low}, [{bucket}]",
                "movdqa {high}, [{bucket} + 32]",
                "shufps {low}, [{bucket} + 16], 0xdd",
                "shufps {high}, [{bucket} + 48], 0xdd",
                // ... of these the upper halves, which are the tags, as eight numbers ...
                "psrad {low}, 16",
                "psrad {high}, 16",
                "packssdw {low}, {high}",
                // ... each compared with the one sought.
                "movd {sought}, {tag:e}",
                "pshuflw {sought}, {sought}, 0",
                "punpcklqdq {sought}, {sought}",
                "pcmpeqw {low}, {sought}",
                "pmovmskb {mask:e}, {low}",
                bucket = in(reg) self,
                tag = in(reg) u32::from(tag),
                low = out(xmm_reg) _,
                high = out(xmm_reg) _,
                sought = out(xmm_reg) _,
                mask = lateout(reg) mask,
                options(nostack, readonly, preserves_flags),
            );
        }
        // Two bits a number, and the first is of the control word.
        mask >> 2 & 0b01_0101_0101_0101
    }

    /// All slots that hold items.
    pub(super) fn occupied(&self) -> impl Iterator<Item = (usize, Slot)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let slot = Slot::from_word(slot.load(Ordering::Acquire));
            (!slot.is_empty()).then_some((index, slot))
        })
    }

    /// The word of a slot.
    #[inline]
    pub(super) fn slot(&self, index: usize) -> &AtomicU64 {
        &self.slots[index]
    }

    /// Puts `slot` where no item is; says where, or that there is no such place.
    pub(super) fn claim(&self, slot: Slot) -> Option<&AtomicU64> {
        self.slots.iter().find(|at| {
            at.load(Ordering::Relaxed) == 0
                && at.compare_exchange(0, slot.word(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })
    }

    /// The control word as it is now. After an acquiring look at slots it is at least as new as they
    /// were.
    #[inline]
    pub(super) fn control(&self) -> Control {
        Control(self.control.load(Ordering::Acquire))
    }

    /// Takes the lock and returns what the control word was; `None` if the home has moved to another
    /// table.
    pub(super) fn lock(&self) -> Option<Control> {
        let mut spins = 0;
        loop {
            let control = self.control();
            // A home that is just moving is locked until its old slots are cleared.
            if !control.locked() {
                if control.moved() {
                    return None;
                }
                if self.try_lock(control) {
                    return Some(control);
                }
            }
            spins += 1;
            if spins % SPINS == 0 || cfg!(feature = "shuttle") {
                yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
    }

    fn try_lock(&self, control: Control) -> bool {
        let locked = control.0 | LOCK;
        self.control
            .compare_exchange(control.0, locked, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Gives the lock back. The caller has it.
    pub(super) fn unlock(&self, control: Control) {
        debug_assert!(!control.locked());
        self.control.store(control.0, Ordering::Release);
    }

    /// Tells readers that this home has moved. The caller has the lock and keeps it.
    pub(super) fn announce_move(&self, control: Control) {
        self.control.store(control.0 | MOVED | LOCK, Ordering::Release);
    }

    /// Makes the bucket empty. Nobody may know of it yet.
    pub(super) fn clear(&self) {
        // Whoever is told of the table or of the moved homes gets to know this with it.
        self.control.store(0, Ordering::Relaxed);
        for slot in &self.slots {
            slot.store(0, Ordering::Relaxed);
        }
    }

    /// Fills the bucket with something that is none.
    #[cfg(test)]
    pub(super) fn spoil(&self, word: u64) {
        for at in self.slots.iter().chain([&self.control]) {
            at.store(word, Ordering::Relaxed);
        }
    }
}

const LOCK: u64 = 1;
const MOVED: u64 = 1 << 1;
const REACH_SHIFT: u32 = 8;
const REACH: u64 = 0xff << REACH_SHIFT;
const DISPLACED_SHIFT: u32 = 16;

/// A bucket's control word, by value.
///
/// | bits | what |
/// |---|---|
/// | 0 | LOCK: somebody is changing which items have this home |
/// | 1 | MOVED: the items with this home are in the next table |
/// | 8..16 | reach: the furthest probe at which such an item may lie |
/// | 16..32 | displaced: how many such items lie in other buckets |
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Control(u64);

impl Control {
    /// The control word of a home whose items are in the next table.
    pub(super) const LEFT: Control = Control(MOVED);

    #[inline]
    pub(super) fn locked(self) -> bool {
        self.0 & LOCK != 0
    }

    /// Whether everything there is to find of this home is in its own bucket.
    #[inline]
    pub(super) fn is_plain(self) -> bool {
        self.0 & (MOVED | REACH) == 0
    }

    #[inline]
    pub(super) fn moved(self) -> bool {
        self.0 & MOVED != 0
    }

    /// The furthest probe at which an item of this home may lie: 0 is the home itself.
    #[inline]
    pub(super) fn reach(self) -> usize {
        (self.0 >> REACH_SHIFT & 0xff) as usize
    }

    /// How many items of this home lie in other buckets.
    pub(super) fn displaced(self) -> u64 {
        self.0 >> DISPLACED_SHIFT & 0xffff
    }

    /// With one item more at `probe`, which is not 0.
    pub(super) fn with_displaced(self, probe: usize) -> Control {
        let reach = self.reach().max(probe) as u64;
        Control(((self.displaced() + 1) << DISPLACED_SHIFT) | (reach << REACH_SHIFT))
    }

    /// With one displaced item less.
    pub(super) fn without_displaced(self) -> Control {
        debug_assert!(self.displaced() > 0, "an item was displaced and not counted");
        match self.displaced() {
            0 | 1 => Control(0),
            _ => Control(self.0 - (1 << DISPLACED_SHIFT)),
        }
    }
}
