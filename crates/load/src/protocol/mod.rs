//! The three languages of the wire: how commands are written and replies are read.
//!
//! A reply is read from the beginning of what has arrived; nothing is remembered between two calls, so
//! a reply that came in part is looked at again when there is more of it.

mod binary;
mod meta;
mod text;

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use crate::batch::Command;
use crate::data::Data;

/// A reply line or value longer than this is not believed.
const LONGEST: usize = (1 << 30) + 64;

/// A language of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// memcached's classic text protocol: `get`, `set`.
    Text,
    /// Its meta commands: `mg`, `ms`.
    Meta,
    /// Its binary protocol.
    Binary,
}

impl Protocol {
    /// Appends a command for the keys of `ids`: a set of one, or a get of all.
    pub(crate) fn write(
        self,
        command: Command,
        ids: &[u32],
        ttl: u32,
        data: &Data,
        out: &mut Vec<u8>,
    ) {
        match self {
            Protocol::Text => text::write(command, ids, ttl, data, out),
            Protocol::Meta => meta::write(command, ids, ttl, data, out),
            Protocol::Binary => binary::write(command, ids, ttl, data, out),
        }
    }

    /// Reads the next reply, or part of one, to `command`; and how many bytes it has.
    #[inline]
    pub(crate) fn read(self, command: Command, input: &[u8]) -> (Reply<'_>, usize) {
        match self {
            Protocol::Text => text::read(command, input),
            Protocol::Meta => meta::read(command, input),
            Protocol::Binary => binary::read(command, input),
        }
    }

    /// Whether `command` ends only with [`Reply::End`], whatever else is answered.
    pub(crate) fn closes(self, command: Command) -> bool {
        self != Protocol::Text && command.keys > 1
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Protocol, String> {
        match text {
            "text" => Ok(Protocol::Text),
            "meta" => Ok(Protocol::Meta),
            "binary" => Ok(Protocol::Binary),
            _ => Err("give text, meta or binary".to_owned()),
        }
    }
}

impl Display for Protocol {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Text => "text",
            Protocol::Meta => "meta",
            Protocol::Binary => "binary",
        })
    }
}

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply<'i> {
    /// Nothing that is complete yet.
    Partial,
    /// A hit.
    Value(Echo<'i>, &'i [u8]),
    /// The one key of the command is not there.
    Miss,
    /// All values of the command have been sent.
    End,
    /// The value is stored.
    Stored,
    /// An error, in the server's words.
    Refused(&'i [u8]),
    /// Bytes that are no reply to this command: what follows cannot be read either.
    Garbage,
}

/// How a value says which key it belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Echo<'i> {
    /// It does not: it can only be the next.
    Next,
    /// By the key.
    Key(&'i [u8]),
    /// By the key's place in the command.
    Place(u32),
}

/// A line without its end, and its length with it; nothing if the line is not complete.
#[inline]
fn line(input: &[u8]) -> Option<(&[u8], usize)> {
    let newline = memchr::memchr(b'\n', input)?;
    let line = &input[..newline];
    Some((line.strip_suffix(b"\r").unwrap_or(line), newline + 1))
}

/// What there is of a line that is too long to be one, or may still become one.
fn unfinished(input: &[u8]) -> (Reply<'_>, usize) {
    const LONGEST_LINE: usize = 4096;
    let reply = if input.len() > LONGEST_LINE { Reply::Garbage } else { Reply::Partial };
    (reply, 0)
}

/// A line that reports an error; anything else is garbage.
fn refused(line: &[u8], used: usize) -> (Reply<'_>, usize) {
    let errors: [&[u8]; 4] = [b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR", b"NOT_STORED"];
    let is_error = errors.iter().any(|error| line.starts_with(error)) || line == b"NS";
    if is_error { (Reply::Refused(line), used) } else { (Reply::Garbage, 0) }
}

/// The value that begins at `start` and is followed by CRLF.
#[inline]
fn value<'i>(input: &'i [u8], echo: Echo<'i>, start: usize, size: usize) -> (Reply<'i>, usize) {
    let end = start + size;
    match input.get(end..end + 2) {
        None => (Reply::Partial, 0),
        Some(b"\r\n") => (Reply::Value(echo, &input[start..end]), end + 2),
        Some(_) => (Reply::Garbage, 0),
    }
}

/// A decimal number of bytes that is small enough to be true.
#[inline]
fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 10 {
        return None;
    }
    let mut number = 0;
    for digit in digits {
        number = number * 10 + usize::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    (number <= LONGEST).then_some(number)
}

/// Appends a number in decimal digits.
fn push_number(number: usize, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b"0123456789"[rest % 10];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_written() {
        for n in [0, 7, 10, 4096, 1 << 30] {
            let mut out = Vec::new();
            push_number(n, &mut out);
            assert_eq!(out, n.to_string().as_bytes());
            assert_eq!(number(&out), Some(n));
        }
        for text in ["", "-1", "1x", "9999999999", "12345678901"] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn half_a_reply_is_not_a_reply_yet() {
        let get = |keys| Command { set: false, keys };
        let mut binary = vec![0x81, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 6];
        binary.extend([0; 12]);
        binary.extend(b"\0\0\0\0ab");
        for (protocol, command, whole) in [
            (Protocol::Text, get(1), b"VALUE key:00000001 0 2\r\nab\r\n".to_vec()),
            (Protocol::Text, get(1), b"END\r\n".to_vec()),
            (Protocol::Text, Command { set: true, keys: 1 }, b"STORED\r\n".to_vec()),
            (Protocol::Text, get(2), b"SERVER_ERROR out of memory\r\n".to_vec()),
            (Protocol::Meta, get(1), b"VA 2\r\nab\r\n".to_vec()),
            (Protocol::Meta, get(2), b"VA 2 kkey:00000001\r\nab\r\n".to_vec()),
            (Protocol::Meta, Command { set: true, keys: 1 }, b"HD\r\n".to_vec()),
            (Protocol::Binary, get(1), binary),
        ] {
            for cut in 0..whole.len() {
                assert_eq!(protocol.read(command, &whole[..cut]), (Reply::Partial, 0), "{cut}");
            }
            let (reply, used) = protocol.read(command, &whole);
            assert!(!matches!(reply, Reply::Partial | Reply::Garbage), "{reply:?}");
            assert_eq!(used, whole.len());
        }
    }

    #[test]
    fn what_is_no_reply_is_garbage() {
        let get = Command { set: false, keys: 2 };
        for (protocol, input) in [
            (Protocol::Text, &b"VALUE k 0 9999999999\r\n"[..]),
            (Protocol::Text, b"VALUE k 0\r\n"),
            (Protocol::Text, b"VALUE k 0 1\r\nabc"),
            (Protocol::Text, b"STORED\r\n"),
            (Protocol::Text, b"hello\r\n"),
            (Protocol::Meta, b"VA x\r\n"),
            (Protocol::Meta, b"VA 1\r\nabc"),
            (Protocol::Binary, &[0x80; 24]),
            (Protocol::Binary, &[0x81; 24]),
        ] {
            assert_eq!(protocol.read(get, input).0, Reply::Garbage, "{protocol} {input:?}");
        }
        let endless = [b'x'; 5000];
        assert_eq!(Protocol::Text.read(get, &endless).0, Reply::Garbage);
        assert_eq!(Protocol::Meta.read(get, &endless).0, Reply::Garbage);
    }
}
