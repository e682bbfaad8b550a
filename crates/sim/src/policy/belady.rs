//! Belady's MIN: knows the future, and keeps what is asked for soonest.
//!
//! With items of one size it is the best there is, and the measure of the others. An item that would
//! be the first to go is not taken in at all. With different sizes it is only a good guess.

use std::collections::BinaryHeap;

use super::{Access, Key, NEVER, Policy};

/// Belady's MIN.
#[derive(Debug)]
pub struct Belady {
    /// When the items will be asked for, and of each what came before; the last is on top.
    queue: BinaryHeap<(u32, Key)>,
    /// When a key will be asked for, if it is in the cache.
    next: Vec<Option<u32>>,
    size: Vec<u32>,
    weight: u64,
    capacity: u64,
}

impl Belady {
    /// An empty cache.
    #[must_use]
    pub fn new(capacity: u64, keys: usize) -> Self {
        Self {
            queue: BinaryHeap::new(),
            next: vec![None; keys],
            size: vec![0; keys],
            weight: 0,
            capacity,
        }
    }

    /// The item that is asked for last.
    fn last(&mut self) -> Option<(u32, Key)> {
        while let Some(&(next, key)) = self.queue.peek() {
            if self.next[key as usize] == Some(next) {
                return Some((next, key));
            }
            self.queue.pop();
        }
        None
    }
}

impl Policy for Belady {
    fn access(&mut self, access: Access) -> bool {
        let Access { key, size, next } = access;
        let hit = self.next[key as usize].is_some();
        self.remove(key);
        if next == NEVER || u64::from(size) > self.capacity {
            return hit;
        }
        while self.weight + u64::from(size) > self.capacity {
            match self.last() {
                Some((last, victim)) if last > next => self.remove(victim),
                _ => return hit,
            }
        }
        self.next[key as usize] = Some(next);
        self.size[key as usize] = size;
        self.weight += u64::from(size);
        self.queue.push((next, key));
        hit
    }

    fn remove(&mut self, key: Key) {
        if self.next[key as usize].take().is_some() {
            self.weight -= u64::from(self.size[key as usize]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hits;
    use super::*;

    #[test]
    fn what_is_asked_for_last_goes() {
        // 0 and 1 are kept; 2 is not taken in, because it comes back after both.
        assert_eq!(hits(&mut Belady::new(2, 4), &[0, 1, 2, 0, 1, 0, 1, 2]), [3, 4, 5, 6]);
        // A loop of three in room for two: two of the three stay.
        let turns: Vec<Key> = (0..30).map(|i| i % 3).collect();
        assert_eq!(hits(&mut Belady::new(2, 3), &turns).len(), 18);
    }
}
