//! What is counted: for each tenant, by each worker in a line of its own, added up when somebody asks.
//!
//! A counter has one writer, its worker, so counting is a load and a store without any lock. `stats reset`
//! does not write them either: it remembers what they were.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::stopwatch::Times;

/// What a worker counts for a tenant. The names are those of `stats`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Count {
    // What nearly every request counts comes first, to lie in one cache line.
    CmdGet,
    GetHits,
    GetMisses,
    CmdSet,
    CmdMeta,
    BytesRead,
    BytesWritten,
    CmdTouch,
    CmdFlush,
    DeleteHits,
    DeleteMisses,
    IncrHits,
    IncrMisses,
    DecrHits,
    DecrMisses,
    CasHits,
    CasMisses,
    CasBadval,
    TouchHits,
    TouchMisses,
    StoreTooLarge,
    StoreNoMemory,
    AuthCmds,
    AuthErrors,
    /// Requests that the credential does not allow.
    Denied,
    /// Connections that became this tenant's.
    Opened,
    /// Those of them that are gone, or another tenant's by now.
    Closed,
}

/// How many [`Count`]s there are.
pub(crate) const COUNTS: usize = Count::Closed as usize + 1;

/// One worker's counters of one tenant.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Counters {
    counts: [AtomicU64; COUNTS],
    /// How long batches took.
    pub(crate) times: Times,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters { counts: [const { AtomicU64::new(0) }; COUNTS], times: Times::default() }
    }
}

impl Counters {
    /// Counts. Only the worker whose counters these are may call this.
    #[inline]
    pub(crate) fn add(&self, count: Count, by: u64) {
        let counter = &self.counts[count as usize];
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
    }

    /// Keys asked for, stored, changed and deleted.
    pub(crate) fn asked(&self) -> u64 {
        const ASKED: [Count; 9] = [
            Count::CmdGet,
            Count::CmdSet,
            Count::CmdTouch,
            Count::DeleteHits,
            Count::DeleteMisses,
            Count::IncrHits,
            Count::IncrMisses,
            Count::DecrHits,
            Count::DecrMisses,
        ];
        ASKED.into_iter().map(|count| self.counts[count as usize].load(Ordering::Relaxed)).sum()
    }

    /// Adds these to a sum.
    pub(crate) fn add_to(&self, sum: &mut Counted) {
        for (sum, counter) in sum.0.iter_mut().zip(&self.counts) {
            *sum += counter.load(Ordering::Relaxed);
        }
    }
}

/// Counters added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted([u64; COUNTS]);

impl Default for Counted {
    fn default() -> Counted {
        Counted([0; COUNTS])
    }
}

impl Counted {
    pub(crate) fn get(&self, count: Count) -> u64 {
        self.0[count as usize]
    }

    /// Adds another sum.
    pub(crate) fn add(&mut self, other: &Counted) {
        for (sum, other) in self.0.iter_mut().zip(&other.0) {
            *sum += other;
        }
    }

    /// Forgets how many connections there were: as the base of a reset it must not hide open ones.
    pub(crate) fn keep_connections(&mut self) {
        self.0[Count::Opened as usize] = 0;
        self.0[Count::Closed as usize] = 0;
    }

    /// What was counted since `before`.
    pub(crate) fn since(&self, before: &Counted) -> Counted {
        let mut since = *self;
        for (count, before) in since.0.iter_mut().zip(&before.0) {
            *count = count.saturating_sub(*before);
        }
        since
    }
}
