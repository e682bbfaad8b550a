//! Answers that may be as long as the cache is large: keys, prefixes, connections.
//!
//! Such an answer is a [`Dump`] that the connection keeps. It is asked for the next piece when what was
//! sent before has been taken, so it holds up nobody, and needs no memory for what nobody reads.

mod keys;
#[cfg(test)]
mod tests;

use crate::cx::Cx;
use crate::exec::stats::{Conns, Prefixes};

pub(crate) use keys::{cachedump, lru_crawler};

/// An answer that goes on.
#[derive(Debug)]
pub(crate) enum Dump {
    /// Of the tenant's items.
    Keys(keys::Keys),
    /// Of what `stats detail` counts.
    Prefixes(Prefixes),
    /// Of the open connections.
    Conns(Conns),
}

impl Dump {
    /// Appends the next piece, some ten kilobytes at most; whether there is more.
    pub(crate) fn step(&mut self, cx: &mut Cx<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Dump::Keys(keys) => keys.step(cx, out),
            Dump::Prefixes(prefixes) => prefixes.step(cx, out),
            Dump::Conns(conns) => conns.step(cx, out),
        }
    }
}

/// Appends bytes that end no word and no line: others than printable ones, and the space, as `%` and two
/// digits.
pub(crate) fn put_printable(out: &mut Vec<u8>, bytes: &[u8]) {
    put_encoded(out, bytes, |byte| byte > b' ' && byte != 0x7f);
}

/// Appends bytes with those but `plain` ones as `%` and two hexadecimal digits.
fn put_encoded(out: &mut Vec<u8>, bytes: &[u8], plain: impl Fn(u8) -> bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if plain(byte) {
            out.push(byte);
        } else {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend_from_slice(&[b'%', DIGITS[high], DIGITS[low]]);
        }
    }
}
