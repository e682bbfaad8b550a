//! quick_cache: sharded S3-FIFO-like CLOCK, bounded by weight of payload.

use std::time::Duration;

use anyhow::anyhow;
use foldhash::fast::RandomState;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use crate::engine::{Engine, SharedClock, Size, Stored, StoredKey};

pub(crate) struct Quick {
    cache: Cache<StoredKey, Stored, Payload, RandomState>,
    clock: SharedClock,
}

impl Quick {
    pub(crate) fn new(size: &Size) -> anyhow::Result<Quick> {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(size.items)
            .weight_capacity(size.payload() as u64)
            .build()
            .map_err(|error| anyhow!("quick_cache refuses its options: {error:?}"))?;
        let cache = Cache::with_options(
            options,
            Payload,
            RandomState::default(),
            DefaultLifecycle::default(),
        );
        Ok(Quick { cache, clock: size.clock.clone() })
    }
}

impl Engine for Quick {
    fn get(&self, key: &[u8]) -> bool {
        self.cache.get(key).is_some_and(|stored| stored.read(&self.clock))
    }

    fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) {
        self.cache.insert(key.into(), Stored::new(value, ttl, &self.clock));
    }

    fn items(&self) -> Option<usize> {
        Some(self.cache.len())
    }
}

/// Weighs key and value.
#[derive(Clone)]
struct Payload;

impl Weighter<StoredKey, Stored> for Payload {
    fn weight(&self, key: &StoredKey, value: &Stored) -> u64 {
        (key.len() + value.len()) as u64
    }
}
