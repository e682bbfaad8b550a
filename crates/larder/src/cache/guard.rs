//! Fills that an invalidation can refuse.
//!
//! A value computed from the database is stale if something invalidated its key after the
//! computation began to read. Plain `set` cannot know; nor can `add`, because after a delete there
//! is nothing for it to collide with. So a miss first puts a *placeholder* under the key, with a
//! *token* that no other placeholder has. The fill looks whether exactly that placeholder is still
//! there, and replaces it by a `cas`. An invalidation removes or replaces the placeholder, and the
//! late fill is refused. This needs nothing but `add`, `get` and `cas`, so it holds on any
//! memcached-protocol server and between any number of processes.
//!
//! A CAS number alone would not do for a guard: a server that restarts counts from 1 again, and
//! gives the same number to another placeholder. Here it only has to hold from the fill's look to
//! its write.
//!
//! The placeholder is a miss to every reader. It expires by itself, and a computation that takes
//! longer than that is simply not stored.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use larder_client::{StoreMode, StoreOutcome};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Cache;
use super::values::{blob_of, decode, encode, is_stored};
use super::wire::{Fetched, Write, blob};
use crate::activity::Figures;
use crate::envelope::{Codec, Payload};
use crate::key::{CacheKey, WireKey};
use crate::ttl::Ttl;

/// How long a placeholder lasts, in seconds: the longest computation whose value is still stored.
pub(super) const PLACEHOLDER_SECONDS: u32 = 60;

/// What a look-up found, and the right to fill what it did not.
#[derive(Debug)]
pub enum Lookup<T> {
    /// The cached value.
    Hit(T),
    /// No value. Compute it, reading nothing before this moment, and fill the guard.
    Miss(Guard),
    /// The cache could not be asked, so it is not known whether there is a value. The guard
    /// stores nothing.
    Unavailable(Guard),
}

impl<T> Lookup<T> {
    /// The value, if there was one.
    #[must_use]
    pub fn hit(self) -> Option<T> {
        self.value_or_guard().ok()
    }

    /// The value, or the guard to fill.
    ///
    /// # Errors
    /// The guard, when there was no value.
    pub fn value_or_guard(self) -> Result<T, Guard> {
        match self {
            Self::Hit(value) => Ok(value),
            Self::Miss(guard) | Self::Unavailable(guard) => Err(guard),
        }
    }
}

/// What [`Cache::find`] found.
#[derive(Debug)]
pub(crate) enum Found<T> {
    /// The value, and the right to replace it.
    Value(T, Guard),
    Nothing,
    Unavailable,
}

/// The right to store one value under one key, as long as nobody invalidates it first.
#[derive(Debug)]
pub struct Guard {
    cache: Cache,
    key: WireKey,
    /// `None` stores nothing.
    held: Option<Held>,
}

/// What a fill must find under the key.
#[derive(Debug)]
enum Held {
    /// The placeholder with this token.
    Placeholder(Bytes),
    /// This value.
    Value(Payload),
}

/// A guard that may store something, and what.
struct Fill {
    key: WireKey,
    held: Held,
    payload: Payload,
    exptime: u32,
}

impl Guard {
    /// Stores `value`, unless the key was invalidated or filled since the guard was given.
    /// Whether it was stored.
    pub async fn fill<T: Serialize + ?Sized>(self, value: &T, ttl: impl Into<Ttl>) -> bool {
        match encode(value) {
            Some(payload) => self.store(payload, ttl.into()).await,
            None => false,
        }
    }

    /// [`fill`](Self::fill) with raw bytes, to be read by [`Cache::lookup_bytes`].
    pub async fn fill_bytes(self, value: impl Into<Bytes>, ttl: impl Into<Ttl>) -> bool {
        self.store(blob(value.into()), ttl.into()).await
    }

    /// Fills many guards of one cache with raw bytes, in two round trips like a single one: one to
    /// see which guards still hold, one to write. How many were stored.
    pub async fn fill_bytes_many(fills: Vec<(Self, Bytes, Ttl)>) -> usize {
        let fills =
            fills.into_iter().map(|(guard, value, ttl)| (guard, blob(value), ttl)).collect();
        Self::store_many(fills).await
    }

    /// The guard of who has seen the placeholder with this token.
    pub(super) fn seen(cache: &Cache, key: WireKey, token: Option<Bytes>) -> Self {
        Self { cache: cache.clone(), key, held: token.map(Held::Placeholder) }
    }

