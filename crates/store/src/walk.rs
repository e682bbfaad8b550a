//! Walking over all items: for dumps, and for recounting everything.

use std::collections::HashMap;

use crate::epoch::Pin;
use crate::index::{Items, Slot};
use crate::item::Item;
use crate::memory::arena::SegmentId;
use crate::memory::record::chunk_record_len;
use crate::memory::segment::Owner;
use crate::paged::IndexItems;
use crate::stats::filled_slots;
use crate::store::{Shared, Store};
use crate::sync::Ordering;
use crate::tenant::{Tenant, TenantState};

/// Where a walk goes on, from [`Tenant::walk`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position(u64);

impl Position {
    /// Before the first item.
    pub const START: Position = Position(0);
}

impl Tenant {
    /// Gives some live items, and then where to go on; `None` at the end.
    ///
    /// A whole walk meets every item that is there throughout at least once, in no order that means
    /// anything, and nothing waits for it: one call looks at a few hundred items of all tenants. It
    /// counts neither as hits nor as use.
    pub fn walk(&self, from: Position, mut f: impl FnMut(Item<'_>)) -> Option<Position> {
        let shared = &*self.shared;
        let _pin = shared.epoch.pin();
        let tick = shared.time.tick();
        shared.flush_if_due(&self.state, tick);
        let since = self.state.flushed_before.load(Ordering::Acquire);
        let mut gone = false;
        let next = shared.index.scan(from.0, |slot| {
            let at = slot.location();
            let owner = shared.segments.owner(shared.arena.segment_of(at));
            gone |= owner == Owner::NOBODY;
            if owner.is(self.state.id, since) {
                #[allow(unsafe_code)]
                // SAFETY: the slot was read while the thread is pinned, and stays so.
                let stored = unsafe { shared.stored(at) };
                if stored.expires() > tick {
                    f(Item::seen(shared, stored, slot, owner, tick));
                }
            }
        });
        if gone {
            // Something may have moved since its slot was read.
            return Some(from);
        }
        next.map(Position)
    }

    /// Gives all live items to `f`: a whole [walk](Self::walk).
    pub fn for_each(&self, mut f: impl FnMut(Item<'_>)) {
        let mut from = Some(Position::START);
        while let Some(position) = from {
            from = self.walk(position, &mut f);
        }
    }
}

/// What recounting finds in a segment.
#[derive(Debug, Default, Clone, Copy)]
struct Found {
    items: u32,
    bytes: usize,
}

impl Store {
    /// Recounts everything: for tests, and slow. Nothing else may use the store meanwhile.
    ///
    /// # Errors
    ///
    /// The first disagreement found, in words.
    pub fn validate(&self) -> Result<(), String> {
        let shared = &*self.shared;
        let pin = shared.epoch.pin();
        let items = shared.index.validate(&IndexItems { shared, _pin: &pin })?;
        let counted = filled_slots(shared.epoch.workers().map(|worker| &worker.counters));
        if items != counted {
            return Err(format!("{items} items in the index, {counted} counted"));
        }
        shared.validate_items(&pin)?;
        shared.validate_segments()
    }
}

impl Shared {
    /// Every slot refers to an item in a segment of a tenant, and every segment knows what it holds.
    fn validate_items(&self, pin: &Pin<'_>) -> Result<(), String> {
        let since: HashMap<u32, u64> = {
            let since = |tenant: &TenantState| tenant.flushed_before.load(Ordering::Relaxed);
            self.tenants.all().iter().map(|tenant| (tenant.id, since(tenant))).collect()
        };
        let (mut found, mut result) = (HashMap::new(), Ok(()));
        self.index.for_each(|slot| {
            if result.is_ok() {
                result = self.validate_slot(pin, slot, &since, &mut found);
            }
        });
        result?;
        for (segment, owner) in self.segments.owners().filter(|(_, owner)| owner.tenant() != 0) {
            self.validate_usage(segment, owner, found.remove(&segment).unwrap_or_default())?;
        }
        match found.into_iter().next() {
            None => Ok(()),
            Some((segment, found)) => Err(format!("segment {segment}, nobody's: {found:?}")),
        }
    }

    /// Adds the item of a slot to what was found in its segment, and its chunks in theirs.
    fn validate_slot(
        &self,
        pin: &Pin<'_>,
        slot: Slot,
        since: &HashMap<u32, u64>,
        found: &mut HashMap<SegmentId, Found>,
    ) -> Result<(), String> {
        let segment = self.arena.segment_of(slot.location());
        let owner = self.segments.owner(segment);
        if owner.tenant() == 0 {
            return Err(format!("{slot:?} is in segment {segment}, which nobody owns"));
        }
        #[allow(unsafe_code)]
        // SAFETY: nothing else uses the store.
        let stored = unsafe { self.stored(slot.location()) };
        let entry = found.entry(segment).or_default();
        entry.items += 1;
        entry.bytes += stored.layout.len();
        // The chunks of flushed items may have been taken back before.
        let live = since.get(&owner.tenant()).is_some_and(|since| owner.seq() >= *since);
        for (at, len) in stored.chunks().filter(|_| live) {
            found.entry(self.arena.segment_of(at)).or_default().bytes += chunk_record_len(len);
        }
        if slot.tag() != Slot::tag_of((IndexItems { shared: self, _pin: pin }).hash_of(slot)) {
            return Err(format!("{slot:?} has another tag than its key"));
        }
        Ok(())
    }

    /// Compares what was found in a segment with what it says it holds.
    fn validate_usage(&self, segment: SegmentId, owner: Owner, found: Found) -> Result<(), String> {
        let about = self.segments.about(segment);
        let (usage, len) = (about.usage(), about.len.load(Ordering::Relaxed) as usize);
        if usage.items() != found.items {
            let (counted, items) = (usage.items(), found.items);
            return Err(format!("segment {segment}: {items} items, {counted} counted"));
        }
        let live = len.saturating_sub(usage.dead_bytes() as usize);
        // A victim half looked at has records that moved; an open segment has no length yet.
        if len > 0 && found.bytes > live {
            return Err(format!("segment {segment} of {owner:?}: {found:?}, {live} bytes live"));
        }
        Ok(())
    }

    /// Every segment is in one place: the pool, the index, a queue, open, ghosts, a victim.
    fn validate_segments(&self) -> Result<(), String> {
        let mut places: Vec<Vec<&str>> = vec![Vec::new(); self.arena.segments()];
        let mut put = |segment: SegmentId, place| places[segment as usize].push(place);
        self.pool.held().into_iter().for_each(|segment| put(segment, "pool"));
        self.index.pages_in_use().into_iter().for_each(|segment| put(segment, "index"));
        let mut held_by_flushed: HashMap<u32, u32> = HashMap::new();
        for segment in self.flushed.lock().segments() {
            put(segment, "flushed");
            *held_by_flushed.entry(self.segments.owner(segment).tenant()).or_default() += 1;
        }
        for tenant in self.tenants.all() {
            let mut held = held_by_flushed.remove(&tenant.id).unwrap_or(0);
            let mut put = |segment: SegmentId, place| {
                put(segment, place);
                held += 1;
            };
            let reclaim = tenant.reclaim.lock();
            for (_, open) in tenant.stripes.lock_all() {
                open.segment.into_iter().for_each(|segment| put(segment, "open"));
            }
            tenant.queues.lock().all().for_each(|segment| put(segment, "queue"));
            tenant.ghosts.segments().for_each(|segment| put(segment, "ghosts"));
            reclaim.segments().for_each(|segment| put(segment, "reclaim"));
            if held != tenant.held() {
                let counted = tenant.held();
                return Err(format!("tenant {}: {held} segments, {counted} counted", tenant.id));
            }
        }
        // A tenant that was removed may still have segments in `flushed`.
        let wrong = places.iter().enumerate().find(|(_, places)| places.len() != 1);
        wrong.map_or(Ok(()), |(segment, places)| Err(format!("segment {segment} is in {places:?}")))
    }
}
