//! A tenant: what belongs to it, and how much it may have.

use std::sync::Arc;

use crate::memory::arena::Arena;
use crate::memory::log::Stripes;
use crate::policy::ghost::Ghosts;
use crate::queues::{Queues, Wasteful};
use crate::reclaim::{Pace, Reclaim};
use crate::shares::Shares;
use crate::store::Shared;
use crate::sync::{AtomicU32, AtomicU64, Lock, Ordering};

/// What a tenant is guaranteed and what it may reach, in bytes of everything: segments of items, and their share
/// of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Below this nothing is taken from the tenant for the sake of others. Where all floors together
    /// exceed what the store can hold, which is a percent less than its limit, each is that much lower.
    pub floor_bytes: usize,
    /// Beyond this the tenant makes room by evicting its own items. Fewer than four segments (of
    /// 8 KiB to 64 KiB, by the size of the store, and up to 1 MiB where items may be very large) mean
    /// four.
    pub ceiling_bytes: usize,
}

impl Limits {
    /// A tenant that may use whatever is free, and is guaranteed nothing.
    pub const NONE: Limits = Limits { floor_bytes: 0, ceiling_bytes: usize::MAX };
}

/// One user of a [`Store`](crate::Store): its keys are its own. Clones are the same tenant.
///
/// All commands are here. They may be called from any number of threads.
#[derive(Clone)]
pub struct Tenant {
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: Arc<TenantState>,
}

/// What the store knows of a tenant. Together with what hangs on it, less than 4 KiB while empty.
#[derive(Debug)]
pub(crate) struct TenantState {
    /// Never 0, never used again.
    pub(crate) id: u32,
    /// No other tenant of any store has this number.
    pub(crate) whose: u64,
    /// Items in segments opened before this are flushed.
    pub(crate) flushed_before: AtomicU64,
    /// Uses of items in small segments opened at or after this do not count.
    pub(crate) window: AtomicU64,
    /// The tick at which everything is to be flushed; `u32::MAX`: none is planned.
    pub(crate) flush_at: AtomicU32,
    /// What is promised, and the limit, in segments; [`Shares`] says what of them is for items.
    floor: AtomicU32,
    pub(crate) ceiling: AtomicU32,
    shares: Arc<Shares>,
    /// The segments it may hold while it has more than that, since the ceiling was lowered: what it has
    /// held at least since then.
    shrinking: AtomicU32,
    /// Segments held: queues, open ones, ghosts, and the one being reclaimed.
    pub(crate) segments: AtomicU32,
    /// Bytes promised to its reservations that are not committed.
    pub(crate) reserved: AtomicU64,
    pub(crate) stripes: Stripes,
    pub(crate) queues: Lock<Queues>,
    pub(crate) wasteful: Lock<Wasteful>,
    /// 1: the tenant was removed, and nothing more is stored for it; 2: and flushed since.
    pub(crate) removed: AtomicU32,
    pub(crate) reclaim: Lock<Reclaim>,
    pub(crate) ghosts: Ghosts,
}

impl TenantState {
    pub(crate) fn new(id: u32, shared: &Shared, limits: Limits) -> TenantState {
        let state = TenantState {
            id,
            whose: shared.whose(id),
            flushed_before: AtomicU64::new(0),
            window: AtomicU64::new(0),
            flush_at: AtomicU32::new(u32::MAX),
            floor: AtomicU32::new(0),
            ceiling: AtomicU32::new(0),
            shares: Arc::clone(&shared.shares),
            shrinking: AtomicU32::new(0),
            segments: AtomicU32::new(0),
            reserved: AtomicU64::new(0),
            stripes: Stripes::default(),
            queues: Lock::default(),
            wasteful: Lock::default(),
            removed: AtomicU32::new(0),
            reclaim: Lock::default(),
            ghosts: Ghosts::new(most_ghost_pages(shared, limits)),
        };
        state.set_limits(shared, limits);
        state
    }

