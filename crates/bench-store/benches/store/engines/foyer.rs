//! foyer's in-memory cache with its S3-FIFO, bounded by weight of payload.

use std::time::Duration;

use foldhash::fast::RandomState;
use foyer_memory::{Cache, CacheBuilder, CacheProperties, S3FifoConfig};

use crate::engine::{Engine, SharedClock, Size, Stored, StoredKey};

pub(crate) struct Foyer {
    cache: Cache<StoredKey, Stored, RandomState, CacheProperties>,
    clock: SharedClock,
}

impl Foyer {
    pub(crate) fn new(size: &Size) -> Foyer {
        let cache = CacheBuilder::new(size.payload())
            .with_eviction_config(S3FifoConfig::default())
            .with_hash_builder(RandomState::default())
            .with_weighter(|key: &StoredKey, value: &Stored| key.len() + value.len())
            .build();
        Foyer { cache, clock: size.clock.clone() }
    }
}

impl Engine for Foyer {
    fn get(&self, key: &[u8]) -> bool {
        self.cache.get(key).is_some_and(|entry| entry.value().read(&self.clock))
    }

    fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) {
        self.cache.insert(key.into(), Stored::new(value, ttl, &self.clock));
    }

    fn items(&self) -> Option<usize> {
        Some(self.cache.entries())
    }
}
