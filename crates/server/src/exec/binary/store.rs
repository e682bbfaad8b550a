//! set, add, replace, append, prepend, delete, and their quiet forms; values that arrive piece by piece.

use larder_proto::StoreMode;
use larder_proto::server::binary::{Action, Command, Status, exptime};
use larder_store::{Commit, HashedKey, Outcome, Removed, StoreError, Write};

use super::allows;
use crate::counters::Count;
use crate::cx::{Cx, Flow};
use crate::exec::{check_joining, joins, mode, shown, upload};
use crate::upload::Upload;

/// What a request says of the item it stores.
#[derive(Clone, Copy)]
pub(super) struct Item<'b> {
    pub(super) mode: StoreMode,
    pub(super) flags: u32,
    pub(super) exptime: u32,
    pub(super) value: &'b [u8],
}

/// Stores a value that is whole.
#[inline]
pub(super) fn store(
    command: &Command<'_>,
    item: Item<'_>,
    key: HashedKey<'_>,
    cx: &Cx<'_>,
    out: &mut Vec<u8>,
) {
    cx.node.detail.set(cx.access, key.key());
    let write = Write {
        flags: item.flags,
        ttl: cx.ttl(exptime(item.exptime)),
        cas: (command.cas != 0).then_some(command.cas),
        tell_cas: !command.quiet,
        ..Write::new(mode(item.mode), item.value)
    };
    let fits = if joins(item.mode) { check_joining(key, item.value.len(), cx) } else { Ok(()) };
    let stored = fits.and_then(|()| cx.write(key, &write));
    answer(command, item.mode, &stored, cx, out);
}

/// delete.
pub(super) fn delete(command: &Command<'_>, key: HashedKey<'_>, cx: &Cx<'_>, out: &mut Vec<u8>) {
    cx.node.detail.delete(cx.access, key.key());
    match cx.remove(key, (command.cas != 0).then_some(command.cas)) {
        Removed::Deleted => {
            cx.count(Count::DeleteHits, 1);
            if !command.quiet {
                command.head.done(out, 0);
            }
        }
        Removed::Exists => command.head.refuse(out, Status::Exists),
        Removed::NotFound => {
            cx.count(Count::DeleteMisses, 1);
            command.head.refuse(out, Status::NotFound);
        }
    }
}

/// Where the bytes of a value go that is still to come. None: it was refused in `out`, and is to be
/// skipped.
pub(crate) fn begin_upload(
    command: &Command<'_>,
    value_len: usize,
    cx: &mut Cx<'_>,
    out: &mut Vec<u8>,
) -> Option<Upload> {
    if !allows(command, cx) {
        command.head.refuse(out, Status::AuthFailed);
        return None;
    }
    let Action::Store { mode: store_mode, key, flags, exptime: raw_exptime, .. } = command.action
    else {
        command.head.refuse(out, Status::Invalid);
        return None;
    };
    let (hashed, ttl) = (cx.tenant().hashed(key), cx.ttl(exptime(raw_exptime)));
    let refused = match upload(hashed, joins(store_mode), value_len, flags, ttl, cx) {
        Ok(upload) => return Some(upload),
        Err(error) => error,
    };
    if store_mode == StoreMode::Set {
        // What the client wanted last is not what is there.
        cx.tenant().remove(hashed, None);
    }
    answer(command, store_mode, &Err(refused), cx, out);
    None
}

/// Makes an item of a value that has come.
pub(crate) fn finish_upload(
    command: &Command<'_>,
    upload: Upload,
    cx: &mut Cx<'_>,
    out: &mut Vec<u8>,
) -> Flow {
    let Action::Store { key, mode: store_mode, flags, exptime, .. } = command.action else {
        command.head.refuse(out, Status::Invalid);
        return Flow::Continue;
    };
    match upload {
        Upload::Collected(value) => {
            let item = Item { mode: store_mode, flags, exptime, value: &value };
            store(command, item, cx.tenant().hashed(key), cx, out);
        }
        Upload::Reserved(reservation) => {
            cx.node.detail.set(cx.access, key);
            let commit = Commit { tell_cas: !command.quiet, ..Commit::new(mode(store_mode)) };
            answer(
                command,
                store_mode,
                &cx.commit(cx.tenant().hashed(key), reservation, &commit),
                cx,
                out,
            );
        }
    }
    Flow::Continue
}

/// Answers what became of a value, and counts it.
#[inline]
fn answer(
    command: &Command<'_>,
    mode: StoreMode,
    stored: &Result<Outcome, StoreError>,
    cx: &Cx<'_>,
    out: &mut Vec<u8>,
) {
    count(mode, stored, cx);
    let status = match stored {
        Ok(Outcome::Stored { cas }) => {
            if !command.quiet {
                command.head.done(out, shown(*cas, cx));
            }
            return;
        }
        Ok(Outcome::NotStored) => match mode {
            StoreMode::Add => Status::Exists,
            StoreMode::Replace => Status::NotFound,
            _ => Status::NotStored,
        },
        Ok(Outcome::Exists) => Status::Exists,
        Ok(Outcome::NotFound) => Status::NotFound,
        Err(StoreError::TooLarge { .. }) => Status::TooLarge,
        Err(_) => Status::OutOfMemory,
    };
    command.head.refuse(out, status);
}

/// Counts what became of a value.
#[inline]
fn count(mode: StoreMode, stored: &Result<Outcome, StoreError>, cx: &Cx<'_>) {
    match stored {
        Ok(_) => cx.count(Count::CmdSet, 1),
        Err(StoreError::TooLarge { .. }) => cx.count(Count::StoreTooLarge, 1),
        Err(_) => cx.count(Count::StoreNoMemory, 1),
    }
    if !matches!(mode, StoreMode::Cas(_)) {
        return;
    }
    match stored {
        Ok(Outcome::Stored { .. }) => cx.count(Count::CasHits, 1),
        Ok(Outcome::Exists) => cx.count(Count::CasBadval, 1),
        Ok(Outcome::NotFound) => cx.count(Count::CasMisses, 1),
        Ok(Outcome::NotStored) | Err(_) => {}
    }
}
