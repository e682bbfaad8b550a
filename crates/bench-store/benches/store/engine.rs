//! What the harness asks of an engine, and the list of engines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larder_bench_store::workload::Key;

use crate::engines;

/// A cache under measurement.
pub(crate) trait Engine: Send + Sync {
    /// Reads a value's first and last byte; whether there was one.
    fn get(&self, key: &[u8]) -> bool;

    /// Reads many values; how many there were. An engine without such a call is asked one by one.
    fn get_many(&self, keys: &[Key]) -> usize {
        keys.iter().filter(|key| self.get(*key)).count()
    }

    /// Stores a value; `None` lives until it is evicted.
    fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>);

    /// Does what the engine has put off, where its users are told to call that.
    fn settle(&self) {}

    /// Moves the engine's own clock, where it has one that can be moved.
    fn advance(&self, _by: Duration) {}

    /// How many items it says it holds, if it counts them.
    fn items(&self) -> Option<usize> {
        None
    }

    /// The process that holds the items, where that is another one.
    fn process(&self) -> Option<u32> {
        None
    }

    /// Whether a key is there, without counting as a use where the engine can tell the two apart.
    fn peek(&self, key: &[u8]) -> bool {
        self.get(key)
    }
}

/// How large an engine is made.
#[derive(Debug, Clone)]
pub(crate) struct Size {
    /// How many items it is meant to hold.
    pub items: usize,
    /// Key and value of a usual item.
    pub item_bytes: usize,
    /// What bounds it.
    pub limit: Limit,
    /// The time that expiry is checked against, where it is stored beside the value.
    pub clock: SharedClock,
    /// Whether time passes only by [`Engine::advance`].
    pub simulated: bool,
    /// Whether an engine that can takes all its memory before it is used.
    pub take_all: bool,
}

/// What bounds an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// All items fit easily.
    Roomy,
    /// As many items as were named: by weight of payload, for engines that know nothing else.
    Items,
    /// The engine's own limit in bytes, whatever it counts in it.
    Bytes(usize),
}

impl Size {
    /// Room for so many items.
    pub(crate) fn roomy(items: usize, item_bytes: usize) -> Size {
        Size {
            items,
            item_bytes,
            limit: Limit::Roomy,
            clock: SharedClock::default(),
            simulated: false,
            take_all: false,
        }
    }

    /// The limit for an engine that weighs keys and values only.
    pub(crate) fn payload(&self) -> usize {
        match self.limit {
            Limit::Roomy => 2 * self.items * self.item_bytes,
            Limit::Items => self.items * self.item_bytes,
            Limit::Bytes(bytes) => bytes,
        }
    }
}

/// A simulated time in milliseconds, shared by all engines that store an expiry beside the value.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedClock(Arc<AtomicU64>);

impl SharedClock {
    /// Milliseconds since it was made.
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap_or(0), Ordering::Relaxed);
    }

    /// Begins at zero again, with a new engine.
    pub(crate) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A key as a library's user stores it.
pub(crate) type StoredKey = Box<[u8]>;

/// A value as a library's user stores it: the bytes shared, the expiry beside them.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// In milliseconds of the shared clock; 0 for never.
    expires: u64,
    bytes: Arc<[u8]>,
}

impl Stored {
    pub(crate) fn new(value: &[u8], ttl: Option<Duration>, clock: &SharedClock) -> Stored {
        let millis = |ttl: Duration| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let expires = ttl.map_or(0, |ttl| clock.now() + millis(ttl).max(1));
        Stored { expires, bytes: value.into() }
    }

    /// Reads the ends of the value, unless it is expired; whether it is alive.
    #[inline]
    pub(crate) fn read(&self, clock: &SharedClock) -> bool {
        touch(&self.bytes);
        self.expires == 0 || clock.now() < self.expires
    }

    /// The bytes of the value.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Reads the first and the last byte, as a stand-in for using the value.
#[inline]
pub(crate) fn touch(value: &[u8]) {
    std::hint::black_box((value.first(), value.last()));
    if let (Some(&first), Some(&last)) = (value.first(), value.last()) {
        std::hint::black_box(first ^ last);
    }
}

/// The engines, in the order of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    Larder,
    Segcache,
    #[value(name = "quick_cache")]
    QuickCache,
    Foyer,
    Moka,
    Lru,
    #[value(name = "dashmap")]
    DashMap,
    Papaya,
    /// Only where memory is measured.
    Memcached,
}

impl Kind {
    /// Those that are libraries.
    pub(crate) const LIBRARIES: [Kind; 8] = [
        Kind::Larder,
        Kind::Segcache,
        Kind::QuickCache,
        Kind::Foyer,
        Kind::Moka,
        Kind::Lru,
        Kind::DashMap,
        Kind::Papaya,
    ];

    /// The crates.io package of a peer.
    pub(crate) fn package(self) -> Option<&'static str> {
        match self {
            Kind::Larder | Kind::Memcached => None,
            Kind::Foyer => Some("foyer-memory"),
            _ => Some(self.name()),
        }
    }

    /// Its name in tables and arguments.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Larder => "larder",
            Kind::Segcache => "segcache",
            Kind::QuickCache => "quick_cache",
            Kind::Foyer => "foyer",
            Kind::Moka => "moka",
            Kind::Lru => "lru",
            Kind::DashMap => "dashmap",
            Kind::Papaya => "papaya",
            Kind::Memcached => "memcached",
        }
    }

    /// An empty engine of this size.
    pub(crate) fn build(self, size: &Size) -> anyhow::Result<Box<dyn Engine>> {
        Ok(match self {
            Kind::Larder => Box::new(engines::larder::Larder::new(size)?),
            Kind::Segcache => Box::new(engines::segcache::Segments::new(size)?),
            Kind::QuickCache => Box::new(engines::quick_cache::Quick::new(size)?),
            Kind::Foyer => Box::new(engines::foyer::Foyer::new(size)),
            Kind::Moka => Box::new(engines::moka::Moka::new(size)),
            Kind::Lru => Box::new(engines::lru::Sharded::new(size)),
            Kind::DashMap => Box::new(engines::dashmap::Map::new(size)),
            Kind::Papaya => Box::new(engines::papaya::Map::new(size)),
            Kind::Memcached => Box::new(engines::memcached::Server::new(size)?),
        })
    }
}
