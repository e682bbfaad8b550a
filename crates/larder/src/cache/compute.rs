//! A value and how to make it: look up, or compute once and store.

use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Cache;
use super::flight::{Flight, Lead, Part, State};
use super::guard::{Guard, Probe};
use super::values::{decode, encode};
use super::wire::Fetched;
use crate::envelope::Payload;
use crate::key::{CacheKey, WireKey};
use crate::ttl::Ttl;

/// What a task that missed saw on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Absent,
    /// A placeholder, or something unreadable, with this CAS.
    Placeholder(u64),
    /// The server did not answer.
    Nothing,
}

/// What came of waiting for another task's computation.
enum Waited {
    Value(Payload),
    /// Look again: the leader gave up, or what was seen does not fit yet.
    LookAgain,
    /// The flight began before an invalidation that this task must see.
    Unfit,
    /// The leader's computation failed.
    Alone,
}

impl Cache {
    /// The cached value, or `compute`'s, which is then stored.
    ///
    /// However many tasks of this process miss together, one computes; an empty list is a value
    /// like any other. If the key is invalidated while `compute` runs, its value is returned to
    /// those who asked before, and not stored. When the cache is down, `compute` runs.
    ///
    /// # Errors
    /// Those of `compute`; nothing is stored then.
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
        let (wire, ttl) = (self.wire(&key.into()), ttl.into());
        // The flight found not to fit once already, and the one found not to fit for good.
        let (mut doubted, mut unfit) = (None, None);
        loop {
            let seen = match self.look(&wire).await {
                Ok(value) => return Ok(value),
                Err(seen) => seen,
            };
            if self.backend().is_null() {
                return compute().await;
            }
            let flight = match self.inner().flights.enter(&wire, unfit) {
                Part::Lead(lead) => return self.lead(lead, wire, ttl, seen, compute).await,
                Part::Wait(flight) => flight,
            };
            let id = flight.id();
            match wait(flight, seen).await {
                Waited::Value(payload) => {
                    if let Some(value) = decode(&payload) {
                        return Ok(value);
                    }
                    unfit = Some(id);
                }
                Waited::LookAgain => {}
                Waited::Unfit if doubted == Some(id) => unfit = Some(id),
                Waited::Unfit => doubted = Some(id),
                Waited::Alone => {
                    let guard = self.guard_from(&wire, seen);
                    let value = compute().await?;
                    guard.fill(&value, ttl).await;
                    return Ok(value);
                }
            }
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
        match self.fetch(std::slice::from_ref(wire)).await.pop() {
            Some(Fetched::Hit { payload, cas }) => decode(&payload).ok_or_else(|| {
                self.note_unusable();
                Seen::Placeholder(cas)
            }),
            Some(Fetched::Leased { cas, .. } | Fetched::Unreadable { cas }) => {
                Err(Seen::Placeholder(cas))
            }
            Some(Fetched::Absent) => Err(Seen::Absent),
            Some(Fetched::Unavailable) | None => Err(Seen::Nothing),
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
        let mut guard = self.guard_from(&wire, seen);
        if seen == Seen::Absent {
            match self.lease(&wire).await {
                // Another process has just filled it.
                Probe::Hit { payload, cas } => match decode(&payload) {
                    Some(value) => return Ok(value),
                    None => guard = Guard::new(self, wire, Some(cas)),
                },
                Probe::Miss { cas } => guard = Guard::new(self, wire, cas),
                Probe::Unavailable => {}
            }
        }
        let cas = guard.cas();
        lead.computing(cas);
        let value = match compute().await {
            Ok(value) => value,
            Err(error) => {
                lead.fail();
                return Err(error);
            }
        };
        match encode(&value) {
            Some(payload) => {
                lead.land(cas, payload.clone());
                guard.store(payload, ttl).await;
            }
            None => lead.fail(),
        }
        Ok(value)
    }

    fn guard_from(&self, wire: &WireKey, seen: Seen) -> Guard {
        let cas = match seen {
            Seen::Placeholder(cas) => Some(cas),
            Seen::Absent | Seen::Nothing => None,
        };
        Guard::new(self, wire.clone(), cas)
    }
}

/// Waits for a flight's value, if this task may have it: only a guard that was seen on the server
/// proves that nothing was invalidated since the computation began.
async fn wait(mut flight: Flight, seen: Seen) -> Waited {
    let Some(state) = flight.reach(|state| !matches!(state, State::Boarding)).await else {
        return Waited::LookAgain;
    };
    let fits = match state {
        State::Boarding => false,
        State::Failed => return Waited::Alone,
        State::Computing { guard } | State::Landed { guard, .. } => match seen {
            Seen::Placeholder(cas) => guard == Some(cas),
            Seen::Nothing => guard.is_none(),
            Seen::Absent => false,
        },
    };
    if !fits {
        return Waited::Unfit;
    }
    let landed = |state: &State| matches!(state, State::Landed { .. } | State::Failed);
    match flight.reach(landed).await {
        Some(State::Landed { payload, .. }) => Waited::Value(payload),
        Some(_) => Waited::Alone,
        None => Waited::LookAgain,
    }
}
