//! What a thread asks for next.

use std::ops::Range;
use std::sync::Arc;

use crate::Load;
use crate::batch::Batch;
use crate::load::Choice;
use crate::random::{Random, Zipf};

/// How many keys are chosen beforehand where choosing takes long; then they begin again.
const CHOSEN: u32 = 1 << 21;

/// How many sets are sent together to fill a server.
const FILL_PIPELINE: u32 = 64;

/// Keys chosen by Zipf's law, for all threads; none where keys are uniform.
pub(crate) fn choose(load: &Load) -> Option<Arc<[u32]>> {
    let Choice::Zipf(exponent) = load.choice else {
        return None;
    };
    let zipf = Zipf::new(load.keys, exponent);
    let mut random = Random::new(load.seed);
    let step = coprime(load.keys);
    let id = |_| scattered(zipf.rank(&mut random), step, load.keys);
    Some((0..CHOSEN).map(id).collect())
}

/// Where a rank is put: popular keys are not neighbours.
fn scattered(rank: u32, step: u64, keys: u32) -> u32 {
    let id = (u64::from(rank) * step + 12_345) % u64::from(keys);
    u32::try_from(id).expect("below the number of keys")
}

/// A number about 0.618 of `keys` that has no divisor in common with it, so that its multiples reach all.
fn coprime(keys: u32) -> u64 {
    let gcd = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let keys = u64::from(keys);
    let from = (keys * 618 / 1000).max(1);
    (from..).find(|&step| gcd(step, keys) == 1).unwrap_or(1)
}

/// The commands of one thread.
#[derive(Debug)]
pub(crate) enum Work {
    /// One set of each key.
    Fill(Range<u32>),
    /// Gets and sets, without end.
    Mixed(Mixed),
}

impl Work {
    /// The share of the keys that thread `index` of `threads` stores.
    pub(crate) fn fill(keys: u32, index: u32, threads: u32) -> Work {
        let bound = |index: u32| {
            let bound = u64::from(keys) * u64::from(index) / u64::from(threads);
            u32::try_from(bound).expect("not above the number of keys")
        };
        Work::Fill(bound(index)..bound(index + 1))
    }

    /// The commands of thread `index` of a load, `chosen` being what [`choose`] chose for it.
    pub(crate) fn mixed(load: &Load, chosen: Option<&Arc<[u32]>>, index: u32) -> Work {
        let random = Random::new(load.seed ^ (u64::from(index) + 1).wrapping_mul(0x9e37_79b9));
        let at = chosen.map_or(0, |chosen| chosen.len() / load.threads as usize * index as usize);
        let Load { keys, multiget, pipeline, mix, .. } = *load;
        let sets = mix.share_of_sets();
        Work::Mixed(Mixed { random, chosen: chosen.cloned(), at, keys, multiget, pipeline, sets })
    }

    /// Puts the next commands into an empty batch; none if there are no more.
    pub(crate) fn next(&mut self, batch: &mut Batch) {
        match self {
            Work::Fill(ids) => {
                for id in ids.take(FILL_PIPELINE as usize) {
                    batch.push(true, std::iter::once(id));
                }
            }
            Work::Mixed(mixed) => mixed.next(batch),
        }
    }
}

/// Gets and sets of random keys.
#[derive(Debug)]
pub(crate) struct Mixed {
    random: Random,
    chosen: Option<Arc<[u32]>>,
    at: usize,
    keys: u32,
    multiget: u32,
    pipeline: u32,
    sets: f64,
}

impl Mixed {
    fn next(&mut self, batch: &mut Batch) {
        for _ in 0..self.pipeline {
            let set = self.sets > 0.0 && self.random.chance(self.sets);
            let keys = if set { 1 } else { self.multiget };
            batch.push(set, (0..keys).map(|_| self.id()));
        }
    }

    #[inline]
    fn id(&mut self) -> u32 {
        let Some(chosen) = &self.chosen else {
            return self.random.below(self.keys);
        };
        let id = chosen[self.at];
        self.at += 1;
        if self.at == chosen.len() {
            self.at = 0;
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Data;
    use crate::load::Sizes;
    use crate::protocol::Protocol;
    use std::collections::HashSet;
    use std::fmt::Write;

    #[test]
    fn scattering_loses_no_key() {
        for keys in [1, 2, 10, 999, 1000, 65_536, 100_000] {
            let step = coprime(keys);
            let ids: HashSet<u32> = (0..keys).map(|rank| scattered(rank, step, keys)).collect();
            assert_eq!(ids.len(), keys as usize, "{keys}");
        }
    }

    #[test]
    fn every_key_is_filled_by_one_thread() {
        let data = Data::new(12, Sizes { min: 0, max: 0 });
        for (keys, threads) in [(1, 1), (1000, 3), (2, 4), (130, 2)] {
            let mut sent = Vec::new();
            for index in 0..threads {
                let mut work = Work::fill(keys, index, threads);
                let mut batch = Batch::default();
                work.next(&mut batch);
                while !batch.is_done() {
                    batch.write(Protocol::Text, 0, &data, &mut sent);
                    batch.clear();
                    work.next(&mut batch);
                }
            }
            let mut expected = String::new();
            for id in 0..keys {
                write!(expected, "set key:{id:08} 0 0 0\r\n\r\n").unwrap();
            }
            assert_eq!(String::from_utf8(sent).unwrap(), expected);
        }
    }

    #[test]
    fn popular_keys_are_asked_for_more_often() {
        let load = Load { keys: 1000, ..Load::default() };
        let chosen = choose(&load).unwrap();
        let mut counts = vec![0u32; 1000];
        chosen.iter().for_each(|&id| counts[id as usize] += 1);
        counts.sort_unstable();
        let top: u32 = counts[990..].iter().sum();
        // The ten most popular of 1,000 keys have 38.3 % of the weight at 0.99.
        let share = f64::from(top) / f64::from(CHOSEN);
        assert!((0.380..0.386).contains(&share), "{share}");
        assert!(choose(&Load { choice: Choice::Uniform, ..load }).is_none());
    }
}
