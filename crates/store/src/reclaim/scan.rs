//! Looking at the records of a victim, and moving what stays.

use super::{Reclaim, STEP, Victim, Why};
use crate::epoch::Pin;
use crate::index::{At, Home, Slot};
use crate::memory::arena::Location;
use crate::memory::log::Place;
use crate::memory::record::{CHUNK_HEADER, Chunk, Record, chunk_record_len};
use crate::memory::segment::Queue;
use crate::memory::stored::Stored;
use crate::policy::{self, Verdict};
use crate::stats::Event;
use crate::store::Shared;
use crate::sync::Ordering;
use crate::tenant::TenantState;
use crate::write::chunk_entry;

/// A record that may still be referred to.
#[derive(Clone, Copy)]
enum Candidate {
    Item { at: Location, hash: u64 },
    Chunk { at: Location, chunk: Chunk },
}

/// What is done with a live item.
enum Fate {
    Remove(Event),
    Haunt,
    /// It moves to the young end of the main queue.
    Keep(u8),
    /// It moves as it is.
    Gather,
}

impl Shared {
    /// Looks at the next records of a victim. `reclaim` is there unless the tenant was flushed. Returns
    /// whether it got anywhere.
    #[allow(unsafe_code)]
    pub(super) fn scan(
        &self,
        pin: &Pin<'_>,
        tenant: &TenantState,
        victim: &mut Victim,
        mut reclaim: Option<&mut Reclaim>,
    ) -> bool {
        let start = victim.offset;
        let mut candidates = [None; STEP];
        for place in &mut candidates {
            if victim.offset >= victim.len {
                break;
            }
            let at = self.arena.location(victim.segment, victim.offset);
            // SAFETY: a sealed segment with nothing pending is records from start to end, and only
            // who has it as a victim gives it back.
            let record = unsafe { Record::read(&self.arena, at, self.sizes) };
            victim.offset += record.len();
            *place = match record {
                Record::Item(_) => {
                    // SAFETY: as above.
                    let hash = self.hash(tenant.id, unsafe { self.stored(at) }.key());
                    Some(Candidate::Item { at, hash })
                }
                Record::Chunk(chunk) => Some(Candidate::Chunk { at, chunk }),
                Record::Filler(_) => None,
            };
            if let Some(
                Candidate::Item { hash, .. } | Candidate::Chunk { chunk: Chunk { hash, .. }, .. },
            ) = place
            {
                self.index.prefetch(*hash);
            }
        }
        for candidate in candidates.into_iter().flatten() {
            let reclaim = reclaim.as_deref_mut();
            let (at, settled) = match candidate {
                Candidate::Item { at, hash } => {
                    (at, self.settle_item(pin, tenant, victim, reclaim, at, hash))
                }
                Candidate::Chunk { at, chunk } => {
                    (at, self.settle_chunk(pin, tenant, victim, reclaim, at, chunk))
                }
            };
            if !settled {
                victim.offset = self.arena.offset_of(at);
                break;
            }
        }
        victim.offset > start
    }

    /// Whether what found no room to move to will find some soon: readers are still in all the
    /// segments that are free, and nothing must be evicted for that.
    fn awaits_room(&self) -> bool {
        self.pool.available() > 0
    }

