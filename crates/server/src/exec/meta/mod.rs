//! Executes meta commands, each in the file of its name.
//!
//! A quiet command leaves out its nominal reply: `mg` a miss, the others success. An error is always
//! shown.

mod arith;
mod debug;
mod delete;
mod get;
mod set;

use std::time::Duration;

use larder_proto::server::meta::{
    Command, Flags, MAX_DECODED_LEN, Verb, decode, put_echo, put_key, put_number,
};
use larder_store::HashedKey;
use larder_tenancy::Capabilities;

use super::hashed;
use crate::cx::{Cx, Flow};
use crate::reading::Reading;
use crate::upload::Upload;

/// What all commands but `mn` are about.
#[derive(Clone, Copy)]
struct Subject<'k, 'b> {
    key: HashedKey<'k>,
    flags: Flags<'b>,
}

impl Subject<'_, '_> {
    /// Whether the client sent the key in base64, and reads it so.
    fn is_binary(&self) -> bool {
        self.flags.has(b'b')
    }
}

/// Executes what only reads.
#[inline]
pub(super) fn read(
    command: &Command<'_>,
    key: Option<HashedKey<'_>>,
    cx: &Cx<'_>,
    reading: &mut Reading<'_>,
) {
    if command.verb == Verb::Noop {
        return reading.bytes().extend_from_slice(b"MN\r\n");
    }
    let mut buffer = [0; MAX_DECODED_LEN];
    let Some(subject) = subject(command, key, &mut buffer, cx) else {
        return refuse(command.verb, reading.bytes());
    };
    if command.verb == Verb::Get {
        get::get(subject, cx, reading);
    } else {
        debug::debug(subject, cx, reading);
    }
}

/// Executes what changes items.
pub(super) fn write(
    command: &Command<'_>,
    key: Option<HashedKey<'_>>,
    cx: &mut Cx<'_>,
    out: &mut Vec<u8>,
) -> Flow {
    let mut buffer = [0; MAX_DECODED_LEN];
    let Some(subject) = subject(command, key, &mut buffer, cx) else {
        refuse(command.verb, out);
        return Flow::Continue;
    };
    match command.verb {
        Verb::Set => set::set(subject, command.value, cx, out),
        Verb::Delete => delete::delete(subject, cx, out),
        Verb::Arith => arith::arith(subject, cx, out),
        Verb::Get => get::get_and_change(subject, cx, out),
        // Reads: they do not come here.
        Verb::Noop | Verb::Debug => {}
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
    let mut buffer = [0; MAX_DECODED_LEN];
    let Some(subject) = subject(command, None, &mut buffer, cx) else {
        refuse(command.verb, out);
        return None;
    };
    set::begin(subject, value_len, cx, out)
}

/// Makes an item of a value that has come.
pub(super) fn finish_upload(
    command: &Command<'_>,
    upload: Upload,
    good_tail: bool,
    cx: &mut Cx<'_>,
    out: &mut Vec<u8>,
) -> Flow {
    let mut buffer = [0; MAX_DECODED_LEN];
    match subject(command, None, &mut buffer, cx) {
        Some(subject) if good_tail => set::finish(subject, upload, command.value_len, cx, out),
        Some(_) => out.extend_from_slice(b"CLIENT_ERROR bad data chunk\r\n"),
        None => refuse(command.verb, out),
    }
    Flow::Continue
}

/// Key and flags of a command; none if the connection's credential does not allow it, which is counted.
#[inline]
fn subject<'k, 'b>(
    command: &Command<'b>,
    known: Option<HashedKey<'k>>,
    buffer: &'k mut [u8; MAX_DECODED_LEN],
    cx: &Cx<'_>,
) -> Option<Subject<'k, 'b>>
where
    'b: 'k,
{
    let flags = command.flags;
    let key = if flags.has(b'b') { decode(command.key, buffer)? } else { command.key };
    let writes = !matches!(command.verb, Verb::Get | Verb::Debug);
    let touches = command.verb == Verb::Get && (flags.has(b'T') || flags.has(b'N'));
    let needed = match (writes, touches) {
        (false, false) => Capabilities::READ,
        (false, true) => Capabilities::READ | Capabilities::WRITE,
        (true, _) => Capabilities::WRITE,
    };
    let allowed = cx.access.may(needed) && cx.access.may_use(key);
    allowed.then(|| Subject { key: hashed(key, known, cx), flags })
}

/// What a command is answered that the credential does not allow.
#[cold]
fn refuse(verb: Verb, out: &mut Vec<u8>) {
    let name = match verb {
        Verb::Noop => "mn",
        Verb::Get => "mg",
        Verb::Set => "ms",
        Verb::Delete => "md",
        Verb::Arith => "ma",
        Verb::Debug => "me",
    };
    out.extend_from_slice(b"CLIENT_ERROR ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b" not allowed\r\n");
}

/// Appends a reply that says only which request it answers: its code, key and opaque.
fn put_bare(out: &mut Vec<u8>, code: &[u8], subject: &Subject<'_, '_>) {
    out.extend_from_slice(code);
    for flag in subject.flags.iter() {
        match flag.letter {
            b'O' => put_echo(out, flag),
            b'k' => put_key(out, subject.key.key(), subject.is_binary()),
            _ => {}
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// The TTL of a created item: `N` and `T` give it one in the order they came in.
fn created_ttl(subject: &Subject<'_, '_>, cx: &Cx<'_>) -> Option<Duration> {
    let ttls = subject.flags.iter().filter_map(|flag| ttl_of(flag.letter, subject, cx));
    ttls.last().flatten()
}

/// The TTL that `T` or `N` gives to a created item.
fn ttl_of(letter: u8, subject: &Subject<'_, '_>, cx: &Cx<'_>) -> Option<Option<Duration>> {
    let exptime = match letter {
        b'T' => subject.flags.exptime(),
        b'N' => subject.flags.vivify(),
        _ => None,
    };
    exptime.map(|exptime| cx.ttl(exptime))
}

/// Appends the TTL left; -1 for an item that does not expire.
fn put_ttl(out: &mut Vec<u8>, ttl: Option<Duration>) {
    match ttl {
        Some(left) => put_number(out, b't', seconds_left(left)),
        None => out.extend_from_slice(b" t-1"),
    }
}

/// A TTL in seconds, begun ones counted. It is kept in steps of 100 ms, and may have one more at first
/// than was asked for.
fn seconds_left(ttl: Duration) -> u64 {
    let left = ttl.saturating_sub(Duration::from_millis(100));
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}
