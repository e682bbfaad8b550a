//! What keys look like and what they hold: both follow from a number, the key's id, so that every
//! value can be checked without remembering what was stored.

use crate::load::Sizes;

/// The shortest keys, in bytes: `key:` and eight digits.
pub const SHORTEST_KEY: usize = 12;

/// The longest keys of the protocols, in bytes.
pub const LONGEST_KEY: usize = 250;

/// How many ids there can be: eight digits of them.
pub const MOST_KEYS: u32 = 100_000_000;

/// Values begin at one of this many places of the pattern: few enough to stay in a processor's cache.
const PLACES: usize = 1 << 16;

/// Keys and values of one load.
#[derive(Debug)]
pub struct Data {
    /// A key with its digits still zero.
    blank: Vec<u8>,
    sizes: Sizes,
    /// Random bytes, of which every value is a piece.
    pattern: Vec<u8>,
}

impl Data {
    /// Keys of `key_size` bytes ([`SHORTEST_KEY`] to [`LONGEST_KEY`]) with values of `sizes`.
    #[must_use]
    pub fn new(key_size: usize, sizes: Sizes) -> Data {
        let mut blank = vec![b'0'; key_size.clamp(SHORTEST_KEY, LONGEST_KEY)];
        blank[..4].copy_from_slice(b"key:");
        let mut state = 0;
        let words = (PLACES + sizes.max as usize).div_ceil(8);
        let next = |_| {
            state += 1;
            mixed(state).to_le_bytes()
        };
        Data { blank, sizes, pattern: (0..words).flat_map(next).collect() }
    }

    /// How long every key is, in bytes.
    #[must_use]
    pub fn key_size(&self) -> usize {
        self.blank.len()
    }

    /// Appends the key of an id below [`MOST_KEYS`].
    #[inline]
    pub fn push_key(&self, id: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.blank);
        let end = out.len();
        write_digits(id, &mut out[end - 8..]);
    }

    /// Whether this is the key of an id.
    #[inline]
    #[must_use]
    pub fn is_key(&self, id: u32, key: &[u8]) -> bool {
        let (head, digits) = key.split_at(key.len().saturating_sub(8));
        let mut expected = [0; 8];
        write_digits(id, &mut expected);
        digits == expected && head == &self.blank[..self.blank.len() - 8]
    }

    /// What the key of an id holds.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "both are taken modulo smaller numbers")]
    pub fn value(&self, id: u32) -> &[u8] {
        let bits = mixed(!u64::from(id));
        let Sizes { min, max } = self.sizes;
        let size = match max - min {
            0 => min,
            span => min + ((bits >> 32) % (u64::from(span) + 1)) as u32,
        };
        let place = bits as usize % PLACES;
        &self.pattern[place..place + size as usize]
    }
}

/// The last eight decimal digits of a number.
#[inline]
fn write_digits(id: u32, out: &mut [u8]) {
    let (high, low) = (id / 10_000, id % 10_000);
    for (at, four) in [(0, high), (4, low)] {
        for (at, two) in [(at, four / 100 % 100), (at + 2, four % 100)] {
            out[at..at + 2].copy_from_slice(&PAIRS[two as usize]);
        }
    }
}

/// "00" to "99".
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let (mut n, mut digits) = (0, [b'0'; 2]);
    while n < 100 {
        pairs[n] = digits;
        digits = if digits[1] == b'9' { [digits[0] + 1, b'0'] } else { [digits[0], digits[1] + 1] };
        n += 1;
    }
    pairs
};

/// The finaliser of SplitMix64: every bit of the input changes half of the output's.
fn mixed(x: u64) -> u64 {
    crate::random::Random::new(x).bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(data: &Data, id: u32) -> Vec<u8> {
        let mut out = b"get ".to_vec();
        data.push_key(id, &mut out);
        out.split_off(4)
    }

    #[test]
    fn keys_are_padded_numbers() {
        for size in [SHORTEST_KEY, 30, LONGEST_KEY] {
            let data = Data::new(size, Sizes { min: 1, max: 1 });
            for id in [0, 7, 99, 10_000, 12_345_678, MOST_KEYS - 1] {
                let key = key(&data, id);
                let digits = size - 4;
                assert_eq!(key, format!("key:{id:0digits$}").as_bytes());
                assert!(data.is_key(id, &key));
                assert!(!data.is_key(id ^ 1, &key));
                assert!(!data.is_key(id, &key[1..]) && !data.is_key(id, b""));
            }
        }
    }

    #[test]
    fn values_follow_from_the_id_and_differ() {
        let (data, again) =
            (Data::new(30, Sizes { min: 10, max: 20 }), Data::new(30, Sizes { min: 10, max: 20 }));
        let mut sizes = [false; 21];
        for id in 0..1000 {
            assert_eq!(data.value(id), again.value(id));
            sizes[data.value(id).len()] = true;
        }
        assert_eq!(sizes.iter().filter(|&&seen| seen).count(), 11, "every size from 10 to 20");
        let fixed = Data::new(30, Sizes { min: 32, max: 32 });
        let different = (1..1000).filter(|&id| fixed.value(id) != fixed.value(0)).count();
        assert!(different >= 998 && fixed.value(0).len() == 32);
        assert_eq!(Data::new(30, Sizes { min: 0, max: 0 }).value(3), b"");
    }
}
