//! The axes of charts: spans of the past, and units.

use serde::Serialize;

use super::format;

/// A span of the past that can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Past {
    /// As it is in the query and in [`HistoryView::span`].
    pub(super) name: &'static str,
    /// As it is on its link.
    title: &'static str,
    /// Seconds.
    pub(super) seconds: u64,
    /// The parts that the axis has.
    parts: u64,
    /// Seconds of a row of the table.
    pub(super) row: u64,
    /// Seconds after which the page looks again.
    refresh: u64,
}

/// All of them, the shortest first.
pub(super) const PASTS: [Past; 5] = [
    Past { name: "10m", title: "10 minutes", seconds: 600, parts: 5, row: 30, refresh: 3 },
    Past { name: "3h", title: "3 hours", seconds: 10_800, parts: 6, row: 600, refresh: 10 },
    Past { name: "1d", title: "Day", seconds: 86_400, parts: 6, row: 3600, refresh: 60 },
    Past { name: "1w", title: "Week", seconds: 604_800, parts: 7, row: 21_600, refresh: 300 },
    Past {
        name: "3mo",
        title: "3 months",
        seconds: 7_776_000,
        parts: 6,
        row: 259_200,
        refresh: 900,
    },
];

impl Past {
    /// The one of this name; the shortest if there is none.
    pub(super) fn named(name: Option<&str>) -> Past {
        PASTS.into_iter().find(|past| Some(past.name) == name).unwrap_or(PASTS[0])
    }

    /// The labels of the axis of a span that ends now, evenly spaced.
    pub(super) fn ticks(self, now: u64) -> Vec<String> {
        let Past { seconds, parts, .. } = self;
        let at = (0..=parts).map(|part| now.saturating_sub(seconds - seconds * part / parts));
        at.map(|at| self.tick(at, now)).collect()
    }

    fn tick(self, at: u64, now: u64) -> String {
        let before = now.saturating_sub(at);
        match self.name {
            _ if before == 0 => "now".to_owned(),
            "10m" => format!("−{} min", before / 60),
            "3h" if before.is_multiple_of(3600) => format!("−{} h", before / 3600),
            "3h" => format!("−{} min", before / 60),
            "1d" => format::clock(at)[..5].to_owned(),
            "1w" => format!("{} {}", format::weekday(at), &format::clock(at)[..5]),
            _ => format::day(at),
        }
    }
}

/// The unit of a plot's vertical axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Things a second.
    Rate,
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Bytes a second.
    Traffic,
    /// A share of 1, always drawn from 0 to 1.
    Share,
    /// Nanoseconds.
    Nanos,
}

impl Unit {
    /// A value in this unit, as text.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "never negative")]
    pub(super) fn text(self, value: f64) -> String {
        match self {
            Unit::Rate => format!("{}/s", format::decimal(value)),
            Unit::Count => format::decimal(value),
            Unit::Bytes => format::size(value.round() as u64),
            Unit::Traffic => format!("{}/s", format::size(value.round() as u64)),
            Unit::Share => format::percent(value),
            Unit::Nanos => format::nanos(value.round() as u64),
        }
    }

    /// The name that the script knows it by.
    pub(super) fn name(self) -> &'static str {
        match self {
            Unit::Rate => "rate",
            Unit::Count => "count",
            Unit::Bytes => "bytes",
            Unit::Traffic => "traffic",
            Unit::Share => "share",
            Unit::Nanos => "nanos",
        }
    }

    /// The upper end of an axis for values up to `most`: round, and round in its middle.
    pub(super) fn top(self, most: f64) -> f64 {
        match self {
            Unit::Share => 1.0,
            Unit::Bytes | Unit::Traffic => {
                let mut unit = 1.0;
                while most > unit * 1024.0 {
                    unit *= 1024.0;
                }
                // Memory is bought in such sizes: 25 MiB are a full axis.
                unit * round_up((most / unit).max(1.0), &[1.0, 2.0, 2.5, 4.0, 5.0, 8.0])
            }
            Unit::Rate => round_up(most.max(0.2), &[1.0, 2.0, 4.0, 5.0, 8.0]),
            Unit::Count => round_up(most.max(2.0), &[1.0, 2.0, 4.0, 6.0, 8.0]),
            Unit::Nanos => round_up(most.max(1000.0), &[1.0, 2.0, 4.0, 5.0, 8.0]),
        }
    }
}

/// The next of some steps times a power of ten.
fn round_up(value: f64, steps: &[f64]) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let mut steps = steps.iter().copied();
    let next = steps.find(|step| *step * power >= value * 0.999_999);
    next.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_round_and_hold_every_value() {
        for unit in [Unit::Rate, Unit::Count, Unit::Bytes, Unit::Traffic, Unit::Nanos] {
            let mut value = 0.001;
            while value < 1e15 {
                let top = unit.top(value);
                assert!(top >= value * 0.999_99, "{unit:?}: {top} for {value}");
                value *= 1.37;
            }
        }
        assert_eq!(Unit::Rate.text(Unit::Rate.top(37.0)), "40/s");
        assert_eq!(Unit::Bytes.text(Unit::Bytes.top(26_214_400.0)), "25 MiB");
        assert_eq!(Unit::Share.top(0.2), 1.0);
    }

    #[test]
    fn axes_say_when() {
        let ticks = |past: Past| past.ticks(1_795_332_000);
        assert_eq!(ticks(PASTS[0])[..2], ["−10 min", "−8 min"]);
        assert_eq!(ticks(PASTS[1])[..2], ["−3 h", "−150 min"]);
        assert_eq!(ticks(PASTS[2])[0], "07:20");
        assert_eq!(ticks(PASTS[3])[0], "Sun 07:20");
        assert_eq!(ticks(PASTS[4])[0], "24 Aug");
        assert!(PASTS.iter().all(|past| ticks(*past).last().unwrap() == "now"));
    }

    #[test]
    fn an_unknown_span_is_the_shortest() {
        assert_eq!(Past::named(Some("1w")).seconds, 604_800);
        assert_eq!(Past::named(Some("<")).name, "10m");
        assert_eq!(Past::named(None).name, "10m");
    }
}
