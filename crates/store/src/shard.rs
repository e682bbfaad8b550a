//! One lock's worth of items.
//!
//! Owns its items, its index and its queue, and the account of their memory. Every change goes
//! through [`Shard::insert`], [`Shard::rewrite`] and [`Shard::remove`], which keep the three and the
//! account in step.

use std::time::Duration;

use bytes::Bytes;

use crate::index::Index;
use crate::queue::Queue;
use crate::slab::{CHUNK_BYTES, Entry, NEVER, NIL, Slab, allocation_bytes};
use crate::stats::Stats;
use crate::store::Item;

/// A key, its hash, and the time of the operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'k> {
    pub(crate) key: &'k [u8],
    pub(crate) hash: u64,
    pub(crate) now: u64,
}

/// What a new item has beside its key and value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meta {
    pub(crate) flags: u32,
    pub(crate) expires: u64,
    pub(crate) cas: u64,
}

/// There is no room, whatever is evicted.
#[derive(Debug)]
pub(crate) struct NoRoom;

/// Why an item leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Deleted,
    Replaced,
    /// Counted by the flush itself.
    Flushed,
    Expired,
    Evicted,
}

/// A part of a store, behind one lock.
#[derive(Debug)]
pub(crate) struct Shard {
    slab: Slab,
    index: Index,
    queue: Queue,
    /// Bytes charged; at most `budget`.
    used: usize,
    budget: usize,
    /// Items in the slab, dead ones included.
    held: usize,
    /// Those of `held` that were flushed.
    dead: usize,
    /// Items with a lower CAS number were flushed.
    flushed_below: u64,
    /// The counters; `items`, `bytes` and `max_bytes` are filled in by [`Shard::stats`].
    pub(crate) counters: Stats,
}

impl Shard {
    /// An empty shard that may use `budget` bytes.
    pub(crate) fn new(budget: usize) -> Shard {
        let index = Index::new(budget);
        Shard {
            slab: Slab::new(),
            used: size_of::<Shard>() + index.bytes(),
            index,
            queue: Queue::default(),
            budget,
            held: 0,
            dead: 0,
            flushed_below: 0,
            counters: Stats::default(),
        }
    }

    /// Makes every item dead. `next_cas` is the next CAS number to be handed out, higher than that of
    /// any item here because numbers are handed out under this shard's lock.
    pub(crate) fn flush(&mut self, next_cas: u64) {
        self.flushed_below = next_cas;
        self.counters.flushed += self.len() as u64;
        self.dead = self.held;
    }

    /// The live item of a key. A dead one met is removed.
    pub(crate) fn find(&mut self, at: &At<'_>) -> Option<u32> {
        let slot = self.index.find(&self.slab, at.hash, at.key);
        if slot == NIL {
            return None;
        }
        if let Some(reason) = self.cause_of_death(slot, at.now) {
            self.remove(slot, reason);
            return None;
        }
        Some(slot)
    }

    /// The item in a slot.
    pub(crate) fn entry(&self, slot: u32) -> &Entry {
        &self.slab[slot]
    }

    /// Notes that an item was read.
    pub(crate) fn mark_read(&mut self, slot: u32) {
        let entry = &mut self.slab[slot];
        (entry.visited, entry.read) = (true, true);
    }

    /// Sets when an item expires (Unix milliseconds).
    pub(crate) fn set_expiry(&mut self, slot: u32, expires: u64) {
        self.slab[slot].expires = expires;
    }

    /// Adds an item whose key is not here.
    pub(crate) fn insert(&mut self, at: &At<'_>, value: &[u8], meta: Meta) -> Result<(), NoRoom> {
        let bytes = allocation_bytes(at.key.len() + value.len());
        self.make_room(bytes, at.now)?;
        self.make_slot(bytes, at.now)?;
        let entry = Entry {
            data: concat([at.key, value, &[]]),
            key_bytes: u32::try_from(at.key.len()).map_err(|_| NoRoom)?,
            hash: at.hash,
            expires: meta.expires,
            cas: meta.cas,
            flags: meta.flags,
            ..Entry::default()
        };
        let slot = self.slab.take(entry).ok_or(NoRoom)?;
        self.index.insert(&mut self.slab, slot);
        self.queue.push(&mut self.slab, slot);
        self.used += bytes;
        self.held += 1;
        Ok(())
    }

    /// Gives an item the value `before`, then its old value if `keep`, then `after`; its flags and
    /// expiry stay. Without room the item is as it was.
    pub(crate) fn rewrite(
        &mut self,
        slot: u32,
        now: u64,
        (before, keep, after): (&[u8], bool, &[u8]),
        cas: u64,
    ) -> Result<(), NoRoom> {
        let entry = &self.slab[slot];
        let kept = if keep { entry.value().len() } else { 0 };
        let bytes = allocation_bytes(entry.key().len() + before.len() + kept + after.len());
        // Out of the queue it cannot be evicted. Its old data stays charged until the new exists.
        self.queue.remove(&mut self.slab, slot);
        let room = self.make_room(bytes, now);
        if room.is_ok() {
            let entry = &mut self.slab[slot];
            let old: &[u8] = if keep { entry.value() } else { &[] };
            // `before` and `after` are never both there.
            let data = match before {
                [] => concat([entry.key(), old, after]),
                before => concat([entry.key(), before, old]),
            };
            self.used += bytes;
            self.used -= entry.data_bytes();
            (entry.data, entry.cas) = (data, cas);
        }
        self.queue.push(&mut self.slab, slot);
        room
    }

