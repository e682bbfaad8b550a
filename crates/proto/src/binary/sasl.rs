//! SASL PLAIN (RFC 4616) over the binary protocol (memcached `doc/protocol-binary.txt`, "SASL").

use bytes::{BufMut, BytesMut};

use super::reply::{self, Taken};
use super::request::Frame;
use super::{opcode, status};
use crate::error::ProtocolError;

/// What the server says to a SASL request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaslReply {
    /// The connection is authenticated.
    Authenticated,
    /// The credentials (or the mechanism) are not accepted. The server's words.
    Refused(String),
    /// The server has no SASL, and so asks for no credentials.
    Unsupported,
}

/// The opaque of the one request that authenticates.
const OPAQUE: u32 = 0;

/// Appends the request that authenticates with PLAIN. Neither part may hold a NUL: it separates
/// them.
pub fn encode_plain(user: &str, password: &str, out: &mut BytesMut) {
    let mut message = Vec::with_capacity(user.len().saturating_add(password.len()));
    message.put_u8(0);
    message.put_slice(user.as_bytes());
    message.put_u8(0);
    message.put_slice(password.as_bytes());
    let frame =
        Frame { opcode: opcode::SASL_AUTH, key: b"PLAIN", value: &message, ..Frame::default() };
    frame.put(OPAQUE, out);
}

/// Parses the answer to [`encode_plain`]; none while it is incomplete.
///
/// # Errors
///
/// [`ProtocolError`] when the bytes are no answer to it.
pub fn parse(buf: &mut BytesMut) -> Result<Option<SaslReply>, ProtocolError> {
    match reply::take(opcode::SASL_AUTH, OPAQUE, 0, buf)? {
        Taken::Missing(_) => Ok(None),
        Taken::Whole(frame) => Ok(Some(match frame.status {
            status::OK => SaslReply::Authenticated,
            status::UNKNOWN_COMMAND => SaslReply::Unsupported,
            _ => SaslReply::Refused(frame.value.escape_ascii().to_string()),
        })),
    }
}
