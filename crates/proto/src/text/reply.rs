//! Text replies. A hit is a `VALUE` line, the data and an `END` line; everything else is one line.
//! Text has no request number: a hit is matched by its key, the rest by what words can answer the
//! command.

use bytes::BytesMut;

use crate::command::Command;
use crate::error::ProtocolError;
use crate::key::Key;
use crate::line::{self, Lines, PendingValue, decimal, need_more};
use crate::reply::{Answer, Item, Progress, Reply, StoreOutcome};

/// Where the parser stands within one reply.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    lines: Lines,
    stage: Stage,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    FirstLine,
    Value(PendingValue),
    /// The item is complete, its `END` is due.
    End(Item),
}

impl Parser {
    /// See [`crate::Codec::parse`].
    pub(crate) fn parse(
        &mut self,
        command: &Command,
        limit: usize,
        buf: &mut BytesMut,
    ) -> Result<Progress, ProtocolError> {
        if let Stage::FirstLine = self.stage {
            let Some(line) = self.lines.take(buf)? else {
                return Ok(need_more(1));
            };
            match (command, line.strip_prefix(b"VALUE ")) {
                (Command::Get { key }, Some(header)) => {
                    self.stage = Stage::Value(value_header(key, header, limit)?);
                }
                _ => return first_line(command, &line).map(Progress::Ready),
            }
        }
        if let Stage::Value(pending) = &self.stage {
            let missing = pending.missing(buf);
            if missing > 0 {
                // The `END` line will follow, so ask for it at the same time.
                return Ok(need_more(missing + b"END\r\n".len()));
            }
            self.stage = Stage::End(pending.take(buf)?);
        }
        let Some(line) = self.lines.take(buf)? else {
            return Ok(need_more(1));
        };
        match std::mem::take(&mut self.stage) {
            Stage::End(item) if &line[..] == b"END" => {
                Ok(Progress::Ready(Answer::done(Reply::Item(Some(item)))))
            }
            _ => Err(ProtocolError::unexpected(&line, "END after a value")),
        }
    }
}

/// Parses `<key> <flags> <bytes> <cas>`.
fn value_header(key: &Key, header: &[u8], limit: usize) -> Result<PendingValue, ProtocolError> {
    let malformed = || ProtocolError::unexpected(header, "VALUE <key> <flags> <bytes> <cas>");
    let mut words = header.split(|&byte| byte == b' ');
    let received = words.next().unwrap_or_default();
    if received != key.as_bytes() {
        return Err(ProtocolError::mismatch("key", key.as_bytes(), received));
    }
    let mut number = || words.next().and_then(decimal).ok_or_else(malformed);
    let (flags, len, cas) = (number()?, number()?, number()?);
    if words.next().is_some() {
        return Err(malformed());
    }
    let flags = u32::try_from(flags).map_err(|_| malformed())?;
    PendingValue::new(len, flags, cas, limit)
}

/// A reply that is one line.
fn first_line(command: &Command, line: &[u8]) -> Result<Answer, ProtocolError> {
    if let Some(refused) = line::refusal(command, line) {
        return Ok(refused);
    }
    let expected = |what| ProtocolError::unexpected(line, what);
    let reply = match (command, line) {
        (Command::Get { .. }, b"END") => Reply::Item(None),
        (Command::Get { .. }, _) => return Err(expected("VALUE or END")),
        (Command::Store { .. }, _) => Reply::Store(
            store_outcome(line)
                .ok_or_else(|| expected("STORED, NOT_STORED, EXISTS or NOT_FOUND"))?,
        ),
        (Command::Delete { .. }, b"DELETED") => Reply::Deleted(true),
        (Command::Delete { .. }, b"NOT_FOUND") => Reply::Deleted(false),
        (Command::Delete { .. }, _) => return Err(expected("DELETED or NOT_FOUND")),
        (Command::Touch { .. }, b"TOUCHED") => Reply::Touched(true),
        (Command::Touch { .. }, b"NOT_FOUND") => Reply::Touched(false),
        (Command::Touch { .. }, _) => return Err(expected("TOUCHED or NOT_FOUND")),
        (Command::Arith { .. }, b"NOT_FOUND") => Reply::Number(None),
        (Command::Arith { .. }, _) => Reply::Number(Some(
            // Some servers pad the shortened number of a decrement with spaces.
            decimal(line.trim_ascii_end()).ok_or_else(|| expected("a number or NOT_FOUND"))?,
        )),
        (Command::FlushAll, b"OK") => Reply::Flushed,
        (Command::FlushAll, _) => return Err(expected("OK")),
        (Command::Version, _) => Reply::Version(
            line.strip_prefix(b"VERSION ")
                .map(|text| String::from_utf8_lossy(text).into_owned())
                .ok_or_else(|| expected("VERSION"))?,
        ),
    };
    Ok(Answer::done(reply))
}

fn store_outcome(line: &[u8]) -> Option<StoreOutcome> {
    match line {
        b"STORED" => Some(StoreOutcome::Stored { cas: None }),
        b"NOT_STORED" => Some(StoreOutcome::NotStored),
        b"EXISTS" => Some(StoreOutcome::Exists),
        b"NOT_FOUND" => Some(StoreOutcome::NotFound),
        _ => None,
    }
}

/// Parses the replies of requests that read the same in the meta protocol (`flush_all`, `version`).
pub(crate) fn classic_line(command: &Command, line: &[u8]) -> Result<Answer, ProtocolError> {
    first_line(command, line)
}
