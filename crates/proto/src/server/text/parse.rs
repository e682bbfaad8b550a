//! Bytes to commands.

use super::{Admin, Command, Keys, MAX_LINE_LEN, Scan, Store};
use crate::command::StoreMode;
use crate::key::MAX_KEY_LEN;
use crate::server::line::{
    MAX_ANNOUNCED, announced, decimal, error, leading_number, signed, signed32,
};
use crate::server::{Bad, Close, Limits, Parsed, Reply, Request, Words, binary, meta};

/// The bytes of a line ending.
const CRLF: &[u8] = b"\r\n";

/// The name of no command with a key is longer.
const LONGEST_NAME: usize = b"prepend".len();

/// A line has at least so many bytes, its ending included.
const MIN_LINE_LEN: usize = 4;

/// What `input`, the unread bytes of a connection, begins with: text or meta.
#[must_use]
#[inline]
pub fn parse<'b>(input: &'b [u8], scan: &mut Scan, limits: &Limits) -> Parsed<'b> {
    match line_end(input, scan, limits) {
        Ok(end) => parse_line(input, end, false),
        Err(otherwise) => otherwise,
    }
}

/// `get <key>\r\n`, the request that there is most of, if `input` begins with one: its key, and how many
/// bytes it takes. [`parse`] says the same of it, with more ado.
#[must_use]
#[inline]
pub fn plain_get(input: &[u8]) -> Option<(&[u8], usize)> {
    let rest = input.strip_prefix(b"get ")?;
    let rest = &rest[..rest.len().min(MAX_KEY_LEN + 2)];
    let end = memchr::memchr2(b' ', b'\n', rest)?;
    let key = rest[..=end].strip_suffix(CRLF).filter(|key| !key.is_empty())?;
    Some((key, b"get ".len() + end + 1))
}

/// What most commands of text and meta have for a key: what stands behind the first space. A hint, for who
/// has its memory asked for ahead; the line itself is not looked at.
#[must_use]
#[inline]
pub fn likely_key(input: &[u8]) -> Option<&[u8]> {
    let name = memchr::memchr(b' ', &input[..input.len().min(LONGEST_NAME + 1)])?;
    let rest = &input[name + 1..];
    let end = memchr::memchr2(b' ', b'\r', &rest[..rest.len().min(MAX_KEY_LEN + 1)])?;
    Some(&rest[..end])
}

/// `set <key> <flags> <exptime> <bytes>\r\n` and its value, if `input` begins with one that is whole and has
/// nothing unusual in it; and how many bytes it takes. [`parse`] says the same of it, with more ado.
#[must_use]
#[inline]
pub fn plain_set(input: &[u8]) -> Option<(Store<'_>, usize)> {
    let rest = input.strip_prefix(b"set ")?;
    let end = memchr::memchr2(b' ', b'\n', &rest[..rest.len().min(MAX_KEY_LEN + 1)])?;
    let (key, rest) = rest.split_at(end);
    let (flags, rest) = leading_number(rest.strip_prefix(b" ")?)?;
    let (exptime, rest) = leading_number(rest.strip_prefix(b" ")?)?;
    let (value_len, rest) = leading_number(rest.strip_prefix(b" ")?)?;
    let rest = rest.strip_prefix(CRLF)?;
    let (value, after) = rest.split_at_checked(usize::try_from(value_len).ok()?)?;
    let after = after.strip_prefix(CRLF)?;
    let (flags, exptime) = (u32::try_from(flags).ok()?, i32::try_from(exptime).ok()?);
    if key.is_empty() || value_len > MAX_ANNOUNCED {
        return None;
    }
    let (mode, exptime) = (StoreMode::Set, exptime.into());
    let store = Store { mode, key, flags, exptime, noreply: false, value };
    Some((store, input.len() - after.len()))
}

