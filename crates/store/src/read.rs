//! Lookups: one key, or many at once.
//!
//! A single lookup of a large store waits for memory twice: for the bucket, then for the item. A
//! batch asks for all its buckets, then for all its items, and waits for each kind once.

use std::sync::Arc;

use crate::epoch::Pin;
use crate::index::{Found, Place, Slot};
use crate::item::Item;
use crate::memory::segment::{Owner, Queue};
use crate::memory::stored::Stored;
use crate::policy;
use crate::stats::{Event, Row};
use crate::store::{Shared, Store};
use crate::sync::Ordering;
use crate::tenant::{Tenant, TenantState};

/// What is looked up, and when.
#[derive(Clone, Copy)]
pub(crate) struct Sought<'k> {
    pub(crate) tenant: &'k TenantState,
    pub(crate) key: &'k [u8],
    pub(crate) hash: u64,
    pub(crate) tick: u32,
}

/// Keys looked up together: as many lines as a core can wait for at once, and a little more.
const BATCH: usize = 32;

impl Tenant {
    /// Calls `read` with the item of `key` and returns what it returned, or `None` on a miss.
    ///
    /// Takes no lock and copies nothing. While `read` runs, no memory is reused, and what this
    /// thread stores may find no room: it should take what it needs and return.
    #[inline]
    pub fn get<R>(&self, key: &[u8], read: impl FnOnce(Item<'_>) -> R) -> Option<R> {
        let shared = &*self.shared;
        let pin = shared.epoch.pin();
        let hash = shared.hash(self.state.id, key);
        let tick = shared.time.tick();
        shared.flush_if_due(&self.state, tick);
        let row = pin.worker.counters.of(self.state.id);
        let sought = Sought { tenant: &self.state, key, hash, tick };
        let likely = shared.foresee(&pin, &shared.index.home(hash), hash);
        shared.look_up(&pin, row, sought, likely).map(read)
    }

    /// Looks up all `keys`, and calls `read` with the number of each and its item, or `None` on a
    /// miss, in order. Faster than one by one: memory is asked for ahead.
    pub fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        mut read: impl FnMut(usize, Option<Item<'_>>),
    ) {
        let tenant = &*self.state;
        let lookup = |number: usize| (tenant, keys[number].as_ref());
        self.shared.look_up_many(keys.len(), lookup, &mut read);
    }
}

impl Store {
    /// As [`Tenant::get_many`], for keys of different tenants of this store.
    ///
    /// # Panics
    ///
    /// When a tenant is another store's.
    pub fn get_many(
        &self,
        lookups: &[(&Tenant, &[u8])],
        mut read: impl FnMut(usize, Option<Item<'_>>),
    ) {
        let ours = |tenant: &Tenant| Arc::ptr_eq(&tenant.shared, &self.shared);
        assert!(lookups.iter().all(|(tenant, _)| ours(tenant)), "a tenant of another store");
        let lookup = |number: usize| (&*lookups[number].0.state, lookups[number].1);
        self.shared.look_up_many(lookups.len(), lookup, &mut read);
    }
}

impl Shared {
    /// Looks up `count` keys: `lookup` says of whom and which.
    fn look_up_many<'k>(
        &self,
        count: usize,
        lookup: impl Fn(usize) -> (&'k TenantState, &'k [u8]),
        read: &mut impl FnMut(usize, Option<Item<'_>>),
    ) {
        for first in (0..count).step_by(BATCH) {
            let numbers = first..count.min(first + BATCH);
            // A quiescent point a batch.
            let pin = self.epoch.pin();
            let mut ahead = [None; BATCH];
            for (number, ahead) in numbers.clone().zip(&mut ahead) {
                let (tenant, key) = lookup(number);
                let hash = self.hash(tenant.id, key);
                let home = self.index.home(hash);
                home.prefetch();
                *ahead = Some((hash, home));
            }
            let mut likely = [None; BATCH];
            for (ahead, likely) in ahead.iter().flatten().zip(&mut likely) {
                let (hash, home) = ahead;
                *likely = self.foresee(&pin, home, *hash);
            }
            let tick = self.time.tick();
            let mut of: Option<(&TenantState, &Row)> = None;
            for (number, (ahead, likely)) in numbers.zip(ahead.iter().zip(likely)) {
                let Some((hash, _)) = *ahead else { break };
                let (tenant, key) = lookup(number);
                let row = match of {
                    Some((same, row)) if std::ptr::eq(same, tenant) => row,
                    _ => {
                        self.flush_if_due(tenant, tick);
                        pin.worker.counters.of(tenant.id)
                    }
                };
                of = Some((tenant, row));
                let sought = Sought { tenant, key, hash, tick };
                read(number, self.look_up(&pin, row, sought, likely));
            }
        }
    }

