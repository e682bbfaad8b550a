//! Requests of the binary protocol, and the replies to them ([memcached `doc/protocol-binary.txt`]).
//!
//! A request is a header of 24 bytes, then extras, key and value. Everything that a header alone can
//! show to be wrong is refused as soon as it has come, so no length in it is waited for, or added to
//! another, before it is known to be sane. What the opcodes take is one table, `Form::of`.
//!
//! Nothing is copied: a [`Command`] borrows its key and value from the bytes that were read.
//!
//! [memcached `doc/protocol-binary.txt`]: https://github.com/memcached/memcached/blob/master/doc/protocol-binary.txt

mod reply;
#[cfg(test)]
mod tests;

pub use reply::{Head, Refusal, Status};

use super::{Bad, Class, Close, Parsed, Reply, Request};
use crate::binary::request::DO_NOT_CREATE;
use crate::binary::{HEADER_LEN, MAGIC_REQUEST, opcode as op};
use crate::command::{Direction, StoreMode};
use crate::key::MAX_KEY_LEN;

/// The longest name of a SASL mechanism.
const MAX_MECHANISM_LEN: usize = 32;
/// The most that a client may send to authenticate itself, in bytes; as for the text protocol.
const MAX_AUTH_LEN: usize = 16 << 10;
/// The longest body of any request (memcached's, whatever the largest item is): 1 GiB.
const MAX_BODY_LEN: usize = 1 << 30;

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command<'b> {
    /// What the reply repeats of the header.
    pub head: Head,
    /// Success is not answered; of a command that reads, the miss is not.
    pub quiet: bool,
    /// The item must have this CAS number; 0: any.
    pub cas: u64,
    /// What to do.
    pub action: Action<'b>,
}

/// What a request asks for. Times are as they came: see [`exptime`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'b> {
    /// get, getk; with a time also gat, gatk.
    Get {
        /// Of the item.
        key: &'b [u8],
        /// The reply repeats the key.
        with_key: bool,
        /// The new expiry.
        exptime: Option<u32>,
    },
    /// touch.
    Touch {
        /// Of the item.
        key: &'b [u8],
        /// The new expiry.
        exptime: u32,
    },
    /// set, add, replace (with a CAS number all three are [`StoreMode::Cas`], as memcached has it),
    /// append, prepend.
    Store {
        /// On which condition, and how.
        mode: StoreMode,
        /// Of the item.
        key: &'b [u8],
        /// The client's 32 bits; 0 for append and prepend.
        flags: u32,
        /// When the item expires; 0 for append and prepend.
        exptime: u32,
        /// What to store; empty while it has not come.
        value: &'b [u8],
    },
    /// delete.
    Delete {
        /// Of the item.
        key: &'b [u8],
    },
    /// increment, decrement.
    Arith {
        /// Of the item.
        key: &'b [u8],
        /// Up or down.
        direction: Direction,
        /// By how much.
        delta: u64,
        /// If there is no item: the number to create it with, and when it expires.
        initial: Option<(u64, u32)>,
    },
    /// flush: drop all items, at once or later.
    Flush {
        /// When.
        exptime: u32,
    },
    /// stat: some figures; an empty name is the general ones.
    Stat {
        /// Which.
        name: &'b [u8],
    },
    /// verbosity: how much the server logs.
    Verbosity {
        /// 0 is least.
        level: u32,
    },
    /// noop: answered when everything before it is.
    Noop,
    /// version.
    Version,
    /// quit: close after the reply.
    Quit,
    /// Which mechanisms there are to authenticate with.
    SaslList,
    /// Begins to authenticate.
    SaslAuth {
        /// The mechanism's name.
        mechanism: &'b [u8],
        /// The mechanism's first message.
        data: &'b [u8],
    },
    /// Goes on to authenticate.
    SaslStep {
        /// The mechanism's name.
        mechanism: &'b [u8],
        /// The mechanism's next message.
        data: &'b [u8],
    },
}

