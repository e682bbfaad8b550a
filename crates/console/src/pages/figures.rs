//! What templates make of figures: rates, the shares of a bar, histograms.

use larder_tenancy::Latency;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error};
use serde::Serialize;

use super::format;
use crate::view::{HitRateView, LatencyView};

/// Adds the filters.
pub(super) fn install(environment: &mut Environment<'_>) {
    environment.add_filter("rate_of", |usage: &Value| -> Result<Value, Error> {
        Ok(Value::from(Serde(hit_rate(number(usage, "hits")?, number(usage, "misses")?))))
    });
    environment.add_filter("reason_bars", |missed: &Value| -> Result<Value, Error> {
        let counts: Result<Vec<u64>, Error> =
            REASONS.iter().map(|(id, _)| number(missed, id)).collect();
        Ok(Value::from(Serde(parts(&counts?))))
    });
    environment.add_filter("link", |url: &str| link(url).to_owned());
}

/// A number of a view.
fn number(view: &Value, name: &str) -> Result<u64, Error> {
    view.get_attr(name)?.try_into()
}

/// The hit rate of so many hits and misses.
#[allow(clippy::cast_precision_loss, reason = "a share needs no more digits")]
pub(super) fn hit_rate(hits: u64, misses: u64) -> HitRateView {
    let all = hits.saturating_add(misses);
    HitRateView::from((all > 0).then(|| hits as f64 / all as f64))
}

/// The reasons for misses, as their view has them, and in words.
const REASONS: [(&str, &str); 5] = [
    ("never_set", "never set"),
    ("expired", "expired"),
    ("evicted", "evicted"),
    ("deleted", "deleted"),
    ("flushed", "flushed"),
];

/// A part of a bar that is 1000 long.
#[derive(Debug, PartialEq, Serialize)]
struct Part {
    id: &'static str,
    name: &'static str,
    count: u64,
    x: f64,
    width: f64,
}

/// The reasons that there were, each with its share; `counts` are in the order of [`REASONS`].
#[allow(clippy::cast_precision_loss, reason = "a place in a bar needs no more digits")]
fn parts(counts: &[u64]) -> Vec<Part> {
    let all = counts.iter().map(|count| *count as f64).sum::<f64>();
    let mut x = 0.0;
    let there = REASONS.into_iter().zip(counts).filter(|(_, count)| **count > 0);
    there
        .map(|((id, name), count)| {
            let width = *count as f64 / all * 1000.0;
            let part = Part { id, name, count: *count, x: tenths(x), width: tenths(width) };
            x += width;
            part
        })
        .collect()
}

/// A histogram as bars.
#[derive(Debug, Default, Serialize)]
pub(super) struct Histogram {
    bars: Vec<Bar>,
    /// The share of all requests that the top stands for.
    top: f64,
    /// The labels of the axis, evenly spaced.
    x: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Bar {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    /// Whether only one request in a hundred took as long.
    is_slow: bool,
}

/// A row of the table beside it.
#[derive(Debug, Serialize)]
struct Row {
    below_ns: u64,
    count: u64,
}

impl Histogram {
    /// Of how long requests took.
    #[allow(clippy::cast_precision_loss, reason = "a place in a plot needs no more digits")]
    pub(super) fn of(latency: &LatencyView) -> Histogram {
        let bucket = |below_ns: u64| Latency::bucket(below_ns.saturating_sub(1));
        let (Some(first), Some(last)) = (latency.buckets.first(), latency.buckets.last()) else {
            return Histogram::default();
        };
        // A bucket is a quarter of a power of two; so many powers that the labels are of whole ones.
        let start = bucket(first.below_ns) / 4 * 4;
        let powers = (bucket(last.below_ns) / 4 + 1 - start / 4).max(4);
        // As many as the labels, which are evenly spaced, need.
        let every = powers.div_ceil(4);
        let powers = powers.next_multiple_of(every);
        let width = 1000.0 / (powers * 4) as f64;
        let most = latency.buckets.iter().map(|bucket| bucket.count).max().unwrap_or(1).max(1);
        let slow = latency.p99_ns.unwrap_or(u64::MAX);
        let bars = latency.buckets.iter().map(|each| {
            let height = (each.count as f64 / most as f64 * 100.0).max(0.6);
            Bar {
                x: tenths((bucket(each.below_ns) - start) as f64 * width),
                y: tenths(100.0 - height),
                width: tenths(width * 0.85),
                height: tenths(height),
                is_slow: each.below_ns > slow,
            }
        });
        let label = |at: usize| format::nanos(before(start + at * 4));
        Histogram {
            bars: bars.collect(),
            top: most as f64 / latency.count.max(1) as f64,
            x: (0..=powers).step_by(every).map(label).collect(),
            rows: by_power(latency, bucket),
        }
    }
}

/// The lower bound of a bucket, in nanoseconds.
fn before(bucket: usize) -> u64 {
    bucket.checked_sub(1).map_or(0, Latency::bound)
}

/// The counts by powers of two.
fn by_power(latency: &LatencyView, bucket: impl Fn(u64) -> usize) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for each in &latency.buckets {
        let below_ns = Latency::bound(bucket(each.below_ns) / 4 * 4 + 3);
        match rows.last_mut() {
            Some(row) if row.below_ns == below_ns => row.count += each.count,
            _ => rows.push(Row { below_ns, count: each.count }),
        }
    }
    rows
}

/// A URL that a link may lead to; `#` if it is none of the web: the accounts have it from another node.
fn link(url: &str) -> &str {
    if url.starts_with("http://") || url.starts_with("https://") { url } else { "#" }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Grade;

    #[test]
    fn reasons_fill_the_bar() {
        let bars = parts(&[3, 0, 1, 0, 0]);
        assert_eq!(bars.len(), 2);
        assert_eq!((bars[0].x, bars[0].width), (0.0, 750.0));
        assert_eq!((bars[1].id, bars[1].x, bars[1].width), ("evicted", 750.0, 250.0));
        assert!(parts(&[0; 5]).is_empty());
        assert_eq!(hit_rate(0, 0).grade, Grade::None);
        assert_eq!(hit_rate(3, 1).rate, Some(0.75));
    }

    #[test]
    fn a_histogram_is_within_its_plot() {
        let mut latency = Latency::default();
        let mut nanos = 300;
        while nanos < 20_000_000 {
            latency.add(Latency::bucket(nanos), 1 + 20_000_000 / nanos);
            nanos += nanos / 3;
        }
        let histogram = Histogram::of(&LatencyView::from(&latency));
        for bar in &histogram.bars {
            assert!(bar.x >= 0.0 && bar.x + bar.width <= 1000.0, "{bar:?}");
            assert!(bar.y >= 0.0 && (bar.y + bar.height - 100.0).abs() < 0.2, "{bar:?}");
        }
        assert!(histogram.bars.last().is_some_and(|bar| bar.is_slow));
        assert!(!histogram.bars[0].is_slow);
        let counted: u64 = histogram.rows.iter().map(|row| row.count).sum();
        assert_eq!(counted, latency.total());
        assert!((3..=5).contains(&histogram.x.len()), "{:?}", histogram.x);
        assert!(Histogram::of(&LatencyView::from(&Latency::default())).bars.is_empty());
    }

    #[test]
    fn links_lead_to_the_web_only() {
        assert_eq!(link("https://a.example/x"), "https://a.example/x");
        for url in ["javascript:alert(1)", "data:text/html,x", "", " https://x"] {
            assert_eq!(link(url), "#");
        }
    }
}
