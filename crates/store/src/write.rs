//! Storing: reserve bytes in the log, write them, publish them in the index.

use std::time::Duration;

use crate::config::MAX_KEY_BYTES;
use crate::epoch::Pin;
use crate::error::StoreError;
use crate::index::{At, Slot};
use crate::item::is_counted;
use crate::memory::arena::Location;
use crate::memory::log::Place;
use crate::memory::record::{
    CHUNK_ALIGN, CHUNK_HEADER, Chunk, Layout, Meta, NEVER, chunk_record_len, write_filler,
};
use crate::memory::segment::Queue;
use crate::memory::stored::Stored;
use crate::stats::Event;
use crate::store::{Shared, TICK_MS, minute};
use crate::sync::{Ordering, wait};
use crate::tenant::TenantState;

/// An item on its way: its bytes are reserved, and nobody knows of it.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) hash: u64,
    layout: Layout,
    meta: Meta,
    queue: Queue,
    /// When it was begun, or is to be published.
    pub(crate) tick: u32,
    place: Place,
    /// Bytes of the value that are there.
    written: usize,
    /// Places of the chunks that are there.
    chunks: Vec<Place>,
}

/// On what condition a draft becomes the item of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    Absent,
    Present,
    Cas(u64),
    /// The item is the version that lies here.
    Unchanged(Location),
}

/// The flags of a new version's slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flags {
    set: u64,
    /// Those it has if the version before has them.
    inherit: u64,
}

impl Flags {
    /// Those of a new value. That somebody knows a number of some version is never forgotten: it is
    /// why later ones are higher.
    pub(crate) const NEW: Flags = Flags { set: 0, inherit: Slot::CAS_KNOWN };
    /// The same, with its CAS number handed out.
    pub(crate) const CAS_ASKED: Flags = Flags { set: Slot::CAS_KNOWN, inherit: 0 };
    /// Those of the version before.
    pub(crate) const SAME: Flags =
        Flags { set: 0, inherit: Slot::FETCHED | Slot::CAS_KNOWN | Slot::STALE | Slot::WON };
    /// The same, with its CAS number handed out.
    pub(crate) const SAME_CAS_ASKED: Flags = Flags { set: Slot::CAS_KNOWN, ..Flags::SAME };
    /// Those of a version that is served until somebody replaces it.
    pub(crate) const STALE: Flags =
        Flags { set: Slot::STALE, inherit: Slot::FETCHED | Slot::CAS_KNOWN };

    /// The slot with what it inherits.
    fn inherited(self, old: Slot, new: Slot) -> Slot {
        let flags = [Slot::FETCHED, Slot::CAS_KNOWN, Slot::STALE, Slot::WON];
        let inherited = flags.into_iter().filter(|flag| self.inherit & flag != 0 && old.has(*flag));
        inherited.fold(new, Slot::with)
    }
}

/// Why a draft did not become an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is an item.
    Present,
    /// There is none.
    Absent,
    /// There is another version.
    Changed,
    /// Since the draft was begun the tenant was flushed, and the draft's memory with it; or there is
    /// a version now whose number is known and higher. The draft is still there, for
    /// [`draw_again`](Shared::draw_again).
    Outdated {
        /// It needs room for a number of its own.
        unnumbered: bool,
    },
}

/// What a writer knows of the item there is before it writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prior<'a> {
    pub(crate) slot: Slot,
    pub(crate) stored: Stored<'a>,
}

/// What a version takes over from the one before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct After {
    pub(crate) queue: Queue,
    /// The CAS number it may keep, or room for another one; `None`: what its place gives will do.
    pub(crate) cas: Option<u64>,
}

/// What is to be stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct New<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) hash: u64,
    pub(crate) value_len: usize,
    pub(crate) flags: u32,
    pub(crate) expires: u32,
    /// When it is stored.
    pub(crate) tick: u32,
}

/// How often a writer that finds no room makes some before it gives up.
const MOST_STEPS: usize = 2_000;

/// How often it waits for others: some 60 milliseconds in all, the time for which one of them may be
/// descheduled on a busy machine.
pub(crate) const MOST_WAITS: usize = 180;

