//! What can be done to a single item, under a key that has been hashed.
//!
//! Each of these looks at what there is, makes the next version in memory that nobody else knows of,
//! and publishes it on the condition that what it has looked at still is so.

use std::time::Duration;

use crate::draft::New;
use crate::edit::{Edit, Prior};
use crate::epoch::Pin;
use crate::error::StoreError;
use crate::index::Slot;
use crate::key::HashedKey;
use crate::memory::stored::Value;
use crate::publish::{Flags, Number, Refused, Terms, When};
use crate::request::{Arithmetic, Computed, Mode, Outcome, Removed, Stale, Write};
use crate::stats::Event;
use crate::store::Shared;
use crate::tenant::Tenant;
use crate::time::Time;

impl Tenant {
    /// Stores as `write` says. Other items are evicted if there is no room.
    ///
    /// # Panics
    ///
    /// As all commands that take a [`HashedKey`]: when it was hashed for another tenant.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooLarge`] when the key or the item is larger than allowed;
    /// [`StoreError::NoRoom`] when nothing can be evicted just now. A `Set` without a number to compare
    /// removes the item there was in either case: it is not what the caller last wanted.
    pub fn write(&self, key: HashedKey<'_>, write: &Write<'_>) -> Result<Outcome, StoreError> {
        match write.mode {
            Mode::Append | Mode::Prepend => self.extend(key, write),
            _ => self.put(key, write, &Terms::of(write)),
        }
    }

