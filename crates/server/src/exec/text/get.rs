//! get, gets, gat, gats.
//!
//! What touches is counted as a touch and not as a get, as in memcached.

use arrayvec::ArrayVec;
use larder_proto::server::text::{END, Keys, put_value_head};
use larder_store::{Foreseen, HashedKey, Item, Lookups};

use super::line;
use crate::counters::Count;
use crate::cx::{Cx, Flow, Pause};
use crate::exec::shown;
use crate::reading::Reading;
use crate::replies::FULL;

/// Keys of a line that are asked for ahead together.
const WINDOW: usize = 32;

/// After so many keys of a line others have their turn.
const MOST_KEYS: usize = 1024;

/// get, gets of a single key.
#[inline]
pub(super) fn one(key: HashedKey<'_>, cas: bool, cx: &Cx<'_>, reading: &mut Reading<'_>) {
    let hit = answer(key, reading.foreseen, cas, cx, reading);
    cx.count(Count::CmdGet, 1);
    cx.count(if hit { Count::GetHits } else { Count::GetMisses }, 1);
    reading.bytes().extend_from_slice(END);
}

/// get, gets of a line of keys: a window of them is asked for ahead, then answered.
pub(super) fn many(
    keys: Keys<'_>,
    cas: bool,
    cx: &Cx<'_>,
    reading: &mut Reading<'_>,
) -> Option<Pause> {
    let all = keys.bytes_left();
    let mut keys = resumed(keys, cx);
    let (mut answered, mut hits) = (0, 0);
    let mut paused = None;
    while paused.is_none() {
        let before = keys;
        let window = ask_ahead(&mut keys, cx, &reading.lookups);
        if window.is_empty() {
            break;
        }
        for (at, (key, foreseen)) in window.into_iter().enumerate() {
            hits += u64::from(answer(key, foreseen, cas, cx, reading));
            answered += 1;
            if reading.replies.is_full() || answered >= MOST_KEYS {
                let mut left = before;
                left.nth(at);
                paused = Some(left);
                break;
            }
        }
    }
    cx.count(Count::CmdGet, answered as u64);
    cx.count(Count::GetHits, hits);
    cx.count(Count::GetMisses, answered as u64 - hits);
    if let Some(left) = paused
        && { left }.next().is_some()
    {
        return Some(Pause { answered: all - left.bytes_left() });
    }
    reading.bytes().extend_from_slice(END);
    None
}

/// The keys that are still to be answered. Where a line was left is kept in bytes: a long one is not
/// looked through again.
fn resumed<'b>(keys: Keys<'b>, cx: &Cx<'_>) -> Keys<'b> {
    keys.last(keys.bytes_left().saturating_sub(cx.resume))
}

/// The keys of those that are answered next.
pub(super) fn next<'b>(keys: Keys<'b>, cx: &Cx<'_>) -> impl Iterator<Item = &'b [u8]> + use<'b> {
    resumed(keys, cx).take(MOST_KEYS)
}

/// gat, gats: answers with the items as they were, then gives them their new expiry.
pub(super) fn and_touch(
    keys: Keys<'_>,
    cas: bool,
    exptime: i64,
    cx: &Cx<'_>,
    out: &mut Vec<u8>,
) -> Flow {
    let (before, ttl) = (out.len(), cx.ttl(exptime));
    let all = keys.bytes_left();
    let mut keys = resumed(keys, cx);
    let mut answered = 0;
    while let Some(key) = keys.next() {
        let key = cx.tenant().hashed(key);
        let hit = copy(key, cas, cx, out);
        cx.count(Count::CmdTouch, 1);
        cx.count(if hit { Count::TouchHits } else { Count::TouchMisses }, 1);
        cx.node.detail.get(cx.access, key.key(), hit);
        if hit && cx.retouch(key, ttl).is_err() {
            out.truncate(before);
            out.extend_from_slice(line::OUT_OF_MEMORY);
            return Flow::Continue;
        }
        answered += 1;
        let enough = out.len() >= FULL || answered >= MOST_KEYS;
        if enough && { keys }.next().is_some() {
            return Flow::Pause(Pause { answered: all - keys.bytes_left() });
        }
    }
    out.extend_from_slice(END);
    Flow::Continue
}

/// Appends the item as it is, the value copied; nothing for a miss. Whether it was a hit. The reader is gone
/// when it returns: what comes then is a write.
fn copy(key: HashedKey<'_>, cas: bool, cx: &Cx<'_>, out: &mut Vec<u8>) -> bool {
    let reader = cx.node.store.reader();
    let lookups = reader.of(cx.tenant());
    let Some(item) = cx.get(key, &lookups, lookups.foresee(key)) else { return false };
    let value = item.value();
    put_head(out, key, &item, value.len(), cas, cx);
    value.pieces().for_each(|piece| out.extend_from_slice(piece));
    out.extend_from_slice(b"\r\n");
    true
}

/// The next keys, hashed, with their memory on its way.
fn ask_ahead<'b, 'r>(
    keys: &mut impl Iterator<Item = &'b [u8]>,
    cx: &Cx<'_>,
    lookups: &Lookups<'r>,
) -> ArrayVec<(HashedKey<'b>, Foreseen<'r>), WINDOW> {
    let (store, tenant) = (&cx.node.store, cx.tenant());
    let mut window = ArrayVec::new();
    for key in keys.take(WINDOW) {
        let key = tenant.hashed(key);
        store.prefetch(key);
        window.push((key, Foreseen::default()));
    }
    for (key, foreseen) in &mut window {
        *foreseen = lookups.foresee(*key);
    }
    window
}

/// Answers for one key: nothing for a miss. Whether it was a hit. (Always: it is what a get costs.)
#[inline(always)]
fn answer<'r>(
    key: HashedKey<'_>,
    foreseen: Foreseen<'r>,
    cas: bool,
    cx: &Cx<'_>,
    reading: &mut Reading<'r>,
) -> bool {
    let found = cx.get(key, &reading.lookups, foreseen);
    cx.node.detail.get(cx.access, key.key(), found.is_some());
    let Some(item) = found else { return false };
    let value = item.value();
    put_head(reading.bytes(), key, &item, value.len(), cas, cx);
    reading.replies.value(value);
    reading.bytes().extend_from_slice(b"\r\n");
    true
}

#[inline]
fn put_head(
    out: &mut Vec<u8>,
    key: HashedKey<'_>,
    item: &Item<'_>,
    len: usize,
    cas: bool,
    cx: &Cx<'_>,
) {
    let cas = cas.then(|| shown(item.cas(), cx));
    put_value_head(out, key.key(), item.flags(), len, cas);
}
