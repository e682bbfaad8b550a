//! Meta requests. Every one carries its number as an opaque (`O`), which the server echoes. What
//! the meta protocol lacks (`flush_all`, `version`) is asked in classic text.

use bytes::{BufMut, BytesMut};

use crate::command::{Command, Direction, StoreMode};
use crate::line::{put_decimal, put_exptime};
use crate::text;

/// Appends `command`; it must have passed [`Command::check`].
pub(crate) fn encode(command: &Command, opaque: u32, out: &mut BytesMut) {
    match command {
        Command::Get { key } => {
            put_start(out, b"mg ", key.as_bytes());
            out.put_slice(b" v f c k");
        }
        Command::Store { mode, key, value, flags, exptime } => {
            put_start(out, b"ms ", key.as_bytes());
            out.put_u8(b' ');
            put_decimal(out, value.len());
            put_mode(out, *mode);
            out.put_slice(b" F");
            put_decimal(out, *flags);
            out.put_slice(b" T");
            put_exptime(out, *exptime);
            out.put_slice(b" c");
            put_opaque(out, opaque);
            out.put_slice(value);
            out.put_slice(b"\r\n");
            return;
        }
        Command::Delete { key } => put_start(out, b"md ", key.as_bytes()),
        Command::Touch { key, exptime } => {
            put_start(out, b"mg ", key.as_bytes());
            out.put_slice(b" T");
            put_exptime(out, *exptime);
        }
        Command::Arith { key, delta, direction } => {
            put_start(out, b"ma ", key.as_bytes());
            out.put_slice(match direction {
                Direction::Incr => b" v MI D",
                Direction::Decr => b" v MD D",
            });
            put_decimal(out, *delta);
        }
        Command::FlushAll | Command::Version => return text::request::encode(command, out),
    }
    put_opaque(out, opaque);
}

fn put_start(out: &mut BytesMut, verb: &[u8], key: &[u8]) {
    out.put_slice(verb);
    out.put_slice(key);
}

/// The opaque is the last flag of every line.
fn put_opaque(out: &mut BytesMut, opaque: u32) {
    out.put_slice(b" O");
    put_decimal(out, opaque);
    out.put_slice(b"\r\n");
}

fn put_mode(out: &mut BytesMut, mode: StoreMode) {
    match mode {
        StoreMode::Set => out.put_slice(b" MS"),
        StoreMode::Add => out.put_slice(b" ME"),
        StoreMode::Replace => out.put_slice(b" MR"),
        StoreMode::Append => out.put_slice(b" MA"),
        StoreMode::Prepend => out.put_slice(b" MP"),
        StoreMode::Cas(cas) => {
            out.put_slice(b" MS C");
            put_decimal(out, cas);
        }
    }
}