    /// Decides about an item, if it lives. Returns whether that could be done.
    fn settle_item(
        &self,
        pin: &Pin<'_>,
        tenant: &TenantState,
        victim: &mut Victim,
        reclaim: Option<&mut Reclaim>,
        at: Location,
        hash: u64,
    ) -> bool {
        let mut home = self.index.lock(hash);
        let Some(found) = home.find(|slot| slot.location() == at) else { return true };
        let item = self.stored_under_lock(found);
        let mut fate = self.fate(tenant, victim, found.slot, &item);
        if matches!(fate, Fate::Keep(_)) && reclaim.as_ref().is_some_and(|it| it.is_fruitless()) {
            fate = Fate::Remove(Event::Evicted);
        }
        let tries = reclaim.is_some() && matches!(fate, Fate::Keep(_) | Fate::Gather);
        let moved = match (&fate, reclaim) {
            (Fate::Keep(freq), Some(_)) => {
                self.move_item(pin, tenant, &mut home, found, &item, *freq, |len, expires| {
                    self.try_allocate(tenant, Queue::Main, 0, len, 4, expires, true)
                })
            }
            (Fate::Gather, Some(reclaim)) => self.move_item(
                pin,
                tenant,
                &mut home,
                found,
                &item,
                found.slot.freq(),
                |len, expires| self.gather(tenant, victim, reclaim, len, 4, expires),
            ),
            _ => false,
        };
        if moved {
            victim.kept += item.layout.len();
            return true;
        }
        if tries && self.awaits_room() {
            return false;
        }
        let last = home.remove(found);
        drop(home);
        pin.worker.counters.emptied_slot();
        self.forget(tenant, &item);
        let row = pin.worker.counters.of(tenant.id);
        match fate {
            Fate::Remove(event) if event != Event::Evicted => row.add(event, 1),
            _ => row.evicted(last),
        }
        if matches!(fate, Fate::Haunt) {
            tenant.ghosts.insert(&self.arena, hash);
        }
        true
    }

    fn fate(&self, tenant: &TenantState, victim: &Victim, slot: Slot, item: &Stored<'_>) -> Fate {
        let since = tenant.flushed_before.load(Ordering::Acquire);
        if victim.why == Why::Flush || !self.segments.owner(victim.segment).is(tenant.id, since) {
            return Fate::Remove(Event::Flushed);
        }
        if item.expires() <= self.time.tick() {
            return Fate::Remove(Event::Expired);
        }
        if victim.why != Why::Eviction {
            return Fate::Gather;
        }
        match policy::verdict(victim.queue, slot.freq()) {
            Verdict::Keep(freq) => Fate::Keep(freq),
            Verdict::Haunt => Fate::Haunt,
            Verdict::Drop => Fate::Remove(Event::Evicted),
        }
    }

    /// Moves an item whose home is locked; whether there was room.
    #[allow(unsafe_code, clippy::too_many_arguments)]
    fn move_item(
        &self,
        pin: &Pin<'_>,
        tenant: &TenantState,
        home: &mut Home<'_>,
        found: At,
        item: &Stored<'_>,
        freq: u8,
        allocate: impl FnOnce(usize, u32) -> Option<Place>,
    ) -> bool {
        let (mut meta, mut layout) = (item.meta(), item.layout);
        if found.slot.has(Slot::CAS_KNOWN) && meta.cas.is_none() {
            // The number goes along, now that its place does not give it any more.
            meta.cas = Some(self.cas_of(item));
            layout = layout.with_cas(self.sizes);
        }
        let Some(place) = allocate(layout.len(), meta.expires) else { return false };
        // Looked at after the new place was had: a flush that does not cover the new segment has
        // been seen by now.
        let since = tenant.flushed_before.load(Ordering::Acquire);
        let old_segment = self.arena.segment_of(item.at);
        if !self.segments.owner(old_segment).is(tenant.id, since) {
            self.give_up_place(place, layout.len());
            return false;
        }
        // SAFETY: these bytes have just been reserved, as many as the layout says.
        unsafe {
            layout.write(&self.arena, place.at, &meta, item.key());
            if let Some(value) = item.value().as_slice() {
                self.arena.write(place.at, layout.value_at(), value);
            }
        }
        for (number, (at, _)) in item.chunks().enumerate() {
            layout.chunk(&self.arena, place.at, number).store(chunk_entry(at), Ordering::Relaxed);
        }
        home.update(found, |slot| slot.with_location(place.at).with_freq(freq));
        self.segments.about(place.segment).publish_item();
        self.segments.about(old_segment).remove_item(item.layout.len());
        pin.worker.counters.of(tenant.id).add(Event::Relocated, 1);
        true
    }

