//! Figures over time as charts: paths, axes and a table, worked out here and drawn by `charts.html`.
//!
//! A plot is a box of 1000 by 100 that the page stretches; the words around it are text of the page, so
//! they keep their size. Times at which nothing is known are gaps: no line crosses them.

use std::fmt::Write as _;

use serde::Serialize;

use super::axis::{PASTS, Past, Unit};
use crate::view::HistoryView;

/// Width of a plot.
const WIDTH: f64 = 1000.0;
/// Height of a plot.
const HEIGHT: f64 = 100.0;

/// A line to be drawn: the name of its series, of its class in the style sheet, and of itself.
type Wanted = (&'static str, &'static str, &'static str);

/// What a plot shows.
struct Plot {
    id: &'static str,
    title: &'static str,
    unit: Unit,
    lines: &'static [Wanted],
}

/// What the overview shows.
const OVERVIEW: [Plot; 4] = [REQUESTS, HIT_RATE, MEMORY, EVICTIONS];
/// What the page of the history shows.
const HISTORY: [Plot; 8] =
    [REQUESTS, HIT_RATE, MEMORY, ITEMS, EVICTIONS, LATENCY, CONNECTIONS, TRAFFIC];

const REQUESTS: Plot = Plot {
    id: "requests",
    title: "Requests",
    unit: Unit::Rate,
    lines: &[
        ("get_hits", "hits", "get hits"),
        ("get_misses", "misses", "get misses"),
        ("sets", "sets", "set cmds"),
    ],
};
const HIT_RATE: Plot = Plot {
    id: "hit-rate",
    title: "Hit rate",
    unit: Unit::Share,
    lines: &[("hit_rate", "hits", "hit rate")],
};
const MEMORY: Plot = Plot {
    id: "memory",
    title: "Memory",
    unit: Unit::Bytes,
    lines: &[("bytes", "hits", "used"), ("limit_bytes", "misses", "limit")],
};
const ITEMS: Plot =
    Plot { id: "items", title: "Items", unit: Unit::Count, lines: &[("items", "hits", "items")] };
const EVICTIONS: Plot = Plot {
    id: "evictions",
    title: "Evicted and expired",
    unit: Unit::Rate,
    lines: &[
        ("expired", "hits", "expired"),
        ("evictions", "misses", "evicted"),
        ("evicted_unread", "sets", "evicted before read"),
    ],
};
const LATENCY: Plot = Plot {
    id: "latency",
    title: "Time per request, in the server",
    unit: Unit::Nanos,
    lines: &[("p50_ns", "hits", "p50"), ("p99_ns", "misses", "p99")],
};
const CONNECTIONS: Plot = Plot {
    id: "connections",
    title: "Connections",
    unit: Unit::Count,
    lines: &[("connections", "hits", "open")],
};
const TRAFFIC: Plot = Plot {
    id: "traffic",
    title: "Traffic",
    unit: Unit::Traffic,
    lines: &[("bytes_read", "sets", "in"), ("bytes_written", "hits", "out")],
};

/// Charts of one span, and the same in rows.
#[derive(Debug, Serialize)]
pub(super) struct Charts {
    /// The span.
    past: Past,
    /// All spans there are, for the links.
    pasts: [Past; 5],
    /// The charts.
    charts: Vec<Chart>,
    /// The table's rows, the latest first.
    rows: Vec<Row>,
    /// What is known of the span begins here; none: nothing is known.
    known_from: Option<u64>,
}

/// One chart.
#[derive(Debug, Serialize)]
struct Chart {
    id: &'static str,
    title: &'static str,
    /// Its unit, for the script.
    unit: &'static str,
    /// The value at its top, for the script.
    top: f64,
    /// The labels of the vertical axis, from its top.
    y: [String; 3],
    /// The labels of the horizontal axis, evenly spaced.
    x: Vec<String>,
    lines: Vec<Line>,
    /// Whether any line has a point.
    has_points: bool,
    gaps: Vec<Gap>,
}

/// One line of a chart.
#[derive(Debug, Serialize)]
struct Line {
    name: &'static str,
    class: &'static str,
    /// The line as an SVG path.
    path: String,
    /// What is below it; empty for all lines but the first.
    area: String,
    /// Its last and its highest value, as text; none without a point.
    last: Option<String>,
    most: Option<String>,
}

/// A part of the span of which nothing is known.
#[derive(Debug, PartialEq, Serialize)]
struct Gap {
    x: f64,
    width: f64,
}

/// One row of the table.
#[derive(Debug, Serialize)]
struct Row {
    /// When it begins.
    at: u64,
    hits: String,
    misses: String,
    sets: String,
    hit_rate: String,
    bytes: String,
    items: String,
    evictions: String,
    p99: String,
}

impl Charts {
    /// Those of the overview.
    pub(super) fn overview(history: &HistoryView, past: Past, now: u64) -> Charts {
        Self::of(&OVERVIEW, history, past, now)
    }

    /// Those of the page of the history.
    pub(super) fn history(history: &HistoryView, past: Past, now: u64) -> Charts {
        Self::of(&HISTORY, history, past, now)
    }

    fn of(plots: &[Plot], history: &HistoryView, past: Past, now: u64) -> Charts {
        // The last point may end after a clock that was read before.
        let now = (0..history.at.len()).last().map_or(now, |last| now.max(end(history, last)));
        let frame = Frame { history, past, now, from: now.saturating_sub(past.seconds) };
        Charts {
            past,
            pasts: PASTS,
            charts: plots.iter().map(|plot| frame.chart(plot)).collect(),
            rows: frame.rows(),
            known_from: history.at.first().copied(),
        }
    }
}

/// What all charts of a page have in common.
struct Frame<'a> {
    history: &'a HistoryView,
    past: Past,
    from: u64,
    now: u64,
}

