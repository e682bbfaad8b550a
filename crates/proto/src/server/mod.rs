//! The server direction: request bytes in, requests out; and what replies look like.
//!
//! [`text::parse`] reads the text and the meta protocol, which share a connection, and
//! [`binary::parse`] the binary one. Both look at the unread bytes of a connection and borrow from
//! them: nothing is copied, nothing is allocated, and no byte is consumed but by the caller, who
//! skips what [`Parsed`] says. Reply writers append to a buffer of the caller's.
//!
//! What must stay true:
//!
//! - However the bytes arrive, one by one or all at once, they are the same requests.
//! - A key that is handed on has 1 to [`MAX_KEY_LEN`](crate::MAX_KEY_LEN) bytes. Unlike the
//!   client's [`Key`](crate::Key) it may hold any byte that the protocol can carry, as in memcached.
//! - What is waited for is bounded: a line by its limit, a value by the caller, who hears of its
//!   length as soon as the head of the request is there.
//!
//! The rules are those of memcached 1.6.45, its faults excepted.

pub mod binary;
mod line;
pub mod meta;
pub mod text;

pub use line::{Words, decimal, put_decimal, signed, signed32};

/// What the unread bytes of a connection begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'b> {
    /// A whole request.
    Ready {
        /// What is asked for.
        request: Request<'b>,
        /// How many bytes it takes, with its value.
        used: usize,
    },
    /// A store whose value has not all come.
    Partial {
        /// What is asked for, with an empty value.
        request: Request<'b>,
        /// How many bytes come before the value: the line, or header, extras and key.
        head: usize,
        /// How long the value is.
        value_len: usize,
        /// How many bytes follow it: the two of its line ending in text and meta, none in binary.
        tail: usize,
    },
    /// Nothing can be said yet.
    NeedMore {
        /// At least so many more bytes have to come.
        missing: usize,
    },
    /// Not a request.
    Bad(Bad),
}

/// Bytes that are not a request, and what becomes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bad {
    /// What is answered.
    pub reply: Reply,
    /// How many of the unread bytes it takes.
    pub used: usize,
    /// How many bytes after those are to be swallowed as they come: a value that belongs to it.
    pub swallow: u64,
    /// Whether, and why, the connection ends after the reply.
    pub close: Option<Close>,
}

/// Why a connection has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// A line did not end within its limit.
    LongLine,
    /// Somebody speaks HTTP.
    Http,
    /// A binary request that contradicts itself, after which the next cannot be found.
    Malformed,
}

/// The answer to bytes that are not a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// None.
    Nothing,
    /// A line of the text protocol, its ending included.
    Line(&'static [u8]),
    /// A binary reply.
    Binary(binary::Refusal),
}

impl Reply {
    /// Appends it.
    pub fn put(self, out: &mut Vec<u8>) {
        match self {
            Reply::Nothing => {}
            Reply::Line(line) => out.extend_from_slice(line),
            Reply::Binary(refusal) => refusal.put(out),
        }
    }
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'b> {
    /// Of the text protocol.
    Text(text::Command<'b>),
    /// Of the meta protocol.
    Meta(meta::Command<'b>),
    /// Of the binary protocol.
    Binary(binary::Command<'b>),
}

impl<'b> Request<'b> {
    /// The one key that is worth asking memory for ahead. None for several keys, whose command asks
    /// for them itself, and for a key in base64, which has to be decoded first.
    #[must_use]
    pub fn single_key(&self) -> Option<&'b [u8]> {
        match self {
            Request::Text(command) => command.single_key(),
            Request::Meta(command) => command.single_key(),
            Request::Binary(command) => command.single_key(),
        }
    }

    /// What carrying it out needs.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Request::Text(command) => command.class(),
            Request::Meta(command) => command.class(),
            Request::Binary(command) => command.class(),
        }
    }
}

/// What carrying out a request needs of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Only reads.
    Read,
    /// Changes something, whether or not it reads.
    Write,
    /// Concerns the connection or the server.
    Control,
}

/// What a parser accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest line of keys, in bytes. Other lines have to end within [`text::MAX_LINE_LEN`].
    pub max_keys_line: usize,
}
