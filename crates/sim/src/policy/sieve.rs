//! SIEVE (Zhang et al., NSDI'24): one list, one bit per item, and a hand that goes from old to new.

use super::lists::Lists;
use super::{Access, Key, Policy};

/// SIEVE.
#[derive(Debug)]
pub struct Sieve {
    lists: Lists,
    visited: Vec<bool>,
    /// The next item to look at; `None`: the oldest.
    hand: Option<Key>,
    capacity: u64,
}

impl Sieve {
    /// An empty cache.
    #[must_use]
    pub fn new(capacity: u64, keys: usize) -> Self {
        Self { lists: Lists::new(1, keys), visited: vec![false; keys], hand: None, capacity }
    }

    /// Evicts the first item under the hand that was not visited since the hand was there last.
    fn evict(&mut self) {
        while let Some(key) = self.hand.or_else(|| self.lists.oldest(0)) {
            self.hand = self.lists.newer(key);
            if !std::mem::take(&mut self.visited[key as usize]) {
                self.lists.remove(key);
                return;
            }
        }
    }
}

impl Policy for Sieve {
    fn access(&mut self, access: Access) -> bool {
        let Access { key, size, .. } = access;
        if self.lists.place(key).is_some() {
            self.visited[key as usize] = true;
            return true;
        }
        if u64::from(size) > self.capacity {
            return false;
        }
        while self.lists.weight(0) + u64::from(size) > self.capacity {
            self.evict();
        }
        self.visited[key as usize] = false;
        self.lists.push(0, key, size);
        false
    }

    fn remove(&mut self, key: Key) {
        if self.hand == Some(key) {
            self.hand = self.lists.newer(key);
        }
        self.lists.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hits;
    use super::*;

    #[test]
    fn the_hand_spares_what_was_visited_and_goes_on() {
        // 3 comes: the hand spares 0, evicts 1 and stands on 2. 4 comes: 2 goes, though 0 is older
        // and no longer marked. 5 comes: the hand is on 3. So 0 is still there.
        assert_eq!(hits(&mut Sieve::new(3, 6), &[0, 1, 2, 0, 3, 4, 5, 0]), [3, 7]);
    }

    #[test]
    fn the_hand_begins_again_at_the_oldest() {
        // All are visited: one round clears the marks, and then the oldest goes.
        assert_eq!(hits(&mut Sieve::new(2, 4), &[0, 1, 0, 1, 2, 1, 0]), [2, 3, 5]);
    }

    #[test]
    fn what_is_removed_is_not_under_the_hand() {
        let mut sieve = Sieve::new(2, 8);
        assert_eq!(hits(&mut sieve, &[0, 1, 0, 2]), [2]);
        sieve.remove(2);
        sieve.remove(0);
        assert_eq!(hits(&mut sieve, &[3, 4, 5, 5]), [3]);
    }
}
