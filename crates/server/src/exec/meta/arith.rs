//! ma.

use larder_proto::server::meta::{put_echo, put_key, put_number};
use larder_proto::server::put_decimal;
use larder_store::{Arithmetic, Computed, StoreError};

use super::{Subject, created_ttl, put_bare, put_ttl, ttl_of};
use crate::counters::Count;
use crate::cx::Cx;
use crate::exec::shown;

/// Computes with the number in the item; with `N` creates it, holding the initial number.
pub(super) fn arith(subject: Subject<'_, '_>, cx: &Cx<'_>, out: &mut Vec<u8>) {
    let flags = &subject.flags;
    let down = matches!(flags.mode(), Some(b'D' | b'-'));
    let (hit, miss) = if down {
        (Count::DecrHits, Count::DecrMisses)
    } else {
        (Count::IncrHits, Count::IncrMisses)
    };
    let arithmetic = Arithmetic {
        down,
        // 0 is no number to compare with here.
        cas: flags.cas().filter(|&cas| cas != 0),
        new_cas: flags.new_cas(),
        initial: flags.has(b'N').then(|| (flags.initial(), created_ttl(&subject, cx))),
        marked: subject.is_binary(),
        tell_cas: flags.has(b'c'),
        ..Arithmetic::up(flags.delta())
    };
    let line: &[u8] = match cx.compute(subject.key, &arithmetic) {
        Ok(computed @ Computed::Value { created, .. }) => {
            cx.count(if created { miss } else { hit }, 1);
            if created || touch(&subject, cx) {
                return put_computed(out, &subject, computed, cx);
            }
            b"SERVER_ERROR out of memory\r\n"
        }
        Ok(Computed::NotFound) => {
            cx.count(miss, 1);
            return put_bare(out, b"NF", &subject);
        }
        Ok(Computed::Exists) => return put_bare(out, b"EX", &subject),
        Ok(Computed::NotANumber) => {
            b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
        }
        Err(StoreError::TooLarge { .. }) => b"SERVER_ERROR object too large for cache\r\n",
        Err(_) => b"SERVER_ERROR out of memory\r\n",
    };
    out.extend_from_slice(line);
}

/// Gives an item that was there the TTL of `T`, if that is said. Whether there was room.
fn touch(subject: &Subject<'_, '_>, cx: &Cx<'_>) -> bool {
    let Some(exptime) = subject.flags.exptime() else { return true };
    cx.retouch(subject.key, cx.ttl(exptime)).is_ok()
}

/// Appends the reply that says what there is now, unless the command is quiet. A TTL that is asked for
/// before it is given is the old one.
fn put_computed(out: &mut Vec<u8>, subject: &Subject<'_, '_>, computed: Computed, cx: &Cx<'_>) {
    let Computed::Value { number, cas, ttl, created, .. } = computed else { return };
    if subject.flags.has(b'q') {
        return;
    }
    let has_value = subject.flags.has(b'v');
    if has_value {
        out.extend_from_slice(b"VA ");
        put_decimal(out, u64::from(number.checked_ilog10().unwrap_or(0) + 1));
    } else {
        out.extend_from_slice(b"HD");
    }
    let mut ttl = if created { None } else { ttl };
    for flag in subject.flags.iter() {
        match flag.letter {
            b'T' => ttl = ttl_of(b'T', subject, cx).flatten(),
            b'N' if created => ttl = ttl_of(b'N', subject, cx).flatten(),
            b'c' => put_number(out, b'c', shown(cas, cx)),
            b't' => put_ttl(out, ttl),
            b'O' => put_echo(out, flag),
            b'k' => put_key(out, subject.key.key(), subject.is_binary()),
            _ => {}
        }
    }
    out.extend_from_slice(b"\r\n");
    if has_value {
        put_decimal(out, number);
        out.extend_from_slice(b"\r\n");
    }
}
