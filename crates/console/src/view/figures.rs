//! Counters, shares and durations.

use larder_tenancy::{Figures, Latency};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// What was counted: an object with every field of [`Figures`] under its own name, `gets` (hits and
/// misses together) and `hit_rate` (from 0 to 1, or null if nothing was asked for).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FiguresView(pub Figures);

impl Serialize for FiguresView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value, _) in self.0.fields() {
            map.serialize_entry(name, &value)?;
        }
        map.serialize_entry("gets", &self.0.gets())?;
        map.serialize_entry("hit_rate", &self.0.hit_rate())?;
        map.end()
    }
}

/// What to think of a hit rate at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// 80 % and more: green.
    Good,
    /// 50 % and more: yellow.
    Fair,
    /// Less: red.
    Poor,
    /// Nothing was asked for.
    None,
}

/// A hit rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HitRateView {
    /// From 0 to 1; null if nothing was asked for in the time.
    pub rate: Option<f64>,
    /// `good`, `fair`, `poor` or `none`.
    pub grade: Grade,
}

impl From<Option<f64>> for HitRateView {
    fn from(rate: Option<f64>) -> Self {
        let grade = match rate {
            None => Grade::None,
            Some(rate) if rate >= 0.8 => Grade::Good,
            Some(rate) if rate >= 0.5 => Grade::Fair,
            Some(_) => Grade::Poor,
        };
        Self { rate, grade }
    }
}

/// Hit rates over the times that people ask about.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HitRatesView {
    /// In the last seconds.
    pub now: HitRateView,
    /// In the last hour.
    pub hour: HitRateView,
    /// In the last 24 hours.
    pub day: HitRateView,
    /// In the last seven days.
    pub week: HitRateView,
}

/// How long the server took over requests, since it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LatencyView {
    /// Requests counted.
    pub count: u64,
    /// Half of them took less, in nanoseconds.
    pub p50_ns: Option<u64>,
    /// 99 of 100 took less.
    pub p99_ns: Option<u64>,
    /// 999 of 1,000 took less.
    pub p999_ns: Option<u64>,
    /// The histogram: the buckets that are not empty, the fastest first.
    pub buckets: Vec<LatencyBucketView>,
}

/// Requests that took about as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LatencyBucketView {
    /// They took less than this, in nanoseconds, and not less than the bucket before.
    pub below_ns: u64,
    /// How many.
    pub count: u64,
}

impl From<&Latency> for LatencyView {
    fn from(latency: &Latency) -> Self {
        let filled = latency.counts().iter().enumerate().filter(|(_, count)| **count > 0);
        let buckets = filled
            .map(|(at, count)| LatencyBucketView { below_ns: Latency::bound(at), count: *count })
            .collect();
        Self {
            count: latency.total(),
            p50_ns: latency.quantile(0.5),
            p99_ns: latency.quantile(0.99),
            p999_ns: latency.quantile(0.999),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_their_names_and_tell_the_hit_rate() {
        let figures = Figures { get_hits: 3, get_misses: 1, sets: 9, ..Figures::default() };
        let json = serde_json::to_value(FiguresView(figures)).unwrap();
        assert_eq!(
            (&json["get_hits"], &json["sets"], &json["gets"]),
            (&3.into(), &9.into(), &4.into())
        );
        assert_eq!(json["hit_rate"], 0.75);
        assert!(serde_json::to_value(FiguresView::default()).unwrap()["hit_rate"].is_null());
        assert_eq!(json.as_object().unwrap().len(), figures.fields().count() + 2);
    }

    #[test]
    fn hit_rates_are_graded_as_the_traffic_lights_are() {
        let grade = |rate| HitRateView::from(rate).grade;
        assert_eq!(grade(Some(1.0)), Grade::Good);
        assert_eq!(grade(Some(0.8)), Grade::Good);
        assert_eq!(grade(Some(0.799)), Grade::Fair);
        assert_eq!(grade(Some(0.5)), Grade::Fair);
        assert_eq!(grade(Some(0.499)), Grade::Poor);
        assert_eq!(grade(Some(0.0)), Grade::Poor);
        assert_eq!(grade(None), Grade::None);
    }

    #[test]
    fn a_histogram_has_what_was_counted() {
        let mut latency = Latency::default();
        latency.add(Latency::bucket(900), 3);
        latency.add(Latency::bucket(1_000_000), 1);
        let view = LatencyView::from(&latency);
        assert_eq!((view.count, view.buckets.len()), (4, 2));
        assert_eq!(view.p50_ns, Some(view.buckets[0].below_ns));
        assert!(view.buckets[0].below_ns > 900 && view.buckets[0].count == 3);
    }
}
