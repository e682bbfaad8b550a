//! What all tenants share: memory, index, clock; and who gets the next segment.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use rapidhash::v3::{RapidSecrets, rapidhash_v3_nano_inline};

use crate::clock::Clock;
use crate::config::{Config, Geometry};
use crate::epoch::{Epoch, Pin, Stamp};
use crate::error::StoreError;
use crate::index::{Bucket, Group, Items, Load, Pages, Slot, Step, Supply, Table};
use crate::memory::arena::{Arena, Location, SegmentId};
use crate::memory::log::Open;
use crate::memory::pool::Pool;
use crate::memory::record::{Sizes, chunk_record_len};
use crate::memory::segment::{STATE_BYTES, Segments, TENANT_BITS};
use crate::memory::stored::Stored;
use crate::reclaim::Flushed;
use crate::stats::{Event, Stats, filled_slots};
use crate::sync::{AtomicU32, AtomicU64, Lock, Ordering};
use crate::tenant::{Limits, Tenant, TenantState};

/// A cache in memory. See the [crate's documentation](crate). Clones are the same store.
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    /// The tenant of those who need only one.
    everything: Tenant,
}

/// The state behind a [`Store`] and its tenants.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) arena: Arc<Arena>,
    pub(crate) segments: Segments,
    pub(crate) pool: Pool,
    pub(crate) index: Table<IndexPages>,
    pub(crate) epoch: Epoch,
    pub(crate) sizes: Sizes,
    pub(crate) time: Time,
    pub(crate) geometry: Geometry,
    /// Of the hash, made from a seed nobody knows, so that nobody can choose keys that collide.
    secrets: RapidSecrets,
    pub(crate) tenants: Lock<Vec<Arc<TenantState>>>,
    next_tenant: AtomicU32,
    pub(crate) flushed: Lock<Flushed>,
    pub(crate) shifting: Shifting,
}

/// What is written now and then, on a line that no get reads.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Shifting {
    /// Segments in `flushed`: read by every writer.
    pub(crate) flushed_segments: AtomicU32,
    /// Bytes promised to reservations that are not committed.
    pub(crate) reserved: AtomicU64,
    /// Whether the index is to be resized: looked at by every writer, written seldom.
    resizing: AtomicU32,
    /// Counts up, to sample tenants in turn.
    pub(crate) next_sampled: AtomicU32,
    pub(crate) next_maintained: AtomicU32,
    tenant_count: AtomicU32,
}

/// Sets the hashes of one key for different tenants apart: 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Segments that only reclaim may use, so that it can always go on.
const KEPT_FOR_RECLAIM: u32 = 2;

impl Store {
    /// An empty store. Memory is reserved now and used as it is needed.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoMemory`] when the system does not let the memory be reserved.
    pub fn new(config: Config) -> Result<Store, StoreError> {
        let shared = Arc::new(Shared::new(config)?);
        let everything = shared.add_tenant(Limits::NONE);
        let everything = Tenant { shared: Arc::clone(&shared), state: everything };
        Ok(Store { shared, everything })
    }

    /// The tenant that is there from the start and may use everything: all that an application with
    /// a cache of its own needs.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.everything
    }

    /// A new tenant, without items.
    ///
    /// # Panics
    ///
    /// When the store has had eight million: their numbers are never used again.
    #[must_use]
    pub fn add_tenant(&self, limits: Limits) -> Tenant {
        let state = self.shared.add_tenant(limits);
        Tenant { shared: Arc::clone(&self.shared), state }
    }

    /// Removes a tenant: its items are flushed, and nothing is stored through its handles any more
    /// ([`StoreError::NoRoom`]).
    ///
    /// # Panics
    ///
    /// When the tenant is another store's.
    pub fn remove_tenant(&self, tenant: &Tenant) {
        assert!(Arc::ptr_eq(&tenant.shared, &self.shared), "a tenant of another store");
        tenant.set_limits(Limits { floor_bytes: 0, ceiling_bytes: 0 });
        tenant.state.removed.store(1, Ordering::SeqCst);
        self.shared.bury();
    }

    /// The figures of all tenants together.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &*self.shared;
        let used = shared.arena.segments() - shared.pool.available() as usize;
        let mut stats = Stats {
            bytes: (used * shared.arena.segment_bytes() + shared.state_bytes()) as u64,
            max_bytes: shared.geometry.max_bytes as u64,
            ..Stats::default()
        };
        stats.count(shared.epoch.workers().map(|worker| &worker.counters), None);
        let tenants = shared.tenants.lock().clone();
        shared.count_segments(&tenants, &mut stats);
        stats
    }

    /// The largest item that can be stored, key and value together, in bytes.
    #[must_use]
    pub fn max_item_bytes(&self) -> usize {
        self.shared.geometry.max_item_bytes
    }

    /// Does up to `steps` pieces of the work that storing otherwise does by and by: taking back what
    /// was flushed or has expired, moving the index. Returns whether there may be more to do.
    ///
    /// Nothing depends on it; a thread with time to spare makes writes cheaper by it.
    pub fn maintain(&self, steps: usize) -> bool {
        (0..steps).all(|_| self.shared.maintain())
    }
}

