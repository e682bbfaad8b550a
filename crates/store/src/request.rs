//! What can be asked of a tenant's items, and what it answers: everything the wire protocols can say.

use std::time::Duration;

/// When a value is stored, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Always.
    Set,
    /// Only if the key has no item.
    Add,
    /// Only if the key has an item.
    Replace,
    /// Puts the value after that of the item there is; its flags and TTL stay.
    Append,
    /// Puts the value before that of the item there is; its flags and TTL stay.
    Prepend,
    /// Only if the key's item has this CAS number.
    Cas(u64),
}

/// What storing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Stored under this CAS number.
    Stored {
        /// The item's CAS number; 0 if it was not asked for ([`Write::tell_cas`]).
        cas: u64,
    },
    /// `Add` and the key has an item; `Replace`, `Append` or `Prepend` and it has none.
    NotStored,
    /// The item has another number than the one to compare with.
    Exists,
    /// There is no item whose number could be compared.
    NotFound,
}

/// One write with everything that can be asked of it: [`Tenant::write`](crate::Tenant::write).
#[derive(Debug, Clone, Copy)]
pub struct Write<'v> {
    /// When it is stored, and how.
    pub mode: Mode,
    /// What is stored.
    pub value: &'v [u8],
    /// The number stored with it, which means something to clients only.
    pub flags: u32,
    /// The time to live, rounded up to 100 ms; `None`: it does not expire; zero: it has expired.
    pub ttl: Option<Duration>,
    /// The number the item there must have. With `Set` and `Replace` this is `Mode::Cas`; `Append` and
    /// `Prepend` compare it if there is an item; `Add`, which needs that there is none, does not.
    pub cas: Option<u64>,
    /// The number the item gets, whatever it had. Versions after it get others, higher ones as long as
    /// 64 bits last.
    pub new_cas: Option<u64>,
    /// If the item's number is higher than `cas`, stores all the same, but as
    /// [stale](crate::Item::is_stale); the TTL, and whether somebody has won, stay.
    pub stale_if_older: bool,
    /// A bit of the caller's, kept with the item: [`Item::marked`](crate::Item::marked). What changes
    /// an item keeps it, and may add it.
    pub marked: bool,
    /// `Append` or `Prepend` and there is no item: stores the value as a new one with this TTL.
    pub create: Option<Option<Duration>>,
    /// Whether [`Outcome::Stored`] tells the number. A number that is known takes some bytes once the
    /// item moves: whoever does not need it should not ask.
    pub tell_cas: bool,
}

impl<'v> Write<'v> {
    /// Stores `value` as `mode` says: flags 0, no TTL, no more conditions, its number told.
    #[must_use]
    pub fn new(mode: Mode, value: &'v [u8]) -> Write<'v> {
        Write {
            mode,
            value,
            flags: 0,
            ttl: None,
            cas: None,
            new_cas: None,
            stale_if_older: false,
            marked: false,
            create: None,
            tell_cas: true,
        }
    }
}

/// How a [`Reservation`](crate::Reservation) becomes an item. The fields are those of [`Write`].
#[derive(Debug, Clone, Copy)]
pub struct Commit {
    /// As [`Write::mode`]; `Append` and `Prepend` are not for this.
    pub mode: Mode,
    /// As [`Write::cas`].
    pub cas: Option<u64>,
    /// As [`Write::new_cas`].
    pub new_cas: Option<u64>,
    /// As [`Write::stale_if_older`].
    pub stale_if_older: bool,
    /// As [`Write::marked`].
    pub marked: bool,
    /// As [`Write::tell_cas`].
    pub tell_cas: bool,
}

impl Commit {
    /// Stores as `mode` says: no more conditions, its number told.
    #[must_use]
    pub fn new(mode: Mode) -> Commit {
        let (cas, new_cas) = (None, None);
        Commit { mode, cas, new_cas, stale_if_older: false, marked: false, tell_cas: true }
    }
}

/// What [`Tenant::remove`](crate::Tenant::remove) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// There was an item, and it is gone.
    Deleted,
    /// The item has another CAS number, and stays.
    Exists,
    /// There was none.
    NotFound,
}

