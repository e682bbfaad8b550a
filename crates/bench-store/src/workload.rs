//! What the engines are asked: keys of 30 bytes, values, and streams of requests made beforehand.

use crate::random::{Random, Zipf};

/// How long every key is.
pub const KEY_BYTES: usize = 30;

/// A key's text: `key:` and 26 digits.
pub type Key = [u8; KEY_BYTES];

/// How many requests a stream has; it starts again at its end.
pub const STREAM: usize = 2_000_000;

/// The key of an id, made where it is needed (about 4 ns), as a web app makes its keys.
///
/// # Panics
///
/// When the id has more than eight digits.
#[inline]
#[must_use]
pub fn key(id: u32) -> Key {
    const BLANK: Key = *b"key:00000000000000000000000000";
    assert!(id < 100_000_000, "id {id} has more than eight digits");
    let mut key = BLANK;
    let (high, low) = (id / 10_000, id % 10_000);
    for (at, four) in [(22, high), (26, low)] {
        for (at, two) in [(at, four / 100), (at + 2, four % 100)] {
            key[at] = b'0' + u8::try_from(two / 10).unwrap_or(0);
            key[at + 1] = b'0' + u8::try_from(two % 10).unwrap_or(0);
        }
    }
    key
}

/// One request: an id, and whether it is written rather than read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request(u32);

impl Request {
    const SET: u32 = 1 << 31;

    fn new(id: u32, set: bool) -> Request {
        Request(if set { id | Request::SET } else { id })
    }

    /// Which key is meant.
    #[inline]
    #[must_use]
    pub fn id(self) -> u32 {
        self.0 & !Request::SET
    }

    /// Whether it is a set.
    #[inline]
    #[must_use]
    pub fn is_set(self) -> bool {
        self.0 & Request::SET != 0
    }
}

/// How requests are chosen.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    /// Ids are below this.
    pub keys: u32,
    /// Zipf's exponent.
    pub exponent: f64,
    /// The share of sets.
    pub sets: f64,
}

impl Mix {
    /// A stream of requests that depends on the mix and the seed only.
    #[must_use]
    pub fn stream(&self, length: usize, seed: u64) -> Vec<Request> {
        let zipf = Zipf::new(self.keys, self.exponent);
        let mut random = Random::new(seed);
        let request = |_| {
            let id = scrambled(zipf.rank(&mut random), self.keys);
            Request::new(id, random.chance(self.sets))
        };
        (0..length).map(request).collect()
    }
}

/// The id of a rank: popular ids are scattered over all of them.
#[must_use]
pub fn scrambled(rank: u32, keys: u32) -> u32 {
    // A prime that divides no number of keys in use, so this is a permutation.
    const PRIME: u64 = 2_654_435_761;
    let id = (u64::from(rank) * PRIME + 12_345) % u64::from(keys);
    u32::try_from(id).expect("less than the number of keys")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_are_text_of_thirty_bytes() {
        for id in [0, 7, 10_000, 12_345_678, 99_999_999] {
            assert_eq!(key(id).as_slice(), format!("key:{id:026}").as_bytes());
        }
    }

    #[test]
    fn scrambling_loses_no_id() {
        for keys in [1, 10, 1000, 100_000] {
            let ids: HashSet<u32> = (0..keys).map(|rank| scrambled(rank, keys)).collect();
            assert_eq!(ids.len(), keys as usize);
        }
    }

    #[test]
    fn a_stream_has_its_share_of_sets() {
        let mix = Mix { keys: 1000, exponent: 0.99, sets: 0.1 };
        let stream = mix.stream(100_000, 1);
        let sets = stream.iter().filter(|request| request.is_set()).count();
        assert!((9_000..11_000).contains(&sets), "{sets} sets");
        assert!(stream.iter().all(|request| request.id() < 1000));
        assert_eq!(stream, mix.stream(100_000, 1));
    }
}
