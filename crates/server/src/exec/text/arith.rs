//! incr, decr.

use larder_proto::server::put_decimal;
use larder_store::{Arithmetic, Computed, HashedKey, StoreError};

use super::line;
use crate::counters::Count;
use crate::cx::Cx;

/// Computes, and answers with the number.
pub(super) fn arith(key: HashedKey<'_>, delta: u64, down: bool, cx: &Cx<'_>, out: &mut Vec<u8>) {
    let (hit, miss) = if down {
        (Count::DecrHits, Count::DecrMisses)
    } else {
        (Count::IncrHits, Count::IncrMisses)
    };
    let arithmetic = Arithmetic { down, tell_cas: false, ..Arithmetic::up(delta) };
    let line: &[u8] = match cx.compute(key, &arithmetic) {
        Ok(Computed::Value { number, .. }) => {
            cx.count(hit, 1);
            put_decimal(out, number);
            b"\r\n"
        }
        Ok(Computed::NotANumber) => {
            b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
        }
        // Nothing was to be compared, so nothing can differ.
        Ok(Computed::NotFound | Computed::Exists) => {
            cx.count(miss, 1);
            line::NOT_FOUND
        }
        Err(StoreError::TooLarge { .. }) => b"SERVER_ERROR object too large for cache\r\n",
        Err(_) => line::OUT_OF_MEMORY,
    };
    out.extend_from_slice(line);
}
