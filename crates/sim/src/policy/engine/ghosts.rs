//! Ghosts: the keys that were evicted lately, as 16-bit fingerprints.

use super::super::{Key, mix};

/// A table of buckets; each is a FIFO of fingerprints.
#[derive(Debug)]
pub(super) struct Ghosts {
    /// `ways` fingerprints each, the newest first. 0: none.
    table: Vec<u16>,
    ways: usize,
}

impl Ghosts {
    /// Room for `count` ghosts, in buckets of `ways`.
    pub(super) fn new(count: u64, ways: usize) -> Self {
        let ways = ways.max(1);
        let buckets = usize::try_from(count).unwrap_or(usize::MAX).div_ceil(ways);
        Self { table: vec![0; buckets * ways], ways }
    }

    /// Remembers `key`. The oldest of its bucket is forgotten.
    pub(super) fn add(&mut self, key: Key) {
        let (bucket, print) = self.bucket(key);
        let end = bucket.iter().position(|&other| other == print || other == 0);
        if let Some(end) = end.or(bucket.len().checked_sub(1)) {
            bucket[..=end].rotate_right(1);
            bucket[0] = print;
        }
    }

    /// Whether `key` is remembered, probably. It is not, after this.
    pub(super) fn take(&mut self, key: Key) -> bool {
        let (bucket, print) = self.bucket(key);
        let Some(at) = bucket.iter().position(|&other| other == print) else { return false };
        bucket[at..].rotate_left(1);
        if let Some(last) = bucket.last_mut() {
            *last = 0;
        }
        true
    }

    fn bucket(&mut self, key: Key) -> (&mut [u16], u16) {
        let hash = mix(u64::from(key));
        let buckets = (self.table.len() / self.ways) as u64;
        // The high half chooses the bucket, the low end is the fingerprint.
        #[allow(clippy::cast_possible_truncation, reason = "below the number of buckets")]
        let at = (((hash >> 32) * buckets) >> 32) as usize * self.ways;
        #[allow(clippy::cast_possible_truncation, reason = "a fingerprint of 16 bits")]
        let print = (hash as u16).max(1);
        let ways = if buckets == 0 { 0 } else { self.ways };
        (&mut self.table[at..at + ways], print)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_forgets_its_oldest() {
        let mut ghosts = Ghosts::new(4, 4);
        (0..4).for_each(|key| ghosts.add(key));
        assert!(ghosts.take(0) && !ghosts.take(0));
        ghosts.add(4);
        ghosts.add(5);
        // 1 was the oldest of the four.
        assert_eq!([1, 2, 3, 4, 5].map(|key| ghosts.take(key)), [false, true, true, true, true]);
    }

    #[test]
    fn a_key_is_remembered_once_and_renewed() {
        let mut ghosts = Ghosts::new(2, 2);
        for key in [7, 8, 7, 9] {
            ghosts.add(key);
        }
        assert_eq!([8, 7, 9, 7].map(|key| ghosts.take(key)), [false, true, true, false]);
    }

    #[test]
    fn no_room_is_no_memory() {
        let mut ghosts = Ghosts::new(0, 8);
        ghosts.add(1);
        assert!(!ghosts.take(1));
    }

    #[test]
    fn most_of_a_full_table_is_remembered() {
        let mut ghosts = Ghosts::new(10_000, 8);
        (0..10_000).for_each(|key| ghosts.add(key));
        let known = (0..10_000).filter(|&key| ghosts.take(key)).count();
        assert!(known > 8_000, "{known}");
        let wrong = (20_000..30_000).filter(|&key| ghosts.take(key)).count();
        assert!(wrong < 10, "{wrong}");
    }
}
