//! Items on their way: bytes are reserved in the log and written, and nobody knows of them yet.
//!
//! A draft keeps its segments from being taken back until it is published (`publish`) or given up.

use crate::epoch::Pin;
use crate::error::StoreError;
use crate::memory::arena::{Arena, Location};
use crate::memory::log::{Need, Place};
use crate::memory::record::{
    CHUNK_ALIGN, CHUNK_HEADER, Chunk, Layout, Meta, chunk_record_len, write_filler,
};
use crate::memory::segment::Queue;
use crate::reclaim::Effort;
use crate::store::Shared;
use crate::sync::Ordering;
use crate::tenant::TenantState;

/// An item on its way: its bytes are reserved, and nobody knows of it.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) hash: u64,
    pub(crate) layout: Layout,
    pub(crate) meta: Meta,
    pub(crate) queue: Queue,
    /// When it was begun, or is to be published.
    pub(crate) tick: u32,
    pub(crate) place: Place,
    /// Bytes of the value that are there.
    written: usize,
    /// Places of the chunks that are there.
    pub(crate) chunks: Vec<Place>,
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
    /// The queue of the item it replaces, if it does.
    pub(crate) queue: Option<Queue>,
    /// The CAS number it is to have, or room for another one; `None`: what its place gives will do.
    pub(crate) cas: Option<u64>,
}

impl Shared {
    /// Reserves an item's bytes and writes all but its value.
    pub(crate) fn begin(
        &self,
        pin: &mut Pin<'_>,
        tenant: &TenantState,
        new: New<'_>,
    ) -> Result<Draft, StoreError> {
        if tenant.is_removed() {
            return Err(StoreError::NoRoom { bytes: new.value_len });
        }
        let New { hash, flags, expires, cas, tick, .. } = new;
        let queue = new.queue.unwrap_or_else(|| {
            let back = tenant.ghosts.take(&self.arena, hash);
            if back { Queue::Main } else { Queue::Small }
        });
        let meta = Meta { flags, expires, cas, accessed: tick };
        let layout = Layout::of(new.key.len(), new.value_len, &meta, self.sizes);
        let bytes = new.key.len() + new.value_len;
        self.note_size(bytes);
        let mut effort = self.effort(bytes);
        self.make_room(pin, tenant, hash, &mut effort);
        if layout.chunks > 0 {
            // Whether there is enough shows soon.
            self.make_much_room(pin, tenant, new.value_len, &mut effort);
        }
        let need = Need { queue, len: layout.len(), align: 4, expires };
        let place = self.allocate(pin, tenant, need, &mut effort)?;
        #[allow(unsafe_code)]
        // SAFETY: these bytes have just been reserved, as many as the layout says.
        unsafe {
            layout.write(&self.arena, place.at, &meta, new.key);
        }
        let chunks = Vec::new();
        let mut draft = Draft { hash, layout, meta, queue, tick, place, written: 0, chunks };
        // All chunks at once: between one and the next, others would fill whole segments, and each of
        // those would have to wait for this item.
        for number in 0..draft.layout.chunks {
            match self.begin_chunk(pin, tenant, &draft, number, &mut effort) {
                Ok(place) => draft.chunks.push(place),
                Err(error) => {
                    self.give_up(tenant, draft);
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
        effort: &mut Effort,
    ) -> Result<Place, StoreError> {
        let len = self.sizes.chunk.min(draft.layout.value_len - number * self.sizes.chunk);
        let expires = draft.meta.expires;
        let bytes = chunk_record_len(len);
        let need = Need { queue: draft.queue, len: bytes, align: CHUNK_ALIGN, expires };
        let place = self.allocate(pin, tenant, need, effort)?;
        let number_u32 = u32::try_from(number).expect("an item has fewer than 2^32 chunks");
        let chunk = Chunk { hash: draft.hash, number: number_u32, len };
        // SAFETY: these bytes have just been reserved.
        unsafe { chunk.write(&self.arena, place.at) };
        let entry = draft.layout.chunk(&self.arena, draft.place.at, number);
        entry.store(chunk_entry(place.at), Ordering::Relaxed);
        Ok(place)
    }

    /// Makes a draft's bytes nothing, which is waste like that of items.
    #[allow(unsafe_code)]
    #[allow(clippy::needless_pass_by_value, reason = "what is given up is gone")]
    pub(crate) fn give_up(&self, tenant: &TenantState, draft: Draft) {
        let give_up = |place: &Place, len: usize| {
            // SAFETY: reserved by this draft, and not published.
            unsafe { write_filler(&self.arena, place.at, len) };
            let before = self.segments.about(place.segment).give_up(len);
            self.note_waste(tenant, place.segment, before, len);
        };
        give_up(&draft.place, draft.layout.len());
        for (number, chunk) in draft.chunks.iter().enumerate() {
            let len = self.sizes.chunk.min(draft.layout.value_len - number * self.sizes.chunk);
            give_up(chunk, chunk_record_len(len));
        }
    }
}

impl Draft {
    /// Bytes of the value that are not there yet.
    pub(crate) fn missing(&self) -> usize {
        self.layout.value_len - self.written
    }

    /// Changes when it expires, if it has room for that or it is the same; whether so it does.
    pub(crate) fn expire(&mut self, arena: &Arena, tick: u32) -> bool {
        if let Some(field) = self.layout.expires(arena, self.place.at) {
            field.store(tick, Ordering::Relaxed);
            self.meta.expires = tick;
        }
        self.meta.expires == tick
    }
}

/// What the table of an item says of a chunk.
pub(crate) fn chunk_entry(at: Location) -> u32 {
    u32::try_from(at / (CHUNK_ALIGN as u64 / 4)).expect("an arena of at most 256 GiB")
}
