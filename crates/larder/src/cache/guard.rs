//! Fills that an invalidation can refuse.
//!
//! A value computed from the database is stale if something invalidated its key after the
//! computation began to read. Plain `set` cannot know; nor can `add`, because after a delete there
//! is nothing for it to collide with. So a miss first puts a *placeholder* under the key, whose CAS
//! is the guard: the fill is a `cas` against it. An invalidation removes or replaces the
//! placeholder, and the late fill is refused. This needs nothing but `add`, `get` and `cas`, so it
//! holds on any memcached-protocol server and between any number of processes.
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
use super::values::{blob_of, decode, encode};
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
    /// The placeholder's CAS; `None` stores nothing.
    cas: Option<u64>,
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

    /// Fills many guards of one cache with raw bytes in one round trip; how many were stored.
    pub async fn fill_bytes_many(fills: Vec<(Self, Bytes, Ttl)>) -> usize {
        let fills =
            fills.into_iter().map(|(guard, value, ttl)| (guard, blob(value), ttl)).collect();
        Self::store_many(fills).await
    }

    pub(super) fn cas(&self) -> Option<u64> {
        self.cas
    }

    pub(super) fn new(cache: &Cache, key: WireKey, cas: Option<u64>) -> Self {
        // A server that was told to keep no CAS answers 0, which the binary protocol takes as "do
        // not compare": such a guard must store nothing.
        Self { cache: cache.clone(), key, cas: cas.filter(|&cas| cas != 0) }
    }

    pub(super) async fn store(self, payload: Payload, ttl: Ttl) -> bool {
        Self::store_many(vec![(self, payload, ttl)]).await == 1
    }

    async fn store_many(fills: Vec<(Self, Payload, Ttl)>) -> usize {
        let Some(cache) = fills.first().map(|(guard, ..)| guard.cache.clone()) else {
            return 0;
        };
        let writes = fills
            .iter()
            .filter_map(|(guard, payload, ttl)| {
                let (mode, exptime) = (StoreMode::Cas(guard.cas?), cache.exptime(*ttl)?);
                Some(Write { key: &guard.key, mode, payload: payload.clone(), exptime })
            })
            .collect::<Vec<_>>();
        if writes.is_empty() {
            return 0;
        }
        let (mut stored, mut refused) = (0, 0);
        for outcome in cache.write(writes).await.into_iter().flatten() {
            match outcome {
                StoreOutcome::Stored { .. } => stored += 1,
                StoreOutcome::Exists | StoreOutcome::NotFound => refused += 1,
                StoreOutcome::NotStored => {}
            }
        }
        cache.note(&Figures { refused_fills: refused, ..Figures::default() });
        stored
    }
}

impl Cache {
    /// Looks a value up, ready to fill it.
    pub async fn lookup<T: DeserializeOwned>(&self, key: impl Into<CacheKey>) -> Lookup<T> {
        let wire = self.wire(&key.into());
        let probe = self.probe(std::slice::from_ref(&wire)).await.pop();
        self.answer(wire, probe.unwrap_or(Probe::Unavailable), decode)
    }

    /// Looks up bytes that a guard stored with [`Guard::fill_bytes`].
    pub async fn lookup_bytes(&self, key: impl Into<CacheKey>) -> Lookup<Bytes> {
        let wire = self.wire(&key.into());
        let probe = self.probe(std::slice::from_ref(&wire)).await.pop();
        self.answer(wire, probe.unwrap_or(Probe::Unavailable), blob_of)
    }

    /// Looks up many: one round trip where all are there, a second one that gets the guards of all
    /// that are not.
    pub async fn lookup_bytes_many(&self, keys: &[CacheKey]) -> Vec<Lookup<Bytes>> {
        let wires: Vec<_> = keys.iter().map(|key| self.wire(key)).collect();
        let probes = self.probe(&wires).await;
        wires
            .into_iter()
            .zip(probes)
            .map(|(wire, probe)| self.answer(wire, probe, blob_of))
            .collect()
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
        let mine = token();
        let write = Write {
            key: &wire,
            mode: StoreMode::Set,
            payload: placeholder(mine.clone()),
            exptime: PLACEHOLDER_SECONDS,
        };
        let there = self.write_and_fetch(vec![write]).await.pop();
        let cas = match there {
            Some(Fetched::Leased { token, cas }) if token == mine => Some(cas),
            // Another writer came after this one; the value is theirs to fill.
            _ => None,
        };
        Guard::new(self, wire, cas)
    }

