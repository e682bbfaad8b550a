//! Where items are: numbered slots, in chunks that never move.
//!
//! A slot is free or holds one entry. Freed slots are reused, the last freed first; chunks are not
//! given back. Slot 0 is never handed out, so that [`NIL`] can be 0.

use std::ops::{Index, IndexMut};

use bytes::Bytes;

/// No slot.
pub(crate) const NIL: u32 = 0;

/// Slots in a chunk.
const CHUNK: usize = 64;

/// What a chunk is charged: its slots, the allocator's overhead, and the list of chunks, which is up
/// to half empty and while it grows exists twice.
pub(crate) const CHUNK_BYTES: usize =
    CHUNK * size_of::<Entry>() + 16 + 3 * size_of::<Box<[Entry]>>();

/// An expiry that never comes.
pub(crate) const NEVER: u64 = u64::MAX;

/// One item and its places in the index and the queue.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// The key, then the value: one allocation, shared with readers that keep the value.
    pub(crate) data: Bytes,
    pub(crate) hash: u64,
    /// Unix milliseconds from which the item is expired, or [`NEVER`].
    pub(crate) expires: u64,
    /// 0 in a free slot only.
    pub(crate) cas: u64,
    pub(crate) flags: u32,
    pub(crate) key_bytes: u32,
    /// The next entry of the same bucket; of a free slot, the next free slot.
    pub(crate) chain: u32,
    /// The neighbour that was stored later.
    pub(crate) newer: u32,
    /// The neighbour that was stored earlier.
    pub(crate) older: u32,
    /// Read since the eviction hand last passed.
    pub(crate) visited: bool,
    /// Read at least once.
    pub(crate) read: bool,
}

impl Entry {
    pub(crate) fn key(&self) -> &[u8] {
        &self.data[..self.key_bytes as usize]
    }

    pub(crate) fn value(&self) -> &[u8] {
        &self.data[self.key_bytes as usize..]
    }

    /// What its key and value are charged.
    pub(crate) fn data_bytes(&self) -> usize {
        allocation_bytes(self.data.len())
    }
}

/// What a small allocation takes: the counter of a value that readers have kept.
const SHARED_BYTES: usize = 32;

/// What an item's data of `bytes` takes from a usual allocator: eight bytes of overhead, sizes in
/// steps of sixteen, thirty-two at least; and once more for the counter of its readers.
pub(crate) fn allocation_bytes(bytes: usize) -> usize {
    bytes.saturating_add(8).next_multiple_of(16).max(32).saturating_add(SHARED_BYTES)
}

/// The slots of a shard.
#[derive(Debug)]
pub(crate) struct Slab {
    chunks: Vec<Box<[Entry]>>,
    free: u32,
}

impl Slab {
    pub(crate) fn new() -> Slab {
        Slab { chunks: Vec::new(), free: NIL }
    }

    /// Whether the next [`take`](Slab::take) needs a new chunk first.
    pub(crate) fn is_full(&self) -> bool {
        self.free == NIL
    }

    /// Adds a chunk of free slots.
    pub(crate) fn grow(&mut self) {
        let first = self.chunks.len() * CHUNK;
        self.chunks.push(std::iter::repeat_with(Entry::default).take(CHUNK).collect());
        for slot in (first..first + CHUNK).rev() {
            // Beyond 2^32 slots (256 GiB of entries in one shard) there are no more to hand out.
            let Ok(slot) = u32::try_from(slot) else {
                continue;
            };
            if slot != NIL {
                self.release(slot);
            }
        }
    }

    /// Takes a free slot, if there is one.
    pub(crate) fn take(&mut self, entry: Entry) -> Option<u32> {
        let slot = self.free;
        if slot == NIL {
            return None;
        }
        self.free = self[slot].chain;
        self[slot] = entry;
        Some(slot)
    }

    /// Frees a slot and what it held.
    pub(crate) fn release(&mut self, slot: u32) {
        self[slot] = Entry { chain: self.free, ..Entry::default() };
        self.free = slot;
    }

    /// What all chunks are charged.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK_BYTES
    }

    /// Slots that could ever be handed out.
    pub(crate) fn slots(&self) -> usize {
        (self.chunks.len() * CHUNK).saturating_sub(1)
    }

    /// Counts the free slots; fails if their list is no list.
    pub(crate) fn count_free(&self) -> Result<usize, String> {
        let (mut count, mut slot) = (0, self.free);
        while slot != NIL {
            count += 1;
            if self[slot].cas != 0 || count > self.slots() {
                return Err(format!("slot {slot} is in the free list wrongly"));
            }
            slot = self[slot].chain;
        }
        Ok(count)
    }
}

impl Index<u32> for Slab {
    type Output = Entry;

    fn index(&self, slot: u32) -> &Entry {
        &self.chunks[slot as usize / CHUNK][slot as usize % CHUNK]
    }
}

impl IndexMut<u32> for Slab {
    fn index_mut(&mut self, slot: u32) -> &mut Entry {
        &mut self.chunks[slot as usize / CHUNK][slot as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_reused_before_the_slab_grows() {
        let mut slab = Slab::new();
        assert!(slab.is_full() && slab.take(Entry::default()).is_none());
        slab.grow();
        let taken: Vec<u32> =
            std::iter::from_fn(|| slab.take(Entry { cas: 1, ..Entry::default() })).collect();
        assert_eq!(taken, (1..u32::try_from(CHUNK).unwrap()).collect::<Vec<_>>());
        slab.release(7);
        slab.release(9);
        assert_eq!(slab.count_free(), Ok(2));
        assert_eq!(slab.take(Entry::default()), Some(9));
        assert_eq!(slab.take(Entry::default()), Some(7));
        assert!(slab.is_full());
        slab.grow();
        assert_eq!(slab.count_free(), Ok(CHUNK));
    }

    #[test]
    fn an_entry_stays_small() {
        assert!(size_of::<Entry>() <= 80);
    }
}
