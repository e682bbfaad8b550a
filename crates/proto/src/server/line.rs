//! What the text and the meta protocol share: words, numbers, and the error lines.

/// The words of a line: what stands between its spaces. Only the space separates, a tab is part of a
/// word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Words<'b> {
    rest: &'b [u8],
}

impl<'b> Words<'b> {
    /// The words of `line`, which has no line ending.
    #[must_use]
    pub fn new(line: &'b [u8]) -> Words<'b> {
        Words { rest: line }
    }

    /// Whether no word is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.iter().all(|&byte| byte == b' ')
    }

    /// What comes after the words taken so far, spaces included.
    #[must_use]
    pub fn rest(&self) -> &'b [u8] {
        self.rest
    }
}

impl<'b> Iterator for Words<'b> {
    type Item = &'b [u8];

    #[inline]
    fn next(&mut self) -> Option<&'b [u8]> {
        let mut rest = self.rest;
        while let [b' ', after @ ..] = rest {
            rest = after;
        }
        let (word, after) = rest.split_at(word_len(rest));
        self.rest = after;
        (!word.is_empty()).then_some(word)
    }
}

/// The length of what comes before the first space.
///
/// Many words are shorter than what it takes to set up a vectorised search, so the first eight bytes are
/// looked at as one number: a byte of the difference is zero where there is a space, and the lowest bit
/// that is left of it says where the first one is.
#[inline]
fn word_len(bytes: &[u8]) -> usize {
    const SPACES: u64 = u64::from_ne_bytes([b' '; 8]);
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let Some((eight, after)) = bytes.split_first_chunk() else {
        return bytes.iter().position(|&byte| byte == b' ').unwrap_or(bytes.len());
    };
    let difference = u64::from_le_bytes(*eight) ^ SPACES;
    let found = difference.wrapping_sub(ONES) & !difference & TOPS;
    if found != 0 {
        return found.trailing_zeros() as usize / 8;
    }
    eight.len() + memchr::memchr(b' ', after).unwrap_or(after.len())
}

/// The number that `bytes` begin with, of one to ten digits, and what comes after it.
#[inline]
pub(crate) fn leading_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut number, mut rest) = (0_u64, bytes);
    while let [digit @ b'0'..=b'9', after @ ..] = rest {
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        rest = after;
    }
    let digits = bytes.len() - rest.len();
    (1..=10).contains(&digits).then_some((number, rest))
}

/// Error lines, in memcached's words.
pub(crate) mod error {
    pub(crate) const UNKNOWN: &[u8] = b"ERROR\r\n";
    pub(crate) const FORMAT: &[u8] = b"CLIENT_ERROR bad command line format\r\n";
    pub(crate) const CHUNK: &[u8] = b"CLIENT_ERROR bad data chunk\r\n";
    pub(crate) const EXPTIME: &[u8] = b"CLIENT_ERROR invalid exptime argument\r\n";
    pub(crate) const DELTA: &[u8] = b"CLIENT_ERROR invalid numeric delta argument\r\n";
    pub(crate) const DELETE: &[u8] =
        b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n";
    pub(crate) const DUPLICATE: &[u8] = b"CLIENT_ERROR duplicate flag\r\n";
    pub(crate) const INVALID: &[u8] = b"CLIENT_ERROR invalid flag\r\n";
    pub(crate) const INVALID_OR_DUPLICATE: &[u8] = b"CLIENT_ERROR invalid or duplicate flag\r\n";
    pub(crate) const TOO_MANY: &[u8] = b"CLIENT_ERROR options flags are too long\r\n";
    pub(crate) const TOKEN: &[u8] = b"CLIENT_ERROR bad token in command line format\r\n";
    pub(crate) const INITIAL: &[u8] = b"CLIENT_ERROR invalid numeric initial value\r\n";
    pub(crate) const DELTA_VALUE: &[u8] = b"CLIENT_ERROR invalid numeric delta value\r\n";
    pub(crate) const KEY: &[u8] = b"CLIENT_ERROR error decoding key\r\n";
    pub(crate) const OPAQUE: &[u8] = b"CLIENT_ERROR opaque token too long\r\n";
    pub(crate) const SET_MODE: &[u8] = b"CLIENT_ERROR invalid mode for ms M token\r\n";
    pub(crate) const ARITH_MODE: &[u8] = b"CLIENT_ERROR invalid mode for ma M token\r\n";
}

