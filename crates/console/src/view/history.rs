//! Figures over time.

use std::collections::BTreeMap;

use larder_control::{Series, Span};
use larder_tenancy::Figures;
use serde::Serialize;

/// A span of the past, in columns: the value of every series at `at[i]` is its `i`th. Times at which the
/// node did not run are not there: a gap between two neighbours of `at` is wider than `step` then.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HistoryView {
    /// Which span: `10m`, `3h`, `1d`, `1w`, `3mo`.
    pub span: &'static str,
    /// Seconds between two points.
    pub step: u32,
    /// The begin of each point, in seconds since 1970, rising.
    pub at: Vec<u64>,
    /// Seconds that the counts of each point are of: `step`, or what there was of it. A rate is a count
    /// divided by this.
    pub seconds: Vec<u64>,
    /// By name: every figure (counted in its seconds; levels as they were at its end), `gets`, `hit_rate`
    /// (0 to 1), `p50_ns`, `p99_ns`. Null where nothing is known.
    pub series: BTreeMap<&'static str, Vec<Option<f64>>>,
}

impl HistoryView {
    /// The columns of a series.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a graph needs no more digits")]
    pub fn new(span: Span, series: &Series) -> Self {
        let points = &series.points;
        let mut columns: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, ..) in Figures::default().fields() {
            columns.insert(name, Vec::with_capacity(points.len()));
        }
        for point in points {
            for (name, value, _) in point.figures.fields() {
                columns.entry(name).or_default().push(Some(value as f64));
            }
        }
        let mut derived = |name, of: &dyn Fn(&larder_control::Point) -> Option<f64>| {
            columns.insert(name, points.iter().map(of).collect());
        };
        derived("gets", &|point| Some(point.figures.gets() as f64));
        derived("hit_rate", &|point| point.figures.hit_rate());
        derived("p50_ns", &|point| point.p50.map(|nanos| nanos as f64));
        derived("p99_ns", &|point| point.p99.map(|nanos| nanos as f64));
        Self {
            span: span.name(),
            step: series.step,
            at: points.iter().map(|point| point.at).collect(),
            seconds: points.iter().map(|point| point.seconds).collect(),
            series: columns,
        }
    }
}
