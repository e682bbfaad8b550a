//! Numbers as people read them.

use std::time::Duration;

/// What is shown where nothing is known.
pub(super) const NONE: &str = "–";

/// With a comma between thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// So many in so long, a second.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate needs no more digits"
)]
pub(super) fn rate(number: u64, time: Duration) -> String {
    let rate = number as f64 / time.as_secs_f64().max(1e-3);
    match rate {
        0.0 => "0".to_owned(),
        rate if rate < 10.0 => format!("{rate:.1}"),
        rate => count(rate.round() as u64),
    }
}

/// A part of a whole in percent.
#[allow(clippy::cast_precision_loss, reason = "a share needs no more digits")]
pub(super) fn share(part: u64, whole: u64) -> Option<String> {
    (whole > 0).then(|| percent(part as f64 / whole as f64))
}

/// A share from 0 to 1 in percent. What is not quite all is not shown as all.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent < 100.0 { format!("{:.1} %", percent.min(99.9)) } else { "100 %".to_owned() }
}

/// The two largest units of a time.
pub(super) fn time(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        for (number, shown) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), shown);
        }
        let second = Duration::from_secs(1);
        for (number, shown) in [(0, "0"), (3, "3.0"), (12_345, "12,345")] {
            assert_eq!(rate(number, second), shown);
        }
        assert_eq!(rate(3, 2 * second), "1.5");
        assert_eq!(share(1, 0), None);
        for (part, shown) in [(0, "0.0 %"), (1, "0.0 %"), (9_999, "99.9 %"), (10_000, "100 %")] {
            assert_eq!(share(part, 10_000).as_deref(), Some(shown), "{part}");
        }
        for (seconds, shown) in
            [(0, "0s"), (61, "1m 1s"), (3600, "1h 0m"), (90_000, "1d 1h"), (86_399, "23h 59m")]
        {
            assert_eq!(time(seconds), shown);
        }
    }
}
