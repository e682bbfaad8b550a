//! A tenant: what belongs to it, and how much it may have.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::memory::arena::{Arena, SegmentId};
use crate::memory::log::Stripes;
use crate::memory::segment::Queue;
use crate::policy::ghost::Ghosts;
use crate::reclaim::Reclaim;
use crate::store::Shared;
use crate::sync::{AtomicU32, AtomicU64, Lock, Ordering};

/// What a tenant is guaranteed and what it may reach, in bytes of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Below this nothing is taken from the tenant for the sake of others. All floors together
    /// should not exceed the store.
    pub floor_bytes: usize,
    /// Beyond this the tenant makes room by evicting its own items. Fewer than four segments (of
    /// 8 KiB to 1 MiB, by the size of the store) mean four.
    pub ceiling_bytes: usize,
}

impl Limits {
    /// A tenant that may use whatever is free, and is guaranteed nothing.
    pub const NONE: Limits = Limits { floor_bytes: 0, ceiling_bytes: usize::MAX };
}

/// One user of a [`Store`](crate::Store): its keys are its own. Clones are the same tenant.
///
/// All commands are here. They may be called from any number of threads.
#[derive(Clone)]
pub struct Tenant {
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: Arc<TenantState>,
}

/// What the store knows of a tenant. Together with what hangs on it, less than 4 KiB while empty.
#[derive(Debug)]
pub(crate) struct TenantState {
    /// Never 0, never used again.
    pub(crate) id: u32,
    /// Items in segments opened before this are flushed.
    pub(crate) flushed_before: AtomicU64,
    /// Uses of items in small segments opened at or after this do not count.
    pub(crate) window: AtomicU64,
    /// The tick at which everything is to be flushed; `u32::MAX`: none is planned.
    pub(crate) flush_at: AtomicU32,
    pub(crate) floor: AtomicU32,
    pub(crate) ceiling: AtomicU32,
    /// Segments held: queues, open ones, ghosts, and the one being reclaimed.
    pub(crate) segments: AtomicU32,
    pub(crate) stripes: Stripes,
    pub(crate) queues: Lock<Queues>,
    pub(crate) wasteful: Lock<Wasteful>,
    /// Whether the tenant was removed, and nothing more is stored for it.
    pub(crate) removed: AtomicU32,
    pub(crate) reclaim: Lock<Reclaim>,
    pub(crate) ghosts: Ghosts,
}

/// Sealed segments of which much is dead, by how much; some may not be there any more.
#[derive(Debug, Default)]
pub(crate) struct Wasteful([VecDeque<SegmentId>; WASTE_CLASSES]);

/// Classes of waste: a quarter of a segment, half, three quarters, all of it.
const WASTE_CLASSES: usize = 4;

/// Entries of a class looked at for each segment chosen, which is more than come to it meanwhile.
const TIDIED: usize = 4;

impl Wasteful {
    /// The class of a segment of `len` bytes of which `waste` are dead, if that is worth anything.
    #[inline]
    pub(crate) fn class(waste: u32, len: u32) -> Option<usize> {
        let quarters = (waste * 4).checked_div(len)?.min(4);
        quarters.checked_sub(1).map(|class| class as usize)
    }

    pub(crate) fn push(&mut self, class: usize, segment: SegmentId) {
        self.0[class].push_back(segment);
    }

    /// One of the most wasteful, with its class.
    pub(crate) fn pop(&mut self) -> Option<(usize, SegmentId)> {
        let (class, segments) =
            self.0.iter_mut().enumerate().rfind(|(_, list)| !list.is_empty())?;
        segments.pop_back().map(|segment| (class, segment))
    }

