//! Our engine, bounded by all the memory it takes.

use std::time::Duration;

use larder_bench_store::workload::Key;
use larder_store::{Clock, Config, Store, Value};

use crate::engine::{Engine, Limit, Size, touch};

pub(crate) struct Larder {
    store: Store,
    clock: Clock,
}

impl Larder {
    /// About what it adds to an item.
    const OVERHEAD: usize = 24;

    pub(crate) fn new(size: &Size) -> anyhow::Result<Larder> {
        let clock = if size.simulated { Clock::manual(1_000_000) } else { Clock::system() };
        let bytes = match size.limit {
            Limit::Roomy => 2 * size.items * (size.item_bytes + Larder::OVERHEAD),
            Limit::Items => size.items * (size.item_bytes + Larder::OVERHEAD),
            Limit::Bytes(bytes) => bytes,
        };
        let config = Config { clock: clock.clone(), take_all: size.take_all, ..Config::new(bytes) };
        let store = Store::new(config)?;
        Ok(Larder { store, clock })
    }
}

impl Engine for Larder {
    #[inline]
    fn get(&self, key: &[u8]) -> bool {
        self.store.tenant().get(key, |item| read(&item.value())).is_some()
    }

    fn get_many(&self, keys: &[Key]) -> usize {
        let mut hits = 0;
        self.store.tenant().get_many(keys, |_, item| {
            if let Some(item) = item {
                read(&item.value());
                hits += 1;
            }
        });
        hits
    }

    fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) {
        // A cache may refuse; what was refused is a miss later.
        let _ = self.store.tenant().set(key, value, 0, ttl);
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    fn items(&self) -> Option<usize> {
        Some(self.store.tenant().len())
    }
}

/// Reads the ends of a value: it lies in one piece unless it is large.
#[inline]
fn read(value: &Value<'_>) {
    match value.as_slice() {
        Some(bytes) => touch(bytes),
        None => value.pieces().for_each(touch),
    }
}
