//! 64 × `Mutex<LruCache>`: what an afternoon's own cache looks like, and exact LRU for hit ratios.

use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use lru::LruCache;

use crate::engine::{Engine, Limit, SharedClock, Size, Stored, StoredKey};

pub(crate) struct Sharded {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    clock: SharedClock,
}

type Shard = LruCache<StoredKey, Stored, RandomState>;

impl Sharded {
    const SHARDS: usize = 64;

    pub(crate) fn new(size: &Size) -> Sharded {
        // One list is exact; the shards would each evict their own oldest.
        let shards = if size.limit == Limit::Items { 1 } else { Sharded::SHARDS };
        let items = size.payload() / size.item_bytes / shards;
        let capacity = NonZeroUsize::new(items).unwrap_or(NonZeroUsize::MIN);
        let shard = || Mutex::new(LruCache::with_hasher(capacity, RandomState::default()));
        Sharded {
            shards: (0..shards).map(|_| shard()).collect(),
            hasher: RandomState::default(),
            clock: size.clock.clone(),
        }
    }

    fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard> {
        // The upper bits: the shard's own map goes by the lower ones.
        let hash = usize::try_from(self.hasher.hash_one(key) >> 48).unwrap_or(0);
        let shard = &self.shards[hash % self.shards.len()];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for Sharded {
    fn get(&self, key: &[u8]) -> bool {
        self.shard(key).get(key).is_some_and(|stored| stored.read(&self.clock))
    }

    fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) {
        let stored = Stored::new(value, ttl, &self.clock);
        self.shard(key).put(key.into(), stored);
    }

    fn items(&self) -> Option<usize> {
        let len = |shard: &Mutex<Shard>| shard.lock().map_or(0, |shard| shard.len());
        Some(self.shards.iter().map(len).sum())
    }
}
