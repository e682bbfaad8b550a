//! The public type: picks the shard of a key and hands out CAS numbers.
//!
//! Each operation takes one shard's lock, reads the clock once and never holds two locks. CAS
//! numbers are handed out under the lock of the key's shard, so within a shard a later change has a
//! higher number, and a flush is a number too: everything with a lower one is gone.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Clock;
use crate::shard::{At, Meta, NoRoom, Reason, Shard, item};
use crate::slab::NEVER;
use crate::stats::Stats;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 64 * 1024;

/// The smallest limit of a store, in bytes: a lower `max_bytes` means this.
pub const MIN_MAX_BYTES: usize = 64 * 1024;

/// A shard holds at least this many of the largest items. Empty slots, which are not given back, take
/// two thirds of a shard at most; of the rest, `append` needs an item's old and new value at once.
const LARGEST_PER_SHARD: usize = 8;

/// A shard is at least this many bytes, so that the evictions of one resemble those of all.
const MIN_SHARD_BYTES: usize = 512 * 1024;

const MAX_SHARDS: usize = 64;

/// How a [`Store`] is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// The limit for everything the store keeps, in bytes: keys, values, per-item overhead, index.
    /// At least [`MIN_MAX_BYTES`].
    pub max_bytes: usize,
    /// The largest item, key and value together, in bytes. Never more than an eighth of
    /// `max_bytes`.
    pub max_item_bytes: usize,
    /// Where the time is read.
    pub clock: Clock,
}

impl Config {
    /// A limit of `max_bytes`, items of up to 1 MiB, the system's clock.
    #[must_use]
    pub fn new(max_bytes: usize) -> Config {
        Config { max_bytes, max_item_bytes: 1024 * 1024, clock: Clock::system() }
    }
}

/// An item as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// What was stored.
    pub value: &'a [u8],
    /// The number stored with it, which means something to clients only.
    pub flags: u32,
    /// Changes with every change of the value or flags; never 0.
    pub cas: u64,
    /// The time left, in whole milliseconds; `None`: it does not expire.
    pub ttl: Option<Duration>,
    /// Key and value.
    pub(crate) data: &'a Bytes,
}

impl Item<'_> {
    /// The value, to be kept beyond the read. Nothing is copied: the memory is the engine's, and
    /// outlives the item's eviction for as long as the value is kept.
    pub fn to_bytes(&self) -> Bytes {
        self.data.slice(self.data.len() - self.value.len()..)
    }
}

/// When [`Store::store`] stores, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Always.
    Set,
    /// Only if the key has no item.
    Add,
    /// Only if the key has an item.
    Replace,
    /// Puts the value after that of the item there is; its flags and TTL stay.
    Append,
    /// Puts the value before that of the item there is; its flags and TTL stay.
    Prepend,
    /// Only if the key's item has this CAS number.
    Cas(u64),
}

/// What [`Store::store`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Stored under this CAS number.
    Stored {
        /// The item's CAS number.
        cas: u64,
    },
    /// `Add` and the key has an item; `Replace`, `Append` or `Prepend` and it has none.
    NotStored,
    /// `Cas` and the item has another number.
    Exists,
    /// `Cas` and there is no item.
    NotFound,
}

/// What [`Store::incr`] or [`Store::decr`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arith {
    /// The new value.
    Value(u64),
    /// There is no item.
    NotFound,
    /// The item's value is not a decimal number below 2^64; it stays as it was.
    NotANumber,
}

/// Why nothing could be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreError {
    /// The item, or its key, is larger than allowed.
    TooLarge {
        /// Its size in bytes: key and value together, or the key alone if that is too long.
        bytes: usize,
        /// The most that is allowed, in bytes.
        limit: usize,
    },
}

/// A cache in memory. See the [crate's documentation](crate).
pub struct Store {
    shards: Box<[Mutex<Shard>]>,
    /// Seeded at random, so that nobody can choose keys that collide.
    hasher: RandomState,
    clock: Clock,
    max_item_bytes: usize,
    next_cas: AtomicU64,
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new(config: Config) -> Store {
        let max_bytes = config.max_bytes.max(MIN_MAX_BYTES);
        let max_item_bytes = config.max_item_bytes.min(max_bytes / LARGEST_PER_SHARD);
        let shard_bytes = MIN_SHARD_BYTES.max(max_item_bytes.saturating_mul(LARGEST_PER_SHARD));
        let shards = (max_bytes / shard_bytes).clamp(1, MAX_SHARDS);
        Store {
            shards: (0..shards).map(|_| Mutex::new(Shard::new(max_bytes / shards))).collect(),
            hasher: RandomState::new(),
            clock: config.clock,
            max_item_bytes,
            next_cas: AtomicU64::new(1),
        }
    }