impl Frame<'_> {
    fn chart(&self, plot: &Plot) -> Chart {
        let lines: Vec<Vec<Option<f64>>> =
            plot.lines.iter().map(|(series, ..)| self.values(series, plot.unit)).collect();
        let most = lines.iter().flatten().flatten().copied().fold(0.0, f64::max);
        let top = plot.unit.top(most);
        let drawn = plot.lines.iter().zip(&lines).enumerate();
        let lines: Vec<Line> = drawn
            .map(|(at, ((_, class, name), values))| Line {
                name,
                class,
                path: self.path(values, top),
                area: if at == 0 { self.area(values, top) } else { String::new() },
                last: values.last().copied().flatten().map(|value| plot.unit.text(value)),
                most: values
                    .iter()
                    .flatten()
                    .copied()
                    .reduce(f64::max)
                    .map(|most| plot.unit.text(most)),
            })
            .collect();
        Chart {
            id: plot.id,
            title: plot.title,
            unit: plot.unit.name(),
            top,
            y: [plot.unit.text(top), plot.unit.text(top / 2.0), plot.unit.text(0.0)],
            x: self.past.ticks(self.now),
            has_points: lines.iter().any(|line| !line.path.is_empty()),
            lines,
            gaps: self.gaps(),
        }
    }

    /// The values of a series; of counts, how many a second. None before the span.
    fn values(&self, series: &str, unit: Unit) -> Vec<Option<f64>> {
        let values = self.history.series.get(series).into_iter().flatten();
        let in_span = |(value, end): (&Option<f64>, u64)| value.filter(|_| end >= self.from);
        let values: Vec<_> = values.zip(self.ends()).map(in_span).collect();
        if !matches!(unit, Unit::Rate | Unit::Traffic) {
            return values;
        }
        let of_a_second =
            |(value, seconds): (Option<f64>, &u64)| Some(value? / per_second(*seconds));
        values.into_iter().zip(&self.history.seconds).map(of_a_second).collect()
    }

    /// Where a moment is.
    #[allow(clippy::cast_precision_loss, reason = "a place in a plot needs no more digits")]
    fn x(&self, at: u64) -> f64 {
        let share = at.saturating_sub(self.from) as f64 / self.past.seconds as f64;
        tenths(share.min(1.0) * WIDTH)
    }

    /// When each point ends: its values are those of its end.
    fn ends(&self) -> impl Iterator<Item = u64> {
        (0..self.history.at.len()).map(|index| end(self.history, index))
    }

    /// Stretches of neighbouring points with a value: where each is.
    fn stretches(&self, values: &[Option<f64>], top: f64) -> Vec<Vec<(f64, f64)>> {
        let mut stretches: Vec<Vec<(f64, f64)>> = Vec::new();
        let mut last: Option<u64> = None;
        for (at, value) in self.ends().zip(values) {
            let Some(value) = value else {
                last = None;
                continue;
            };
            if !last.is_some_and(|last| self.follows(last, at)) {
                stretches.push(Vec::new());
            }
            last = Some(at);
            let y = HEIGHT * (1.0 - (value / top).clamp(0.0, 1.0));
            if let Some(stretch) = stretches.last_mut() {
                stretch.push((self.x(at), (y * 100.0).round() / 100.0));
            }
        }
        stretches
    }

    /// Whether nothing is missing between two points.
    fn follows(&self, before: u64, after: u64) -> bool {
        after.saturating_sub(before) * 2 <= u64::from(self.history.step.max(1)) * 5
    }

    fn path(&self, values: &[Option<f64>], top: f64) -> String {
        let mut path = String::new();
        for stretch in self.stretches(values, top) {
            for (at, (x, y)) in stretch.iter().enumerate() {
                let command = if at == 0 { 'M' } else { 'L' };
                // Writing to a string does not fail.
                let _ = write!(path, "{command}{x} {y}");
            }
            if stretch.len() == 1 {
                path.push_str("h0");
            }
        }
        path
    }

    fn area(&self, values: &[Option<f64>], top: f64) -> String {
        let mut area = String::new();
        for stretch in self.stretches(values, top).iter().filter(|stretch| stretch.len() > 1) {
            let (first, last) = (stretch[0].0, stretch[stretch.len() - 1].0);
            let _ = write!(area, "M{first} {HEIGHT}");
            for (x, y) in stretch {
                let _ = write!(area, "L{x} {y}");
            }
            let _ = write!(area, "L{last} {HEIGHT}Z");
        }
        area
    }

    /// What is not known, from the beginning of the span to now.
    fn gaps(&self) -> Vec<Gap> {
        let mut known = vec![self.from];
        known.extend(self.ends().filter(|at| *at >= self.from));
        known.push(self.now);
        let unknown = known.windows(2).filter(|pair| !self.follows(pair[0], pair[1]));
        unknown
            .map(|pair| {
                let (x, end) = (self.x(pair[0]), self.x(pair[1]));
                Gap { x, width: tenths(end - x) }
            })
            .collect()
    }

    /// The table: the points of each row's time together.
    fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<(u64, Vec<usize>)> = Vec::new();
        for (index, at) in self.history.at.iter().enumerate().filter(|(_, at)| **at >= self.from) {
            let start = at / self.past.row * self.past.row;
            match rows.last_mut() {
                Some((row, points)) if *row == start => points.push(index),
                _ => rows.push((start, vec![index])),
            }
        }
        rows.reverse();
        rows.into_iter().map(|(at, points)| self.row(at, &points)).collect()
    }

    fn row(&self, at: u64, points: &[usize]) -> Row {
        let known = |name: &str| -> Vec<f64> {
            let series = self.history.series.get(name);
            let value = |index: &usize| series.and_then(|series| *series.get(*index)?);
            points.iter().filter_map(value).collect()
        };
        let seconds = points.iter().filter_map(|index| self.history.seconds.get(*index)).sum();
        let seconds = per_second(seconds);
        let none = || "–".to_owned();
        let rate = |name| match known(name) {
            values if values.is_empty() => none(),
            values => Unit::Rate.text(values.iter().sum::<f64>() / seconds),
        };
        let last =
            |name, unit: Unit| known(name).last().map_or_else(none, |value| unit.text(*value));
        let (hits, gets) =
            (known("get_hits").iter().sum::<f64>(), known("gets").iter().sum::<f64>());
        let p99 = known("p99_ns").into_iter().reduce(f64::max);
        Row {
            at,
            hits: rate("get_hits"),
            misses: rate("get_misses"),
            sets: rate("sets"),
            hit_rate: if gets > 0.0 { Unit::Share.text(hits / gets) } else { none() },
            bytes: last("bytes", Unit::Bytes),
            items: last("items", Unit::Count),
            evictions: rate("evictions"),
            p99: p99.map_or_else(none, |value| Unit::Nanos.text(value)),
        }
    }
}