    /// Looks at some of the oldest entries of each class, and drops those that `is_there` says no to:
    /// a segment leaves one in each class it passes through.
    pub(crate) fn tidy(&mut self, is_there: impl Fn(usize, SegmentId) -> bool) {
        for (class, segments) in self.0.iter_mut().enumerate() {
            for _ in 0..TIDIED.min(segments.len()) {
                if let Some(segment) = segments.pop_front()
                    && is_there(class, segment)
                {
                    segments.push_back(segment);
                }
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0 = Default::default();
    }
}

/// The sealed segments of a tenant.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    small: Fifo,
    main: Fifo,
    /// Where the search for segments that are mostly dead goes on.
    pub(crate) hand: usize,
}

/// Segments, oldest first.
#[derive(Debug)]
struct Fifo {
    entries: VecDeque<SegmentId>,
    /// Entries ever taken from the front: a place in the queue is counted from the first of all.
    taken: u64,
    /// Entries that are not [`GONE`].
    segments: usize,
}

impl Default for Fifo {
    fn default() -> Fifo {
        // Half way: segments are put in front of the first, too.
        Fifo { entries: VecDeque::new(), taken: 1 << 63, segments: 0 }
    }
}

impl Fifo {
    fn entry(&mut self, place: u64) -> Option<&mut SegmentId> {
        let index = usize::try_from(place.checked_sub(self.taken)?).ok()?;
        self.entries.get_mut(index)
    }
}

/// In the place of a segment that was taken out of the middle of its queue.
pub(crate) const GONE: SegmentId = SegmentId::MAX;

impl Queues {
    fn of(&mut self, queue: Queue) -> &mut Fifo {
        match queue {
            Queue::Small => &mut self.small,
            Queue::Main => &mut self.main,
        }
    }

    /// Adds the youngest; returns its place.
    pub(crate) fn push(&mut self, queue: Queue, segment: SegmentId) -> u64 {
        let fifo = self.of(queue);
        fifo.entries.push_back(segment);
        fifo.segments += 1;
        fifo.taken + fifo.entries.len() as u64 - 1
    }

    /// Takes the oldest out.
    pub(crate) fn pop(&mut self, queue: Queue) -> Option<SegmentId> {
        let fifo = self.of(queue);
        loop {
            let segment = fifo.entries.pop_front()?;
            fifo.taken += 1;
            if segment != GONE {
                fifo.segments -= 1;
                return Some(segment);
            }
        }
    }

    /// Segments in a queue.
    pub(crate) fn len(&self, queue: Queue) -> usize {
        match queue {
            Queue::Small => self.small.segments,
            Queue::Main => self.main.segments,
        }
    }

    /// Closes the gaps that segments taken out have left, once they are as many as the segments;
    /// tells the new place of each.
    pub(crate) fn close_gaps(&mut self, moved: impl Fn(SegmentId, u64)) {
        for fifo in [&mut self.small, &mut self.main] {
            if fifo.entries.len() > 2 * fifo.segments + 64 {
                fifo.entries.retain(|segment| *segment != GONE);
                for (place, segment) in (fifo.taken..).zip(&fifo.entries) {
                    moved(*segment, place);
                }
            }
        }
    }

    /// Entries of both queues, for [`segment_at`](Self::segment_at).
    pub(crate) fn entries(&self) -> usize {
        self.main.entries.len() + self.small.entries.len()
    }

    /// The segment of an entry, or [`GONE`].
    pub(crate) fn segment_at(&self, entry: usize) -> SegmentId {
        let main = self.main.entries.len();
        match entry.checked_sub(main) {
            None => self.main.entries[entry],
            Some(small) => self.small.entries[small],
        }
    }

    /// Takes a segment out of its place; whether it was there.
    pub(crate) fn take_out(&mut self, queue: Queue, place: u64, segment: SegmentId) -> bool {
        let fifo = self.of(queue);
        match fifo.entry(place) {
            Some(entry) if *entry == segment => *entry = GONE,
            _ => return false,
        }
        fifo.segments -= 1;
        true
    }

    /// Puts a segment where one was taken out, or where the oldest are if its place has gone by;
    /// returns its place.
    pub(crate) fn put(&mut self, queue: Queue, place: u64, segment: SegmentId) -> u64 {
        let fifo = self.of(queue);
        fifo.segments += 1;
        match fifo.entry(place) {
            Some(entry) if *entry == GONE => {
                *entry = segment;
                place
            }
            _ => {
                fifo.entries.push_front(segment);
                fifo.taken -= 1;
                fifo.taken
            }
        }
    }

