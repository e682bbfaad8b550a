//! mg.

use larder_proto::server::meta::{put_echo, put_flag, put_key, put_number};
use larder_proto::server::put_decimal;
use larder_store::{Foreseen, Item, Lookups, Outcome};

use super::{Subject, created_ttl, put_bare, put_ttl, ttl_of};
use crate::counters::Count;
use crate::cx::Cx;
use crate::exec::shown;
use crate::reading::Reading;

/// mg that changes nothing.
#[inline]
pub(super) fn get(subject: Subject<'_, '_>, cx: &Cx<'_>, reading: &mut Reading<'_>) {
    let Some(item) = look_up(&subject, cx, &reading.lookups, reading.foreseen) else {
        return miss(&subject, cx, reading.bytes());
    };
    count(&subject, true, cx);
    if put_head(reading.bytes(), &subject, &item, cx) {
        reading.replies.value(item.value());
        reading.bytes().extend_from_slice(b"\r\n");
    }
}

/// mg with `T`, which touches, or `N`, which creates what is not there.
pub(super) fn get_and_change(subject: Subject<'_, '_>, cx: &Cx<'_>, out: &mut Vec<u8>) {
    let before = out.len();
    loop {
        if copy(&subject, cx, out) {
            if let Some(exptime) = subject.flags.exptime()
                && cx.retouch(subject.key, cx.ttl(exptime)).is_err()
            {
                out.truncate(before);
                out.extend_from_slice(b"SERVER_ERROR out of memory\r\n");
            }
            return count(&subject, true, cx);
        }
        if !subject.flags.has(b'N') {
            return miss(&subject, cx, out);
        }
        let (ttl, new_cas) = (created_ttl(&subject, cx), subject.flags.new_cas());
        match cx.vivify(subject.key, ttl, new_cas, subject.is_binary()) {
            Ok(Outcome::Stored { cas }) => {
                count(&subject, false, cx);
                return put_created(out, &subject, cas, cx);
            }
            // Somebody else was quicker.
            Ok(_) => {}
            Err(_) => return miss(&subject, cx, out),
        }
    }
}

/// Appends the reply to a hit, the value copied. Whether it was one.
fn copy(subject: &Subject<'_, '_>, cx: &Cx<'_>, out: &mut Vec<u8>) -> bool {
    let reader = cx.node.store.reader();
    let lookups = reader.of(cx.tenant());
    let foreseen = lookups.foresee(subject.key);
    let Some(item) = look_up(subject, cx, &lookups, foreseen) else { return false };
    if put_head(out, subject, &item, cx) {
        item.value().pieces().for_each(|piece| out.extend_from_slice(piece));
        out.extend_from_slice(b"\r\n");
    }
    true
}

/// The item; with `u` as if nobody had looked.
#[inline]
fn look_up<'r>(
    subject: &Subject<'_, '_>,
    cx: &Cx<'_>,
    lookups: &Lookups<'r>,
    foreseen: Foreseen<'r>,
) -> Option<Item<'r>> {
    let key = subject.key;
    if subject.flags.has(b'u') { lookups.peek(key) } else { cx.get(key, lookups, foreseen) }
}

/// Appends the line of a hit. Whether the value follows: if it is asked for, and not the version that the
/// client has.
#[inline]
fn put_head(out: &mut Vec<u8>, subject: &Subject<'_, '_>, item: &Item<'_>, cx: &Cx<'_>) -> bool {
    let flags = &subject.flags;
    let has_value = flags.has(b'v') && flags.cas().is_none_or(|cas| cas != item.cas());
    if has_value {
        out.extend_from_slice(b"VA ");
        put_decimal(out, item.value().len() as u64);
    } else {
        out.extend_from_slice(b"HD");
    }
    // Most ask for the value and nothing else.
    let recache = !flags.are_among(b"quv") && put_told(out, subject, item, cx);
    put_right(out, item, recache);
    out.extend_from_slice(b"\r\n");
    has_value
}

/// Appends what is asked of the item beside its value. Whether it is to be replaced soon.
fn put_told(out: &mut Vec<u8>, subject: &Subject<'_, '_>, item: &Item<'_>, cx: &Cx<'_>) -> bool {
    let flags = &subject.flags;
    let mut ttl = item.ttl();
    let mut recache = false;
    for flag in flags.iter() {
        match flag.letter {
            b'T' => ttl = cx.ttl(flags.exptime().unwrap_or(0)),
            b'R' => {
                let wanted = flags.recache().and_then(|exptime| cx.ttl(exptime));
                recache = ttl.zip(wanted).is_some_and(|(left, wanted)| left < wanted);
            }
            b's' => put_number(out, b's', item.value().len() as u64),
            b't' => put_ttl(out, ttl),
            b'c' => put_number(out, b'c', shown(item.cas(), cx)),
            b'f' => put_number(out, b'f', item.flags().into()),
            b'l' => put_number(out, b'l', item.idle().as_secs()),
            b'h' => put_number(out, b'h', item.fetched().into()),
            b'O' => put_echo(out, flag),
            b'k' => put_key(out, item.key(), item.marked()),
            _ => {}
        }
    }
    recache
}

/// Appends who may replace the item: `W`, this client; `Z`, somebody who was told so before. `X`: it is
/// stale, so that somebody should.
#[inline]
fn put_right(out: &mut Vec<u8>, item: &Item<'_>, recache: bool) {
    let (is_stale, is_won) = (item.is_stale(), item.has_winner());
    let wins = !is_won && (is_stale || recache) && item.win();
    if is_won || ((is_stale || recache) && !wins) {
        put_flag(out, b'Z');
    }
    if is_stale {
        put_flag(out, b'X');
    }
    if wins {
        put_flag(out, b'W');
    }
}

/// Appends the reply to whom an item was created for: nothing is in it, and it is theirs to fill.
fn put_created(out: &mut Vec<u8>, subject: &Subject<'_, '_>, cas: u64, cx: &Cx<'_>) {
    let has_value = subject.flags.has(b'v');
    out.extend_from_slice(if has_value { b"VA 0" } else { b"HD" });
    let mut ttl = None;
    for flag in subject.flags.iter() {
        match flag.letter {
            b'T' | b'N' => ttl = ttl_of(flag.letter, subject, cx).flatten(),
            b's' | b'f' | b'l' | b'h' => put_number(out, flag.letter, 0),
            b't' => put_ttl(out, ttl),
            b'c' => put_number(out, b'c', shown(cas, cx)),
            b'O' => put_echo(out, flag),
            b'k' => put_key(out, subject.key.key(), subject.is_binary()),
            _ => {}
        }
    }
    out.extend_from_slice(if has_value { b" W\r\n\r\n" } else { b" W\r\n" });
}

fn miss(subject: &Subject<'_, '_>, cx: &Cx<'_>, out: &mut Vec<u8>) {
    count(subject, false, cx);
    if !subject.flags.has(b'q') {
        put_bare(out, b"EN", subject);
    }
}

/// Counts a look, and as in memcached a hit that touches as a touch.
#[inline]
fn count(subject: &Subject<'_, '_>, hit: bool, cx: &Cx<'_>) {
    if hit && subject.flags.has(b'T') {
        cx.count(Count::CmdTouch, 1);
        cx.count(Count::TouchHits, 1);
        return;
    }
    cx.count(Count::CmdGet, 1);
    cx.count(if hit { Count::GetHits } else { Count::GetMisses }, 1);
}