    /// Calls `read` with the item of `key` and returns what it returned, or `None` on a miss.
    ///
    /// `read` runs under a lock: it should copy what it needs, and must not call this store, which
    /// would wait for itself.
    pub fn get<R>(&self, key: &[u8], read: impl FnOnce(Item<'_>) -> R) -> Option<R> {
        let (mut shard, at) = self.enter(key);
        let Some(slot) = shard.find(&at) else {
            shard.counters.misses += 1;
            return None;
        };
        shard.counters.hits += 1;
        shard.mark_read(slot);
        Some(read(item(shard.entry(slot), at.now)))
    }

    /// Stores `value` under `key` as `mode` says.
    ///
    /// `ttl` is rounded up to milliseconds; `None` never expires, zero expires at once. Other items
    /// are evicted if there is no room.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooLarge`] when the key or the item is larger than allowed. A `Set` that is too
    /// large removes the item there was, as memcached does: the old value is not what the caller
    /// last wanted. Any other mode leaves it.
    pub fn store(
        &self,
        mode: Mode,
        key: &[u8],
        value: &[u8],
        flags: u32,
        ttl: Option<Duration>,
    ) -> Result<Outcome, StoreError> {
        let (mut shard, at) = self.enter(key);
        let found = shard.find(&at);
        self.check_size(&mut shard, mode, &at, found, value.len())?;
        let cas = self.next_cas.fetch_add(1, Ordering::SeqCst);
        let stored = match (mode, found) {
            (Mode::Add, Some(_)) | (Mode::Replace | Mode::Append | Mode::Prepend, None) => {
                return Ok(Outcome::NotStored);
            }
            (Mode::Cas(_), None) => return Ok(Outcome::NotFound),
            (Mode::Cas(expected), Some(slot)) if shard.entry(slot).cas != expected => {
                return Ok(Outcome::Exists);
            }
            (Mode::Append, Some(slot)) => shard.rewrite(slot, at.now, (&[], true, value), cas),
            (Mode::Prepend, Some(slot)) => shard.rewrite(slot, at.now, (value, true, &[]), cas),
            (Mode::Set | Mode::Add | Mode::Replace | Mode::Cas(_), found) => {
                if let Some(slot) = found {
                    shard.remove(slot, Reason::Replaced);
                }
                shard.insert(&at, value, Meta { flags, expires: expiry(at.now, ttl), cas })
            }
        };
        // The limit for items leaves room for one whatever else there is; this is the second wall.
        let bytes = key.len() + value.len();
        stored.map_err(|NoRoom| StoreError::TooLarge { bytes, limit: self.max_item_bytes })?;
        shard.counters.sets += 1;
        shard.counters.replaced += u64::from(matches!(mode, Mode::Append | Mode::Prepend));
        Ok(Outcome::Stored { cas })
    }

    /// Removes the item of `key`; whether there was one.
    pub fn delete(&self, key: &[u8]) -> bool {
        let (mut shard, at) = self.enter(key);
        let found = shard.find(&at);
        if let Some(slot) = found {
            shard.remove(slot, Reason::Deleted);
        }
        found.is_some()
    }

    /// Gives the item of `key` a new TTL, counted from now as in [`store`](Store::store); whether
    /// there was one. Its CAS number stays.
    pub fn touch(&self, key: &[u8], ttl: Option<Duration>) -> bool {
        let (mut shard, at) = self.enter(key);
        let found = shard.find(&at);
        if let Some(slot) = found {
            shard.set_expiry(slot, expiry(at.now, ttl));
        }
        found.is_some()
    }

    /// Adds `delta` to the number in the item of `key`; beyond 2^64 - 1 it goes on from 0.
    ///
    /// The value is read as decimal digits now, whoever stored it; the sum is stored as digits
    /// without padding. Flags and TTL stay.
    pub fn incr(&self, key: &[u8], delta: u64) -> Arith {
        self.arith(key, |number| number.wrapping_add(delta))
    }

    /// Subtracts `delta` as [`incr`](Store::incr) adds it; below 0 it is 0.
    pub fn decr(&self, key: &[u8], delta: u64) -> Arith {
        self.arith(key, |number| number.saturating_sub(delta))
    }

    /// Makes every item dead that was stored before this call; items stored after it stay. One that
    /// is stored meanwhile may be either.
    ///
    /// Takes the same time whatever the store holds: the memory is taken back as dead items are met,
    /// and before any live item is evicted.
    pub fn flush(&self) {
        for shard in &self.shards {
            let mut shard = Self::lock(shard);
            shard.flush(self.next_cas.load(Ordering::SeqCst));
        }
    }

    /// The store's figures.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for shard in &self.shards {
            stats.add(&Self::lock(shard).stats());
        }
        stats
    }

    /// The number of items, as [`Stats::items`] counts them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| Self::lock(shard).len()).sum()
    }

    /// Whether [`len`](Store::len) is 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The largest item that can be stored, key and value together, in bytes.
    #[must_use]
    pub fn max_item_bytes(&self) -> usize {
        self.max_item_bytes
    }

    /// Calls `f` with the key and item of every live item, in no order that means anything.
    ///
    /// One shard is locked at a time; items stored or removed meanwhile may be seen or not. `f` must
    /// not call this store. It counts neither as hits nor as use.
    pub fn for_each(&self, mut f: impl FnMut(&[u8], Item<'_>)) {
        for shard in &self.shards {
            Self::lock(shard).for_each(self.clock.now_ms(), &mut f);
        }
    }

    /// Recounts items, bytes and links, one shard at a time: for tests, and slow.
    ///
    /// # Errors
    ///
    /// The first disagreement found, in words.
    pub fn validate(&self) -> Result<(), String> {
        for (number, shard) in self.shards.iter().enumerate() {
            let shard = Self::lock(shard);
            let next_cas = self.next_cas.load(Ordering::SeqCst);
            shard.validate(next_cas).map_err(|fault| format!("shard {number}: {fault}"))?;
        }
        Ok(())
    }

    /// Locks the shard of a key and reads the clock.
    fn enter<'k>(&self, key: &'k [u8]) -> (MutexGuard<'_, Shard>, At<'k>) {
        let hash = self.hasher.hash_one(key);
        // The lower half of the hash, scaled to the number of shards.
        let number = ((hash & 0xffff_ffff) * self.shards.len() as u64) >> 32;
        let number = usize::try_from(number).expect("below the number of shards");
        let shard = Self::lock(&self.shards[number]);
        (shard, At { key, hash, now: self.clock.now_ms() })
    }

    fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
        // A panic under a lock can only come from a caller's closure, which changes nothing.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses what is too large; a `Set` then loses the item there was.
    fn check_size(
        &self,
        shard: &mut Shard,
        mode: Mode,
        at: &At<'_>,
        found: Option<u32>,
        value_bytes: usize,
    ) -> Result<(), StoreError> {
        let old_bytes = match (mode, found) {
            (Mode::Append | Mode::Prepend, Some(slot)) => shard.entry(slot).value().len(),
            _ => 0,
        };
        let bytes = at.key.len().saturating_add(value_bytes).saturating_add(old_bytes);
        let too_large = if at.key.len() > MAX_KEY_BYTES {
            StoreError::TooLarge { bytes: at.key.len(), limit: MAX_KEY_BYTES }
        } else if bytes > self.max_item_bytes {
            StoreError::TooLarge { bytes, limit: self.max_item_bytes }
        } else {
            return Ok(());
        };
        if let (Mode::Set, Some(slot)) = (mode, found) {
            shard.remove(slot, Reason::Replaced);
        }
        Err(too_large)
    }

    fn arith(&self, key: &[u8], compute: impl FnOnce(u64) -> u64) -> Arith {
        let (mut shard, at) = self.enter(key);
        let Some(slot) = shard.find(&at) else {
            return Arith::NotFound;
        };
        let Some(number) = decimal(shard.entry(slot).value()) else {
            return Arith::NotANumber;
        };
        let result = compute(number);
        let cas = self.next_cas.fetch_add(1, Ordering::SeqCst);
        let digits = result.to_string();
        match shard.rewrite(slot, at.now, (digits.as_bytes(), false, &[]), cas) {
            Ok(()) => Arith::Value(result),
            // Cannot be: see `store`. Rather no counter than one that stands still.
            Err(NoRoom) => {
                shard.remove(slot, Reason::Evicted);
                Arith::NotFound
            }
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Figures, not contents: cached values do not belong in a log.
        f.debug_struct("Store").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StoreError::TooLarge { bytes, limit } = self;
        write!(f, "too large for the cache: {bytes} bytes, {limit} allowed")
    }
}

impl std::error::Error for StoreError {}

/// The Unix millisecond in which something stored now with this TTL expires.
fn expiry(now: u64, ttl: Option<Duration>) -> u64 {
    let Some(ttl) = ttl else { return NEVER };
    let ms = ttl.as_nanos().div_ceil(1_000_000);
    now.saturating_add(u64::try_from(ms).unwrap_or(NEVER))
}

/// The number that decimal digits, and nothing else, stand for.
fn decimal(value: &[u8]) -> Option<u64> {
    let digits = value.iter().all(u8::is_ascii_digit) && !value.is_empty();
    digits.then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten()
}
