//! Text requests. One line per command (and a data block for stores), one reply per command: a
//! pipeline of single `gets` costs the same one round trip as a long `gets a b c`, and every reply
//! has its own end.

use bytes::{BufMut, BytesMut};

use crate::command::{Command, Direction, StoreMode};
use crate::line::{put_decimal, put_exptime};

/// Appends `command`; it must have passed [`Command::check`].
pub(crate) fn encode(command: &Command, out: &mut BytesMut) {
    match command {
        Command::Get { key } => put_verb(out, b"gets ", key.as_bytes()),
        Command::Store { mode, key, value, flags, exptime } => {
            put_verb(out, verb(*mode), key.as_bytes());
            out.put_u8(b' ');
            put_decimal(out, *flags);
            out.put_u8(b' ');
            put_exptime(out, *exptime);
            out.put_u8(b' ');
            put_decimal(out, value.len());
            if let StoreMode::Cas(cas) = mode {
                out.put_u8(b' ');
                put_decimal(out, *cas);
            }
            out.put_slice(b"\r\n");
            out.put_slice(value);
        }
        Command::Delete { key } => put_verb(out, b"delete ", key.as_bytes()),
        Command::Touch { key, exptime } => {
            put_verb(out, b"touch ", key.as_bytes());
            out.put_u8(b' ');
            put_exptime(out, *exptime);
        }
        Command::Arith { key, delta, direction } => {
            let verb: &[u8] = match direction {
                Direction::Incr => b"incr ",
                Direction::Decr => b"decr ",
            };
            put_verb(out, verb, key.as_bytes());
            out.put_u8(b' ');
            put_decimal(out, *delta);
        }
        Command::FlushAll => out.put_slice(b"flush_all"),
        Command::Version => out.put_slice(b"version"),
    }
    out.put_slice(b"\r\n");
}

fn put_verb(out: &mut BytesMut, verb: &[u8], key: &[u8]) {
    out.put_slice(verb);
    out.put_slice(key);
}

fn verb(mode: StoreMode) -> &'static [u8] {
    match mode {
        StoreMode::Set => b"set ",
        StoreMode::Add => b"add ",
        StoreMode::Replace => b"replace ",
        StoreMode::Append => b"append ",
        StoreMode::Prepend => b"prepend ",
        StoreMode::Cas(_) => b"cas ",
    }
}
