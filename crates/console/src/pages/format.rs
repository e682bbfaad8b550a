//! How numbers, sizes, times and keys are written in the pages: the filters of the templates.
//!
//! Nothing here knows the clock: what is relative takes the moment of the page. All text that is returned
//! is plain; the templates escape it.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use larder_control::{moment, percent_encoded};
use minijinja::Environment;
use minijinja::value::{Serde, Value};
use serde::Serialize;

/// Adds all filters to an environment.
pub(super) fn install(environment: &mut Environment<'_>) {
    environment.add_filter("count", count);
    environment.add_filter("decimal", decimal);
    environment.add_filter("size", size);
    environment.add_filter("percent", percent);
    environment.add_filter("nanos", nanos);
    environment.add_filter("span", span);
    environment.add_filter("ago", ago);
    environment.add_filter("iso", iso);
    environment.add_filter("utc", utc);
    environment.add_filter("stamp", stamp);
    environment.add_filter("clock", clock);
    environment.add_filter("pieces", |text: &str| Value::from(Serde(pieces(text))));
    environment.add_filter("lines", |text: &str| Value::from(Serde(lines(text))));
    environment.add_filter("query", percent_encoded);
    environment.add_filter("plural", plural);
    environment.add_filter("browser", browser);
}

/// A whole number with its digits in groups of three: `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number with as many digits as one reads at a glance: `0.25`, `3.1`, `120`, `12,500`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, not negative")]
pub(super) fn decimal(number: f64) -> String {
    let number = number.max(0.0);
    let text = match number {
        0.0 => return "0".to_owned(),
        small if small < 0.995 => format!("{small:.2}"),
        small if small < 9.95 => format!("{small:.1}"),
        large => return count(large.round() as u64),
    };
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Bytes in binary units, three digits at most: `12 B`, `1.5 KiB`, `25 MiB`.
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // What would be rounded to 1024 belongs to the next unit.
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    };
    let digits = match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => &digits,
    };
    format!("{digits} {}", UNITS[unit])
}

/// A share from 0 to 1: `87.5 %`. What is not all is not rounded to all, and what is not nothing not to
/// nothing.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let tenths = (percent * 10.0).round() / 10.0;
    let tenths = match tenths {
        _ if tenths >= 100.0 && percent < 100.0 => 99.9,
        _ if tenths <= 0.0 && percent > 0.0 => 0.1,
        _ => tenths,
    };
    format!("{} %", trimmed(tenths))
}

