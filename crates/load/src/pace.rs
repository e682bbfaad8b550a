//! When the next commands are due.

use std::time::{Duration, Instant};

use crate::random::Random;

/// The pace of one thread.
#[derive(Debug)]
pub(crate) enum Pace {
    /// As soon as a connection is free: the closed loop.
    Closed,
    /// At times that depend on nobody: the open loop.
    Open(Arrivals),
}

impl Pace {
    /// When the next batch is due, if that is not later than `now`; it counts as begun.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Instant> {
        match self {
            Pace::Closed => Some(now),
            Pace::Open(arrivals) => arrivals.take(now),
        }
    }

    /// How long from `now` until the next batch is due; nothing if that depends on connections.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        match self {
            Pace::Closed => None,
            Pace::Open(arrivals) => Some(arrivals.next.saturating_duration_since(now)),
        }
    }

    /// How many batches are due and not begun.
    pub(crate) fn behind(&mut self, now: Instant) -> u64 {
        let mut behind = 0;
        while let Pace::Open(_) = self
            && self.take(now).is_some()
        {
            behind += 1;
        }
        behind
    }
}

/// Batches that arrive independently of each other, as those of many users do: the time from one to the
/// next is distributed exponentially.
#[derive(Debug)]
pub(crate) struct Arrivals {
    next: Instant,
    /// Seconds between two batches, on average.
    mean: f64,
    random: Random,
}

impl Arrivals {
    /// `rate` batches a second, from `start` on.
    pub(crate) fn new(rate: f64, start: Instant, seed: u64) -> Arrivals {
        Arrivals { next: start, mean: rate.recip(), random: Random::new(seed) }
    }

    fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next;
        if due > now {
            return None;
        }
        let gap = -(1.0 - self.random.unit()).ln() * self.mean;
        // A rate of less than one in an hour is a gap of an hour.
        self.next = due + Duration::from_secs_f64(gap.min(3600.0));
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_keep_their_rate_whoever_is_slow() {
        let start = Instant::now();
        let mut pace = Pace::Open(Arrivals::new(10_000.0, start, 1));
        let mut last = start;
        let mut count = 0;
        // Looked at only once in a while, they are still due at their own times.
        for step in 1..=100 {
            let now = start + Duration::from_millis(100) * step;
            while let Some(due) = pace.take(now) {
                assert!(due >= last && due <= now);
                last = due;
                count += 1;
            }
            assert!(pace.wait(now).unwrap() > Duration::ZERO);
        }
        // 100,000 are expected; five standard deviations are 1,600.
        assert!((98_400..101_600).contains(&count), "{count}");
        assert_eq!(pace.behind(start + Duration::from_secs(10)), 0);
        let behind = pace.behind(start + Duration::from_secs(11));
        assert!((9_500..10_500).contains(&behind), "{behind}");
    }

    #[test]
    fn the_closed_loop_is_always_due() {
        let now = Instant::now();
        assert_eq!(Pace::Closed.take(now), Some(now));
        assert_eq!(Pace::Closed.wait(now), None);
        assert_eq!(Pace::Closed.behind(now), 0);
    }
}
