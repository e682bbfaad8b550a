//! How much an operation does for others: as much as it stores itself takes, and a little more.
//!
//! Effort is counted in bytes of memory looked through. A record counts with its length, but no more
//! than [`LOOK`]: the rest of a large one is not touched. One that moves counts as much again, and an
//! eighth of its bytes for the copy. So a unit is about a nanosecond and a half, whatever the items are
//! like; and where nothing is kept, an operation frees at least as many bytes as its effort, which is
//! more than it takes. Memory cannot run out by that, and no operation pays for many.

/// What an operation may still do for others.
#[derive(Debug)]
pub(crate) struct Effort {
    left: usize,
    spent: usize,
    /// What it is raised to.
    raised: usize,
    /// What is left for when there is no room at all.
    last_resort: usize,
}

/// The part that does not depend on what is stored: a batch of records looked through.
const BASE: usize = 4096;

/// What each does when there is less room than there should be; where segments are small, and memory with
/// them, twice as much, which is done as quickly.
pub(super) const RAISED: usize = 5 * BASE;

/// Segments smaller than this are looked through in a moment.
pub(crate) const SMALL_SEGMENT: usize = 32 * 1024;

/// Segments of the last resort, beside twice what is stored.
const LAST_RESORT: usize = 4;

/// The most that looking at a record counts.
const LOOK: usize = 64;

/// A copy of so many bytes counts as one.
const COPY: usize = 8;

/// Choosing a segment counts as much as a few records: what is known of others is looked at for it.
const CHOICE: usize = 1024;

/// Clearing so many bytes counts as one.
const CLEAR: usize = 16;

impl Effort {
    /// Of an operation that stores so many bytes, in a store of such segments. If room is short in spite of
    /// all that was made before, it goes on until it has looked through some segments more.
    pub(crate) fn of(bytes: usize, segment_bytes: usize) -> Effort {
        let raised = if segment_bytes < SMALL_SEGMENT { 2 * RAISED } else { RAISED };
        let last_resort = 2 * bytes + LAST_RESORT * segment_bytes;
        Effort { left: BASE + bytes, spent: 0, raised, last_resort }
    }

    /// Of a piece of work that no operation waits for.
    pub(crate) fn piece() -> Effort {
        Effort { left: BASE, spent: 0, raised: 0, last_resort: 0 }
    }

    /// Makes it as much as that of an operation that stores much.
    pub(crate) fn raise(&mut self) {
        self.left = self.left.max(self.raised.saturating_sub(self.spent));
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.left == 0
    }

    /// Takes the next part of the last resort; whether there was any.
    pub(crate) fn resort(&mut self) -> bool {
        let part = self.last_resort.min(BASE);
        self.last_resort -= part;
        self.left += part;
        part > 0
    }

    /// How many records it is enough for, at least one.
    pub(crate) fn records(&self) -> usize {
        self.left / LOOK + 1
    }

    /// A record of `len` bytes was looked at.
    pub(crate) fn look(&mut self, len: usize) {
        self.spend(len.min(LOOK));
    }

    /// A record of `len` bytes was moved.
    pub(crate) fn copy(&mut self, len: usize) {
        self.spend(LOOK + len / COPY);
    }

    /// A segment was chosen.
    pub(crate) fn choose(&mut self) {
        self.spend(CHOICE);
    }

    /// So many bytes were cleared.
    pub(crate) fn clear(&mut self, bytes: usize) {
        self.spend(bytes / CLEAR);
    }

    fn spend(&mut self, units: usize) {
        self.left = self.left.saturating_sub(units);
        self.spent += units;
    }
}
