//! Time as the store sees it: milliseconds since the Unix epoch, never going back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Where a [`Store`](crate::Store) reads the time. Clones share the time.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    /// The time at the start, moved on by the monotonic clock.
    System {
        unix_ms: u64,
        /// The monotonic clock then, in milliseconds.
        since: u64,
        /// By how much it was advanced since, in milliseconds.
        ahead: Arc<AtomicU64>,
    },
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's time, read from the system once and from the monotonic clock after that: a
    /// correction of the system's time neither expires items nor keeps them alive.
    #[must_use]
    pub fn system() -> Clock {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (unix_ms, ahead) = (whole_ms(unix), Arc::default());
        Clock(Source::System { unix_ms, since: monotonic_ms(), ahead })
    }

    /// A clock that stands at `unix_ms` until it is [advanced](Clock::advance).
    #[must_use]
    pub fn manual(unix_ms: u64) -> Clock {
        Clock(Source::Manual(Arc::new(AtomicU64::new(unix_ms))))
    }

    /// Moves the clock, and all its clones, on by whole milliseconds. A system clock is ahead of the
    /// machine's time from then on.
    pub fn advance(&self, by: Duration) {
        let (Source::System { ahead: moved, .. } | Source::Manual(moved)) = &self.0;
        moved.fetch_add(whole_ms(by), Ordering::SeqCst);
    }

    /// Milliseconds since the Unix epoch, to the few milliseconds that the system's tick takes.
    #[must_use]
    #[inline]
    pub fn now_ms(&self) -> u64 {
        match &self.0 {
            Source::System { unix_ms, since, ahead } => {
                let passed = monotonic_ms().saturating_sub(*since);
                unix_ms.saturating_add(passed).saturating_add(ahead.load(Ordering::Relaxed))
            }
            Source::Manual(now) => now.load(Ordering::SeqCst),
        }
    }
}

/// The monotonic clock, in milliseconds. Linux has a coarse one, which costs a fifth of the exact one:
/// every read of a store asks for the time.
#[cfg(target_os = "linux")]
#[inline]
fn monotonic_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds * 1000 + u64::try_from(now.tv_nsec / 1_000_000).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn monotonic_ms() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static FIRST: OnceLock<Instant> = OnceLock::new();
    whole_ms(FIRST.get_or_init(Instant::now).elapsed())
}

/// Whole milliseconds, rounded down.
fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_advanced_and_clones_share_it() {
        let clock = Clock::manual(1_000);
        let twin = clock.clone();
        assert_eq!(twin.now_ms(), 1_000);
        clock.advance(Duration::from_micros(2_900));
        assert_eq!(twin.now_ms(), 1_002);
    }

    #[test]
    fn the_system_clock_is_the_time_and_never_goes_back() {
        let clock = Clock::system();
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let first = clock.now_ms();
        assert!(first.abs_diff(whole_ms(unix)) < 60_000);
        assert!(clock.now_ms() >= first);
    }

    #[test]
    fn the_system_clock_can_be_moved_on_and_clones_with_it() {
        let (clock, other) = (Clock::system(), Clock::system());
        let (twin, first) = (clock.clone(), other.now_ms());
        clock.advance(Duration::from_hours(100));
        assert!(twin.now_ms() >= first + 360_000_000);
        assert!(other.now_ms() < first + 60_000_000);
    }
}