    /// Removes an item.
    pub(crate) fn remove(&mut self, slot: u32, reason: Reason) {
        let entry = &self.slab[slot];
        match reason {
            Reason::Deleted => self.counters.deleted += 1,
            Reason::Replaced => self.counters.replaced += 1,
            Reason::Flushed => self.dead -= 1,
            Reason::Expired => self.counters.expired += 1,
            Reason::Evicted => {
                self.counters.evictions += 1;
                self.counters.evicted_unread += u64::from(!entry.read);
            }
        }
        self.used -= entry.data_bytes();
        self.held -= 1;
        self.queue.remove(&mut self.slab, slot);
        self.index.remove(&mut self.slab, slot);
        self.slab.release(slot);
    }

    /// Items that were not flushed.
    pub(crate) fn len(&self) -> usize {
        self.held - self.dead
    }

    /// The shard's figures.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            items: self.len() as u64,
            bytes: self.used as u64,
            max_bytes: self.budget as u64,
            ..self.counters
        }
    }

    /// Calls `f` with the key and item of every live item, from the newest to the oldest.
    pub(crate) fn for_each(&self, now: u64, f: &mut impl FnMut(&[u8], Item<'_>)) {
        let mut slot = self.queue.oldest();
        while slot != NIL {
            let entry = &self.slab[slot];
            if self.cause_of_death(slot, now).is_none() {
                f(entry.key(), item(entry, now));
            }
            slot = entry.newer;
        }
    }

    /// Recounts everything.
    pub(crate) fn validate(&self, next_cas: u64) -> Result<(), String> {
        let slots = self.queue.slots(&self.slab, self.held)?;
        let chained = self.index.count(&self.slab, self.held)?;
        let free = self.slab.count_free()?;
        let dead = slots.iter().filter(|&&slot| self.slab[slot].cas < self.flushed_below).count();
        let data: usize = slots.iter().map(|&slot| self.slab[slot].data_bytes()).sum();
        let used = size_of::<Shard>() + self.index.bytes() + self.slab.bytes() + data;
        same("items in the queue", slots.len(), self.held)?;
        same("items in the index", chained, self.held)?;
        same("slots", free + self.held, self.slab.slots())?;
        same("flushed items", dead, self.dead)?;
        same("bytes", used, self.used)?;
        if self.used > self.budget {
            return Err(format!("{} bytes used, {} allowed", self.used, self.budget));
        }
        let mut next_cas = next_cas;
        for slot in slots {
            let entry = &self.slab[slot];
            if self.index.find(&self.slab, entry.hash, entry.key()) != slot {
                return Err(format!("the key of slot {slot} does not lead to it"));
            }
            if entry.cas == 0 || entry.cas >= next_cas {
                return Err(format!("CAS number {} is not from before {next_cas}", entry.cas));
            }
            // The queue is in the order of the numbers: `flush` relies on it.
            next_cas = entry.cas;
        }
        Ok(())
    }

    /// Why an item is not live, if so.
    fn cause_of_death(&self, slot: u32, now: u64) -> Option<Reason> {
        let entry = &self.slab[slot];
        if entry.cas < self.flushed_below {
            Some(Reason::Flushed)
        } else if entry.expires <= now {
            Some(Reason::Expired)
        } else {
            None
        }
    }

    /// Removes items until `bytes` more can be charged.
    fn make_room(&mut self, bytes: usize, now: u64) -> Result<(), NoRoom> {
        while self.used.saturating_add(bytes) > self.budget {
            self.remove_one(now)?;
        }
        Ok(())
    }

    /// Removes the item that is the next to leave.
    fn remove_one(&mut self, now: u64) -> Result<(), NoRoom> {
        let slot = self.next_to_leave(now);
        if slot == NIL {
            return Err(NoRoom);
        }
        let reason = self.cause_of_death(slot, now).unwrap_or(Reason::Evicted);
        self.remove(slot, reason);
        Ok(())
    }

    /// Makes sure of a free slot beside `bytes` to be charged: by a new chunk if that fits, else by
    /// one removal. So slots never push items out in numbers.
    fn make_slot(&mut self, bytes: usize, now: u64) -> Result<(), NoRoom> {
        if !self.slab.is_full() {
            return Ok(());
        }
        if self.used + bytes + CHUNK_BYTES <= self.budget {
            self.slab.grow();
            self.used += CHUNK_BYTES;
            return Ok(());
        }
        self.remove_one(now)
    }

    /// The oldest item if it is dead (after a flush all the oldest are), else the queue's victim.
    fn next_to_leave(&mut self, now: u64) -> u32 {
        let oldest = self.queue.oldest();
        if oldest == NIL || self.cause_of_death(oldest, now).is_some() {
            return oldest;
        }
        let flushed_below = self.flushed_below;
        self.queue.victim(&mut self.slab, |slot, slab| {
            slab[slot].cas < flushed_below || slab[slot].expires <= now
        })
    }
}

/// An entry as callers see it.
pub(crate) fn item(entry: &Entry, now: u64) -> Item<'_> {
    let left = (entry.expires != NEVER).then(|| Duration::from_millis(entry.expires - now));
    Item { value: entry.value(), flags: entry.flags, cas: entry.cas, ttl: left, data: &entry.data }
}

/// Three parts in one allocation of exactly their size.
fn concat(parts: [&[u8]; 3]) -> Bytes {
    let mut data = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        data.extend_from_slice(part);
    }
    data.into()
}

fn same(what: &str, counted: usize, noted: usize) -> Result<(), String> {
    if counted == noted { Ok(()) } else { Err(format!("{what}: counted {counted}, noted {noted}")) }
}