/// Where the line feed of the first line is.
fn line_end<'b>(input: &[u8], scan: &mut Scan, limits: &Limits) -> Result<usize, Parsed<'b>> {
    let limit = if is_keys_line(input) { limits.max_keys_line } else { MAX_LINE_LEN };
    // The line feed may come right after the last byte that is allowed.
    let window = input.len().min(limit.saturating_add(1));
    let from = scan.searched.min(window);
    if let Some(found) = memchr::memchr(b'\n', &input[from..window]) {
        scan.searched = 0;
        return Ok(from + found);
    }
    if window > limit {
        scan.searched = 0;
        let close = Some(Close::LongLine);
        return Err(Parsed::Bad(Bad {
            reply: Reply::Nothing,
            used: input.len(),
            swallow: 0,
            close,
        }));
    }
    scan.searched = window;
    Err(Parsed::NeedMore { missing: 1 })
}

/// A multi-get may be of any length up to its own limit.
fn is_keys_line(input: &[u8]) -> bool {
    matches!(input, [b'g', b'e' | b'a', b't', b' ', ..] | [b'g', b'e' | b'a', b't', b's', b' ', ..])
}

/// The request of a line, its ending included, that was parsed before and is carried out piece by piece.
/// A long line is not looked through again.
#[must_use]
pub fn again(line: &[u8]) -> Option<Request<'_>> {
    match parse_line(line, line.len().checked_sub(1)?, true) {
        Parsed::Ready { request, .. } => Some(request),
        _ => None,
    }
}

/// The command on the line that ends at `end`; if it is `known`, the length of its keys is not checked.
fn parse_line(input: &[u8], end: usize, known: bool) -> Parsed<'_> {
    let used = end + 1;
    if used < MIN_LINE_LEN {
        return bad(error::FORMAT, used);
    }
    let line = &input[..end];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = Words::new(line);
    let name = words.next().unwrap_or_default();
    let whole = Line { input, used, line, known };
    if line.starts_with(b" ") {
        return whole.unknown();
    }
    match name {
        b"get" => whole.get(words, false),
        b"set" => whole.store(words, StoreMode::Set),
        b"mg" => meta::parse(meta::Verb::Get, words, input, used),
        b"ms" => meta::parse(meta::Verb::Set, words, input, used),
        b"gets" => whole.get(words, true),
        b"delete" => whole.delete(words),
        b"incr" => whole.arith(words, false),
        b"decr" => whole.arith(words, true),
        b"add" => whole.store(words, StoreMode::Add),
        b"cas" => whole.store(words, StoreMode::Cas(0)),
        b"touch" => whole.touch(words),
        b"gat" => whole.get_and_touch(words, false),
        b"gats" => whole.get_and_touch(words, true),
        b"md" => meta::parse(meta::Verb::Delete, words, input, used),
        b"ma" => meta::parse(meta::Verb::Arith, words, input, used),
        b"mn" => meta::parse(meta::Verb::Noop, words, input, used),
        b"me" => meta::parse(meta::Verb::Debug, words, input, used),
        b"replace" => whole.store(words, StoreMode::Replace),
        b"append" => whole.store(words, StoreMode::Append),
        b"prepend" => whole.store(words, StoreMode::Prepend),
        b"version" => whole.ready(Command::Version),
        b"quit" => whole.ready(Command::Quit),
        b"stats" => whole.ready(Command::Stats { args: words }),
        _ => whole.admin(name, words),
    }
}

/// A line, and what it was found in.
#[derive(Clone, Copy)]
struct Line<'b> {
    input: &'b [u8],
    used: usize,
    line: &'b [u8],
    known: bool,
}

