//! A histogram of durations: 32 steps to each doubling, so a quantile is true to about 3 %.

const STEPS: u64 = 32;
const STEPS_LOG2: u32 = STEPS.trailing_zeros();

/// Counts of durations in nanoseconds.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; bucket(u64::MAX) + 1], total: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    #[inline]
    pub fn add(&mut self, nanos: u64) {
        self.add_many(nanos, 1);
    }

    /// Counts the same duration several times.
    #[inline]
    pub fn add_many(&mut self, nanos: u64, times: u64) {
        self.counts[bucket(nanos)] += times;
        self.total += times;
        self.max = self.max.max(nanos);
    }

    /// Counts everything that `other` has counted.
    pub fn merge(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// How many durations it has counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The longest duration, in nanoseconds; 0 of an empty histogram.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The duration that this share of all does not exceed, in nanoseconds; 0 of an empty histogram.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among less than 2^53"
    )]
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank {
                return value(bucket as u64);
            }
        }
        0
    }
}

/// The bucket of a duration: exact below twice the steps, then by its leading bits.
fn bucket(nanos: u64) -> usize {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(STEPS_LOG2 + 1);
    let bucket = u64::from(shift) * STEPS + (nanos >> shift);
    usize::try_from(bucket).expect("less than 2000 buckets")
}

/// The smallest duration of a bucket.
fn value(bucket: u64) -> u64 {
    let shift = (bucket / STEPS).saturating_sub(1);
    (bucket - shift * STEPS) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_narrow() {
        let mut last = 0;
        for nanos in (0..200_000).chain([1 << 40, u64::MAX]) {
            let bucket = bucket(nanos);
            assert!(bucket >= last);
            last = bucket;
            let low = value(bucket as u64);
            assert!(low <= nanos && nanos - low <= nanos / 32, "{nanos} is filed under {low}");
        }
    }

    #[test]
    fn quantiles_are_found() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), 0);
        (1..=1000).for_each(|nanos| histogram.add(nanos));
        assert_eq!(histogram.count(), 1000);
        for (share, expected) in [(0.5, 500u64), (0.99, 990), (1.0, 1000), (0.0, 1)] {
            let found = histogram.quantile(share);
            assert!(found.abs_diff(expected) <= expected / 32, "{share}: {found}");
        }
    }
    #[test]
    fn histograms_add_up() {
        let (mut all, mut some, mut rest) =
            (Histogram::default(), Histogram::default(), Histogram::default());
        for nanos in 1..=1000 {
            all.add(nanos);
            if nanos % 3 == 0 { some.add(nanos) } else { rest.add_many(nanos, 1) }
        }
        some.merge(&rest);
        assert_eq!((some.count(), some.max()), (1000, 1000));
        for share in [0.1, 0.5, 0.99] {
            assert_eq!(some.quantile(share), all.quantile(share));
        }
    }
}