    pub(super) async fn store(self, payload: Payload, ttl: Ttl) -> bool {
        Self::store_many(vec![(self, payload, ttl)]).await == 1
    }

    async fn store_many(fills: Vec<(Self, Payload, Ttl)>) -> usize {
        let Some(cache) = fills.first().map(|(guard, ..)| guard.cache.clone()) else {
            return 0;
        };
        let able = fills.into_iter().filter_map(|(guard, payload, ttl)| {
            let (held, exptime) = (guard.held?, cache.exptime(ttl)?);
            Some(Fill { key: guard.key, held, payload, exptime })
        });
        let able: Vec<_> = able.collect();
        if able.is_empty() {
            return 0;
        }
        let there = cache.peek(able.iter().map(|fill| &fill.key)).await;
        let (mut writes, mut refused) = (Vec::new(), 0);
        for (fill, there) in able.iter().zip(there) {
            match fill.held.cas(&there) {
                // A server that keeps no CAS answers 0, which the binary protocol takes as "do not
                // compare".
                Some(0) => {}
                Some(cas) => writes.push(fill.write(cas)),
                None => refused += u64::from(!matches!(there, Fetched::Unavailable)),
            }
        }
        cache.fill(writes, refused).await
    }
}

impl Held {
    /// The CAS of what is there, if that is what is held.
    fn cas(&self, there: &Fetched<Payload>) -> Option<u64> {
        match (self, there) {
            (Self::Placeholder(mine), Fetched::Leased { token, cas }) if mine == token => {
                Some(*cas)
            }
            (Self::Value(mine), Fetched::Hit { value, cas }) if mine == value => Some(*cas),
            _ => None,
        }
    }
}

impl Fill {
    fn write(&self, cas: u64) -> Write<'_> {
        let (mode, payload) = (StoreMode::Cas(cas), self.payload.clone());
        Write { key: &self.key, mode, payload, exptime: self.exptime }
    }
}

impl Cache {
    /// Looks a value up, ready to fill it.
    pub async fn lookup<T: DeserializeOwned>(&self, key: impl Into<CacheKey>) -> Lookup<T> {
        self.lookup_one(self.wire(&key.into()), decode).await
    }

    /// Looks up bytes that a guard stored with [`Guard::fill_bytes`].
    pub async fn lookup_bytes(&self, key: impl Into<CacheKey>) -> Lookup<Bytes> {
        self.lookup_one(self.wire(&key.into()), blob_of).await
    }

    /// Looks up many: one round trip where all are there, a second one that gets the guards of all
    /// that are not.
    pub async fn lookup_bytes_many(&self, keys: &[CacheKey]) -> Vec<Lookup<Bytes>> {
        let wires: Vec<_> = keys.iter().map(|key| self.wire(key)).collect();
        let found = self.fetch_or_claim(&wires, |_, payload| blob_of(payload), |_| claim()).await;
        wires.into_iter().zip(found).map(|(wire, fetched)| self.answer(wire, fetched)).collect()
    }

    /// A guard taken by force: whatever is under `key` is gone at once, and earlier guards are void.
    /// For writers, *after* they have changed what the value is computed from.
    ///
    /// Readers who come from now on miss, and may fill the key before this guard does: with what
    /// they read after the change, so with the same value. Taken before the change it would let
    /// them store the old one.
    pub async fn guard(&self, key: impl Into<CacheKey>) -> Guard {
        let wire = self.wire(&key.into());
        self.inner().flights.detach(&wire);
        let token = token();
        let payload = placeholder(token.clone());
        let mode = StoreMode::Set;
        let write = Write { key: &wire, mode, payload, exptime: PLACEHOLDER_SECONDS };
        let stored = is_stored(self.write(vec![write]).await.pop().flatten());
        Guard::seen(self, wire, stored.then_some(token))
    }

    /// Stores `value` whatever is there, with the right to replace exactly this value, which must
    /// therefore be like no other. What reads it is not offered to fill the key, as it would be by
    /// a placeholder.
    pub(crate) async fn set_guarded<T: Serialize + ?Sized>(
        &self,
        key: impl Into<CacheKey>,
        value: &T,
        ttl: impl Into<Ttl>,
    ) -> Guard {
        let wire = self.wire(&key.into());
        self.inner().flights.detach(&wire);
        let mut held = None;
        if let (Some(payload), Some(exptime)) = (encode(value), self.exptime(ttl.into())) {
            let mode = StoreMode::Set;
            let write = Write { key: &wire, mode, payload: payload.clone(), exptime };
            let stored = is_stored(self.write(vec![write]).await.pop().flatten());
            held = stored.then_some(Held::Value(payload));
        }
        Guard { cache: self.clone(), key: wire, held }
    }

