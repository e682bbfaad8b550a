//! Looking at the records of a victim, and moving what stays.

use super::{Effort, Reclaim, STEP, Victim, Why};
use crate::draft::chunk_entry;
use crate::epoch::Pin;
use crate::index::{At, Home, Slot};
use crate::memory::arena::Location;
use crate::memory::log::{Need, Place};
use crate::memory::record::{
    CHUNK_ALIGN, CHUNK_HEADER, Chunk, Record, chunk_record_len, write_filler,
};
use crate::memory::segment::Queue;
use crate::memory::stored::Stored;
use crate::policy::{self, Verdict};
use crate::room::By;
use crate::stats::Event;
use crate::store::Shared;
use crate::sync::Ordering;
use crate::tenant::TenantState;

/// A step of looking through a victim.
pub(super) struct Scan<'a> {
    pub(super) shared: &'a Shared,
    pub(super) pin: &'a Pin<'a>,
    pub(super) tenant: &'a TenantState,
    pub(super) victim: &'a mut Victim,
    /// There unless the tenant was flushed.
    pub(super) reclaim: Option<&'a mut Reclaim>,
}

/// A record that may still be referred to.
#[derive(Clone, Copy)]
struct Candidate {
    at: Location,
    len: usize,
    /// Of the key of its item.
    hash: u64,
    /// There if it is a chunk.
    chunk: Option<Chunk>,
}

/// What is done with a live item.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Remove(Event),
    Haunt,
    /// It moves to the young end of the main queue, with this frequency.
    Keep(u8),
    /// It moves as it is.
    Gather,
}

