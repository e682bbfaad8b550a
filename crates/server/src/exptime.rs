//! Memcached's exptime: what a client says about when an item expires.

use std::time::Duration;

/// The longest relative exptime, 30 days in seconds: what is larger is seconds since 1970.
const MOST_RELATIVE: u64 = 60 * 60 * 24 * 30;

/// The store lets an item live up to so long beyond its TTL, in milliseconds: never less. Here an item is
/// to be gone when its whole TTL has passed.
const LATE: u64 = 100;

/// The TTL that an exptime means at `now_ms`, in milliseconds since 1970: `None` never expires, zero is
/// expired at once.
pub(crate) fn ttl(exptime: i64, now_ms: u64) -> Option<Duration> {
    let Ok(exptime) = u64::try_from(exptime) else { return Some(Duration::ZERO) };
    let ms = match exptime {
        0 => return None,
        1..=MOST_RELATIVE => exptime * 1000,
        _ => exptime.saturating_mul(1000).saturating_sub(now_ms),
    };
    let is_over = ms == 0;
    let ms = ms.saturating_sub(LATE).max(1);
    Some(if is_over { Duration::ZERO } else { Duration::from_millis(ms) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exptimes_are_relative_up_to_thirty_days_and_absolute_beyond() {
        let now_ms = 1_700_000_000_500;
        let ms = |ms| Some(Duration::from_millis(ms));
        for (exptime, expected) in [
            (0, None),
            (-1, Some(Duration::ZERO)),
            (i64::MIN, Some(Duration::ZERO)),
            (1, ms(900)),
            (2_592_000, ms(2_591_999_900)),
            // In 1970, which is over.
            (2_592_001, Some(Duration::ZERO)),
            (1_700_000_000, Some(Duration::ZERO)),
            (1_700_000_010, ms(9_400)),
        ] {
            assert_eq!(ttl(exptime, now_ms), expected, "{exptime}");
        }
        assert!(ttl(i64::MAX, now_ms) > ms(1 << 50), "no overflow");
        assert_eq!(ttl(1_700_000_000, 1_699_999_999_950), ms(1), "not never, and not at once");
    }
}