impl Shared {
    fn new(config: Config) -> Result<Shared, StoreError> {
        let geometry = Geometry::of(&config);
        let bytes = geometry.max_bytes;
        let arena = Arena::new(geometry.segments as usize, geometry.segment_shift)
            .map_err(|error| StoreError::NoMemory { bytes, reason: error.to_string() })?;
        if config.take_all {
            arena.take_all();
        }
        let arena = Arc::new(arena);
        let pool = Pool::new(geometry.segments);
        let epoch = Epoch::new();
        let supply = IndexSupply { pool: &pool, epoch: &epoch };
        let index = Table::new(IndexPages(Arc::clone(&arena)), &supply, 1)
            .expect("a new pool has a segment");
        Ok(Shared {
            segments: Segments::new(geometry.segments as usize),
            sizes: Sizes::of_segment(arena.segment_bytes()),
            time: Time { start: config.clock.now_ms(), clock: config.clock },
            secrets: RapidSecrets::seed(RandomState::new().hash_one(0_u64)),
            tenants: Lock::default(),
            // 0 owns nothing.
            next_tenant: AtomicU32::new(1),
            flushed: Lock::default(),
            shifting: Shifting::default(),
            arena,
            pool,
            index,
            epoch,
            geometry,
        })
    }

    /// Takes back what removed tenants hold, and forgets those that hold nothing any more. A writer
    /// that had begun before its tenant was removed may leave something behind for the next time.
    fn bury(&self) {
        let removed: Vec<_> = {
            let tenants = self.tenants.lock();
            tenants.iter().filter(|tenant| tenant.is_removed()).map(Arc::clone).collect()
        };
        for tenant in &removed {
            self.flush(tenant);
            self.give_up_ghosts(tenant);
        }
        let mut tenants = self.tenants.lock();
        tenants.retain(|tenant| !tenant.is_removed() || tenant.segments.load(Ordering::SeqCst) > 0);
        let count = u32::try_from(tenants.len()).unwrap_or(u32::MAX);
        self.shifting.tenant_count.store(count, Ordering::Relaxed);
    }

    fn add_tenant(&self, limits: Limits) -> Arc<TenantState> {
        self.bury();
        let id = self.next_tenant.fetch_add(1, Ordering::Relaxed);
        assert!(
            id < 1 << TENANT_BITS,
            "a store has had 2^{TENANT_BITS} tenants, and can have no more"
        );
        let state = Arc::new(TenantState::new(id, self, limits));
        self.tenants.lock().push(Arc::clone(&state));
        self.shifting.tenant_count.fetch_add(1, Ordering::Relaxed);
        state
    }

    /// How many tenants there are.
    pub(crate) fn tenant_count(&self) -> u32 {
        self.shifting.tenant_count.load(Ordering::Relaxed)
    }

    /// The hash of a tenant's key.
    #[inline]
    pub(crate) fn hash(&self, tenant: u32, key: &[u8]) -> u64 {
        let hash = rapidhash_v3_nano_inline::<true, false>(key, &self.secrets);
        hash ^ u64::from(tenant).wrapping_mul(SPREAD)
    }

    /// A segment for a tenant's queue, or for its ghosts. `reclaiming` may use the last ones, and
    /// go beyond the ceiling for a moment.
    pub(crate) fn supply(&self, tenant: &TenantState, reclaiming: bool) -> Option<SegmentId> {
        // Counted first: either a removed tenant is seen to be so, or whoever removes it sees that it
        // has something.
        let held = tenant.segments.fetch_add(1, Ordering::SeqCst);
        let may = reclaiming || held < tenant.ceiling.load(Ordering::Relaxed);
        let keep = if reclaiming { 0 } else { KEPT_FOR_RECLAIM };
        let segment = (may && (reclaiming || !tenant.is_removed()))
            .then(|| self.pool.take(keep, &self.epoch))
            .flatten();
        if segment.is_none() {
            tenant.segments.fetch_sub(1, Ordering::SeqCst);
        }
        segment
    }

