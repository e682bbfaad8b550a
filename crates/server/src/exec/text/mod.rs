//! Executes commands of the text protocol, each in the file of its name or its like.

mod admin;
mod arith;
mod delete;
mod get;
mod idle;
mod store;

use larder_proto::StoreMode;
use larder_proto::server::text::{Admin, Command, Store};
use larder_store::HashedKey;
use larder_tenancy::Capabilities;

use super::{hashed, stats};
use crate::cx::{CloseReason, Cx, Flow, Pause};
use crate::reading::Reading;
use crate::upload::Upload;

/// Lines that more than one command answers with.
mod line {
    pub(super) const OK: &[u8] = b"OK\r\n";
    pub(super) const ERROR: &[u8] = b"ERROR\r\n";
    pub(super) const NOT_FOUND: &[u8] = b"NOT_FOUND\r\n";
    pub(super) const FORMAT: &[u8] = b"CLIENT_ERROR bad command line format\r\n";
    pub(super) const OUT_OF_MEMORY: &[u8] = b"SERVER_ERROR out of memory\r\n";
}

/// Executes what only reads.
#[inline]
pub(super) fn read(
    command: &Command<'_>,
    key: Option<HashedKey<'_>>,
    cx: &Cx<'_>,
    reading: &mut Reading<'_>,
) -> Option<Pause> {
    if !allows(command, cx) {
        refuse(command, reading.bytes());
        return None;
    }
    match *command {
        Command::Get { keys, cas } => match key {
            Some(key) => get::one(key, cas, cx, reading),
            None => return get::many(keys, cas, cx, reading),
        },
        _ => version(reading.bytes()),
    }
    None
}

/// Executes what changes items, or concerns the connection or the server.
pub(super) fn write(
    command: &Command<'_>,
    key: Option<HashedKey<'_>>,
    cx: &mut Cx<'_>,
    out: &mut Vec<u8>,
) -> Flow {
    if !allows(command, cx) {
        refuse(command, out);
        return Flow::Continue;
    }
    match *command {
        Command::Store(ref store) => {
            answer(store::store(store, hashed(store.key, key, cx), cx), store.noreply, out);
        }
        Command::Delete { key: bytes, noreply } => {
            answer(delete::delete(hashed(bytes, key, cx), cx), noreply, out);
        }
        Command::Touch { key: bytes, exptime, noreply } => {
            answer(delete::touch(hashed(bytes, key, cx), exptime, cx), noreply, out);
        }
        Command::Arith { key: bytes, delta, down, noreply } => {
            let before = out.len();
            arith::arith(hashed(bytes, key, cx), delta, down, cx, out);
            if noreply {
                out.truncate(before);
            }
        }
        Command::GetAndTouch { keys, cas, exptime } => {
            return get::and_touch(keys, cas, exptime, cx, out);
        }
        Command::Stats { args } => return stats::text(args, cx, out),
        Command::Admin { verb, args, noreply } => {
            return admin::admin(verb, args, noreply, cx, out);
        }
        Command::Quit => return Flow::Close(CloseReason::Quit),
        // Reads: they do not come here.
        Command::Get { .. } | Command::Version => version(out),
    }
    Flow::Continue
}

/// Where the bytes of a value go that is still to come, unless it is refused.
pub(super) fn begin_upload(
    command: &Command<'_>,
    value_len: usize,
    cx: &mut Cx<'_>,
    out: &mut Vec<u8>,
) -> Option<Upload> {
    let Command::Store(store) = command else { return None };
    if !allows(command, cx) {
        refuse(command, out);
        return None;
    }
    match store::begin(store, value_len, cx) {
        Ok(upload) => Some(upload),
        Err(line) => {
            answer(line, store.noreply, out);
            None
        }
    }
}

/// Makes an item of a value that has come.
pub(super) fn finish_upload(
    command: &Command<'_>,
    upload: Upload,
    good_tail: bool,
    cx: &mut Cx<'_>,
    out: &mut Vec<u8>,
) -> Flow {
    if let Command::Store(store) = command {
        let line = store::finish(store, upload, good_tail, cx);
        answer(line, store.noreply, out);
    }
    Flow::Continue
}

fn version(out: &mut Vec<u8>) {
    out.extend_from_slice(b"VERSION ");
    out.extend_from_slice(super::VERSION.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[inline]
fn answer(line: &[u8], noreply: bool, out: &mut Vec<u8>) {
    if !noreply {
        out.extend_from_slice(line);
    }
}

/// Whether the connection's credential allows the command. A refusal is counted.
#[inline]
fn allows(command: &Command<'_>, cx: &Cx<'_>) -> bool {
    let needed = match command {
        Command::Get { .. } => Capabilities::READ,
        Command::GetAndTouch { .. } => Capabilities::READ | Capabilities::WRITE,
        Command::Store(_)
        | Command::Delete { .. }
        | Command::Arith { .. }
        | Command::Touch { .. } => Capabilities::WRITE,
        Command::Admin { verb: Admin::FlushAll, .. } => Capabilities::FLUSH,
        // Listing keys is looked at where that is done.
        Command::Admin { verb: Admin::LruCrawler, .. } => Capabilities::NONE,
        Command::Admin { .. } => return stats::may_govern(cx),
        Command::Version | Command::Quit | Command::Stats { .. } => Capabilities::NONE,
    };
    cx.access.may(needed) && (cx.access.grant.key_prefix().is_none() || allows_keys(command, cx))
}

/// Whether it allows all keys of the command; of one that goes on, those that are next.
#[cold]
fn allows_keys(command: &Command<'_>, cx: &Cx<'_>) -> bool {
    match *command {
        Command::Get { mut keys, .. } | Command::GetAndTouch { mut keys, .. } if cx.resume == 0 => {
            keys.all(|key| cx.access.may_use(key))
        }
        Command::Get { keys, .. } | Command::GetAndTouch { keys, .. } => {
            get::next(keys, cx).all(|key| cx.access.may_use(key))
        }
        _ => command.single_key().is_none_or(|key| cx.access.may_use(key)),
    }
}

/// What a command is answered that the credential does not allow: as memcached answers `flush_all` where
/// it is switched off.
#[cold]
fn refuse(command: &Command<'_>, out: &mut Vec<u8>) {
    let (name, noreply) = match *command {
        Command::Get { cas, .. } => (if cas { "gets" } else { "get" }, false),
        Command::GetAndTouch { cas, .. } => (if cas { "gats" } else { "gat" }, false),
        Command::Store(Store { mode, noreply, .. }) => (store_name(mode), noreply),
        Command::Delete { noreply, .. } => ("delete", noreply),
        Command::Arith { down, noreply, .. } => (if down { "decr" } else { "incr" }, noreply),
        Command::Touch { noreply, .. } => ("touch", noreply),
        Command::Admin { verb, noreply, .. } => (admin::name(verb), noreply),
        Command::Version => ("version", false),
        Command::Quit => ("quit", false),
        Command::Stats { .. } => ("stats", false),
    };
    if !noreply {
        out.extend_from_slice(b"CLIENT_ERROR ");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b" not allowed\r\n");
    }
}

fn store_name(mode: StoreMode) -> &'static str {
    match mode {
        StoreMode::Set => "set",
        StoreMode::Add => "add",
        StoreMode::Replace => "replace",
        StoreMode::Append => "append",
        StoreMode::Prepend => "prepend",
        StoreMode::Cas(_) => "cas",
    }
}
