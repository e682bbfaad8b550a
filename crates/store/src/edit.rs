//! Making a version of an item out of the one that is there, without holding a lock meanwhile: if
//! somebody else was quicker, it is made again.

use crate::epoch::Pin;
use crate::error::StoreError;
use crate::index::Slot;
use crate::stats::Event;
use crate::store::Shared;
use crate::sync::Ordering;
use crate::tenant::{Tenant, TenantState};
use crate::write::{Flags, New, Prior, Refused, When};

/// How often an edit that finds no room makes some and tries again.
const MOST_TRIES: usize = 8;

/// What is new about a version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edit {
    pub(crate) value_len: usize,
    pub(crate) expires: u32,
    pub(crate) flags: Flags,
    pub(crate) keep_cas: bool,
}

impl Edit {
    /// Nothing is new.
    pub(crate) fn same(prior: &Prior<'_>) -> Edit {
        Edit {
            value_len: prior.stored.layout.value_len,
            expires: prior.stored.expires(),
            flags: Flags::SAME,
            keep_cas: false,
        }
    }
}

impl Tenant {
    /// Calls `edit` with the live item of a key until it says it is done; `None` if there is none.
    pub(crate) fn edit<T>(
        &self,
        key: &[u8],
        mut edit: impl FnMut(&Shared, &mut Pin<'_>, Prior<'_>) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let shared = &*self.shared;
        let hash = shared.hash(self.state.id, key);
        let mut tries = 0;
        let mut wanted = None;
        loop {
            if let Some(bytes) = wanted.take() {
                // With no version held: to make the next one, that memory cannot be reused.
                shared.make_much_room(&mut shared.epoch.pin(), &self.state, bytes);
            }
            // Two: the one for the prior version stays while the other lets memory be reused.
            let held = shared.epoch.pin();
            let mut pin = shared.epoch.pin();
            let tick = shared.time.tick();
            shared.flush_if_due(&self.state, tick);
            let Some(prior) = shared.prior(&held, &self.state, hash, key, tick) else {
                return Ok(None);
            };
            match edit(shared, &mut pin, prior) {
                Ok(None) => {}
                Err(StoreError::NoRoom { bytes }) if tries < MOST_TRIES && pin.is_only_second() => {
                    tries += 1;
                    wanted = Some(bytes);
                    // What is at work on it is not to be evicted for it.
                    if let Some((found, ..)) = shared.find(&held, &self.state, hash, key) {
                        found.set(found.slot.with_freq(found.slot.freq().max(1)));
                    }
                }
                done => return done,
            }
        }
    }
}

impl Shared {
    /// Writes the next version of an item; returns its CAS number, or `None` if it has changed.
    pub(crate) fn rewrite<'p>(
        &self,
        pin: &mut Pin<'_>,
        tenant: &TenantState,
        key: &[u8],
        prior: Prior<'_>,
        edit: Edit,
        pieces: impl Iterator<Item = &'p [u8]>,
    ) -> Result<Option<u64>, StoreError> {
        let new = New {
            key,
            hash: self.hash(tenant.id, key),
            value_len: edit.value_len,
            flags: prior.stored.flags(),
            expires: edit.expires,
            tick: self.time.tick(),
        };
        let mut after = self.after(&prior);
        if edit.keep_cas {
            let known = prior.slot.has(Slot::CAS_KNOWN);
            after.cas = known.then(|| self.cas_of(&prior.stored));
        }
        // For the whole item, not only for the part that found none.
        let no_room = |_| StoreError::NoRoom { bytes: key.len() + edit.value_len };
        let mut draft = self.begin(pin, tenant, new, Some(after)).map_err(no_room)?;
        for piece in pieces {
            self.append(&mut draft, piece);
        }
        let when = When::Unchanged(prior.stored.at);
        loop {
            let written = self.publish(pin, tenant, key, &draft, when, edit.flags);
            let Err(Refused::Outdated { unnumbered }) = written else { return Ok(written.ok()) };
            draft = self.draw_again(pin, tenant, key, &draft, unnumbered).map_err(no_room)?;
        }
    }

    /// Changes when an item expires, if it is still the one that was seen and has a field for it.
    pub(crate) fn touch_in_place(
        &self,
        tenant: &TenantState,
        key: &[u8],
        prior: &Prior<'_>,
        expires: u32,
    ) -> bool {
        if !prior.stored.layout.has_expiry() {
            return false;
        }
        // Under the lock the item does not move: the field would be left behind.
        let mut home = self.index.lock(self.hash(tenant.id, key));
        let found = home.find(|slot| slot.location() == prior.stored.at);
        // The segment is not told: one item is not worth looking at it sooner.
        found.is_some() && prior.stored.set_expires(expires)
    }

    /// Removes a tenant's item; whether there was a live one.
    pub(crate) fn remove(
        &self,
        pin: &Pin<'_>,
        tenant: &TenantState,
        key: &[u8],
        event: Event,
    ) -> bool {
        let since = tenant.flushed_before.load(Ordering::Acquire);
        let mut home = self.index.lock(self.hash(tenant.id, key));
        let Some(found) = home.find(|slot| self.is_item(slot, tenant.id, since, key)) else {
            return false;
        };
        let stored = self.stored_under_lock(found);
        home.remove(found);
        drop(home);
        let live = stored.expires() > self.time.tick();
        pin.worker.counters.emptied_slot();
        let row = pin.worker.counters.of(tenant.id);
        row.add(if live { event } else { Event::Expired }, 1);
        self.forget(tenant, &stored);
        live
    }
}