    /// Changes the limits; what is too much is taken back as the tenant stores.
    pub(crate) fn set_limits(&self, shared: &Shared, limits: Limits) {
        let bytes = shared.arena.segment_bytes();
        let segments = |segments: usize| u32::try_from(segments).unwrap_or(u32::MAX);
        let floor = segments(limits.floor_bytes.div_ceil(bytes));
        self.shares.promise(floor, self.floor.swap(floor, Ordering::Relaxed));
        let ceiling = segments(limits.ceiling_bytes / bytes).max(FEWEST_SEGMENTS);
        self.ceiling.store(ceiling, Ordering::Relaxed);
        self.shrinking.store(self.held(), Ordering::Relaxed);
    }

    /// A segment was taken back: how many the tenant may hold now, if its ceiling was lowered.
    pub(crate) fn shrink(&self) {
        let held = self.segments.fetch_sub(1, Ordering::Relaxed);
        if self.shrinking.load(Ordering::Relaxed) > held {
            self.shrinking.store(held, Ordering::Relaxed);
        }
    }

    /// What it holds is too much since its limit is lower than it was, or the index larger: as long as that is
    /// so it may replace a segment by another.
    pub(crate) fn note_shrinking(&self) {
        let held = self.held();
        if held > self.limit() {
            self.shrinking.store(held, Ordering::Relaxed);
        }
    }

    /// Segments it may hold in the long run.
    #[inline]
    fn limit(&self) -> u32 {
        self.shares.of_ceiling(self.ceiling.load(Ordering::Relaxed)).max(FEWEST_SEGMENTS)
    }

    /// Segments it may hold.
    #[inline]
    fn most_segments(&self) -> u32 {
        self.limit().max(self.shrinking.load(Ordering::Relaxed))
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::SeqCst) != 0
    }

    /// Segments held.
    #[inline]
    pub(crate) fn held(&self) -> u32 {
        self.segments.load(Ordering::Relaxed)
    }

    /// The largest item a tenant with this ceiling can hold beside its successor, with what chunks
    /// take.
    pub(crate) fn most_item_bytes(&self, arena: &Arena) -> usize {
        let segments = self.limit().saturating_sub(2) / 2;
        (segments as usize).saturating_mul(arena.segment_bytes() / 5 * 4)
    }

    /// Segments held beyond what the tenant is guaranteed.
    pub(crate) fn over_floor(&self) -> u32 {
        let floor = self.shares.of_floor(self.floor.load(Ordering::Relaxed));
        self.held().saturating_sub(floor)
    }

    /// Whether the tenant must evict its own items to store more.
    #[inline]
    pub(crate) fn at_ceiling(&self) -> bool {
        !self.may_hold(self.held() + 1)
    }

    /// Whether it may hold so many segments.
    #[inline]
    pub(crate) fn may_hold(&self, segments: u32) -> bool {
        segments <= self.most_segments()
    }

    /// Whether it must do so to get so many segments.
    pub(crate) fn is_beyond_ceiling_with(&self, segments: u32) -> bool {
        !self.may_hold(self.held().saturating_add(segments))
    }

    /// Segments it may still get.
    #[inline]
    pub(crate) fn room(&self) -> u32 {
        self.most_segments().saturating_sub(self.held())
    }

    /// How its own limit has it make room, if it is near: `low` is what the store wants to have free.
    #[inline]
    pub(crate) fn pace(&self, low: u32) -> Pace {
        let ceiling = self.limit();
        // Tenants of few segments keep none of them free.
        let low = low.min(ceiling / FEW);
        let ahead = (ceiling / (4 * FEW)).clamp(1, MOST_AHEAD);
        Pace::at(self.room(), low, ahead + low.min(1))
    }
}

/// Two open segments and two to turn over: with fewer nothing could be evicted.
const FEWEST_SEGMENTS: u32 = 4;

/// A tenant keeps at most one segment in so many free for what comes next.
const FEW: u32 = 32;

/// It begins to make room so many segments before it needs any, at most.
const MOST_AHEAD: u32 = 16;

/// A ghost for each item of 48 bytes is more than any cache of real items needs.
fn most_ghost_pages(shared: &Shared, limits: Limits) -> usize {
    let bytes = limits.ceiling_bytes.min(shared.arena.segments() * shared.arena.segment_bytes());
    (bytes / 48 * 2).div_ceil(shared.arena.segment_bytes())
}

impl std::fmt::Debug for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Figures, not contents: cached values do not belong in a log.
        f.debug_struct("Tenant").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