/// A computation with the number in an item: [`Tenant::arith`](crate::Tenant::arith).
#[derive(Debug, Clone, Copy)]
pub struct Arithmetic {
    /// What is added or subtracted.
    pub delta: u64,
    /// Whether it is subtracted: below 0 the result is 0. A sum beyond 2^64 - 1 goes on from 0.
    pub down: bool,
    /// The number the item must have.
    pub cas: Option<u64>,
    /// As [`Write::new_cas`].
    pub new_cas: Option<u64>,
    /// The TTL it gets; `None`: it keeps the one it has.
    pub ttl: Option<Option<Duration>>,
    /// If there is no item: the number to store, without `delta`, and its TTL.
    pub initial: Option<(u64, Option<Duration>)>,
    /// As [`Write::marked`].
    pub marked: bool,
    /// As [`Write::tell_cas`], for [`Computed::Value`].
    pub tell_cas: bool,
}

impl Arithmetic {
    /// Adds, and no more: its CAS number is told.
    #[must_use]
    pub fn up(delta: u64) -> Arithmetic {
        Arithmetic {
            delta,
            down: false,
            cas: None,
            new_cas: None,
            ttl: None,
            initial: None,
            marked: false,
            tell_cas: true,
        }
    }

    /// Subtracts, and no more: its CAS number is told.
    #[must_use]
    pub fn down(delta: u64) -> Arithmetic {
        Arithmetic { down: true, ..Arithmetic::up(delta) }
    }

    pub(crate) fn of(&self, number: u64) -> u64 {
        if self.down { number.saturating_sub(self.delta) } else { number.wrapping_add(self.delta) }
    }
}

/// What [`Tenant::arith`](crate::Tenant::arith) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Computed {
    /// The item there is now.
    Value {
        /// The number in it.
        number: u64,
        /// Its CAS number; 0 if it was not asked for.
        cas: u64,
        /// The TTL it has left, in steps of 100 ms; `None`: it does not expire.
        ttl: Option<Duration>,
        /// Its flags.
        flags: u32,
        /// Whether there was none before: the number is [`Arithmetic::initial`].
        created: bool,
    },
    /// There is no item.
    NotFound,
    /// The item's value is not a decimal number below 2^64; it stays as it was.
    NotANumber,
    /// The item has another CAS number, and stays.
    Exists,
}

/// What [`Tenant::incr`](crate::Tenant::incr) or [`Tenant::decr`](crate::Tenant::decr) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arith {
    /// The new value.
    Value(u64),
    /// There is no item.
    NotFound,
    /// The item's value is not a decimal number below 2^64; it stays as it was.
    NotANumber,
}

/// What becomes of an item that is not to be served as fresh any more, but is not deleted either:
/// [`Tenant::mark_stale`](crate::Tenant::mark_stale).
#[derive(Debug, Clone, Copy)]
pub struct Stale {
    /// Whether it is marked as [stale](crate::Item::is_stale): its CAS number changes, and the next who
    /// asks may [win](crate::Item::win) the right to replace it. Without that only its value is
    /// cleared, and it keeps the number.
    pub mark: bool,
    /// The number the item must have.
    pub cas: Option<u64>,
    /// As [`Write::new_cas`].
    pub new_cas: Option<u64>,
    /// The TTL it gets; `None`: it keeps the one it has, or none if its value is cleared.
    pub ttl: Option<Option<Duration>>,
    /// Whether it is left without value, flags, and TTL.
    pub clear_value: bool,
}

impl Stale {
    /// Marks the item, whatever its number, and leaves the rest.
    pub const MARK: Stale =
        Stale { mark: true, cas: None, new_cas: None, ttl: None, clear_value: false };
}
