//! Fingerprints of items that left the small queue unread: who comes back belongs in the main queue.
//!
//! A table of short FIFO queues: four fingerprints of 16 bits in one word, picked by the hash; a
//! newcomer pushes the oldest of its word out. That is a FIFO of all but for chance, and takes two
//! bytes a ghost and one cache line a look. One look in about 16,000 says yes by mistake, which costs
//! nothing but an item's trial.
//!
//! The words lie in segments of the tenant's own, so they are part of what it is charged. The number
//! of words follows the number of items; what was remembered before a change is forgotten.

use std::sync::OnceLock;

use crate::index::prefetch;
use crate::memory::arena::{Arena, SegmentId};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Fingerprints in a word.
pub(crate) const PER_WORD: usize = 4;

/// The ghosts of one tenant.
#[derive(Debug)]
pub(crate) struct Ghosts {
    /// The segments, as many as `pages` says; made with the first.
    directory: OnceLock<Box<[AtomicU32]>>,
    pages: AtomicU32,
    most: usize,
}

impl Ghosts {
    /// Room for `most` segments of ghosts; none are there yet.
    pub(crate) fn new(most: usize) -> Ghosts {
        Ghosts { directory: OnceLock::new(), pages: AtomicU32::new(0), most }
    }

    fn entry(&self, page: usize) -> &AtomicU32 {
        let make = || (0..self.most).map(|_| AtomicU32::new(0)).collect();
        &self.directory.get_or_init(make)[page]
    }

    /// Segments in use.
    pub(crate) fn pages(&self) -> u32 {
        self.pages.load(Ordering::Acquire)
    }

    /// The segments in use, to recount.
    pub(crate) fn segments(&self) -> impl Iterator<Item = SegmentId> {
        let pages = self.pages() as usize;
        (0..pages).map(|page| self.entry(page).load(Ordering::Relaxed))
    }

    /// How many segments `items` ghosts want, at most as many as there is room for.
    #[allow(clippy::cast_possible_truncation, reason = "as many as the directory has, at most")]
    pub(crate) fn wanted(&self, items: u64, segment_bytes: usize) -> u32 {
        let per_segment = (segment_bytes / 8 * PER_WORD) as u64;
        items.div_ceil(per_segment).min(self.most as u64) as u32
    }

    /// Adds a segment that is all zero. The caller holds the tenant's reclaim lock.
    pub(crate) fn grow(&self, segment: SegmentId) {
        let pages = self.pages();
        self.entry(pages as usize).store(segment, Ordering::Relaxed);
        self.pages.store(pages + 1, Ordering::Release);
    }

    /// Takes the last segment out; readers may still look into it. The caller holds the tenant's
    /// reclaim lock.
    pub(crate) fn shrink(&self) -> Option<SegmentId> {
        let last = self.pages().checked_sub(1)?;
        self.pages.store(last, Ordering::Release);
        Some(self.entry(last as usize).load(Ordering::Relaxed))
    }

    /// Whether the key with this hash left not long ago; if so it is forgotten.
    #[inline]
    pub(crate) fn take(&self, arena: &Arena, hash: u64) -> bool {
        let Some(word) = self.word(arena, hash) else { return false };
        let ghosts = word.load(Ordering::Relaxed);
        let Some(less) = without(ghosts, fingerprint(hash)) else { return false };
        // Another thread may have changed the word: then one ghost more or less is remembered.
        word.store(less, Ordering::Relaxed);
        true
    }

    /// Remembers that the key with this hash left.
    pub(crate) fn insert(&self, arena: &Arena, hash: u64) {
        if let Some(word) = self.word(arena, hash) {
            let (ghosts, new) = (word.load(Ordering::Relaxed), fingerprint(hash));
            let others = without(ghosts, new).unwrap_or(ghosts);
            word.store(others << 16 | new, Ordering::Relaxed);
        }
    }

    /// Asks for the line that [`insert`](Self::insert) writes.
    #[inline]
    pub(crate) fn prefetch(&self, arena: &Arena, hash: u64) {
        if let Some(word) = self.word(arena, hash) {
            prefetch(word);
        }
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "less than the number of words")]
    fn word<'a>(&self, arena: &'a Arena, hash: u64) -> Option<&'a AtomicU64> {
        let pages = self.pages() as usize;
        if pages == 0 {
            return None;
        }
        let per_page = arena.segment_bytes() / 8;
        let number = ((u128::from(hash) * (pages * per_page) as u128) >> 64) as usize;
        let segment = self.entry(number / per_page).load(Ordering::Relaxed);
        Some(&arena.words(segment)[number % per_page])
    }
}

/// The word without a fingerprint, if it has it; those older than it move up.
fn without(word: u64, fingerprint: u64) -> Option<u64> {
    let place = (0..PER_WORD).find(|place| (word >> (place * 16)) & 0xffff == fingerprint)?;
    let newer = (1 << (place * 16)) - 1;
    Some(word & newer | (word >> 16) & !newer)
}

/// Sixteen bits of the hash that do not say which word; never 0, which is an empty place.
fn fingerprint(hash: u64) -> u64 {
    (hash & 0xffff).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(number: u64) -> u64 {
        let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ mixed >> 32
    }

    #[test]
    fn the_latest_are_remembered_and_the_old_forgotten() {
        let arena = Arena::new(1, 13).unwrap();
        let ghosts = Ghosts::new(1);
        assert!(!ghosts.take(&arena, spread(1)), "nothing is there without memory");
        ghosts.grow(0);
        let room = 1024 * PER_WORD as u64;
        for number in 0..10 * room {
            ghosts.insert(&arena, spread(number));
        }
        let known = |numbers: std::ops::Range<u64>| {
            numbers.filter(|number| ghosts.take(&arena, spread(*number))).count() as u64
        };
        assert!(known(10 * room - room / 4..10 * room) > room / 5);
        assert!(known(0..5 * room) < room / 20);
        assert_eq!(known(10 * room - room / 4..10 * room), 0, "taken");
    }

    #[test]
    fn taking_closes_the_gap() {
        assert_eq!(without(0x4444_3333_2222_1111, 0x2222), Some(0x4444_3333_1111));
        assert_eq!(without(0x4444_3333_2222_1111, 0x4444), Some(0x3333_2222_1111));
        assert_eq!(without(0x4444_3333_2222_1111, 0x5555), None);
    }

    #[test]
    fn as_many_segments_as_the_items_want() {
        let ghosts = Ghosts::new(3);
        assert_eq!(ghosts.wanted(1, 8192), 1);
        assert_eq!(ghosts.wanted(4097, 8192), 2);
        assert_eq!(ghosts.wanted(u64::MAX, 8192), 3);
    }
}
