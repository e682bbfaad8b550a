//! Figures: counted by each thread in lines of its own, added up when somebody asks.

use std::sync::OnceLock;

use crate::index::Slot;
use crate::memory::segment::TENANT_BITS;
use crate::sync::{AtomicU64, Ordering};

/// Figures of a tenant or of a whole store.
///
/// The counters only grow. What runs meanwhile may be counted in one and not yet in another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Items held, without flushed ones; an expired item counts until its memory is taken back.
    pub items: u64,
    /// Bytes in use: segments of items and ghosts, and the index. A store's also has the state it
    /// keeps of each segment.
    pub bytes: u64,
    /// Bytes of keys, values and item headers that are held, without what is dead.
    pub live_bytes: u64,
    /// The limit for `bytes`.
    pub max_bytes: u64,
    /// Keys that were looked up and found.
    pub hits: u64,
    /// Keys that were looked up and not found.
    pub misses: u64,
    /// Those of `misses` that met an expired item.
    pub expired_misses: u64,
    /// Those of `misses` that met an item which was flushed, as long as that has not been cleaned up.
    pub flushed_misses: u64,
    /// Items stored, by any command but a touch.
    pub sets: u64,
    /// Live items removed to make room.
    pub evictions: u64,
    /// Those of `evictions` that were never read.
    pub evicted_unread: u64,
    /// Expired items removed.
    pub expired: u64,
    /// Those of `expired` that were never read.
    pub expired_unread: u64,
    /// Live items removed by `delete`.
    pub deleted: u64,
    /// Items removed because of a flush. Grows as their memory is taken back.
    pub flushed: u64,
    /// Live items replaced by others of their key.
    pub replaced: u64,
    /// Items copied to keep them when their segment was taken back.
    pub relocated: u64,
}

/// What is counted as it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Hit,
    Miss,
    ExpiredMiss,
    FlushedMiss,
    Set,
    Evicted,
    EvictedUnread,
    Expired,
    ExpiredUnread,
    Deleted,
    Flushed,
    Replaced,
    Relocated,
}

const EVENTS: usize = Event::Relocated as usize + 1;

/// One tenant's events as one thread counted them.
#[derive(Debug, Default)]
pub(crate) struct Row([AtomicU64; EVENTS]);

impl Row {
    /// Counts. Only the thread whose row this is calls this: no other writes it.
    #[inline]
    pub(crate) fn add(&self, event: Event, count: u64) {
        let counter = &self.0[event as usize];
        counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    /// Counts the removal of the item of a slot, and why.
    pub(crate) fn removed(&self, why: Event, slot: Slot) {
        self.add(why, 1);
        match why {
            Event::Evicted if !slot.has(Slot::FETCHED) => self.add(Event::EvictedUnread, 1),
            Event::Expired if !slot.has(Slot::FETCHED) => self.add(Event::ExpiredUnread, 1),
            _ => {}
        }
    }

    pub(crate) fn get(&self, event: Event) -> u64 {
        self.0[event as usize].load(Ordering::Relaxed)
    }
}

/// A thread that has filled so many slots looks at the index's size: together they do so every so many
/// slots, a small part of what even a table of one page has to spare.
const FILLED_A_LOOK: u64 = 64;

/// Pages, made as they are needed.
type Block = Box<[OnceLock<Box<Page>>]>;

/// The rows of neighbouring tenants, on lines of one thread.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Page([Row; ROWS as usize]);

const ROWS: u32 = 16;

/// A thread's counters: a row for each tenant it has worked for, and for few others.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Block `n` has the pages `2^n - 1 .. 2^(n+1) - 1`, those that were needed so far.
    blocks: [OnceLock<Block>; BLOCKS],
    /// Slots of the index this thread filled, less those it emptied; below 0 it wraps around.
    filled: AtomicU64,
    /// Records this thread has looked at to make room, and bytes it has moved to keep them.
    looked: AtomicU64,
    moved: AtomicU64,
}

