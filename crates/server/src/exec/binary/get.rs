//! get, getk, gat, gatk, touch, and their quiet forms.
//!
//! What touches is counted as a touch and not as a get, as in memcached.

use larder_proto::server::binary::{Command, Status, exptime};
use larder_store::{HashedKey, Item};

use crate::counters::Count;
use crate::cx::Cx;
use crate::exec::shown;
use crate::reading::Reading;

/// get, getk: a hit is always answered, a miss not by the quiet forms.
#[inline]
pub(super) fn get(
    command: &Command<'_>,
    with_key: bool,
    key: HashedKey<'_>,
    cx: &Cx<'_>,
    reading: &mut Reading<'_>,
) {
    let item = cx.get(key, &reading.lookups, reading.foreseen);
    cx.count(Count::CmdGet, 1);
    cx.count(if item.is_some() { Count::GetHits } else { Count::GetMisses }, 1);
    cx.node.detail.get(cx.access, key.key(), item.is_some());
    match item {
        Some(item) => {
            head(command, with_key, &item, cx, reading.bytes());
            reading.replies.value(item.value());
        }
        None => miss(command, with_key, key, reading.bytes()),
    }
}

/// gat, gatk: answers with the item as it was, then gives it its new expiry.
pub(super) fn get_and_touch(
    command: &Command<'_>,
    with_key: bool,
    raw_exptime: Option<u32>,
    key: HashedKey<'_>,
    cx: &Cx<'_>,
    out: &mut Vec<u8>,
) {
    let before = out.len();
    let reader = cx.node.store.reader();
    let lookups = reader.of(cx.tenant());
    if let Some(item) = cx.get(key, &lookups, lookups.foresee(key)) {
        head(command, with_key, &item, cx, out);
        item.value().pieces().for_each(|piece| out.extend_from_slice(piece));
    }
    // A write must not wait for this thread's own reader.
    drop(reader);
    let found = out.len() > before;
    count(found, key, cx);
    if !found {
        return miss(command, with_key, key, out);
    }
    if cx.retouch(key, cx.ttl(exptime(raw_exptime.unwrap_or(0)))).is_err() {
        out.truncate(before);
        command.head.refuse(out, Status::OutOfMemory);
    }
}

/// touch: the reply carries the flags and no value.
pub(super) fn touch(
    command: &Command<'_>,
    raw_exptime: u32,
    key: HashedKey<'_>,
    cx: &Cx<'_>,
    out: &mut Vec<u8>,
) {
    let facts = |item: Item<'_>| (item.flags(), shown(item.cas(), cx));
    let seen = cx.node.store.reader().of(cx.tenant()).peek(key).map(facts);
    let Some((flags, cas)) = seen else {
        count(false, key, cx);
        return miss(command, false, key, out);
    };
    match cx.retouch(key, cx.ttl(exptime(raw_exptime))) {
        Ok(found) => {
            count(found, key, cx);
            if found {
                command.head.item(out, flags, &[], 0, cas);
            } else {
                miss(command, false, key, out);
            }
        }
        Err(_) => command.head.refuse(out, Status::OutOfMemory),
    }
}

fn count(found: bool, key: HashedKey<'_>, cx: &Cx<'_>) {
    cx.count(Count::CmdTouch, 1);
    cx.count(if found { Count::TouchHits } else { Count::TouchMisses }, 1);
    cx.node.detail.get(cx.access, key.key(), found);
}

/// Everything of an item but its value.
#[inline]
fn head(command: &Command<'_>, with_key: bool, item: &Item<'_>, cx: &Cx<'_>, out: &mut Vec<u8>) {
    let key = if with_key { item.key() } else { &[] };
    command.head.item(out, item.flags(), key, item.value().len(), shown(item.cas(), cx));
}

fn miss(command: &Command<'_>, with_key: bool, key: HashedKey<'_>, out: &mut Vec<u8>) {
    if command.quiet {
        return;
    }
    if with_key {
        command.head.miss_with_key(out, key.key());
    } else {
        command.head.refuse(out, Status::NotFound);
    }
}