    /// Stores `value` whatever is there, with the right to replace exactly this value. What reads
    /// it is not offered to fill the key, as it would be by a placeholder.
    pub(crate) async fn set_guarded<T: Serialize + ?Sized>(
        &self,
        key: impl Into<CacheKey>,
        value: &T,
        ttl: impl Into<Ttl>,
    ) -> Guard {
        let wire = self.wire(&key.into());
        self.inner().flights.detach(&wire);
        let (Some(payload), Some(exptime)) = (encode(value), self.exptime(ttl.into())) else {
            return Guard::new(self, wire, None);
        };
        let write = Write { key: &wire, mode: StoreMode::Set, payload: payload.clone(), exptime };
        let cas = match self.write_and_fetch(vec![write]).await.pop() {
            Some(Fetched::Hit { payload: there, cas }) if there == payload => Some(cas),
            _ => None,
        };
        Guard::new(self, wire, cas)
    }

    /// Looks a value up with the right to replace exactly this value. Unlike
    /// [`lookup`](Self::lookup), it leaves no placeholder where there is nothing.
    pub(crate) async fn find<T: DeserializeOwned>(&self, key: impl Into<CacheKey>) -> Found<T> {
        let wire = self.wire(&key.into());
        match self.fetch(std::slice::from_ref(&wire)).await.pop() {
            Some(Fetched::Hit { payload, cas }) => match decode(&payload) {
                Some(value) => Found::Value(value, Guard::new(self, wire, Some(cas))),
                None => {
                    self.note_unusable();
                    Found::Nothing
                }
            },
            Some(Fetched::Unavailable) | None => Found::Unavailable,
            Some(Fetched::Leased { .. } | Fetched::Unreadable { .. } | Fetched::Absent) => {
                Found::Nothing
            }
        }
    }

    /// Fetches every key and puts a placeholder under those that have nothing.
    pub(super) async fn probe(&self, wires: &[WireKey]) -> Vec<Probe> {
        let token = token();
        let placeholder = |_| (placeholder(token.clone()), PLACEHOLDER_SECONDS);
        let found = self.fetch_or_add(wires, placeholder).await;
        found.into_iter().map(Probe::from).collect()
    }

    /// Puts a placeholder under a key that had nothing.
    pub(super) async fn lease(&self, wire: &WireKey) -> Probe {
        let add = (wire, (placeholder(token()), PLACEHOLDER_SECONDS));
        let there = self.add_and_fetch(std::iter::once(add)).await.pop();
        there.map_or(Probe::Unavailable, Probe::from)
    }

    /// What a probe means to the caller: a value that `read` understands, or a guard.
    pub(super) fn answer<T>(
        &self,
        wire: WireKey,
        probe: Probe,
        read: impl FnOnce(&Payload) -> Option<T>,
    ) -> Lookup<T> {
        match probe {
            Probe::Hit { payload, cas } => match read(&payload) {
                Some(value) => Lookup::Hit(value),
                None => {
                    self.note_unusable();
                    Lookup::Miss(Guard::new(self, wire, Some(cas)))
                }
            },
            Probe::Miss { cas } => Lookup::Miss(Guard::new(self, wire, cas)),
            Probe::Unavailable => Lookup::Unavailable(Guard::new(self, wire, None)),
        }
    }
}

/// A look-up with its guard, before the value is read.
#[derive(Debug)]
pub(super) enum Probe {
    Hit { payload: Payload, cas: u64 },
    Miss { cas: Option<u64> },
    Unavailable,
}

impl From<Fetched> for Probe {
    fn from(fetched: Fetched) -> Self {
        match fetched {
            Fetched::Hit { payload, cas } => Self::Hit { payload, cas },
            // An item of another format is as good a guard as a placeholder: a delete voids both.
            Fetched::Leased { cas, .. } | Fetched::Unreadable { cas } => {
                Self::Miss { cas: Some(cas) }
            }
            Fetched::Absent => Self::Miss { cas: None },
            Fetched::Unavailable => Self::Unavailable,
        }
    }
}

pub(super) fn placeholder(token: Bytes) -> Payload {
    Payload { codec: Codec::Lease, bytes: token }
}

/// A name for one round of guards that no other has, in this process or another.
pub(super) fn token() -> Bytes {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let process = PROCESS.get_or_init(random_u64);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Bytes::from(format!("{process:016x}{number:x}"))
}

/// Random bits from the operating system.
pub(super) fn random_u64() -> u64 {
    getrandom::u64().expect("the operating system gives random numbers")
}