impl<'b> Command<'b> {
    /// The key of the one item it is about.
    #[must_use]
    pub fn single_key(&self) -> Option<&'b [u8]> {
        match self.action {
            Action::Get { key, .. }
            | Action::Touch { key, .. }
            | Action::Store { key, .. }
            | Action::Delete { key }
            | Action::Arith { key, .. } => Some(key),
            _ => None,
        }
    }

    /// How it uses the store. A noop counts as a read, so that quiet gets and the noop after them are
    /// one run of reads. A gat writes: it answers with the item as it was, even if it makes it expire.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.action {
            Action::Get { exptime: None, .. } | Action::Noop | Action::Version => Class::Read,
            Action::Get { exptime: Some(_), .. }
            | Action::Touch { .. }
            | Action::Store { .. }
            | Action::Delete { .. }
            | Action::Arith { .. }
            | Action::Flush { .. } => Class::Write,
            Action::Stat { .. }
            | Action::Verbosity { .. }
            | Action::Quit
            | Action::SaslList
            | Action::SaslAuth { .. }
            | Action::SaslStep { .. } => Class::Control,
        }
    }
}

/// A time of a request as the text protocol has it: below 0 is at once, up to 30 days is from now, the
/// rest is absolute.
///
/// The field has no sign, but pylibmc and python-binary-memcached send their −1 in it, which memcached
/// takes for a time in 2106. The last 30 days that the field can hold are negative numbers here; up
/// to there, times after 2038 are what they say.
#[must_use]
pub fn exptime(raw: u32) -> i64 {
    const MONTH: u32 = 30 * 24 * 60 * 60;
    if raw > u32::MAX - MONTH { i64::from(raw) - (1 << 32) } else { i64::from(raw) }
}

/// Parses the request that `input` begins with.
///
/// A value may be as long as memcached lets any be, 1 GiB: who carries the request out knows what is
/// too large for an item, and what to do about the item there is.
#[must_use]
pub fn parse(input: &[u8]) -> Parsed<'_> {
    let Some((bytes, body)) = input.split_first_chunk::<HEADER_LEN>() else {
        if input.first().is_some_and(|first| *first != MAGIC_REQUEST) {
            return garbage();
        }
        return Parsed::NeedMore { missing: HEADER_LEN - input.len() };
    };
    if bytes[0] != MAGIC_REQUEST {
        return garbage();
    }
    let header = Header::read(bytes);
    let form = match header.check() {
        Ok(form) => form,
        Err(refused) => return refused,
    };
    let part = if form.value.streams() { header.before_value() } else { header.body_len };
    let Some(body) = body.get(..header.body_len).or_else(|| body.get(..part)) else {
        return Parsed::NeedMore { missing: part - body.len() };
    };
    let (extras, rest) = body.split_at(header.extras_len);
    let (key, value) = rest.split_at(header.key_len);
    let request = Request::Binary(header.command(extras, key, value));
    if body.len() == header.body_len {
        return Parsed::Ready { request, used: HEADER_LEN + header.body_len };
    }
    Parsed::Partial { request, head: HEADER_LEN + part, value_len: header.value_len(), tail: 0 }
}

/// The key of the first request, if it has one. A hint, for who has its memory asked for ahead: the request
/// itself is not looked at.
#[must_use]
#[inline]
pub fn likely_key(input: &[u8]) -> Option<&[u8]> {
    let (bytes, body) = input.split_first_chunk::<HEADER_LEN>()?;
    let header = Header::read(bytes);
    let key = body.get(header.extras_len..)?.get(..header.key_len)?;
    (1..=MAX_KEY_LEN).contains(&key.len()).then_some(key)
}

/// Whether a connection that begins with this byte speaks the binary protocol.
#[must_use]
pub fn is_request(first: u8) -> bool {
    first == MAGIC_REQUEST
}

/// The opcode and the opaque of the request that `input` begins with, once its header is there.
#[must_use]
pub fn head(input: &[u8]) -> Option<Head> {
    let bytes = input.first_chunk::<HEADER_LEN>()?;
    Some(Header::read(bytes).head)
}

/// What begins with another byte than a request does: nobody knows where the next would begin.
fn garbage<'b>() -> Parsed<'b> {
    Parsed::Bad(Bad { reply: Reply::Nothing, used: 0, swallow: 0, close: Some(Close::Malformed) })
}

