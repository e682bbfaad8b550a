//! Where values are kept: in this process, on memcached servers, or nowhere.
//!
//! All three speak one small language, the client's [`Command`] and [`Reply`], so everything above
//! is written once and one suite tests it over every backend.

mod memory;

use std::time::{SystemTime, UNIX_EPOCH};

use larder_client::{Batch, Client, Command, Key, Reply, StoreOutcome};
use larder_store::Store;

use crate::error::ConfigError;
use memory::Memory;

/// The place where a cache keeps its values. Clones share it.
#[derive(Clone, Debug)]
pub struct Backend(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Memory(Memory),
    Memcached(Client),
    Null,
}

/// Whether gets tell the CAS numbers of what they find. Servers always do. The engine in this
/// process keeps an item smaller, and replaces it faster, as long as nobody knows its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cas {
    Told,
    /// In this process it is 0.
    Untold,
}

impl Backend {
    /// In this process, in at most `bytes` of memory, index included; less than 1 MiB means 1 MiB.
    ///
    /// # Panics
    /// When the system does not let that much memory be reserved; it is used only as it is needed.
    /// [`try_store`](Self::try_store) returns an error instead.
    #[must_use]
    pub fn in_process(bytes: usize) -> Self {
        Self::store(larder_store::Config::new(bytes))
    }

    /// In this process, with settings of the engine such as a clock that tests move.
    ///
    /// # Panics
    /// As [`in_process`](Self::in_process).
    #[must_use]
    pub fn store(config: larder_store::Config) -> Self {
        Self::try_store(config).unwrap_or_else(|error| panic!("{error}"))
    }

    /// In this process, with settings of the engine.
    ///
    /// # Errors
    /// [`ConfigError::Store`] when the system does not let the memory be reserved.
    pub fn try_store(config: larder_store::Config) -> Result<Self, ConfigError> {
        let clock = config.clock.clone();
        Ok(Self(Kind::Memory(Memory::new(Store::new(config)?, clock))))
    }

    /// On a fleet of memcached-protocol servers.
    #[must_use]
    pub fn memcached(client: Client) -> Self {
        Self(Kind::Memcached(client))
    }

    /// Nowhere: every read misses, every write is forgotten.
    #[must_use]
    pub fn null() -> Self {
        Self(Kind::Null)
    }

    /// A few words for people: where the values are.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.0 {
            Kind::Memory(memory) => format!("in this process, {}", memory.describe()),
            Kind::Memcached(client) => {
                let health = client.health();
                let servers: Vec<_> = health.iter().map(|server| server.addr.to_string()).collect();
                format!("memcached servers {}", servers.join(", "))
            }
            Kind::Null => "nowhere (caching is off)".to_owned(),
        }
    }

    /// The client, when the values are on servers.
    #[must_use]
    pub fn client(&self) -> Option<&Client> {
        match &self.0 {
            Kind::Memcached(client) => Some(client),
            _ => None,
        }
    }

    /// The engine, when the values are in this process.
    #[must_use]
    pub fn engine(&self) -> Option<&Store> {
        match &self.0 {
            Kind::Memory(memory) => Some(memory.store()),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.0, Kind::Null)
    }

    /// Runs `commands` in order; one reply each.
    pub(crate) async fn batch(&self, commands: Vec<Command>, cas: Cas) -> Batch {
        match &self.0 {
            // Boxed, so that the future of every cache operation stays small: futures are moved,
            // and a page from memory would pay for the room that a page from a server needs.
            Kind::Memcached(client) => Box::pin(client.batch(commands)).await,
            Kind::Memory(memory) => {
                let replies = memory.batch(commands, cas).into_iter().map(Ok).collect();
                Batch { replies, round_trips: 0 }
            }
            Kind::Null => {
                let replies = commands.into_iter().map(|command| Ok(nothing(&command))).collect();
                Batch { replies, round_trips: 0 }
            }
        }
    }

    /// The reply to a get of `key` with its CAS number, where a batch may have left that out: in
    /// this process.
    pub(crate) fn get_telling(&self, key: &Key) -> Option<Reply> {
        match &self.0 {
            Kind::Memory(memory) => Some(Reply::Item(memory.get(key, Cas::Told))),
            _ => None,
        }
    }

    /// The clock that exptimes are reckoned by, in Unix seconds.
    pub(crate) fn now(&self) -> u64 {
        match &self.0 {
            Kind::Memory(memory) => memory.now(),
            _ => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        }
    }
}

/// The reply of a cache that holds nothing.
fn nothing(command: &Command) -> Reply {
    match command {
        Command::Get { .. } => Reply::Item(None),
        Command::Store { .. } => Reply::Store(StoreOutcome::NotStored),
        Command::Delete { .. } => Reply::Deleted(false),
        Command::Touch { .. } => Reply::Touched(false),
        Command::Arith { .. } => Reply::Number(None),
        Command::FlushAll => Reply::Flushed,
        Command::Version => Reply::Version("null".to_owned()),
    }
}