    /// Stores an empty item, if the key has none, for the caller to replace: it is the one who has
    /// [won](crate::Item::win). [`Outcome::NotStored`] if there is an item.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn vivify(
        &self,
        key: HashedKey<'_>,
        ttl: Option<Duration>,
        new_cas: Option<u64>,
        marked: bool,
    ) -> Result<Outcome, StoreError> {
        let write = Write { ttl, new_cas, marked, ..Write::new(Mode::Add, b"") };
        let terms = Terms::of(&write);
        self.put(key, &write, &Terms { flags: terms.flags.with(Slot::WON, true), ..terms })
    }

    /// Removes the item of a key; with `cas`, if that is its number.
    pub fn remove(&self, key: HashedKey<'_>, cas: Option<u64>) -> Removed {
        self.owns(key);
        let shared = &*self.shared;
        let pin = shared.epoch.pin();
        shared.flush_if_due(&self.state, shared.time.tick());
        shared.remove(&pin, &self.state, key, cas, Event::Deleted)
    }

    /// Computes with the number in the item of a key.
    ///
    /// The value is read as memcached reads it, whoever stored it, if it has at most 64 bytes: spaces, a
    /// plus sign, decimal digits, and if anything follows them, then a space first. The result is stored as digits, with spaces
    /// after them if the value was longer. Flags stay, and the TTL unless it is given.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRoom`] when nothing can be evicted just now: the number stays.
    pub fn arith(&self, key: HashedKey<'_>, arith: &Arithmetic) -> Result<Computed, StoreError> {
        loop {
            let computed =
                self.edit(key, |shared, pin, prior| self.compute(shared, pin, key, prior, arith))?;
            if let Some(computed) = computed {
                return Ok(computed);
            }
            let Some((number, ttl)) = arith.initial else { return Ok(Computed::NotFound) };
            let (digits, Arithmetic { new_cas, marked, tell_cas, .. }) =
                (number.to_string(), *arith);
            let new = Write::new(Mode::Add, digits.as_bytes());
            let new = Write { ttl, new_cas, marked, tell_cas, ..new };
            // Otherwise somebody else was quicker.
            if let Outcome::Stored { cas } = self.write(key, &new)? {
                let (now, expires) = (self.shared.time.tick(), self.shared.time.expiry(ttl));
                let ttl = Time::left(expires, now);
                return Ok(Computed::Value { number, cas, ttl, flags: 0, created: true });
            }
        }
    }

    /// Gives the item of a key a new TTL, counted from now as in [`Write::ttl`]; whether there was one.
    /// Its CAS number stays.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRoom`] when the item has no place for a TTL, and nothing can be evicted just
    /// now to write it anew.
    pub fn retouch(&self, key: HashedKey<'_>, ttl: Option<Duration>) -> Result<bool, StoreError> {
        let expires = self.shared.time.expiry(ttl);
        let touched = self.edit(key, |shared, pin, prior| {
            if shared.touch_in_place(key, &prior, expires) {
                return Ok(Some(()));
            }
            let edit = Edit { expires: Some(expires), number: Number::Keep, ..Edit::same(&prior) };
            let pieces = prior.stored.value().pieces();
            let written = shared.rewrite(pin, &self.state, key, prior, edit, pieces)?;
            Ok(written.map(|_| ()))
        })?;
        Ok(touched.is_some())
    }

    /// Marks the item of a key as stale, clears its value, or both. [`Outcome::NotFound`] if there is
    /// none.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRoom`] when nothing can be evicted just now to write the item anew.
    pub fn mark_stale(&self, key: HashedKey<'_>, stale: &Stale) -> Result<Outcome, StoreError> {
        let ttl = stale.ttl.or(stale.clear_value.then_some(None));
        let expires = ttl.map(|ttl| self.shared.time.expiry(ttl));
        let flags = if stale.mark { Flags::STALE } else { Flags::SAME };
        let number = if stale.mark { Number::Next } else { Number::Keep };
        let done = self.edit(key, |shared, pin, prior| {
            if !shared.has_number(&prior, stale.cas) {
                return Ok(Some(Outcome::Exists));
            }
            let edit = Edit {
                expires,
                flags: flags.with(Slot::CAS_KNOWN, true),
                number: stale.new_cas.map_or(number, Number::Given),
                ..Edit::same(&prior)
            };
            let written = if stale.clear_value {
                let edit = Edit { value_len: 0, client_flags: 0, ..edit };
                shared.rewrite(pin, &self.state, key, prior, edit, std::iter::empty())?
            } else {
                let pieces = prior.stored.value().pieces();
                shared.rewrite(pin, &self.state, key, prior, edit, pieces)?
            };
            Ok(written.map(|cas| Outcome::Stored { cas }))
        })?;
        Ok(done.unwrap_or(Outcome::NotFound))
    }

    /// Stores a new value.
    fn put(
        &self,
        key: HashedKey<'_>,
        write: &Write<'_>,
        terms: &Terms,
    ) -> Result<Outcome, StoreError> {
        self.owns(key);
        let shared = &*self.shared;
        let mut pin = shared.epoch.pin();
        shared.index.prefetch(key.hash);
        let tick = shared.time.tick();
        shared.flush_if_due(&self.state, tick);
        let stored = self.try_put(&mut pin, key, write, terms, tick);
        if stored.is_err() && terms.when == When::Always {
            shared.remove(&pin, &self.state, key, None, Event::Replaced);
        }
        stored
    }

    #[inline]
    fn try_put(
        &self,
        pin: &mut Pin<'_>,
        key: HashedKey<'_>,
        write: &Write<'_>,
        terms: &Terms,
        tick: u32,
    ) -> Result<Outcome, StoreError> {
        let (shared, tenant) = (&*self.shared, &*self.state);
        shared.check_size(tenant, key.bytes, write.value.len())?;
        let prior = shared.prior(pin, tenant, key, tick);
        match (terms.when, &prior) {
            (When::Absent, Some(_)) => return Ok(terms.outcome(Err(Refused::Present))),
            (When::Present | When::Cas { .. }, None) => {
                return Ok(terms.outcome(Err(Refused::Absent)));
            }
            _ => {}
        }
        let new = New {
            key: key.bytes,
            hash: key.hash,
            value_len: write.value.len(),
            flags: write.flags,
            expires: shared.time.expiry(write.ttl),
            tick,
            queue: prior.map(|prior| shared.queue_of(&prior.stored)),
            cas: shared.room_for(terms.number, prior.as_ref()),
        };
        let mut draft = shared.begin(pin, tenant, new)?;
        shared.append(&mut draft, write.value);
        Ok(terms.outcome(shared.publish(pin, tenant, key.bytes, draft, terms)?))
    }

    /// Puts bytes before or after the value of an item.
    fn extend(&self, key: HashedKey<'_>, write: &Write<'_>) -> Result<Outcome, StoreError> {
        let (before, after): (&[u8], &[u8]) =
            if write.mode == Mode::Append { (&[], write.value) } else { (write.value, &[]) };
        let terms = Terms::of(write);
        loop {
            let stored = self.edit(key, |shared, pin, prior| {
                if !shared.has_number(&prior, write.cas) {
                    return Ok(Some(Outcome::Exists));
                }
                let old = prior.stored.value();
                let value_len = before.len() + old.len() + after.len();
                shared.check_size(&self.state, key.bytes, value_len)?;
                let pieces = std::iter::once(before).chain(old.pieces()).chain([after]);
                let flags = Flags::SAME.and(terms.flags);
                let edit = Edit { value_len, flags, number: terms.number, ..Edit::same(&prior) };
                let written = shared.rewrite(pin, &self.state, key, prior, edit, pieces)?;
                Ok(written.map(|cas| terms.outcome(Ok(cas))))
            })?;
            if let Some(outcome) = stored {
                return Ok(outcome);
            }
            let Some(ttl) = write.create else { return Ok(Outcome::NotStored) };
            let new = Write { mode: Mode::Add, ttl, ..*write };
            match self.write(key, &new)? {
                // Somebody else was quicker.
                Outcome::NotStored => {}
                outcome => return Ok(outcome),
            }
        }
    }

    /// Writes the result of a computation; `None` if the item has changed meanwhile.
    fn compute(
        &self,
        shared: &Shared,
        pin: &mut Pin<'_>,
        key: HashedKey<'_>,
        prior: Prior<'_>,
        arith: &Arithmetic,
    ) -> Result<Option<Computed>, StoreError> {
        if !shared.has_number(&prior, arith.cas) {
            return Ok(Some(Computed::Exists));
        }
        let old = prior.stored.value();
        let Some(number) = decimal(old).map(|number| arith.of(number)) else {
            return Ok(Some(Computed::NotANumber));
        };
        let padded = format!("{number:<0$}", old.len());
        let flags = Flags::SAME
            .with(Slot::CAS_KNOWN, arith.tell_cas || arith.new_cas.is_some())
            .with(Slot::MARKED, arith.marked);
        let edit = Edit {
            value_len: padded.len(),
            expires: arith.ttl.map(|ttl| shared.time.expiry(ttl)),
            flags,
            number: Number::given(arith.new_cas),
            ..Edit::same(&prior)
        };
        let expires = edit.expires.unwrap_or_else(|| prior.stored.expires());
        let pieces = std::iter::once(padded.as_bytes());
        let written = shared.rewrite(pin, &self.state, key, prior, edit, pieces)?;
        Ok(written.map(|cas| Computed::Value {
            number,
            cas: if arith.tell_cas { cas } else { 0 },
            ttl: Time::left(expires, shared.time.tick()),
            flags: edit.client_flags,
            created: false,
        }))
    }
}

/// The longest value that is read as a number, in bytes.
const LONGEST_NUMBER: usize = 64;

/// The number a value stands for, as C's `strtoull` reads it, but that nothing is negative and what
/// follows the digits begins with a space.
fn decimal(value: Value<'_>) -> Option<u64> {
    if value.len() > LONGEST_NUMBER {
        return None;
    }
    let copy;
    let bytes = match value.as_slice() {
        Some(bytes) => bytes,
        // Under a key so long that even this is in chunks.
        None => {
            copy = value.to_vec();
            &copy
        }
    };
    let text = bytes.trim_ascii_start();
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if rest.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
