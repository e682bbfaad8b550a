//! The connections to one server: a bound on how many, and the idle ones for reuse.
//!
//! A connection in use is outside the pool and comes back only if its user gives it back; dropped
//! in any other way (an error, a cancelled task) it is closed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::connection::Connection;

/// A bounded set of connections.
#[derive(Debug)]
pub(crate) struct Pool {
    max: usize,
    slots: Semaphore,
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    idle: Vec<Connection>,
    /// Raised when the connections made so far are no longer trusted.
    generation: u64,
}

/// The right to one connection.
#[derive(Debug)]
pub(crate) struct Lease<'a> {
    pool: &'a Pool,
    _slot: Option<SemaphorePermit<'a>>,
    generation: u64,
}

impl Pool {
    /// An empty pool of at most `max` connections.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, slots: Semaphore::new(max), shelf: Mutex::default() }
    }

    /// Waits for a slot; comes with an idle connection if there is a good one, the last used first.
    pub(crate) async fn lease(&self) -> (Lease<'_>, Option<Connection>) {
        // The semaphore is never closed.
        let slot = self.slots.acquire().await.ok();
        let mut shelf = self.lock();
        let lease = Lease { pool: self, _slot: slot, generation: shelf.generation };
        while let Some(connection) = shelf.idle.pop() {
            if !connection.is_stale() {
                return (lease, Some(connection));
            }
        }
        (lease, None)
    }

    /// Drops all idle connections, and those in use when they come back: one of them failed, so the
    /// server has probably dropped them all.
    pub(crate) fn purge(&self) {
        let mut shelf = self.lock();
        shelf.generation += 1;
        shelf.idle.clear();
    }

    /// Connections in use and idle.
    pub(crate) fn figures(&self) -> (usize, usize) {
        (self.max.saturating_sub(self.slots.available_permits()), self.lock().idle.len())
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease<'_> {
    /// Purges the pool but for this lease: the connection it was given was stale, and it will make
    /// a new one.
    pub(crate) fn start_afresh(&mut self) {
        self.pool.purge();
        self.generation = self.pool.lock().generation;
    }

    /// Puts a connection that is in sync back for others.
    pub(crate) fn give_back(self, connection: Connection) {
        let mut shelf = self.pool.lock();
        if shelf.generation == self.generation {
            shelf.idle.push(connection);
        }
    }
}
