//! What the text and meta protocols share: lines, decimal numbers, error lines, and when an error
//! line leaves the connection usable.

use bytes::{Buf, Bytes, BytesMut};

use crate::command::Command;
use crate::error::{ProtocolError, Refusal, RefusalKind};
use crate::reply::{Answer, Item, Progress};

/// The longest reply line accepted, in bytes: a key and some numbers fit with room to spare.
pub(crate) const MAX_LINE_LEN: usize = 2048;

/// The highest expiry that servers read as a positive number in text (a signed 32-bit Unix time).
const MAX_TEXT_EXPTIME: u32 = i32::MAX as u32;

/// Finds lines in a growing buffer and remembers how far it has looked.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    searched: usize,
}

impl Lines {
    /// The next line without its ending, taken out of `buf`; none while it is incomplete.
    pub(crate) fn take(&mut self, buf: &mut BytesMut) -> Result<Option<Bytes>, ProtocolError> {
        let window = buf.len().min(MAX_LINE_LEN);
        let from = self.searched.min(window);
        let Some(found) = memchr::memchr(b'\n', &buf[from..window]) else {
            self.searched = window;
            if window < MAX_LINE_LEN {
                return Ok(None);
            }
            return Err(ProtocolError::TooLong {
                what: "line",
                len: buf.len() as u64,
                limit: MAX_LINE_LEN as u64,
            });
        };
        self.searched = 0;
        let mut line = buf.split_to(from + found).freeze();
        buf.advance(1);
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Ok(Some(line))
    }
}

/// A value whose header has been read and whose bytes are still coming.
#[derive(Debug)]
pub(crate) struct PendingValue {
    pub(crate) len: usize,
    pub(crate) flags: u32,
    pub(crate) cas: u64,
}

impl PendingValue {
    /// Checks the length a header announces against the limit.
    pub(crate) fn new(len: u64, flags: u32, cas: u64, limit: usize) -> Result<Self, ProtocolError> {
        match usize::try_from(len) {
            Ok(len) if len <= limit => Ok(Self { len, flags, cas }),
            _ => Err(ProtocolError::TooLong { what: "value", len, limit: limit as u64 }),
        }
    }

    /// How many bytes of the value and its line ending have not come yet.
    pub(crate) fn missing(&self, buf: &BytesMut) -> usize {
        (self.len + 2).saturating_sub(buf.len())
    }

    /// Takes the value and its line ending out of `buf`, which must hold them.
    pub(crate) fn take(&self, buf: &mut BytesMut) -> Result<Item, ProtocolError> {
        let value = buf.split_to(self.len).freeze();
        let ending = buf.split_to(2);
        if &ending[..] != b"\r\n" {
            return Err(ProtocolError::unexpected(&ending, "the line ending after a value"));
        }
        Ok(Item { value, flags: self.flags, cas: self.cas })
    }
}

/// An unsigned decimal number of digits only; none for anything else or beyond 64 bits.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|&digit| digit <= 9)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Appends a number in decimal.
pub(crate) fn put_decimal(out: &mut BytesMut, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends an expiry, lowered to what servers read as a time to come.
pub(crate) fn put_exptime(out: &mut BytesMut, exptime: u32) {
    put_decimal(out, exptime.min(MAX_TEXT_EXPTIME));
}

/// The answer that an error line is; none if `line` is no error line.
pub(crate) fn refusal(command: &Command, line: &[u8]) -> Option<Answer> {
    let message = if line == b"ERROR" || line.starts_with(b"ERROR ") {
        line
    } else {
        line.strip_prefix(b"CLIENT_ERROR ").or_else(|| line.strip_prefix(b"SERVER_ERROR "))?
    };
    let kind = classify(line, message);
    Some(Answer { reply: Err(Refusal::new(kind, message)), in_sync: keeps_in_sync(command, kind) })
}

/// [`Progress::NeedMore`] of one byte at least.
pub(crate) fn need_more(missing: usize) -> Progress {
    Progress::NeedMore(missing.max(1))
}

/// memcached's own wordings, 1.4 to 1.6.
fn classify(line: &[u8], message: &[u8]) -> RefusalKind {
    if message == b"object too large for cache" {
        RefusalKind::TooLarge
    } else if message == b"out of memory storing object" {
        RefusalKind::OutOfMemory
    } else if message.starts_with(b"cannot increment or decrement non-numeric") {
        RefusalKind::NonNumeric
    } else if message == b"unauthenticated" || message == b"authentication failure" {
        RefusalKind::Unauthenticated
    } else if line == b"ERROR" {
        RefusalKind::UnknownCommand
    } else {
        RefusalKind::Other
    }
}

/// A store refused for its size or for want of memory has its payload swallowed by the server.
/// After any other refusal of a store the payload may be read as commands, so what follows on the
/// connection is not to be believed. A request without payload is one line, whatever the answer.
fn keeps_in_sync(command: &Command, kind: RefusalKind) -> bool {
    !matches!(command, Command::Store { .. })
        || matches!(kind, RefusalKind::TooLarge | RefusalKind::OutOfMemory)
}
