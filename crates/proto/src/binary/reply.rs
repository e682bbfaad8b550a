//! Binary replies. Each is matched by opcode and opaque; its length is known from the header, so
//! there is no state to keep between calls.

use bytes::{Buf, Bytes, BytesMut};

use super::request::opcode_of;
use super::{HEADER_LEN, MAGIC_REPLY, status};
use crate::command::{Command, StoreMode};
use crate::error::{ProtocolError, Refusal, RefusalKind};
use crate::key::MAX_KEY_LEN;
use crate::line::need_more;
use crate::reply::{Answer, Item, Progress, Reply, StoreOutcome};

/// Room for extras and error texts on top of the value and the key.
const BODY_MARGIN: usize = 256;

/// One reply, cut into its parts.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) status: u16,
    pub(crate) extras: Bytes,
    pub(crate) value: Bytes,
    pub(crate) cas: u64,
}

/// Either a whole frame, taken out of the buffer, or how many bytes are missing.
#[derive(Debug)]
pub(crate) enum Taken {
    Missing(usize),
    Whole(Frame),
}

/// The fields of a reply's header.
struct Header {
    opcode: u8,
    key_len: usize,
    extras_len: usize,
    status: u16,
    body_len: usize,
    opaque: u32,
    cas: u64,
}

impl Header {
    fn read(bytes: &[u8; HEADER_LEN]) -> Result<Self, ProtocolError> {
        let mut fields = &bytes[..];
        if fields.get_u8() != MAGIC_REPLY {
            return Err(ProtocolError::unexpected(bytes, "a reply that begins with 0x81"));
        }
        let opcode = fields.get_u8();
        let key_len = usize::from(fields.get_u16());
        let extras_len = usize::from(fields.get_u8());
        let _data_type = fields.get_u8();
        let status = fields.get_u16();
        let body_len = usize::try_from(fields.get_u32()).unwrap_or(usize::MAX);
        let (opaque, cas) = (fields.get_u32(), fields.get_u64());
        Ok(Self { opcode, key_len, extras_len, status, body_len, opaque, cas })
    }
}

/// Takes the reply to request `opaque` with `opcode` out of `buf`.
pub(crate) fn take(
    opcode: u8,
    opaque: u32,
    limit: usize,
    buf: &mut BytesMut,
) -> Result<Taken, ProtocolError> {
    let Some(bytes) = buf.first_chunk::<HEADER_LEN>() else {
        return Ok(Taken::Missing(HEADER_LEN - buf.len()));
    };
    let header = Header::read(bytes)?;
    expect("opcode", u32::from(opcode), u32::from(header.opcode))?;
    expect("opaque", opaque, header.opaque)?;
    let Header { key_len, extras_len, body_len, .. } = header;
    if body_len > limit.saturating_add(MAX_KEY_LEN + BODY_MARGIN) {
        return Err(ProtocolError::value_too_long(body_len, limit));
    }
    if key_len + extras_len > body_len {
        return Err(ProtocolError::unexpected(bytes, "a body that holds extras and key"));
    }
    let missing = (HEADER_LEN + body_len).saturating_sub(buf.len());
    if missing > 0 {
        return Ok(Taken::Missing(missing));
    }
    buf.advance(HEADER_LEN);
    let mut value = buf.split_to(body_len).freeze();
    let extras = value.split_to(extras_len);
    value.advance(key_len);
    Ok(Taken::Whole(Frame { status: header.status, extras, value, cas: header.cas }))
}

/// See [`crate::Codec::parse`].
pub(crate) fn parse(
    command: &Command,
    opaque: u32,
    limit: usize,
    buf: &mut BytesMut,
) -> Result<Progress, ProtocolError> {
    let frame = match take(opcode_of(command), opaque, limit, buf)? {
        Taken::Missing(missing) => return Ok(need_more(missing)),
        Taken::Whole(frame) => frame,
    };
    let answer = match negative(command, frame.status) {
        _ if frame.status == status::OK => Answer::done(positive(command, frame, limit)?),
        Some(reply) => Answer::done(reply),
        None => refused(&frame),
    };
    Ok(Progress::Ready(answer))
}

