//! set, add, replace, append, prepend, cas; and values that come piece by piece.

use larder_proto::StoreMode;
use larder_proto::server::text::Store;
use larder_store::{Commit, HashedKey, Outcome, StoreError, Write};

use crate::counters::Count;
use crate::cx::Cx;
use crate::exec::{check_joining, joins, mode, upload};
use crate::upload::Upload;

/// Stores a value that is whole; the reply.
#[inline]
pub(super) fn store(store: &Store<'_>, key: HashedKey<'_>, cx: &Cx<'_>) -> &'static [u8] {
    put(store, store.value, key, cx)
}

/// Where the value goes that is still to come, or the reply that refuses it.
pub(super) fn begin(
    store: &Store<'_>,
    value_len: usize,
    cx: &Cx<'_>,
) -> Result<Upload, &'static [u8]> {
    let key = cx.tenant().hashed(store.key);
    upload(key, joins(store.mode), value_len, store.flags, cx.ttl(store.exptime), cx)
        .map_err(|error| failed(store, key, &error, cx))
}

/// Makes an item of a value that has come; the reply.
pub(super) fn finish(
    store: &Store<'_>,
    upload: Upload,
    good_tail: bool,
    cx: &Cx<'_>,
) -> &'static [u8] {
    if !good_tail {
        return b"CLIENT_ERROR bad data chunk\r\n";
    }
    let key = cx.tenant().hashed(store.key);
    match upload {
        Upload::Collected(value) => put(store, &value, key, cx),
        Upload::Reserved(reservation) => {
            cx.node.detail.set(cx.access, store.key);
            let commit = Commit { tell_cas: false, ..Commit::new(mode(store.mode)) };
            match cx.commit(key, reservation, &commit) {
                Ok(outcome) => done(store.mode, outcome, cx),
                Err(error) => failed(store, key, &error, cx),
            }
        }
    }
}

#[inline]
fn put(store: &Store<'_>, value: &[u8], key: HashedKey<'_>, cx: &Cx<'_>) -> &'static [u8] {
    cx.node.detail.set(cx.access, store.key);
    let write = Write {
        flags: store.flags,
        ttl: cx.ttl(store.exptime),
        tell_cas: false,
        ..Write::new(mode(store.mode), value)
    };
    let fits = if joins(store.mode) { check_joining(key, value.len(), cx) } else { Ok(()) };
    match fits.and_then(|()| cx.write(key, &write)) {
        Ok(outcome) => done(store.mode, outcome, cx),
        Err(error) => failed(store, key, &error, cx),
    }
}

#[inline]
fn done(mode: StoreMode, outcome: Outcome, cx: &Cx<'_>) -> &'static [u8] {
    cx.count(Count::CmdSet, 1);
    let is_cas = matches!(mode, StoreMode::Cas(_));
    let (count, line): (_, &[u8]) = match outcome {
        Outcome::Stored { .. } => (Count::CasHits, b"STORED\r\n"),
        Outcome::NotStored => return b"NOT_STORED\r\n",
        Outcome::Exists => (Count::CasBadval, b"EXISTS\r\n"),
        Outcome::NotFound => (Count::CasMisses, b"NOT_FOUND\r\n"),
    };
    if is_cas {
        cx.count(count, 1);
    }
    line
}

/// What a `set` wanted last is not what is there, so that goes.
#[cold]
fn failed(store: &Store<'_>, key: HashedKey<'_>, error: &StoreError, cx: &Cx<'_>) -> &'static [u8] {
    if store.mode == StoreMode::Set {
        cx.tenant().remove(key, None);
    }
    if let StoreError::TooLarge { .. } = error {
        cx.count(Count::StoreTooLarge, 1);
        return b"SERVER_ERROR object too large for cache\r\n";
    }
    cx.count(Count::StoreNoMemory, 1);
    b"SERVER_ERROR out of memory storing object\r\n"
}
