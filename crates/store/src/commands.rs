//! The commands an application with a cache of its own needs, by plain keys; and what concerns a
//! tenant as a whole. Those by key are shorthands of the ones in [`write`](crate::write).

use std::time::Duration;

use crate::error::StoreError;
use crate::request::{Arith, Arithmetic, Computed, Mode, Outcome, Removed, Stale, Write};
use crate::stats::Stats;
use crate::tenant::{Limits, Tenant};

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
        let write = Write { flags, ttl, tell_cas: false, ..Write::new(Mode::Set, value) };
        self.write(self.hashed(key), &write).map(|_| ())
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
        self.write(self.hashed(key), &Write { flags, ttl, ..Write::new(mode, value) })
    }

    /// Removes the item of `key`; whether there was one.
    pub fn delete(&self, key: &[u8]) -> bool {
        self.remove(self.hashed(key), None) == Removed::Deleted
    }

    /// Gives the item of `key` a new TTL, counted from now as in [`set`](Self::set); whether there
    /// was one. Its CAS number stays.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRoom`] when the item has no place for a TTL, and nothing can be evicted just
    /// now to write it anew.
    pub fn touch(&self, key: &[u8], ttl: Option<Duration>) -> Result<bool, StoreError> {
        self.retouch(self.hashed(key), ttl)
    }

    /// Marks the item of `key` as stale: it is still served, [so marked](crate::Item::is_stale), and
    /// the next who asks may [win](crate::Item::win) the right to replace it. Its CAS number changes;
    /// with a `ttl` its TTL does. Whether there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRoom`] when nothing can be evicted just now to write the item anew.
    pub fn invalidate(&self, key: &[u8], ttl: Option<Duration>) -> Result<bool, StoreError> {
        let stale = Stale { ttl: ttl.map(Some), ..Stale::MARK };
        Ok(self.mark_stale(self.hashed(key), &stale)? != Outcome::NotFound)
    }

    /// Adds `delta` to the number in the item of `key`, as [`arith`](Self::arith) does; beyond
    /// 2^64 - 1 it goes on from 0.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRoom`] when nothing can be evicted just now: the number stays.
    pub fn incr(&self, key: &[u8], delta: u64) -> Result<Arith, StoreError> {
        self.arith_only(key, Arithmetic::up(delta))
    }

    /// Subtracts `delta` as [`incr`](Self::incr) adds it; below 0 it is 0.
    ///
    /// # Errors
    ///
    /// As [`incr`](Self::incr).
    pub fn decr(&self, key: &[u8], delta: u64) -> Result<Arith, StoreError> {
        self.arith_only(key, Arithmetic::down(delta))
    }

    fn arith_only(&self, key: &[u8], arith: Arithmetic) -> Result<Arith, StoreError> {
        let arith = Arithmetic { tell_cas: false, ..arith };
        Ok(match self.arith(self.hashed(key), &arith)? {
            Computed::Value { number, .. } => Arith::Value(number),
            Computed::NotANumber => Arith::NotANumber,
            Computed::NotFound | Computed::Exists => Arith::NotFound,
        })
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
        let tick = self.shared.time.expiry(Some(delay));
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
        self.shared.stats_of_one(&self.state)
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
        self.shared.max_item_bytes()
    }
}
