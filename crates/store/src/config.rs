//! How a store is set up.

use crate::clock::Clock;
use crate::memory::record::MAX_KEY;
use crate::memory::segment::STATE_BYTES;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = MAX_KEY;

/// The smallest limit of a store, in bytes: a lower `max_bytes` means this. Tests that try many
/// schedules fill smaller ones.
pub const MIN_MAX_BYTES: usize =
    if cfg!(any(miri, feature = "shuttle")) { 64 * 1024 } else { 1024 * 1024 };

/// The largest limit of a store, in bytes: what 32 bits for the place of a chunk reach.
pub const MOST_BYTES: usize = 256 * 1024 * 1024 * 1024;

/// The largest `max_item_bytes`.
pub const MOST_ITEM_BYTES: usize = 128 * 1024 * 1024;

/// How a [`Store`](crate::Store) is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// The limit for everything the store keeps, in bytes: keys, values, per-item overhead, index,
    /// bookkeeping. From [`MIN_MAX_BYTES`] to [`MOST_BYTES`]. Memory is taken from the system as it is used.
    pub max_bytes: usize,
    /// The largest item, key and value together, in bytes. Never more than an eighth of
    /// `max_bytes`, nor than [`MOST_ITEM_BYTES`].
    pub max_item_bytes: usize,
    /// Whether all memory is taken from the system at once, rather than as it is used. Then making
    /// the store takes longer, and no later operation waits for the system to hand out a page: with
    /// huge pages that is a quarter of a millisecond for each 2 MiB.
    pub take_all: bool,
    /// Whether items are evicted to make room. If not, what finds no room is refused
    /// ([`NoRoom`](crate::StoreError::NoRoom)), and only expired, flushed and deleted items make some.
    pub evicts: bool,
    /// Where the time is read.
    pub clock: Clock,
}

impl Config {
    /// A limit of `max_bytes`, items of up to 1 MiB, memory as it is used, with eviction, the system's
    /// clock.
    #[must_use]
    pub fn new(max_bytes: usize) -> Config {
        let (take_all, evicts, clock) = (false, true, Clock::system());
        Config { max_bytes, max_item_bytes: 1024 * 1024, take_all, evicts, clock }
    }
}

/// What follows from a [`Config`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) max_bytes: usize,
    pub(crate) max_item_bytes: usize,
    pub(crate) segment_shift: u32,
    pub(crate) segments: u32,
}

impl Geometry {
    pub(crate) fn of(config: &Config) -> Geometry {
        let max_bytes = config.max_bytes.clamp(MIN_MAX_BYTES, MOST_BYTES);
        let max_item_bytes = config.max_item_bytes.min(max_bytes / 8).min(MOST_ITEM_BYTES);
        // At least 256 segments, but for the smallest: fewer cost hit ratio (see `policy`).
        let by_size: u32 = match max_bytes >> 20 {
            0..4 => 13,
            4..8 => 14,
            // Small also where many tenants share much: each has one of its own at least. Larger where many
            // cores do: who overwrites tells another's segment how much of it is dead a few times each.
            8..4096 => 15,
            _ => 16,
        };
        // The table of an item's chunks, four bytes each, has to fit beside its key.
        let table = |shift: u32| max_item_bytes / ((1 << shift) / 16 - 64) * 4;
        let mut segment_shift = by_size;
        while segment_shift < 20 && table(segment_shift) > (1 << segment_shift) / 4 {
            segment_shift += 1;
        }
        // Per segment also: an entry of each index directory, of the free list and of a queue.
        let state = STATE_BYTES + 4 * 4;
        let segments = max_bytes / ((1 << segment_shift) + state);
        let segments =
            u32::try_from(segments).expect("at most 2^38 bytes in segments of 2^13 and more");
        Geometry { max_bytes, max_item_bytes, segment_shift, segments }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(max_bytes: usize, max_item_bytes: usize) -> Geometry {
        Geometry::of(&Config { max_item_bytes, ..Config::new(max_bytes) })
    }

    #[test]
    fn small_stores_have_small_segments() {
        let small = geometry(1 << 20, 1 << 20);
        assert_eq!((small.segment_shift, small.max_item_bytes), (13, 1 << 17));
        assert!(small.segments > 120);
        assert_eq!(geometry(25 << 20, 1 << 20).segment_shift, 15);
        assert_eq!(geometry(1 << 30, 1 << 20).segment_shift, 15);
        assert_eq!(geometry(64 << 30, 1 << 20).segment_shift, 16);
    }

    #[test]
    fn the_table_of_the_largest_item_fits() {
        for (max_bytes, item) in [(1 << 20, 1 << 17), (4 << 20, 1 << 19), (2 << 30, 1 << 27)] {
            let geometry = geometry(max_bytes, item);
            let segment = 1 << geometry.segment_shift;
            assert_eq!(geometry.max_item_bytes, item);
            assert!(item / (segment / 16 - 64) * 4 + MAX_KEY_BYTES + 64 <= segment);
        }
    }
}
