//! Which items stay: S3-FIFO over log segments, with the correlation window of Clock2Q+.
//!
//! A new item is on trial in the *small* queue, an eighth of the memory. Most items of most caches are
//! used once: they leave it soon, and take no room from the rest. An item that was used again while
//! on trial moves to the *main* queue; so does one that comes back while its *ghost* is remembered.
//! In the main queue an item that was used since it was last looked at gets another round.
//!
//! Uses right after an item was stored do not count: they belong to the request that stored it (a
//! page that asks for the same fragment twice), and say nothing about tomorrow.
//!
//! Decisions are made per item; only the order is that of segments. Compared with queues of single
//! items that costs a fraction of a point of hit ratio from 128 segments on.
//!
//! The numbers were chosen in the simulator (`larder-sim`), on two real traces and the synthetic
//! ones, and checked on 24 more points of other traces: on the former 22 % of the gap between LRU and
//! the optimum is closed (S3-FIFO item by item: 20 %, Clock2Q+: 17 %, SIEVE: 6 %), on the latter 34 %
//! (28 %, 32 %, -1 %). See `docs/performance.md` for the tables and the plot.
//!
//! Sources: S3-FIFO is Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023;
//! the window is that of Clock2Q+, arXiv 2511.21958.

pub(crate) mod ghost;

use crate::index::Slot;
use crate::memory::segment::Queue;

/// The small queue's share of a tenant's segments, in percent: 12 is best over all traces; 8 gains
/// half a point on Zipf and loses a tenth of the gap on real ones.
const SMALL_PERCENT: u32 = 12;

/// The newest part of the small queue in which uses do not count, in percent of a tenant's segments:
/// a quarter of the small queue.
const WINDOW_PERCENT: u32 = 3;

/// Victims in a row of one queue that may yield less than a segment of room together before everything goes:
/// a bound for the work of a cache that is all hits.
pub(crate) const MOST_FRUITLESS: u32 = 16;

/// How many of the newest small segments, the open one included, are in the correlation window of a
/// tenant that has `held` segments.
pub(crate) fn window(held: u32) -> usize {
    (held * WINDOW_PERCENT).div_ceil(100).max(1) as usize
}

/// Whether another use of the item changes nothing.
#[inline]
pub(crate) fn is_well_used(slot: Slot) -> bool {
    slot == slot.with(Slot::FETCHED).with_freq(Slot::MAX_FREQ)
}

/// The slot of an item that has just been used. The use does not count in the window.
#[inline]
pub(crate) fn used(slot: Slot, counts: bool) -> Slot {
    let freq = slot.freq() + u8::from(counts);
    slot.with(Slot::FETCHED).with_freq(freq.min(Slot::MAX_FREQ))
}

/// What becomes of an item at the old end of its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes to the young end of the main queue, with this frequency.
    Keep(u8),
    /// It goes, and a ghost of it stays.
    Haunt,
    /// It goes.
    Drop,
}

/// The verdict on an item at the old end of its queue.
pub(crate) fn verdict(queue: Queue, freq: u8) -> Verdict {
    match (queue, freq) {
        (Queue::Small, 0) => Verdict::Haunt,
        (Queue::Small, _) => Verdict::Keep(0),
        (Queue::Main, 0) => Verdict::Drop,
        (Queue::Main, freq) => Verdict::Keep(freq - 1),
    }
}

/// Which queue gives a segment back. `small` and `main` are sealed segments, `held` all of the
/// tenant's.
pub(crate) fn victim_queue(small: usize, main: usize, held: u32) -> Queue {
    // The open segment of the small queue counts, too.
    let over = (small as u64 + 1) * 100 > u64::from(held * SMALL_PERCENT);
    if main == 0 || (small > 0 && over) { Queue::Small } else { Queue::Main }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_in_the_window_marks_the_item_as_read_and_no_more() {
        let slot = Slot::new(7, 1, 0);
        let used = used(slot, false);
        assert!(used.has(Slot::FETCHED));
        assert_eq!(verdict(Queue::Small, used.freq()), Verdict::Haunt);
    }

    #[test]
    fn a_use_after_the_window_promotes_and_main_items_get_a_round_a_use() {
        let mut slot = Slot::new(7, 1, 0);
        for _ in 0..9 {
            slot = used(slot, true);
        }
        assert_eq!(verdict(Queue::Small, slot.freq()), Verdict::Keep(0));
        assert_eq!(verdict(Queue::Main, slot.freq()), Verdict::Keep(2));
        assert!(is_well_used(slot) && used(slot, true) == slot);
        assert!(!is_well_used(slot.with_freq(2)), "one use more counts");
        assert_eq!(verdict(Queue::Main, 0), Verdict::Drop);
    }

    #[test]
    fn the_small_queue_gives_while_it_has_more_than_its_share() {
        assert_eq!(victim_queue(11, 80, 100), Queue::Main);
        assert_eq!(victim_queue(12, 80, 100), Queue::Small);
        assert_eq!(victim_queue(3, 0, 100), Queue::Small);
        assert_eq!(victim_queue(0, 5, 6), Queue::Main);
    }

    #[test]
    fn the_window_is_a_quarter_of_the_small_queue_and_at_least_its_open_segment() {
        assert_eq!(window(16), 1);
        assert_eq!(window(400), 12);
    }
}
