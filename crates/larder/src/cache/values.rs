//! Values by key: typed through serde, or raw bytes that any language can read.
//!
//! Typed values travel as JSON. Integers and raw bytes travel bare (flags 0), so a counter is
//! ASCII digits and can be counted by, or shared with, programs in other languages.

use bytes::Bytes;
use larder_client::{Command, Direction, Reply, StoreMode, StoreOutcome};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Cache;
use super::guard::PLACEHOLDER_SECONDS;
use super::wire::{Fetched, Write, opened};
use crate::envelope::{Codec, Payload};
use crate::key::{CacheKey, WireKey};
use crate::ttl::Ttl;

impl Cache {
    /// The value under `key`; `None` if there is none, it is of another type, or the cache is down.
    pub async fn get<T: DeserializeOwned>(&self, key: impl Into<CacheKey>) -> Option<T> {
        self.get_one(&key.into(), decode).await
    }

    /// The values under `keys`, in order, in one round trip.
    pub async fn get_many<T: DeserializeOwned>(&self, keys: &[CacheKey]) -> Vec<Option<T>> {
        let wires: Vec<_> = keys.iter().map(|key| self.wire(key)).collect();
        let found = self.fetch(&wires, |_, payload| decode(payload)).await;
        found.into_iter().map(Fetched::value).collect()
    }

    /// The raw bytes under `key`, as written by [`set_bytes`](Self::set_bytes), by a guard, or by
    /// another program.
    pub async fn get_bytes(&self, key: impl Into<CacheKey>) -> Option<Bytes> {
        self.get_one(&key.into(), |payload| Some(payload.bytes.clone())).await
    }

    /// Whether there is a value under `key`.
    pub async fn contains(&self, key: impl Into<CacheKey>) -> bool {
        self.get_bytes(key).await.is_some()
    }

    /// Stores `value`. Whether it was stored: with a TTL of zero it is not, and what was there is
    /// removed.
    pub async fn set<T: Serialize + ?Sized>(
        &self,
        key: impl Into<CacheKey>,
        value: &T,
        ttl: impl Into<Ttl>,
    ) -> bool {
        self.store_one(&key.into(), encode(value), ttl.into(), StoreMode::Set).await
    }

    /// Stores many values for the same time, in one round trip; which were stored.
    pub async fn set_many<T: Serialize>(
        &self,
        values: &[(CacheKey, T)],
        ttl: impl Into<Ttl>,
    ) -> Vec<bool> {
        let wires: Vec<_> = values.iter().map(|(key, _)| self.wire(key)).collect();
        let Some(exptime) = self.exptime(ttl.into()) else {
            self.remove(&wires).await;
            return vec![false; values.len()];
        };
        wires.iter().for_each(|wire| self.inner().flights.detach(wire));
        let payloads: Vec<_> = values.iter().map(|(_, value)| encode(value)).collect();
        let writes = wires
            .iter()
            .zip(&payloads)
            .filter_map(|(key, payload)| {
                let payload = payload.clone()?;
                Some(Write { key, mode: StoreMode::Set, payload, exptime })
            })
            .collect();
        let mut outcomes = self.write(writes).await.into_iter();
        payloads
            .iter()
            .map(|payload| payload.is_some() && outcomes.next().is_some_and(is_stored))
            .collect()
    }

    /// Stores raw bytes, bare, for any program to read.
    pub async fn set_bytes(
        &self,
        key: impl Into<CacheKey>,
        value: impl Into<Bytes>,
        ttl: impl Into<Ttl>,
    ) -> bool {
        let payload = Payload { codec: Codec::Plain, bytes: value.into() };
        self.store_one(&key.into(), Some(payload), ttl.into(), StoreMode::Set).await
    }

    /// Stores `value` if there is none under `key`. Whether it was stored.
    pub async fn add<T: Serialize + ?Sized>(
        &self,
        key: impl Into<CacheKey>,
        value: &T,
        ttl: impl Into<Ttl>,
    ) -> bool {
        let (key, payload, ttl) = (key.into(), encode(value), ttl.into());
        if self.store_one(&key, payload.clone(), ttl, StoreMode::Add).await {
            return true;
        }
        // A placeholder is in the way of `add`, but is not a value.
        let wire = self.wire(&key);
        match self.peek(std::iter::once(&wire)).await.pop() {
            Some(Fetched::Leased { cas, .. }) if cas != 0 => {
                self.store_one(&key, payload, ttl, StoreMode::Cas(cas)).await
            }
            _ => false,
        }
    }

    /// Stores `value` if there is one under `key` already. Whether it was stored.
    ///
    /// A key whose value is being computed right now counts as present.
    pub async fn replace<T: Serialize + ?Sized>(
        &self,
        key: impl Into<CacheKey>,
        value: &T,
        ttl: impl Into<Ttl>,
    ) -> bool {
        self.store_one(&key.into(), encode(value), ttl.into(), StoreMode::Replace).await
    }

    /// Deletes the value under `key`. Whether there was one.
    ///
    /// A delete that a server did not answer is remembered, and done before that server is read
    /// again by this process.
    pub async fn delete(&self, key: impl Into<CacheKey>) -> bool {
        self.delete_many(&[key.into()]).await == 1
    }

    /// Deletes many in one round trip; how many there were.
    pub async fn delete_many(&self, keys: &[CacheKey]) -> usize {
        let wires: Vec<_> = keys.iter().map(|key| self.wire(key)).collect();
        self.remove(&wires).await.into_iter().filter(|&was_there| was_there == Some(true)).count()
    }

