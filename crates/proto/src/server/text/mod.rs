//! The text protocol: one line a command, a value after the line of a store.
//!
//! [`parse`] reads the meta protocol too, which shares the connection. What it takes for a line, when
//! an error is suppressed, and how it gets back in step after bad input is memcached's:
//!
//! - A line ends with a line feed, a carriage return before it is dropped. Only the space separates.
//! - Where the length of a value could be read, the value is swallowed with whatever is wrong with
//!   its line. Where not, what follows is the next line.
//! - A value takes exactly the bytes announced and two more, which have to be its line ending.
//! - `noreply` is the last word of a line; it suppresses errors too, but those of a line that has too
//!   few words.

mod parse;
mod reply;

use super::{Class, Words};
use crate::command::StoreMode;

pub use parse::{again, likely_key, parse, plain_get, plain_set};
pub(super) use parse::{bad, bad_store, valued};
pub use reply::{END, put_value_head};

/// The longest line that is not a line of keys, in bytes, its ending included.
pub const MAX_LINE_LEN: usize = 2048;

/// How far the end of an incomplete line was searched, so that no byte is searched twice.
///
/// Belongs to the unread bytes of a connection; it is back at 0 whenever a line was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scan {
    searched: usize,
}

/// A command of the text protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'b> {
    /// `get`, `gets`.
    Get {
        /// What is asked for.
        keys: Keys<'b>,
        /// Whether CAS numbers are.
        cas: bool,
    },
    /// `gat`, `gats`.
    GetAndTouch {
        /// What is asked for.
        keys: Keys<'b>,
        /// Whether CAS numbers are.
        cas: bool,
        /// The new exptime.
        exptime: i64,
    },
    /// `set`, `add`, `replace`, `append`, `prepend`, `cas`.
    Store(Store<'b>),
    /// `delete`.
    Delete {
        /// Of what.
        key: &'b [u8],
        /// Whether the reply is not wanted.
        noreply: bool,
    },
    /// `incr`, `decr`.
    Arith {
        /// Of what.
        key: &'b [u8],
        /// By how much.
        delta: u64,
        /// Whether it is `decr`.
        down: bool,
        /// Whether the reply is not wanted.
        noreply: bool,
    },
    /// `touch`.
    Touch {
        /// What.
        key: &'b [u8],
        /// The new exptime.
        exptime: i64,
        /// Whether the reply is not wanted.
        noreply: bool,
    },
    /// `version`.
    Version,
    /// `quit`.
    Quit,
    /// `stats`, with what follows.
    Stats {
        /// The words after it.
        args: Words<'b>,
    },
    /// A command to the server.
    Admin {
        /// Which.
        verb: Admin,
        /// The words after it, a `noreply` at their end included.
        args: Words<'b>,
        /// Whether the reply is not wanted.
        noreply: bool,
    },
}

/// A command to the server rather than to the cache. What follows it is for its executor to judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admin {
    /// `flush_all [delay]`
    FlushAll,
    /// `verbosity <level>`
    Verbosity,
    /// `cache_memlimit <MiB>`
    CacheMemlimit,
    /// `shutdown [graceful]`
    Shutdown,
    /// `slabs reassign|automove …`
    Slabs,
    /// `lru tune|mode|temp_ttl …`
    Lru,
    /// `lru_crawler …`
    LruCrawler,
    /// `watch …`
    Watch,
    /// `refresh_certs`
    RefreshCerts,
    /// `debugtime <seconds>|p|r`
    DebugTime,
}

/// A value to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Store<'b> {
    /// When, and how.
    pub mode: StoreMode,
    /// Under what.
    pub key: &'b [u8],
    /// A number of the client's.
    pub flags: u32,
    /// As it came, but that the last 30 days that 32 bits have are negative.
    pub exptime: i64,
    /// Whether the reply is not wanted.
    pub noreply: bool,
    /// What; empty in [`Parsed::Partial`](super::Parsed::Partial).
    pub value: &'b [u8],
}

/// The keys of a line, each of 1 to 250 bytes; one at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys<'b> {
    /// Empty once it was taken.
    first: &'b [u8],
    rest: Words<'b>,
}

impl<'b> Keys<'b> {
    /// The key, if the line has no other.
    #[must_use]
    #[inline]
    pub fn single(&self) -> Option<&'b [u8]> {
        self.rest.rest().is_empty().then_some(self.first)
    }

    /// How many bytes the keys left take, with the spaces before and between them.
    #[must_use]
    pub fn bytes_left(&self) -> usize {
        self.first.len() + self.rest.rest().len()
    }

    /// The keys in the last so many bytes: those that are left where there are
    /// [so many left](Self::bytes_left).
    #[must_use]
    pub fn last(self, bytes: usize) -> Keys<'b> {
        let rest = self.rest.rest();
        match rest.len().checked_sub(bytes) {
            Some(taken) => Keys { first: &[], rest: Words::new(&rest[taken..]) },
            None => self,
        }
    }
}

impl<'b> Iterator for Keys<'b> {
    type Item = &'b [u8];

    #[inline]
    fn next(&mut self) -> Option<&'b [u8]> {
        if self.first.is_empty() {
            return self.rest.next();
        }
        Some(std::mem::take(&mut self.first))
    }
}

impl<'b> Command<'b> {
    /// `get` of one key.
    #[must_use]
    #[inline]
    pub fn get(key: &'b [u8]) -> Command<'b> {
        Command::Get { keys: Keys { first: key, rest: Words::new(&[]) }, cas: false }
    }

    /// The key, if it is one.
    #[must_use]
    #[inline]
    pub fn single_key(&self) -> Option<&'b [u8]> {
        match *self {
            Command::Get { keys, .. } | Command::GetAndTouch { keys, .. } => keys.single(),
            Command::Store(Store { key, .. })
            | Command::Delete { key, .. }
            | Command::Arith { key, .. }
            | Command::Touch { key, .. } => Some(key),
            Command::Version | Command::Quit | Command::Stats { .. } | Command::Admin { .. } => {
                None
            }
        }
    }

    /// What carrying it out needs.
    #[must_use]
    #[inline]
    pub fn class(&self) -> Class {
        match self {
            Command::Get { .. } | Command::Version => Class::Read,
            // It reads too, but what is touched must not be held by a reader.
            Command::GetAndTouch { .. }
            | Command::Store(_)
            | Command::Delete { .. }
            | Command::Arith { .. }
            | Command::Touch { .. }
            | Command::Admin { verb: Admin::FlushAll, .. } => Class::Write,
            Command::Quit | Command::Stats { .. } | Command::Admin { .. } => Class::Control,
        }
    }
}
