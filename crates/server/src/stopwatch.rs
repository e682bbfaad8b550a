//! How long batches of requests take: from when their bytes were read to when the socket has the replies.
//!
//! A sample is timed: one batch in eight, and the first in each tick of the coarse clock, so that of a few
//! requests all are. The clock is the exact monotonic one, which Linux answers without a system call in about
//! 25 ns; a batch costs at least two system calls, so a sample of all would cost half a percent of it, and of
//! one in eight nothing that can be measured. Reading the CPU's own counter would be cheaper only until its
//! frequency had to be found out, and whether all CPUs agree on it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use larder_tenancy::Latency;

/// One batch in so many is timed.
const ONE_IN: u32 = 8;

/// Of one worker: decides which batches are timed.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    batches: u32,
    /// When the last was timed, in milliseconds; `u64::MAX`: none was.
    last: u64,
}

/// Whether a batch is timed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Timed {
    No,
    /// From when it is read.
    Yes,
    /// Since it was read.
    Since(Instant),
}

/// How long batches of one tenant took on one worker. Takes memory when there is something to count.
#[derive(Debug, Default)]
pub(crate) struct Times(OnceLock<Box<[AtomicU64; Latency::BUCKETS]>>);

impl Default for Stopwatch {
    fn default() -> Stopwatch {
        Stopwatch { batches: 0, last: u64::MAX }
    }
}

impl Stopwatch {
    /// Whether the next batch is timed; at `now`, in milliseconds.
    #[inline]
    pub(crate) fn next(&mut self, now: u64) -> Timed {
        self.batches = self.batches.wrapping_add(1);
        if now == self.last && !self.batches.is_multiple_of(ONE_IN) {
            return Timed::No;
        }
        self.last = now;
        Timed::Yes
    }
}

impl Timed {
    /// It has been read.
    #[inline]
    pub(crate) fn read(self) -> Timed {
        match self {
            Timed::Yes => Timed::Since(Instant::now()),
            other => other,
        }
    }

    /// It is answered: it goes to `times`.
    #[inline]
    pub(crate) fn answered(self, times: &Times) {
        if let Timed::Since(read) = self {
            times.add(u64::try_from(read.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
    }
}

impl Times {
    /// Counts. Only the worker whose they are may call this.
    #[cold]
    fn add(&self, nanos: u64) {
        let counts = self.0.get_or_init(|| Box::new([const { AtomicU64::new(0) }; _]));
        let count = &counts[Latency::bucket(nanos)];
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Adds these to a sum.
    pub(crate) fn add_to(&self, sum: &mut Latency) {
        for (bucket, count) in self.0.get().into_iter().flat_map(|counts| counts.iter()).enumerate()
        {
            sum.add(bucket, count.load(Ordering::Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_few_all_are_timed_and_of_many_one_in_eight() {
        let mut stopwatch = Stopwatch::default();
        let mut timed = |now| matches!(stopwatch.next(now), Timed::Yes);
        assert!((0..100).all(&mut timed), "each in a tick of its own");
        assert_eq!((0..800).filter(|_| timed(100)).count(), 101);
    }

    #[test]
    fn what_was_timed_is_counted_in_its_bucket() {
        let (times, mut sum) = (Times::default(), Latency::default());
        times.add_to(&mut sum);
        assert_eq!(sum.total(), 0);
        times.add(5_000);
        times.add(u64::MAX);
        Timed::Yes.answered(&times);
        Timed::Yes.read().answered(&times);
        times.add_to(&mut sum);
        assert_eq!(sum.total(), 3);
        assert_eq!(sum.counts()[Latency::bucket(5_000)], 1);
    }
}