impl<'b> Line<'b> {
    fn get(self, words: Words<'b>, cas: bool) -> Parsed<'b> {
        match self.keys(words) {
            Some(keys) => self.ready(Command::Get { keys, cas }),
            None => bad(error::FORMAT, self.used),
        }
    }

    fn get_and_touch(self, mut words: Words<'b>, cas: bool) -> Parsed<'b> {
        let Some(exptime) = words.next().filter(|_| !words.is_empty()) else {
            return bad(error::FORMAT, self.used);
        };
        let Some(exptime) = signed32(exptime) else {
            return bad(error::EXPTIME, self.used);
        };
        let Some(keys) = self.keys(words) else {
            return bad(error::FORMAT, self.used);
        };
        self.ready(Command::GetAndTouch { keys, cas, exptime: exptime.into() })
    }

    fn store(self, mut words: Words<'b>, mode: StoreMode) -> Parsed<'b> {
        let (Some(key), Some(flags), Some(exptime), Some(len)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return bad(error::FORMAT, self.used);
        };
        let Some(value_len) = announced(len) else {
            return bad(error::FORMAT, self.used);
        };
        let noreply = self.noreply();
        let mode = match mode {
            StoreMode::Cas(_) => words.next().and_then(decimal).map(StoreMode::Cas),
            mode => Some(mode),
        };
        let (Some(flags), Some(exptime), Some(mode), true) =
            (client_flags(flags), store_exptime(exptime), mode, key.len() <= MAX_KEY_LEN)
        else {
            return bad_store(unless(noreply, error::FORMAT), self.used, value_len);
        };
        let chunk_error = unless(noreply, error::CHUNK);
        valued(self.input, self.used, value_len, chunk_error, |value| {
            Request::Text(Command::Store(Store { mode, key, flags, exptime, noreply, value }))
        })
    }

    /// The words as keys; none if there is no word, or one is too long for a key.
    fn keys(self, mut words: Words<'b>) -> Option<Keys<'b>> {
        if !self.known && has_long_word(words.rest()) {
            return None;
        }
        Some(Keys { first: words.next()?, rest: words })
    }

    /// `delete <key> [0] [noreply]`: the number is a delay that memcached once had. Anything else is
    /// refused, as memcached did for long.
    fn delete(self, mut words: Words<'b>) -> Parsed<'b> {
        let Some(key) = words.next() else {
            return bad(error::FORMAT, self.used);
        };
        if key.len() > MAX_KEY_LEN {
            return self.refuse(error::FORMAT);
        }
        match (words.next(), words.next(), words.next()) {
            (None | Some(b"0" | b"noreply"), None, _) | (Some(b"0"), Some(b"noreply"), None) => {
                self.ready(Command::Delete { key, noreply: self.noreply() })
            }
            _ => self.refuse(error::DELETE),
        }
    }

    fn arith(self, mut words: Words<'b>, down: bool) -> Parsed<'b> {
        let (Some(key), Some(delta)) = (words.next(), words.next()) else {
            return bad(error::FORMAT, self.used);
        };
        match decimal(delta) {
            _ if key.len() > MAX_KEY_LEN => self.refuse(error::FORMAT),
            None => self.refuse(error::DELTA),
            Some(delta) => self.ready(Command::Arith { key, delta, down, noreply: self.noreply() }),
        }
    }

    fn touch(self, mut words: Words<'b>) -> Parsed<'b> {
        let (Some(key), Some(exptime)) = (words.next(), words.next()) else {
            return bad(error::FORMAT, self.used);
        };
        match signed32(exptime) {
            _ if key.len() > MAX_KEY_LEN => self.refuse(error::FORMAT),
            None => self.refuse(error::EXPTIME),
            Some(exptime) => {
                let exptime = exptime.into();
                self.ready(Command::Touch { key, exptime, noreply: self.noreply() })
            }
        }
    }

    fn admin(self, name: &[u8], args: Words<'b>) -> Parsed<'b> {
        let verb = match name {
            b"flush_all" => Admin::FlushAll,
            b"verbosity" => Admin::Verbosity,
            b"cache_memlimit" => Admin::CacheMemlimit,
            b"shutdown" => Admin::Shutdown,
            b"slabs" => Admin::Slabs,
            b"lru" => Admin::Lru,
            b"lru_crawler" => Admin::LruCrawler,
            b"watch" => Admin::Watch,
            b"refresh_certs" => Admin::RefreshCerts,
            b"debugtime" => Admin::DebugTime,
            _ => return self.unknown(),
        };
        self.ready(Command::Admin { verb, args, noreply: self.noreply() })
    }

    /// A line that is no command; a browser's is not even answered.
    fn unknown(self) -> Parsed<'b> {
        if Words::new(self.line).skip(1).last().is_some_and(|word| word.starts_with(b"HTTP/")) {
            let close = Some(Close::Http);
            return Parsed::Bad(Bad { reply: Reply::Nothing, used: self.used, swallow: 0, close });
        }
        self.refuse(error::UNKNOWN)
    }

    fn ready(self, command: Command<'b>) -> Parsed<'b> {
        Parsed::Ready { request: Request::Text(command), used: self.used }
    }

    /// An error that `noreply` suppresses.
    fn refuse(self, reply: &'static [u8]) -> Parsed<'b> {
        let reply = unless(self.noreply(), reply);
        Parsed::Bad(Bad { reply, used: self.used, swallow: 0, close: None })
    }

    /// Whether that is the last word.
    fn noreply(self) -> bool {
        let mut line = self.line;
        while let [before @ .., b' '] = line {
            line = before;
        }
        line.ends_with(b" noreply")
    }
}

/// Whether a word is longer than a key may be. Of the bytes of a key and one more, one has to be a
/// space; so this looks at a few bytes of a long line only.
fn has_long_word(mut line: &[u8]) -> bool {
    while line.len() > MAX_KEY_LEN {
        match memchr::memrchr(b' ', &line[..=MAX_KEY_LEN]) {
            Some(space) => line = &line[space + 1..],
            None => return true,
        }
    }
    false
}

/// A client's flags; as in memcached, only 32 bits of what may be up to 64 are kept.
fn client_flags(word: &[u8]) -> Option<u32> {
    let [_, _, _, _, low @ ..] = decimal(unsign(word))?.to_be_bytes();
    Some(u32::from_be_bytes(low))
}

/// An exptime, of which clients with 32 bits may have lost the sign.
fn store_exptime(word: &[u8]) -> Option<i64> {
    let exptime = signed(unsign(word))?;
    Some(u32::try_from(exptime).map_or(exptime, binary::exptime))
}

/// A number without the plus sign that a store may have before it.
#[inline]
fn unsign(word: &[u8]) -> &[u8] {
    word.strip_prefix(b"+").unwrap_or(word)
}

/// The request of a line and the value after it.
pub(crate) fn valued<'b>(
    input: &'b [u8],
    head: usize,
    value_len: usize,
    chunk_error: Reply,
    request: impl FnOnce(&'b [u8]) -> Request<'b>,
) -> Parsed<'b> {
    let rest = &input[head..];
    let Some((value, after)) =
        rest.split_at_checked(value_len).filter(|(_, after)| after.len() > 1)
    else {
        return Parsed::Partial { request: request(&[]), head, value_len, tail: CRLF.len() };
    };
    let used = head + value_len + CRLF.len();
    if after.starts_with(CRLF) {
        Parsed::Ready { request: request(value), used }
    } else {
        Parsed::Bad(Bad { reply: chunk_error, used, swallow: 0, close: None })
    }
}

/// A bad line that is all there is to it.
pub(crate) fn bad<'b>(reply: &'static [u8], used: usize) -> Parsed<'b> {
    Parsed::Bad(Bad { reply: Reply::Line(reply), used, swallow: 0, close: None })
}

/// A bad line with a value after it.
pub(crate) fn bad_store<'b>(reply: Reply, used: usize, value_len: usize) -> Parsed<'b> {
    let swallow = (value_len + CRLF.len()) as u64;
    Parsed::Bad(Bad { reply, used, swallow, close: None })
}

fn unless(noreply: bool, line: &'static [u8]) -> Reply {
    if noreply { Reply::Nothing } else { Reply::Line(line) }
}