    /// Looks a value up with the right to replace exactly this value. Unlike
    /// [`lookup`](Self::lookup), it leaves no placeholder where there is nothing.
    pub(crate) async fn find<T: DeserializeOwned>(&self, key: impl Into<CacheKey>) -> Found<T> {
        let wire = self.wire(&key.into());
        let read = |_, payload: &Payload| Some((decode(payload)?, payload.clone()));
        match self.fetch(std::slice::from_ref(&wire), read).await.pop() {
            Some(Fetched::Hit { value: (value, payload), .. }) => {
                let held = Some(Held::Value(payload));
                Found::Value(value, Guard { cache: self.clone(), key: wire, held })
            }
            Some(Fetched::Unavailable) | None => Found::Unavailable,
            Some(Fetched::Leased { .. } | Fetched::Unreadable { .. } | Fetched::Absent) => {
                Found::Nothing
            }
        }
    }

    /// Puts a placeholder under a key without a value; what is there afterwards.
    pub(super) async fn claim<T: DeserializeOwned>(
        &self,
        key: &WireKey,
        mode: StoreMode,
    ) -> Fetched<T> {
        let (payload, exptime) = claim();
        let write = Write { key, mode, payload, exptime };
        let there = self.write_and_fetch(vec![write], |_, payload| decode(payload)).await;
        there.into_iter().next().unwrap_or(Fetched::Unavailable)
    }

    /// What was found, to the caller: a value, or a guard.
    pub(super) fn answer<T>(&self, wire: WireKey, fetched: Fetched<T>) -> Lookup<T> {
        match fetched {
            Fetched::Hit { value, .. } => Lookup::Hit(value),
            Fetched::Leased { token, .. } => Lookup::Miss(Guard::seen(self, wire, Some(token))),
            Fetched::Unreadable { .. } | Fetched::Absent => {
                Lookup::Miss(Guard::seen(self, wire, None))
            }
            Fetched::Unavailable => Lookup::Unavailable(Guard::seen(self, wire, None)),
        }
    }

    async fn lookup_one<T>(
        &self,
        wire: WireKey,
        read: impl Fn(&Payload) -> Option<T>,
    ) -> Lookup<T> {
        let wires = std::slice::from_ref(&wire);
        let found = self.fetch_or_claim(wires, |_, payload| read(payload), |_| claim()).await;
        self.answer(wire, found.into_iter().next().unwrap_or(Fetched::Unavailable))
    }

    /// Writes against guards that held a moment ago, where `refused` did not; how many were stored.
    async fn fill(&self, writes: Vec<Write<'_>>, mut refused: u64) -> usize {
        let mut stored = 0;
        if !writes.is_empty() {
            for outcome in self.write(writes).await.into_iter().flatten() {
                match outcome {
                    StoreOutcome::Stored { .. } => stored += 1,
                    StoreOutcome::Exists | StoreOutcome::NotFound => refused += 1,
                    StoreOutcome::NotStored => {}
                }
            }
        }
        if refused > 0 {
            self.note(&Figures { refused_fills: refused, ..Figures::default() });
        }
        stored
    }
}

/// A new placeholder and its exptime.
pub(super) fn claim() -> (Payload, u32) {
    (placeholder(token()), PLACEHOLDER_SECONDS)
}

fn placeholder(token: Bytes) -> Payload {
    Payload { codec: Codec::Lease, bytes: token }
}

/// A name that no other placeholder has, in this process or another. It begins with a letter, so
/// that `incr` does not take it for a number.
fn token() -> Bytes {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let process = PROCESS.get_or_init(random_u64);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Bytes::from(format!("p{process:016x}{number:x}"))
}

/// Random bits from the operating system.
pub(super) fn random_u64() -> u64 {
    getrandom::u64().expect("the operating system gives random numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_are_no_numbers() {
        let (one, two) = (token(), token());
        assert_ne!(one, two);
        assert!([one, two].iter().all(|token| token[0].is_ascii_alphabetic()));
    }
}
