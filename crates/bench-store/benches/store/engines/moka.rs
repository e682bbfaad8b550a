//! moka: W-TinyLFU, bounded by weight of payload, with its work put off to maintenance.

use std::time::Duration;

use foldhash::fast::RandomState;
use moka::sync::Cache;

use crate::engine::{Engine, SharedClock, Size, Stored, StoredKey};

pub(crate) struct Moka {
    cache: Cache<StoredKey, Stored, RandomState>,
    clock: SharedClock,
}

impl Moka {
    pub(crate) fn new(size: &Size) -> Moka {
        let weight = |key: &StoredKey, value: &Stored| {
            u32::try_from(key.len() + value.len()).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder()
            .max_capacity(size.payload() as u64)
            .weigher(weight)
            .build_with_hasher(RandomState::default());
        Moka { cache, clock: size.clock.clone() }
    }
}

impl Engine for Moka {
    fn get(&self, key: &[u8]) -> bool {
        self.cache.get(key).is_some_and(|stored| stored.read(&self.clock))
    }

    fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) {
        self.cache.insert(key.into(), Stored::new(value, ttl, &self.clock));
    }

    fn settle(&self) {
        self.cache.run_pending_tasks();
    }

    fn items(&self) -> Option<usize> {
        usize::try_from(self.cache.entry_count()).ok()
    }
}
