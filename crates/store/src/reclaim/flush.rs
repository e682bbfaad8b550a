//! Flushing a tenant, at once or at a time to come; and taking back what was flushed.

use std::collections::VecDeque;
use std::sync::Arc;

use super::scan::Scan;
use super::{Effort, Got, Victim, Why};
use crate::epoch::Pin;
use crate::memory::arena::SegmentId;
use crate::memory::segment::Queue;
use crate::queues::GONE;
use crate::store::Shared;
use crate::sync::Ordering;
use crate::tenant::TenantState;

/// Segments of flushed tenants, whose items nobody finds any more but whose slots are still in the
/// index.
#[derive(Debug, Default)]
pub(crate) struct Flushed {
    lists: VecDeque<(Arc<TenantState>, VecDeque<SegmentId>)>,
    current: Option<(Arc<TenantState>, Victim)>,
}

impl Flushed {
    /// All segments, to recount.
    pub(crate) fn segments(&self) -> impl Iterator<Item = SegmentId> {
        let current = self.current.iter().map(|(_, victim)| victim.segment);
        let listed = self.lists.iter().flat_map(|(_, list)| list).copied();
        listed.filter(|segment| *segment != GONE).chain(current)
    }
}

impl Shared {
    /// Makes all items of a tenant dead that were stored before this call.
    ///
    /// Takes the same time whatever the tenant holds: its segments are handed over as whole lists.
    pub(crate) fn flush(&self, tenant: &Arc<TenantState>) {
        let mut reclaim = tenant.reclaim.lock();
        for open in &mut reclaim.gathering {
            if let Some(sealed) = open.seal(&self.segments) {
                self.segments.about(sealed).publish_part();
            }
        }
        let victim = reclaim.victim.take();
        let [small, main] = {
            // All of them at once: what is written after this call must be in a later segment.
            let mut stripes = tenant.stripes.lock_all();
            let mut queues = tenant.queues.lock();
            for (queue, open) in &mut stripes {
                if let Some(segment) = open.seal(&self.segments) {
                    queues.push(*queue, segment);
                }
            }
            tenant.flushed_before.store(self.segments.next_seq(), Ordering::Release);
            tenant.wasteful.lock().clear();
            queues.take_all()
        };
        let interrupted = victim.map(|victim| VecDeque::from([victim.segment]));
        let mut flushed = self.flushed.lock();
        for list in [Some(small), Some(main), interrupted].into_iter().flatten() {
            let segments = u32::try_from(list.len()).unwrap_or(u32::MAX);
            self.shifting.flushed_segments.fetch_add(segments, Ordering::Relaxed);
            if !list.is_empty() {
                flushed.lists.push_back((Arc::clone(tenant), list));
            }
        }
    }

    /// Plans a flush for a tick, or at once if that is now; what is stored until then goes too.
    pub(crate) fn flush_at(&self, tenant: &Arc<TenantState>, tick: u32) {
        // A plan whose time has come, though nobody has noticed, is not to be lost.
        self.flush_if_due(tenant, self.time.tick());
        if tick <= self.time.tick() {
            tenant.flush_at.store(u32::MAX, Ordering::Relaxed);
            self.flush(tenant);
        } else {
            tenant.flush_at.store(tick, Ordering::Relaxed);
        }
    }

    /// Takes back some of what was flushed.
    pub(super) fn clean_flushed(&self, pin: &Pin<'_>, effort: &mut Effort) -> Got {
        if self.shifting.flushed_segments.load(Ordering::Relaxed) == 0 {
            return Got::Nothing;
        }
        let Some(mut flushed) = self.flushed.try_lock() else { return Got::Busy };
        if flushed.current.is_none() {
            flushed.current = self.next_flushed(&mut flushed);
        }
        let Some((tenant, mut victim)) = flushed.current.take() else { return Got::Nothing };
        let (shared, victim_now) = (self, &mut victim);
        Scan { shared, pin, tenant: &tenant, victim: victim_now, reclaim: None }.step(effort);
        if victim.offset < victim.len {
            flushed.current = Some((tenant, victim));
            return Got::Part;
        }
        self.take_back(&tenant, victim.segment);
        self.shifting.flushed_segments.fetch_sub(1, Ordering::Relaxed);
        Got::Segment
    }

    fn next_flushed(&self, flushed: &mut Flushed) -> Option<(Arc<TenantState>, Victim)> {
        for _ in 0..flushed.lists.len().min(super::STEP) {
            let (tenant, mut list) = flushed.lists.pop_front()?;
            let mut ready = None;
            for _ in 0..list.len().min(super::STEP) {
                let segment = list.pop_front()?;
                if segment == GONE {
                    self.shifting.flushed_segments.fetch_sub(1, Ordering::Relaxed);
                } else if self.segments.about(segment).usage().pending() > 0 {
                    list.push_back(segment);
                } else {
                    ready = Some(self.victim(segment, Queue::Small, Why::Flush));
                    break;
                }
            }
            if !list.is_empty() {
                flushed.lists.push_back((Arc::clone(&tenant), list));
            }
            if let Some(victim) = ready {
                return Some((tenant, victim));
            }
        }
        None
    }
}