/// A number of tenths without a `.0`.
fn trimmed(tenths: f64) -> String {
    let text = format!("{tenths:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// A short time, given in nanoseconds: `840 ns`, `12.5 µs`, `3 ms`, `1.2 s`.
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn nanos(nanos: u64) -> String {
    const UNITS: [&str; 4] = ["ns", "µs", "ms", "s"];
    let mut value = nanos as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value < 99.95 { trimmed(value) } else { format!("{value:.0}") };
    format!("{digits} {}", UNITS[unit])
}

/// A time in seconds, in the largest two units: `45 s`, `3 min 5 s`, `2 h`, `5 days 3 h`.
pub(super) fn span(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let two = |large: String, rest: u64, unit: &str| match rest {
        0 => large,
        rest => format!("{large} {rest} {unit}"),
    };
    match seconds {
        0..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => two(format!("{} min", seconds / MINUTE), seconds % MINUTE, "s"),
        HOUR..DAY => two(format!("{} h", seconds / HOUR), seconds % HOUR / MINUTE, "min"),
        _ => {
            let days = seconds / DAY;
            let days = if days == 1 { "1 day".to_owned() } else { format!("{} days", count(days)) };
            if seconds < 10 * DAY { two(days, seconds % DAY / HOUR, "h") } else { days }
        }
    }
}

/// How long before or after `now` a moment is, roughly: `just now`, `4 min ago`, `in 3 days`.
pub(super) fn ago(at: u64, now: u64) -> String {
    let distance = at.abs_diff(now);
    let roughly = match distance {
        0..5 => return "just now".to_owned(),
        5..60 => format!("{distance} s"),
        60..3600 => format!("{} min", distance / 60),
        3600..86400 => format!("{} h", distance / 3600),
        86400..172_800 => "1 day".to_owned(),
        _ => format!("{} days", count(distance / 86400)),
    };
    if at > now { format!("in {roughly}") } else { format!("{roughly} ago") }
}

/// A moment as machines read it: `2026-11-22T07:35:01Z`.
pub(super) fn iso(unix: u64) -> String {
    moment(unix).strftime("%FT%TZ").to_string()
}

/// A moment as people read it: `22 Nov 2026, 07:35:01 UTC`.
pub(super) fn utc(unix: u64) -> String {
    format!("{} UTC", stamp(unix))
}

/// The same where it is clear that it is UTC.
fn stamp(unix: u64) -> String {
    moment(unix).strftime("%-d %b %Y, %T").to_string()
}

/// The time of day in UTC: `07:35:01`.
pub(super) fn clock(unix: u64) -> String {
    moment(unix).strftime("%T").to_string()
}

/// The day of the year: `22 Nov`.
pub(super) fn day(unix: u64) -> String {
    moment(unix).strftime("%-d %b").to_string()
}

/// The day of the week: `Sun`.
pub(super) fn weekday(unix: u64) -> String {
    moment(unix).strftime("%a").to_string()
}

/// The unix time of the beginning of a day that is written `2026-11-22`, as date fields send it; none if
/// it is not written so, or before 1970.
pub(super) fn parse_day(text: &str) -> Option<u64> {
    let date: Date = text.parse().ok()?;
    // A date has other forms, too.
    (date.to_string() == text).then_some(())?;
    let midnight = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
    u64::try_from(midnight.as_second()).ok()
}

/// A piece of a key.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Piece {
    text: String,
    /// Whether it stands for something that cannot be shown as it is.
    escaped: bool,
}

impl Piece {
    /// What is shown.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// Text in pieces to be shown: control characters, and those that turn text around or take no room, are
/// written as what they are, `\n`, `\u{202e}`.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    cut(text, is_unfit)
}

/// The same for text of several lines: its line feeds and tabs are what they are.
fn lines(text: &str) -> Vec<Piece> {
    cut(text, |character| !matches!(character, '\n' | '\t') && is_unfit(character))
}

fn cut(text: &str, is_unfit: fn(char) -> bool) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for character in text.chars() {
        let escaped = is_unfit(character);
        if pieces.last().is_none_or(|piece| piece.escaped != escaped) {
            pieces.push(Piece { text: String::new(), escaped });
        }
        let Some(Piece { text, .. }) = pieces.last_mut() else { continue };
        match escaped {
            true if character == '\u{fffd}' => text.push('\u{fffd}'),
            true => text.extend(character.escape_default()),
            false => text.push(character),
        }
    }
    pieces
}

fn is_unfit(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{fffd}' | '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
}

