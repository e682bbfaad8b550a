//! Words to commands.

use super::flags::{Flags, Letters};
use super::{Command, Verb, base64};
use crate::key::MAX_KEY_LEN;
use crate::server::line::{announced, decimal, error, signed32};
use crate::server::text::{bad, bad_store, valued};
use crate::server::{Parsed, Reply, Request, Words};

/// The letters that mean something on some command. `P` and `L` are for proxies and ignored.
const KNOWN: Letters = Letters::of(b"bCcDEFfhIJkLlMNOPqRsTtuvx");

/// As many words as a line has at most, command and key included.
const MAX_WORDS: usize = 20;

/// As long as an opaque is at most, its letter included: 31 bytes remain.
const MAX_OPAQUE_LEN: usize = 32;

/// The flags that `mg` knows and that have no argument.
const BARE: Letters = Letters::of(b"cfhklqstuv");

/// `mg <key> <flags>\r\n` with nothing unusual in it, if `input` begins with one: bare flags, each once, a
/// space before each; and how many bytes it takes. [`text::parse`](crate::server::text::parse) says the same
/// of it, with more ado.
#[must_use]
#[inline]
pub fn plain_get(input: &[u8]) -> Option<(Command<'_>, usize)> {
    let rest = input.strip_prefix(b"mg ")?;
    let key_len = memchr::memchr2(b' ', b'\n', &rest[..rest.len().min(MAX_KEY_LEN + 1)])?;
    let (key, words) = rest.split_at(key_len);
    let (mut letters, mut end) = (Letters::default(), 0);
    while let [b' ', letter, b' ' | b'\r', ..] = words[end..] {
        if !BARE.has(letter) || letters.has(letter) {
            return None;
        }
        letters.add(letter);
        end += 2;
    }
    if key.is_empty() || end == 0 || !words[end..].starts_with(b"\r\n") {
        return None;
    }
    let flags = Flags::new(Words::new(&words[..end]), letters);
    let command = Command { verb: Verb::Get, key, flags, value: &[], value_len: 0 };
    Some((command, b"mg ".len() + key_len + end + b"\r\n".len()))
}

/// The command of a line; `words` are those after its name, and `used` bytes of `input` the line.
pub(in crate::server) fn parse<'b>(
    verb: Verb,
    mut words: Words<'b>,
    input: &'b [u8],
    used: usize,
) -> Parsed<'b> {
    let command = |key, flags| Command { verb, key, flags, value: &[], value_len: 0 };
    if verb == Verb::Noop {
        return ready(command(&[], Flags::default()), used);
    }
    let Some(key) = words.next() else {
        return bad(error::FORMAT, used);
    };
    let flags = match verb {
        Verb::Set => return set(key, words, input, used),
        Verb::Debug => debug_flags(key, words),
        _ => check(verb, key, words, 2),
    };
    match flags {
        Ok(flags) => ready(command(key, flags), used),
        Err(line) => bad(line, used),
    }
}

/// `ms <key> <bytes> <flags>*`. An error is shown whatever the flags say.
fn set<'b>(key: &'b [u8], mut words: Words<'b>, input: &'b [u8], used: usize) -> Parsed<'b> {
    let Some(value_len) = words.next().and_then(announced) else {
        return bad(error::FORMAT, used);
    };
    match check(Verb::Set, key, words, 3) {
        Ok(flags) => valued(input, used, value_len, Reply::Line(error::CHUNK), |value| {
            Request::Meta(Command { verb: Verb::Set, key, flags, value, value_len })
        }),
        Err(line) => bad_store(Reply::Line(line), used, value_len),
    }
}

fn ready(command: Command<'_>, used: usize) -> Parsed<'_> {
    Parsed::Ready { request: Request::Meta(command), used }
}

/// `me <key> [b]`; what else there is means nothing.
fn debug_flags<'b>(key: &[u8], words: Words<'b>) -> Result<Flags<'b>, &'static [u8]> {
    let base64 = { words }.next() == Some(b"b");
    if key.len() > MAX_KEY_LEN || (base64 && !base64::is_valid(key)) {
        return Err(error::FORMAT);
    }
    Ok(Flags::new(words, if base64 { Letters::of(b"b") } else { Letters::default() }))
}

/// Checks key and flags, which come after `before` other words; or the error line.
fn check<'b>(
    verb: Verb,
    key: &[u8],
    words: Words<'b>,
    before: usize,
) -> Result<Flags<'b>, &'static [u8]> {
    if key.len() > MAX_KEY_LEN {
        return Err(error::FORMAT);
    }
    let mut letters = Letters::default();
    // What is wrong with an argument is told only if the letters are right; of several the last, but
    // the one that says least.
    let mut bad_argument = None;
    for (number, word) in words.enumerate() {
        let (&letter, argument) = word.split_first().ok_or(error::FORMAT)?;
        let checked = if !matches!(letter, b'A'..=b'z' | b'0'..=b'9') {
            return Err(error::FORMAT);
        } else if number + before >= MAX_WORDS {
            Err(error::TOO_MANY)
        } else if letters.has(letter) {
            Err(error::DUPLICATE)
        } else if !KNOWN.has(letter) {
            Err(error::INVALID)
        } else {
            bad_argument = match argument_error(letter, argument, key) {
                Some(error::FORMAT) => bad_argument.or(Some(error::FORMAT)),
                other => other.or(bad_argument),
            };
            letters.add(letter);
            Ok(())
        };
        checked.map_err(|line| masked(verb, line))?;
    }
    match bad_argument {
        Some(line) => Err(masked(verb, line)),
        None => check_meaning(verb, Flags::new(words, letters)),
    }
}

/// `ma` has one error for all that can be wrong with a flag.
fn masked(verb: Verb, line: &'static [u8]) -> &'static [u8] {
    if verb == Verb::Arith { error::INVALID_OR_DUPLICATE } else { line }
}

/// What is wrong with the argument of a flag.
fn argument_error(letter: u8, argument: &[u8], key: &[u8]) -> Option<&'static [u8]> {
    let (good, otherwise) = match letter {
        b'b' => (base64::is_valid(key), error::KEY),
        b'T' | b'N' | b'R' => (signed32(argument).is_some(), error::TOKEN),
        b'C' | b'E' => (decimal(argument).is_some(), error::TOKEN),
        b'J' => (decimal(argument).is_some(), error::INITIAL),
        b'D' => (decimal(argument).is_some(), error::DELTA_VALUE),
        b'F' => (decimal(argument).is_some_and(|flags| flags <= u32::MAX.into()), error::FORMAT),
        _ => return None,
    };
    (!good).then_some(otherwise)
}

/// What depends on the command.
fn check_meaning(verb: Verb, flags: Flags<'_>) -> Result<Flags<'_>, &'static [u8]> {
    let mode = flags.has(b'M').then(|| flags.mode());
    match (verb, mode) {
        (Verb::Set, Some(mode)) if !matches!(mode, Some(b'E' | b'A' | b'P' | b'R' | b'S')) => {
            Err(error::SET_MODE)
        }
        (Verb::Arith, Some(mode)) if !matches!(mode, Some(b'I' | b'+' | b'D' | b'-')) => {
            Err(error::ARITH_MODE)
        }
        _ if flags.opaque().is_some_and(|opaque| opaque.word.len() > MAX_OPAQUE_LEN) => {
            Err(error::OPAQUE)
        }
        _ => Ok(flags),
    }
}
