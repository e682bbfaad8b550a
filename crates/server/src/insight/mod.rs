//! What clients do, in a sample: taken where commands reach the store ([`crate::exec`]'s `items`), carried
//! through a bounded ring of each worker, and looked at on a thread of its own.
//!
//! A request that is in no sample costs a mask and a compare. What is sampled is put into the worker's
//! [`Ring`]; when that is full, or just being emptied, it is dropped and counted: the data plane never
//! waits. A few times a second the [collector](Insights::collect) empties the rings and feeds one
//! [`Observer`](larder_insight::Observer) per tenant, and once a second it decides how much is looked at: all
//! of it while there is little, and less the more there is, so that the cost has a limit.

mod collect;
mod ring;
mod trace;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_tenancy::{Insight, TenantId};

use self::collect::Collected;
use self::ring::Ring;
use crate::node::{Node, lock};

pub(crate) use self::ring::Sample;
pub(crate) use self::trace::{Sampling, Trace};

/// All that is kept of what clients do.
#[derive(Debug)]
pub(crate) struct Insights {
    /// One of each worker, and one of everybody else. None if nothing is looked at.
    rings: Box<[Ring]>,
    /// Numbers the samples of all rings, in the order in which they were taken.
    taken: AtomicU64,
    collected: Mutex<Collected>,
}

impl Insights {
    pub(crate) fn new(workers: usize, enabled: bool) -> Insights {
        let rings = if enabled { workers + 1 } else { 0 };
        let rings = (0..rings).map(|_| Ring::new()).collect();
        Insights { rings, taken: AtomicU64::new(0), collected: Mutex::default() }
    }

    /// Whether anything is looked at.
    pub(crate) fn is_enabled(&self) -> bool {
        !self.rings.is_empty()
    }

    /// Of a new tenant.
    pub(crate) fn trace(&self) -> Trace {
        if self.is_enabled() { Trace::of_all() } else { Trace::off() }
    }

    /// Takes a sample, on the ring of a worker; `None`: of somebody else.
    pub(crate) fn take(&self, worker: Option<usize>, mut sample: Sample, key: &[u8]) {
        let others = self.rings.len().saturating_sub(1);
        if let Some(ring) = self.rings.get(worker.unwrap_or(others)) {
            sample.number = self.taken.fetch_add(1, Ordering::Relaxed);
            ring.push(sample, key);
        }
    }

    /// Looks at what was sampled since the last time.
    pub(crate) fn collect(&self, node: &Node) {
        lock(&self.collected).collect(self, node);
    }

    /// What is known of a tenant, up to now.
    pub(crate) fn of(&self, tenant: TenantId, node: &Node) -> Insight {
        if !self.is_enabled() {
            return Insight::default();
        }
        let mut collected = lock(&self.collected);
        collected.collect(self, node);
        collected.insight(tenant, node)
    }
}
