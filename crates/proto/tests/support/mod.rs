//! Short ways to write commands and replies down.

#![allow(dead_code, reason = "every test file uses its own part of this")]

use bytes::{Bytes, BytesMut};
use larder_proto::{
    Answer, Codec, Command, Direction, Item, Key, Progress, Protocol, ProtocolError, Refusal,
    RefusalKind, Reply, StoreMode,
};

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

pub(crate) fn get(name: &str) -> Command {
    Command::Get { key: key(name) }
}

pub(crate) fn delete(name: &str) -> Command {
    Command::Delete { key: key(name) }
}

pub(crate) fn touch(name: &str, exptime: u32) -> Command {
    Command::Touch { key: key(name), exptime }
}

pub(crate) fn incr(name: &str, delta: u64) -> Command {
    Command::Arith { key: key(name), delta, direction: Direction::Incr }
}

pub(crate) fn decr(name: &str, delta: u64) -> Command {
    Command::Arith { key: key(name), delta, direction: Direction::Decr }
}

pub(crate) fn store(mode: StoreMode, name: &str, value: &'static str) -> Command {
    let value = Bytes::from_static(value.as_bytes());
    Command::Store { mode, key: key(name), value, flags: 5, exptime: 60 }
}

pub(crate) fn done(reply: Reply) -> Answer {
    Answer { reply: Ok(reply), in_sync: true }
}

pub(crate) fn item(value: &'static str, flags: u32, cas: u64) -> Answer {
    let value = Bytes::from_static(value.as_bytes());
    done(Reply::Item(Some(Item { value, flags, cas })))
}

pub(crate) fn refused(kind: RefusalKind, message: &str, in_sync: bool) -> Answer {
    Answer { reply: Err(Refusal { kind, message: message.to_owned() }), in_sync }
}

/// A binary reply to opaque 1.
pub(crate) fn binary(opcode: u8, status: u16, extras: &[u8], value: &[u8], cas: u64) -> Vec<u8> {
    let mut bytes = vec![0x81, opcode, 0, 0, u8::try_from(extras.len()).unwrap(), 0];
    bytes.extend(status.to_be_bytes());
    bytes.extend(u32::try_from(extras.len() + value.len()).unwrap().to_be_bytes());
    bytes.extend(1_u32.to_be_bytes());
    bytes.extend(cas.to_be_bytes());
    bytes.extend(extras);
    bytes.extend(value);
    bytes
}

/// The largest value that [`parse`] accepts, in bytes.
pub(crate) const LIMIT: usize = 1000;

/// What comes of a complete reply that arrives in pieces; `None` if it is not complete.
pub(crate) fn parse(
    protocol: Protocol,
    command: &Command,
    bytes: &[u8],
    cuts: &[usize],
) -> Result<Option<Answer>, ProtocolError> {
    let mut codec = Codec::new(protocol, LIMIT);
    let mut buf = BytesMut::new();
    let mut from = 0;
    for &cut in cuts.iter().chain([&bytes.len()]) {
        buf.extend_from_slice(&bytes[from..cut]);
        from = cut;
        match codec.parse(command, 1, &mut buf)? {
            Progress::NeedMore(missing) => assert!((1..2 * LIMIT).contains(&missing)),
            Progress::Ready(answer) => {
                assert!(buf.is_empty() && from == bytes.len(), "bytes left over");
                return Ok(Some(answer));
            }
        }
    }
    Ok(None)
}
