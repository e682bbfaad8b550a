//! Keys in base64 (RFC 4648, with padding).
//!
//! As in memcached, bits of the last group that no byte needs are ignored; unlike there, characters
//! that are not of the alphabet are an error.

use crate::key::MAX_KEY_LEN;

/// The most bytes that a key can stand for.
pub const MAX_DECODED_LEN: usize = MAX_KEY_LEN / 4 * 3;

/// Whether [`decode`] can.
pub(super) fn is_valid(text: &[u8]) -> bool {
    let (digits, padding) = split(text);
    text.len().is_multiple_of(4)
        && !digits.is_empty()
        && padding <= 2
        && digits.iter().all(|&digit| value(digit).is_some())
}

/// What a key in base64 stands for, put into `buffer`; none if it is not base64, or too long for a
/// key.
#[must_use]
pub fn decode<'a>(text: &[u8], buffer: &'a mut [u8; MAX_DECODED_LEN]) -> Option<&'a [u8]> {
    if !is_valid(text) || text.len() > MAX_KEY_LEN {
        return None;
    }
    let (digits, _) = split(text);
    let (mut bits, mut held, mut len) = (0_u32, 0, 0);
    for &digit in digits {
        bits = (bits << 6 | u32::from(value(digit)?)) & 0xfff;
        held += 6;
        if held >= 8 {
            held -= 8;
            buffer[len] = (bits >> held & 0xff) as u8;
            len += 1;
        }
    }
    Some(&buffer[..len])
}

/// Appends bytes in base64.
pub fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let byte = |at| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 0x3f) as usize];
            out.push(if at <= group.len() { digit } else { b'=' });
        }
    }
}

/// The digits, and how many padding characters follow them.
fn split(text: &[u8]) -> (&[u8], usize) {
    let mut digits = text;
    while let [before @ .., b'='] = digits {
        digits = before;
    }
    (digits, text.len() - digits.len())
}

/// What a digit stands for.
fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_it_writes() {
        for len in 1..=MAX_DECODED_LEN {
            let bytes: Vec<u8> = (0..=255).cycle().skip(len).step_by(37).take(len).collect();
            let mut text = Vec::new();
            put(&mut text, &bytes);
            assert_eq!(decode(&text, &mut [0; MAX_DECODED_LEN]), Some(&bytes[..]), "{len}");
        }
    }

    #[test]
    fn knows_the_vectors_of_rfc_4648() {
        for (bytes, text) in [
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            put(&mut out, bytes.as_bytes());
            assert_eq!(out, text.as_bytes());
            let mut buffer = [0; MAX_DECODED_LEN];
            assert_eq!(decode(text.as_bytes(), &mut buffer), Some(bytes.as_bytes()));
        }
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for bad in ["", "Zm9", "Zg", "Zg=", "Z===", "====", "Zm9v=", "Zm9v====", "Zm=v", "Zm9\0"] {
            let mut buffer = [0; MAX_DECODED_LEN];
            assert_eq!(decode(bad.as_bytes(), &mut buffer), None, "{bad:?}");
        }
        assert_eq!(decode(&[b'A'; 252], &mut [0; MAX_DECODED_LEN]), None);
    }
}
