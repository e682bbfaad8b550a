//! What a tenant can do besides reading.

use std::time::Duration;

use crate::edit::Edit;
use crate::error::StoreError;
use crate::memory::stored::Value;
use crate::stats::{Event, Stats};
use crate::sync::Ordering;
use crate::tenant::{Limits, Tenant};
use crate::write::{Flags, New, Refused, When};

/// When [`Tenant::store`] stores, and what.
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

/// What [`Tenant::store`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Stored under this CAS number.
    Stored {
        /// The item's CAS number.
        cas: u64,
    },
    /// `Add` and the key has an item; `Replace`, `Append` or `Prepend` and it has none.
    NotStored,
    /// `Cas` and the item has another number.
    Exists,
    /// `Cas` and there is no item.
    NotFound,
}

/// What [`Tenant::incr`] or [`Tenant::decr`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arith {
    /// The new value.
    Value(u64),
    /// There is no item.
    NotFound,
    /// The item's value is not a decimal number below 2^64; it stays as it was.
    NotANumber,
}

impl Tenant {
    /// Stores `value` under `key`, whatever was there.
    ///
    /// `ttl` is rounded up to 100 ms; `None` never expires, zero expires at once. Other items are
    /// evicted if there is no room.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooLarge`] when the key or the item is larger than allowed;
    /// [`StoreError::NoRoom`] when nothing can be evicted just now. The item there was is removed in
    /// either case: it is not what the caller last wanted.
    pub fn set(
        &self,
        key: &[u8],
        value: &[u8],
        flags: u32,
        ttl: Option<Duration>,
    ) -> Result<(), StoreError> {
        self.put(When::Always, key, value, flags, ttl, Flags::NEW).map(|_| ())
    }

    /// Stores `value` under `key` as `mode` says, and tells the item's CAS number.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set); but only a failed `Set` removes the item there was.
    pub fn store(
        &self,
        mode: Mode,
        key: &[u8],
        value: &[u8],
        flags: u32,
        ttl: Option<Duration>,
    ) -> Result<Outcome, StoreError> {
        let when = match mode {
            Mode::Set => When::Always,
            Mode::Add => When::Absent,
            Mode::Replace => When::Present,
            Mode::Cas(cas) => When::Cas(cas),
            Mode::Append => return self.extend(key, &[], value),
            Mode::Prepend => return self.extend(key, value, &[]),
        };
        let stored = self.put(when, key, value, flags, ttl, Flags::CAS_ASKED)?;
        Ok(match stored {
            Ok(cas) => Outcome::Stored { cas },
            Err(Refused::Changed) => Outcome::Exists,
            Err(Refused::Absent) if matches!(mode, Mode::Cas(_)) => Outcome::NotFound,
            Err(Refused::Absent | Refused::Present | Refused::Outdated { .. }) => {
                Outcome::NotStored
            }
        })
    }

    /// Removes the item of `key`; whether there was one.
    pub fn delete(&self, key: &[u8]) -> bool {
        let shared = &*self.shared;
        let pin = shared.epoch.pin();
        shared.flush_if_due(&self.state, shared.time.tick());
        shared.remove(&pin, &self.state, key, Event::Deleted)
    }

    /// Gives the item of `key` a new TTL, counted from now as in [`set`](Self::set); whether there
    /// was one. Its CAS number stays.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRoom`] when the item has no place for a TTL, and nothing can be evicted just
    /// now to write it anew.
    pub fn touch(&self, key: &[u8], ttl: Option<Duration>) -> Result<bool, StoreError> {
        let expires = self.shared.expiry(ttl);
        let touched = self.edit(key, |shared, pin, prior| {
            if shared.touch_in_place(&self.state, key, &prior, expires) {
                return Ok(Some(()));
            }
            let new = Edit { expires, keep_cas: true, ..Edit::same(&prior) };
            let pieces = prior.stored.value().pieces();
            let written = shared.rewrite(pin, &self.state, key, prior, new, pieces)?;
            Ok(written.map(|_| ()))
        })?;
        Ok(touched.is_some())
    }

