//! Executes requests of the binary protocol. One file for each group of commands; the dispatch is the
//! two matches here, and whether a credential allows a command is looked at here alone.
//!
//! A quiet command does not answer what it is quiet about; an error is always answered.

mod arith;
mod control;
#[cfg(test)]
pub(super) mod frames;
mod get;
mod store;
#[cfg(test)]
mod tests;

use larder_proto::server::binary::{Action, Command, Status};
use larder_store::HashedKey;
use larder_tenancy::Capabilities;

use super::{auth, hashed, stats};
use crate::cx::{Cx, Flow};
use crate::reading::Reading;

pub(crate) use store::{begin_upload, finish_upload};

/// Executes what only reads.
pub(crate) fn read(
    command: &Command<'_>,
    key: Option<HashedKey<'_>>,
    cx: &Cx<'_>,
    reading: &mut Reading<'_>,
) {
    if !allows(command, cx) {
        return command.head.refuse(reading.bytes(), Status::AuthFailed);
    }
    match command.action {
        Action::Get { key: bytes, with_key, .. } => {
            get::get(command, with_key, hashed(bytes, key, cx), cx, reading);
        }
        Action::Version => command.head.text(reading.bytes(), super::VERSION.as_bytes()),
        _ => command.head.done(reading.bytes(), 0),
    }
}

/// Executes what changes items, or concerns the connection or the server.
pub(crate) fn write(
    command: &Command<'_>,
    key: Option<HashedKey<'_>>,
    cx: &mut Cx<'_>,
    out: &mut Vec<u8>,
) -> Flow {
    if !allows(command, cx) {
        command.head.refuse(out, Status::AuthFailed);
        return Flow::Continue;
    }
    match command.action {
        Action::Get { key: bytes, with_key, exptime } => {
            get::get_and_touch(command, with_key, exptime, hashed(bytes, key, cx), cx, out);
        }
        Action::Touch { key: bytes, exptime } => {
            get::touch(command, exptime, hashed(bytes, key, cx), cx, out);
        }
        Action::Store { key: bytes, mode, flags, exptime, value } => {
            let item = store::Item { mode, flags, exptime, value };
            store::store(command, item, hashed(bytes, key, cx), cx, out);
        }
        Action::Delete { key: bytes } => store::delete(command, hashed(bytes, key, cx), cx, out),
        Action::Arith { key: bytes, direction, delta, initial } => {
            let sum = arith::Sum { direction, delta, initial };
            arith::arith(command, sum, hashed(bytes, key, cx), cx, out);
        }
        Action::Flush { exptime } => control::flush(command, exptime, cx, out),
        Action::Verbosity { level } => control::verbosity(command, level, cx, out),
        Action::Stat { name } => return stats::binary(command.head, name, cx, out),
        Action::Quit => return control::quit(command, out),
        Action::SaslList | Action::SaslAuth { .. } | Action::SaslStep { .. } => {
            return auth::sasl(command, cx, out);
        }
        // Reads: they do not come here.
        Action::Noop | Action::Version => command.head.done(out, 0),
    }
    Flow::Continue
}

/// Whether the connection's credential allows the command. A refusal is counted.
fn allows(command: &Command<'_>, cx: &Cx<'_>) -> bool {
    let needed = match command.action {
        Action::Get { exptime: None, .. } => Capabilities::READ,
        Action::Get { exptime: Some(_), .. } => Capabilities::READ | Capabilities::WRITE,
        Action::Touch { .. }
        | Action::Store { .. }
        | Action::Delete { .. }
        | Action::Arith { .. } => Capabilities::WRITE,
        Action::Flush { .. } => Capabilities::FLUSH,
        Action::Verbosity { .. } => return stats::may_govern(cx),
        // What is asked for decides, or nothing is needed.
        Action::Stat { .. }
        | Action::Noop
        | Action::Version
        | Action::Quit
        | Action::SaslList
        | Action::SaslAuth { .. }
        | Action::SaslStep { .. } => return true,
    };
    cx.access.may(needed) && command.single_key().is_none_or(|key| cx.access.may_use(key))
}
