//! ms; and values that come piece by piece.

use larder_proto::server::meta::{put_echo, put_key, put_number};
use larder_store::{Commit, HashedKey, Mode, Outcome, StoreError, Write};

use super::Subject;
use crate::counters::Count;
use crate::cx::Cx;
use crate::exec::{check_joining, shown, upload};
use crate::upload::Upload;

/// Stores a value that is whole.
#[inline]
pub(super) fn set(subject: Subject<'_, '_>, value: &[u8], cx: &Cx<'_>, out: &mut Vec<u8>) {
    let flags = &subject.flags;
    cx.node.detail.set(cx.access, subject.key.key());
    let mode = mode(&subject);
    let write = Write {
        flags: flags.client_flags(),
        ttl: flags.exptime().and_then(|exptime| cx.ttl(exptime)),
        cas: cas(&subject, mode),
        new_cas: flags.new_cas(),
        stale_if_older: is_stale_welcome(&subject),
        marked: subject.is_binary(),
        create: flags.vivify().map(|exptime| cx.ttl(exptime)),
        tell_cas: flags.has(b'c'),
        ..Write::new(mode, value)
    };
    let fits = if joins(mode) { check_joining(subject.key, value.len(), cx) } else { Ok(()) };
    let stored = fits.and_then(|()| cx.write(subject.key, &write));
    answer(&subject, mode, value.len(), stored, cx, out);
}

/// Where the value goes that is still to come, unless it is refused.
pub(super) fn begin(
    subject: Subject<'_, '_>,
    value_len: usize,
    cx: &Cx<'_>,
    out: &mut Vec<u8>,
) -> Option<Upload> {
    let flags = &subject.flags;
    let joins = joins(mode(&subject));
    let ttl = flags.exptime().and_then(|exptime| cx.ttl(exptime));
    match upload(subject.key, joins, value_len, flags.client_flags(), ttl, cx) {
        Ok(upload) => Some(upload),
        Err(error) => {
            failed(subject.key, &error, cx, out);
            None
        }
    }
}

/// Makes an item of a value that has come.
pub(super) fn finish(
    subject: Subject<'_, '_>,
    upload: Upload,
    value_len: usize,
    cx: &Cx<'_>,
    out: &mut Vec<u8>,
) {
    let reservation = match upload {
        Upload::Collected(value) => return set(subject, &value, cx, out),
        Upload::Reserved(reservation) => reservation,
    };
    cx.node.detail.set(cx.access, subject.key.key());
    let (flags, mode) = (&subject.flags, mode(&subject));
    let commit = Commit {
        cas: cas(&subject, mode),
        new_cas: flags.new_cas(),
        stale_if_older: is_stale_welcome(&subject),
        marked: subject.is_binary(),
        tell_cas: flags.has(b'c'),
        ..Commit::new(mode)
    };
    let stored = cx.commit(subject.key, reservation, &commit);
    answer(&subject, mode, value_len, stored, cx, out);
}

/// Mode and letter were checked where the line was parsed.
#[inline]
fn mode(subject: &Subject<'_, '_>) -> Mode {
    match subject.flags.mode() {
        Some(b'E') => Mode::Add,
        Some(b'A') => Mode::Append,
        Some(b'P') => Mode::Prepend,
        Some(b'R') => Mode::Replace,
        _ => Mode::Set,
    }
}

fn joins(mode: Mode) -> bool {
    matches!(mode, Mode::Append | Mode::Prepend)
}

/// The CAS number to compare with. 0, which no item has, never fits; but to what joins an item it is none.
#[inline]
fn cas(subject: &Subject<'_, '_>, mode: Mode) -> Option<u64> {
    subject.flags.cas().filter(|&cas| cas != 0 || !joins(mode))
}

/// Whether a value older than the item is stored all the same, as a stale one.
#[inline]
fn is_stale_welcome(subject: &Subject<'_, '_>) -> bool {
    subject.flags.has(b'I') && subject.flags.cas().is_some_and(|cas| cas != 0)
}

#[inline]
fn answer(
    subject: &Subject<'_, '_>,
    mode: Mode,
    value_len: usize,
    stored: Result<Outcome, StoreError>,
    cx: &Cx<'_>,
    out: &mut Vec<u8>,
) {
    let outcome = match stored {
        Ok(outcome) => outcome,
        Err(error) => return failed(subject.key, &error, cx, out),
    };
    count(subject, mode, outcome, cx);
    let (code, cas) = match outcome {
        Outcome::Stored { .. } if subject.flags.has(b'q') => return,
        Outcome::Stored { cas } => (b"HD", cas),
        Outcome::NotStored => (b"NS", 0),
        Outcome::Exists => (b"EX", 0),
        Outcome::NotFound => (b"NF", 0),
    };
    out.extend_from_slice(code);
    for flag in subject.flags.iter() {
        match flag.letter {
            b'O' => put_echo(out, flag),
            b'k' => put_key(out, subject.key.key(), subject.is_binary()),
            b'c' => put_number(out, b'c', shown(cas, cx)),
            b's' => {
                let len = len(subject.key, mode, value_len, outcome, cx);
                put_number(out, b's', len as u64);
            }
            _ => {}
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// How long the item's value is now; what was joined to another is looked up.
fn len(key: HashedKey<'_>, mode: Mode, value_len: usize, outcome: Outcome, cx: &Cx<'_>) -> usize {
    if !joins(mode) || !matches!(outcome, Outcome::Stored { .. }) {
        return value_len;
    }
    let reader = cx.node.store.reader();
    let item = reader.of(cx.tenant()).peek(key);
    item.map_or(value_len, |item| item.value().len())
}

#[inline]
fn count(subject: &Subject<'_, '_>, mode: Mode, outcome: Outcome, cx: &Cx<'_>) {
    cx.count(Count::CmdSet, 1);
    if subject.flags.has(b'C') && matches!(mode, Mode::Set | Mode::Replace) {
        match outcome {
            Outcome::Stored { .. } => cx.count(Count::CasHits, 1),
            Outcome::Exists => cx.count(Count::CasBadval, 1),
            Outcome::NotFound => cx.count(Count::CasMisses, 1),
            Outcome::NotStored => {}
        }
    }
}

/// Whatever the mode, what the client wanted last is not what is there, so that goes, as in memcached.
#[cold]
fn failed(key: HashedKey<'_>, error: &StoreError, cx: &Cx<'_>, out: &mut Vec<u8>) {
    cx.tenant().remove(key, None);
    let line: &[u8] = if let StoreError::TooLarge { .. } = error {
        cx.count(Count::StoreTooLarge, 1);
        b"SERVER_ERROR object too large for cache\r\n"
    } else {
        cx.count(Count::StoreNoMemory, 1);
        b"SERVER_ERROR out of memory storing object\r\n"
    };
    out.extend_from_slice(line);
}
