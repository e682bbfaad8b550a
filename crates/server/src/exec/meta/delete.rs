//! md.

use larder_store::{Outcome, Removed, Stale};

use super::{Subject, put_bare};
use crate::counters::Count;
use crate::cx::Cx;

/// Deletes the item, or with `I` marks it stale, or with `x` leaves it empty, or both.
pub(super) fn delete(subject: Subject<'_, '_>, cx: &Cx<'_>, out: &mut Vec<u8>) {
    let flags = &subject.flags;
    cx.node.detail.delete(cx.access, subject.key.key());
    let (mark, clear_value) = (flags.has(b'I'), flags.has(b'x'));
    let removed = if mark || clear_value {
        let ttl = flags.exptime().map(|exptime| cx.ttl(exptime));
        let stale = Stale { mark, cas: flags.cas(), new_cas: flags.new_cas(), ttl, clear_value };
        match cx.mark_stale(subject.key, &stale) {
            Ok(Outcome::Stored { .. } | Outcome::NotStored) => Removed::Deleted,
            Ok(Outcome::Exists) => Removed::Exists,
            Ok(Outcome::NotFound) => Removed::NotFound,
            Err(_) => return out.extend_from_slice(b"SERVER_ERROR out of memory\r\n"),
        }
    } else {
        cx.remove(subject.key, flags.cas())
    };
    let (count, code) = match removed {
        Removed::Deleted => (Count::DeleteHits, b"HD"),
        Removed::Exists => (Count::DeleteMisses, b"EX"),
        Removed::NotFound => (Count::DeleteMisses, b"NF"),
    };
    // What is only marked is not deleted.
    if removed != Removed::Deleted || !mark {
        cx.count(count, 1);
    }
    if removed != Removed::Deleted || !flags.has(b'q') {
        put_bare(out, code, &subject);
    }
}
