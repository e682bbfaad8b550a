//! The policy of Larder's engine: S3-FIFO and Clock2Q+ under the constraint of log segments.
//!
//! Items live in append-only segments; the small and the main queue are lists of segments, each with one
//! open segment at its new end. Room is made by reclaiming the oldest segment of one of the queues as a
//! whole, deciding item by item: what survives is appended to the open segment of the main queue, the
//! rest is evicted. One segment is always kept free, so that survivors have somewhere to go.
//!
//! Ghosts are 16-bit fingerprints in a table of small buckets, each a FIFO: a wrong answer is possible,
//! and an evicted key can be forgotten early.

mod ghosts;
mod options;

use std::collections::VecDeque;

pub use self::options::{Decay, Options};

use self::ghosts::Ghosts;
use super::{Access, Key, Policy};

/// The counter of an item has two bits.
const MOST_HITS: u8 = 3;

/// Main segments that a reclaim may look at before items go though they were hit.
const PATIENCE: usize = 16;

/// The engine's policy.
#[derive(Debug)]
pub struct Engine {
    options: Options,
    /// The room of a segment.
    room: u64,
    segments: Vec<Segment>,
    free: Vec<usize>,
    /// The segments of the small and the main queue, the open one last.
    queues: [VecDeque<usize>; 2],
    /// The share of the small queue, in room.
    small: f64,
    /// Segments opened in the small queue so far.
    opened: u64,
    items: Vec<Item>,
    ghosts: Ghosts,
    /// Ghosts of what left the main queue, if the share of the small one adapts.
    main_ghosts: Option<Ghosts>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    Small,
    Main,
}

#[derive(Debug, Clone, Default)]
struct Segment {
    /// Keys and sizes in the order of arrival; some may have been removed since.
    log: Vec<(Key, u32)>,
    used: u64,
    main: bool,
    /// The value of `opened` when the segment was.
    opened: u64,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    /// Segment and place in its log.
    at: Option<(u32, u32)>,
    hits: u8,
}

impl Engine {
    /// A cache of `capacity` for keys below `keys`. `items`: about how many have room.
    #[must_use]
    pub fn new(options: Options, capacity: u64, keys: usize, items: u64) -> Self {
        // The smallest segment has room for one item of mean size.
        let smallest = (capacity / items.max(1)).max(1);
        let wanted = u64::from(options.segments.max(4));
        let room = ((capacity + wanted / 2) / wanted).max(smallest);
        #[allow(clippy::cast_possible_truncation, reason = "at most what was asked for")]
        let count = (capacity / room).max(4) as usize;
        let small = capacity as f64 * options.small;
        let main_ghosts = options.adapt.then(|| Ghosts::new(items, options.ways));
        Self {
            room,
            segments: vec![Segment::default(); count],
            free: (0..count).rev().collect(),
            queues: [VecDeque::new(), VecDeque::new()],
            small,
            opened: 0,
            items: vec![Item { at: None, hits: 0 }; keys],
            ghosts: Ghosts::new(options.ghosts_for(items), options.ways),
            main_ghosts,
            options,
        }
    }

    /// Counts a hit, unless it is on one of the newest segments of the small queue.
    fn count(&mut self, key: Key, segment: u32) {
        let segment = &self.segments[segment as usize];
        if !segment.main && self.options.window > 0.0 {
            let age = (self.opened - segment.opened) as f64;
            let window = self.options.window * self.small / self.room as f64;
            // The open segment has age 0, and is in the window if there is one.
            if age < window {
                return;
            }
        }
        let hits = &mut self.items[key as usize].hits;
        *hits = (*hits + 1).min(MOST_HITS);
    }

