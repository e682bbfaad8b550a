//! Moments as people read them.

use jiff::Timestamp;

/// Seconds since 1970 as a moment, to be written in some form. What lies beyond the last that can be
/// said, some hours before the end of the year 9999, is that.
#[must_use]
pub fn moment(unix: u64) -> Timestamp {
    i64::try_from(unix)
        .ok()
        .and_then(|unix| Timestamp::from_second(unix).ok())
        .unwrap_or(Timestamp::MAX)
}

/// Seconds since 1970 as `2026-11-22 08:00`, in UTC.
#[must_use]
pub fn utc_minute(unix: u64) -> String {
    moment(unix).strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_those_of_the_calendar() {
        for (seconds, shown) in [
            (0, "1970-01-01 00:00"),
            (951_782_400 - 1, "2000-02-28 23:59"),
            (951_782_400, "2000-02-29 00:00"),
            (1_709_251_199, "2024-02-29 23:59"),
            (1_735_689_599, "2024-12-31 23:59"),
            (1_795_334_460, "2026-11-22 08:01"),
            (4_107_542_400, "2100-03-01 00:00"),
        ] {
            assert_eq!(utc_minute(seconds), shown, "{seconds}");
        }
        for beyond in [253_402_300_800, u64::MAX] {
            assert!(utc_minute(beyond).starts_with("9999-12-"), "{beyond}");
        }
    }
}
