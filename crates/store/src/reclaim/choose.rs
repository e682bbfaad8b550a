//! Which segment is taken back next.

use super::{CLEARED, Pace, Reclaim, SMALL_SEGMENT, Victim, Why};
use crate::memory::segment::{Queue, Segments, Usage};
use crate::policy;
use crate::queues::{GONE, HALF_DEAD, Queues, Wasteful};
use crate::store::Shared;
use crate::sync::Ordering;
use crate::tenant::TenantState;
use crate::tenants::Seen;

/// Segments looked at for one of which much has expired.
const LOOKS: usize = 16;

/// Segments taken from the lists of wasteful ones for one that still is.
const MOST_POPPED: usize = 32;

/// Tenants looked at for the one furthest over its floor.
const SAMPLED: usize = 4;

/// The same for a tenant that is not beyond its own floor.
const MOST_SAMPLED: usize = 64;

/// A tenant with fewer segments has no memory for ghosts.
const FEWEST_FOR_GHOSTS: u32 = 12;

impl Shared {
    /// The next victim of a tenant: a wasteful segment, or the oldest of the queue that the policy
    /// says.
    pub(super) fn choose(
        &self,
        tenant: &TenantState,
        reclaim: &mut Reclaim,
        pace: Pace,
    ) -> Option<Victim> {
        let choose = |reclaim: &mut Reclaim| {
            self.choose_wasteful(tenant, reclaim, pace)
                .or_else(|| self.evicts.then(|| self.choose_oldest(tenant, reclaim)).flatten())
        };
        choose(reclaim).or_else(|| {
            // Everything lies in open segments.
            self.seal_open(tenant);
            choose(reclaim)
        })
    }

    /// One of the segments with most waste, if there is one worth compacting.
    ///
    /// What is dead announces itself ([`note_waste`](Self::note_waste)); what has expired does not,
    /// so a few segments are looked at for that, each time further on.
    pub(super) fn choose_wasteful(
        &self,
        tenant: &TenantState,
        reclaim: &Reclaim,
        pace: Pace,
    ) -> Option<Victim> {
        // To gather what lives of a large segment takes many operations.
        let in_haste = pace == Pace::Urgent && self.arena.segment_bytes() >= SMALL_SEGMENT;
        let least = if in_haste && self.evicts { HALF_DEAD } else { 0 };
        let mut queues = tenant.queues.lock();
        queues.close_gaps(|segment, place| {
            self.segments.about(segment).place.store(place, Ordering::Relaxed);
        });
        let mut wasteful = tenant.wasteful.lock();
        let tick = self.time.tick();
        self.look_for_expired(&mut queues, &mut wasteful, tick);
        let (mut found, mut busy) = (None, Vec::new());
        wasteful.tidy(|class, segment| {
            self.segments.owner(segment).tenant() == tenant.id
                && (self.segments.about(segment).usage().pending() > 0
                    || self.waste(segment, tick) == Some(class))
        });
        for _ in 0..MOST_POPPED {
            let Some((class, segment)) = wasteful.pop(least) else { break };
            let owner = self.segments.owner(segment);
            let about = self.segments.about(segment);
            // It may have been taken back since, and even be in use again.
            if owner.tenant() != tenant.id || reclaim.gathers(segment) {
                continue;
            }
            if about.usage().pending() > 0 {
                busy.push((class, segment));
                continue;
            }
            if self.waste(segment, tick).is_none_or(|waste| waste < class) {
                continue;
            }
            let (queue, place) = (owner.queue(), about.place.load(Ordering::Relaxed));
            if queues.take_out(queue, place, segment) {
                found = Some(self.victim(segment, queue, Why::Compaction { place }));
                break;
            }
        }
        // Somebody is writing into these: their turn comes again.
        busy.into_iter().for_each(|(class, segment)| wasteful.push(class, segment));
        found
    }