    /// The oldest of the `newest` youngest segments of the small queue.
    pub(crate) fn nth_youngest_small(&self, newest: usize) -> Option<SegmentId> {
        let entries = &self.small.entries;
        let segment = entries.len().checked_sub(newest).map(|index| entries[index])?;
        (segment != GONE).then_some(segment)
    }

    /// All segments there are, emptying both queues.
    pub(crate) fn take_all(&mut self) -> [VecDeque<SegmentId>; 2] {
        self.hand = 0;
        [std::mem::take(&mut self.small).entries, std::mem::take(&mut self.main).entries]
    }

    /// All segments there are, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = SegmentId> {
        let entries = self.small.entries.iter().chain(&self.main.entries);
        entries.copied().filter(|segment| *segment != GONE)
    }
}

impl TenantState {
    pub(crate) fn new(id: u32, shared: &Shared, limits: Limits) -> TenantState {
        let state = TenantState {
            id,
            flushed_before: AtomicU64::new(0),
            window: AtomicU64::new(0),
            flush_at: AtomicU32::new(u32::MAX),
            floor: AtomicU32::new(0),
            ceiling: AtomicU32::new(0),
            segments: AtomicU32::new(0),
            stripes: Stripes::default(),
            queues: Lock::default(),
            wasteful: Lock::default(),
            removed: AtomicU32::new(0),
            reclaim: Lock::default(),
            ghosts: Ghosts::new(most_ghost_pages(shared, limits)),
        };
        state.set_limits(shared, limits);
        state
    }

    /// Changes the limits; what is too much is taken back as the tenant stores.
    pub(crate) fn set_limits(&self, shared: &Shared, limits: Limits) {
        let bytes = shared.arena.segment_bytes();
        let segments = |segments: usize| u32::try_from(segments).unwrap_or(u32::MAX);
        self.floor.store(segments(limits.floor_bytes.div_ceil(bytes)), Ordering::Relaxed);
        // Two open segments and two to turn over: with fewer nothing could be evicted.
        self.ceiling.store(segments(limits.ceiling_bytes / bytes).max(4), Ordering::Relaxed);
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::SeqCst) != 0
    }

    /// Segments held.
    #[inline]
    pub(crate) fn held(&self) -> u32 {
        self.segments.load(Ordering::Relaxed)
    }

    /// The largest item a tenant with this ceiling can hold beside its successor, with what chunks
    /// take.
    pub(crate) fn most_item_bytes(&self, arena: &Arena) -> usize {
        let segments = self.ceiling.load(Ordering::Relaxed).saturating_sub(2) / 2;
        (segments as usize).saturating_mul(arena.segment_bytes() / 5 * 4)
    }

    /// Segments held beyond what the tenant is guaranteed.
    pub(crate) fn over_floor(&self) -> u32 {
        self.held().saturating_sub(self.floor.load(Ordering::Relaxed))
    }

    /// Whether the tenant must evict its own items to store more.
    #[inline]
    pub(crate) fn at_ceiling(&self) -> bool {
        self.held() >= self.ceiling.load(Ordering::Relaxed)
    }

    /// Whether it must do so to get so many segments.
    pub(crate) fn is_beyond_ceiling_with(&self, segments: u32) -> bool {
        self.held().saturating_add(segments) > self.ceiling.load(Ordering::Relaxed)
    }

    /// Whether it must do so soon.
    #[inline]
    pub(crate) fn is_near_ceiling(&self) -> bool {
        self.held() + 1 >= self.ceiling.load(Ordering::Relaxed)
    }
}

/// A ghost for each item of 48 bytes is more than any cache of real items needs.
fn most_ghost_pages(shared: &Shared, limits: Limits) -> usize {
    let bytes = limits.ceiling_bytes.min(shared.arena.segments() * shared.arena.segment_bytes());
    (bytes / 48 * 2).div_ceil(shared.arena.segment_bytes())
}

impl std::fmt::Debug for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Figures, not contents: cached values do not belong in a log.
        f.debug_struct("Tenant").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
