//! The batches that everything above is made of: each costs one round trip per server, all servers
//! at once, and leaves its figures with the cache's totals and the running [`Activity`].

use std::time::Instant;

use bytes::Bytes;
use larder_client::{Command, Error, Item, Reply, StoreMode, StoreOutcome};

use super::{Cache, Inner};
use crate::activity::{Figures, micros};
use crate::envelope::{Codec, Payload, open, seal};
use crate::key::{CacheKey, WireKey};
use crate::ttl::Ttl;

/// What a look-up found.
#[derive(Debug)]
pub(super) enum Fetched {
    Hit {
        payload: Payload,
        cas: u64,
    },
    /// Somebody holds a guard on the key and is computing its value; `token` names who.
    Leased {
        token: Bytes,
        cas: u64,
    },
    /// An item that is not ours to read: replaced by whoever fills the key.
    Unreadable {
        cas: u64,
    },
    Absent,
    Unavailable,
}

/// A value to be written under a key.
pub(super) struct Write<'a> {
    pub(super) key: &'a WireKey,
    pub(super) mode: StoreMode,
    pub(super) payload: Payload,
    pub(super) exptime: u32,
}

impl Cache {
    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    pub(super) fn wire(&self, key: &CacheKey) -> WireKey {
        key.wire(&self.0.namespace)
    }

    /// The exptime of `ttl` by this cache's default and clock; `None`: do not store.
    pub(super) fn exptime(&self, ttl: Ttl) -> Option<u32> {
        ttl.or(self.0.default_ttl).exptime(self.0.backend.now())
    }

    /// Runs `commands`; every error is counted. `figures` is what the caller counts besides.
    pub(super) async fn run(
        &self,
        commands: Vec<Command>,
        mut figures: Figures,
    ) -> Vec<Result<Reply, Error>> {
        let started = Instant::now();
        let batch = self.0.backend.batch(commands).await;
        figures.round_trips += u64::from(batch.round_trips);
        figures.errors += batch.replies.iter().filter(|reply| reply.is_err()).count() as u64;
        figures.micros += micros(started.elapsed());
        self.0.totals.record(&figures);
        batch.replies
    }

    /// Adds to the figures what only became clear after the batch.
    pub(super) fn note(&self, figures: &Figures) {
        self.0.totals.record(figures);
    }

    /// Looks up every key, in order.
    pub(super) async fn fetch(&self, keys: &[WireKey]) -> Vec<Fetched> {
        let commands = keys.iter().map(|wire| Command::Get { key: wire.key.clone() }).collect();
        let gets = Figures { gets: keys.len() as u64, ..Figures::default() };
        let replies = self.run(commands, gets).await;
        let found: Vec<_> = keys.iter().zip(replies).map(|(key, reply)| read(key, reply)).collect();
        let mut seen = Figures::default();
        for fetched in &found {
            match fetched {
                Fetched::Hit { .. } => seen.hits += 1,
                Fetched::Unreadable { .. } => {
                    seen.misses += 1;
                    seen.undecodable += 1;
                }
                Fetched::Leased { .. } | Fetched::Absent | Fetched::Unavailable => seen.misses += 1,
            }
        }
        self.note(&seen);
        found
    }

    /// Writes every value, in order; the outcomes, `None` where the server could not be used.
    pub(super) async fn write(&self, writes: Vec<Write<'_>>) -> Vec<Option<StoreOutcome>> {
        let sets = Figures { sets: writes.len() as u64, ..Figures::default() };
        let commands = writes.into_iter().map(Write::command).collect();
        let replies = self.run(commands, sets).await;
        replies.iter().map(stored).collect()
    }

    /// Writes every value and reads each key back in the same round trip: whatever is there
    /// afterwards, with its CAS, in any protocol.
    pub(super) async fn write_and_fetch(&self, writes: Vec<Write<'_>>) -> Vec<Fetched> {
        let sets = Figures { sets: writes.len() as u64, ..Figures::default() };
        let keys: Vec<_> = writes.iter().map(|write| write.key.clone()).collect();
        let commands = writes
            .into_iter()
            .flat_map(|write| {
                let get = Command::Get { key: write.key.key.clone() };
                [write.command(), get]
            })
            .collect();
        let mut replies = self.run(commands, sets).await.into_iter();
        keys.iter()
            .map_while(|key| {
                let _stored = replies.next()?;
                Some(read(key, replies.next()?))
            })
            .collect()
    }

    /// Looks up every key and, in a second round trip, adds a value under those that have none.
    /// What is there afterwards, whoever put it there.
    pub(super) async fn fetch_or_add(
        &self,
        wires: &[WireKey],
        missing: impl Fn(usize) -> (Payload, u32),
    ) -> Vec<Fetched> {
        let mut found = self.fetch(wires).await;
        let absent: Vec<_> =
            (0..found.len()).filter(|&index| matches!(found[index], Fetched::Absent)).collect();
        if absent.is_empty() || self.backend().is_null() {
            return found;
        }
        let adds = absent.iter().map(|&index| (&wires[index], missing(index)));
        let there = self.add_and_fetch(adds).await;
        for (index, fetched) in absent.into_iter().zip(there) {
            found[index] = fetched;
        }
        found
    }

    /// Adds a value (with its exptime) under every key that has none; what is there afterwards.
    pub(super) async fn add_and_fetch<'a>(
        &self,
        adds: impl Iterator<Item = (&'a WireKey, (Payload, u32))>,
    ) -> Vec<Fetched> {
        let mode = StoreMode::Add;
        let writes = adds.map(|(key, (payload, exptime))| Write { key, mode, payload, exptime });
        self.write_and_fetch(writes.collect()).await
    }

    /// Deletes every key; whether each was there.
    pub(super) async fn remove(&self, keys: &[WireKey]) -> Vec<bool> {
        for key in keys {
            self.0.flights.detach(key);
        }
        let commands = keys.iter().map(|wire| Command::Delete { key: wire.key.clone() }).collect();
        let deletes = Figures { deletes: keys.len() as u64, ..Figures::default() };
        let replies = self.run(commands, deletes).await;
        replies.into_iter().map(|reply| matches!(reply, Ok(Reply::Deleted(true)))).collect()
    }
}

impl Write<'_> {
    fn command(self) -> Command {
        let (flags, value) = seal(self.key, self.payload);
        let (mode, key, exptime) = (self.mode, self.key.key.clone(), self.exptime);
        Command::Store { mode, key, value, flags, exptime }
    }
}

/// A payload of raw bytes.
pub(super) fn blob(bytes: Bytes) -> Payload {
    Payload { codec: Codec::Blob, bytes }
}

fn read(key: &WireKey, reply: Result<Reply, Error>) -> Fetched {
    let item: Item = match reply {
        Ok(Reply::Item(Some(item))) => item,
        Ok(_) => return Fetched::Absent,
        Err(_) => return Fetched::Unavailable,
    };
    match open(key, &item) {
        Ok(Payload { codec: Codec::Lease, bytes }) => {
            Fetched::Leased { token: bytes, cas: item.cas }
        }
        Ok(payload) => Fetched::Hit { payload, cas: item.cas },
        Err(_) => Fetched::Unreadable { cas: item.cas },
    }
}

fn stored(reply: &Result<Reply, Error>) -> Option<StoreOutcome> {
    match reply {
        Ok(Reply::Store(outcome)) => Some(*outcome),
        _ => None,
    }
}