    /// Looks at a few segments, each time further on, and enlists those of which much has expired.
    fn look_for_expired(&self, queues: &mut Queues, wasteful: &mut Wasteful, tick: u32) {
        let all = queues.entries();
        for _ in 0..LOOKS.min(all) {
            queues.hand = (queues.hand + 1) % all;
            let segment = queues.segment_at(queues.hand);
            if segment != GONE
                && self.segments.about(segment).stale_at.load(Ordering::Relaxed) <= tick
                && let Some(class) = self.waste(segment, tick)
            {
                wasteful.push(class, segment);
            }
        }
    }

    /// The class of waste of a sealed segment nobody writes into.
    fn waste(&self, segment: u32, tick: u32) -> Option<usize> {
        let about = self.segments.about(segment);
        let (usage, len) = (about.usage(), about.len.load(Ordering::Relaxed));
        if usage.pending() > 0 {
            return None;
        }
        let dead = Wasteful::class(usage.dead_bytes(), len);
        let stale = len > 0 && about.stale_at.load(Ordering::Relaxed) <= tick;
        // What has expired comes on top, but is less than a quarter at first.
        if stale { Some(dead.unwrap_or(0)) } else { dead }
    }

    /// Notes that `bytes` more of a segment are dead, if that makes it worth compacting.
    #[inline]
    pub(crate) fn note_waste(
        &self,
        tenant: &TenantState,
        segment: u32,
        before: Usage,
        bytes: usize,
    ) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        // An open segment has no length: it is looked at when it is sealed.
        let len = self.segments.about(segment).len.load(Ordering::Relaxed);
        let (before, now) = (before.dead_bytes(), before.dead_bytes().saturating_add(bytes));
        if Wasteful::class(now, len) != Wasteful::class(before, len) {
            self.enlist(tenant, segment, now, len);
        }
    }

    #[inline(never)]
    fn enlist(&self, tenant: &TenantState, segment: u32, dead: u32, len: u32) {
        if let Some(class) = Wasteful::class(dead, len) {
            tenant.wasteful.lock().push(class, segment);
        }
    }

    /// The oldest segment of the queue that the policy says, or else of the other.
    fn choose_oldest(&self, tenant: &TenantState, reclaim: &mut Reclaim) -> Option<Victim> {
        let mut queues = tenant.queues.lock();
        let first =
            policy::victim_queue(queues.len(Queue::Small), queues.len(Queue::Main), tenant.held());
        let second = if first == Queue::Small { Queue::Main } else { Queue::Small };
        for queue in [first, second] {
            for _ in 0..queues.len(queue) {
                let Some(segment) = queues.pop(queue) else { break };
                reclaim.seal_gathering(&self.segments, segment);
                if self.segments.about(segment).usage().pending() == 0 {
                    return Some(self.victim(segment, queue, Why::Eviction));
                }
                // Somebody is writing into it: its turn comes again.
                let place = queues.push(queue, segment);
                self.segments.about(segment).place.store(place, Ordering::Relaxed);
            }
        }
        None
    }

    pub(super) fn victim(&self, segment: u32, queue: Queue, why: Why) -> Victim {
        let len = self.segments.about(segment).len.load(Ordering::Acquire) as usize;
        Victim { segment, queue, why, offset: 0, len, kept: 0 }
    }

    /// Adds a sealed segment to a queue, and moves the correlation window on.
    pub(crate) fn enqueue(&self, tenant: &TenantState, queue: Queue, segment: u32) {
        let about = self.segments.about(segment);
        let mut queues = tenant.queues.lock();
        let place = queues.push(queue, segment);
        about.place.store(place, Ordering::Relaxed);
        self.enlist(tenant, segment, about.usage().dead_bytes(), about.len.load(Ordering::Relaxed));
        if queue == Queue::Small {
            let oldest = queues.nth_youngest_small(policy::window(tenant.held()));
            if let Some(oldest) = oldest {
                let seq = self.segments.owner(oldest).seq();
                tenant.window.store(seq + 1, Ordering::Relaxed);
            }
        }
    }

    /// Ends filling a segment with what compaction gathers.
    pub(super) fn end_gathering(&self, tenant: &TenantState, sealed: u32) {
        let about = self.segments.about(sealed);
        about.publish_part();
        self.enlist(tenant, sealed, about.usage().dead_bytes(), about.len.load(Ordering::Relaxed));
    }

    /// Puts a tenant's open segments into its queues.
    fn seal_open(&self, tenant: &TenantState) {
        for (queue, mut open) in tenant.stripes.lock_all() {
            if let Some(segment) = open.seal(&self.segments) {
                self.enqueue(tenant, queue, segment);
            }
        }
    }

    /// The tenant that gives room: of this one, a few others, and who gave last, it is who has most segments
    /// beyond what he is guaranteed. Once chosen, he stays so until a segment is free.
    ///
    /// `None`: this tenant is not beyond that, and nobody was found who is. Others are looked at next time.
    pub(super) fn giver(&self, seen: &Seen<'_>, tenant: &TenantState) -> Option<usize> {
        let over = |number: &usize| seen.tenant(*number).over_floor();
        seen.current().filter(|number| over(number) > 0).or_else(|| {
            let own = tenant.over_floor();
            // Who is guaranteed more must find somebody who is not.
            let samples = if own == 0 { MOST_SAMPLED } else { SAMPLED };
            let other = seen.sample(samples).chain(seen.last()).max_by_key(over);
            let other = other.filter(|number| over(number) > own);
            other.or_else(|| seen.number_of(tenant).filter(|_| own > 0))
        })
    }

    /// Clears some of the segment that was last taken for ghosts; how much.
    pub(super) fn clear_some(&self, reclaim: &mut Reclaim) -> usize {
        let Some(segment) = reclaim.new_ghosts.last() else { return 0 };
        let rest = &mut reclaim.to_clear;
        let start = rest.start;
        rest.start = rest.end.min(start + CLEARED);
        self.arena.clear(*segment, start..rest.start);
        rest.start - start
    }

    /// Takes the ghosts of a removed tenant back.
    pub(crate) fn give_up_ghosts(&self, tenant: &TenantState) {
        let mut reclaim = tenant.reclaim.lock();
        reclaim.to_clear = 0..0;
        let new = std::mem::take(&mut reclaim.new_ghosts);
        let all = std::iter::from_fn(|| tenant.ghosts.shrink()).chain(new);
        all.for_each(|segment| self.take_back(tenant, segment));
    }

    /// Lets the number of ghosts follow the number of items.
    pub(super) fn keep_ghosts(&self, tenant: &TenantState, reclaim: &mut Reclaim) {
        let Some(victim) = &reclaim.victim else { return };
        if tenant.is_removed() {
            return;
        }
        let items = self.segments.about(victim.segment).usage().items();
        let estimate = u64::from(items) * u64::from(tenant.held());
        let (have, wanted) =
            (tenant.ghosts.pages(), tenant.ghosts.wanted(estimate, self.arena.segment_bytes()));
        if tenant.held() < FEWEST_FOR_GHOSTS {
            return;
        }
        if wanted > have + have / 4 {
            // All at once in the end: with each change what was remembered is forgotten.
            if reclaim.to_clear.is_empty() {
                if reclaim.new_ghosts.len() >= (wanted - have) as usize {
                    reclaim.new_ghosts.drain(..).for_each(|segment| tenant.ghosts.grow(segment));
                } else if let Some(segment) = self.supply_for_ghosts(tenant) {
                    reclaim.new_ghosts.push(segment);
                    reclaim.to_clear = 0..self.arena.segment_bytes();
                }
            }
        } else if let Some(segment) = reclaim.new_ghosts.pop() {
            // Not wanted any more.
            reclaim.to_clear = 0..0;
            self.take_back(tenant, segment);
        } else if wanted < have / 3
            && let Some(segment) = tenant.ghosts.shrink()
        {
            self.take_back(tenant, segment);
        }
    }
}

impl Reclaim {
    /// Whether a segment is being filled by compaction.
    fn gathers(&self, segment: u32) -> bool {
        self.gathering.iter().any(|open| open.segment == Some(segment))
    }

    /// Ends filling `segment`, if it is one of those.
    fn seal_gathering(&mut self, segments: &Segments, segment: u32) {
        if let Some(open) = self.gathering.iter_mut().find(|open| open.segment == Some(segment)) {
            open.seal(segments);
            segments.about(segment).publish_part();
        }
    }
}
