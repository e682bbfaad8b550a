//! Reading many items in place, with one quiescent point for all of them.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::epoch::Pin;
use crate::index::prefetch;
use crate::item::Item;
use crate::key::HashedKey;
use crate::read::Sought;
use crate::store::{Shared, Store};
use crate::tenant::Tenant;

/// Holds what is read through it in place while it lives: items are read where they lie, and nothing
/// is copied.
///
/// While it lives no memory is reused, and what *this thread* stores may find no room
/// ([`NoRoom`](crate::StoreError::NoRoom)): it should live for a run of reads, and be gone before the
/// next write. It reads all its items at one time, that at which it was made.
#[derive(Debug)]
pub struct Reader<'s> {
    shared: &'s Shared,
    pin: Pin<'s>,
    tick: u32,
    /// The announcement is this thread's.
    _of_this_thread: PhantomData<*const ()>,
}

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

    /// Looks at that line, which should have been [fetched](Self::prefetch) some keys ago, and has the
    /// first lines of the likely item fetched, and where the look-up is counted. A hint; cheaper while this
    /// thread has a [`Reader`].
    #[inline]
    pub fn prefetch_item(&self, key: HashedKey<'_>) {
        let shared = &*self.shared;
        let pin = shared.epoch.pin();
        prefetch(pin.worker.counters.of(key.tenant()));
        shared.foresee(&shared.index.home(key.hash), key.hash);
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

impl Reader<'_> {
    /// The item of a key, as [`Tenant::get`] gives it: counted, and marked as used.
    ///
    /// # Panics
    ///
    /// When the tenant is another store's, or the key another tenant's.
    #[must_use]
    #[inline]
    pub fn get(&self, tenant: &Tenant, key: HashedKey<'_>) -> Option<Item<'_>> {
        let sought = self.sought(tenant, key);
        let row = self.pin.worker.counters.of(tenant.state.id);
        let likely = self.shared.index.home(key.hash).candidate(key.hash);
        self.shared.look_up(&self.pin, row, sought, likely)
    }

    /// The same, but the look is neither counted nor does it mark the item as used.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    #[must_use]
    pub fn peek(&self, tenant: &Tenant, key: HashedKey<'_>) -> Option<Item<'_>> {
        let sought = self.sought(tenant, key);
        self.shared.peek(&self.pin, sought)
    }

    #[inline]
    fn sought<'k>(&self, tenant: &'k Tenant, key: HashedKey<'k>) -> Sought<'k> {
        assert!(
            std::ptr::eq(Arc::as_ptr(&tenant.shared), self.shared),
            "a tenant of another store"
        );
        tenant.owns(key);
        self.shared.flush_if_due(&tenant.state, self.tick);
        Sought { tenant: &tenant.state, key: key.bytes, hash: key.hash, tick: self.tick }
    }
}