    /// What is most likely the item, its lines asked for: all at once, because where the value lies is
    /// only known when the header has come.
    #[inline]
    pub(crate) fn foresee<'a>(
        &self,
        pin: &Pin<'_>,
        home: &Place<'a>,
        hash: u64,
    ) -> Option<Found<'a>> {
        let likely = home.candidate(hash)?;
        self.arena.prefetch(likely.slot.location(), pin.worker.ahead());
        Some(likely)
    }

    /// Finds a live item, and notes that it was used. `likely` is what was foreseen: a hint.
    ///
    /// In line, like what it calls: what it returns is several words, and callers use one or two.
    #[inline(always)]
    pub(crate) fn look_up<'a>(
        &'a self,
        pin: &'a Pin<'_>,
        row: &Row,
        sought: Sought<'_>,
        likely: Option<Found<'a>>,
    ) -> Option<Item<'a>> {
        let Sought { tenant, key, hash, tick } = sought;
        let likely =
            likely.and_then(Found::anew).and_then(|found| self.is_found(pin, tenant, key, found));
        let Some((found, stored, owner)) = likely.or_else(|| self.find(pin, tenant, hash, key))
        else {
            self.count_miss(pin, row, sought);
            return None;
        };
        if stored.expires() <= tick {
            row.add(Event::Miss, 1);
            row.add(Event::ExpiredMiss, 1);
            return None;
        }
        row.add(Event::Hit, 1);
        if !policy::is_well_used(found.slot) {
            let counts =
                owner.queue() == Queue::Main || owner.seq() < tenant.window.load(Ordering::Relaxed);
            let used = policy::used(found.slot, counts);
            if used != found.slot {
                // Failing is as good: somebody else has just used it.
                found.set(used);
            }
        }
        let accessed = stored.set_accessed(tick);
        pin.worker.note_length(stored.layout.len());
        Some(Item::new(self, stored, found, owner, tick, accessed))
    }

    /// Finds a live item, and notes nothing.
    pub(crate) fn peek<'a>(&'a self, pin: &'a Pin<'_>, sought: Sought<'_>) -> Option<Item<'a>> {
        let Sought { tenant, key, hash, tick } = sought;
        let (found, stored, owner) = self.find(pin, tenant, hash, key)?;
        let accessed = stored.accessed();
        (stored.expires() > tick).then(|| Item::new(self, stored, found, owner, tick, accessed))
    }

    /// Counts a lookup that has found nothing.
    #[inline(never)]
    fn count_miss(&self, pin: &Pin<'_>, row: &Row, sought: Sought<'_>) {
        row.add(Event::Miss, 1);
        let Sought { tenant, key, hash, .. } = sought;
        // Only while something is flushed there may be such an item.
        if self.shifting.flushed_segments.load(Ordering::Relaxed) > 0
            && tenant.flushed_before.load(Ordering::Relaxed) > 0
            && self
                .index
                .find(hash, |found| self.is_item(pin, found.slot, tenant.id, 0, key).then_some(()))
                .is_some()
        {
            row.add(Event::FlushedMiss, 1);
        }
    }

    /// The item that was found, if it is the one sought and has not been flushed.
    #[inline]
    #[allow(unsafe_code)]
    fn is_found<'a>(
        &'a self,
        _pin: &'a Pin<'_>,
        tenant: &TenantState,
        key: &[u8],
        found: Found<'a>,
    ) -> Option<(Found<'a>, Stored<'a>, Owner)> {
        let at = found.slot.location();
        let owner = self.segments.owner(self.arena.segment_of(at));
        // SAFETY: the slot was read while the thread is pinned, for the lifetime of the pin.
        let stored = unsafe { self.stored(at) };
        let since = tenant.flushed_before.load(Ordering::Acquire);
        (stored.has_key(key) && owner.is(tenant.id, since)).then_some((found, stored, owner))
    }

    /// Finds a tenant's item that has not been flushed; it may have expired.
    #[inline(never)]
    pub(crate) fn find<'a>(
        &'a self,
        pin: &'a Pin<'_>,
        tenant: &TenantState,
        hash: u64,
        key: &[u8],
    ) -> Option<(Found<'a>, Stored<'a>, Owner)> {
        loop {
            let mut gone = false;
            let found = self.index.find(hash, |found| {
                // All of it at once: where the value lies is only known once the header has come.
                self.arena.prefetch(found.slot.location(), pin.worker.ahead());
                let found_it = self.is_found(pin, tenant, key, found);
                gone |= found_it.is_none() && self.is_gone(found.slot);
                found_it
            });
            // The item may have moved, and its old segment been taken back, since its slot was read.
            if found.is_some() || !gone {
                return found;
            }
        }
    }

    /// Whether nobody owns the segment that a slot refers to: then the slot in the index is another by
    /// now.
    fn is_gone(&self, slot: Slot) -> bool {
        self.segments.owner(self.arena.segment_of(slot.location())) == Owner::NOBODY
    }
}
