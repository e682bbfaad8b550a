//! W-TinyLFU (Einziger et al., ACM TOS 2017): an LRU window before a segmented LRU, with an estimate of
//! popularity at the door between them.
//!
//! The window does not adapt here. The estimate is a count-min sketch of 4-bit counters that are halved
//! when ten times the capacity was counted.

use super::lists::Lists;
use super::{Access, Key, Policy, mix, share};

const WINDOW: u8 = 0;
const PROBATION: u8 = 1;
const PROTECTED: u8 = 2;

/// W-TinyLFU.
#[derive(Debug)]
pub struct TinyLfu {
    lists: Lists,
    sketch: Sketch,
    window: u64,
    main: u64,
    protected: u64,
}

impl TinyLfu {
    /// A cache whose window has a share of `window` (0 to 1). `items`: about how many have room.
    #[must_use]
    pub fn new(capacity: u64, keys: usize, items: u64, window: f64) -> Self {
        let window = share(capacity, window).max(1);
        let main = capacity.saturating_sub(window);
        Self {
            lists: Lists::new(3, keys),
            sketch: Sketch::new(items),
            window,
            main,
            protected: share(main, 0.8),
        }
    }

    /// What falls out of the window is compared with what would have to go for it.
    fn admit(&mut self, candidate: Key) {
        let size = u64::from(self.lists.size(candidate));
        if size > self.main {
            self.lists.remove(candidate);
            return;
        }
        while self.lists.weight(PROBATION) + self.lists.weight(PROTECTED) + size > self.main {
            let victim = self.lists.oldest(PROBATION).or_else(|| self.lists.oldest(PROTECTED));
            let Some(victim) = victim else { break };
            if self.sketch.estimate(candidate) <= self.sketch.estimate(victim) {
                self.lists.remove(candidate);
                return;
            }
            self.lists.remove(victim);
        }
        self.lists.renew(PROBATION, candidate);
    }
}

impl Policy for TinyLfu {
    fn access(&mut self, access: Access) -> bool {
        let Access { key, size, .. } = access;
        self.sketch.count(key);
        match self.lists.place(key) {
            Some(WINDOW) => {
                self.lists.renew(WINDOW, key);
                return true;
            }
            Some(_) => {
                self.lists.renew(PROTECTED, key);
                while self.lists.weight(PROTECTED) > self.protected {
                    let Some(oldest) = self.lists.oldest(PROTECTED) else { break };
                    self.lists.renew(PROBATION, oldest);
                }
                return true;
            }
            None => {}
        }
        self.lists.push(WINDOW, key, size);
        while self.lists.weight(WINDOW) > self.window {
            let Some(oldest) = self.lists.oldest(WINDOW) else { break };
            self.admit(oldest);
        }
        false
    }

    fn remove(&mut self, key: Key) {
        self.lists.remove(key);
    }
}

/// How often keys were asked for lately, more or less.
#[derive(Debug)]
struct Sketch {
    rows: [Vec<u8>; 4],
    mask: u64,
    counted: u64,
    period: u64,
}

impl Sketch {
    fn new(items: u64) -> Self {
        let width = items.max(16).next_power_of_two();
        let row = vec![0; usize::try_from(width).unwrap_or(usize::MAX)];
        Self {
            rows: [row.clone(), row.clone(), row.clone(), row],
            mask: width - 1,
            counted: 0,
            period: 10 * items.max(16),
        }
    }

    /// Where the counters of `key` are.
    fn places(&self, key: Key) -> [usize; 4] {
        let hash = mix(u64::from(key));
        let step = mix(hash) | 1;
        let place = |row: u64| hash.wrapping_add(step.wrapping_mul(row)) >> 17 & self.mask;
        #[allow(clippy::cast_possible_truncation, reason = "below the width of a row")]
        [0, 1, 2, 3].map(|row| place(row) as usize)
    }

    fn estimate(&self, key: Key) -> u8 {
        let places = self.places(key);
        self.rows.iter().zip(places).map(|(row, place)| row[place]).min().unwrap_or(0)
    }

    fn count(&mut self, key: Key) {
        let places = self.places(key);
        for (row, place) in self.rows.iter_mut().zip(places) {
            row[place] = (row[place] + 1).min(15);
        }
        self.counted += 1;
        if self.counted == self.period {
            self.counted /= 2;
            self.rows.iter_mut().flatten().for_each(|count| *count /= 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hits;
    use super::*;

    #[test]
    fn what_is_asked_for_more_often_is_admitted() {
        // A window of one and room for three behind it, all of it in use.
        let mut policy = TinyLfu::new(4, 20, 4, 0.01);
        assert_eq!(hits(&mut policy, &[0, 1, 2, 3]), []);
        // 4 pushes 3 out of the window, which is no more popular than 0.
        hits(&mut policy, &[4]);
        assert_eq!((policy.lists.place(0), policy.lists.place(3)), (Some(PROBATION), None));
        // Now 3 was asked for more often than 0.
        hits(&mut policy, &[3, 3, 5]);
        assert_eq!((policy.lists.place(0), policy.lists.place(3)), (None, Some(PROBATION)));
    }

    #[test]
    fn a_hit_protects_and_too_many_are_on_probation_again() {
        let mut policy = TinyLfu::new(6, 20, 6, 0.01);
        // A window of one, main room for five, four of them protected.
        assert_eq!(hits(&mut policy, &[0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4]), [6, 7, 8, 9, 10]);
        assert_eq!(policy.lists.place(0), Some(PROBATION));
        assert!([1, 2, 3, 4].iter().all(|&key| policy.lists.place(key) == Some(PROTECTED)));
    }

    #[test]
    fn counts_are_halved_in_time() {
        let mut sketch = Sketch::new(16);
        (0..20).for_each(|_| sketch.count(7));
        assert_eq!((sketch.estimate(7), sketch.estimate(8)), (15, 0));
        (0..140).for_each(|_| sketch.count(9));
        assert_eq!((sketch.estimate(7), sketch.estimate(9)), (7, 7));
    }
}
