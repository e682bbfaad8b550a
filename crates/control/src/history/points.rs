//! From what is known of each period to the points of a graph.

use larder_tenancy::Figures;

use super::series::Point;
use super::tally::Tally;

/// A period in which the node was looked at, and what is known of a tenant in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Period {
    /// When it began.
    pub(super) at: u64,
    /// Seconds in which the node was looked at.
    pub(super) seconds: u64,
    /// Whether some tenants were too little active to be written at its end: what they did is part of what
    /// is written of them in a later period.
    pub(super) is_cut: bool,
    /// Whether the node started in it: then everything was empty at first.
    pub(super) is_start: bool,
    /// What the tenant did; none if it did nothing, or if the period is cut.
    pub(super) tally: Option<Tally>,
}

impl Period {
    /// Adds what was known of a later one.
    pub(super) fn add(&mut self, later: Period) {
        self.seconds += later.seconds;
        self.is_cut = later.is_cut;
        self.is_start |= later.is_start;
        match (&mut self.tally, later.tally) {
            (Some(tally), Some(later)) => tally.add(&later),
            (none, later) => *none = none.take().or(later),
        }
    }
}

/// Puts the periods, in the order of time, into ones of `step` seconds.
pub(super) fn merged(periods: impl IntoIterator<Item = Period>, step: u64) -> Vec<Period> {
    let mut all: Vec<Period> = Vec::new();
    for period in periods {
        let at = period.at / step * step;
        match all.last_mut() {
            Some(last) if last.at == at => last.add(period),
            _ => all.push(Period { at, ..period }),
        }
    }
    all
}

/// The points of these periods. `levels` are those before the first one; without them there are no points
/// before the first period in which something is known.
pub(super) fn points(periods: Vec<Period>, mut levels: Option<Figures>) -> Vec<Point> {
    let mut points = Vec::with_capacity(periods.len());
    let mut unknown = 0;
    for period in periods {
        let seconds = period.seconds + std::mem::take(&mut unknown);
        let at = period.at;
        if period.is_start {
            let limit_bytes = |known: Figures| known.limit_bytes;
            levels = levels
                .map(|known| Figures { limit_bytes: limit_bytes(known), ..Figures::default() });
        }
        if let Some(Tally { figures, latency }) = period.tally {
            let [p50, p99] = [0.5, 0.99].map(|share| latency.quantile(share));
            points.push(Point { at, seconds, figures, p50, p99 });
            levels = Some(figures);
        } else if period.is_cut {
            unknown = seconds;
        } else if let Some(known) = &levels {
            let figures = known.since(known);
            points.push(Point { at, seconds: period.seconds, figures, p50: None, p99: None });
        }
    }
    points.retain(|point| point.seconds > 0);
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hits: u64, items: u64) -> Option<Tally> {
        let figures = Figures { get_hits: hits, items, limit_bytes: 7, ..Figures::default() };
        Some(Tally { figures, ..Tally::default() })
    }

    fn period(at: u64, tally: Option<Tally>) -> Period {
        Period { at, seconds: 60, tally, ..Period::default() }
    }

    fn shown(points: &[Point]) -> Vec<(u64, u64, u64, u64)> {
        let shown =
            |point: &Point| (point.at, point.seconds, point.figures.get_hits, point.figures.items);
        points.iter().map(shown).collect()
    }

    #[test]
    fn what_is_idle_is_zero_with_its_levels_and_a_gap_is_a_gap() {
        let periods =
            vec![period(0, None), period(60, of(5, 3)), period(120, None), period(300, None)];
        assert_eq!(
            shown(&points(periods, None)),
            [(60, 60, 5, 3), (120, 60, 0, 3), (300, 60, 0, 3)]
        );
    }

    #[test]
    fn after_a_start_everything_is_empty_but_the_limit_stays() {
        let started = Period { is_start: true, ..period(120, None) };
        let found = points(vec![period(60, of(5, 3)), started], None);
        assert_eq!(shown(&found), [(60, 60, 5, 3), (120, 60, 0, 0)]);
        assert_eq!(found[1].figures.limit_bytes, 7);
    }

    #[test]
    fn what_was_cut_is_counted_over_all_the_time_it_is_of() {
        let cut = |at| Period { is_cut: true, ..period(at, None) };
        let periods = vec![period(0, of(1, 1)), cut(60), cut(120), period(180, of(6, 2)), cut(240)];
        let idle = period(300, None);
        let found = points(periods.into_iter().chain([idle]).collect(), None);
        assert_eq!(shown(&found), [(0, 60, 1, 1), (180, 180, 6, 2), (300, 60, 0, 2)]);
    }

    #[test]
    fn periods_merge_into_longer_ones_with_the_last_levels() {
        let merged =
            merged([period(540, of(1, 9)), period(600, of(2, 4)), period(1140, of(3, 5))], 600);
        assert_eq!(shown(&points(merged, None)), [(0, 60, 1, 9), (600, 120, 5, 5)]);
    }
}
