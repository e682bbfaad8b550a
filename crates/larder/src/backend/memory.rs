//! The in-process backend: commands run against the engine, without I/O.

use std::sync::Arc;

use larder_client::{Command, Direction, Item, Reply, StoreMode, StoreOutcome};
use larder_store::{Arith, Clock, Mode, Outcome, Store};

use crate::ttl::life_of;

#[derive(Clone)]
pub(super) struct Memory {
    store: Arc<Store>,
    clock: Clock,
}

impl Memory {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        Self { store: Arc::new(store), clock }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.now_ms() / 1000
    }

    pub(super) fn describe(&self) -> String {
        let mib = self.store.stats().max_bytes / (1024 * 1024);
        format!("at most {mib} MiB")
    }

    pub(super) fn run(&self, command: Command) -> Reply {
        let store = &self.store;
        match command {
            Command::Get { key } => Reply::Item(store.get(key.as_bytes(), |item| Item {
                value: item.to_bytes(),
                flags: item.flags,
                cas: item.cas,
            })),
            Command::Store { mode, key, value, flags, exptime } => {
                let life = life_of(exptime, self.now());
                let outcome = store.store(mode_of(mode), key.as_bytes(), &value, flags, life);
                // Too large for the engine: not stored, and the engine dropped the old value.
                Reply::Store(outcome.map_or(StoreOutcome::NotStored, outcome_of))
            }
            Command::Delete { key } => Reply::Deleted(store.delete(key.as_bytes())),
            Command::Touch { key, exptime } => {
                Reply::Touched(store.touch(key.as_bytes(), life_of(exptime, self.now())))
            }
            Command::Arith { key, delta, direction } => {
                let key = key.as_bytes();
                let result = match direction {
                    Direction::Incr => store.incr(key, delta),
                    Direction::Decr => store.decr(key, delta),
                };
                Reply::Number(match result {
                    Arith::Value(value) => Some(value),
                    Arith::NotFound | Arith::NotANumber => None,
                })
            }
            Command::FlushAll => {
                store.flush();
                Reply::Flushed
            }
            Command::Version => Reply::Version(env!("CARGO_PKG_VERSION").to_owned()),
        }
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("stats", &self.store.stats()).finish_non_exhaustive()
    }
}

fn mode_of(mode: StoreMode) -> Mode {
    match mode {
        StoreMode::Set => Mode::Set,
        StoreMode::Add => Mode::Add,
        StoreMode::Replace => Mode::Replace,
        StoreMode::Append => Mode::Append,
        StoreMode::Prepend => Mode::Prepend,
        StoreMode::Cas(cas) => Mode::Cas(cas),
    }
}

fn outcome_of(outcome: Outcome) -> StoreOutcome {
    match outcome {
        Outcome::Stored { cas } => StoreOutcome::Stored { cas: Some(cas) },
        Outcome::NotStored => StoreOutcome::NotStored,
        Outcome::Exists => StoreOutcome::Exists,
        Outcome::NotFound => StoreOutcome::NotFound,
    }
}
