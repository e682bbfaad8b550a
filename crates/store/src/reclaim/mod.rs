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
//! Writers pay for it, each in proportion to what it stores ([`Effort`]), and they begin while some
//! segments are still free. The fewer these are, the more each does ([`Pace`]): first as the policy
//! says; then more of the same; and when there is no more than the next large item asks for, nothing
//! is kept that would have to be moved, so that each operation frees at least what it takes. So what was
//! taken in a hurry is paid back in instalments by those who come after, and no operation pays for
//! many, however the sizes of items shift: `tests` counts it.
//!
//! Locks are taken in this order: a tenant's `reclaim`; `flushed`; that of resizing the index, for
//! which nobody waits; a home of the index; open segments, in the order of their stripes; a tenant's
//! `queues`; its `wasteful`; the pool. The list of tenants may be locked under a home or before all
//! of these, and nothing is locked under it. What a thread has seen of that list (its sight) is locked
//! before all others, and by that thread only.

mod choose;
mod effort;
mod flush;
mod scan;
#[cfg(all(test, not(feature = "shuttle")))]
mod tests;

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

pub(crate) use effort::{Effort, SMALL_SEGMENT};
pub(crate) use flush::Flushed;
use scan::Scan;

/// Records looked at together: what the index knows of them is asked for at once.
const STEP: usize = 32;

/// Bytes of new ghosts cleared at once.
const CLEARED: usize = 16 * 1024;

/// Tenants looked at in one piece of maintenance.
const MOST_MAINTAINED: u32 = 64;

/// While memory is not scarce, one in so many writers cleans up after a flush.
const CLEAN_EACH: u64 = 8;

/// How room is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pace {
    /// There is enough.
    Calm,
    /// As the policy says.
    Steady,
    /// The same, and everyone does more.
    Brisk,
    /// There is so little left that each operation has to free at least what it takes: what had to be moved
    /// to be kept goes, and only what is half dead is compacted.
    Urgent,
}

impl Pace {
    /// With so many segments free, where `low` of them are wanted for what comes next, and room is made from
    /// so many `ahead` of that. Where none are wanted, nothing is urgent before there is no room at all.
    #[inline]
    pub(crate) fn at(free: u32, low: u32, ahead: u32) -> Pace {
        match free {
            _ if free > low + ahead => Pace::Calm,
            _ if free > low + ahead / 2 => Pace::Steady,
            _ if free > low || low == 0 => Pace::Brisk,
            _ => Pace::Urgent,
        }
    }
}

/// What a step has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Got {
    Nothing,
    /// Nothing before others have got on: one is at it, or they read in what is free.
    Busy,
    /// Some of a segment was looked through.
    Part,
    /// All of it: it is free.
    Segment,
}

impl Got {
    /// Whether it has come to anything.
    pub(crate) fn is_progress(self) -> bool {
        matches!(self, Got::Part | Got::Segment)
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
    /// Of each queue.
    yields: [Yield; 2],
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
        self.victim_segment().into_iter().chain(self.new_ghosts.iter().copied())
    }

    /// The one that is looked through.
    pub(crate) fn victim_segment(&self) -> Option<SegmentId> {
        self.victim.as_ref().map(|victim| victim.segment)
    }
}

/// Victims of a queue in a row that have yielded less than a segment of room together, and the room.
#[derive(Debug, Default)]
struct Yield {
    fruitless: u32,
    gained: usize,
}

impl Reclaim {
    /// Counts the room that a victim has yielded.
    fn count_gain(&mut self, queue: Queue, bytes: usize, shared: &Shared) {
        let Yield { fruitless, gained } = &mut self.yields[queue as usize];
        *gained += bytes;
        *fruitless += 1;
        if *gained >= shared.arena.segment_bytes() {
            (*fruitless, *gained) = (0, 0);
        }
    }

    /// Has everything in the next victims go, until a segment's room has been gained.
    fn press(&mut self) {
        self.yields.iter_mut().for_each(|queue| queue.fruitless = policy::MOST_FRUITLESS);
    }

    /// Whether everything in the next victims of a queue goes, because nothing has been gained for too long.
    fn is_fruitless(&self, queue: Queue) -> bool {
        self.yields[queue as usize].fruitless >= policy::MOST_FRUITLESS
    }
}

impl Shared {
    /// Makes room while there is little, as far as the effort goes; or cleans now and then, if there is
    /// something to clean: one in [`CLEAN_EACH`] hashes. The caller holds nothing of the store.
    #[inline]
    pub(crate) fn make_room(
        &self,
        pin: &Pin<'_>,
        tenant: &TenantState,
        hash: u64,
        effort: &mut Effort,
    ) {
        let pace = self.pace(tenant);
        if pace > Pace::Calm {
            self.make_room_at(pin, tenant, pace, effort);
        } else if hash.is_multiple_of(CLEAN_EACH) {
            // Flushed items take room in the index, too.
            self.clean_flushed(pin, effort);
        }
    }

