//! How long requests took, as a histogram.
//!
//! Buckets have bounds that grow by a quarter of a power of two, so a quantile is at most a fifth too high,
//! from a nanosecond to an hour, in a fixed number of counts that add up.

/// How long requests took: counts by bucket, from the start of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    counts: Vec<u64>,
}

impl Latency {
    /// How many buckets there are.
    pub const BUCKETS: usize = 160;

    /// The bucket that `nanos` falls into. What is longer than the last bucket counts there.
    #[must_use]
    #[inline]
    pub fn bucket(nanos: u64) -> usize {
        if nanos < 4 {
            return usize::try_from(nanos).unwrap_or(0);
        }
        let power = nanos.ilog2();
        // The two bits after the highest.
        let quarter = (nanos >> (power - 2)) & 3;
        let bucket = (power - 1) * 4 + u32::try_from(quarter).unwrap_or(0);
        (bucket as usize).min(Self::BUCKETS - 1)
    }

    /// The first number of nanoseconds that is above a bucket.
    #[must_use]
    pub fn bound(bucket: usize) -> u64 {
        match bucket as u64 {
            small @ 0..4 => small + 1,
            bucket => (4 + bucket % 4 + 1) << (bucket / 4 - 1),
        }
    }

    /// Adds `count` requests to a bucket.
    pub fn add(&mut self, bucket: usize, count: u64) {
        if let Some(sum) = self.counts.get_mut(bucket) {
            *sum += count;
        }
    }

    /// Adds another histogram.
    pub fn merge(&mut self, other: &Latency) {
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
    }

    /// What was counted since `before`; all of it if the server was restarted in between.
    #[must_use]
    pub fn since(&self, before: &Latency) -> Latency {
        if self.total() < before.total() {
            return self.clone();
        }
        let less = |(now, before): (&u64, &u64)| now.saturating_sub(*before);
        Latency { counts: self.counts.iter().zip(&before.counts).map(less).collect() }
    }

    /// How many requests were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The counts, by bucket.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Nanoseconds below which the `share` of requests stayed, from 0 to 1; none if there was no request.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a rank among counts needs no more digits, and is at most their sum"
    )]
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let total = self.total();
        let rank = ((total as f64 * share.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Self::bound(bucket))
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self { counts: vec![0; Self::BUCKETS] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_what_is_below_its_bound_and_not_below_the_one_before() {
        let mut nanos = 0_u64;
        while nanos < 1 << 38 {
            let bucket = Latency::bucket(nanos);
            assert!(nanos < Latency::bound(bucket), "{nanos} in {bucket}");
            assert!(bucket == 0 || nanos >= Latency::bound(bucket - 1), "{nanos} in {bucket}");
            nanos += 1 + nanos / 7;
        }
        assert_eq!(Latency::bucket(u64::MAX), Latency::BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_at_most_a_quarter_too_high() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantile(0.5), None);
        for nanos in 1..=1000 {
            latency.add(Latency::bucket(nanos * 1000), 1);
        }
        for (share, exact) in [(0.5, 500_000), (0.99, 990_000), (1.0, 1_000_000), (0.0, 1000)] {
            let found = latency.quantile(share).unwrap();
            assert!(found >= exact && found <= exact * 5 / 4, "{share}: {found}");
        }
    }

    #[test]
    fn histograms_add_up_and_subtract() {
        let mut one = Latency::default();
        one.add(7, 3);
        let mut both = one.clone();
        both.merge(&one);
        assert_eq!((both.total(), both.since(&one)), (6, one.clone()));
        assert_eq!(one.since(&both), one, "after a restart");
    }
}
