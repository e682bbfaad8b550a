//! The batches that everything above is made of: each costs one round trip per server, all servers
//! at once, and leaves its figures with the cache's totals and the running [`Activity`].
//!
//! [`Activity`]: crate::activity::Activity

use std::time::Instant;

use bytes::Bytes;
use larder_client::{Command, Error, Item, Reply, StoreMode, StoreOutcome};

use super::{Cache, Inner};
use crate::activity::{Figures, micros};
use crate::backend::Cas;
use crate::envelope::{Codec, Payload, open, seal};
use crate::key::{CacheKey, WireKey};
use crate::ttl::Ttl;

/// What a look-up found. [`Cache::peek`] tells every CAS number, [`Cache::fetch`] those of unreadable
/// items; others may be 0.
#[derive(Debug)]
pub(super) enum Fetched<T> {
    Hit {
        value: T,
        cas: u64,
    },
    /// Somebody holds a guard on the key and is computing its value; `token` names who.
    Leased {
        token: Bytes,
        cas: u64,
    },
    /// An item that is not ours to read, or of another type than asked for.
    Unreadable {
        cas: u64,
    },
    Absent,
    Unavailable,
}

impl<T> Fetched<T> {
    pub(super) fn value(self) -> Option<T> {
        match self {
            Self::Hit { value, .. } => Some(value),
            _ => None,
        }
    }

    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Fetched<U> {
        match self {
            Self::Hit { value, cas } => Fetched::Hit { value: change(value), cas },
            Self::Leased { token, cas } => Fetched::Leased { token, cas },
            Self::Unreadable { cas } => Fetched::Unreadable { cas },
            Self::Absent => Fetched::Absent,
            Self::Unavailable => Fetched::Unavailable,
        }
    }

    /// How to claim a key that has no value and that nobody else has claimed; `None` where that is
    /// not so, or where a server without CAS leaves no safe way.
    pub(super) fn vacancy(&self) -> Option<StoreMode> {
        match self {
            Self::Absent => Some(StoreMode::Add),
            Self::Unreadable { cas } if *cas != 0 => Some(StoreMode::Cas(*cas)),
            _ => None,
        }
    }
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

    /// Runs `commands`; what `read` makes of the replies. Time, round trips and errors are
    /// counted here, whatever else there is by `read`.
    pub(super) async fn run<R>(
        &self,
        commands: Vec<Command>,
        read: impl FnOnce(Vec<Result<Reply, Error>>, &mut Figures) -> R,
    ) -> R {
        self.run_with(commands, Cas::Untold, read).await
    }

    async fn run_with<R>(
        &self,
        commands: Vec<Command>,
        cas: Cas,
        read: impl FnOnce(Vec<Result<Reply, Error>>, &mut Figures) -> R,
    ) -> R {
        let started = Instant::now();
        let batch = self.0.backend.batch(commands, cas).await;
        let mut figures = Figures {
            round_trips: u64::from(batch.round_trips),
            errors: batch.replies.iter().filter(|reply| reply.is_err()).count() as u64,
            micros: micros(started.elapsed()),
            ..Figures::default()
        };
        let result = read(batch.replies, &mut figures);
        self.0.totals.record(&figures);
        result
    }

    /// Adds to the figures what only became clear after the batch.
    pub(super) fn note(&self, figures: &Figures) {
        self.0.totals.record(figures);
    }

    /// Looks up every key, in order. `read` gets a key's place and what is there.
    pub(super) async fn fetch<T>(
        &self,
        keys: &[WireKey],
        read: impl Fn(usize, &Payload) -> Option<T>,
    ) -> Vec<Fetched<T>> {
        let read = |replies: Vec<_>, figures: &mut Figures| {
            let replies = keys.iter().zip(replies).enumerate();
            let found: Vec<_> = replies
                .map(|(at, (key, reply))| self.told(key, reply, |it| read(at, it)))
                .collect();
            figures.gets = found.len() as u64;
            for fetched in &found {
                figures.hits += u64::from(matches!(fetched, Fetched::Hit { .. }));
                figures.undecodable += u64::from(matches!(fetched, Fetched::Unreadable { .. }));
            }
            figures.misses = figures.gets - figures.hits;
            found
        };
        self.run(gets(keys), read).await
    }

    /// [`opened`], with the CAS number by which an unreadable item can be replaced.
    fn told<T>(
        &self,
        key: &WireKey,
        reply: Result<Reply, Error>,
        read: impl Fn(&Payload) -> Option<T>,
    ) -> Fetched<T> {
        let fetched = opened(key, reply, &read);
        if matches!(fetched, Fetched::Unreadable { .. })
            && let Some(reply) = self.0.backend.get_telling(&key.key)
        {
            return opened(key, Ok(reply), read);
        }
        fetched
    }

