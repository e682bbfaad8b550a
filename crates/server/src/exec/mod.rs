//! Executes requests: flat matches, one for what only reads and one for the rest, in each protocol.
//!
//! What reads runs under a reader that its caller holds for a whole run of reads, and refers to what it
//! answers with. What writes runs under none: a reader keeps memory from being reused. A command that does
//! both reads first, by a reader of its own, copies what it answers with, and then writes.
//!
//! Whether a credential allows a command is looked at in the dispatch of its protocol, nowhere else.

pub(crate) mod auth;
mod binary;
pub(crate) mod dump;
mod items;
mod meta;
pub(crate) mod stats;
mod text;

use std::time::Duration;

use larder_proto::StoreMode;
use larder_proto::server::Request;
use larder_store::{HashedKey, Mode, StoreError};

use crate::cx::{Cx, Flow, Pause};
use crate::reading::Reading;
use crate::upload::Upload;

/// The version of memcached whose protocols these are. Clients switch features on by it, and read three
/// numbers.
pub(crate) const VERSION: &str = "1.6.45";

/// Executes what only reads. A line of many keys may be answered in part.
#[inline]
pub(crate) fn read(
    request: &Request<'_>,
    key: Option<HashedKey<'_>>,
    cx: &Cx<'_>,
    reading: &mut Reading<'_>,
) -> Option<Pause> {
    match request {
        Request::Text(command) => return text::read(command, key, cx, reading),
        Request::Meta(command) => meta::read(command, key, cx, reading),
        Request::Binary(command) => binary::read(command, key, cx, reading),
    }
    None
}

/// Executes what changes items, or concerns the connection or the server. No reader may live.
#[inline]
pub(crate) fn write(
    request: &Request<'_>,
    key: Option<HashedKey<'_>>,
    cx: &mut Cx<'_>,
    out: &mut Vec<u8>,
) -> Flow {
    match request {
        Request::Text(command) => text::write(command, key, cx, out),
        Request::Meta(command) => meta::write(command, key, cx, out),
        Request::Binary(command) => binary::write(command, key, cx, out),
    }
}

/// Where the bytes of a value go that is still to come. None: the request was refused in `out`, and its
/// value is to be skipped.
pub(crate) fn begin_upload(
    request: &Request<'_>,
    value_len: usize,
    cx: &mut Cx<'_>,
    out: &mut Vec<u8>,
) -> Option<Upload> {
    match request {
        Request::Text(command) => text::begin_upload(command, value_len, cx, out),
        Request::Meta(command) => meta::begin_upload(command, value_len, cx, out),
        Request::Binary(command) => binary::begin_upload(command, value_len, cx, out),
    }
}

/// Makes an item of a value that has come; `good_tail`: and its line ending after it.
pub(crate) fn finish_upload(
    request: &Request<'_>,
    upload: Upload,
    good_tail: bool,
    cx: &mut Cx<'_>,
    out: &mut Vec<u8>,
) -> Flow {
    match request {
        Request::Text(command) => text::finish_upload(command, upload, good_tail, cx, out),
        Request::Meta(command) => meta::finish_upload(command, upload, good_tail, cx, out),
        Request::Binary(command) => binary::finish_upload(command, upload, cx, out),
    }
}

/// Where a value of the text protocols goes that is still to come: to its place, or if it `joins` an item
/// or the store has lent too many places, to memory of our own.
fn upload(
    key: HashedKey<'_>,
    joins: bool,
    value_len: usize,
    flags: u32,
    ttl: Option<Duration>,
    cx: &Cx<'_>,
) -> Result<Upload, StoreError> {
    if joins {
        check_joining(key, value_len, cx)?;
        return Upload::collect(value_len, &cx.node.budget);
    }
    match cx.tenant().reserve(key, value_len, flags, ttl) {
        // Many values are on their way at once, more than the store has room for in pieces.
        Err(StoreError::TooMuchReserved { .. }) => Upload::collect(value_len, &cx.node.budget),
        reserved => reserved.map(Upload::Reserved),
    }
}

/// Whether the value is put before or after that of an item.
fn joins(mode: StoreMode) -> bool {
    matches!(mode, StoreMode::Append | StoreMode::Prepend)
}

/// The store's word for it.
#[inline]
fn mode(mode: StoreMode) -> Mode {
    match mode {
        StoreMode::Set => Mode::Set,
        StoreMode::Add => Mode::Add,
        StoreMode::Replace => Mode::Replace,
        StoreMode::Append => Mode::Append,
        StoreMode::Prepend => Mode::Prepend,
        StoreMode::Cas(cas) => Mode::Cas(cas),
    }
}

/// Whether a value that is to join an item is too large by itself, item or not.
fn check_joining(key: HashedKey<'_>, value_len: usize, cx: &Cx<'_>) -> Result<(), StoreError> {
    let (bytes, limit) = (key.key().len() + value_len, cx.node.settings.max_item_bytes);
    if bytes > limit { Err(StoreError::TooLarge { bytes, limit }) } else { Ok(()) }
}

/// The key as it was hashed for prefetching, or else hashed now.
#[inline]
fn hashed<'k>(key: &'k [u8], known: Option<HashedKey<'k>>, cx: &Cx<'_>) -> HashedKey<'k> {
    known.unwrap_or_else(|| cx.tenant().hashed(key))
}

/// An item's CAS number as clients see it.
#[inline]
fn shown(cas: u64, cx: &Cx<'_>) -> u64 {
    if cx.node.settings.cas { cas } else { 0 }
}
