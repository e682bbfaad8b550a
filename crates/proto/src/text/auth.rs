//! Authentication of the text protocol, as memcached's `-Y` does it: a first `set` whose data is
//! `<user> <password>` (memcached `doc/protocol.txt`, "Authentication").
//!
//! A server without authentication would *store* that data for everyone to read, so
//! [`encode_probe`] asks with a harmless read first.

use bytes::{BufMut, BytesMut};

use crate::command::Command;
use crate::error::{ProtocolError, RefusalKind};
use crate::key::Key;
use crate::line::{Lines, put_decimal};
use crate::reply::{Progress, Reply};
use crate::text::reply::Parser;

/// The key the probe reads and the login writes.
const KEY: &str = "larder-auth";

/// What the server says about authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthReply {
    /// This connection may go on.
    Accepted,
    /// Credentials are wanted, or these are wrong. The server's words.
    Refused(String),
}

/// Appends a read that only an authenticated connection, or a server without authentication,
/// answers.
pub fn encode_probe(out: &mut BytesMut) {
    out.put_slice(b"gets ");
    out.put_slice(KEY.as_bytes());
    out.put_slice(b"\r\n");
}

/// Parses the answer to [`encode_probe`]: accepted when the server did the read.
///
/// # Errors
///
/// [`ProtocolError`] when the bytes are no answer to it.
pub fn parse_probe(
    buf: &mut BytesMut,
    max_value_len: usize,
) -> Result<Option<AuthReply>, ProtocolError> {
    let Ok(key) = Key::new(KEY) else {
        return Ok(None);
    };
    // Parsed from a copy each time: the exchange is a few dozen bytes, once per connection.
    let mut attempt = buf.clone();
    match Parser::default().parse(&Command::Get { key }, max_value_len, &mut attempt)? {
        Progress::NeedMore(_) => Ok(None),
        Progress::Ready(answer) => {
            *buf = attempt;
            match answer.reply {
                Ok(Reply::Item(_)) => Ok(Some(AuthReply::Accepted)),
                Err(refusal) if refusal.kind == RefusalKind::Unauthenticated => {
                    Ok(Some(AuthReply::Refused(refusal.message)))
                }
                Err(refusal) => {
                    Err(ProtocolError::unexpected(refusal.message.as_bytes(), "VALUE or END"))
                }
                Ok(_) => Err(ProtocolError::unexpected(b"", "VALUE or END")),
            }
        }
    }
}

/// Appends the login. The user name must hold no space: the server splits at the first one.
pub fn encode_login(user: &str, password: &str, out: &mut BytesMut) {
    out.put_slice(b"set ");
    out.put_slice(KEY.as_bytes());
    out.put_slice(b" 0 0 ");
    put_decimal(out, user.len().saturating_add(1).saturating_add(password.len()));
    out.put_slice(b"\r\n");
    out.put_slice(user.as_bytes());
    out.put_u8(b' ');
    out.put_slice(password.as_bytes());
    out.put_slice(b"\r\n");
}

/// Parses the answer to [`encode_login`]; none while it is incomplete.
///
/// # Errors
///
/// [`ProtocolError`] when the bytes are no answer to it.
pub fn parse_login(buf: &mut BytesMut) -> Result<Option<AuthReply>, ProtocolError> {
    let Some(line) = Lines::default().take(buf)? else {
        return Ok(None);
    };
    if &line[..] == b"STORED" {
        return Ok(Some(AuthReply::Accepted));
    }
    match line.strip_prefix(b"CLIENT_ERROR ") {
        Some(message) => Ok(Some(AuthReply::Refused(message.escape_ascii().to_string()))),
        None => Err(ProtocolError::unexpected(&line, "STORED or CLIENT_ERROR")),
    }
}