/// A count with its noun: `1 item`, `2 items`.
pub(super) fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// What a browser says that it is, in a word or two.
fn browser(agent: &str) -> String {
    const BROWSERS: [(&str, &str); 6] = [
        ("Firefox/", "Firefox"),
        ("Edg/", "Edge"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
        ("", "A browser"),
    ];
    const SYSTEMS: [(&str, &str); 6] = [
        ("Android", " on Android"),
        ("iPhone", " on iPhone"),
        ("Windows", " on Windows"),
        ("Mac OS X", " on macOS"),
        ("Linux", " on Linux"),
        ("", ""),
    ];
    let first = |names: [(&str, &'static str); 6]| {
        names.into_iter().find(|(mark, _)| agent.contains(mark)).map_or("", |(_, name)| name)
    };
    format!("{}{}", first(BROWSERS), first(SYSTEMS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        for (number, text) in cases {
            assert_eq!(count(number), text);
        }
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        let cases = [(0.0, "0"), (0.25, "0.25"), (0.999, "1"), (3.12, "3.1"), (9.96, "10")];
        for (number, text) in cases {
            assert_eq!(decimal(number), text);
        }
        assert_eq!(decimal(12_499.6), "12,500");
        assert_eq!(decimal(100.0), "100");
        assert_eq!(plural(1, "item", "items"), "1 item");
        assert_eq!(plural(1200, "item", "items"), "1,200 items");
    }

    #[test]
    fn sizes_have_binary_units() {
        let mib = 1 << 20;
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (25 * mib, "25 MiB"),
            (100 * mib, "100 MiB"),
            (1024 * mib - 1, "1 GiB"),
            (1300 * mib, "1.27 GiB"),
            (u64::MAX, "16 EiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn nearly_all_is_not_all() {
        let cases = [
            (0.0, "0 %"),
            (0.000_01, "0.1 %"),
            (0.5, "50 %"),
            (0.8754, "87.5 %"),
            (0.999_99, "99.9 %"),
            (1.0, "100 %"),
        ];
        for (share, text) in cases {
            assert_eq!(percent(share), text);
        }
    }

    #[test]
    fn times_have_the_units_that_fit() {
        let cases = [(840, "840 ns"), (12_500, "12.5 µs"), (999_600, "1 ms"), (3_000_000, "3 ms")];
        for (value, text) in cases {
            assert_eq!(nanos(value), text);
        }
        assert_eq!(nanos(1_200_000_000), "1.2 s");
        let cases = [
            (0, "0 s"),
            (185, "3 min 5 s"),
            (7200, "2 h"),
            (86400, "1 day"),
            (5 * 86400 + 3 * 3600, "5 days 3 h"),
            (40 * 86400 + 3600, "40 days"),
        ];
        for (value, text) in cases {
            assert_eq!(span(value), text);
        }
        let now = 1_000_000;
        assert_eq!(ago(now - 3, now), "just now");
        assert_eq!(ago(now - 250, now), "4 min ago");
        assert_eq!(ago(now + 3 * 86400, now), "in 3 days");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1 Jan 1970, 00:00:00 UTC");
        assert_eq!(utc(951_782_400), "29 Feb 2000, 00:00:00 UTC");
        assert_eq!(iso(1_795_332_901), "2026-11-22T07:35:01Z");
        assert_eq!(
            (day(1_795_332_901), weekday(1_795_332_901)),
            ("22 Nov".to_owned(), "Sun".to_owned())
        );
        assert_eq!(iso(4_102_444_799), "2099-12-31T23:59:59Z");
    }

    #[test]
    fn days_are_read_as_date_fields_write_them() {
        for (text, unix) in [("1970-01-01", 0), ("2000-02-29", 951_782_400)] {
            assert_eq!(parse_day(text), Some(unix), "{text}");
        }
        for unix in [1_795_305_600, 4_102_358_400, 253_402_128_000] {
            assert_eq!(parse_day(&iso(unix)[..10]), Some(unix), "{unix}");
        }
        let wrong = ["", "2026-02-29", "2026-13-01", "2026-00-10", "1969-12-31", "26-1-1", "x"];
        for text in wrong {
            assert_eq!(parse_day(text), None, "{text}");
        }
        assert_eq!(parse_day("2026-11-+1"), None);
        assert_eq!(parse_day("2026-11-22-1"), None);
    }

    #[test]
    fn what_cannot_be_seen_is_spelt_out() {
        let shown = |text| {
            let pieces = pieces(text).into_iter();
            pieces.map(|Piece { text, escaped }| (text, escaped)).collect::<Vec<_>>()
        };
        assert_eq!(shown("task:ä"), [("task:ä".to_owned(), false)]);
        let all = shown("a\n\u{202e}b\u{0}");
        let expected = [("a", false), (r"\n\u{202e}", true), ("b", false), (r"\u{0}", true)];
        assert!(all.iter().map(|(text, escaped)| (&**text, *escaped)).eq(expected), "{all:?}");
        assert!(shown("").is_empty());
        assert_eq!(lines("{\n\t1\n}").len(), 1);
        assert_eq!(lines("a\r\n").len(), 3);
    }

    #[test]
    fn browsers_are_named() {
        let chrome =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/131.0 Safari/537.36";
        assert_eq!(browser(chrome), "Chrome on Linux");
        let safari =
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Safari/604.1";
        assert_eq!(browser(safari), "Safari on iPhone");
        assert_eq!(browser(""), "A browser");
    }
}
