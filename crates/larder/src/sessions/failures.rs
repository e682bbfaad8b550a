//! What the log says of sessions that could not be saved: a line a minute, not a line a request.

use std::sync::atomic::{AtomicI64, Ordering};

use super::error::SessionError;

/// How long the log is left in peace after a line.
const PAUSE_MS: u64 = 60_000;

/// Reports failures; those that come within a minute of a reported one are for debugging only.
#[derive(Debug)]
pub(super) struct Failures {
    /// When the last one was reported.
    reported_ms: AtomicI64,
}

impl Failures {
    pub(super) fn new() -> Self {
        Self { reported_ms: AtomicI64::new(i64::MIN) }
    }

    pub(super) fn report(&self, error: &SessionError, now_ms: i64) {
        if self.is_due(now_ms) {
            tracing::error!(%error, "a session could not be saved; for a minute no more of these");
        } else {
            tracing::debug!(%error, "a session could not be saved");
        }
    }

    /// True for one caller a minute. A clock that was set back does not silence it.
    fn is_due(&self, now_ms: i64) -> bool {
        let last = self.reported_ms.load(Ordering::Relaxed);
        let (relaxed, is_due) = (Ordering::Relaxed, now_ms.abs_diff(last) >= PAUSE_MS);
        is_due && self.reported_ms.compare_exchange(last, now_ms, relaxed, relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_minute() {
        let failures = Failures::new();
        let due = [0, 1, 59_999, 60_000, 60_001, 0, 1].map(|now_ms| failures.is_due(now_ms));
        assert_eq!(due, [true, false, false, true, false, true, false]);
    }
}
