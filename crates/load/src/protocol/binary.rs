//! The binary protocol. The opaque field carries a key's place in its command, so a value says which key
//! it belongs to. A get of several keys is as many `getq`, and `noop` to end them.

use super::{Echo, LONGEST, Reply};
use crate::batch::Command;
use crate::data::Data;

/// Bytes of a request's or a reply's header.
const HEADER: usize = 24;

const REQUEST: u8 = 0x80;
const REPLY: u8 = 0x81;

const GET: u8 = 0x00;
const SET: u8 = 0x01;
const GETQ: u8 = 0x09;
const NOOP: u8 = 0x0a;

const OK: u16 = 0;
const NOT_FOUND: u16 = 1;

pub(super) fn write(command: Command, ids: &[u32], ttl: u32, data: &Data, out: &mut Vec<u8>) {
    if command.set {
        let stored = data.value(ids[0]);
        header(SET, data.key_size(), 8, stored.len(), 0, out);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&ttl.to_be_bytes());
        data.push_key(ids[0], out);
        out.extend_from_slice(stored);
        return;
    }
    let opcode = if command.keys > 1 { GETQ } else { GET };
    for (place, &id) in (0..).zip(ids) {
        header(opcode, data.key_size(), 0, 0, place, out);
        data.push_key(id, out);
    }
    if command.keys > 1 {
        header(NOOP, 0, 0, 0, command.keys, out);
    }
}

/// Appends a request's header.
#[expect(clippy::cast_possible_truncation, reason = "a key has at most 250 bytes, a value 2^30")]
fn header(opcode: u8, key: usize, extras: u8, value: usize, opaque: u32, out: &mut Vec<u8>) {
    let mut header = [0; HEADER];
    header[0] = REQUEST;
    header[1] = opcode;
    header[2..4].copy_from_slice(&(key as u16).to_be_bytes());
    header[4] = extras;
    let body = key + usize::from(extras) + value;
    header[8..12].copy_from_slice(&(body as u32).to_be_bytes());
    header[12..16].copy_from_slice(&opaque.to_be_bytes());
    out.extend_from_slice(&header);
}

#[inline]
pub(super) fn read(command: Command, input: &[u8]) -> (Reply<'_>, usize) {
    let Some((header, rest)) = input.split_first_chunk::<HEADER>() else {
        let strange = input.first().is_some_and(|&magic| magic != REPLY);
        return (if strange { Reply::Garbage } else { Reply::Partial }, 0);
    };
    let number = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let (body, opaque) = (number(8) as usize, number(12));
    // What comes before the value: extras, and a key that was not asked for.
    let before = usize::from(header[4]) + usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] != REPLY || body > LONGEST || before > body {
        return (Reply::Garbage, 0);
    }
    let Some(body) = rest.get(..body) else {
        return (Reply::Partial, 0);
    };
    let (value, used) = (&body[before..], HEADER + body.len());
    let several = command.keys > 1;
    let reply = match (u16::from_be_bytes([header[6], header[7]]), header[1]) {
        (OK, SET) if command.set => Reply::Stored,
        (OK, GET) if !command.set && !several => Reply::Value(Echo::Place(opaque), value),
        (OK, GETQ) if several => Reply::Value(Echo::Place(opaque), value),
        (OK, NOOP) if several && opaque == command.keys => Reply::End,
        (NOT_FOUND, GET) if !command.set && !several => Reply::Miss,
        (OK | NOT_FOUND, _) => Reply::Garbage,
        _ => Reply::Refused(value),
    };
    if reply == Reply::Garbage { (reply, 0) } else { (reply, used) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Sizes;

    fn reply(opcode: u8, status: u16, opaque: u32, extras: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let extras_size = u8::try_from(extras.len()).unwrap();
        header(opcode, 0, extras_size, value.len(), opaque, &mut out);
        out[0] = REPLY;
        out[6..8].copy_from_slice(&status.to_be_bytes());
        [&out[..], extras, value].concat()
    }

    #[test]
    fn commands_are_written() {
        let data = Data::new(12, Sizes { min: 2, max: 2 });
        let mut out = Vec::new();
        write(Command { set: false, keys: 2 }, &[1, 2], 0, &data, &mut out);
        assert_eq!(out.len(), 3 * HEADER + 2 * 12);
        assert_eq!(out[..4], [0x80, GETQ, 0, 12]);
        assert_eq!(out[36..38], [0x80, GETQ]);
        assert_eq!(out[48..52], [0, 0, 0, 1], "the second key's place");
        assert_eq!(out[72..74], [0x80, NOOP]);
        out.clear();
        write(Command { set: true, keys: 1 }, &[1], 60, &data, &mut out);
        assert_eq!(out[..12], [0x80, SET, 0, 12, 8, 0, 0, 0, 0, 0, 0, 22]);
        assert_eq!(out[24..32], [0, 0, 0, 0, 0, 0, 0, 60]);
        assert_eq!(&out[32..44], b"key:00000001");
        assert_eq!(&out[44..], data.value(1));
    }

    #[test]
    fn replies_are_read() {
        let (one, two) = (Command { set: false, keys: 1 }, Command { set: false, keys: 2 });
        let set = Command { set: true, keys: 1 };
        let hit = reply(GET, OK, 0, &[0; 4], b"ab");
        assert_eq!(read(one, &hit), (Reply::Value(Echo::Place(0), b"ab"), 30));
        assert_eq!(
            read(two, &reply(GETQ, OK, 1, &[0; 4], b"")),
            (Reply::Value(Echo::Place(1), b""), 28)
        );
        assert_eq!(read(one, &reply(GET, NOT_FOUND, 0, &[], b"Not found")), (Reply::Miss, 33));
        assert_eq!(read(two, &reply(NOOP, OK, 2, &[], b"")), (Reply::End, 24));
        assert_eq!(read(set, &reply(SET, OK, 0, &[], b"")), (Reply::Stored, 24));
        let full = reply(SET, 0x82, 0, &[], b"Out of memory");
        assert_eq!(read(set, &full), (Reply::Refused(b"Out of memory"), 37));
        assert_eq!(read(set, &hit).0, Reply::Garbage, "a value nobody asked for");
        assert_eq!(read(two, &reply(NOOP, OK, 7, &[], b"")).0, Reply::Garbage);
    }
}