/// As many as the pages of all tenants there can be fill.
const BLOCKS: usize = (TENANT_BITS - ROWS.ilog2() + 1) as usize;

impl Counters {
    /// The row of a tenant, made with its neighbours when first asked for.
    #[inline]
    pub(crate) fn of(&self, tenant: u32) -> &Row {
        let (block, page, row) = place(tenant);
        let pages =
            self.blocks[block].get_or_init(|| (0..1 << block).map(|_| OnceLock::new()).collect());
        &pages[page].get_or_init(Box::default).0[row]
    }

    /// A slot of the index was filled. Returns whether it is time to look at the index's size.
    #[inline]
    pub(crate) fn filled_slot(&self) -> bool {
        let filled = self.filled.load(Ordering::Relaxed).wrapping_add(1);
        self.filled.store(filled, Ordering::Relaxed);
        filled.is_multiple_of(FILLED_A_LOOK)
    }

    /// A slot of the index was emptied.
    pub(crate) fn emptied_slot(&self) {
        self.filled.store(self.filled.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
    }

    /// Records were looked at to make room, and bytes moved to keep them.
    pub(crate) fn add_work(&self, looked: u64, moved: usize) {
        for (counter, count) in [(&self.looked, looked), (&self.moved, moved as u64)] {
            counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
        }
    }

    /// Records this thread has looked at so far, and bytes it has moved.
    #[cfg(test)]
    pub(crate) fn work(&self) -> [u64; 2] {
        [&self.looked, &self.moved].map(|counter| counter.load(Ordering::Relaxed))
    }

    fn existing(&self, tenant: u32) -> Option<&Row> {
        let (block, page, row) = place(tenant);
        self.blocks[block].get()?[page].get().map(|page| &page.0[row])
    }

    fn all(&self) -> impl Iterator<Item = &Row> {
        let pages = self.blocks.iter().filter_map(OnceLock::get).flatten();
        pages.filter_map(OnceLock::get).flat_map(|page| &page.0)
    }
}

/// The block of a tenant, the page in it, the row in that.
#[inline]
fn place(tenant: u32) -> (usize, usize, usize) {
    let (page, row) = (tenant / ROWS + 1, (tenant % ROWS) as usize);
    let block = page.ilog2();
    (block as usize, (page - (1 << block)) as usize, row)
}

impl Stats {
    /// Adds what threads counted: for one tenant, or for all.
    pub(crate) fn count<'a>(
        &mut self,
        threads: impl Iterator<Item = &'a Counters>,
        tenant: Option<u32>,
    ) {
        for counters in threads {
            match tenant {
                Some(tenant) => counters.existing(tenant).into_iter().for_each(|row| self.add(row)),
                None => counters.all().for_each(|row| self.add(row)),
            }
        }
    }

    fn add(&mut self, row: &Row) {
        self.hits += row.get(Event::Hit);
        self.misses += row.get(Event::Miss);
        self.expired_misses += row.get(Event::ExpiredMiss);
        self.flushed_misses += row.get(Event::FlushedMiss);
        self.sets += row.get(Event::Set);
        self.evictions += row.get(Event::Evicted);
        self.evicted_unread += row.get(Event::EvictedUnread);
        self.expired += row.get(Event::Expired);
        self.expired_unread += row.get(Event::ExpiredUnread);
        self.deleted += row.get(Event::Deleted);
        self.flushed += row.get(Event::Flushed);
        self.replaced += row.get(Event::Replaced);
        self.relocated += row.get(Event::Relocated);
    }
}

/// How many slots of the index are filled.
pub(crate) fn filled_slots<'a>(threads: impl Iterator<Item = &'a Counters>) -> u64 {
    // One thread may have emptied what another filled: only the sum means something, and while they
    // are at it even that may be below 0 for a moment.
    let sum = threads
        .fold(0_u64, |sum, counters| sum.wrapping_add(counters.filled.load(Ordering::Relaxed)));
    if sum > u64::MAX / 2 { 0 } else { sum }
}
