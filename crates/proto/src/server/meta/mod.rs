//! The meta protocol: `mn mg ms md ma me`, one letter a flag.
//!
//! Flags are checked where the line is parsed and read where they are used, so a command borrows
//! them as they came. All known flags are accepted on all commands, and ignored where they mean
//! nothing, as in memcached. What a quiet command leaves out, and in which order flags come back, is
//! for its executor.

mod base64;
mod flags;
mod parse;
mod reply;

use super::{Class, Words};

pub use base64::{MAX_DECODED_LEN, decode, put as put_base64};
pub use flags::{Flag, Flags};
pub(super) use parse::parse;
pub use parse::plain_get;
pub use reply::{put_echo, put_flag, put_key, put_number};

/// Which command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `mn`
    Noop,
    /// `mg`
    Get,
    /// `ms`
    Set,
    /// `md`
    Delete,
    /// `ma`
    Arith,
    /// `me`
    Debug,
}

/// A meta command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command<'b> {
    /// Which command.
    pub verb: Verb,
    /// The key as it came: in base64, and found to be, if the flag `b` is there. Empty for `mn`.
    pub key: &'b [u8],
    /// Its flags: for `mn` none, for `me` at most `b`.
    pub flags: Flags<'b>,
    /// What `ms` stores, empty in [`Parsed::Partial`](super::Parsed::Partial); else empty.
    pub value: &'b [u8],
    /// How long that is, whether or not it has come.
    pub value_len: usize,
}

impl<'b> Command<'b> {
    /// The key, if it need not be decoded first.
    #[must_use]
    #[inline]
    pub fn single_key(&self) -> Option<&'b [u8]> {
        (self.verb != Verb::Noop && !self.flags.has(b'b')).then_some(self.key)
    }

    /// What carrying it out needs.
    #[must_use]
    #[inline]
    pub fn class(&self) -> Class {
        match self.verb {
            Verb::Get if self.flags.has(b'T') || self.flags.has(b'N') => Class::Write,
            Verb::Noop | Verb::Debug | Verb::Get => Class::Read,
            Verb::Set | Verb::Delete | Verb::Arith => Class::Write,
        }
    }
}
