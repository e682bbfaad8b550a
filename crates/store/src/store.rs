//! What all tenants share: memory, index, clock; and who gets the next segment.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use rapidhash::v3::{RapidSecrets, rapidhash_v3_nano_inline};

use crate::config::{Config, Geometry, MIN_MAX_BYTES};
use crate::epoch::Epoch;
use crate::error::StoreError;
use crate::index::Table;
use crate::memory::arena::{Arena, Location, SegmentId};
use crate::memory::pool::Pool;
use crate::memory::record::{Sizes, chunk_record_len};
use crate::memory::segment::{STATE_BYTES, Segments, TENANT_BITS};
use crate::memory::stored::Stored;
use crate::paged::{IndexPages, IndexSupply};
use crate::reclaim::{Flushed, Pace, SMALL_SEGMENT};
use crate::room::By;
use crate::shares::Shares;
use crate::stats::Stats;
use crate::sync::{AtomicU32, AtomicU64, Lock, Ordering};
use crate::tenant::{Limits, Tenant, TenantState};
use crate::tenants::Tenants;
use crate::time::Time;

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
    /// Whether items are evicted to make room.
    pub(crate) evicts: bool,
    /// Segments below which writers make room.
    spare: u32,
    /// The limit now, at most that of the geometry.
    max_bytes: AtomicU64,
    pub(crate) geometry: Geometry,
    /// No other store of this process has it.
    number: u64,
    /// Of the hash, made from a seed nobody knows, so that nobody can choose keys that collide.
    secrets: RapidSecrets,
    pub(crate) tenants: Tenants,
    next_tenant: AtomicU32,
    pub(crate) flushed: Lock<Flushed>,
    pub(crate) shifting: Shifting,
    pub(crate) shares: Arc<Shares>,
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
    pub(crate) resizing: AtomicU32,
    /// About the largest item stored of late, in bytes: room is kept for the next.
    pub(crate) largest: AtomicU32,
    /// Counts up, to maintain tenants in turn.
    pub(crate) next_maintained: AtomicU32,
    /// The stamp of a segment that somebody has waited for in vain, or 0: no use in doing so again.
    pub(crate) waited_for: AtomicU64,
}

/// Sets the hashes of one key for different tenants apart: 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Writers make room while a few more are still free, one in so many of all, and at most so many: a
/// reader who is not running for a while keeps all segments from being used again that are freed
/// meanwhile.
const SPARE: u32 = 256;
const MOST_SPARE: u32 = 16;

/// What is kept free for the next large item is at most one in so many segments, and nothing where these
/// are [small](SMALL_SEGMENT).
const LEAST_SHARE: u32 = 64;

/// With each segment that is used, the size of the largest item of late is forgotten by one part in so
/// many.
const FORGOTTEN: u32 = 64;

/// While segments are to be withheld, writers make room for these, too.
const WITHHELD_AHEAD: u32 = 4;

/// Numbers of the stores of this process.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// No store can do with fewer.
const FEWEST_SEGMENTS: usize = 64;

