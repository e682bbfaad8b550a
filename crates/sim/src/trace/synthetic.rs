//! Made-up traces, the same on every machine: each has a seed in its specification, or the default one.
//!
//! | specification | requests |
//! |---|---|
//! | `zipf:<alpha>:<keys>:<requests>` | independent, the n-th most popular key with weight n^-alpha |
//! | … `:scan=25%` | of which a share goes to keys that are asked for once |
//! | … `:sized` | sizes from 14 B to 141 kB, the popular ones small |
//! | … `:ttl` | 40 % of the keys live for 2 s, 30 % for 8 s; 200,000 requests a second |
//! | … `:seed=7` | other random numbers |
//! | `loop:<keys>[:<requests>]` | round and round; ten times if not said |

use anyhow::{Context, bail};

use super::{Numbering, Trace};
use crate::policy::{Key, mix};

/// The most keys and requests.
const MOST: usize = 1 << 30;

/// For traces with lifetimes.
const REQUESTS_A_SECOND: usize = 200_000;

/// Makes up a trace, if `source` is a specification of one.
///
/// # Errors
///
/// When it is a wrong one.
pub fn parse(source: &str) -> anyhow::Result<Option<Trace>> {
    let (kind, rest) = source.split_once(':').unwrap_or((source, ""));
    let trace = match kind {
        "zipf" => zipf(rest),
        "loop" => turns(rest),
        _ => return Ok(None),
    };
    let trace = trace.with_context(|| format!("the trace {source:?}"))?;
    Ok(Some(Trace { name: source.to_owned(), ..trace }))
}

/// What is asked of a Zipf trace.
struct Zipf {
    alpha: f64,
    keys: usize,
    requests: usize,
    scan: f64,
    sized: bool,
    ttl: bool,
    seed: u64,
}

fn zipf(text: &str) -> anyhow::Result<Trace> {
    let mut parts = text.split(':');
    let mut part =
        |what: &str| parts.next().filter(|part| !part.is_empty()).context(what.to_owned());
    let alpha = part("no alpha")?;
    let alpha: f64 = alpha.parse().with_context(|| format!("alpha: {alpha:?}"))?;
    if !(0.0..=4.0).contains(&alpha) {
        bail!("alpha: {alpha} is not between 0 and 4");
    }
    let keys = count("keys", part("no number of keys")?)?;
    let requests = count("requests", part("no number of requests")?)?;
    let mut wanted = Zipf { alpha, keys, requests, scan: 0.0, sized: false, ttl: false, seed: 42 };
    for part in parts {
        match part.split_once('=') {
            None if part == "sized" => wanted.sized = true,
            None if part == "ttl" => wanted.ttl = true,
            Some(("seed", seed)) => {
                wanted.seed = seed.parse().with_context(|| format!("{part:?}"))?;
            }
            Some(("scan", share)) => {
                let percent = share.strip_suffix('%').and_then(|share| share.parse::<f64>().ok());
                let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
                wanted.scan =
                    percent.with_context(|| format!("{part:?}: not a percentage"))? / 100.0;
            }
            _ => bail!("{part:?} is not known"),
        }
    }
    wanted.trace()
}

impl Zipf {
    fn trace(&self) -> anyhow::Result<Trace> {
        let popular = Popularity::new(self.alpha, self.keys);
        let mut random = Random(self.seed);
        let mut numbering = Numbering::default();
        let mut trace = Trace::default();
        trace.requests.reserve(self.requests);
        for request in 0..self.requests {
            let once = self.scan > 0.0 && random.unit() < self.scan;
            let name = if once { self.keys + request } else { popular.draw(&mut random) };
            let (key, new) = numbering.number(name as u64)?;
            trace.requests.push(key);
            if new {
                trace.keys += 1;
                self.describe(name, &mut trace, &mut random);
            }
        }
        if self.ttl {
            #[allow(clippy::cast_possible_truncation, reason = "at most 2^30 requests")]
            let second = |request| (request / REQUESTS_A_SECOND) as u32;
            trace.times = (0..self.requests).map(second).collect();
        }
        Ok(trace)
    }

    /// The size and the lifetime of a new key, whose rank is `rank`.
    fn describe(&self, rank: usize, trace: &mut Trace, random: &mut Random) {
        if self.sized {
            // Between the two ends the size grows with the rank, by powers, and varies fourfold.
            let place = ((rank + 1) as f64).ln() / (self.keys as f64 + 1.0).ln();
            let mean =
                14.0 * (141_000.0_f64 / 14.0).powf(place.min(1.0) * 0.5 + random.unit() * 0.5);
            #[allow(clippy::cast_possible_truncation, reason = "between 14 and 141,000")]
            trace.sizes.push(mean as u32);
        }
        if self.ttl {
            let lifetimes = [2, 2, 2, 2, 8, 8, 8, 0, 0, 0];
            trace.lifetimes.push(lifetimes[random.below(10)]);
        }
    }
}

fn turns(text: &str) -> anyhow::Result<Trace> {
    let (keys, requests) = text.split_once(':').map_or((text, None), |(k, r)| (k, Some(r)));
    let keys = count("keys", keys)?;
    let requests = requests.map_or(Ok(keys.min(MOST / 10) * 10), |text| count("requests", text))?;
    #[allow(clippy::cast_possible_truncation, reason = "at most 2^30 keys")]
    let requests: Vec<Key> = (0..requests).map(|request| (request % keys) as Key).collect();
    let keys = keys.min(requests.len());
    Ok(Trace { requests, keys, ..Trace::default() })
}

