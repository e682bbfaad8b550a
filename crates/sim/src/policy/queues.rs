//! FIFO and LRU: one list, and the oldest goes. They differ in what a hit does.

use super::lists::Lists;
use super::{Access, Key, Policy};

/// One list of everything.
#[derive(Debug)]
pub struct Queue {
    lists: Lists,
    capacity: u64,
    /// Whether a hit makes an item the newest: LRU. If not: FIFO.
    renews: bool,
}

impl Queue {
    /// First in, first out.
    #[must_use]
    pub fn fifo(capacity: u64, keys: usize) -> Self {
        Self { lists: Lists::new(1, keys), capacity, renews: false }
    }

    /// The least recently used goes first.
    #[must_use]
    pub fn lru(capacity: u64, keys: usize) -> Self {
        Self { renews: true, ..Self::fifo(capacity, keys) }
    }
}

impl Policy for Queue {
    fn access(&mut self, access: Access) -> bool {
        let Access { key, size, .. } = access;
        if self.lists.place(key).is_some() {
            if self.renews {
                self.lists.renew(0, key);
            }
            return true;
        }
        if u64::from(size) > self.capacity {
            return false;
        }
        while self.lists.weight(0) + u64::from(size) > self.capacity {
            let Some(victim) = self.lists.oldest(0) else { break };
            self.lists.remove(victim);
        }
        self.lists.push(0, key, size);
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

    #[test]
    fn fifo_forgets_in_the_order_of_arrival() {
        // 0 is hit, and still the first to go.
        assert_eq!(hits(&mut Queue::fifo(2, 4), &[0, 1, 0, 2, 0, 1, 2]), [2]);
        assert_eq!(hits(&mut Queue::fifo(3, 4), &[0, 1, 2, 0, 3, 1, 0]), [3, 5]);
    }

    #[test]
    fn lru_forgets_what_was_not_used() {
        assert_eq!(hits(&mut Queue::lru(2, 4), &[0, 1, 0, 2, 0, 1, 2]), [2, 4]);
        assert_eq!(hits(&mut Queue::lru(3, 4), &[0, 1, 2, 0, 3, 1, 0]), [3, 6]);
    }

    #[test]
    fn sizes_count() {
        let mut lru = Queue::lru(10, 4);
        let mut access = |key, size| lru.access(Access { key, size, next: 0 });
        assert!(!access(0, 6) && !access(1, 4) && access(0, 6));
        // Needs the room of 1, not that of 0; 3 is larger than everything.
        assert!(!access(2, 4) && access(0, 6) && !access(3, 11) && access(2, 4));
        assert!(!access(1, 4));
    }
}