    /// Appends an item to the open segment of a queue, in a new segment if it does not fit.
    ///
    /// `may_reclaim`: whether room may be made first. Survivors of a reclaim take the reserve.
    fn append(&mut self, queue: Queue, (key, size): (Key, u32), hits: u8, may_reclaim: bool) {
        let fits = |this: &Self| {
            let open = this.queues[queue as usize].back();
            open.is_some_and(|&open| this.segments[open].used + u64::from(size) <= this.room)
        };
        if !fits(self) {
            while may_reclaim && self.free.len() <= 1 && !fits(self) {
                self.reclaim();
            }
            // A reclaim may have opened a segment with room for this one.
            if !fits(self) && !self.open(queue) {
                return;
            }
        }
        let Some(&at) = self.queues[queue as usize].back() else { return };
        let segment = &mut self.segments[at];
        #[allow(clippy::cast_possible_truncation, reason = "far fewer")]
        let place = (at as u32, segment.log.len() as u32);
        segment.log.push((key, size));
        segment.used += u64::from(size);
        self.items[key as usize] = Item { at: Some(place), hits };
    }

    /// Opens a segment, if there is a free one.
    fn open(&mut self, queue: Queue) -> bool {
        let Some(at) = self.free.pop() else { return false };
        if queue == Queue::Small {
            self.opened += 1;
        }
        let segment = &mut self.segments[at];
        segment.main = queue == Queue::Main;
        segment.opened = self.opened;
        self.queues[queue as usize].push_back(at);
        true
    }

    /// The queue whose oldest segment is to be reclaimed.
    fn victim(&self) -> Queue {
        let [small, main] = &self.queues;
        let full = (small.len() as u64 * self.room) as f64;
        if main.len() < 2 || (small.len() >= 2 && full > self.small) {
            Queue::Small
        } else {
            Queue::Main
        }
    }

    /// Frees one segment or more, or moves what survives to the end.
    fn reclaim(&mut self) {
        let before = self.free.len();
        for looked_at in 0..PATIENCE + self.segments.len() {
            let queue = self.victim();
            let Some(at) = self.queues[queue as usize].pop_front() else { return };
            let mut segment = std::mem::take(&mut self.segments[at]);
            // The log's memory is kept, the segment is free, and its items are nowhere until they are
            // appended again.
            for (place, &(key, size)) in segment.log.iter().enumerate() {
                #[allow(clippy::cast_possible_truncation, reason = "far fewer")]
                let here = Some((at as u32, place as u32));
                let item = &mut self.items[key as usize];
                if item.at == here {
                    let hits = item.hits;
                    *item = Item { at: None, hits: 0 };
                    self.decide(queue, (key, size), hits, looked_at >= PATIENCE);
                }
            }
            segment.log.clear();
            segment.used = 0;
            self.segments[at] = segment;
            self.free.push(at);
            if self.free.len() > before {
                return;
            }
        }
    }

    /// An item of a reclaimed segment survives or not.
    fn decide(&mut self, queue: Queue, item: (Key, u32), hits: u8, force: bool) {
        let Options { promote, keep, decay, .. } = self.options;
        match queue {
            Queue::Small if hits >= promote && !force => {
                let hits = if keep { hits - promote } else { 0 };
                self.append(Queue::Main, item, hits, false);
            }
            Queue::Small => self.ghosts.add(item.0),
            Queue::Main if hits > 0 && !force => {
                self.append(Queue::Main, item, decay.apply(hits), false);
            }
            Queue::Main => {
                if self.options.ghost_main {
                    self.ghosts.add(item.0);
                }
                if let Some(ghosts) = &mut self.main_ghosts {
                    ghosts.add(item.0);
                }
            }
        }
    }

    /// A key came back that left the small queue (or the main one): that one should have been larger.
    fn adapt(&mut self, key: Key, left_small: bool) {
        let Some(ghosts) = &mut self.main_ghosts else { return };
        let left_main = ghosts.take(key);
        let whole = (self.segments.len() as u64 * self.room) as f64;
        let step = whole / self.items.len().max(1) as f64 * self.options.step;
        if left_small {
            self.small += step;
        }
        if left_main {
            self.small -= step;
        }
        self.small = self.small.clamp(whole * 0.01, whole * 0.2);
    }
}

impl Policy for Engine {
    fn access(&mut self, access: Access) -> bool {
        let Access { key, size, .. } = access;
        if let Some((segment, _)) = self.items[key as usize].at {
            self.count(key, segment);
            return true;
        }
        let ghost = self.ghosts.take(key);
        self.adapt(key, ghost);
        if u64::from(size) > self.room {
            return false;
        }
        let queue = if ghost && self.options.ghost_main_queue { Queue::Main } else { Queue::Small };
        let hits = if ghost { self.options.ghost_hits } else { 0 };
        self.append(queue, (key, size), hits, true);
        false
    }