    /// What is under every key, for the framework's own use: not counted as a look-up.
    pub(super) async fn peek<'a>(
        &self,
        keys: impl Iterator<Item = &'a WireKey> + Clone,
    ) -> Vec<Fetched<Payload>> {
        let read = |replies: Vec<_>, _: &mut Figures| {
            let replies = keys.clone().zip(replies);
            replies.map(|(key, reply)| opened(key, reply, |it| Some(it.clone()))).collect()
        };
        self.run_with(gets(keys.clone()), Cas::Told, read).await
    }

    /// Writes every value, in order; the outcomes, `None` where the server could not be used.
    pub(super) async fn write(&self, writes: Vec<Write<'_>>) -> Vec<Option<StoreOutcome>> {
        let commands: Vec<_> = writes.into_iter().map(Write::command).collect();
        self.run(commands, |replies, figures| {
            figures.sets = replies.len() as u64;
            replies.iter().map(stored).collect()
        })
        .await
    }

    /// Writes every value and reads each key back in the same round trip: whatever is there
    /// afterwards. `read` gets a write's place and what is there.
    pub(super) async fn write_and_fetch<T>(
        &self,
        writes: Vec<Write<'_>>,
        read: impl Fn(usize, &Payload) -> Option<T>,
    ) -> Vec<Fetched<T>> {
        let keys: Vec<_> = writes.iter().map(|write| write.key).collect();
        let pair = |write: Write<'_>| {
            let get = Command::Get { key: write.key.key.clone() };
            [write.command(), get]
        };
        let commands = writes.into_iter().flat_map(pair).collect();
        let read = |replies: Vec<_>, figures: &mut Figures| {
            figures.sets = keys.len() as u64;
            let there = keys.iter().zip(replies.into_iter().skip(1).step_by(2)).enumerate();
            there.map(|(at, (key, reply))| opened(key, reply, |it| read(at, it))).collect()
        };
        self.run(commands, read).await
    }

    /// Looks up every key and, in a second round trip, puts a `claim` (with its exptime) under
    /// those that have no value that `read` takes and no claim. What is there afterwards, whoever
    /// put it there.
    pub(super) async fn fetch_or_claim<T>(
        &self,
        keys: &[WireKey],
        read: impl Fn(usize, &Payload) -> Option<T>,
        claim: impl Fn(usize) -> (Payload, u32),
    ) -> Vec<Fetched<T>> {
        let mut found = self.fetch(keys, &read).await;
        let vacant = found.iter().enumerate();
        let vacant: Vec<_> = vacant.filter_map(|(at, it)| Some((at, it.vacancy()?))).collect();
        if vacant.is_empty() || self.backend().is_null() {
            return found;
        }
        let write = |&(at, mode): &(usize, StoreMode)| {
            let (payload, exptime) = claim(at);
            Write { key: &keys[at], mode, payload, exptime }
        };
        let writes = vacant.iter().map(write).collect();
        let there = self.write_and_fetch(writes, |at, it| read(vacant[at].0, it)).await;
        for ((at, _), fetched) in vacant.into_iter().zip(there) {
            found[at] = fetched;
        }
        found
    }

    /// Deletes every key; whether each was there, `None` where that was not confirmed and the
    /// delete is owed.
    pub(super) async fn remove(&self, keys: &[WireKey]) -> Vec<Option<bool>> {
        for key in keys {
            self.0.flights.detach(key);
        }
        let commands = keys.iter().map(|wire| Command::Delete { key: wire.key.clone() }).collect();
        let read = |replies: Vec<_>, figures: &mut Figures| {
            figures.deletes = keys.len() as u64;
            replies.iter().map(deleted).collect()
        };
        self.run(commands, read).await
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

/// What a reply to the get of `key` holds, and `read` understands.
pub(super) fn opened<T>(
    key: &WireKey,
    reply: Result<Reply, Error>,
    read: impl FnOnce(&Payload) -> Option<T>,
) -> Fetched<T> {
    let item: Item = match reply {
        Ok(Reply::Item(Some(item))) => item,
        Ok(_) => return Fetched::Absent,
        Err(_) => return Fetched::Unavailable,
    };
    let cas = item.cas;
    match open(key, &item) {
        Ok(Payload { codec: Codec::Lease, bytes }) => Fetched::Leased { token: bytes, cas },
        Ok(payload) => match read(&payload) {
            Some(value) => Fetched::Hit { value, cas },
            None => Fetched::Unreadable { cas },
        },
        Err(_) => Fetched::Unreadable { cas },
    }
}

fn gets<'a>(keys: impl IntoIterator<Item = &'a WireKey>) -> Vec<Command> {
    keys.into_iter().map(|wire| Command::Get { key: wire.key.clone() }).collect()
}

fn stored(reply: &Result<Reply, Error>) -> Option<StoreOutcome> {
    match reply {
        Ok(Reply::Store(outcome)) => Some(*outcome),
        _ => None,
    }
}

fn deleted(reply: &Result<Reply, Error>) -> Option<bool> {
    match reply {
        Ok(Reply::Deleted(was_there)) => Some(*was_there),
        _ => None,
    }
}