    /// Marks the item of `key` as stale: it is still served, [so marked](crate::Item::is_stale), and
    /// the next who asks may [win](crate::Item::win) the right to replace it. Its CAS number changes;
    /// with a `ttl` its TTL does. Whether there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRoom`] when nothing can be evicted just now to write the item anew.
    pub fn invalidate(&self, key: &[u8], ttl: Option<Duration>) -> Result<bool, StoreError> {
        let expires = ttl.map(|ttl| self.shared.expiry(Some(ttl)));
        let done = self.edit(key, |shared, pin, prior| {
            let same = Edit::same(&prior);
            let expires = expires.unwrap_or(same.expires);
            let new = Edit { expires, flags: Flags::STALE, ..same };
            let pieces = prior.stored.value().pieces();
            shared.rewrite(pin, &self.state, key, prior, new, pieces)
        })?;
        Ok(done.is_some())
    }

    /// Adds `delta` to the number in the item of `key`; beyond 2^64 - 1 it goes on from 0.
    ///
    /// The value is read as decimal digits now, whoever stored it, with spaces after them as
    /// memcached has them; the sum is stored as digits without padding. Flags and TTL stay.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRoom`] when nothing can be evicted just now: the number stays.
    pub fn incr(&self, key: &[u8], delta: u64) -> Result<Arith, StoreError> {
        self.arith(key, |number| number.wrapping_add(delta))
    }

    /// Subtracts `delta` as [`incr`](Self::incr) adds it; below 0 it is 0.
    ///
    /// # Errors
    ///
    /// As [`incr`](Self::incr).
    pub fn decr(&self, key: &[u8], delta: u64) -> Result<Arith, StoreError> {
        self.arith(key, |number| number.saturating_sub(delta))
    }

    /// Makes every item dead that was stored before this call; items stored after it stay. One that
    /// is stored meanwhile may be either.
    ///
    /// Takes the same time whatever the tenant holds: the memory is taken back by and by.
    pub fn flush(&self) {
        self.shared.flush_at(&self.state, 0);
    }

    /// [Flushes](Self::flush) when `delay` has passed, also what is stored until then. A later call
    /// replaces an earlier one.
    pub fn flush_in(&self, delay: Duration) {
        let tick = self.shared.expiry(Some(delay));
        self.shared.flush_at(&self.state, tick);
    }

    /// Changes what the tenant is guaranteed and may reach. What is too much is taken back as it
    /// stores.
    pub fn set_limits(&self, limits: Limits) {
        self.state.set_limits(&self.shared, limits);
    }

