//! S3-FIFO (Yang et al., SOSP'23) and Clock2Q+ (Zhai et al., arXiv 2511.21958), item by item.
//!
//! Both: a small queue for what is new, a main queue for what has proved itself, and a ghost queue of
//! keys that left the small one unproved and, when asked for again, go straight to the main queue. Until
//! something is evicted for the first time, what the small queue has no room for goes to the main one.
//! Clock2Q+ ignores hits on the newest half of the small queue (correlated references), asks for one
//! hit where S3-FIFO asks for two, and has one bit per item in the main queue where S3-FIFO has two.
//! The parameters are those of libCacheSim, and so are the hit ratios.

use super::lists::Lists;
use super::{Access, Key, Policy, share};

const SMALL: u8 = 0;
const MAIN: u8 = 1;
const GHOST: u8 = 2;

/// The counter of an item has two bits.
const MOST_HITS: u8 = 3;

/// S3-FIFO or Clock2Q+.
#[derive(Debug)]
pub struct S3Fifo {
    lists: Lists,
    hits: Vec<u8>,
    /// What had been admitted to the small queue when the item was.
    admitted_at: Vec<u64>,
    /// The sizes of all items that were ever admitted to the small queue.
    admitted: u64,
    evicted: bool,
    capacity: u64,
    small: u64,
    main: u64,
    ghost: u64,
    /// The window of Clock2Q+. `None`: S3-FIFO.
    window: Option<f64>,
}

impl S3Fifo {
    /// S3-FIFO: 10 % small, ghosts for 90 %, two hits lead from the small queue to the main one.
    #[must_use]
    pub fn new(capacity: u64, keys: usize) -> Self {
        let small = share(capacity, 0.1).max(1);
        Self {
            lists: Lists::new(3, keys),
            hits: vec![0; keys],
            admitted_at: vec![0; keys],
            admitted: 0,
            evicted: false,
            capacity,
            small,
            main: capacity.saturating_sub(small),
            ghost: share(capacity, 0.9),
            window: None,
        }
    }

    /// Clock2Q+: the same queues, and a correlation window of half the small one.
    #[must_use]
    pub fn clock2q_plus(capacity: u64, keys: usize) -> Self {
        let plain = Self::new(capacity, keys);
        Self { window: Some(plain.small as f64 * 0.5), ..plain }
    }

    /// Counts a hit, unless the item is too new for hits to count.
    fn count(&mut self, key: Key, list: u8) {
        let at = key as usize;
        let age = (self.admitted - self.admitted_at[at]) as f64;
        if list == MAIN || self.window.is_none_or(|window| age >= window) {
            self.hits[at] = (self.hits[at] + 1).min(MOST_HITS);
        }
    }

    fn evict(&mut self) {
        self.evicted = true;
        if self.lists.weight(MAIN) > self.main || self.lists.weight(SMALL) == 0 {
            self.evict_from_main();
        } else {
            self.evict_from_small();
        }
    }

    /// Evicts one item; what has been hit on the way to it moves to the main queue.
    fn evict_from_small(&mut self) {
        let enough = if self.window.is_some() { 1 } else { 2 };
        while let Some(key) = self.lists.oldest(SMALL) {
            let hits = std::mem::take(&mut self.hits[key as usize]);
            if hits >= enough {
                self.lists.renew(MAIN, key);
                continue;
            }
            self.lists.remove(key);
            self.remember(key);
            return;
        }
    }

    fn remember(&mut self, key: Key) {
        let size = self.lists.size(key);
        if u64::from(size) > self.ghost {
            return;
        }
        while self.lists.weight(GHOST) + u64::from(size) > self.ghost {
            let Some(oldest) = self.lists.oldest(GHOST) else { break };
            self.lists.remove(oldest);
        }
        self.lists.push(GHOST, key, size);
    }

    /// Evicts one item; what has been hit on the way to it stays, one hit poorer.
    fn evict_from_main(&mut self) {
        while let Some(key) = self.lists.oldest(MAIN) {
            let hits = &mut self.hits[key as usize];
            if *hits == 0 {
                self.lists.remove(key);
                return;
            }
            *hits = if self.window.is_some() { 0 } else { *hits - 1 };
            self.lists.renew(MAIN, key);
        }
    }
}

