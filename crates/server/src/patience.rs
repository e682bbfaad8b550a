//! How long a client is waited for: for the rest of what it began to send, or until it takes its replies.
//!
//! One rule for both: there is a deadline, and what the client sends or takes puts it off, but no more than
//! a slow client would. So one byte now and then gains nothing, and a large value over a slow line
//! has the time it needs.

/// A client that is waited for has to send or take so many bytes a millisecond, on average, once the first
/// deadline is over.
const LEAST_BYTES_A_MS: usize = 16;

/// How long a client has to see that it was closed, in milliseconds.
pub(crate) const LINGER_MS: u64 = 1000;

/// How long is waited for a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    pub(crate) request_ms: u64,
    pub(crate) idle_ms: Option<u64>,
}

/// Since when a client is waited for, if it is, in milliseconds by the worker's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Patience(Option<u64>);

impl Patience {
    /// Waits from now on.
    pub(crate) fn begin(&mut self, now: u64) {
        self.0 = Some(now);
    }

    /// Waits as before, or from now on; so many bytes were sent or taken meanwhile.
    pub(crate) fn go_on(&mut self, moved: usize, now: u64) {
        let credit = (moved / LEAST_BYTES_A_MS) as u64;
        self.0 = Some(self.0.map_or(now, |since| now.min(since + credit)));
    }

    /// For how long, in milliseconds; 0 if it is not waited for.
    pub(crate) fn waited(self, now: u64) -> u64 {
        self.0.map_or(0, |since| now.saturating_sub(since))
    }

    /// Since when.
    pub(crate) fn since(self) -> Option<u64> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_puts_the_deadline_off_as_a_slow_line_would() {
        let mut patience = Patience::default();
        assert_eq!(patience.waited(1000), 0);
        patience.go_on(1_000_000, 1000);
        assert_eq!(patience.waited(5000), 4000, "it begins when it begins");
        patience.go_on(15, 6000);
        assert_eq!(patience.waited(6000), 5000, "a few bytes gain nothing");
        patience.go_on(16 * 1000, 7000);
        assert_eq!(patience.waited(7000), 5000, "a second's worth gains a second");
        patience.go_on(1 << 30, 8000);
        assert_eq!(patience.waited(8000), 0, "no more than there is is forgiven");
        assert_eq!(patience.waited(9000), 1000);
    }
}
