//! The facade over the three protocols: one [`Codec`] per connection.
//!
//! The codec owns the running request number (the opaque) and the state of the reply that is being
//! parsed. The caller owns the buffers and must parse replies in the order it encoded requests.

use bytes::BytesMut;

use crate::command::Command;
use crate::error::{CommandError, ProtocolError};
use crate::reply::Progress;
use crate::{binary, meta, text};

/// Largest value by default, in bytes: 1 MiB, as memcached's `-I` default.
pub const DEFAULT_MAX_VALUE_LEN: usize = 1024 * 1024;

/// The largest limit for values that can be asked for, in bytes: 1 GiB, memcached's own maximum.
pub const MAX_VALUE_LEN: usize = 1024 * 1024 * 1024;

/// Which of memcached's protocols is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// The classic text protocol: every server has it; stores do not tell their CAS.
    Text,
    /// The meta commands of memcached 1.6 and later.
    Meta,
    /// The binary protocol: deprecated upstream, yet the only one with SASL.
    Binary,
}

/// Encodes requests and parses replies of one connection.
#[derive(Debug)]
pub struct Codec {
    max_value_len: usize,
    next_opaque: u32,
    parser: Parser,
}

#[derive(Debug)]
enum Parser {
    Text(text::reply::Parser),
    Meta(meta::reply::Parser),
    Binary,
}

impl Codec {
    /// A codec for a fresh connection that sends and accepts values of at most `max_value_len`
    /// bytes (itself at most [`MAX_VALUE_LEN`], to which it is lowered).
    #[must_use]
    pub fn new(protocol: Protocol, max_value_len: usize) -> Self {
        let max_value_len = max_value_len.min(MAX_VALUE_LEN);
        let parser = match protocol {
            Protocol::Text => Parser::Text(text::reply::Parser::default()),
            Protocol::Meta => Parser::Meta(meta::reply::Parser::default()),
            Protocol::Binary => Parser::Binary,
        };
        Self { max_value_len, next_opaque: 1, parser }
    }

    /// Appends the request bytes of `command` to `out` and returns its opaque, which
    /// [`Self::parse`] wants back. Several may be encoded before the first reply is parsed.
    ///
    /// # Errors
    ///
    /// [`CommandError`] as of [`Command::check`]; `out` is unchanged then.
    pub fn encode(&mut self, command: &Command, out: &mut BytesMut) -> Result<u32, CommandError> {
        command.check(self.max_value_len)?;
        let opaque = self.next_opaque;
        self.next_opaque = self.next_opaque.wrapping_add(1);
        match self.parser {
            Parser::Text(_) => text::request::encode(command, out),
            Parser::Meta(_) => meta::request::encode(command, opaque, out),
            Parser::Binary => binary::request::encode(command, opaque, out),
        }
        Ok(opaque)
    }

    /// Takes the reply to `command` out of the front of `buf`. Call it again with more bytes
    /// appended after [`Progress::NeedMore`].
    ///
    /// # Errors
    ///
    /// [`ProtocolError`] when the bytes are no reply to this command; the connection and the codec
    /// are useless then.
    pub fn parse(
        &mut self,
        command: &Command,
        opaque: u32,
        buf: &mut BytesMut,
    ) -> Result<Progress, ProtocolError> {
        let limit = self.max_value_len;
        match &mut self.parser {
            Parser::Text(parser) => parser.parse(command, limit, buf),
            Parser::Meta(parser) => parser.parse(command, opaque, limit, buf),
            Parser::Binary => binary::reply::parse(command, opaque, limit, buf),
        }
    }
}
