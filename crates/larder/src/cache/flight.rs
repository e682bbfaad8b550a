//! One computation per key and process.
//!
//! The first task that misses leads; others wait for its result. Two rules keep that honest. A
//! leader that panics, fails or is cancelled drops its [`Lead`], and the waiters are freed to do
//! the work themselves. And a waiter only takes a result that cannot be older than its question:
//! either the computation began after the waiter asked, or the waiter has itself seen the leader's
//! placeholder on the server, which an invalidation in between would have removed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use crate::envelope::Payload;
use crate::key::WireKey;

/// The computations under way in this process. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<WireKey, Flight>>>);

/// A moment in this process. Of two that were taken, the greater one was taken later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

/// One computation, seen by those who wait for it.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    /// Tells flights for the same key apart.
    id: Moment,
    state: watch::Receiver<State>,
}

/// How far a computation has come.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// The leader is still asking the cache.
    Boarding,
    Computing(Start),
    /// The value, as it goes to the cache.
    Landed(Start, Payload),
    /// The computation failed; an error cannot be shared, so everybody computes alone.
    Failed,
}

/// How a computation began.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) at: Moment,
    /// The token of the leader's placeholder, if the cache gave it one.
    pub(super) token: Option<Bytes>,
}

/// The duty to compute, with everybody waiting on it. Dropped without a result, it frees them.
#[derive(Debug)]
pub(super) struct Lead {
    flights: Arc<Mutex<HashMap<WireKey, Flight>>>,
    key: WireKey,
    id: Moment,
    state: watch::Sender<State>,
}

/// What a task that missed is to do.
#[derive(Debug)]
pub(super) enum Part {
    Lead(Lead),
    Wait(Flight),
}

impl Moment {
    pub(super) fn now() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Who takes a later moment has seen all that happened before the earlier ones.
        Self(NEXT.fetch_add(1, Ordering::AcqRel))
    }
}

impl Flights {
    /// Joins the flight for `key`, or leads a new one. A flight that the caller found `unfit` is
    /// replaced.
    pub(super) fn enter(&self, key: &WireKey, unfit: Option<Moment>) -> Part {
        let mut flights = lock(&self.0);
        if let Some(flight) = flights.get(key)
            && Some(flight.id) != unfit
        {
            return Part::Wait(flight.clone());
        }
        let id = Moment::now();
        let (sender, receiver) = watch::channel(State::Boarding);
        flights.insert(key.clone(), Flight { id, state: receiver });
        Part::Lead(Lead { flights: self.0.clone(), key: key.clone(), id, state: sender })
    }

    /// The key was invalidated: who comes from now on does not wait for what is under way.
    pub(super) fn detach(&self, key: &WireKey) {
        lock(&self.0).remove(key);
    }

    /// Everything was invalidated.
    pub(super) fn detach_all(&self) {
        lock(&self.0).clear();
    }
}

impl Flight {
    pub(super) fn id(&self) -> Moment {
        self.id
    }

    /// The next state that `wanted` accepts; `None` once the leader has given up.
    pub(super) async fn reach(&mut self, wanted: impl FnMut(&State) -> bool) -> Option<State> {
        self.state.wait_for(wanted).await.ok().map(|state| state.clone())
    }

    /// Waits until the leader is done in every way: who enters then does not meet this flight.
    pub(super) async fn ended(&mut self) {
        self.reach(|_| false).await;
    }
}

impl Lead {
    /// The computation begins now.
    pub(super) fn computing(&self, token: Option<Bytes>) -> Start {
        let start = Start { at: Moment::now(), token };
        self.state.send_replace(State::Computing(start.clone()));
        start
    }

    /// Hands the value to everybody who waits, and to whoever comes until this is dropped.
    pub(super) fn land(&self, start: Start, payload: Payload) {
        self.state.send_replace(State::Landed(start, payload));
    }

    pub(super) fn fail(&self) {
        self.state.send_replace(State::Failed);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let mut flights = lock(&self.flights);
        if flights.get(&self.key).is_some_and(|flight| flight.id == self.id) {
            flights.remove(&self.key);
        }
    }
}

/// The map is consistent between any two statements, so a panic elsewhere does not spoil it.
fn lock(flights: &Mutex<HashMap<WireKey, Flight>>) -> MutexGuard<'_, HashMap<WireKey, Flight>> {
    flights.lock().unwrap_or_else(PoisonError::into_inner)
}
