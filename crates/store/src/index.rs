//! How a key finds its item: chained buckets of fixed number.
//!
//! The number is chosen from the shard's share of memory, so the index never grows: no operation
//! ever waits for a rehash, and the index is paid for from the beginning. With the smallest items
//! that fit, a chain holds three on average.

use crate::slab::{NIL, Slab};

/// Bytes of the shard's share for each bucket.
const BYTES_PER_BUCKET: usize = 256;

/// The buckets of a shard: each the first slot of a chain through
/// [`Entry::chain`](crate::slab::Entry::chain).
#[derive(Debug)]
pub(crate) struct Index {
    buckets: Box<[u32]>,
}

impl Index {
    /// An index for a shard of `budget` bytes.
    pub(crate) fn new(budget: usize) -> Index {
        let count = (budget / BYTES_PER_BUCKET).max(1);
        // NIL is zero, so the system commits this memory only as it is used.
        Index { buckets: vec![NIL; count].into_boxed_slice() }
    }

    /// What it is charged.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    /// The slot whose whole key is `key`, or [`NIL`].
    pub(crate) fn find(&self, slab: &Slab, hash: u64, key: &[u8]) -> u32 {
        let mut slot = self.buckets[self.bucket(hash)];
        while slot != NIL {
            let entry = &slab[slot];
            if entry.hash == hash && entry.key() == key {
                break;
            }
            slot = entry.chain;
        }
        slot
    }

    /// Adds a slot whose key is not in the index.
    pub(crate) fn insert(&mut self, slab: &mut Slab, slot: u32) {
        let bucket = self.bucket(slab[slot].hash);
        slab[slot].chain = self.buckets[bucket];
        self.buckets[bucket] = slot;
    }

    /// Removes a slot that is in the index.
    pub(crate) fn remove(&mut self, slab: &mut Slab, slot: u32) {
        let bucket = self.bucket(slab[slot].hash);
        let after = slab[slot].chain;
        if self.buckets[bucket] == slot {
            self.buckets[bucket] = after;
            return;
        }
        let mut before = self.buckets[bucket];
        while slab[before].chain != slot {
            before = slab[before].chain;
        }
        slab[before].chain = after;
    }

    /// Counts the entries; fails if one is in a wrong bucket or there are more than `limit`.
    pub(crate) fn count(&self, slab: &Slab, limit: usize) -> Result<usize, String> {
        let mut count = 0;
        for (bucket, &first) in self.buckets.iter().enumerate() {
            let mut slot = first;
            while slot != NIL {
                count += 1;
                if count > limit || self.bucket(slab[slot].hash) != bucket {
                    return Err(format!("slot {slot} is in bucket {bucket} wrongly"));
                }
                slot = slab[slot].chain;
            }
        }
        Ok(count)
    }

    /// The bucket of a hash: its upper half scaled to the number of buckets. The lower half has
    /// chosen the shard.
    fn bucket(&self, hash: u64) -> usize {
        let scaled = (u128::from(hash >> 32) * self.buckets.len() as u128) >> 32;
        usize::try_from(scaled).expect("below the number of buckets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Entry;

    #[test]
    fn keys_with_the_same_hash_are_told_apart() {
        let (mut slab, mut index) = (Slab::new(), Index::new(4096));
        slab.grow();
        let mut add = |key: &[u8]| {
            let key_bytes = u32::try_from(key.len()).unwrap();
            let entry = Entry {
                data: key.to_vec().into(),
                key_bytes,
                hash: 42,
                cas: 1,
                ..Entry::default()
            };
            let slot = slab.take(entry).unwrap();
            index.insert(&mut slab, slot);
            slot
        };
        let slots = [add(b"a"), add(b"b"), add(b"c")];
        assert_eq!(index.find(&slab, 42, b"b"), slots[1]);
        assert_eq!(index.find(&slab, 42, b"d"), NIL);
        assert_eq!(index.find(&slab, 43, b"b"), NIL);
        index.remove(&mut slab, slots[1]);
        assert_eq!(index.find(&slab, 42, b"b"), NIL);
        assert_eq!(index.find(&slab, 42, b"a"), slots[0]);
        assert_eq!(index.find(&slab, 42, b"c"), slots[2]);
        assert_eq!(index.count(&slab, 2), Ok(2));
    }

    #[test]
    fn every_hash_has_a_bucket() {
        for budget in [0, 1, 256, 1000, 1 << 20] {
            let index = Index::new(budget);
            for hash in [0, 1, u64::MAX, u64::MAX >> 1, 1 << 63] {
                assert!(index.bucket(hash) < index.buckets.len());
            }
        }
    }
}
