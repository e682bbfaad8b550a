//! Random numbers from a seed, and the Zipf distribution.

/// SplitMix64: small, fast, and good enough to choose keys by.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A sequence that depends on the seed only.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to but not including 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u32) -> u32 {
        let wide = (self.bits() >> 32) * u64::from(n);
        u32::try_from(wide >> 32).expect("a product of two 32-bit numbers, shifted")
    }

    /// Whether an event of this probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }
}

/// Zipf's law over the ranks `0..n`: rank `r` has a weight of `(r + 1)^-s`.
///
/// Rejection-inversion (Hörmann and Derflinger, "Rejection-inversion to generate variates from
/// monotone discrete distributions", 1996): exact, without a table, for any exponent above 0.
#[derive(Debug, Clone)]
pub struct Zipf {
    n: f64,
    exponent: f64,
    /// The integral of the hat function up to 1.5, less the weight of the first rank.
    low: f64,
    /// The same integral up to the last rank's upper edge.
    high: f64,
    /// Below this distance from the rank's value, a draw is accepted without a further look.
    shortcut: f64,
}

impl Zipf {
    /// A distribution over `n` ranks.
    #[must_use]
    pub fn new(n: u32, exponent: f64) -> Zipf {
        let integral = |x: f64| hat_integral(x, exponent);
        let shortcut = 2.0 - hat_inverse(integral(2.5) - hat(2.0, exponent), exponent);
        let n = f64::from(n);
        Zipf { n, exponent, low: integral(1.5) - 1.0, high: integral(n + 0.5), shortcut }
    }

    /// A rank, 0 being the most popular.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the ranks, which are 32 bits"
    )]
    pub fn rank(&self, random: &mut Random) -> u32 {
        loop {
            let u = self.high + random.unit() * (self.low - self.high);
            let x = hat_inverse(u, self.exponent);
            let k = x.round().clamp(1.0, self.n);
            let accepted = k - x <= self.shortcut
                || u >= hat_integral(k + 0.5, self.exponent) - hat(k, self.exponent);
            if accepted {
                return k as u32 - 1;
            }
        }
    }
}

/// The hat function: `x^-s`.
fn hat(x: f64, exponent: f64) -> f64 {
    (-exponent * x.ln()).exp()
}

/// The hat's integral from 1 to x.
fn hat_integral(x: f64, exponent: f64) -> f64 {
    let log = x.ln();
    let t = (1.0 - exponent) * log;
    // (e^t - 1) / t, which is 1 where the exponent is 1.
    let ratio = if t.abs() < 1e-8 { 1.0 + t / 2.0 } else { t.exp_m1() / t };
    ratio * log
}

/// The inverse of [`hat_integral`].
fn hat_inverse(y: f64, exponent: f64) -> f64 {
    let t = (y * (1.0 - exponent)).max(-1.0);
    // ln(1 + t) / t, which is 1 where the exponent is 1.
    let ratio = if t.abs() < 1e-8 { 1.0 - t / 2.0 } else { t.ln_1p() / t };
    (ratio * y).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_follow_the_law() {
        for exponent in [0.8, 0.99, 1.0, 1.2] {
            let (n, draws) = (1000, 1_000_000);
            let zipf = Zipf::new(n, exponent);
            let mut random = Random::new(7);
            let mut counts = vec![0u32; n as usize];
            for _ in 0..draws {
                counts[zipf.rank(&mut random) as usize] += 1;
            }
            let total: f64 = (1..=n).map(|k| f64::from(k).powf(-exponent)).sum();
            for rank in [0u32, 1, 2, 9, 99, 999] {
                let expected = f64::from(draws) * f64::from(rank + 1).powf(-exponent) / total;
                let found = f64::from(counts[rank as usize]);
                // Five standard deviations.
                let slack = 5.0 * expected.sqrt();
                assert!(
                    (found - expected).abs() < slack,
                    "s={exponent} rank {rank}: {found} draws, expected {expected}"
                );
            }
        }
    }

    #[test]
    fn a_seed_gives_the_same_numbers() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            [random.bits(), random.bits(), u64::from(random.below(10))]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn numbers_below_stay_below_and_reach_all() {
        let mut random = Random::new(3);
        let mut seen = [false; 5];
        for _ in 0..1000 {
            seen[random.below(5) as usize] = true;
        }
        assert_eq!(seen, [true; 5]);
    }
}