    fn remove(&mut self, key: Key) {
        self.items[key as usize].at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hits;
    use super::*;

    /// Ten segments with room for two each: one kept free, so 18 items at most; two closed segments of
    /// the small queue are too many.
    fn engine(options: &str) -> Engine {
        Engine::new(Options::parse(&format!("/segments=10{options}")).unwrap(), 20, 100, 20)
    }

    fn is_main(engine: &Engine, key: Key) -> Option<bool> {
        engine.items[key as usize].at.map(|(segment, _)| engine.segments[segment as usize].main)
    }

    #[test]
    fn segments_go_as_a_whole_and_what_was_hit_survives() {
        let mut engine = engine("");
        let fill: Vec<Key> = (0..18).collect();
        hits(&mut engine, &fill);
        assert_eq!(hits(&mut engine, &[0, 17, 18]), [0, 1]);
        // The first segment had 0 and 1. Only one of them was hit.
        assert_eq!(
            [0, 1, 2, 17, 18].map(|key| is_main(&engine, key)),
            [
                Some(true),
                None,
                // Survivors took the reserve, so the next segment had to go, too.
                None,
                Some(false),
                Some(false)
            ]
        );
        // 1 comes back to the main queue, 19 is new.
        assert_eq!(hits(&mut engine, &[1, 19]), []);
        assert_eq!([1, 19].map(|key| is_main(&engine, key)), [Some(true), Some(false)]);
    }

    #[test]
    fn the_newest_segments_do_not_count_hits() {
        for (window, expected) in [("0", [1, 1, 1]), ("100%", [1, 0, 0])] {
            // The small queue has a share of 20 %, which is two segments.
            let mut engine = engine(&format!("/small=20%/window={window}"));
            hits(&mut engine, &[0, 1, 2, 3, 4, 0, 2, 4]);
            let counted = [0, 2, 4].map(|key: usize| engine.items[key].hits);
            assert_eq!(counted, expected, "{window}");
        }
    }

    #[test]
    fn the_main_queue_is_the_victim_if_the_small_one_is_short() {
        let mut engine = engine("/window=0");
        let all: Vec<Key> = (0..18).collect();
        hits(&mut engine, &all);
        hits(&mut engine, &all);
        // All were hit: the small queue's segments move to the main one, until it is that one's turn.
        assert_eq!(hits(&mut engine, &[18, 19, 20, 21]), []);
        assert!(engine.queues[Queue::Main as usize].len() >= 6);
        assert!(engine.queues[Queue::Small as usize].len() <= 2);
        assert_eq!([18, 19, 20, 21].map(|key| is_main(&engine, key)), [Some(false); 4]);
    }

    #[test]
    fn nothing_is_lost_or_there_twice() {
        for segments in [1, 4, 5, 16, 64] {
            let options = format!("/segments={segments}/decay=half");
            let options = Options::parse(&options).unwrap();
            let mut engine = Engine::new(options, 200, 2_000, 40);
            for step in 0..20_000_u64 {
                let random = super::super::mix(step);
                let key = u32::try_from(random % 97 * (random >> 20 & 7) % 2_000).unwrap();
                if random >> 40 & 31 == 0 {
                    engine.remove(key);
                }
                engine.access(Access { key, size: 1 + key % 9, next: 0 });
            }
            let mut lists: Vec<usize> = engine.queues.iter().flatten().copied().collect();
            lists.extend(&engine.free);
            lists.sort_unstable();
            assert_eq!(lists, (0..engine.segments.len()).collect::<Vec<_>>(), "{segments}");
            assert!(engine.segments.iter().all(|segment| segment.used <= engine.room));
            assert!(engine.free.iter().all(|&free| engine.segments[free].log.is_empty()));
            for (key, item) in engine.items.iter().enumerate() {
                if let Some((segment, place)) = item.at {
                    let (found, _) = engine.segments[segment as usize].log[place as usize];
                    assert_eq!(found as usize, key);
                }
            }
        }
    }
}
