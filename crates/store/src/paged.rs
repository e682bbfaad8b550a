//! The store's index: its pages are segments, what it asks about items, and when it is resized.

use std::sync::Arc;

use crate::epoch::{Epoch, Pin, Stamp};
use crate::index::{Bucket, Group, Items, Load, Pages, Slot, Step, Supply};
use crate::memory::arena::Arena;
use crate::memory::pool::Pool;
use crate::memory::stored::Stored;
use crate::stats::{Event, filled_slots};
use crate::store::Shared;
use crate::sync::Ordering;

impl Shared {
    /// Looks at the index's size. Called as slots are filled.
    #[inline(never)]
    pub(crate) fn check_index(&self) {
        let is_resizing = self.shifting.resizing.load(Ordering::Relaxed) != 0;
        if !is_resizing && self.index.is_to_resize(self.load()) {
            self.shifting.resizing.store(1, Ordering::Relaxed);
        }
    }

    /// Does a step of resizing the index, if one is due. The caller is pinned. Returns whether
    /// there may be more to do.
    #[inline]
    pub(crate) fn resize_index(&self, pin: &Pin<'_>) -> bool {
        self.shifting.resizing.load(Ordering::Relaxed) != 0 && self.resize_index_step(pin)
    }

    #[allow(unsafe_code)]
    #[inline(never)]
    fn resize_index_step(&self, pin: &Pin<'_>) -> bool {
        let supply = IndexSupply { pool: &self.pool, epoch: &self.epoch };
        let items = IndexItems { shared: self, _pin: pin };
        let step = self.index.resize_step(&supply, self.load(), &items, |slot| {
            // SAFETY: the slot was in the index while the thread was pinned, and so it still is.
            self.lose(pin, slot, &unsafe { self.stored(slot.location()) });
        });
        if step == Step::Idle {
            self.shifting.resizing.store(0, Ordering::Relaxed);
        }
        matches!(step, Step::Moved | Step::Finished)
    }

    fn load(&self) -> Load {
        let items = filled_slots(self.epoch.workers().map(|worker| &worker.counters));
        Load { items, roomy: !self.is_full() }
    }

    /// Forgets an item for which the index has no room.
    #[cold]
    fn lose(&self, pin: &Pin<'_>, slot: Slot, item: &Stored<'_>) {
        let id = self.segments.owner(self.arena.segment_of(item.at)).tenant();
        let tenant = self.tenants.find(id);
        let row = pin.worker.counters.of(id);
        pin.worker.counters.emptied_slot();
        if let Some(tenant) = tenant.filter(|tenant| !self.is_flushed(tenant, item)) {
            self.forget(&tenant, item);
            row.removed(Event::Evicted, slot);
        } else {
            let segment = self.segments.about(self.arena.segment_of(item.at));
            segment.remove_item(item.layout.len());
            row.add(Event::Flushed, 1);
        }
    }
}

/// The pages of the index are segments.
#[derive(Debug)]
pub(crate) struct IndexPages(pub(crate) Arc<Arena>);

impl Pages for IndexPages {
    #[inline]
    fn page(&self, page: u32) -> &[Bucket] {
        self.0.buckets(page)
    }

    #[inline]
    fn group(&self, page: u32, first: usize) -> &Group {
        self.0.bucket_group(page, first)
    }

    fn buckets_a_page(&self) -> usize {
        self.0.segment_bytes() / size_of::<Bucket>()
    }

    fn pages(&self) -> usize {
        self.0.segments()
    }
}

/// Where the index gets its pages from.
pub(crate) struct IndexSupply<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) epoch: &'a Epoch,
}

impl Supply for IndexSupply<'_> {
    fn take(&self) -> Option<u32> {
        // The last one is left to reclaim.
        self.pool.take(1, self.epoch)
    }

    fn give_back(&self, page: u32) {
        self.pool.give_back(page, self.epoch);
    }

    fn now(&self) -> u64 {
        self.epoch.stamp().0
    }

    fn passed(&self, stamp: u64) -> bool {
        self.epoch.passed(Stamp(stamp))
    }
}

/// What the index asks about items, on behalf of a thread that is pinned.
pub(crate) struct IndexItems<'a> {
    pub(crate) shared: &'a Shared,
    /// Shows that it is.
    pub(crate) _pin: &'a Pin<'a>,
}

impl Items for IndexItems<'_> {
    #[allow(unsafe_code)]
    fn hash_of(&self, slot: Slot) -> u64 {
        let (shared, at) = (self.shared, slot.location());
        let tenant = shared.segments.owner(shared.arena.segment_of(at)).tenant();
        // SAFETY: the index asks about slots it has just read, and the thread is pinned.
        shared.hash(tenant, unsafe { shared.stored(at) }.key())
    }

    fn prefetch(&self, slot: Slot) {
        self.shared.arena.prefetch(slot.location(), 1);
    }
}