impl Policy for S3Fifo {
    fn access(&mut self, access: Access) -> bool {
        let Access { key, size, .. } = access;
        let mut list = SMALL;
        match self.lists.place(key) {
            Some(GHOST) => {
                self.lists.remove(key);
                list = MAIN;
            }
            Some(list) => {
                self.count(key, list);
                return true;
            }
            None => {}
        }
        if u64::from(size) > self.small {
            return false;
        }
        while self.lists.weight(SMALL) + self.lists.weight(MAIN) + u64::from(size) > self.capacity {
            self.evict();
        }
        if !self.evicted && self.lists.weight(SMALL) >= self.small {
            list = MAIN;
        }
        if list == SMALL {
            self.admitted += u64::from(size);
            self.admitted_at[key as usize] = self.admitted;
        }
        self.hits[key as usize] = 0;
        self.lists.push(list, key, size);
        false
    }

    fn remove(&mut self, key: Key) {
        self.lists.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hits;
    use super::*;

    /// Ten items fill the cache: 0 the small queue (of one), 1 to 9 the main one (of nine).
    fn filled(mut policy: S3Fifo) -> S3Fifo {
        assert_eq!(hits(&mut policy, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), []);
        policy
    }

    #[test]
    fn what_was_not_hit_leaves_the_small_queue_and_returns_to_the_main_one() {
        let mut policy = filled(S3Fifo::new(10, 20));
        // 10 evicts 0, which is a ghost now; 0 evicts 10 and comes into the main queue, which is then
        // over its share: 11 evicts 1 from it.
        assert_eq!(hits(&mut policy, &[10, 0, 11, 0]), [3]);
        assert_eq!(policy.lists.place(0), Some(MAIN));
        assert_eq!((policy.lists.place(10), policy.lists.place(1)), (Some(GHOST), None));
        assert_eq!(policy.lists.place(11), Some(SMALL));
    }

    #[test]
    fn two_hits_lead_to_the_main_queue() {
        for (requests, place) in [(&[0, 10][..], Some(GHOST)), (&[0, 0, 10], Some(MAIN))] {
            let mut policy = filled(S3Fifo::new(10, 20));
            hits(&mut policy, requests);
            assert_eq!(policy.lists.place(0), place, "{requests:?}");
        }
    }

    #[test]
    fn a_hit_in_the_main_queue_spares_an_item_once() {
        let mut policy = filled(S3Fifo::new(10, 20));
        // 1 is hit; 10 and its return bring the main queue over its share, twice.
        hits(&mut policy, &[1, 10, 0, 11, 10, 12]);
        assert_eq!((policy.lists.place(1), policy.hits[1]), (Some(MAIN), 0));
        assert_eq!((policy.lists.place(2), policy.lists.place(3)), (None, None));
    }

    #[test]
    fn clock2q_ignores_the_first_hits() {
        // The small queue has room for four, so hits on the two newest do not count.
        let mut policy = S3Fifo::clock2q_plus(40, 100);
        let fill: Vec<Key> = (0..40).collect();
        hits(&mut policy, &fill);
        // Evicts 0 to 3, so that 40 to 43 are in the small queue; 43 and 42 are too new to count.
        hits(&mut policy, &[40, 41, 42, 43]);
        hits(&mut policy, &[40, 41, 42, 43]);
        assert_eq!([40, 41, 42, 43].map(|key| policy.hits[key]), [1, 1, 0, 0]);
        hits(&mut policy, &[44, 45, 46]);
        let places = [40, 41, 42, 43].map(|key| policy.lists.place(key));
        assert_eq!(places[..2], [Some(MAIN), Some(MAIN)]);
        assert_eq!(places[2], Some(GHOST));
    }

    #[test]
    fn ghosts_have_room_for_nine_tenths() {
        let mut policy = filled(S3Fifo::new(10, 100));
        let scan: Vec<Key> = (10..60).collect();
        assert_eq!(hits(&mut policy, &scan), []);
        assert_eq!(policy.lists.weight(GHOST), 9);
        assert_eq!(policy.lists.oldest(GHOST), Some(50));
    }
}