/// The fields of a request's header.
#[derive(Debug, Clone, Copy)]
struct Header {
    head: Head,
    key_len: usize,
    extras_len: usize,
    body_len: usize,
    cas: u64,
}

impl Header {
    /// The type of the data and the virtual bucket mean nothing, as in memcached.
    fn read(bytes: &[u8; HEADER_LEN]) -> Header {
        let [_, opcode, k0, k1, extras, _, _, _, b0, b1, b2, b3, o0, o1, o2, o3, cas @ ..] = *bytes;
        let body_len = u32::from_be_bytes([b0, b1, b2, b3]);
        Header {
            head: Head { opcode, opaque: u32::from_be_bytes([o0, o1, o2, o3]) },
            key_len: usize::from(u16::from_be_bytes([k0, k1])),
            extras_len: usize::from(extras),
            body_len: usize::try_from(body_len).unwrap_or(usize::MAX),
            cas: u64::from_be_bytes(cas),
        }
    }

    /// Bytes of extras and key.
    fn before_value(&self) -> usize {
        self.extras_len + self.key_len
    }

    /// Bytes of the value; for headers that passed [`check`](Self::check).
    fn value_len(&self) -> usize {
        self.body_len - self.before_value()
    }

    /// What the opcode takes, if the lengths fit it.
    fn check(&self) -> Result<Form, Parsed<'static>> {
        if self.before_value() > self.body_len {
            return Err(self.fatal(Status::UnknownCommand));
        }
        if self.body_len > MAX_BODY_LEN || self.key_len > MAX_KEY_LEN {
            return Err(self.fatal(Status::Invalid));
        }
        let form = Form::of(self.head.opcode).ok_or_else(|| self.skip(Status::UnknownCommand))?;
        if !form.fits(self) {
            return Err(self.fatal(Status::Invalid));
        }
        if form.value == ValueForm::Credentials
            && (self.key_len > MAX_MECHANISM_LEN || self.value_len() > MAX_AUTH_LEN)
        {
            return Err(self.skip(Status::Invalid));
        }
        Ok(form)
    }

    /// Refused: what follows is not to be trusted.
    fn fatal(&self, status: Status) -> Parsed<'static> {
        self.refuse(status, 0, Some(Close::Malformed))
    }

    /// Refused: the next request is after the body.
    fn skip(&self, status: Status) -> Parsed<'static> {
        self.refuse(status, self.body_len, None)
    }

    fn refuse(&self, status: Status, swallow: usize, close: Option<Close>) -> Parsed<'static> {
        let reply = Reply::Binary(Refusal { head: self.head, status });
        Parsed::Bad(Bad { reply, used: HEADER_LEN, swallow: swallow as u64, close })
    }

    /// The request, from parts that have the lengths that [`check`](Self::check) found right.
    fn command<'b>(&self, extras: &'b [u8], key: &'b [u8], value: &'b [u8]) -> Command<'b> {
        let get = |with_key, exptime| Action::Get { key, with_key, exptime };
        let join = |mode| Action::Store { mode, key, flags: 0, exptime: 0, value };
        let store = |mode| {
            let mode = if self.cas == 0 { mode } else { StoreMode::Cas(self.cas) };
            Action::Store { mode, key, flags: u32_at(extras, 0), exptime: u32_at(extras, 4), value }
        };
        let action = match self.head.opcode {
            op::GET | op::GETQ => get(false, None),
            op::GETK | op::GETKQ => get(true, None),
            op::GAT | op::GATQ => get(false, Some(u32_at(extras, 0))),
            op::GATK | op::GATKQ => get(true, Some(u32_at(extras, 0))),
            op::TOUCH => Action::Touch { key, exptime: u32_at(extras, 0) },
            op::SET | op::SETQ => store(StoreMode::Set),
            op::ADD | op::ADDQ => store(StoreMode::Add),
            op::REPLACE | op::REPLACEQ => store(StoreMode::Replace),
            op::APPEND | op::APPENDQ => join(StoreMode::Append),
            op::PREPEND | op::PREPENDQ => join(StoreMode::Prepend),
            op::DELETE | op::DELETEQ => Action::Delete { key },
            op::INCREMENT | op::INCREMENTQ => arith(Direction::Incr, extras, key),
            op::DECREMENT | op::DECREMENTQ => arith(Direction::Decr, extras, key),
            op::FLUSH | op::FLUSHQ => Action::Flush { exptime: u32_at(extras, 0) },
            op::STAT => Action::Stat { name: key },
            op::VERBOSITY => Action::Verbosity { level: u32_at(extras, 0) },
            op::VERSION => Action::Version,
            op::QUIT | op::QUITQ => Action::Quit,
            op::SASL_LIST => Action::SaslList,
            op::SASL_AUTH => Action::SaslAuth { mechanism: key, data: value },
            op::SASL_STEP => Action::SaslStep { mechanism: key, data: value },
            // What is left of those that have a form.
            _ => Action::Noop,
        };
        Command { head: self.head, quiet: is_quiet(self.head.opcode), cas: self.cas, action }
    }
}