fn count(what: &str, text: &str) -> anyhow::Result<usize> {
    let number: usize = text.parse().with_context(|| format!("{what}: {text:?}"))?;
    if !(1..=MOST).contains(&number) {
        bail!("{what}: {number} is not between 1 and {MOST}");
    }
    Ok(number)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        let out = mix(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        out
    }

    /// From 0 to 1, without 1.
    fn unit(&mut self) -> f64 {
        let bits = (self.next() >> 11) as f64;
        bits / (1_u64 << 53) as f64
    }

    fn below(&mut self, end: usize) -> usize {
        #[allow(clippy::cast_possible_truncation, reason = "below a usize")]
        let number = ((u128::from(self.next()) * end as u128) >> 64) as usize;
        number
    }
}

/// Draws ranks by Walker's alias method (with Vose's set-up): two looks into tables each.
struct Popularity {
    /// Of a column: its probability of meaning itself, and what it means if not.
    columns: Vec<(f64, u32)>,
}

impl Popularity {
    fn new(alpha: f64, keys: usize) -> Self {
        let mut weights: Vec<f64> = (1..=keys).map(|rank| (rank as f64).powf(-alpha)).collect();
        let scale = keys as f64 / weights.iter().sum::<f64>();
        weights.iter_mut().for_each(|weight| *weight *= scale);
        let mut columns = vec![(1.0, 0); keys];
        let (mut low, mut high): (Vec<usize>, Vec<usize>) =
            (0..keys).partition(|&rank| weights[rank] < 1.0);
        while let (Some(poor), Some(&rich)) = (low.pop(), high.last()) {
            #[allow(clippy::cast_possible_truncation, reason = "ranks are below 2^31")]
            let other = rich as u32;
            columns[poor] = (weights[poor], other);
            weights[rich] -= 1.0 - weights[poor];
            if weights[rich] < 1.0 {
                high.pop();
                low.push(rich);
            }
        }
        Self { columns }
    }

    /// A rank, from 0.
    fn draw(&self, random: &mut Random) -> usize {
        let column = random.below(self.columns.len());
        let (itself, other) = self.columns[column];
        if random.unit() < itself { column } else { other as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(source: &str) -> Trace {
        parse(source).unwrap().unwrap()
    }

    #[test]
    fn the_same_seed_makes_the_same_trace() {
        let one = make("zipf:0.9:100:1000");
        assert_eq!(one.requests, make("zipf:0.9:100:1000:seed=42").requests);
        assert_ne!(one.requests, make("zipf:0.9:100:1000:seed=43").requests);
        assert_eq!(one.requests[..8], [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn popularity_follows_the_law() {
        let popular = Popularity::new(1.0, 50);
        let mut random = Random(1);
        let mut drawn = [0_u32; 50];
        (0..100_000).for_each(|_| drawn[popular.draw(&mut random)] += 1);
        let harmonic: f64 = (1..=50).map(|rank| 1.0 / f64::from(rank)).sum();
        for (rank, &drawn) in drawn.iter().enumerate() {
            let expected = 100_000.0 / harmonic / (rank as f64 + 1.0);
            let off = (f64::from(drawn) - expected).abs();
            assert!(off < 5.0 * expected.sqrt(), "rank {rank}: {drawn}, expected {expected}");
        }
    }

    #[test]
    fn a_scan_asks_once() {
        let trace = make("zipf:1.0:10:10000:scan=25%");
        let mut counts = vec![0; trace.keys];
        trace.requests.iter().for_each(|&key| counts[key as usize] += 1);
        let once = counts.iter().filter(|&&count| count == 1).count();
        assert!((2_300..2_700).contains(&once) && trace.keys == once + 10, "{once}");
    }

    #[test]
    fn sizes_and_lifetimes_are_there_if_wanted() {
        let trace = make("zipf:0.8:5000:20000:sized:ttl");
        assert_eq!((trace.sizes.len(), trace.lifetimes.len()), (trace.keys, trace.keys));
        assert!(trace.sizes.iter().all(|size| (14..=141_000).contains(size)));
        let sum = |sizes: &[u32]| sizes.iter().sum::<u32>();
        assert!(sum(&trace.sizes[..200]) * 2 < sum(&trace.sizes[trace.keys - 200..]));
        assert_eq!(trace.times.len(), 20_000);
        assert!([0, 2, 8].iter().all(|lifetime| trace.lifetimes.contains(lifetime)));
        assert!(make("zipf:0.8:50:200").sizes.is_empty());
    }

    #[test]
    fn loops_go_round() {
        assert_eq!(make("loop:3:7").requests, [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(make("loop:3").requests.len(), 30);
        assert_eq!(make("loop:9:2").keys, 2);
    }

    #[test]
    fn wrong_specifications_are_refused() {
        for wrong in [
            "zipf",
            "zipf:x:1:1",
            "zipf:5:1:1",
            "zipf:NaN:1:1",
            "zipf:1:0:1",
            "zipf:1:1",
            "zipf:1:1:99999999999",
            "zipf:1:1:1:scan=101%",
            "zipf:1:1:1:scan=5",
            "zipf:1:1:1:colour",
            "loop",
            "loop:0",
            "loop:5:x",
        ] {
            let error = format!("{:#}", parse(wrong).unwrap_err());
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
        assert!(parse("some/file.txt").unwrap().is_none());
    }
}