    /// The tenant's figures.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &*self.shared;
        shared.flush_if_due(&self.state, shared.time.tick());
        let segment_bytes = shared.arena.segment_bytes() as u64;
        // Of the index, the share that the tenant has of the segments.
        let used = shared.arena.segments() as u64 - u64::from(shared.pool.available());
        let index = shared.index.bytes() as u64;
        let held = u64::from(self.state.held());
        let share = index * held / used.saturating_sub(index / segment_bytes).max(1);
        let ceiling = u64::from(self.state.ceiling.load(Ordering::Relaxed)) * segment_bytes;
        let mut stats = Stats {
            bytes: held * segment_bytes + share,
            max_bytes: ceiling.min(shared.geometry.max_bytes as u64),
            ..Stats::default()
        };
        let threads = shared.epoch.workers().map(|worker| &worker.counters);
        stats.count(threads, Some(self.state.id));
        shared.count_segments(std::slice::from_ref(&self.state), &mut stats);
        stats
    }

    /// The number of items, as [`Stats::items`] counts them.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.stats().items).unwrap_or(usize::MAX)
    }

    /// Whether [`len`](Self::len) is 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The store's largest item: see [`Store::max_item_bytes`](crate::Store::max_item_bytes).
    #[must_use]
    pub fn max_item_bytes(&self) -> usize {
        self.shared.geometry.max_item_bytes
    }

    fn put(
        &self,
        when: When,
        key: &[u8],
        value: &[u8],
        flags: u32,
        ttl: Option<Duration>,
        slot_flags: Flags,
    ) -> Result<Result<u64, Refused>, StoreError> {
        let (shared, tenant) = (&*self.shared, &*self.state);
        let mut pin = shared.epoch.pin();
        let hash = shared.hash(tenant.id, key);
        shared.index.prefetch(hash);
        let tick = shared.time.tick();
        shared.flush_if_due(&self.state, tick);
        let stored = (|| {
            shared.check_size(tenant, key, value.len())?;
            let expires = shared.expiry(ttl);
            let new = New { key, hash, value_len: value.len(), flags, expires, tick };
            let place = match (when, shared.prior(&pin, tenant, hash, key, tick)) {
                (When::Absent, Some(_)) => return Ok(Err(Refused::Present)),
                (When::Present | When::Cas(_), None) => return Ok(Err(Refused::Absent)),
                (_, prior) => prior.map(|prior| shared.after(&prior)),
            };
            let mut draft = shared.begin(&mut pin, tenant, new, place)?;
            shared.append(&mut draft, value);
            loop {
                let stored = shared.publish(&mut pin, tenant, key, &draft, when, slot_flags);
                let Err(Refused::Outdated { unnumbered }) = stored else { return Ok(stored) };
                draft = shared.draw_again(&mut pin, tenant, key, &draft, unnumbered)?;
            }
        })();
        if stored.is_err() && when == When::Always {
            shared.remove(&pin, tenant, key, Event::Replaced);
        }
        stored
    }

    /// Puts bytes before and after the value of an item.
    fn extend(&self, key: &[u8], before: &[u8], after: &[u8]) -> Result<Outcome, StoreError> {
        let stored = self.edit(key, |shared, pin, prior| {
            let old = prior.stored.value();
            let value_len = before.len() + old.len() + after.len();
            shared.check_size(&self.state, key, value_len)?;
            let pieces = std::iter::once(before).chain(old.pieces()).chain([after]);
            let new = Edit { value_len, flags: Flags::SAME_CAS_ASKED, ..Edit::same(&prior) };
            shared.rewrite(pin, &self.state, key, prior, new, pieces)
        })?;
        Ok(stored.map_or(Outcome::NotStored, |cas| Outcome::Stored { cas }))
    }

    fn arith(&self, key: &[u8], compute: impl Fn(u64) -> u64) -> Result<Arith, StoreError> {
        let result = self.edit(key, |shared, pin, prior| {
            let Some(number) = decimal(prior.stored.value()) else {
                return Ok(Some(Arith::NotANumber));
            };
            let result = compute(number);
            let digits = result.to_string();
            let new = Edit { value_len: digits.len(), ..Edit::same(&prior) };
            let pieces = std::iter::once(digits.as_bytes());
            let written = shared.rewrite(pin, &self.state, key, prior, new, pieces)?;
            Ok(written.map(|_| Arith::Value(result)))
        })?;
        Ok(result.unwrap_or(Arith::NotFound))
    }
}

/// The longest value in chunks that is read as a number, in bytes.
const LONGEST_NUMBER: usize = 64;

/// The number that decimal digits stand for, with nothing but spaces after them.
fn decimal(value: Value<'_>) -> Option<u64> {
    let copy;
    let bytes = match value.as_slice() {
        Some(bytes) => bytes,
        // Under a key so long that even this is in chunks.
        None if value.len() <= LONGEST_NUMBER => {
            copy = value.to_vec();
            &copy
        }
        None => return None,
    };
    let text = std::str::from_utf8(bytes).ok()?.trim_end_matches(' ');
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}
