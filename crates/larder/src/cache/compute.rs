//! A value and how to make it: look up, or compute once and store.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use larder_client::StoreMode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::Cache;
use super::flight::{Flight, Lead, Moment, Part, State};
use super::guard::{Guard, PLACEHOLDER_SECONDS};
use super::values::{decode, encode};
use super::wire::Fetched;
use crate::envelope::Payload;
use crate::key::{CacheKey, WireKey};
use crate::ttl::Ttl;

/// How long a task waits for another's computation, as long as that could still be stored.
const PATIENCE: Duration = Duration::from_secs(PLACEHOLDER_SECONDS as u64);

/// What a task that missed saw on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// No value; this is how to put a placeholder there.
    Vacant(StoreMode),
    /// The placeholder with this token.
    Placeholder(Bytes),
    /// The server did not answer.
    Nothing,
}

/// What came of waiting for another task's computation.
enum Waited {
    Value(Payload),
    /// Look again: the leader gave up, or its value was too old for this task.
    LookAgain,
    /// The flight began before an invalidation that this task must see.
    Unfit,
    /// The leader's computation failed, or takes too long.
    Alone,
}

impl Cache {
    /// The cached value, or `compute`'s, which is then stored.
    ///
    /// However many tasks of this process miss together, one computes; an empty list is a value
    /// like any other. If the key is invalidated while `compute` runs, its value is returned to
    /// those who asked before, and not stored. When the cache is down, `compute` runs.
    ///
    /// A `compute` may use the cache, other keys of `get_or_compute` included. But keys that need
    /// each other in a circle, or a key that needs itself, wait for themselves: after a minute,
    /// when what is computed could not be stored any more, every waiting task computes alone.
    ///
    /// # Errors
    /// Those of `compute`; nothing is stored then.
    ///
    /// # Panics
    /// Where tasks wait for each other outside of a Tokio runtime with time enabled.
    pub async fn get_or_compute<T, E, F, Fut>(
        &self,
        key: impl Into<CacheKey>,
        ttl: impl Into<Ttl>,
        compute: F,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let wire = self.wire(&key.into());
        match self.look(&wire).await {
            Ok(value) => Ok(value),
            Err(_) if self.backend().is_null() => compute().await,
            // Boxed, so that a hit does not carry the room for a miss.
            Err(seen) => Box::pin(self.share(wire, ttl.into(), seen, compute)).await,
        }
    }

    /// Computes a value anew and stores it, whatever the cache holds: for writers that update the
    /// cache after they have changed the database.
    ///
    /// What was cached is gone from the moment this begins, so two writers at once cannot leave
    /// the older one's value behind.
    ///
    /// # Errors
    /// Those of `compute`; the key is then empty.
    pub async fn refresh<T, E, F, Fut>(
        &self,
        key: impl Into<CacheKey>,
        ttl: impl Into<Ttl>,
        compute: F,
    ) -> Result<T, E>
    where
        T: Serialize,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let guard = self.guard(key).await;
        let value = compute().await?;
        guard.fill(&value, ttl).await;
        Ok(value)
    }

    async fn look<T: DeserializeOwned>(&self, wire: &WireKey) -> Result<T, Seen> {
        let found = self.fetch(std::slice::from_ref(wire), |_, payload| decode(payload)).await;
        match found.into_iter().next().unwrap_or(Fetched::Unavailable) {
            Fetched::Hit { value, .. } => Ok(value),
            Fetched::Leased { token, .. } => Err(Seen::Placeholder(token)),
            other => Err(other.vacancy().map_or(Seen::Nothing, Seen::Vacant)),
        }
    }

    /// After a miss: leads the computation, or waits for the task that does.
    async fn share<T, E, F, Fut>(
        &self,
        wire: WireKey,
        ttl: Ttl,
        mut seen: Seen,
        compute: F,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let (asked, deadline) = (Moment::now(), Instant::now() + PATIENCE);
        // The flight found not to fit once already, and the one found not to fit for good.
        let (mut doubted, mut unfit) = (None, None);
        loop {
            let flight = match self.inner().flights.enter(&wire, unfit) {
                Part::Lead(lead) => return self.lead(lead, wire, ttl, seen, compute).await,
                Part::Wait(flight) => flight,
            };
            let id = flight.id();
            match timeout_at(deadline, wait(flight, &seen, asked)).await {
                Ok(Waited::Value(payload)) => match decode(&payload) {
                    Some(value) => return Ok(value),
                    None => unfit = Some(id),
                },
                Ok(Waited::LookAgain) => {}
                Ok(Waited::Unfit) if doubted == Some(id) => unfit = Some(id),
                Ok(Waited::Unfit) => doubted = Some(id),
                Ok(Waited::Alone) | Err(_) => {
                    let guard = Guard::seen(self, wire, seen.token());
                    let value = compute().await?;
                    guard.fill(&value, ttl).await;
                    return Ok(value);
                }
            }
            seen = match self.look(&wire).await {
                Ok(value) => return Ok(value),
                Err(seen) => seen,
            };
        }
    }

    /// Computes for everybody who waits on `lead`.
    async fn lead<T, E, F, Fut>(
        &self,
        lead: Lead,
        wire: WireKey,
        ttl: Ttl,
        seen: Seen,
        compute: F,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let token = match seen {
            Seen::Vacant(mode) => match self.claim(&wire, mode).await {
                // Another process has just filled it.
                Fetched::Hit { value, .. } => return Ok(value),
                Fetched::Leased { token, .. } => Some(token),
                _ => None,
            },
            seen => seen.token(),
        };
        let guard = Guard::seen(self, wire, token.clone());
        let start = lead.computing(token);
        let value = match compute().await {
            Ok(value) => value,
            Err(error) => {
                lead.fail();
                return Err(error);
            }
        };
        match encode(&value) {
            Some(payload) => {
                lead.land(start, payload.clone());
                guard.store(payload, ttl).await;
            }
            None => lead.fail(),
        }
        Ok(value)
    }
}

impl Seen {
    fn token(self) -> Option<Bytes> {
        match self {
            Self::Placeholder(token) => Some(token),
            Self::Vacant(_) | Self::Nothing => None,
        }
    }
}

/// Waits for a flight's value, if it cannot be older than what this task `asked` for.
async fn wait(mut flight: Flight, seen: &Seen, asked: Moment) -> Waited {
    let start = match flight.reach(|state| !matches!(state, State::Boarding)).await {
        Some(State::Computing(start) | State::Landed(start, _)) => start,
        Some(State::Failed) => return Waited::Alone,
        Some(State::Boarding) | None => return Waited::LookAgain,
    };
    let guarded = matches!(seen, Seen::Placeholder(token) if start.token.as_ref() == Some(token));
    if start.at < asked && !guarded {
        if *seen != Seen::Nothing {
            return Waited::Unfit;
        }
        // Nothing tells whether the key was invalidated meanwhile. One computation at a time all
        // the same, and the next one is for all who wait now.
        flight.ended().await;
        return Waited::LookAgain;
    }
    let done = |state: &State| matches!(state, State::Landed(..) | State::Failed);
    match flight.reach(done).await {
        Some(State::Landed(_, payload)) => Waited::Value(payload),
        Some(_) => Waited::Alone,
        None => Waited::LookAgain,
    }
}
