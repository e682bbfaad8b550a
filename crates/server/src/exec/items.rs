//! The way from commands to the store: what is read, stored and removed goes through here, in all protocols,
//! so that here is where it is seen what clients do ([`crate::insight`]).
//!
//! Looks that are no use of an item (`me`, `mg` with `u`) do not come here, nor does what is removed because
//! something else failed.

use std::time::Duration;

use larder_store::{
    Arithmetic, Commit, Computed, Foreseen, HashedKey, Item, Lookups, Outcome, Removed,
    Reservation, Stale, StoreError, Write,
};
use larder_tenancy::Command;

use crate::cx::Cx;
use crate::insight::Sample;

impl Cx<'_> {
    /// Looks an item up, which counts as a use of it.
    #[inline]
    pub(super) fn get<'r>(
        &self,
        key: HashedKey<'_>,
        lookups: &Lookups<'r>,
        foreseen: Foreseen<'r>,
    ) -> Option<Item<'r>> {
        let item = lookups.get(key, foreseen);
        if self.sampling.sees(key.hash()) {
            self.saw(Command::Get, key, item.is_some());
        }
        item
    }

    #[inline]
    pub(super) fn write(
        &self,
        key: HashedKey<'_>,
        write: &Write<'_>,
    ) -> Result<Outcome, StoreError> {
        let stored = self.tenant().write(key, write);
        if self.sampling.sees(key.hash()) {
            self.saw(Command::Set, key, is_stored(&stored));
        }
        stored
    }

    pub(super) fn commit(
        &self,
        key: HashedKey<'_>,
        reservation: Reservation,
        commit: &Commit,
    ) -> Result<Outcome, StoreError> {
        let stored = reservation.commit(commit);
        if self.sampling.sees(key.hash()) {
            self.saw(Command::Set, key, is_stored(&stored));
        }
        stored
    }

    /// Creates an item for somebody to fill.
    pub(super) fn vivify(
        &self,
        key: HashedKey<'_>,
        ttl: Option<Duration>,
        new_cas: Option<u64>,
        marked: bool,
    ) -> Result<Outcome, StoreError> {
        let stored = self.tenant().vivify(key, ttl, new_cas, marked);
        if self.sampling.sees(key.hash()) {
            self.saw(Command::Set, key, is_stored(&stored));
        }
        stored
    }

    #[inline]
    pub(super) fn remove(&self, key: HashedKey<'_>, cas: Option<u64>) -> Removed {
        let removed = self.tenant().remove(key, cas);
        if self.sampling.sees(key.hash()) {
            self.saw(Command::Delete, key, removed == Removed::Deleted);
        }
        removed
    }

    /// Marks an item stale, or empties it: it stays, so that is no delete.
    pub(super) fn mark_stale(
        &self,
        key: HashedKey<'_>,
        stale: &Stale,
    ) -> Result<Outcome, StoreError> {
        let marked = self.tenant().mark_stale(key, stale);
        if self.sampling.sees(key.hash()) {
            self.saw(Command::Touch, key, is_stored(&marked));
        }
        marked
    }

    pub(super) fn retouch(
        &self,
        key: HashedKey<'_>,
        ttl: Option<Duration>,
    ) -> Result<bool, StoreError> {
        let found = self.tenant().retouch(key, ttl);
        if self.sampling.sees(key.hash()) {
            self.saw(Command::Touch, key, matches!(found, Ok(true)));
        }
        found
    }

    #[inline]
    pub(super) fn compute(
        &self,
        key: HashedKey<'_>,
        arithmetic: &Arithmetic,
    ) -> Result<Computed, StoreError> {
        let computed = self.tenant().arith(key, arithmetic);
        if self.sampling.sees(key.hash()) {
            self.saw(Command::Arith, key, matches!(computed, Ok(Computed::Value { .. })));
        }
        computed
    }

    /// Flushes the tenant, now or after a delay. A flush of now that was asked for is always seen.
    pub(super) fn flush(&self, delay: Option<Duration>) {
        let access = self.access;
        let Some(delay) = delay.filter(|delay| !delay.is_zero()) else {
            access.tenant.flush();
            access.trace.plan_flush(None);
            let flush = Sample::flush(access.grant.tenant(), self.now.unix_ms);
            return self.node.insights.take(Some(self.worker), flush, b"");
        };
        access.tenant.flush_in(delay);
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        access.trace.plan_flush(Some(self.now.unix_ms.saturating_add(delay)));
    }

    /// Leaves a sample of what was seen. What there is of the item now is looked up again: handing it over
    /// would cost those that are in no sample.
    #[cold]
    #[inline(never)]
    fn saw(&self, command: Command, key: HashedKey<'_>, found: bool) {
        let (request_weight, key_weight) = self.sampling.weights(key.hash());
        if request_weight == 0 && key_weight == 0 {
            return;
        }
        let unix_ms = self.now.unix_ms;
        let expires = |ttl: Duration| {
            let ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
            unix_ms.saturating_add(ms) / 1000
        };
        let reader = self.node.store.reader();
        let is_there = found && command != Command::Delete;
        let item = if is_there { reader.of(self.tenant()).peek(key) } else { None };
        let bytes = item.map_or(0, |item| item.value().len());
        let sample = Sample {
            number: 0,
            tenant: self.access.grant.tenant(),
            unix_ms,
            command,
            found,
            hash: key.hash(),
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            expires: item.and_then(|item| item.ttl()).map(expires),
            request_weight,
            key_weight,
        };
        self.node.insights.take(Some(self.worker), sample, key.key());
    }
}

fn is_stored(stored: &Result<Outcome, StoreError>) -> bool {
    matches!(stored, Ok(Outcome::Stored { .. }))
}
