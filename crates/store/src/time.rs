//! The store's own time: ticks of 100 ms, which 32 bits count for 13 years.

use std::time::Duration;

use crate::clock::Clock;
use crate::memory::record::NEVER;

/// The store's time. Ticks and minutes count from its start.
#[derive(Debug)]
pub(crate) struct Time {
    clock: Clock,
    /// In milliseconds, as the clock counts.
    start: u64,
}

/// A tick in milliseconds: expiry times are kept in ticks, 32 bits of them last 13 years.
pub(crate) const TICK_MS: u64 = 100;

impl Time {
    /// Starts now.
    pub(crate) fn new(clock: Clock) -> Time {
        Time { start: clock.now_ms(), clock }
    }

    /// Ticks since the start; the first is 1.
    #[inline]
    pub(crate) fn tick(&self) -> u32 {
        u32::try_from(self.ms() / TICK_MS).unwrap_or(u32::MAX).min(u32::MAX - 2) + 1
    }

    /// The tick at which something stored now with this TTL expires: rounded up, so that it lives at
    /// least as long as was asked; zero is at once.
    pub(crate) fn expiry(&self, ttl: Option<Duration>) -> u32 {
        let Some(ttl) = ttl else { return NEVER };
        if ttl.is_zero() {
            return 0;
        }
        let ms = u64::try_from(ttl.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        let at = self.ms().saturating_add(ms).div_ceil(TICK_MS).saturating_add(1);
        u32::try_from(at).unwrap_or(NEVER).min(NEVER - 1)
    }

    /// Milliseconds since the start.
    #[inline]
    pub(crate) fn ms(&self) -> u64 {
        self.clock.now_ms().saturating_sub(self.start)
    }

    /// The time left until a tick, in whole ticks from another one; `None`: it never comes.
    pub(crate) fn left(expires: u32, now: u32) -> Option<Duration> {
        let ticks = u64::from(expires.saturating_sub(now));
        (expires != NEVER).then(|| Duration::from_millis(ticks * TICK_MS))
    }
}

/// A minute in ticks.
pub(crate) const MINUTE: u32 = 600;

/// The minute of an access at a tick, rounded up: what lies between two of them is never said to be
/// longer than it was. It wraps around after 45 days.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "wraps around")]
pub(crate) fn minute(tick: u32) -> u16 {
    tick.saturating_sub(1).div_ceil(MINUTE) as u16
}

/// The whole minutes that have passed at a tick since an access in this minute.
#[allow(clippy::cast_possible_truncation, reason = "wraps around")]
pub(crate) fn minutes_since(accessed: u32, tick: u32) -> u32 {
    let passed = (tick.saturating_sub(1) / MINUTE).wrapping_sub(accessed) as u16;
    // Less than one: the access was rounded up beyond now.
    if passed == u16::MAX { 0 } else { passed.into() }
}
