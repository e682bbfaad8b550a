//! Requests and replies of the binary protocol as bytes, for tests.

use crate::testing::{Bench, Wire};

/// What a test puts into the opaque, to find it in the reply.
const OPAQUE: [u8; 4] = [0xde, 0xad, 0xbe, 0xef];

/// A request.
pub(crate) fn request(opcode: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    request_cas(opcode, extras, key, value, 0)
}

/// A request with a CAS number.
pub(crate) fn request_cas(
    opcode: u8,
    extras: &[u8],
    key: &[u8],
    value: &[u8],
    cas: u64,
) -> Vec<u8> {
    let body_len = extras.len() + key.len() + value.len();
    let mut bytes = vec![0x80, opcode];
    bytes.extend_from_slice(&u16::try_from(key.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(&[u8::try_from(extras.len()).unwrap(), 0, 0, 0]);
    bytes.extend_from_slice(&u32::try_from(body_len).unwrap().to_be_bytes());
    bytes.extend_from_slice(&OPAQUE);
    bytes.extend_from_slice(&cas.to_be_bytes());
    bytes.extend_from_slice(&[extras, key, value].concat());
    bytes
}

/// The extras of a store: flags and exptime.
pub(crate) fn item(flags: u32, exptime: u32) -> Vec<u8> {
    [flags.to_be_bytes(), exptime.to_be_bytes()].concat()
}

/// The extras of increment and decrement.
pub(crate) fn sum(delta: u64, initial: u64, exptime: u32) -> Vec<u8> {
    [&delta.to_be_bytes()[..], &initial.to_be_bytes(), &exptime.to_be_bytes()].concat()
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) opcode: u8,
    pub(crate) status: u16,
    pub(crate) extras: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) cas: u64,
}

impl Answer {
    /// The value as text.
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.value).unwrap()
    }
}

/// The replies in `bytes`, which hold whole ones that repeat the opaque.
pub(crate) fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut all = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<24>() {
        let at = |from: usize, len: usize| {
            header[from..from + len].iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte))
        };
        assert_eq!(header[0], 0x81, "{}", bytes.escape_ascii());
        assert_eq!(header[12..16], OPAQUE, "the opaque");
        let (key_len, extras_len, body_len) = (at(2, 2), at(4, 1), at(8, 4));
        let (body, after) = rest.split_at(body_len);
        let (extras, body) = body.split_at(extras_len);
        let (key, value) = body.split_at(key_len);
        all.push(Answer {
            opcode: header[1],
            status: u16::try_from(at(6, 2)).unwrap(),
            extras: extras.to_vec(),
            key: key.to_vec(),
            value: value.to_vec(),
            cas: at(16, 8) as u64,
        });
        bytes = after;
    }
    assert!(bytes.is_empty(), "half a reply: {}", bytes.escape_ascii());
    all
}

/// Sends requests; the replies.
pub(crate) fn ask(bench: &mut Bench, wire: &mut Wire, requests: &[u8]) -> Vec<Answer> {
    answers(&bench.send(wire, requests))
}
