//! What is asked of the history and what comes back.

use larder_tenancy::Figures;

/// How far back, and so how finely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Span {
    /// The last ten minutes, by the second.
    TenMinutes,
    /// The last three hours, by the minute.
    ThreeHours,
    /// The last day, by the minute.
    Day,
    /// The last week, by ten minutes.
    Week,
    /// The last three months, by the hour.
    ThreeMonths,
}

impl Span {
    /// All of them, the shortest first.
    pub const ALL: [Span; 5] =
        [Span::TenMinutes, Span::ThreeHours, Span::Day, Span::Week, Span::ThreeMonths];

    /// Seconds from its beginning to its end.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        match self {
            Span::TenMinutes => 600,
            Span::ThreeHours => 3 * 3600,
            Span::Day => 24 * 3600,
            Span::Week => 7 * 24 * 3600,
            Span::ThreeMonths => 92 * 24 * 3600,
        }
    }

    /// Seconds from one point to the next.
    #[must_use]
    pub const fn step(self) -> u32 {
        match self {
            Span::TenMinutes => 1,
            Span::ThreeHours | Span::Day => 60,
            Span::Week => 600,
            Span::ThreeMonths => 3600,
        }
    }

    /// As it is written in a URL: `10m`, `3h`, `1d`, `1w`, `3mo`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Span::TenMinutes => "10m",
            Span::ThreeHours => "3h",
            Span::Day => "1d",
            Span::Week => "1w",
            Span::ThreeMonths => "3mo",
        }
    }

    /// The span of this name, as [`Span::name`] has it.
    #[must_use]
    pub fn named(name: &str) -> Option<Span> {
        Span::ALL.into_iter().find(|span| span.name() == name)
    }
}

/// What happened over a span of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Series {
    /// Seconds from one point to the next where there is no gap.
    pub step: u32,
    /// The points, the earliest first. Where nothing is known, as while the node was down, there is none.
    pub points: Vec<Point>,
}

/// What happened within one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Point {
    /// When the step began, in seconds since 1970; a multiple of the step.
    pub at: u64,
    /// Seconds that the counts are of: the step, or less when it is not over yet, or when the node was
    /// not there for all of it; more when a late look counts for the seconds before it. Above 0. A rate
    /// is a count divided by this.
    pub seconds: u64,
    /// What was counted in them; levels as they were at the end.
    pub figures: Figures,
    /// Nanoseconds below which half of the requests stayed; none if there was no request.
    pub p50: Option<u64>,
    /// Nanoseconds below which 99 of 100 requests stayed.
    pub p99: Option<u64>,
}

/// Shares of keys asked for that were found, from 0 to 1; none if none was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HitRates {
    /// In the last ten seconds.
    pub now: Option<f64>,
    /// In the last hour.
    pub hour: Option<f64>,
    /// In the last day.
    pub day: Option<f64>,
    /// In the last week.
    pub week: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_found_by_their_names_and_are_whole_steps() {
        for span in Span::ALL {
            assert_eq!(Span::named(span.name()), Some(span));
            assert_eq!(span.seconds() % u64::from(span.step()), 0, "{span:?}");
        }
        assert_eq!(Span::named("year"), None);
    }
}
