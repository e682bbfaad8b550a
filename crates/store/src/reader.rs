//! Reading many items in place, with one quiescent point for all of them.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::epoch::Pin;
use crate::index::{Found, prefetch};
use crate::item::Item;
use crate::key::HashedKey;
use crate::read::Sought;
use crate::stats::Row;
use crate::store::{Shared, Store};
use crate::tenant::{Tenant, TenantState};

/// Holds what is read through it in place while it lives: items are read where they lie, and nothing
/// is copied.
///
/// While it lives no memory is reused, and what *this thread* stores may find no room
/// ([`NoRoom`](crate::StoreError::NoRoom)), while what other threads store waits for it if room is short, up to a
/// second: it should live for a run of reads, and be gone before the next write. It reads all its items at one time, that at which it was made.
#[derive(Debug)]
pub struct Reader<'s> {
    shared: &'s Shared,
    pin: Pin<'s>,
    tick: u32,
    /// The announcement is this thread's.
    _of_this_thread: PhantomData<*const ()>,
}

/// A tenant's look-ups by a [`Reader`]: what they have in common is looked at once.
#[derive(Debug, Clone, Copy)]
pub struct Lookups<'r> {
    reader: &'r Reader<'r>,
    tenant: &'r Tenant,
    row: &'r Row,
}

/// Where an item most likely is, from a look ahead at its key. Most look-ups find it there; the others,
/// and those of keys that were not [foreseen](Lookups::foresee), search for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Foreseen<'r>(Option<(&'r Shared, Found<'r>)>);

impl Store {
    /// Begins a run of reads.
    #[must_use]
    #[inline]
    pub fn reader(&self) -> Reader<'_> {
        let shared = &*self.shared;
        let pin = shared.epoch.pin();
        Reader { shared, pin, tick: shared.time.tick(), _of_this_thread: PhantomData }
    }

    /// Has the line fetched where a search for the key begins. A hint, for keys that are needed soon.
    #[inline]
    pub fn prefetch(&self, key: HashedKey<'_>) {
        self.shared.index.prefetch(key.hash);
    }
}

impl Tenant {
    /// Has what every command of the tenant reads of it fetched. A hint, for who works for many tenants in
    /// turns.
    #[inline]
    pub fn prefetch(&self) {
        let state = &*self.state;
        prefetch(&state.id);
        prefetch(&state.flushed_before);
        prefetch(&state.flush_at);
    }
}

impl<'s> Reader<'s> {
    /// Looks at the line where the search for the key begins, which should have been
    /// [fetched](Store::prefetch) some keys ago, and has the first lines of the likely item fetched, and
    /// where the look-up is counted. A hint, for keys of any tenants that are needed soon.
    #[inline]
    pub fn prefetch(&self, key: HashedKey<'_>) {
        prefetch(self.pin.worker.counters.of(key.tenant()));
        self.shared.foresee(&self.pin, &self.shared.index.home(key.hash), key.hash);
    }

    /// Begins look-ups of a tenant's keys.
    ///
    /// # Panics
    ///
    /// When the tenant is another store's.
    #[must_use]
    #[inline]
    pub fn of<'r>(&'r self, tenant: &'r Tenant) -> Lookups<'r>
    where
        's: 'r,
    {
        assert!(
            std::ptr::eq(Arc::as_ptr(&tenant.shared), self.shared),
            "a tenant of another store"
        );
        self.shared.flush_if_due(&tenant.state, self.tick);
        let row = self.pin.worker.counters.of(tenant.state.id);
        prefetch(row);
        Lookups { reader: self, tenant, row }
    }
}

impl<'r> Lookups<'r> {
    /// Looks at the line where the search for the key begins, which should have been
    /// [fetched](Store::prefetch) some keys ago, and has the first lines of the likely item fetched.
    #[inline(always)]
    #[must_use]
    pub fn foresee(&self, key: HashedKey<'_>) -> Foreseen<'r> {
        let Reader { shared, ref pin, .. } = *self.reader;
        let found = shared.foresee(pin, &shared.index.home(key.hash), key.hash);
        Foreseen(found.map(|found| (shared, found)))
    }

    /// The item of a key, as [`Tenant::get`] gives it: counted, and marked as used. What was foreseen is a
    /// hint: if there is another item by now, that is found.
    ///
    /// # Panics
    ///
    /// When the key is another tenant's.
    #[must_use]
    #[inline]
    pub fn get(&self, key: HashedKey<'_>, foreseen: Foreseen<'r>) -> Option<Item<'r>> {
        let Reader { shared, ref pin, .. } = *self.reader;
        // What another store has foreseen says nothing of this one.
        let likely = foreseen.0.filter(|(of, _)| std::ptr::eq(*of, shared)).map(|(_, found)| found);
        shared.look_up(pin, self.row, self.sought(key), likely)
    }

    /// The same, but the look is neither counted nor does it mark the item as used.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    #[must_use]
    pub fn peek(&self, key: HashedKey<'_>) -> Option<Item<'r>> {
        self.reader.shared.peek(&self.reader.pin, self.sought(key))
    }

    #[inline]
    fn sought<'k>(&self, key: HashedKey<'k>) -> Sought<'k>
    where
        'r: 'k,
    {
        self.tenant.owns(key);
        let tenant: &'r TenantState = &self.tenant.state;
        Sought { tenant, key: key.bytes, hash: key.hash, tick: self.reader.tick }
    }
}