/// When a point of a history ends.
fn end(history: &HistoryView, index: usize) -> u64 {
    let at = |column: &[u64]| column.get(index).copied().unwrap_or_default();
    at(&history.at).saturating_add(at(&history.seconds).min(u64::from(history.step)))
}

/// What a count in this time is divided by for a rate.
#[allow(clippy::cast_precision_loss, reason = "a rate needs no more digits")]
fn per_second(seconds: u64) -> f64 {
    seconds.max(1) as f64
}

/// Rounded to tenths.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const NOW: u64 = 1_795_332_000;

    /// Ten minutes by the second: of the seconds that ended so long before now, with these get hits.
    fn history(before: &[u64], hits: &[Option<f64>]) -> HistoryView {
        let at: Vec<u64> = before.iter().map(|before| NOW - 1 - before).collect();
        let series = BTreeMap::from([("get_hits", hits.to_vec())]);
        HistoryView { span: "10m", step: 1, seconds: vec![1; at.len()], at, series }
    }

    fn first_path(history: &HistoryView) -> String {
        let charts = Charts::overview(history, PASTS[0], NOW);
        charts.charts[0].lines[0].path.clone()
    }

    #[test]
    fn neighbours_are_joined_and_gaps_are_not_crossed() {
        let whole = history(&[2, 1, 0], &[Some(1.0), Some(2.0), Some(0.0)]);
        assert_eq!(first_path(&whole), "M996.7 50L998.3 0L1000 100");
        let broken = history(&[60, 59, 1, 0], &[Some(1.0); 4]);
        assert_eq!(first_path(&broken), "M900 0L901.7 0M998.3 0L1000 0");
        let unknown = history(&[2, 1, 0], &[Some(1.0), None, Some(1.0)]);
        assert_eq!(first_path(&unknown), "M996.7 0h0M1000 0h0", "a lonely point is a dot");
        assert_eq!(first_path(&history(&[], &[])), "");
    }

    #[test]
    fn what_was_before_the_span_does_not_stretch_the_axis() {
        let history = history(&[700, 1, 0], &[Some(9000.0), Some(2.0), Some(1.0)]);
        let chart = &Charts::overview(&history, PASTS[0], NOW).charts[0];
        assert_eq!((&*chart.y[0], chart.lines[0].most.as_deref()), ("2/s", Some("2/s")));
        assert_eq!(chart.lines[0].path, "M998.3 0L1000 50");
    }

    #[test]
    fn what_is_not_known_is_a_gap() {
        let gaps = |before: &[u64]| {
            let charts = Charts::overview(&history(before, &[]), PASTS[0], NOW);
            charts.charts.into_iter().next().unwrap().gaps
        };
        assert_eq!(gaps(&[]), [Gap { x: 0.0, width: 1000.0 }]);
        let all: Vec<u64> = (0..=600).rev().collect();
        assert_eq!(gaps(&all), []);
        assert_eq!(gaps(&all[300..]), [Gap { x: 0.0, width: 500.0 }]);
    }

    #[test]
    fn rows_put_points_together() {
        let mut history = history(&[31, 30, 29, 0], &[Some(2.0), Some(4.0), Some(1.0), Some(0.0)]);
        history.series.insert("gets", vec![Some(4.0), Some(8.0), Some(1.0), Some(0.0)]);
        history.series.insert("items", vec![Some(4.0), Some(8.0), Some(1.0), Some(6.0)]);
        let rows = Charts::overview(&history, PASTS[0], NOW).rows;
        assert_eq!(rows.len(), 2);
        assert_eq!((&*rows[0].hits, &*rows[0].items, rows[0].at), ("0.5/s", "6", NOW - 30));
        assert_eq!((&*rows[1].hits, &*rows[1].hit_rate), ("3/s", "50 %"));
        assert_eq!((&*rows[1].misses, &*rows[1].p99), ("–", "–"));
    }
}
