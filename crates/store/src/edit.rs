//! Making a version of an item out of the one that is there, without holding a lock meanwhile: if
//! somebody else was quicker, it is made again.

use crate::draft::New;
use crate::epoch::Pin;
use crate::error::StoreError;
use crate::index::{At, Home, Slot};
use crate::key::HashedKey;
use crate::memory::segment::Queue;
use crate::memory::stored::Stored;
use crate::publish::{Flags, Number, Terms, When};
use crate::request::Removed;
use crate::stats::Event;
use crate::store::Shared;
use crate::sync::Ordering;
use crate::tenant::{Tenant, TenantState};

/// How often an edit that finds no room makes some and tries again.
const MOST_TRIES: usize = 8;

/// What a writer knows of the item there is before it writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prior<'a> {
    pub(crate) slot: Slot,
    pub(crate) stored: Stored<'a>,
}

/// What is new about a version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edit {
    pub(crate) value_len: usize,
    pub(crate) client_flags: u32,
    /// `None`: as the version before.
    pub(crate) expires: Option<u32>,
    pub(crate) flags: Flags,
    pub(crate) number: Number,
}

impl Edit {
    /// Nothing is new but its number.
    pub(crate) fn same(prior: &Prior<'_>) -> Edit {
        Edit {
            value_len: prior.stored.layout.value_len,
            client_flags: prior.stored.flags(),
            expires: None,
            flags: Flags::SAME,
            number: Number::Next,
        }
    }
}

impl Tenant {
    /// Calls `edit` with the live item of a key until it says it is done; `None` if there is none.
    pub(crate) fn edit<T>(
        &self,
        key: HashedKey<'_>,
        mut edit: impl FnMut(&Shared, &mut Pin<'_>, Prior<'_>) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.owns(key);
        let shared = &*self.shared;
        let mut tries = 0;
        let mut wanted = None;
        loop {
            if let Some(bytes) = wanted.take() {
                // With no version held: to make the next one, that memory cannot be reused.
                let mut pin = shared.epoch.pin();
                shared.make_much_room(&mut pin, &self.state, bytes, &mut shared.effort(bytes));
            }
            // Two: the one for the prior version stays while the other lets memory be reused.
            let held = shared.epoch.pin();
            let mut pin = shared.epoch.pin();
            let tick = shared.time.tick();
            shared.flush_if_due(&self.state, tick);
            let Some(prior) = shared.prior(&held, &self.state, key, tick) else {
                return Ok(None);
            };
            match edit(shared, &mut pin, prior) {
                Ok(None) => {}
                Err(StoreError::NoRoom { bytes }) if tries < MOST_TRIES && pin.is_only_second() => {
                    tries += 1;
                    wanted = Some(bytes);
                    // What is at work on it is not to be evicted for it.
                    if let Some((found, ..)) = shared.find(&held, &self.state, key.hash, key.bytes)
                    {
                        found.set(found.slot.with_freq(found.slot.freq().max(1)));
                    }
                }
                done => return done,
            }
        }
    }
}