/// The index begins with so many buckets, 64 KiB of them, but in the smallest stores.
const FIRST_BUCKETS: usize = 1024;

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
        let used = shared.used() as usize * shared.arena.segment_bytes();
        let mut stats = Stats {
            bytes: (used + shared.state_bytes()) as u64,
            max_bytes: shared.max_bytes(),
            ..Stats::default()
        };
        stats.count(shared.epoch.workers().map(|worker| &worker.counters), None);
        for of_one in shared.count_segments(&shared.tenants.all()) {
            stats.items += of_one.items;
            stats.live_bytes += of_one.live_bytes;
        }
        stats
    }

    /// The figures of many tenants, in their order: in one go, rather than one after another.
    ///
    /// # Panics
    ///
    /// When one of them is another store's.
    #[must_use]
    pub fn stats_of(&self, tenants: &[Tenant]) -> Vec<Stats> {
        let own = |tenant: &Tenant| Arc::ptr_eq(&tenant.shared, &self.shared);
        assert!(tenants.iter().all(own), "a tenant of another store");
        let states: Vec<_> = tenants.iter().map(|tenant| Arc::clone(&tenant.state)).collect();
        self.shared.stats_of(&states)
    }

    /// The largest item that can be stored, key and value together, in bytes.
    #[must_use]
    pub fn max_item_bytes(&self) -> usize {
        self.shared.max_item_bytes()
    }

    /// Changes the [limit](Config::max_bytes): between 64 segments (of 8 KiB to 1 MiB, by the size the
    /// store was made for) and the limit it was made with. Returns what it is now.
    ///
    /// What is too much is evicted by and by, as the store is [maintained](Self::maintain) or written
    /// to, and its memory given back to the system.
    pub fn set_max_bytes(&self, max_bytes: usize) -> usize {
        self.shared.set_max_bytes(max_bytes)
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
        let buckets = if arena.segment_bytes() < SMALL_SEGMENT { 1 } else { FIRST_BUCKETS };
        let index = Table::new(IndexPages(Arc::clone(&arena)), &supply, buckets)
            .expect("a new pool has some segments");
        Ok(Shared {
            segments: Segments::new(geometry.segments as usize),
            sizes: Sizes::of_segment(arena.segment_bytes()),
            time: Time::new(config.clock),
            evicts: config.evicts,
            spare: (geometry.segments / SPARE).clamp(2, MOST_SPARE - 2),
            max_bytes: AtomicU64::new(geometry.max_bytes as u64),
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            secrets: RapidSecrets::seed(RandomState::new().hash_one(0_u64)),
            tenants: Tenants::default(),
            // 0 owns nothing.
            next_tenant: AtomicU32::new(1),
            flushed: Lock::default(),
            shifting: Shifting::default(),
            shares: Arc::default(),
            arena,
            pool,
            index,
            epoch,
            geometry,
        })
    }

    /// The limit, in bytes.
    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes.load(Ordering::Relaxed)
    }

    /// The largest item, in bytes.
    pub(crate) fn max_item_bytes(&self) -> usize {
        let eighth = usize::try_from(self.max_bytes() / 8).unwrap_or(usize::MAX);
        self.geometry.max_item_bytes.min(eighth)
    }

    fn set_max_bytes(&self, max_bytes: usize) -> usize {
        let (all, segment) = (self.arena.segments(), self.arena.segment_bytes());
        let least = (FEWEST_SEGMENTS.min(all) * segment + self.state_bytes()).max(MIN_MAX_BYTES);
        let max_bytes = max_bytes.max(least).min(self.geometry.max_bytes);
        let segments = ((max_bytes - self.state_bytes()) / segment).min(all);
        let withheld = u32::try_from(all - segments).unwrap_or(u32::MAX);
        self.max_bytes.store(max_bytes as u64, Ordering::Relaxed);
        self.pool.set_withheld(withheld);
        while self.withhold() {}
        max_bytes
    }

    /// Takes a free segment out of use, if the limit was lowered; whether it has.
    pub(crate) fn withhold(&self) -> bool {
        // So few that memory is scarce, and writers make room.
        self.pool.is_excessive()
            && self.pool.withhold(KEPT_FOR_RECLAIM + self.spare, &self.epoch, &self.arena)
    }

    /// Segments in use.
    pub(crate) fn used(&self) -> u32 {
        let all = self.geometry.segments;
        all.saturating_sub(self.pool.available()).saturating_sub(self.pool.withheld())
    }

    /// Takes back what removed tenants hold, and forgets those that hold nothing any more. A writer
    /// that had begun before its tenant was removed may leave something behind for the next time.
    fn bury(&self) {
        // Once, and again when all that was flushed is taken back and it still holds something.
        let is_clean = self.shifting.flushed_segments.load(Ordering::Relaxed) == 0;
        for tenant in self.tenants.all().iter().filter(|tenant| tenant.is_removed()) {
            let is_new = tenant.removed.load(Ordering::SeqCst) == 1;
            if is_clean || is_new && tenant.removed.swap(2, Ordering::SeqCst) == 1 {
                self.flush(tenant);
                self.give_up_ghosts(tenant);
            }
        }
        let holds = |tenant: &TenantState| tenant.segments.load(Ordering::SeqCst) > 0;
        self.tenants.retain(|tenant| !tenant.is_removed() || holds(tenant));
    }

    fn add_tenant(&self, limits: Limits) -> Arc<TenantState> {
        self.bury();
        let id = self.next_tenant.fetch_add(1, Ordering::Relaxed);
        assert!(
            id < 1 << TENANT_BITS,
            "a store has had 2^{TENANT_BITS} tenants, and can have no more"
        );
        let state = Arc::new(TenantState::new(id, self, limits));
        self.tenants.add(Arc::clone(&state));
        state
    }

    /// A number no other tenant of any store has.
    pub(crate) fn whose(&self, tenant: u32) -> u64 {
        self.number << TENANT_BITS | u64::from(tenant)
    }

    /// The hash of a tenant's key.
    #[inline]
    pub(crate) fn hash(&self, tenant: u32, key: &[u8]) -> u64 {
        let hash = rapidhash_v3_nano_inline::<true, false>(key, &self.secrets);
        hash ^ u64::from(tenant).wrapping_mul(SPREAD)
    }

    /// A segment for a tenant's queue, or for its ghosts. Reclaim may use the last ones, and go
    /// beyond the ceiling for a moment.
    pub(crate) fn supply(&self, tenant: &TenantState, by: By) -> Option<SegmentId> {
        let reclaiming = matches!(by, By::Reclaim);
        // Counted first: either a removed tenant is seen to be so, or whoever removes it sees that it
        // has something.
        let held = tenant.segments.fetch_add(1, Ordering::SeqCst);
        let may = reclaiming || tenant.may_hold(held + 1);
        let keep = if reclaiming { 0 } else { KEPT_FOR_RECLAIM };
        let segment = (may && (reclaiming || !tenant.is_removed()))
            .then(|| self.pool.take(keep, &self.epoch))
            .flatten();
        if segment.is_none() {
            tenant.segments.fetch_sub(1, Ordering::SeqCst);
            tenant.note_shrinking();
        } else {
            self.note_shares();
            let largest = self.shifting.largest.load(Ordering::Relaxed);
            self.shifting.largest.store(largest - largest / FORGOTTEN, Ordering::Relaxed);
        }
        segment
    }

    /// What of the tenants' limits is for items, by what is in use.
    fn note_shares(&self) {
        let index = self.index.bytes() / self.arena.segment_bytes();
        let withheld = self.pool.withheld();
        let kept = KEPT_FOR_RECLAIM + self.low() + self.ahead(self.low()) + withheld;
        let used = self.geometry.segments.saturating_sub(self.pool.available() + withheld);
        let usable = self.geometry.segments.saturating_sub(kept);
        self.shares.note(used, u32::try_from(index).unwrap_or(u32::MAX), usable);
    }

    /// A segment for a tenant's ghosts, still to be cleared.
    pub(crate) fn supply_for_ghosts(&self, tenant: &TenantState) -> Option<SegmentId> {
        let segment = self.pool.take(1, &self.epoch)?;
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
        if let Some(tenant) = self.tenants.find(tenant.id) {
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
        tenant.shrink();
        self.pool.give_back(segment, &self.epoch);
        self.withhold();
    }

    /// Whether writers have to make room before they store.
    #[inline]
    pub(crate) fn is_scarce(&self) -> bool {
        let low = self.low();
        self.pool.available() <= KEPT_FOR_RECLAIM + low + self.ahead(low)
    }

    /// Whether this tenant's writers have to, and how.
    #[inline]
    pub(crate) fn pace(&self, tenant: &TenantState) -> Pace {
        let (low, available) = (self.low(), self.pool.available());
        let free = available.saturating_sub(KEPT_FOR_RECLAIM);
        Pace::at(free, low, self.ahead(low)).max(tenant.pace(low))
    }

    /// Segments below which room is urgent, without those kept for reclaim: what the next large item asks
    /// for, and some more, since a segment is free only when all of it has been looked through.
    #[inline]
    fn low(&self) -> u32 {
        if self.arena.segment_bytes() < SMALL_SEGMENT {
            return 0;
        }
        let largest = self.shifting.largest.load(Ordering::Relaxed) as usize;
        let more = if self.arena.segment_bytes() == SMALL_SEGMENT { 2 } else { 1 };
        (self.segments_for(largest) + more).min(self.geometry.segments / LEAST_SHARE)
    }

    /// From how many more on writers make room.
    #[inline]
    fn ahead(&self, low: u32) -> u32 {
        self.spare + low.min(1) + if self.pool.is_excessive() { WITHHELD_AHEAD } else { 0 }
    }

    /// Notes the size of an item that is to be stored. It is forgotten by and by, as segments are used.
    #[inline]
    pub(crate) fn note_size(&self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if bytes > self.shifting.largest.load(Ordering::Relaxed) {
            self.shifting.largest.store(bytes, Ordering::Relaxed);
        }
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

    /// Bytes of state kept per segment, outside the segments.
    pub(crate) fn state_bytes(&self) -> usize {
        self.arena.segments() * (STATE_BYTES + 16)
    }
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