/// The lengths that an opcode takes.
#[derive(Debug, Clone, Copy)]
struct Form {
    extras: &'static [usize],
    key: KeyForm,
    value: ValueForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyForm {
    None,
    Optional,
    Required,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValueForm {
    None,
    /// Of an item: handed on as it comes.
    Item,
    /// Of a SASL mechanism: short, and needed whole.
    Credentials,
}

impl ValueForm {
    fn streams(self) -> bool {
        self == ValueForm::Item
    }
}

impl Form {
    /// The table of all opcodes; none for those that memcached has only on paper.
    fn of(opcode: u8) -> Option<Form> {
        let (extras, key, value): (&[usize], _, _) = match opcode {
            op::GET | op::GETQ | op::GETK | op::GETKQ | op::DELETE | op::DELETEQ => {
                (&[0], KeyForm::Required, ValueForm::None)
            }
            op::TOUCH | op::GAT | op::GATQ | op::GATK | op::GATKQ => {
                (&[4], KeyForm::Required, ValueForm::None)
            }
            op::SET | op::SETQ | op::ADD | op::ADDQ | op::REPLACE | op::REPLACEQ => {
                (&[8], KeyForm::Required, ValueForm::Item)
            }
            op::APPEND | op::APPENDQ | op::PREPEND | op::PREPENDQ => {
                (&[0], KeyForm::Required, ValueForm::Item)
            }
            op::INCREMENT | op::INCREMENTQ | op::DECREMENT | op::DECREMENTQ => {
                (&[20], KeyForm::Required, ValueForm::None)
            }
            op::QUIT | op::QUITQ | op::NOOP | op::VERSION | op::SASL_LIST => {
                (&[0], KeyForm::None, ValueForm::None)
            }
            op::FLUSH | op::FLUSHQ => (&[0, 4], KeyForm::None, ValueForm::None),
            op::VERBOSITY => (&[4], KeyForm::None, ValueForm::None),
            op::STAT => (&[0], KeyForm::Optional, ValueForm::None),
            op::SASL_AUTH | op::SASL_STEP => (&[0], KeyForm::Required, ValueForm::Credentials),
            _ => return None,
        };
        Some(Form { extras, key, value })
    }

    fn fits(&self, header: &Header) -> bool {
        let key = match self.key {
            KeyForm::None => header.key_len == 0,
            KeyForm::Optional => true,
            KeyForm::Required => header.key_len > 0,
        };
        let value = self.value != ValueForm::None || header.value_len() == 0;
        key && value && self.extras.contains(&header.extras_len)
    }
}

fn is_quiet(opcode: u8) -> bool {
    matches!(opcode, op::GETQ | op::GETKQ | op::GATQ | op::GATKQ | op::SETQ..=op::PREPENDQ)
}

fn arith<'b>(direction: Direction, extras: &[u8], key: &'b [u8]) -> Action<'b> {
    let exptime = u32_at(extras, 16);
    let initial = (exptime != DO_NOT_CREATE).then(|| (u64_at(extras, 8), exptime));
    Action::Arith { key, direction, delta: u64_at(extras, 0), initial }
}

/// A number of the extras; 0 if they are left out, as those of flush may be.
fn u32_at(extras: &[u8], at: usize) -> u32 {
    extras.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn u64_at(extras: &[u8], at: usize) -> u64 {
    extras.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