    /// A zeroed segment for a tenant's ghosts.
    pub(crate) fn supply_zeroed(&self, tenant: &TenantState) -> Option<SegmentId> {
        let segment = self.pool.take_zeroed(1, &self.epoch, &self.arena)?;
        tenant.segments.fetch_add(1, Ordering::Relaxed);
        Some(segment)
    }

    /// Flushes a tenant whose time for that has come.
    #[inline]
    pub(crate) fn flush_if_due(&self, tenant: &TenantState, tick: u32) {
        if tenant.flush_at.load(Ordering::Relaxed) <= tick {
            self.flush_due(tenant);
        }
    }

    #[inline(never)]
    fn flush_due(&self, tenant: &TenantState) {
        let tenants = self.tenants.lock();
        let found = tenants.iter().find(|other| other.id == tenant.id).map(Arc::clone);
        drop(tenants);
        if let Some(tenant) = found {
            // Of all who notice, one flushes.
            let due = tenant.flush_at.load(Ordering::Relaxed);
            let (now, none) = (self.time.tick(), u32::MAX);
            if due <= now
                && tenant
                    .flush_at
                    .compare_exchange(due, none, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
            {
                self.flush(&tenant);
            }
        }
    }

    /// Takes a tenant's segment back that the index does not refer to any more.
    pub(crate) fn take_back(&self, tenant: &TenantState, segment: SegmentId) {
        self.segments.close(segment);
        tenant.segments.fetch_sub(1, Ordering::Relaxed);
        self.pool.give_back(segment, &self.epoch);
    }

    /// Whether writers have to make room before they store.
    #[inline]
    pub(crate) fn is_scarce(&self) -> bool {
        self.pool.available() <= KEPT_FOR_RECLAIM + 2
    }

    /// Whether segments are there for others than reclaim, though readers may still be in them.
    pub(crate) fn has_room(&self) -> bool {
        self.has_room_for(1)
    }

    /// The same for so many segments.
    pub(crate) fn has_room_for(&self, segments: u32) -> bool {
        self.pool.available() >= KEPT_FOR_RECLAIM.saturating_add(segments)
    }

    /// Whether so many segments are there for others than reclaim, and no reader is in them.
    pub(crate) fn has_ready(&self, segments: u32) -> bool {
        self.pool.ready(&self.epoch) >= KEPT_FOR_RECLAIM.saturating_add(segments)
    }

    /// Whether every segment has been used: the store then keeps what it has, and no more.
    pub(crate) fn is_full(&self) -> bool {
        self.is_scarce() || self.pool.available() < self.geometry.segments / 16
    }

    /// Has the index's size looked at. Called as slots are filled.
    pub(crate) fn check_index(&self) {
        self.shifting.resizing.store(1, Ordering::Relaxed);
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
        let step = self.index.resize_step(&supply, self.load(), self, |slot| {
            // SAFETY: as in `hash_of`.
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

    /// Notes that nothing refers to an item any more.
    pub(crate) fn forget(&self, tenant: &TenantState, item: &Stored<'_>) {
        // The chunks of a flushed item may have been taken back before it: their places are others'.
        if !self.is_flushed(tenant, item) {
            for (at, len) in item.chunks() {
                let (segment, len) = (self.arena.segment_of(at), chunk_record_len(len));
                let before = self.segments.about(segment).add_dead(len);
                self.note_waste(tenant, segment, before, len);
            }
        }
        let (segment, len) = (self.arena.segment_of(item.at), item.layout.len());
        let before = self.segments.about(segment).remove_item(len);
        self.note_waste(tenant, segment, before, len);
    }

    /// Whether a tenant's item was flushed.
    pub(crate) fn is_flushed(&self, tenant: &TenantState, item: &Stored<'_>) -> bool {
        let since = tenant.flushed_before.load(Ordering::Acquire);
        !self.segments.owner(self.arena.segment_of(item.at)).is(tenant.id, since)
    }

    /// Forgets an item for which the index has no room.
    #[cold]
    fn lose(&self, pin: &Pin<'_>, slot: Slot, item: &Stored<'_>) {
        let id = self.segments.owner(self.arena.segment_of(item.at)).tenant();
        let tenant = self.tenants.lock().iter().find(|tenant| tenant.id == id).cloned();
        let row = pin.worker.counters.of(id);
        pin.worker.counters.emptied_slot();
        if let Some(tenant) = tenant.filter(|tenant| !self.is_flushed(tenant, item)) {
            self.forget(&tenant, item);
            row.evicted(slot);
        } else {
            let segment = self.segments.about(self.arena.segment_of(item.at));
            segment.remove_item(item.layout.len());
            row.add(Event::Flushed, 1);
        }
    }

    /// Bytes of state kept per segment, outside the segments.
    pub(crate) fn state_bytes(&self) -> usize {
        self.arena.segments() * (STATE_BYTES + 16)
    }

    /// Adds what the segments of tenants hold.
    pub(crate) fn count_segments(&self, tenants: &[Arc<TenantState>], stats: &mut Stats) {
        let since: HashMap<u32, u64> = tenants
            .iter()
            .map(|tenant| (tenant.id, tenant.flushed_before.load(Ordering::Acquire)))
            .collect();
        for (segment, owner) in self.segments.owners() {
            if since.get(&owner.tenant()).is_some_and(|since| owner.seq() >= *since) {
                let about = self.segments.about(segment);
                let usage = about.usage();
                stats.items += u64::from(usage.items());
                let len = about.len.load(Ordering::Relaxed);
                stats.live_bytes += u64::from(len.saturating_sub(usage.dead_bytes()));
            }
        }
        // Open ones have no length yet.
        let mut count_open = |open: &Open| {
            let Some(segment) = open.segment else { return };
            let dead = u64::from(self.segments.about(segment).usage().dead_bytes());
            stats.live_bytes += (open.offset as u64).saturating_sub(dead);
        };
        for tenant in tenants {
            tenant.reclaim.lock().gathering().iter().for_each(&mut count_open);
            tenant.stripes.lock_all().iter().for_each(|(_, open)| count_open(open));
        }
    }
}

/// The pages of the index are segments.
#[derive(Debug)]
pub(crate) struct IndexPages(Arc<Arena>);

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
struct IndexSupply<'a> {
    pool: &'a Pool,
    epoch: &'a Epoch,
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

impl Items for Shared {
    #[allow(unsafe_code)]
    fn hash_of(&self, slot: Slot) -> u64 {
        let at = slot.location();
        let tenant = self.segments.owner(self.arena.segment_of(at)).tenant();
        // SAFETY: the index asks about slots it has just read, and its callers are pinned.
        self.hash(tenant, unsafe { self.stored(at) }.key())
    }

    fn prefetch(&self, slot: Slot) {
        self.arena.prefetch(slot.location(), 1);
    }
}

/// The store's time. Ticks and minutes count from its start.
#[derive(Debug)]
pub(crate) struct Time {
    clock: Clock,
    /// In milliseconds, as the clock counts.
    start: u64,
}

/// A tick in milliseconds: expiry times are kept in ticks, 32 bits of them last 13 years.
pub(crate) const TICK_MS: u64 = 100;

impl Time {
    /// Ticks since the start; the first is 1.
    #[inline]
    pub(crate) fn tick(&self) -> u32 {
        u32::try_from(self.ms() / TICK_MS).unwrap_or(u32::MAX).min(u32::MAX - 2) + 1
    }

    /// Milliseconds since the start.
    #[inline]
    pub(crate) fn ms(&self) -> u64 {
        self.clock.now_ms().saturating_sub(self.start)
    }
}

/// The minute a tick is in; it wraps around after 45 days.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "wraps around")]
pub(crate) fn minute(tick: u32) -> u16 {
    (u64::from(tick) * TICK_MS / 60_000) as u16
}

impl Shared {
    /// The item a slot refers to.
    ///
    /// # Safety
    ///
    /// As [`Stored::new`]: the slot was read from the index since the thread is pinned, and the
    /// thread stays so throughout the lifetime, or it is under the lock of its home.
    #[inline]
    #[allow(unsafe_code)]
    pub(crate) unsafe fn stored(&self, at: Location) -> Stored<'_> {
        // SAFETY: passed on.
        unsafe { Stored::new(&self.arena, at, self.sizes) }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Figures, not contents: cached values do not belong in a log.
        f.debug_struct("Store").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
