//! Eviction policies, one file each, behind one small trait.
//!
//! A policy is a cache without values: it is told what is asked for and says whether it has it. It takes
//! in what it did not have, so the next request for it can be a hit. Keys are small numbers (a trace's
//! keys are numbered in the order of their first request), so a policy's state is a table.

mod belady;
pub mod engine;
mod lists;
mod queues;
mod s3fifo;
mod sieve;
mod tinylfu;

use anyhow::bail;

pub use self::belady::Belady;
pub use self::engine::Engine;
pub use self::queues::Queue;
pub use self::s3fifo::S3Fifo;
pub use self::sieve::Sieve;
pub use self::tinylfu::TinyLfu;

/// A key: its number in the order of first requests.
pub type Key = u32;

/// The key is not asked for again.
pub const NEVER: u32 = u32::MAX;

/// One request.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    /// What is asked for.
    pub key: Key,
    /// How much room it needs, in the unit of the capacity.
    pub size: u32,
    /// The number of the request that asks for it next, or [`NEVER`]. For [`Belady`] only.
    pub next: u32,
}

/// An eviction policy.
pub trait Policy {
    /// Whether the item is in the cache. If not, it may be from now on.
    fn access(&mut self, access: Access) -> bool;

    /// The item expired: it is not in the cache any more.
    fn remove(&mut self, key: Key);
}

/// The name of a policy, and what else has to be known to make one.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// As it was given.
    pub name: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Fifo,
    Lru,
    Sieve,
    S3Fifo,
    Clock2QPlus,
    TinyLfu { window: f64 },
    Engine(engine::Options),
    Belady,
}

/// The policies that run if none are asked for.
pub const ALL: &str = "fifo,lru,sieve,s3fifo,clock2q+,wtinylfu-1,wtinylfu-10,engine,belady";

impl Named {
    /// Finds the policy called `name`.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn parse(name: &str) -> anyhow::Result<Self> {
        let kind = match name {
            "fifo" => Kind::Fifo,
            "lru" => Kind::Lru,
            "sieve" => Kind::Sieve,
            "s3fifo" => Kind::S3Fifo,
            "clock2q+" => Kind::Clock2QPlus,
            "wtinylfu-1" => Kind::TinyLfu { window: 0.01 },
            "wtinylfu-10" => Kind::TinyLfu { window: 0.1 },
            "belady" => Kind::Belady,
            _ => match name.strip_prefix("engine") {
                Some(options) if options.is_empty() || options.starts_with('/') => {
                    Kind::Engine(engine::Options::parse(options)?)
                }
                _ => bail!("no policy is called {name:?}; there are {ALL}"),
            },
        };
        Ok(Self { name: name.to_owned(), kind })
    }

    /// An empty cache of `capacity`, for `keys` keys. `items`: about how many have room.
    #[must_use]
    pub fn make(&self, capacity: u64, keys: usize, items: u64) -> Box<dyn Policy> {
        match self.kind {
            Kind::Fifo => Box::new(Queue::fifo(capacity, keys)),
            Kind::Lru => Box::new(Queue::lru(capacity, keys)),
            Kind::Sieve => Box::new(Sieve::new(capacity, keys)),
            Kind::S3Fifo => Box::new(S3Fifo::new(capacity, keys)),
            Kind::Clock2QPlus => Box::new(S3Fifo::clock2q_plus(capacity, keys)),
            Kind::TinyLfu { window } => Box::new(TinyLfu::new(capacity, keys, items, window)),
            Kind::Engine(options) => Box::new(Engine::new(options, capacity, keys, items)),
            Kind::Belady => Box::new(Belady::new(capacity, keys)),
        }
    }

    /// The name of the policy in a picture.
    #[must_use]
    pub fn title(&self) -> String {
        let title = match self.kind {
            Kind::Fifo => "FIFO",
            Kind::Lru => "LRU",
            Kind::Sieve => "SIEVE",
            Kind::S3Fifo => "S3-FIFO",
            Kind::Clock2QPlus => "Clock2Q+",
            Kind::TinyLfu { window } => return format!("W-TinyLFU {} %", window * 100.0),
            Kind::Engine(options) if options == engine::Options::default() => "Larder",
            Kind::Engine(_) => return self.name.replacen("engine", "Larder ", 1),
            Kind::Belady => "Belady",
        };
        title.to_owned()
    }

    /// Whether it is the policy of Larder's engine.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Engine(_))
    }

    /// Whether it has to know the future.
    #[must_use]
    pub fn foresees(&self) -> bool {
        self.kind == Kind::Belady
    }
}

/// A share of a capacity, rounded down.
pub(crate) fn share(capacity: u64, share: f64) -> u64 {
    #[allow(clippy::cast_possible_truncation, reason = "sizes are far below 2^52")]
    let part = (capacity as f64 * share) as u64;
    part
}

/// Spreads the bits of a number over all 64 (the finaliser of SplitMix64).
pub(crate) fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places of those requests that are hits, if all items have size 1.
    pub(super) fn hits(policy: &mut dyn Policy, keys: &[Key]) -> Vec<usize> {
        let next = crate::simulate::next_requests(keys);
        let mut access =
            |at: usize| policy.access(Access { key: keys[at], size: 1, next: next[at] });
        (0..keys.len()).filter(|&at| access(at)).collect()
    }
    #[test]
    fn belady_is_never_below_any_other() {
        let trace = |seed: u64, keys: u64, skew: u64| -> Vec<Key> {
            let number = |at: u64| {
                let random = mix(seed ^ mix(at));
                let range = if random.is_multiple_of(skew) { keys } else { keys / 8 };
                u32::try_from((random >> 32) % range).unwrap()
            };
            (0..4_000).map(number).collect()
        };
        for (seed, keys, skew) in [(1, 64, 2), (2, 400, 3), (3, 1_000, 5), (4, 3_000, 4)] {
            let requests = trace(seed, keys, skew);
            for capacity in [1, 2, 7, 20, 100] {
                let count = |named: &Named| {
                    let mut policy = named.make(capacity, 3_000, capacity);
                    hits(&mut *policy, &requests).len()
                };
                let best = count(&Named::parse("belady").unwrap());
                for name in ALL.split(',') {
                    let hits = count(&Named::parse(name).unwrap());
                    assert!(hits <= best, "{name} {hits}, belady {best}, capacity {capacity}");
                }
            }
        }
    }

    #[test]
    fn no_policy_holds_more_than_its_capacity() {
        // After a pass over many keys, asked for once more newest first: no more hits than room.
        for name in ALL.split(',').filter(|name| *name != "belady") {
            let mut policy = Named::parse(name).unwrap().make(50, 1_000, 50);
            let once: Vec<Key> = (0..500).collect();
            assert_eq!(hits(&mut *policy, &once), [], "{name}");
            let found = (0..500).rev().filter(|&key| {
                let hit = policy.access(Access { key, size: 1, next: 0 });
                policy.remove(key);
                hit
            });
            let found = found.count();
            assert!((30..=50).contains(&found), "{name}: {found}");
        }
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for wrong in ["", "arc", "engines", "LRU", "engine/"] {
            match Named::parse(wrong) {
                Ok(named) => assert_eq!(wrong, "engine/", "{named:?}"),
                Err(error) => assert!(error.to_string().contains(&format!("{wrong:?}"))),
            }
        }
        assert_eq!(Named::parse("engine").unwrap().title(), "Larder");
        assert_eq!(Named::parse("engine/small=5%").unwrap().title(), "Larder /small=5%");
        assert_eq!(Named::parse("wtinylfu-10").unwrap().title(), "W-TinyLFU 10 %");
    }
}
