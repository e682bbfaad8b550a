//! papaya: a lock-free map without eviction.

use std::time::Duration;

use foldhash::fast::RandomState;
use papaya::HashMap;

use crate::engine::{Engine, SharedClock, Size, Stored, StoredKey};

pub(crate) struct Map {
    map: HashMap<StoredKey, Stored, RandomState>,
    clock: SharedClock,
}

impl Map {
    pub(crate) fn new(size: &Size) -> Map {
        let map = HashMap::with_capacity_and_hasher(size.items, RandomState::default());
        Map { map, clock: size.clock.clone() }
    }
}

impl Engine for Map {
    fn get(&self, key: &[u8]) -> bool {
        self.map.pin().get(key).is_some_and(|stored| stored.read(&self.clock))
    }

    fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) {
        self.map.pin().insert(key.into(), Stored::new(value, ttl, &self.clock));
    }

    fn items(&self) -> Option<usize> {
        Some(self.map.len())
    }
}
