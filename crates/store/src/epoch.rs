//! When memory may be reused: once every reader that might know of it has passed a quiescent point.
//!
//! Readers take no lock and no reference count. A thread that reads announces, in a cache line of
//! its own, the epoch it began in; when it is done it announces that it is idle. Whoever unlinks
//! memory takes a [`Stamp`] and moves the epoch on: the memory may be reused when every thread is
//! idle or began after the stamp. One announcement serves a whole batch of reads.
//!
//! What must stay true: a reader announces *before* it loads a slot of the index, and memory is
//! unlinked *before* its stamp is taken. Both are followed by a full fence, so either the reader
//! does not find the memory any more, or the announcement is seen by whoever asks whether the stamp
//! has passed.

use crate::stats::Counters;
use crate::sync::{AtomicU32, AtomicU64, Lock, Ordering, PerThread, fence};
use crate::tenants::Sight;

/// The epoch in which something was unlinked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(pub(crate) u64);

/// The epoch, and who reads.
#[derive(Debug)]
pub(crate) struct Epoch {
    now: AtomicU64,
    workers: PerThread<Worker>,
    joined: AtomicU32,
}

/// A thread's part of a store: lines that this thread alone writes.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Worker {
    /// The epoch in which this thread began to read, or [`IDLE`].
    began: AtomicU64,
    /// How many pins this thread has: a read inside a read is one announcement.
    depth: AtomicU32,
    /// As many bytes of an item this thread has fetched ahead: about as many as the longest of late has.
    ahead: AtomicU32,
    /// Counts threads in the order they came.
    pub(crate) number: u32,
    pub(crate) counters: Counters,
    /// What this thread has seen of the tenants.
    pub(crate) sight: Lock<Sight>,
}

const IDLE: u64 = 0;

/// Bytes of an item fetched ahead, before any was read and at most, which is a value of 1 KiB with its key. With
/// four times as much, values of 3000 B cost 9 % less in a batch, but sizes up to 2000 B, mixed, 4 % more.
const FIRST_AHEAD: u32 = 192;
const MOST_AHEAD: u32 = 1152;

/// With each item read, the length of the longest is forgotten by one part in so many.
const FORGOTTEN: u32 = 64;

impl Epoch {
    pub(crate) fn new() -> Epoch {
        Epoch { now: AtomicU64::new(1), workers: PerThread::new(), joined: AtomicU32::new(0) }
    }

    /// Announces that this thread reads, until the pin is dropped.
    #[inline]
    pub(crate) fn pin(&self) -> Pin<'_> {
        let worker = self.workers.get_or(|| Worker {
            began: AtomicU64::new(IDLE),
            depth: AtomicU32::new(0),
            ahead: AtomicU32::new(FIRST_AHEAD),
            number: self.joined.fetch_add(1, Ordering::Relaxed),
            counters: Counters::default(),
            sight: Lock::default(),
        });
        let depth = worker.depth.load(Ordering::Relaxed);
        worker.depth.store(depth + 1, Ordering::Relaxed);
        if depth == 0 {
            let now = self.now.load(Ordering::Acquire);
            // The announcement must be visible before anything is read. On x86 a read-modify-write is
            // the cheapest full barrier, and only the compiler has to be told; elsewhere, and for
            // Miri, a fence says so.
            #[cfg(target_arch = "x86_64")]
            worker.began.swap(now, Ordering::SeqCst);
            #[cfg(not(target_arch = "x86_64"))]
            worker.began.store(now, Ordering::Relaxed);
            #[cfg(not(all(target_arch = "x86_64", not(any(miri, feature = "shuttle")))))]
            fence(Ordering::SeqCst);
            #[cfg(all(target_arch = "x86_64", not(any(miri, feature = "shuttle"))))]
            std::sync::atomic::compiler_fence(Ordering::SeqCst);
        }
        Pin { worker }
    }

    /// Marks the end of the present epoch, for memory that has just been unlinked.
    pub(crate) fn stamp(&self) -> Stamp {
        fence(Ordering::SeqCst);
        Stamp(self.now.fetch_add(1, Ordering::SeqCst))
    }

    /// Whether everyone who read when the stamp was taken has finished.
    pub(crate) fn passed(&self, stamp: Stamp) -> bool {
        fence(Ordering::SeqCst);
        self.workers.iter().all(|worker| {
            let began = worker.began.load(Ordering::Acquire);
            began == IDLE || began > stamp.0
        })
    }

    /// The threads that have used the store.
    pub(crate) fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter()
    }
}

/// This thread reads while it has one of these.
#[derive(Debug)]
pub(crate) struct Pin<'a> {
    pub(crate) worker: &'a Worker,
}

impl Worker {
    /// How many bytes of an item are worth being fetched ahead.
    #[inline]
    pub(crate) fn ahead(&self) -> usize {
        self.ahead.load(Ordering::Relaxed) as usize
    }

    /// Notes how long an item is that was read.
    #[inline]
    pub(crate) fn note_length(&self, bytes: usize) {
        let ahead = self.ahead.load(Ordering::Relaxed);
        let forgotten = ahead - ahead / FORGOTTEN;
        let length = u32::try_from(bytes).unwrap_or(MOST_AHEAD).min(MOST_AHEAD);
        self.ahead.store(forgotten.max(length), Ordering::Relaxed);
    }
}

impl Pin<'_> {
    /// Whether this is the thread's only pin: then it can be put down to let memory be reused.
    pub(crate) fn is_outermost(&self) -> bool {
        self.worker.depth.load(Ordering::Relaxed) == 1
    }

    /// Whether this thread has one more pin, and nobody but its present work has them.
    pub(crate) fn is_only_second(&self) -> bool {
        self.worker.depth.load(Ordering::Relaxed) == 2
    }

    /// A quiescent point: nothing read before is used any more.
    pub(crate) fn repin(&mut self, epoch: &Epoch) {
        self.rest(epoch, || ());
    }

    /// The same, and this thread does not read while it does something else.
    pub(crate) fn rest(&mut self, epoch: &Epoch, meanwhile: impl FnOnce()) {
        if !self.is_outermost() {
            return meanwhile();
        }
        self.worker.began.store(IDLE, Ordering::Release);
        meanwhile();
        let now = epoch.now.load(Ordering::Acquire);
        self.worker.began.swap(now, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }
}

impl Drop for Pin<'_> {
    #[inline]
    fn drop(&mut self) {
        let depth = self.worker.depth.load(Ordering::Relaxed);
        self.worker.depth.store(depth - 1, Ordering::Relaxed);
        if depth == 1 {
            self.worker.began.store(IDLE, Ordering::Release);
        }
    }
}
