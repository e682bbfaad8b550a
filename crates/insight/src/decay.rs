//! What a command is worth, so that scores tell what was busy of late.
//!
//! A score halves every [`HALF_LIFE_MS`]. Rather than halve all scores now and then, a command is worth twice
//! as much one half-life later (*forward decay*, Cormode et al. 2009): scores keep their order as time goes
//! by, and nothing is done to those that do not change. Before worths get too large, all scores are scaled down.

/// Time in which a score halves: 5 minutes, so "of late" is about the last 10 minutes.
pub(crate) const HALF_LIFE_MS: u64 = 300_000;

/// How often the worth is computed anew.
const STEP_MS: u64 = 1_000;

/// At how many half-lives scores are scaled down.
const MOST_HALF_LIVES: f64 = 64.0;

/// What a command is worth now. Time only goes forward: an earlier time counts as the latest one.
#[derive(Debug)]
pub(crate) struct Decay {
    /// When a command is worth 1.
    origin_ms: u64,
    /// When `worth` was computed.
    at_ms: u64,
    /// The first time of all, if there was one.
    began_ms: Option<u64>,
    worth: f64,
}

impl Decay {
    pub(crate) fn new() -> Self {
        Self { origin_ms: 0, at_ms: 0, began_ms: None, worth: 1.0 }
    }

    /// What a command is worth now.
    pub(crate) fn worth(&self) -> f64 {
        self.worth
    }

    /// Moves on to `unix_ms`. If it returns a factor, all scores must be multiplied by it.
    #[must_use]
    #[inline]
    pub(crate) fn advance(&mut self, unix_ms: u64) -> Option<f64> {
        if unix_ms < self.at_ms.saturating_add(STEP_MS) {
            return None;
        }
        self.at_ms = unix_ms;
        self.began_ms.get_or_insert(unix_ms);
        let half_lives = half_lives(unix_ms - self.origin_ms);
        if half_lives < MOST_HALF_LIVES {
            self.worth = half_lives.exp2();
            return None;
        }
        self.origin_ms = unix_ms;
        self.worth = 1.0;
        Some((-half_lives).exp2())
    }

    /// How many commands a minute made a score, on average of late; not so late that nothing was seen yet, but
    /// of a minute at least.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a rate needs no more digits, is not negative, and what is too large becomes the largest number"
    )]
    pub(crate) fn per_minute(&self, score: f64) -> u64 {
        let seen = half_lives(self.began_ms.map_or(0, |began| self.at_ms.saturating_sub(began)));
        // What one command a minute would have come to.
        let one = HALF_LIFE_MS as f64 / 60_000.0 / std::f64::consts::LN_2 * (1.0 - (-seen).exp2());
        (score / self.worth / one.max(1.0)).round() as u64
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 are far below 2^53, and no digit matters"
)]
fn half_lives(ms: u64) -> f64 {
    ms as f64 / HALF_LIFE_MS as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_halves_and_survives_being_scaled_down() {
        let mut decay = Decay::new();
        assert!(decay.advance(1_600_000_000_000).is_some(), "from 1970 to now");
        let start = 1_700_000_000_000;
        assert!(decay.advance(start).is_some(), "after years");
        let mut score = 1e9 * decay.worth();
        let first = decay.per_minute(score) as f64;
        for step in 1..=700 {
            if let Some(factor) = decay.advance(start + step * HALF_LIFE_MS / 10) {
                score *= factor;
            }
            let expected = first * (-(step as f64) / 10.0).exp2();
            let now = decay.per_minute(score) as f64;
            assert!((now - expected).abs() < 1.0, "{step}: {now} for {expected}");
        }
    }

    #[test]
    fn a_steady_rate_is_found() {
        let mut decay = Decay::new();
        let mut score = 0.0;
        for second in 1..=7200 {
            if let Some(factor) = decay.advance(1_700_000_000_000 + second * 1000) {
                score *= factor;
            }
            score += 2.0 * decay.worth();
            let rate = decay.per_minute(score);
            assert!(second < 60 || (110..=124).contains(&rate), "{rate} after {second} s");
        }
    }

    #[test]
    fn time_that_goes_back_or_jumps_far_does_no_harm() {
        let mut decay = Decay::new();
        assert_eq!(decay.advance(u64::MAX).map(|factor| factor < 1e-300), Some(true));
        assert_eq!(decay.advance(0), None);
        assert_eq!(decay.advance(u64::MAX), None);
        assert!(decay.worth().is_finite());
    }
}