fn expect(what: &'static str, sent: u32, received: u32) -> Result<(), ProtocolError> {
    if sent == received {
        return Ok(());
    }
    Err(ProtocolError::Mismatch {
        what,
        sent: format!("{sent:#x}"),
        received: format!("{received:#x}"),
    })
}

/// The reply to a command that was carried out.
fn positive(command: &Command, frame: Frame, limit: usize) -> Result<Reply, ProtocolError> {
    let reply = match command {
        Command::Get { .. } => {
            let flags = <[u8; 4]>::try_from(&frame.extras[..])
                .map_err(|_| ProtocolError::unexpected(&frame.extras, "4 bytes of flags"))?;
            if frame.value.len() > limit {
                return Err(ProtocolError::value_too_long(frame.value.len(), limit));
            }
            let flags = u32::from_be_bytes(flags);
            Reply::Item(Some(Item { value: frame.value, flags, cas: frame.cas }))
        }
        Command::Store { .. } => Reply::Store(StoreOutcome::Stored { cas: Some(frame.cas) }),
        Command::Delete { .. } => Reply::Deleted(true),
        Command::Touch { .. } => Reply::Touched(true),
        Command::Arith { .. } => {
            let number = <[u8; 8]>::try_from(&frame.value[..])
                .map_err(|_| ProtocolError::unexpected(&frame.value, "a number of 8 bytes"))?;
            Reply::Number(Some(u64::from_be_bytes(number)))
        }
        Command::FlushAll => Reply::Flushed,
        Command::Version => Reply::Version(String::from_utf8_lossy(&frame.value).into_owned()),
    };
    Ok(reply)
}

/// The reply to a command whose condition did not hold; none if the status is an error for it.
/// Which status means what depends on the command: an `add` of a present key says "exists", a
/// `replace` of an absent one "not found".
fn negative(command: &Command, status: u16) -> Option<Reply> {
    let reply = match (command, status) {
        (Command::Get { .. }, status::NOT_FOUND) => Reply::Item(None),
        (Command::Delete { .. }, status::NOT_FOUND) => Reply::Deleted(false),
        (Command::Touch { .. }, status::NOT_FOUND) => Reply::Touched(false),
        (Command::Arith { .. }, status::NOT_FOUND) => Reply::Number(None),
        (Command::Store { .. }, status::NOT_STORED) => Reply::Store(StoreOutcome::NotStored),
        (Command::Store { mode: StoreMode::Cas(_), .. }, status::NOT_FOUND) => {
            Reply::Store(StoreOutcome::NotFound)
        }
        (Command::Store { mode: StoreMode::Cas(_), .. }, status::EXISTS) => {
            Reply::Store(StoreOutcome::Exists)
        }
        (Command::Store { .. }, status::NOT_FOUND | status::EXISTS) => {
            Reply::Store(StoreOutcome::NotStored)
        }
        _ => return None,
    };
    Some(reply)
}

fn refused(frame: &Frame) -> Answer {
    let kind = match frame.status {
        status::TOO_LARGE => RefusalKind::TooLarge,
        status::OUT_OF_MEMORY => RefusalKind::OutOfMemory,
        status::NON_NUMERIC => RefusalKind::NonNumeric,
        status::AUTH_FAILED => RefusalKind::Unauthenticated,
        status::UNKNOWN_COMMAND => RefusalKind::UnknownCommand,
        _ => RefusalKind::Other,
    };
    let refusal = if frame.value.is_empty() {
        Refusal::new(kind, format!("status {:#06x}", frame.status).as_bytes())
    } else {
        Refusal::new(kind, &frame.value)
    };
    // memcached closes the connection after these two.
    let in_sync = !matches!(frame.status, status::INVALID | status::AUTH_FAILED);
    Answer { reply: Err(refusal), in_sync }
}