impl Scan<'_> {
    /// Looks at the next records, at most [`STEP`], as far as the effort goes, but at one at least. Returns
    /// whether it got anywhere.
    pub(super) fn step(&mut self, effort: &mut Effort) -> bool {
        let (start, kept) = (self.victim.offset, self.victim.kept);
        let mut looked = 0;
        for candidate in self.candidates(effort.records()).into_iter().flatten() {
            let before = self.victim.kept;
            let settled = (looked == 0 || !effort.is_used_up())
                && match candidate.chunk {
                    None => self.settle_item(candidate),
                    Some(chunk) => self.settle_chunk(candidate, chunk),
                };
            if !settled {
                self.victim.offset = self.shared.arena.offset_of(candidate.at);
                break;
            }
            looked += 1;
            effort.look(candidate.len);
            if self.victim.kept > before {
                effort.copy(self.victim.kept - before);
            }
        }
        self.pin.worker.counters.add_work(looked, self.victim.kept - kept);
        self.victim.offset > start
    }

    /// The next records that are items or parts of items, at most so many. Asks for what the index knows of
    /// them, and for the places of their ghosts.
    #[allow(unsafe_code)]
    fn candidates(&mut self, most: usize) -> [Option<Candidate>; STEP] {
        let (shared, victim) = (self.shared, &mut *self.victim);
        let mut candidates = [None; STEP];
        let haunts = victim.queue == Queue::Small && victim.why == Why::Eviction;
        for place in candidates.iter_mut().take(most) {
            if victim.offset >= victim.len {
                break;
            }
            let at = shared.arena.location(victim.segment, victim.offset);
            // SAFETY: a sealed segment with nothing pending is records from start to end, and only
            // who has it as a victim gives it back.
            let record = unsafe { Record::read(&shared.arena, at, shared.sizes) };
            let len = record.len();
            victim.offset += len;
            *place = match record {
                Record::Item(_) => {
                    // SAFETY: as above.
                    let key = unsafe { shared.stored(at) }.key();
                    let hash = shared.hash(self.tenant.id, key);
                    Some(Candidate { at, len, hash, chunk: None })
                }
                Record::Chunk(chunk) => {
                    Some(Candidate { at, len, hash: chunk.hash, chunk: Some(chunk) })
                }
                Record::Filler(_) => None,
            };
            if let Some(Candidate { hash, .. }) = place {
                shared.index.prefetch(*hash);
                if haunts {
                    self.tenant.ghosts.prefetch(&shared.arena, *hash);
                }
            }
        }
        candidates
    }

    /// Decides about an item, if it lives. Returns whether that could be done.
    fn settle_item(&mut self, Candidate { at, hash, .. }: Candidate) -> bool {
        let (shared, pin) = (self.shared, self.pin);
        let mut home = shared.index.lock(hash);
        let Some(found) = home.find(|slot| slot.location() == at) else { return true };
        let item = shared.stored_under_lock(pin, found);
        let fate = self.fate(found.slot, &item);
        let moves = matches!(fate, Fate::Keep(_) | Fate::Gather);
        if moves && self.move_item(&mut home, found, &item, fate) {
            self.victim.kept += item.layout.len();
            return true;
        }
        if moves && self.awaits_room() {
            return false;
        }
        let why = if let Fate::Remove(event) = fate { event } else { Event::Evicted };
        shared.unlink(pin, self.tenant, home, found, why);
        if fate == Fate::Haunt {
            self.tenant.ghosts.insert(&shared.arena, hash);
        }
        true
    }

    fn fate(&self, slot: Slot, item: &Stored<'_>) -> Fate {
        let Some(reclaim) = &self.reclaim else { return Fate::Remove(Event::Flushed) };
        if self.is_flushed(self.victim.segment) {
            return Fate::Remove(Event::Flushed);
        }
        if item.expires() <= self.shared.time.tick() {
            return Fate::Remove(Event::Expired);
        }
        if self.victim.why != Why::Eviction {
            return Fate::Gather;
        }
        match policy::verdict(self.victim.queue, slot.freq()) {
            Verdict::Keep(_) if reclaim.is_fruitless(self.victim.queue) => {
                Fate::Remove(Event::Evicted)
            }
            Verdict::Keep(freq) => Fate::Keep(freq),
            Verdict::Haunt => Fate::Haunt,
            Verdict::Drop => Fate::Remove(Event::Evicted),
        }
    }

    /// Moves an item whose home is locked; whether there was room.
    #[allow(unsafe_code)]
    fn move_item(&mut self, home: &mut Home<'_>, found: At, item: &Stored<'_>, fate: Fate) -> bool {
        let shared = self.shared;
        let (mut meta, mut layout) = (item.meta(), item.layout);
        if found.slot.has(Slot::CAS_KNOWN) && meta.cas.is_none() {
            // The number goes along, now that its place does not give it any more.
            meta.cas = Some(shared.cas_of(item));
            layout = layout.with_cas(shared.sizes);
        }
        let (queue, freq) = match fate {
            Fate::Keep(freq) => (Queue::Main, freq),
            _ => (self.victim.queue, found.slot.freq()),
        };
        let need = Need { queue, len: layout.len(), align: 4, expires: meta.expires };
        let Some(place) = self.place(need, shared.arena.segment_of(item.at)) else { return false };
        // SAFETY: these bytes have just been reserved, as many as the layout says.
        unsafe {
            layout.write(&shared.arena, place.at, &meta, item.key());
            if let Some(value) = item.value().as_slice() {
                shared.arena.write(place.at, layout.value_at(), value);
            }
        }
        for (number, (at, _)) in item.chunks().enumerate() {
            layout.chunk(&shared.arena, place.at, number).store(chunk_entry(at), Ordering::Relaxed);
        }
        home.update(found, |slot| slot.with_location(place.at).with_freq(freq));
        shared.segments.about(place.segment).publish_item();
        shared.segments.about(self.victim.segment).remove_item(item.layout.len());
        self.pin.worker.counters.of(self.tenant.id).add(Event::Relocated, 1);
        true
    }

    /// Moves a chunk, if its item lives. Returns whether that could be done.
    #[allow(unsafe_code)]
    fn settle_chunk(&mut self, Candidate { at, hash, .. }: Candidate, chunk: Chunk) -> bool {
        let Some(reclaim) = &self.reclaim else { return true };
        let is_pressed =
            self.victim.why == Why::Eviction && reclaim.is_fruitless(self.victim.queue);
        let (shared, number) = (self.shared, chunk.number as usize);
        let mut home = shared.index.lock(hash);
        let Some(found) = home.find(|slot| self.has_chunk(slot, number, at)) else { return true };
        let item = shared.stored_under_lock(self.pin, found);
        let item_segment = shared.arena.segment_of(item.at);
        let queue = match self.victim.why {
            Why::Eviction => shared.queue_of(&item),
            Why::Compaction { .. } | Why::Flush => self.victim.queue,
        };
        let len = chunk_record_len(chunk.len);
        let need = Need { queue, len, align: CHUNK_ALIGN, expires: item.expires() };
        // Whether the item stays is decided where it begins. While somebody writes beside that, nobody looks
        // there, and the chunks would move for ever. That may be over in a moment, but under pressure
        // everything goes that stands in the way.
        let goes = is_pressed && shared.segments.about(item_segment).usage().pending() > 0;
        let place = if goes { None } else { self.place(need, item_segment) };
        let Some(place) = place else {
            let flushed = self.is_flushed(item_segment);
            if !flushed && !goes && self.awaits_room() {
                return false;
            }
            // The item cannot live without its chunk.
            let why = if flushed { Event::Flushed } else { Event::Evicted };
            shared.unlink(self.pin, self.tenant, home, found, why);
            return true;
        };
        // SAFETY: the old bytes are those of a victim (see `candidates`), the new ones just reserved.
        unsafe {
            chunk.write(&shared.arena, place.at);
            let bytes = shared.arena.bytes(at, CHUNK_HEADER, chunk.len);
            shared.arena.write(place.at, CHUNK_HEADER, bytes);
        }
        let entry = item.layout.chunk(&shared.arena, item.at, number);
        entry.store(chunk_entry(place.at), Ordering::Release);
        self.victim.kept += len;
        shared.segments.about(place.segment).publish_part();
        true
    }

    /// Whether a slot is that of a live item whose chunk of this number lies at `at`.
    #[allow(unsafe_code)]
    fn has_chunk(&self, slot: Slot, number: usize, at: Location) -> bool {
        // A flushed item's table may name places that are others' by now.
        if self.is_flushed(self.shared.arena.segment_of(slot.location())) {
            return false;
        }
        // SAFETY: read from the index under the lock of its home, or of another: the thread is
        // pinned.
        let item = unsafe { self.shared.stored(slot.location()) };
        item.chunk_at(number) == Some(at)
    }

    /// Reserves bytes for what moves, of an item that lies in segment `of`; not if that was flushed.
    #[allow(unsafe_code)]
    fn place(&mut self, need: Need, of: u32) -> Option<Place> {
        let place = match self.victim.why {
            Why::Eviction => self.shared.try_allocate(self.tenant, need, By::Reclaim),
            Why::Compaction { .. } | Why::Flush => self.gather(need),
        }?;
        // Looked at after the new place was had: a flush that does not cover the new segment has
        // been seen by now.
        if self.is_flushed(of) {
            // SAFETY: just reserved, and not published.
            unsafe { write_filler(&self.shared.arena, place.at, need.len) };
            let before = self.shared.segments.about(place.segment).give_up(need.len);
            self.shared.note_waste(self.tenant, place.segment, before, need.len);
            return None;
        }
        Some(place)
    }

    /// Whether a segment is not the tenant's any more, or was flushed.
    fn is_flushed(&self, segment: u32) -> bool {
        let since = self.tenant.flushed_before.load(Ordering::Acquire);
        !self.shared.segments.owner(segment).is(self.tenant.id, since)
    }

    /// Whether what found no room to move to stays until it finds some: readers are still in all the
    /// segments that are free, and nothing must be evicted for that; or nothing ever is.
    fn awaits_room(&self) -> bool {
        self.shared.pool.available() > 0 || !self.shared.evicts
    }

    /// Reserves bytes for what a compaction gathers.
    fn gather(&mut self, need: Need) -> Option<Place> {
        let (shared, tenant, victim) = (self.shared, self.tenant, &*self.victim);
        let open = &mut self.reclaim.as_mut()?.gathering[victim.queue as usize];
        loop {
            if let Some(place) = shared.take_from(open, need) {
                return Some(place);
            }
            if let Some(sealed) = open.seal(&shared.segments) {
                shared.end_gathering(tenant, sealed);
            }
            let segment = shared.supply(tenant, By::Reclaim)?;
            shared.segments.open(segment, tenant.id, victim.queue);
            shared.segments.about(segment).reserve();
            open.begin(segment, shared.time.tick());
            let mut queues = tenant.queues.lock();
            let place = match victim.why {
                Why::Compaction { place } => queues.put(victim.queue, place, segment),
                Why::Eviction | Why::Flush => queues.push(victim.queue, segment),
            };
            shared.segments.about(segment).place.store(place, Ordering::Relaxed);
        }
    }
}
