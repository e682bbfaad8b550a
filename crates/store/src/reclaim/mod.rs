//! Taking segments back: choose one, look at its records a few at a time, move what stays.
//!
//! Three reasons to take a segment back share one procedure:
//!
//! - *eviction*: it is the oldest of a tenant's small or main queue, and the policy decides about each
//!   of its items ([`policy`]);
//! - *compaction*: a quarter of it or more is dead, or an eighth has expired, and what lives is
//!   gathered elsewhere;
//! - *flush*: nobody may find its items any more, and their slots are taken out of the index.
//!
//! Writers pay for it: when memory is scarce each stores only after a step of at most [`STEP`]
//! records, so that nobody waits long, and steps begin while a few segments are still free.
//!
//! Locks are taken in this order: a tenant's `reclaim`; `flushed`; that of resizing the index, for
//! which nobody waits; a home of the index; open segments, in the order of their stripes; a tenant's
//! `queues`; its `wasteful`; the pool. The list of tenants may be locked under a home or before all
//! of these, and nothing is locked under it.

mod choose;
mod flush;
mod scan;

use crate::epoch::Pin;
use crate::memory::arena::SegmentId;
use crate::memory::log::Open;
use crate::memory::segment::Queue;
use crate::policy;
use crate::store::Shared;
use crate::sync::Ordering;
use crate::tenant::TenantState;

pub(crate) use flush::Flushed;

/// Records looked at in one step.
const STEP: usize = 32;

/// Tenants looked at in one piece of maintenance.
const MOST_MAINTAINED: u32 = 64;

/// Room a set makes with each of its steps while memory is scarce, in bytes of its own: one that
/// stores much makes more of them, up to [`MOST_STEPS`].
const ROOM_A_STEP: usize = 1024;
const MOST_STEPS: usize = 8;

/// While memory is not scarce, one in so many writers cleans up after a flush.
const CLEAN_EACH: u64 = 8;

/// What a tenant's reclaim is at. Whoever has its lock reclaims.
#[derive(Debug, Default)]
pub(crate) struct Reclaim {
    victim: Option<Victim>,
    /// Open segments for what compaction gathers, of either queue. They are counted as pending, so
    /// that nobody takes them back while they are filled.
    gathering: [Open; 2],
    /// Segments for ghosts, until there are enough of them.
    new_ghosts: Vec<SegmentId>,
    /// Victims in a row that have yielded less than a segment of room together, and the room.
    fruitless: u32,
    gained: usize,
}

/// A segment that is being taken back; it is in no queue any more.
#[derive(Debug)]
struct Victim {
    segment: SegmentId,
    queue: Queue,
    why: Why,
    /// Where the next record begins.
    offset: usize,
    len: usize,
    /// Bytes of what was moved.
    kept: usize,
}

/// Why a segment is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Eviction,
    /// What lives takes the place in its queue that the segment had.
    Compaction {
        place: u64,
    },
    Flush,
}

impl Reclaim {
    /// All segments, to recount; those being filled are in their queues, too.
    pub(crate) fn segments(&self) -> impl Iterator<Item = SegmentId> {
        let victim = self.victim.iter().map(|victim| victim.segment);
        victim.chain(self.new_ghosts.iter().copied())
    }

    /// The segments that compaction fills.
    pub(crate) fn gathering(&self) -> &[Open] {
        &self.gathering
    }
}

impl Reclaim {
    /// Counts the room that a victim has yielded.
    fn count_gain(&mut self, bytes: usize, shared: &Shared) {
        self.gained += bytes;
        self.fruitless += 1;
        if self.gained >= shared.arena.segment_bytes() {
            (self.gained, self.fruitless) = (0, 0);
        }
    }

    /// Whether everything in the next victims goes, because nothing has been gained for too long.
    fn is_fruitless(&self) -> bool {
        self.fruitless >= policy::MOST_FRUITLESS
    }
}

impl Shared {
    /// Does a step if memory is scarce, or now and then if there is something to clean: one in
    /// [`CLEAN_EACH`] hashes. The caller holds nothing of the store.
    #[inline]
    pub(crate) fn make_room(
        &self,
        pin: &mut Pin<'_>,
        tenant: &TenantState,
        hash: u64,
        bytes: usize,
    ) {
        let is_scarce = || self.is_scarce() || tenant.is_near_ceiling();
        if is_scarce() {
            let steps = (1 + bytes / ROOM_A_STEP).min(MOST_STEPS);
            for _ in 0..steps {
                if !self.reclaim_step(pin, tenant) || !is_scarce() {
                    break;
                }
            }
        } else if hash.is_multiple_of(CLEAN_EACH) {
            // Flushed items take room in the index, too.
            self.clean_flushed(pin);
        }
    }

    /// Takes back a little, for a tenant that needs room. Returns whether there was anything to do.
    pub(crate) fn reclaim_step(&self, pin: &Pin<'_>, tenant: &TenantState) -> bool {
        if self.clean_flushed(pin) {
            return true;
        }
        if tenant.is_near_ceiling() || self.tenant_count() == 1 {
            return self.reclaim_from(pin, tenant);
        }
        if let Some(other) = self.furthest_over_floor(tenant)
            && self.reclaim_from(pin, &other)
        {
            return true;
        }
        // What a tenant is guaranteed is not taken from it: somebody else has more.
        tenant.over_floor() > 0 && self.reclaim_from(pin, tenant)
    }

    fn reclaim_from(&self, pin: &Pin<'_>, tenant: &TenantState) -> bool {
        // One thread reclaims for a tenant; the others need not wait for it.
        let Some(mut reclaim) = tenant.reclaim.try_lock() else { return false };
        if reclaim.victim.is_none() {
            reclaim.victim = self.choose(tenant, &mut reclaim);
            self.keep_ghosts(tenant, &mut reclaim);
        }
        self.scan_victim(pin, tenant, &mut reclaim)
    }

    /// Goes on with a tenant's victim.
    fn scan_victim(&self, pin: &Pin<'_>, tenant: &TenantState, reclaim: &mut Reclaim) -> bool {
        let Some(mut victim) = reclaim.victim.take() else { return false };
        let progressed = self.scan(pin, tenant, &mut victim, Some(reclaim));
        if victim.offset < victim.len {
            reclaim.victim = Some(victim);
        } else {
            reclaim.count_gain(self.arena.segment_bytes() - victim.kept.min(victim.len), self);
            self.take_back(tenant, victim.segment);
        }
        progressed
    }

    /// Does a piece of work that no writer waits for. Returns whether there may be more: not if none of
    /// the next few tenants has any.
    pub(crate) fn maintain(&self) -> bool {
        let pin = self.epoch.pin();
        if self.resize_index(&pin) || self.clean_flushed(&pin) {
            return true;
        }
        let looks = MOST_MAINTAINED.min(self.tenant_count());
        (0..looks).any(|_| self.maintain_next(&pin))
    }

    /// Compacts a wasteful segment of the tenant whose turn it is.
    fn maintain_next(&self, pin: &Pin<'_>) -> bool {
        let next = self.shifting.next_maintained.fetch_add(1, Ordering::Relaxed) as usize;
        let tenant = {
            let tenants = self.tenants.lock();
            let Some(tenant) = tenants.get(next % tenants.len().max(1)) else { return false };
            std::sync::Arc::clone(tenant)
        };
        let Some(mut reclaim) = tenant.reclaim.try_lock() else { return false };
        if reclaim.victim.is_none() {
            reclaim.victim = self.choose_wasteful(&tenant, &reclaim);
        }
        self.scan_victim(pin, &tenant, &mut reclaim)
    }
}