impl Shared {
    /// The live item there is.
    pub(crate) fn prior<'a>(
        &'a self,
        pin: &'a Pin<'_>,
        tenant: &TenantState,
        key: HashedKey<'_>,
        tick: u32,
    ) -> Option<Prior<'a>> {
        let (found, stored, _) = self.find(pin, tenant, key.hash, key.bytes)?;
        let live = stored.expires() > tick;
        live.then_some(Prior { slot: found.slot, stored })
    }

    /// The queue the next version of an item goes to.
    pub(crate) fn queue_of(&self, stored: &Stored<'_>) -> Queue {
        self.segments.owner(self.arena.segment_of(stored.at)).queue()
    }

    /// What the next version needs as room for its number, as far as is known before it is written.
    pub(crate) fn room_for(&self, number: Number, prior: Option<&Prior<'_>>) -> Option<u64> {
        match number {
            Number::Given(number) => Some(number),
            Number::Next | Number::Keep => {
                let known = prior.filter(|prior| prior.slot.has(Slot::CAS_KNOWN))?;
                let known = self.cas_of(&known.stored);
                (number == Number::Keep || self.is_counted(known)).then_some(known)
            }
        }
    }

    /// Whether an item has the number that is asked for, if one is.
    pub(crate) fn has_number(&self, prior: &Prior<'_>, cas: Option<u64>) -> bool {
        cas.is_none_or(|cas| cas == self.cas_of(&prior.stored))
    }

    /// Writes the next version of an item; returns its CAS number, or `None` if it has changed.
    pub(crate) fn rewrite<'p>(
        &self,
        pin: &mut Pin<'_>,
        tenant: &TenantState,
        key: HashedKey<'_>,
        prior: Prior<'_>,
        edit: Edit,
        pieces: impl Iterator<Item = &'p [u8]>,
    ) -> Result<Option<u64>, StoreError> {
        let new = New {
            key: key.bytes,
            hash: key.hash,
            value_len: edit.value_len,
            flags: edit.client_flags,
            expires: edit.expires.unwrap_or_else(|| prior.stored.expires()),
            tick: self.time.tick(),
            queue: Some(self.queue_of(&prior.stored)),
            cas: self.room_for(edit.number, Some(&prior)),
        };
        // For the whole item, not only for the part that found none.
        let no_room = |_| StoreError::NoRoom { bytes: key.bytes.len() + edit.value_len };
        let mut draft = self.begin(pin, tenant, new).map_err(no_room)?;
        for piece in pieces {
            self.append(&mut draft, piece);
        }
        let terms = Terms {
            when: When::Unchanged(prior.stored.at),
            flags: edit.flags,
            number: edit.number,
            keep_ttl: edit.expires.is_none(),
        };
        let written = self.publish(pin, tenant, key.bytes, draft, &terms).map_err(no_room)?;
        Ok(written.ok())
    }

    /// Changes when an item expires, if it is still the one that was seen and has a field for it.
    pub(crate) fn touch_in_place(
        &self,
        key: HashedKey<'_>,
        prior: &Prior<'_>,
        expires: u32,
    ) -> bool {
        if !prior.stored.layout.has_expiry() {
            return false;
        }
        // Under the lock the item does not move: the field would be left behind.
        let mut home = self.index.lock(key.hash);
        let found = home.find(|slot| slot.location() == prior.stored.at);
        // The segment is not told: one item is not worth looking at it sooner.
        found.is_some() && prior.stored.set_expires(expires)
    }

    /// Removes a tenant's item, if it has the number that is asked for.
    pub(crate) fn remove(
        &self,
        pin: &Pin<'_>,
        tenant: &TenantState,
        key: HashedKey<'_>,
        cas: Option<u64>,
        event: Event,
    ) -> Removed {
        let since = tenant.flushed_before.load(Ordering::Acquire);
        let mut home = self.index.lock(key.hash);
        let found = home.find(|slot| self.is_item(pin, slot, tenant.id, since, key.bytes));
        let Some(found) = found else { return Removed::NotFound };
        let stored = self.stored_under_lock(pin, found);
        let live = stored.expires() > self.time.tick();
        if live && cas.is_some_and(|cas| cas != self.cas_of(&stored)) {
            return Removed::Exists;
        }
        self.unlink(pin, tenant, home, found, if live { event } else { Event::Expired });
        if live { Removed::Deleted } else { Removed::NotFound }
    }

    /// Takes an item out of the index whose home is locked, and counts why.
    pub(crate) fn unlink(
        &self,
        pin: &Pin<'_>,
        tenant: &TenantState,
        mut home: Home<'_>,
        found: At,
        event: Event,
    ) {
        let stored = self.stored_under_lock(pin, found);
        let last = home.remove(found);
        drop(home);
        pin.worker.counters.emptied_slot();
        pin.worker.counters.of(tenant.id).removed(event, last);
        self.forget(tenant, &stored);
    }

    /// Whether a slot is that of a tenant's key, as far as it was not flushed before `since`.
    #[inline]
    #[allow(unsafe_code)]
    pub(crate) fn is_item(
        &self,
        _pin: &Pin<'_>,
        slot: Slot,
        tenant: u32,
        since: u64,
        key: &[u8],
    ) -> bool {
        let at = slot.location();
        self.segments.owner(self.arena.segment_of(at)).is(tenant, since)
            // SAFETY: the index asks about slots it has just read, and the thread is pinned.
            && unsafe { self.stored(at) }.has_key(key)
    }

    /// The item at a place of a locked home.
    #[allow(unsafe_code)]
    pub(crate) fn stored_under_lock<'a>(&'a self, _pin: &'a Pin<'_>, at: At) -> Stored<'a> {
        // SAFETY: its home was locked when it was found, by this thread, which stays pinned.
        unsafe { self.stored(at.slot.location()) }
    }
}
