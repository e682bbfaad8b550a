//! Replies to bytes.

use crate::server::line::put_decimal;

/// What ends the reply to a `get`.
pub const END: &[u8] = b"END\r\n";

/// Appends the line before a value: `VALUE <key> <flags> <bytes> [<cas>]`.
#[inline]
pub fn put_value_head(out: &mut Vec<u8>, key: &[u8], flags: u32, len: usize, cas: Option<u64>) {
    out.extend_from_slice(b"VALUE ");
    out.extend_from_slice(key);
    out.push(b' ');
    put_decimal(out, flags.into());
    out.push(b' ');
    put_decimal(out, len as u64);
    if let Some(cas) = cas {
        out.push(b' ');
        put_decimal(out, cas);
    }
    out.extend_from_slice(b"\r\n");
}