    /// Moves a chunk, if its item lives. Returns whether that could be done.
    #[allow(unsafe_code)]
    fn settle_chunk(
        &self,
        pin: &Pin<'_>,
        tenant: &TenantState,
        victim: &mut Victim,
        reclaim: Option<&mut Reclaim>,
        at: Location,
        chunk: Chunk,
    ) -> bool {
        let Some(reclaim) = reclaim else { return true };
        let number = chunk.number as usize;
        let mut home = self.index.lock(chunk.hash);
        let since = tenant.flushed_before.load(Ordering::Acquire);
        let found = home.find(|slot| {
            let segment = self.arena.segment_of(slot.location());
            // A flushed item's table may name places that are others' by now.
            if !self.segments.owner(segment).is(tenant.id, since) {
                return false;
            }
            // SAFETY: read from the index under the lock of its home, or of another: the thread is
            // pinned.
            let item = unsafe { self.stored(slot.location()) };
            item.chunk_at(number) == Some(at)
        });
        let Some(found) = found else { return true };
        let item = self.stored_under_lock(found);
        let bytes = chunk_record_len(chunk.len);
        let item_segment = self.arena.segment_of(item.at);
        let align = crate::memory::record::CHUNK_ALIGN;
        let place = if victim.why == Why::Eviction {
            let queue = self.segments.owner(item_segment).queue();
            self.try_allocate(tenant, queue, 0, bytes, align, item.expires(), true)
        } else {
            self.gather(tenant, victim, reclaim, bytes, align, item.expires())
        };
        if place.is_none() && self.awaits_room() {
            return false;
        }
        let since = tenant.flushed_before.load(Ordering::Acquire);
        let flushed = !self.segments.owner(item_segment).is(tenant.id, since);
        let Some(place) = place.filter(|_| !flushed) else {
            if let Some(place) = place {
                self.give_up_place(place, bytes);
            }
            // The item cannot live without its chunk.
            let last = home.remove(found);
            drop(home);
            pin.worker.counters.emptied_slot();
            self.forget(tenant, &item);
            let row = pin.worker.counters.of(tenant.id);
            if flushed {
                row.add(Event::Flushed, 1);
            } else {
                row.evicted(last);
            }
            return true;
        };
        // SAFETY: the old bytes are those of a victim (see `scan`), the new ones just reserved.
        unsafe {
            chunk.write(&self.arena, place.at);
            let bytes = self.arena.bytes(at, CHUNK_HEADER, chunk.len);
            self.arena.write(place.at, CHUNK_HEADER, bytes);
        }
        let entry = item.layout.chunk(&self.arena, item.at, number);
        entry.store(chunk_entry(place.at), Ordering::Release);
        victim.kept += bytes;
        self.segments.about(place.segment).publish_part();
        true
    }

    /// Reserves bytes for what a compaction gathers.
    #[allow(clippy::too_many_arguments)]
    fn gather(
        &self,
        tenant: &TenantState,
        victim: &Victim,
        reclaim: &mut Reclaim,
        len: usize,
        align: usize,
        expires: u32,
    ) -> Option<Place> {
        let open = &mut reclaim.gathering[victim.queue as usize];
        loop {
            if let Some(place) = self.take_from(open, len, align, expires) {
                return Some(place);
            }
            if let Some(sealed) = open.seal(&self.segments) {
                self.end_gathering(tenant, sealed);
            }
            let segment = self.supply(tenant, true)?;
            self.segments.open(segment, tenant.id, victim.queue);
            self.segments.about(segment).reserve();
            open.begin(segment, self.time.tick());
            let mut queues = tenant.queues.lock();
            let place = match victim.why {
                Why::Compaction { place } => queues.put(victim.queue, place, segment),
                Why::Eviction | Why::Flush => queues.push(victim.queue, segment),
            };
            self.segments.about(segment).place.store(place, Ordering::Relaxed);
        }
    }

    #[allow(unsafe_code)]
    fn give_up_place(&self, place: Place, len: usize) {
        // SAFETY: just reserved by the caller, and not published.
        unsafe { crate::memory::record::write_filler(&self.arena, place.at, len) };
        self.segments.about(place.segment).give_up(len);
    }
}
