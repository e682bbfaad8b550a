//! The table of open connections: what `stats conns` shows, and how many each worker has.
//!
//! A connection is owned by one worker; what others may see of it is its [`Info`], which its worker
//! writes. The table is locked when a connection opens or closes, never for a request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::node::lock;
use crate::settings::Address;

/// The connections of all workers.
#[derive(Debug)]
pub(crate) struct Connections {
    workers: Box<[Shard]>,
    open: AtomicUsize,
}

/// Those of one worker, by a number that is never used again.
#[derive(Debug, Default)]
struct Shard {
    open: AtomicUsize,
    table: Mutex<BTreeMap<u64, Arc<Info>>>,
}

/// What others may see of a connection.
#[derive(Debug)]
pub(crate) struct Info {
    /// The number of its descriptor.
    pub(crate) fd: i32,
    pub(crate) peer: Address,
    /// Which of the node's listeners it came from; none: from the server itself.
    pub(crate) listener: Option<usize>,
    /// When it last sent something, in milliseconds since the node was made.
    last_active: AtomicU64,
    state: AtomicU8,
}

/// What a connection is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Waiting {
    /// For a request.
    Request,
    /// For the rest of a request.
    Rest,
    /// For the rest of a value.
    Value,
    /// For the rest of something that is thrown away.
    Swallow,
    /// For its client to take replies.
    Write,
    /// For its client to see that it is closed.
    Closing,
}

impl Info {
    pub(crate) fn new(fd: i32, peer: Address, listener: Option<usize>, now: u64) -> Info {
        let state = AtomicU8::new(Waiting::Request as u8);
        Info { fd, peer, listener, last_active: AtomicU64::new(now), state }
    }

    pub(crate) fn set_active(&self, now: u64) {
        self.last_active.store(now, Ordering::Relaxed);
    }

    pub(crate) fn last_active(&self) -> u64 {
        self.last_active.load(Ordering::Relaxed)
    }

    pub(crate) fn set_waiting(&self, waiting: Waiting) {
        self.state.store(waiting as u8, Ordering::Relaxed);
    }

    pub(crate) fn waiting(&self) -> Waiting {
        const ALL: [Waiting; 6] = [
            Waiting::Request,
            Waiting::Rest,
            Waiting::Value,
            Waiting::Swallow,
            Waiting::Write,
            Waiting::Closing,
        ];
        ALL[usize::from(self.state.load(Ordering::Relaxed))]
    }
}

impl Connections {
    pub(crate) fn new(workers: usize) -> Connections {
        let workers = (0..workers).map(|_| Shard::default()).collect();
        Connections { workers, open: AtomicUsize::new(0) }
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Counts a connection that is about to be given to the worker with the fewest; which that is. `None`
    /// if `most` are open.
    pub(crate) fn admit(&self, most: usize) -> Option<usize> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= most {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let load = |worker: &usize| self.workers[*worker].open.load(Ordering::Relaxed);
        let worker = (0..self.workers.len()).min_by_key(load).unwrap_or(0);
        self.workers[worker].open.fetch_add(1, Ordering::Relaxed);
        Some(worker)
    }

    /// Counts a connection of the server's own, however many there are.
    pub(crate) fn admit_to(&self, worker: usize) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.workers[worker].open.fetch_add(1, Ordering::Relaxed);
    }

    /// Uncounts one that was admitted.
    pub(crate) fn release(&self, worker: usize) {
        self.workers[worker].open.fetch_sub(1, Ordering::Relaxed);
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn insert(&self, worker: usize, number: u64, info: Arc<Info>) {
        lock(&self.workers[worker].table).insert(number, info);
    }

    pub(crate) fn remove(&self, worker: usize, number: u64) {
        lock(&self.workers[worker].table).remove(&number);
    }

    /// Up to `most` of a worker's that have this number or a later one, in order.
    pub(crate) fn some(&self, worker: usize, from: u64, most: usize) -> Vec<(u64, Arc<Info>)> {
        let Some(worker) = self.workers.get(worker) else { return Vec::new() };
        let table = lock(&worker.table);
        table.range(from..).take(most).map(|(number, info)| (*number, Arc::clone(info))).collect()
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.workers.len()
    }
}
