//! The in-process backend: commands run against the engine, without I/O.

use bytes::Bytes;
use larder_client::{Command, Direction, Item, Key, Reply, StoreMode, StoreOutcome};
use larder_store::{Arith, Clock, Mode, Outcome, Store, Tenant};

use super::Cas;
use crate::ttl::life_of;

#[derive(Clone)]
pub(super) struct Memory {
    store: Store,
    clock: Clock,
}

impl Memory {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
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

    /// Runs `commands` in order; one reply each.
    pub(super) fn batch(&self, commands: Vec<Command>, cas: Cas) -> Vec<Reply> {
        if commands.len() > 1
            && let Some(keys) = commands.iter().map(key_of_get).collect::<Option<Vec<_>>>()
        {
            // Together: the engine asks for memory ahead.
            let mut replies = Vec::with_capacity(keys.len());
            self.tenant().get_many(&keys, |_, item| {
                replies.push(Reply::Item(item.map(|item| copied(&item, cas))));
            });
            return replies;
        }
        commands.into_iter().map(|command| self.run(command, cas)).collect()
    }

    /// What is under `key`.
    pub(super) fn get(&self, key: &Key, cas: Cas) -> Option<Item> {
        self.tenant().get(key.as_bytes(), |item| copied(&item, cas))
    }

    fn tenant(&self) -> &Tenant {
        self.store.tenant()
    }

    fn run(&self, command: Command, cas: Cas) -> Reply {
        let tenant = self.tenant();
        match command {
            Command::Get { key } => Reply::Item(self.get(&key, cas)),
            Command::Store { mode, key, value, flags, exptime } => {
                let life = life_of(exptime, self.now());
                let key = key.as_bytes();
                let outcome = match mode {
                    // Nobody needs the number of what was just set.
                    StoreMode::Set => tenant
                        .set(key, &value, flags, life)
                        .map(|()| StoreOutcome::Stored { cas: None }),
                    mode => tenant.store(mode_of(mode), key, &value, flags, life).map(outcome_of),
                };
                // Too large for the engine, or no room just now: not stored, and a set has removed
                // the old value.
                Reply::Store(outcome.unwrap_or(StoreOutcome::NotStored))
            }
            Command::Delete { key } => Reply::Deleted(tenant.delete(key.as_bytes())),
            Command::Touch { key, exptime } => {
                let touched = tenant.touch(key.as_bytes(), life_of(exptime, self.now()));
                // No room to write it anew with another TTL: it keeps the one it has.
                Reply::Touched(touched.unwrap_or(false))
            }
            Command::Arith { key, delta, direction } => {
                let key = key.as_bytes();
                let result = match direction {
                    Direction::Incr => tenant.incr(key, delta),
                    Direction::Decr => tenant.decr(key, delta),
                };
                Reply::Number(match result {
                    Ok(Arith::Value(value)) => Some(value),
                    Ok(Arith::NotFound | Arith::NotANumber) | Err(_) => None,
                })
            }
            Command::FlushAll => {
                tenant.flush();
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

fn key_of_get(command: &Command) -> Option<&[u8]> {
    match command {
        Command::Get { key } => Some(key.as_bytes()),
        _ => None,
    }
}

/// The item, to be kept: the engine only lends it.
fn copied(item: &larder_store::Item<'_>, cas: Cas) -> Item {
    let value = Bytes::from(item.value().to_vec());
    let cas = if cas == Cas::Told { item.cas() } else { 0 };
    Item { value, flags: item.flags(), cas }
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

#[cfg(test)]
mod tests {
    use super::*;
    use larder_store::Config;

    fn memory(bytes: usize) -> Memory {
        let config = Config::new(bytes);
        let clock = config.clock.clone();
        Memory::new(Store::new(config).unwrap(), clock)
    }

    fn key(name: &str) -> Key {
        Key::new(name).unwrap()
    }

    fn store(mode: StoreMode, name: &str, value: impl Into<Bytes>) -> Command {
        Command::Store { mode, key: key(name), value: value.into(), flags: 7, exptime: 0 }
    }

    fn get(name: &str) -> Command {
        Command::Get { key: key(name) }
    }

    #[test]
    fn a_value_in_pieces_is_put_together() {
        let memory = memory(8 << 20);
        let value: Bytes = (0..900_000_u32).map(|n| n.to_le_bytes()[n as usize % 4]).collect();
        let stored = memory.batch(vec![store(StoreMode::Set, "large", value.clone())], Cas::Untold);
        assert_eq!(stored, [Reply::Store(StoreOutcome::Stored { cas: None })]);
        let pieces = memory.tenant().get(b"large", |item| item.value().pieces().count());
        assert!(pieces > Some(1), "{pieces:?}");
        let there = Reply::Item(Some(Item { value, flags: 7, cas: 0 }));
        assert_eq!(memory.batch(vec![get("large")], Cas::Untold), std::slice::from_ref(&there));
        let replies = memory.batch(vec![get("none"), get("large")], Cas::Untold);
        assert_eq!(replies, [Reply::Item(None), there]);
    }

    #[test]
    fn a_cas_number_is_told_to_who_asks_and_holds_until_the_next_change() {
        let memory = memory(1 << 20);
        memory.run(store(StoreMode::Set, "key", "1"), Cas::Untold);
        assert_eq!(memory.get(&key("key"), Cas::Untold).unwrap().cas, 0);
        let cas = memory.get(&key("key"), Cas::Told).unwrap().cas;
        assert_eq!(memory.get(&key("key"), Cas::Told).unwrap().cas, cas);
        let told = memory.batch(vec![get("key"), get("key")], Cas::Told);
        let Reply::Item(Some(item)) = &told[1] else { panic!("{told:?}") };
        assert_eq!(item.cas, cas);
        let swap =
            |value: &'static str| memory.run(store(StoreMode::Cas(cas), "key", value), Cas::Untold);
        assert!(matches!(swap("2"), Reply::Store(StoreOutcome::Stored { .. })));
        assert_eq!(swap("3"), Reply::Store(StoreOutcome::Exists));
        assert!(memory.get(&key("key"), Cas::Told).unwrap().cas > cas);
    }

    #[test]
    fn a_small_limit_means_the_smallest_and_holds_whatever_is_stored() {
        let memory = memory(0);
        assert_eq!(memory.describe(), "at most 1 MiB");
        for n in 0..5_000 {
            let outcome =
                memory.run(store(StoreMode::Set, &n.to_string(), vec![0; 1000]), Cas::Told);
            assert_eq!(outcome, Reply::Store(StoreOutcome::Stored { cas: None }));
        }
        assert!(memory.store().stats().bytes <= 1 << 20);
        assert!(memory.get(&key("4999"), Cas::Untold).is_some());
        let large = memory.run(store(StoreMode::Set, "4999", vec![0; 1 << 18]), Cas::Untold);
        assert_eq!(large, Reply::Store(StoreOutcome::NotStored), "over an eighth of the whole");
        assert_eq!(memory.get(&key("4999"), Cas::Untold), None, "nor is the old value kept");
        memory.store().validate().unwrap();
    }
}