/// The longest value a line may announce, in bytes: memcached adds the line ending in 31 bits.
pub(crate) const MAX_ANNOUNCED: u64 = i32::MAX as u64 - 2;

/// The length of a value as a line announces it.
pub(crate) fn announced(word: &[u8]) -> Option<usize> {
    decimal(word).filter(|&len| len <= MAX_ANNOUNCED).and_then(|len| usize::try_from(len).ok())
}

/// An unsigned decimal number: digits only, below 2^64.
#[inline]
#[must_use]
pub fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 22 {
        return None;
    }
    let mut number = 0_u64;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Nineteen digits always fit.
        number = if digits.len() < 20 {
            number * 10 + u64::from(digit)
        } else {
            number.checked_mul(10)?.checked_add(u64::from(digit))?
        };
    }
    Some(number)
}

/// A decimal number of 32 bits, with a minus or not.
#[must_use]
pub fn signed32(word: &[u8]) -> Option<i32> {
    i32::try_from(signed(word)?).ok()
}

/// A decimal number of 64 bits, with a minus or not.
#[inline]
#[must_use]
pub fn signed(word: &[u8]) -> Option<i64> {
    match word {
        [b'-', digits @ ..] => 0_i64.checked_sub_unsigned(decimal(digits)?),
        digits => i64::try_from(decimal(digits)?).ok(),
    }
}

/// Appends a number in decimal.
#[inline]
pub fn put_decimal(out: &mut Vec<u8>, number: u64) {
    // Most numbers are flags of 0 and lengths of short values.
    if number < 10 {
        out.push(b'0' + (number % 10) as u8);
    } else if number < 100 {
        out.extend_from_slice(&[b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
    } else {
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_stands_between_spaces() {
        let words = |line: &'static str| {
            Words::new(line.as_bytes())
                .map(|word| str::from_utf8(word).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(words("get a bc"), ["get", "a", "bc"]);
        assert_eq!(words("  get  a\tb   "), ["get", "a\tb"]);
        assert_eq!(words(""), [""; 0]);
        assert_eq!(words("   "), [""; 0]);
    }

    /// Also where bytes next to a space differ from it in the lowest or the highest bit.
    #[test]
    fn a_word_of_any_length_ends_at_its_first_space() {
        for len in 0..80 {
            for byte in [0, b'a', b'!', b' ' | 0x80, 0xff] {
                for after in [b' ', b'!', b'a', 0xa0] {
                    let word = vec![byte; len];
                    assert_eq!(word_len(&word), len);
                    for more in 0..20 {
                        let line = [&word[..], b" ", &vec![after; more]].concat();
                        assert_eq!(word_len(&line), len, "{line:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_have_digits_and_limits() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(decimal(b"0018446744073709551615"), Some(u64::MAX));
        for bad in ["", "18446744073709551616", "00018446744073709551615", "-1", "+1", "1x", " 1"] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(signed(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(signed(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(signed32(b"-2147483648"), Some(i32::MIN));
        for bad in ["", "-", "--1", "9223372036854775808", "-9223372036854775809", "1 "] {
            assert_eq!(signed(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(signed32(b"2147483648"), None);
    }

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for number in (0..2000).chain([u64::from(u32::MAX), u64::MAX - 1, u64::MAX]) {
            let mut out = Vec::new();
            put_decimal(&mut out, number);
            assert_eq!(decimal(&out), Some(number));
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    #[test]
    fn a_line_may_announce_31_bits_less_its_ending() {
        assert_eq!(announced(b"2147483645"), Some(2_147_483_645));
        for bad in ["2147483646", "2147483647", "4294967296", "18446744073709551616", "-1", "x", ""]
        {
            assert_eq!(announced(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