    #[inline(never)]
    fn make_room_at(
        &self,
        pin: &Pin<'_>,
        tenant: &TenantState,
        mut pace: Pace,
        effort: &mut Effort,
    ) {
        loop {
            if pace >= Pace::Brisk {
                effort.raise();
            }
            if !self.reclaim_step(pin, tenant, pace, effort) || effort.is_used_up() {
                break;
            }
            pace = self.pace(tenant);
            if pace == Pace::Calm {
                break;
            }
        }
    }

    /// Takes back a little, for a tenant that needs room. Returns whether there was anything to do.
    pub(crate) fn reclaim_step(
        &self,
        pin: &Pin<'_>,
        tenant: &TenantState,
        pace: Pace,
        effort: &mut Effort,
    ) -> bool {
        self.reclaim_some(pin, tenant, pace, effort).is_progress()
    }

    /// The same, and says what it has come to.
    pub(crate) fn reclaim_some(
        &self,
        pin: &Pin<'_>,
        tenant: &TenantState,
        pace: Pace,
        effort: &mut Effort,
    ) -> Got {
        let flushed = self.clean_flushed(pin, effort);
        if flushed.is_progress() {
            return flushed;
        }
        if tenant.pace(0) > Pace::Calm || self.tenants.count() == 1 {
            return flushed.max(self.reclaim_from(pin, tenant, pace, effort));
        }
        let mut got = flushed;
        let mut seen = self.tenants.seen(pin.worker);
        if let Some(giver) = self.giver(&seen, tenant) {
            let given = self.reclaim_from(pin, seen.tenant(giver), pace, effort);
            // Until a segment is free: parts of many tenants' are of no use.
            seen.note_giver(giver, given == Got::Part);
            got = got.max(given);
        }
        // Others have more, but are busy or not found: his own go before anything is refused.
        if !got.is_progress() && (tenant.over_floor() > 0 || pace == Pace::Urgent) {
            got = got.max(self.reclaim_from(pin, tenant, pace, effort));
        }
        got
    }

    fn reclaim_from(
        &self,
        pin: &Pin<'_>,
        tenant: &TenantState,
        pace: Pace,
        effort: &mut Effort,
    ) -> Got {
        // One thread reclaims for a tenant; the others need not wait for it.
        let Some(mut reclaim) = tenant.reclaim.try_lock() else { return Got::Busy };
        if pace == Pace::Urgent {
            reclaim.press();
        }
        if reclaim.victim.is_none() {
            effort.choose();
            reclaim.victim = self.choose(tenant, &mut reclaim, pace);
            if pace < Pace::Urgent {
                self.keep_ghosts(tenant, &mut reclaim);
            }
        }
        effort.clear(self.clear_some(&mut reclaim));
        self.scan_victim(pin, tenant, &mut reclaim, effort)
    }

    /// Goes on with a tenant's victim.
    fn scan_victim(
        &self,
        pin: &Pin<'_>,
        tenant: &TenantState,
        reclaim: &mut Reclaim,
        effort: &mut Effort,
    ) -> Got {
        let Some(mut victim) = reclaim.victim.take() else { return Got::Nothing };
        let scan = Scan { shared: self, pin, tenant, victim: &mut victim, reclaim: Some(reclaim) };
        let progressed = { scan }.step(effort);
        if victim.offset < victim.len {
            reclaim.victim = Some(victim);
            return match progressed {
                true => Got::Part,
                // What stays has no place to move to.
                false if self.pool.available() > 0 => Got::Busy,
                false => Got::Nothing,
            };
        }
        let room = self.arena.segment_bytes() - victim.kept.min(victim.len);
        reclaim.count_gain(victim.queue, room, self);
        self.take_back(tenant, victim.segment);
        Got::Segment
    }

    /// Does a piece of work that no writer waits for. Returns whether there may be more: not if none of
    /// the next few tenants has any.
    pub(crate) fn maintain(&self) -> bool {
        let pin = self.epoch.pin();
        if self.resize_index(&pin)
            || self.clean_flushed(&pin, &mut Effort::piece()).is_progress()
            || self.shrink(&pin)
        {
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
                    tenant.is_some_and(|tenant| {
                        let mut effort = Effort::piece();
                        self.reclaim_from(pin, &tenant, Pace::Steady, &mut effort).is_progress()
                    })
                }))
    }

    /// Compacts a wasteful segment of the tenant whose turn it is.
    fn maintain_next(&self, pin: &Pin<'_>) -> bool {
        let Some(tenant) = self.next_tenant() else { return false };
        let Some(mut reclaim) = tenant.reclaim.try_lock() else { return false };
        if reclaim.victim.is_none() {
            reclaim.victim = self.choose_wasteful(&tenant, &reclaim, Pace::Steady);
        }
        self.scan_victim(pin, &tenant, &mut reclaim, &mut Effort::piece()).is_progress()
    }

    /// The tenant whose turn it is.
    fn next_tenant(&self) -> Option<Arc<TenantState>> {
        self.tenants.nth(self.shifting.next_maintained.fetch_add(1, Ordering::Relaxed))
    }
}
