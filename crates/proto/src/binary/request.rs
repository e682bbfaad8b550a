//! Binary requests. Only the loud ones: every request has exactly one reply, so a pipeline stays
//! easy to follow, and a miss costs 33 bytes.

use bytes::{BufMut, BytesMut};

use super::{HEADER_LEN, MAGIC_REQUEST, opcode};
use crate::command::{Command, Direction, StoreMode};

/// The expiry that tells incr and decr not to create the item.
pub(crate) const DO_NOT_CREATE: u32 = 0xffff_ffff;

/// The parts of one request.
#[derive(Debug, Default)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    pub(crate) extras: &'a [u8],
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) cas: u64,
}

impl Frame<'_> {
    /// Appends the frame. Its parts must be within the limits of keys, extras and values, which
    /// keep every length far below what its field can hold; a longer one would be cut to the field's
    /// maximum, which no server accepts, rather than wrap around.
    pub(crate) fn put(&self, opaque: u32, out: &mut BytesMut) {
        let body = self.extras.len() + self.key.len() + self.value.len();
        out.reserve(HEADER_LEN + body);
        out.put_u8(MAGIC_REQUEST);
        out.put_u8(self.opcode);
        out.put_u16(u16::try_from(self.key.len()).unwrap_or(u16::MAX));
        out.put_u8(u8::try_from(self.extras.len()).unwrap_or(u8::MAX));
        out.put_bytes(0, 3);
        out.put_u32(u32::try_from(body).unwrap_or(u32::MAX));
        out.put_u32(opaque);
        out.put_u64(self.cas);
        out.put_slice(self.extras);
        out.put_slice(self.key);
        out.put_slice(self.value);
    }
}

/// Appends `command`; it must have passed [`Command::check`].
pub(crate) fn encode(command: &Command, opaque: u32, out: &mut BytesMut) {
    match command {
        Command::Store { mode, key, value, flags, exptime } => {
            let extras = (u64::from(*flags) << 32 | u64::from(*exptime)).to_be_bytes();
            // Append and prepend change neither flags nor expiry, so they carry none.
            let has_extras = !matches!(mode, StoreMode::Append | StoreMode::Prepend);
            let extras: &[u8] = if has_extras { &extras } else { &[] };
            let cas = if let StoreMode::Cas(cas) = mode { *cas } else { 0 };
            Frame { opcode: opcode_of(command), extras, key: key.as_bytes(), value, cas }
                .put(opaque, out);
        }
        Command::Touch { key, exptime } => {
            let extras = exptime.to_be_bytes();
            put_simple(command, &extras, key.as_bytes(), opaque, out);
        }
        Command::Arith { key, delta, .. } => {
            let mut extras = [0; 20];
            extras[..8].copy_from_slice(&delta.to_be_bytes());
            extras[16..].copy_from_slice(&DO_NOT_CREATE.to_be_bytes());
            put_simple(command, &extras, key.as_bytes(), opaque, out);
        }
        Command::Get { key } | Command::Delete { key } => {
            put_simple(command, &[], key.as_bytes(), opaque, out);
        }
        Command::FlushAll | Command::Version => put_simple(command, &[], &[], opaque, out),
    }
}

/// The code a command is sent under; its reply must carry the same.
pub(crate) fn opcode_of(command: &Command) -> u8 {
    match command {
        Command::Get { .. } => opcode::GET,
        Command::Store { mode, .. } => match mode {
            StoreMode::Set | StoreMode::Cas(_) => opcode::SET,
            StoreMode::Add => opcode::ADD,
            StoreMode::Replace => opcode::REPLACE,
            StoreMode::Append => opcode::APPEND,
            StoreMode::Prepend => opcode::PREPEND,
        },
        Command::Delete { .. } => opcode::DELETE,
        Command::Touch { .. } => opcode::TOUCH,
        Command::Arith { direction: Direction::Incr, .. } => opcode::INCREMENT,
        Command::Arith { direction: Direction::Decr, .. } => opcode::DECREMENT,
        Command::FlushAll => opcode::FLUSH,
        Command::Version => opcode::VERSION,
    }
}

fn put_simple(command: &Command, extras: &[u8], key: &[u8], opaque: u32, out: &mut BytesMut) {
    let frame = Frame { opcode: opcode_of(command), extras, key, ..Frame::default() };
    frame.put(opaque, out);
}
