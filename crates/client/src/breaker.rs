//! The circuit breaker of one server: after some failures in a row the server is left alone, then
//! probed with one operation at a time until one succeeds.
//!
//! Pure state: the clock is passed in, the caller logs and locks. While it is open nothing but the
//! probe gets through, so a dead server costs a page nothing.

use std::time::Duration;

use tokio::time::Instant;

/// Counts failures of one server and decides whether it may be used.
#[derive(Debug)]
pub(crate) struct Breaker {
    limit: u32,
    retry_min: Duration,
    retry_max: Duration,
    in_a_row: u32,
    last_failure: String,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    pause: Duration,
    /// A probe is under way.
    probing: bool,
}

/// What an operation may do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Go ahead; the breaker is closed.
    Normal,
    /// Go ahead, alone: how this goes decides. The caller must report it, or give it up with
    /// [`Breaker::abandon_probe`].
    Probe,
    /// Fail at once, for this reason.
    Refused(String),
}

impl Breaker {
    /// A closed breaker that opens after `limit` failures in a row, for `retry_min` at first and
    /// `retry_max` at most.
    pub(crate) fn new(limit: u32, retry_min: Duration, retry_max: Duration) -> Self {
        let (in_a_row, last_failure, open) = (0, String::new(), None);
        Self { limit, retry_min, retry_max, in_a_row, last_failure, open }
    }

    /// Asks for leave to use the server.
    pub(crate) fn admit(&mut self, now: Instant) -> Admission {
        let Some(open) = &mut self.open else {
            return Admission::Normal;
        };
        if !open.probing && now >= open.until {
            open.probing = true;
            return Admission::Probe;
        }
        let next = if open.probing {
            "one request is probing it now".to_owned()
        } else {
            format!("next try in {} ms", open.until.duration_since(now).as_millis())
        };
        Admission::Refused(format!(
            "{} failures in a row, the last: {}; {next}",
            self.in_a_row, self.last_failure
        ))
    }

    /// The server answered. True when this closes the breaker.
    pub(crate) fn succeed(&mut self) -> bool {
        self.in_a_row = 0;
        self.open.take().is_some()
    }

    /// The server failed. True when this opens the breaker.
    pub(crate) fn fail(&mut self, now: Instant, probe: bool, reason: String) -> bool {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.last_failure = reason;
        match &mut self.open {
            Some(open) if probe => {
                open.pause = open.pause.saturating_mul(2).min(self.retry_max);
                open.until = now + open.pause;
                open.probing = false;
                false
            }
            // A request from before the breaker opened: it tells nothing new.
            Some(_) => false,
            None if self.in_a_row >= self.limit => {
                let pause = self.retry_min;
                self.open = Some(Open { until: now + pause, pause, probing: false });
                true
            }
            None => false,
        }
    }

    /// The probe came to no result (its task was cancelled): another one may try.
    pub(crate) fn abandon_probe(&mut self) {
        if let Some(open) = &mut self.open {
            open.probing = false;
        }
    }

    /// Whether the server is in use.
    pub(crate) fn is_closed(&self) -> bool {
        self.open.is_none()
    }

    /// Failures since the last success.
    pub(crate) fn failures_in_a_row(&self) -> u32 {
        self.in_a_row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(200);
    const MAX: Duration = Duration::from_millis(700);

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(2, MIN, MAX);
        assert!(!breaker.fail(now, false, "first".into()));
        assert_eq!(breaker.admit(now), Admission::Normal);
        assert!(breaker.fail(now, false, "second".into()));
        breaker
    }

    #[test]
    fn failures_must_come_in_a_row() {
        let now = Instant::now();
        let mut breaker = Breaker::new(2, MIN, MAX);
        breaker.fail(now, false, "one".into());
        assert!(!breaker.succeed());
        assert!(!breaker.fail(now, false, "one".into()));
        assert!(breaker.is_closed());
    }

    #[test]
    fn one_probe_at_a_time_and_longer_pauses() {
        let start = Instant::now();
        let mut breaker = opened(start);
        let Admission::Refused(reason) = breaker.admit(start) else {
            panic!("an open breaker must refuse");
        };
        assert!(reason.contains("2 failures in a row, the last: second; next try in 200 ms"));
        let mut now = start;
        for pause in [200, 400, 700, 700] {
            now += Duration::from_millis(pause - 1);
            assert!(matches!(breaker.admit(now), Admission::Refused(_)), "{pause}");
            now += Duration::from_millis(1);
            assert_eq!(breaker.admit(now), Admission::Probe, "{pause}");
            assert!(matches!(breaker.admit(now), Admission::Refused(_)), "{pause}");
            assert!(!breaker.fail(now, true, "probe".into()));
        }
        now += MAX;
        assert_eq!(breaker.admit(now), Admission::Probe);
        assert!(breaker.succeed());
        assert_eq!(breaker.admit(now), Admission::Normal);
    }

    #[test]
    fn an_abandoned_probe_lets_the_next_one_try() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.admit(now + MIN), Admission::Probe);
        breaker.abandon_probe();
        assert_eq!(breaker.admit(now + MIN), Admission::Probe);
    }
}
