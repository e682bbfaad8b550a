//! Figures of tenants: what threads have counted, and what lies in segments.

use std::collections::HashMap;
use std::sync::Arc;

use crate::memory::arena::SegmentId;
use crate::stats::Stats;
use crate::store::Shared;
use crate::sync::Ordering;
use crate::tenant::TenantState;

/// What a tenant of at most so many segments holds is counted under its locks, for which its writers wait
/// a few microseconds. Of a larger one, the segments of the whole store are looked through without any.
const COUNTED_LOCKED: u32 = 256;

/// What the segments of a tenant hold.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Held {
    pub(crate) items: u64,
    pub(crate) live_bytes: u64,
}

impl Shared {
    /// A tenant's figures.
    pub(crate) fn stats_of_one(&self, tenant: &Arc<TenantState>) -> Stats {
        self.flush_if_due(tenant, self.time.tick());
        let held = if tenant.held() <= COUNTED_LOCKED {
            self.count_locked(tenant)
        } else {
            self.count_segments(std::slice::from_ref(tenant))[0]
        };
        self.stats_with(tenant, held)
    }

    /// The figures of many, in one look through the segments.
    pub(crate) fn stats_of(&self, tenants: &[Arc<TenantState>]) -> Vec<Stats> {
        let tick = self.time.tick();
        tenants.iter().for_each(|tenant| self.flush_if_due(tenant, tick));
        let held = self.count_segments(tenants);
        tenants.iter().zip(held).map(|(tenant, held)| self.stats_with(tenant, held)).collect()
    }

    fn stats_with(&self, tenant: &TenantState, held: Held) -> Stats {
        let segment_bytes = self.arena.segment_bytes() as u64;
        let segments = u64::from(tenant.held());
        // Of the index, the share that the tenant has of the segments.
        let (used, index) = (u64::from(self.used()), self.index.bytes() as u64);
        let share = index * segments / used.saturating_sub(index / segment_bytes).max(1);
        let ceiling = u64::from(tenant.ceiling.load(Ordering::Relaxed)) * segment_bytes;
        let mut stats = Stats {
            items: held.items,
            live_bytes: held.live_bytes,
            bytes: segments * segment_bytes + share,
            max_bytes: ceiling.min(self.max_bytes()),
            ..Stats::default()
        };
        stats.count(self.epoch.workers().map(|worker| &worker.counters), Some(tenant.id));
        stats
    }

    /// What the segments of tenants hold, in their order.
    pub(crate) fn count_segments(&self, tenants: &[Arc<TenantState>]) -> Vec<Held> {
        let mut all = vec![Held::default(); tenants.len()];
        let places: HashMap<u32, (usize, u64)> = (0..)
            .zip(tenants)
            .map(|(at, tenant)| (tenant.id, (at, tenant.flushed_before.load(Ordering::Acquire))))
            .collect();
        for (segment, owner) in self.segments.owners().filter(|(_, owner)| owner.tenant() != 0) {
            if let Some((at, since)) = places.get(&owner.tenant())
                && owner.seq() >= *since
            {
                self.count_segment(segment, &mut all[*at]);
            }
        }
        all
    }

    /// What a tenant's segments hold, by its own lists of them.
    fn count_locked(&self, tenant: &TenantState) -> Held {
        let mut held = Held::default();
        if tenant.held() == 0 {
            return held;
        }
        let reclaim = tenant.reclaim.lock();
        let stripes = tenant.stripes.lock_all();
        let open = stripes.iter().filter_map(|(_, open)| open.segment);
        let queues = tenant.queues.lock();
        let all = queues.all().chain(reclaim.victim_segment()).chain(open);
        all.for_each(|segment| self.count_segment(segment, &mut held));
        held
    }

    fn count_segment(&self, segment: SegmentId, held: &mut Held) {
        let about = self.segments.about(segment);
        let usage = about.usage();
        held.items += u64::from(usage.items());
        let taken = about.taken.load(Ordering::Relaxed);
        held.live_bytes += u64::from(taken.saturating_sub(usage.dead_bytes()));
    }
}