impl Shared {
    /// Refuses what is too large for any store, for this one, or for this tenant.
    pub(crate) fn check_size(
        &self,
        tenant: &TenantState,
        key: &[u8],
        value_len: usize,
    ) -> Result<(), StoreError> {
        let bytes = key.len().saturating_add(value_len);
        let limit = self.geometry.max_item_bytes.min(tenant.most_item_bytes(&self.arena));
        if key.len() > MAX_KEY_BYTES {
            return Err(StoreError::TooLarge { bytes: key.len(), limit: MAX_KEY_BYTES });
        }
        if bytes > limit {
            return Err(StoreError::TooLarge { bytes, limit });
        }
        Ok(())
    }

    /// The live item there is.
    pub(crate) fn prior<'a>(
        &'a self,
        pin: &'a Pin<'_>,
        tenant: &TenantState,
        hash: u64,
        key: &[u8],
        tick: u32,
    ) -> Option<Prior<'a>> {
        let (found, stored, _) = self.find(pin, tenant, hash, key)?;
        let live = stored.expires() > tick;
        live.then_some(Prior { slot: found.slot, stored })
    }

    /// Where the next version of an item goes.
    pub(crate) fn after(&self, prior: &Prior<'_>) -> After {
        let queue = self.segments.owner(self.arena.segment_of(prior.stored.at)).queue();
        // Once numbers are counted up they go on so: that of the next place would be lower again.
        let known = prior.slot.has(Slot::CAS_KNOWN).then(|| self.cas_of(&prior.stored));
        After { queue, cas: known.filter(|cas| is_counted(*cas)) }
    }

    /// Reserves an item's bytes and writes all but its value. `after` is there if it replaces one.
    pub(crate) fn begin(
        &self,
        pin: &mut Pin<'_>,
        tenant: &TenantState,
        new: New<'_>,
        after: Option<After>,
    ) -> Result<Draft, StoreError> {
        if tenant.is_removed() {
            return Err(StoreError::NoRoom { bytes: new.value_len });
        }
        let After { queue, cas } = after.unwrap_or_else(|| {
            let back = tenant.ghosts.take(&self.arena, new.hash);
            After { queue: if back { Queue::Main } else { Queue::Small }, cas: None }
        });
        let meta = Meta { flags: new.flags, expires: new.expires, cas, accessed: minute(new.tick) };
        self.make_room(pin, tenant, new.hash, new.value_len.min(self.sizes.whole));
        let layout = Layout::of(new.key.len(), new.value_len, &meta, self.sizes);
        if layout.chunks > 0 {
            // Whether there is enough shows soon.
            self.make_much_room(pin, tenant, new.value_len);
        }
        let place = self.allocate(pin, tenant, queue, layout.len(), 4, new.expires)?;
        #[allow(unsafe_code)]
        // SAFETY: these bytes have just been reserved, as many as the layout says.
        unsafe {
            layout.write(&self.arena, place.at, &meta, new.key);
        }
        let mut draft = Draft {
            hash: new.hash,
            layout,
            meta,
            queue,
            tick: new.tick,
            place,
            written: 0,
            chunks: Vec::new(),
        };
        // All chunks at once: between one and the next, others would fill whole segments, and each of
        // those would have to wait for this item.
        for number in 0..draft.layout.chunks {
            match self.begin_chunk(pin, tenant, &draft, number) {
                Ok(place) => draft.chunks.push(place),
                Err(error) => {
                    self.give_up(&draft);
                    return Err(error);
                }
            }
        }
        Ok(draft)
    }

    /// Writes the next bytes of the value, which has room for them.
    pub(crate) fn append(&self, draft: &mut Draft, mut data: &[u8]) {
        assert!(data.len() <= draft.missing(), "more than was reserved");
        if draft.layout.chunks == 0 {
            #[allow(unsafe_code)]
            // SAFETY: reserved by `begin` for the value, and not published.
            unsafe {
                let offset = draft.layout.value_at() + draft.written;
                self.arena.write(draft.place.at, offset, data);
            }
            draft.written += data.len();
            return;
        }
        while !data.is_empty() {
            let (number, offset) =
                (draft.written / self.sizes.chunk, draft.written % self.sizes.chunk);
            let (now, later) = data.split_at(data.len().min(self.sizes.chunk - offset));
            #[allow(unsafe_code)]
            // SAFETY: reserved by `begin_chunk` for these bytes, and not published.
            unsafe {
                self.arena.write(draft.chunks[number].at, CHUNK_HEADER + offset, now);
            }
            draft.written += now.len();
            data = later;
        }
    }

    /// Reserves the next chunk and enters it in the item's table.
    #[allow(unsafe_code)]
    fn begin_chunk(
        &self,
        pin: &mut Pin<'_>,
        tenant: &TenantState,
        draft: &Draft,
        number: usize,
    ) -> Result<Place, StoreError> {
        let len = self.sizes.chunk.min(draft.layout.value_len - number * self.sizes.chunk);
        let expires = draft.meta.expires;
        let bytes = chunk_record_len(len);
        let place = self.allocate(pin, tenant, draft.queue, bytes, CHUNK_ALIGN, expires)?;
        let number_u32 = u32::try_from(number).expect("an item has fewer than 2^32 chunks");
        let chunk = Chunk { hash: draft.hash, number: number_u32, len };
        // SAFETY: these bytes have just been reserved.
        unsafe { chunk.write(&self.arena, place.at) };
        let entry = draft.layout.chunk(&self.arena, draft.place.at, number);
        entry.store(chunk_entry(place.at), Ordering::Relaxed);
        Ok(place)
    }

    /// Makes a finished draft the item of its key, or gives it up.
    ///
    /// Its CAS number is returned; `flags` says whether anybody is told.
    pub(crate) fn publish(
        &self,
        pin: &mut Pin<'_>,
        tenant: &TenantState,
        key: &[u8],
        draft: &Draft,
        when: When,
        flags: Flags,
    ) -> Result<u64, Refused> {
        let mut waits = 0;
        while waits < MOST_WAITS {
            if let Some(published) = self.try_publish(pin, tenant, key, draft, when, flags) {
                return published;
            }
            if !self.grow_index(pin, tenant) {
                pin.rest(&self.epoch, || wait(waits));
                waits += 1;
            }
        }
        // Stored, and evicted at once: the index has no room near this hash, and gets none.
        let cas = self.cas_at(draft.place.at);
        self.give_up(draft);
        pin.worker.counters.of(tenant.id).evicted(Slot::new(draft.hash, draft.place.at, 0));
        Ok(cas)
    }

    /// Lets the index grow, as far as this thread can help: another one may be at it, or the memory
    /// may be missing. Returns whether it has helped.
    #[inline(never)]
    fn grow_index(&self, pin: &mut Pin<'_>, tenant: &TenantState) -> bool {
        self.check_index();
        self.resize_index(pin) || self.is_scarce() && self.reclaim_step(pin, tenant)
    }

    /// The same as [`publish`](Self::publish); `None` if the index has no room at the moment.
    fn try_publish(
        &self,
        pin: &Pin<'_>,
        tenant: &TenantState,
        key: &[u8],
        draft: &Draft,
        when: When,
        flags: Flags,
    ) -> Option<Result<u64, Refused>> {
        assert_eq!(draft.missing(), 0, "a value that is not all there");
        let tick = draft.tick;
        let row = pin.worker.counters.of(tenant.id);
        let mut home = self.index.lock(draft.hash);
        let since = tenant.flushed_before.load(Ordering::Acquire);
        if !self.segments.owner(draft.place.segment).is(tenant.id, since) {
            return Some(Err(Refused::Outdated { unnumbered: false }));
        }
        let found = home.find(|slot| self.is_item(slot, tenant.id, since, key));
        let old = found.map(|at| (at, self.stored_under_lock(at)));
        let live = old.filter(|(_, stored)| stored.expires() > tick);
        if let Err(refused) = self.check(when, live.as_ref()) {
            drop(home);
            self.give_up(draft);
            return Some(Err(refused));
        }
        let known = live.filter(|(at, _)| at.slot.has(Slot::CAS_KNOWN));
        let known = known.map(|(_, stored)| self.cas_of(&stored));
        let Some(cas) = self.number(draft, when, known) else {
            return Some(Err(Refused::Outdated { unnumbered: true }));
        };
        let freq = live.map_or(0, |(at, _)| at.slot.freq());
        let slot = Slot::new(draft.hash, draft.place.at, freq).with(flags.set);
        match old {
            Some((at, _)) => {
                // With what readers have set to the last.
                home.update(at, |old| flags.inherited(old, slot));
            }
            None => {
                home.insert(slot).ok()?;
                if pin.worker.counters.filled_slot() {
                    self.check_index();
                }
            }
        }
        // Under the lock: nobody may remove the item before it is counted.
        self.segments.about(draft.place.segment).publish_item();
        drop(home);
        for chunk in &draft.chunks {
            self.segments.about(chunk.segment).publish_part();
        }
        if let Some((_, stored)) = old {
            row.add(if live.is_some() { Event::Replaced } else { Event::Expired }, 1);
            self.forget(tenant, &stored);
        }
        row.add(Event::Set, 1);
        self.resize_index(pin);
        Some(Ok(cas))
    }

    /// Copies a draft to memory that was not flushed, under the number it needs, and gives the old one
    /// up.
    #[allow(unsafe_code)]
    pub(crate) fn draw_again(
        &self,
        pin: &mut Pin<'_>,
        tenant: &TenantState,
        key: &[u8],
        draft: &Draft,
        unnumbered: bool,
    ) -> Result<Draft, StoreError> {
        let Layout { value_len, .. } = draft.layout;
        let Meta { flags, expires, .. } = draft.meta;
        let cas = draft.meta.cas.or(unnumbered.then_some(0));
        let new = New { key, hash: draft.hash, value_len, flags, expires, tick: draft.tick };
        let again = (|| {
            let mut again =
                self.begin(pin, tenant, new, Some(After { queue: draft.queue, cas }))?;
            // SAFETY: the draft is complete, nobody else knows of it, and it keeps its segments.
            let stored = unsafe { self.stored(draft.place.at) };
            for piece in stored.value().pieces() {
                self.append(&mut again, piece);
            }
            Ok(again)
        })();
        self.give_up(draft);
        again
    }

    fn check(&self, when: When, live: Option<&(At, Stored<'_>)>) -> Result<(), Refused> {
        match (when, live) {
            (When::Always, _) | (When::Absent, None) | (When::Present, Some(_)) => Ok(()),
            (When::Absent, Some(_)) => Err(Refused::Present),
            (When::Present | When::Cas(_), None) => Err(Refused::Absent),
            (When::Cas(cas), Some((_, stored))) if self.cas_of(stored) == cas => Ok(()),
            (When::Unchanged(place), Some((_, stored))) if stored.at == place => Ok(()),
            (When::Cas(_) | When::Unchanged(_), _) => Err(Refused::Changed),
        }
    }

    /// The CAS number of a draft that takes the place of a version whose number is `known`, under the
    /// lock of its home; `None` if it needs one and has no room for it.
    #[allow(unsafe_code)]
    fn number(&self, draft: &Draft, when: When, known: Option<u64>) -> Option<u64> {
        // While the draft keeps its segment: once it is an item, it may move.
        let of_place = self.cas_at(draft.place.at);
        let Some(room) = draft.meta.cas else {
            return known.is_none_or(|known| of_place > known).then_some(of_place);
        };
        let cas = match known {
            // The same value may keep its number, as a touched one does.
            Some(known) if known == room && matches!(when, When::Unchanged(_)) => known,
            Some(known) if of_place <= known => self.next_cas(known),
            _ => of_place,
        };
        // SAFETY: the draft's bytes are reserved and not published.
        unsafe { draft.layout.write_cas(&self.arena, draft.place.at, cas) };
        Some(cas)
    }

    /// Makes a draft's bytes nothing.
    #[allow(unsafe_code)]
    pub(crate) fn give_up(&self, draft: &Draft) {
        let give_up = |place: &Place, len: usize| {
            // SAFETY: reserved by this draft, and not published.
            unsafe { write_filler(&self.arena, place.at, len) };
            self.segments.about(place.segment).give_up(len);
        };
        give_up(&draft.place, draft.layout.len());
        for (number, chunk) in draft.chunks.iter().enumerate() {
            let len = self.sizes.chunk.min(draft.layout.value_len - number * self.sizes.chunk);
            give_up(chunk, chunk_record_len(len));
        }
    }

    /// Whether a slot is that of a tenant's key, as far as it was not flushed before `since`.
    #[inline]
    #[allow(unsafe_code)]
    pub(crate) fn is_item(&self, slot: Slot, tenant: u32, since: u64, key: &[u8]) -> bool {
        let at = slot.location();
        self.segments.owner(self.arena.segment_of(at)).is(tenant, since)
            // SAFETY: the index asks about slots it has just read, and its callers are pinned.
            && unsafe { self.stored(at) }.has_key(key)
    }

    /// The item at a place of a locked home.
    #[allow(unsafe_code)]
    pub(crate) fn stored_under_lock(&self, at: At) -> Stored<'_> {
        // SAFETY: its home is locked by the caller, who is pinned until it is done with the item.
        unsafe { self.stored(at.slot.location()) }
    }

    /// Reserves `len` bytes in an open segment of the tenant's.
    fn allocate(
        &self,
        pin: &mut Pin<'_>,
        tenant: &TenantState,
        queue: Queue,
        len: usize,
        align: usize,
        expires: u32,
    ) -> Result<Place, StoreError> {
        let mut waits = 0;
        for _ in 0..MOST_STEPS {
            let thread = pin.worker.number;
            if let Some(place) =
                self.try_allocate(tenant, queue, thread, len, align, expires, false)
            {
                return Ok(place);
            }
            // What is free and only waits for readers to leave is enough: evicting more is no use.
            let waiting = self.has_room() && !tenant.at_ceiling();
            if waiting && !pin.is_outermost() {
                // This thread itself is such a reader.
                break;
            }
            let progressed = !waiting && self.reclaim_step(pin, tenant);
            pin.repin(&self.epoch);
            if !progressed {
                if waits == MOST_WAITS || !pin.is_outermost() {
                    break;
                }
                pin.rest(&self.epoch, || wait(waits));
                waits += 1;
            }
        }
        Err(StoreError::NoRoom { bytes: len })
    }

    /// Makes room for `bytes` in all, which [`allocate`](Self::allocate) then finds even while this
    /// thread keeps memory from being reused. Returns whether there is.
    pub(crate) fn make_much_room(
        &self,
        pin: &mut Pin<'_>,
        tenant: &TenantState,
        bytes: usize,
    ) -> bool {
        // A quarter more for what chunks take.
        let segments = (bytes + bytes / 4).div_ceil(self.arena.segment_bytes()) + 1;
        let segments = u32::try_from(segments).unwrap_or(u32::MAX);
        let mut waits = 0;
        for _ in 0..MOST_STEPS {
            if !tenant.is_beyond_ceiling_with(segments) && self.has_ready(segments) {
                return true;
            }
            if !pin.is_outermost() || waits == MOST_WAITS {
                return false;
            }
            let waiting = self.has_room_for(segments) && !tenant.is_beyond_ceiling_with(segments);
            let progressed = !waiting && self.reclaim_step(pin, tenant);
            pin.repin(&self.epoch);
            if !progressed {
                pin.rest(&self.epoch, || wait(waits));
                waits += 1;
            }
        }
        false
    }

    /// The same, without making room for it.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn try_allocate(
        &self,
        tenant: &TenantState,
        queue: Queue,
        thread: u32,
        len: usize,
        align: usize,
        expires: u32,
        reclaiming: bool,
    ) -> Option<Place> {
        let mut open = tenant.stripes.of(queue, tenant.held(), thread).lock();
        loop {
            if let Some(place) = self.take_from(&mut open, len, align, expires) {
                return Some(place);
            }
            if let Some(sealed) = open.seal(&self.segments) {
                self.enqueue(tenant, queue, sealed);
            }
            let segment = self.supply(tenant, reclaiming)?;
            self.segments.open(segment, tenant.id, queue);
            open.begin(segment, self.time.tick());
            self.check_index();
        }
    }
}

impl Draft {
    /// Bytes of the value that are not there yet.
    pub(crate) fn missing(&self) -> usize {
        self.layout.value_len - self.written
    }
}

/// What the table of an item says of a chunk.
pub(crate) fn chunk_entry(at: Location) -> u32 {
    u32::try_from(at / (CHUNK_ALIGN as u64 / 4)).expect("an arena of at most 256 GiB")
}

impl Shared {
    /// The tick at which something stored now with this TTL expires: rounded up, so that it lives at
    /// least as long as was asked; zero is at once.
    pub(crate) fn expiry(&self, ttl: Option<Duration>) -> u32 {
        let Some(ttl) = ttl else { return NEVER };
        if ttl.is_zero() {
            return 0;
        }
        let ms = u64::try_from(ttl.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        let at = self.time.ms().saturating_add(ms).div_ceil(TICK_MS).saturating_add(1);
        u32::try_from(at).unwrap_or(NEVER).min(NEVER - 1)
    }
}
