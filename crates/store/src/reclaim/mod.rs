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
//! records and [`STEP_BYTES`], so that nobody waits long, and steps begin while a few segments are
//! still free. So an operation works some microseconds for others, beside what its own bytes take: one
//! that stores much makes as much room.
//!
//! Locks are taken in this order: a tenant's `reclaim`; `flushed`; that of resizing the index, for
//! which nobody waits; a home of the index; open segments, in the order of their stripes; a tenant's
//! `queues`; its `wasteful`; the pool. The list of tenants may be locked under a home or before all
//! of these, and nothing is locked under it. What a thread has seen of that list (its sight) is locked
//! before all others, and by that thread only.

mod choose;
mod flush;
mod scan;

use std::ops::Range;
use std::sync::Arc;

use crate::epoch::Pin;
use crate::memory::arena::SegmentId;
use crate::memory::log::Open;
use crate::memory::segment::Queue;
use crate::policy;
use crate::store::Shared;
use crate::sync::Ordering;
use crate::tenant::TenantState;

pub(crate) use flush::Flushed;
use scan::Scan;

/// Records looked at in one step.
const STEP: usize = 32;

/// A step ends once it has moved so many bytes: values may be large.
const STEP_BYTES: usize = 16 * 1024;

/// Tenants looked at in one piece of maintenance.
const MOST_MAINTAINED: u32 = 64;

/// Room a set makes with each of its steps while memory is scarce, in bytes of its own: one that
/// stores much makes more of them, up to [`MOST_STEPS`].
const ROOM_A_STEP: usize = 1024;
const MOST_STEPS: usize = 8;

/// While memory is not scarce, one in so many writers cleans up after a flush.
const CLEAN_EACH: u64 = 8;

/// How a step is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As the policy says.
    Steady,
    /// Room is needed at once: nothing is kept that had to be moved for that.
    Urgent,
}

/// How much an operation moves of what others have stored: in proportion to what it stores itself, and
/// so bounded, however large the items are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance(u64);

impl Allowance {
    /// For one that stores so many bytes.
    pub(crate) fn for_bytes(pin: &Pin<'_>, bytes: usize) -> Allowance {
        Allowance(pin.worker.counters.moved() + 2 * (bytes + STEP_BYTES) as u64)
    }

    pub(crate) fn is_used_up(self, pin: &Pin<'_>) -> bool {
        pin.worker.counters.moved() >= self.0
    }
}

/// What a tenant's reclaim is at. Whoever has its lock reclaims.
#[derive(Debug, Default)]
pub(crate) struct Reclaim {
    victim: Option<Victim>,
    /// Open segments for what compaction gathers, of either queue. They are counted as pending, so
    /// that nobody takes them back while they are filled.
    gathering: [Open; 2],
    /// Segments for ghosts, until there are enough of them; and the bytes of the last that are still to
    /// be cleared.
    new_ghosts: Vec<SegmentId>,
    to_clear: Range<usize>,
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

    /// Has everything in the next victims go, until a segment's room has been gained.
    fn press(&mut self) {
        self.fruitless = policy::MOST_FRUITLESS;
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
            let allowance = Allowance::for_bytes(pin, bytes);
            for _ in 0..steps {
                let progressed = self.reclaim_step(pin, tenant, Pace::Steady);
                if !progressed || !is_scarce() || allowance.is_used_up(pin) {
                    break;
                }
            }
        } else if hash.is_multiple_of(CLEAN_EACH) {
            // Flushed items take room in the index, too.
            self.clean_flushed(pin);
        }
    }

    /// Takes back a little, for a tenant that needs room. Returns whether there was anything to do.
    pub(crate) fn reclaim_step(&self, pin: &Pin<'_>, tenant: &TenantState, pace: Pace) -> bool {
        if self.clean_flushed(pin) {
            return true;
        }
        if tenant.is_near_ceiling() || self.tenants.count() == 1 {
            return self.reclaim_from(pin, tenant, pace);
        }
        let seen = self.tenants.seen(pin.worker);
        if let Some(other) = self.furthest_over_floor(&seen, tenant)
            && self.reclaim_from(pin, other, pace)
        {
            return true;
        }
        // What a tenant is guaranteed is not taken from it: somebody else has more.
        tenant.over_floor() > 0 && self.reclaim_from(pin, tenant, pace)
    }

    fn reclaim_from(&self, pin: &Pin<'_>, tenant: &TenantState, pace: Pace) -> bool {
        // One thread reclaims for a tenant; the others need not wait for it.
        let Some(mut reclaim) = tenant.reclaim.try_lock() else { return false };
        if pace == Pace::Urgent {
            reclaim.press();
        }
        if reclaim.victim.is_none() {
            reclaim.victim = self.choose(tenant, &mut reclaim);
            self.keep_ghosts(tenant, &mut reclaim);
        }
        self.clear_some(&mut reclaim);
        self.scan_victim(pin, tenant, &mut reclaim)
    }

    /// Goes on with a tenant's victim.
    fn scan_victim(&self, pin: &Pin<'_>, tenant: &TenantState, reclaim: &mut Reclaim) -> bool {
        let Some(mut victim) = reclaim.victim.take() else { return false };
        let scan = Scan { shared: self, pin, tenant, victim: &mut victim, reclaim: Some(reclaim) };
        let progressed = { scan }.step();
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
        if self.resize_index(&pin) || self.clean_flushed(&pin) || self.shrink(&pin) {
            return true;
        }
        let looks = MOST_MAINTAINED.min(self.tenants.count());
        (0..looks).any(|_| self.maintain_next(&pin))
    }

    /// Makes room that is to be taken out of use, and takes it, if the limit was lowered.
    fn shrink(&self, pin: &Pin<'_>) -> bool {
        self.pool.is_excessive()
            && (self.withhold()
                || (0..MOST_MAINTAINED.min(self.tenants.count())).any(|_| {
                    let tenant = self.next_tenant().filter(|tenant| tenant.over_floor() > 0);
                    tenant.is_some_and(|tenant| self.reclaim_from(pin, &tenant, Pace::Steady))
                }))
    }

    /// Compacts a wasteful segment of the tenant whose turn it is.
    fn maintain_next(&self, pin: &Pin<'_>) -> bool {
        let Some(tenant) = self.next_tenant() else { return false };
        let Some(mut reclaim) = tenant.reclaim.try_lock() else { return false };
        if reclaim.victim.is_none() {
            reclaim.victim = self.choose_wasteful(&tenant, &reclaim);
        }
        self.scan_victim(pin, &tenant, &mut reclaim)
    }

    /// The tenant whose turn it is.
    fn next_tenant(&self) -> Option<Arc<TenantState>> {
        self.tenants.nth(self.shifting.next_maintained.fetch_add(1, Ordering::Relaxed))
    }
}
