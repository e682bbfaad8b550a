//! DashMap: a sharded map without eviction, the floor for what a map costs.

use std::time::Duration;

use dashmap::DashMap;
use foldhash::fast::RandomState;

use crate::engine::{Engine, SharedClock, Size, Stored, StoredKey};

pub(crate) struct Map {
    map: DashMap<StoredKey, Stored, RandomState>,
    clock: SharedClock,
}

impl Map {
    pub(crate) fn new(size: &Size) -> Map {
        let map = DashMap::with_capacity_and_hasher(size.items, RandomState::default());
        Map { map, clock: size.clock.clone() }
    }
}

impl Engine for Map {
    fn get(&self, key: &[u8]) -> bool {
        self.map.get(key).is_some_and(|entry| entry.read(&self.clock))
    }

    fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) {
        self.map.insert(key.into(), Stored::new(value, ttl, &self.clock));
    }

    fn items(&self) -> Option<usize> {
        Some(self.map.len())
    }
}
