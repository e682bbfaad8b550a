//! Replies to bytes: the flags that come back, each after a space.

use super::{Flag, base64};
use crate::server::line::put_decimal;

/// Appends a letter alone.
#[inline]
pub fn put_flag(out: &mut Vec<u8>, letter: u8) {
    out.extend_from_slice(&[b' ', letter]);
}

/// Appends a letter and a number.
#[inline]
pub fn put_number(out: &mut Vec<u8>, letter: u8, number: u64) {
    put_flag(out, letter);
    put_decimal(out, number);
}

/// Appends a flag as it came: the opaque.
#[inline]
pub fn put_echo(out: &mut Vec<u8>, flag: Flag<'_>) {
    out.push(b' ');
    out.extend_from_slice(flag.word);
}

/// Appends a key; in base64 and said to be so, if it is `binary`.
pub fn put_key(out: &mut Vec<u8>, key: &[u8], binary: bool) {
    put_flag(out, b'k');
    if binary {
        base64::put(out, key);
        put_flag(out, b'b');
    } else {
        out.extend_from_slice(key);
    }
}
