//! What can go wrong: a command that cannot be sent, a server that refuses, a peer that breaks the
//! protocol. The three are different types because they call for different actions: report, report
//! and keep the connection, close it.

/// A command that was not sent because it cannot be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The value is over the configured limit.
    #[error("the value has {len} bytes, the limit is {limit}")]
    ValueTooLarge {
        /// Bytes in the value.
        len: usize,
        /// The most allowed.
        limit: usize,
    },
    /// A compare-and-swap with CAS 0, which is what a server without CAS (memcached `-C`) gives.
    #[error("compare-and-swap needs a CAS other than 0; a server that gives 0 keeps none")]
    ZeroCas,
}

/// A server's error answer to one command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server refused: {message}")]
pub struct Refusal {
    /// What kind of refusal it is.
    pub kind: RefusalKind,
    /// The server's own words, control characters escaped, at most 256 bytes of them.
    pub message: String,
}

/// The refusals that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The item is larger than the server takes.
    TooLarge,
    /// The server has no memory for it.
    OutOfMemory,
    /// `incr` or `decr` of something that is not a number.
    NonNumeric,
    /// The connection is not authenticated, or not allowed to do this.
    Unauthenticated,
    /// The server does not know the command.
    UnknownCommand,
    /// Anything else.
    Other,
}

impl Refusal {
    pub(crate) fn new(kind: RefusalKind, message: &[u8]) -> Self {
        Self { kind, message: excerpt(message, 256) }
    }
}

/// A peer that does not speak the protocol, or answers something else than what was asked. The
/// connection must be closed: nothing that follows on it can be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Bytes that are no reply to this command.
    #[error("the server sent {found:?} where {expected} was due")]
    Unexpected {
        /// The start of what came, escaped.
        found: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// A reply to some other request.
    #[error("a reply for another request: its {what} is {received}, {sent} was sent")]
    Mismatch {
        /// The field that differs: `opaque`, `opcode` or `key`.
        what: &'static str,
        /// What the request said.
        sent: String,
        /// What the reply says.
        received: String,
    },
    /// A line or a value over its limit.
    #[error("the server sent a {what} of {len} bytes, the limit is {limit}")]
    TooLong {
        /// `line` or `value`.
        what: &'static str,
        /// Its announced length, or how much of it has come.
        len: u64,
        /// The most allowed, in bytes.
        limit: u64,
    },
}

impl ProtocolError {
    pub(crate) fn unexpected(found: &[u8], expected: &'static str) -> Self {
        Self::Unexpected { found: excerpt(found, 64), expected }
    }

    pub(crate) fn mismatch(what: &'static str, sent: &[u8], received: &[u8]) -> Self {
        Self::Mismatch { what, sent: excerpt(sent, 256), received: excerpt(received, 256) }
    }

    pub(crate) fn value_too_long(len: usize, limit: usize) -> Self {
        Self::TooLong { what: "value", len: len as u64, limit: limit as u64 }
    }
}

/// At most `max` bytes of `bytes`, escaped so that they are safe in a log line.
fn excerpt(bytes: &[u8], max: usize) -> String {
    bytes[..bytes.len().min(max)].escape_ascii().to_string()
}