    /// Deletes the value under `key`. Whether it is certain that it is gone; if not, the delete is
    /// remembered as [`delete`](Self::delete) says.
    pub(crate) async fn delete_confirmed(&self, key: impl Into<CacheKey>) -> bool {
        self.remove(&[self.wire(&key.into())]).await.iter().all(Option::is_some)
    }

    /// Gives the value under `key` a new life from now. Whether there was one. A TTL of zero
    /// deletes it.
    pub async fn touch(&self, key: impl Into<CacheKey>, ttl: impl Into<Ttl>) -> bool {
        let wire = self.wire(&key.into());
        let Some(exptime) = self.exptime(ttl.into()) else {
            return self.remove(&[wire]).await == [Some(true)];
        };
        let touch = |exptime| Command::Touch { key: wire.key.clone(), exptime };
        let get = Command::Get { key: wire.key.clone() };
        let there = self.run(vec![touch(exptime), get], |replies, _| {
            let mut replies = replies.into_iter();
            let touched = matches!(replies.next(), Some(Ok(Reply::Touched(true))));
            let there = replies.next().filter(|_| touched);
            there.map(|reply| opened(&wire, reply, |_| Some(())))
        });
        let there = there.await;
        if let Some(Fetched::Leased { .. }) = there {
            // A placeholder is no value, and keeps its own life.
            self.run(vec![touch(PLACEHOLDER_SECONDS)], |_, _| ()).await;
        }
        matches!(there, Some(Fetched::Hit { .. }))
    }

    /// Adds `delta` to the counter under `key` and gives the sum; `None` if there is no counter.
    /// Beyond 2^64 it begins again at zero, as in memcached.
    pub async fn incr(&self, key: impl Into<CacheKey>, delta: u64) -> Option<u64> {
        self.count(self.wire(&key.into()), delta, Direction::Incr).await
    }

    /// Takes `delta` from the counter under `key` and gives the rest, never below zero; `None` if
    /// there is no counter.
    pub async fn decr(&self, key: impl Into<CacheKey>, delta: u64) -> Option<u64> {
        self.count(self.wire(&key.into()), delta, Direction::Decr).await
    }

    /// Empties the cache: every value of every program on the same servers, whatever its prefix.
    /// Whether all servers did it.
    pub async fn clear(&self) -> bool {
        self.inner().flights.detach_all();
        match self.backend().client() {
            Some(client) => client.flush_all().await.iter().all(|(_, result)| result.is_ok()),
            None => {
                let flush = vec![Command::FlushAll];
                self.run(flush, |replies, _| replies.iter().all(Result::is_ok)).await
            }
        }
    }

    async fn get_one<T>(&self, key: &CacheKey, read: impl Fn(&Payload) -> Option<T>) -> Option<T> {
        let wire = self.wire(key);
        let found = self.fetch(std::slice::from_ref(&wire), |_, payload| read(payload)).await;
        found.into_iter().next().and_then(Fetched::value)
    }

    async fn store_one(
        &self,
        key: &CacheKey,
        payload: Option<Payload>,
        ttl: Ttl,
        mode: StoreMode,
    ) -> bool {
        let wire = self.wire(key);
        let Some(payload) = payload else { return false };
        let Some(exptime) = self.exptime(ttl) else {
            if mode != StoreMode::Add {
                self.remove(&[wire]).await;
            }
            return false;
        };
        self.inner().flights.detach(&wire);
        let outcomes = self.write(vec![Write { key: &wire, mode, payload, exptime }]).await;
        outcomes.into_iter().next().is_some_and(is_stored)
    }

    async fn count(&self, wire: WireKey, delta: u64, direction: Direction) -> Option<u64> {
        // A hashed key's value begins with the key, so it is no number: counters need a short key.
        if wire.full.is_some() {
            tracing::warn!(key = ?wire.full, "a counter's key must fit memcached's 250 bytes of printable ASCII");
            return None;
        }
        let command = Command::Arith { key: wire.key, delta, direction };
        self.run(vec![command], |replies, figures| {
            figures.sets = 1;
            match replies.into_iter().next() {
                Some(Ok(Reply::Number(number))) => number,
                _ => None,
            }
        })
        .await
    }
}

/// `value` as a payload: integers bare, everything else as JSON; `None` if serde refuses.
pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Option<Payload> {
    match serde_json::to_vec(value) {
        Ok(json) => {
            let codec = if is_integer(&json) { Codec::Plain } else { Codec::Json };
            Some(Payload { codec, bytes: json.into() })
        }
        Err(error) => {
            let of = std::any::type_name::<T>();
            tracing::error!(%error, "a {of} cannot be cached: it has no JSON form");
            None
        }
    }
}

pub(super) fn decode<T: DeserializeOwned>(payload: &Payload) -> Option<T> {
    match payload.codec {
        Codec::Json | Codec::Plain => serde_json::from_slice(&payload.bytes).ok(),
        Codec::Blob | Codec::Lease => None,
    }
}

pub(super) fn blob_of(payload: &Payload) -> Option<Bytes> {
    (payload.codec == Codec::Blob).then(|| payload.bytes.clone())
}

fn is_integer(json: &[u8]) -> bool {
    let digits = json.strip_prefix(b"-").unwrap_or(json);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

pub(super) fn is_stored(outcome: Option<StoreOutcome>) -> bool {
    matches!(outcome, Some(StoreOutcome::Stored { .. }))
}
