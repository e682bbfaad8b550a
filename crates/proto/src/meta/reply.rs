//! Meta replies: a code, flags in the order they were asked for, and for `VA` a value. A reply is
//! matched by its opaque; a hit by its key as well.

use bytes::BytesMut;

use crate::command::Command;
use crate::error::ProtocolError;
use crate::line::{self, Lines, PendingValue, decimal, need_more};
use crate::reply::{Answer, Item, Progress, Reply, StoreOutcome};
use crate::text;

/// Where the parser stands within one reply.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    lines: Lines,
    value: Option<PendingValue>,
}

impl Parser {
    /// See [`crate::Codec::parse`].
    pub(crate) fn parse(
        &mut self,
        command: &Command,
        opaque: u32,
        limit: usize,
        buf: &mut BytesMut,
    ) -> Result<Progress, ProtocolError> {
        if self.value.is_none() {
            let Some(line) = self.lines.take(buf)? else {
                return Ok(need_more(1));
            };
            match first_line(command, opaque, limit, &line)? {
                First::Complete(answer) => return Ok(Progress::Ready(answer)),
                First::Value(pending) => self.value = Some(pending),
            }
        }
        let Some(pending) = self.value.take_if(|pending| pending.missing(buf) == 0) else {
            return Ok(need_more(self.value.as_ref().map_or(1, |pending| pending.missing(buf))));
        };
        let item = pending.take(buf)?;
        with_value(command, item).map(|reply| Progress::Ready(Answer::done(reply)))
    }
}

/// What the first line of a reply turns out to be.
enum First {
    Complete(Answer),
    Value(PendingValue),
}

fn first_line(
    command: &Command,
    opaque: u32,
    limit: usize,
    line: &[u8],
) -> Result<First, ProtocolError> {
    if let Some(refused) = line::refusal(command, line) {
        return Ok(First::Complete(refused));
    }
    if matches!(command, Command::FlushAll | Command::Version) {
        return text::reply::classic_line(command, line).map(First::Complete);
    }
    let (code, rest) = line.split_at(line.len().min(2));
    let mut words = rest.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    let len = match code {
        b"VA" => Some(
            words
                .next()
                .and_then(decimal)
                .ok_or_else(|| ProtocolError::unexpected(line, "VA <bytes> <flags>"))?,
        ),
        _ => None,
    };
    let flags = Flags::parse(words, line)?;
    flags.check(command, opaque, code)?;
    match len {
        Some(len) => {
            PendingValue::new(len, flags.client, flags.cas.unwrap_or(0), limit).map(First::Value)
        }
        None => without_value(command, code, &flags, line)
            .map(|reply| First::Complete(Answer::done(reply))),
    }
}

/// The flags of a reply that this client asks for; others are passed over.
#[derive(Default)]
struct Flags<'a> {
    client: u32,
    cas: Option<u64>,
    opaque: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    /// The key is given in base64, because whoever stored the item named it so.
    key_is_base64: bool,
}

impl<'a> Flags<'a> {
    fn parse(words: impl Iterator<Item = &'a [u8]>, line: &[u8]) -> Result<Self, ProtocolError> {
        let number = |digits| {
            decimal(digits).ok_or_else(|| ProtocolError::unexpected(line, "numbers in f and c"))
        };
        let mut flags = Self::default();
        for word in words {
            match word.split_first() {
                Some((b'f', digits)) => {
                    flags.client = u32::try_from(number(digits)?)
                        .map_err(|_| ProtocolError::unexpected(line, "client flags of 32 bits"))?;
                }
                Some((b'c', digits)) => flags.cas = Some(number(digits)?),
                Some((b'O', opaque)) => flags.opaque = Some(opaque),
                Some((b'k', key)) => flags.key = Some(key),
                Some((b'b', _)) => flags.key_is_base64 = true,
                _ => {}
            }
        }
        Ok(flags)
    }

    /// Refuses a reply to another request. A miss (`EN`) may come without flags from servers before
    /// 1.6.10; the ones after it are still told apart by their own opaques.
    fn check(&self, command: &Command, opaque: u32, code: &[u8]) -> Result<(), ProtocolError> {
        let mut digits = itoa::Buffer::new();
        let sent = digits.format(opaque).as_bytes();
        match self.opaque {
            Some(received) if received == sent => {}
            None if code == b"EN" => {}
            other => {
                return Err(ProtocolError::mismatch("opaque", sent, other.unwrap_or(b"absent")));
            }
        }
        match (self.key, command.key()) {
            (Some(received), Some(key)) if !self.key_is_base64 && received != key.as_bytes() => {
                Err(ProtocolError::mismatch("key", key.as_bytes(), received))
            }
            _ => Ok(()),
        }
    }
}

fn without_value(
    command: &Command,
    code: &[u8],
    flags: &Flags<'_>,
    line: &[u8],
) -> Result<Reply, ProtocolError> {
    let reply = match (command, code) {
        (Command::Get { .. }, b"EN") => Reply::Item(None),
        (Command::Store { .. }, b"HD") => Reply::Store(StoreOutcome::Stored { cas: flags.cas }),
        (Command::Store { .. }, b"NS") => Reply::Store(StoreOutcome::NotStored),
        (Command::Store { .. }, b"EX") => Reply::Store(StoreOutcome::Exists),
        (Command::Store { .. }, b"NF") => Reply::Store(StoreOutcome::NotFound),
        (Command::Delete { .. }, b"HD") => Reply::Deleted(true),
        (Command::Delete { .. }, b"NF") => Reply::Deleted(false),
        (Command::Touch { .. }, b"HD") => Reply::Touched(true),
        (Command::Touch { .. }, b"EN" | b"NF") => Reply::Touched(false),
        (Command::Arith { .. }, b"NF") => Reply::Number(None),
        _ => {
            return Err(ProtocolError::unexpected(line, "a meta reply to this command"));
        }
    };
    Ok(reply)
}

fn with_value(command: &Command, item: Item) -> Result<Reply, ProtocolError> {
    match command {
        Command::Get { .. } => Ok(Reply::Item(Some(item))),
        Command::Arith { .. } => decimal(item.value.trim_ascii_end())
            .map(|number| Reply::Number(Some(number)))
            .ok_or_else(|| ProtocolError::unexpected(&item.value, "a number")),
        _ => Err(ProtocolError::unexpected(b"VA", "a reply without a value")),
    }
}
