//! The segments nobody uses: never used, free again, or waiting for the last reader to leave; and those
//! that are withheld, since the store was told to take less than it was made for.

use std::collections::VecDeque;

use super::arena::{Arena, SegmentId};
use crate::epoch::{Epoch, Stamp};
use crate::sync::{AtomicU32, Lock, Ordering};

#[derive(Debug)]
pub(crate) struct Pool {
    lists: Lock<Lists>,
    /// Segments in `lists` but the withheld ones. Read by every writer, written once a segment.
    available: AtomicU32,
    /// The withheld ones, and those still to be.
    withheld: AtomicU32,
    excess: AtomicU32,
}

#[derive(Debug)]
struct Lists {
    /// Segments from this one on were never used: they are zero, and not even resident.
    fresh: SegmentId,
    end: SegmentId,
    free: Vec<SegmentId>,
    /// Unlinked, oldest first; a reader may still be in them.
    limbo: VecDeque<(Stamp, SegmentId)>,
    /// Not to be used, and not resident.
    withheld: Vec<SegmentId>,
}

impl Pool {
    pub(crate) fn new(segments: SegmentId) -> Pool {
        Pool {
            lists: Lock::new(Lists {
                fresh: 0,
                end: segments,
                free: Vec::with_capacity(segments as usize),
                limbo: VecDeque::with_capacity(64),
                withheld: Vec::new(),
            }),
            available: AtomicU32::new(segments),
            withheld: AtomicU32::new(0),
            excess: AtomicU32::new(0),
        }
    }

    /// How many segments are not in use.
    #[inline]
    pub(crate) fn available(&self) -> u32 {
        self.available.load(Ordering::Relaxed)
    }

    /// A segment to use, if more than `keep` are there; whatever was in it still is.
    pub(crate) fn take(&self, keep: u32, epoch: &Epoch) -> Option<SegmentId> {
        let mut lists = self.lists.lock();
        if self.available() <= keep {
            return None;
        }
        lists.leave_limbo(epoch);
        // What is resident already is used first.
        let segment = lists.free.pop().or_else(|| {
            let is_fresh = lists.fresh < lists.end;
            lists.fresh += u32::from(is_fresh);
            is_fresh.then(|| lists.fresh - 1)
        })?;
        self.available.fetch_sub(1, Ordering::Relaxed);
        Some(segment)
    }

    /// Takes a segment back that nothing refers to any more, but readers may still be in.
    pub(crate) fn give_back(&self, segment: SegmentId, epoch: &Epoch) {
        let stamp = epoch.stamp();
        let mut lists = self.lists.lock();
        lists.limbo.push_back((stamp, segment));
        self.available.fetch_add(1, Ordering::Relaxed);
    }

    /// How many segments can be taken at once: no reader is in them any more.
    pub(crate) fn ready(&self, epoch: &Epoch) -> u32 {
        let mut lists = self.lists.lock();
        lists.leave_limbo(epoch);
        lists.ready()
    }

    /// All segments in the pool, to recount.
    pub(crate) fn held(&self) -> Vec<SegmentId> {
        let lists = self.lists.lock();
        let waiting = lists.limbo.iter().map(|(_, segment)| *segment);
        let free = lists.free.iter().chain(&lists.withheld).copied();
        (lists.fresh..lists.end).chain(free).chain(waiting).collect()
    }

    /// The stamp of the segment that has waited longest for readers to leave, if one is waiting; never 0.
    pub(crate) fn oldest_waiting(&self, epoch: &Epoch) -> Option<u64> {
        let mut lists = self.lists.lock();
        lists.leave_limbo(epoch);
        lists.limbo.front().map(|(stamp, _)| stamp.0)
    }

    /// How many segments are withheld.
    pub(crate) fn withheld(&self) -> u32 {
        self.withheld.load(Ordering::Relaxed)
    }

    /// Withholds so many segments from now on, the ones in use as they are given back
    /// ([`withhold`](Self::withhold)).
    pub(crate) fn set_withheld(&self, wanted: u32) {
        let mut lists = self.lists.lock();
        let mut withheld = u32::try_from(lists.withheld.len()).unwrap_or(u32::MAX);
        while withheld > wanted
            && let Some(segment) = lists.withheld.pop()
        {
            lists.free.push(segment);
            self.available.fetch_add(1, Ordering::Relaxed);
            withheld -= 1;
        }
        self.withheld.store(withheld, Ordering::Relaxed);
        self.excess.store(wanted - withheld, Ordering::Relaxed);
    }

    /// Whether there are segments in use, or free, that are to be withheld.
    #[inline]
    pub(crate) fn is_excessive(&self) -> bool {
        self.excess.load(Ordering::Relaxed) > 0
    }

    /// Withholds a segment that is free, if one is to be and more than `keep` are free; whether it has.
    pub(crate) fn withhold(&self, keep: u32, epoch: &Epoch, arena: &Arena) -> bool {
        let mut lists = self.lists.lock();
        let excess = self.excess.load(Ordering::Relaxed);
        lists.leave_limbo(epoch);
        if excess == 0 || lists.ready() <= keep {
            return false;
        }
        let segment = if lists.fresh < lists.end {
            lists.end -= 1;
            lists.end
        } else {
            let Some(segment) = lists.free.pop() else { return false };
            arena.release(segment);
            segment
        };
        lists.withheld.push(segment);
        self.available.fetch_sub(1, Ordering::Relaxed);
        self.withheld.fetch_add(1, Ordering::Relaxed);
        self.excess.store(excess - 1, Ordering::Relaxed);
        true
    }
}

impl Lists {
    /// Segments that no reader is in.
    fn ready(&self) -> u32 {
        let free = u32::try_from(self.free.len()).unwrap_or(u32::MAX);
        free.saturating_add(self.end - self.fresh)
    }

    /// Frees the segments that the last reader has left.
    fn leave_limbo(&mut self, epoch: &Epoch) {
        while let Some(&(stamp, segment)) = self.limbo.front() {
            if !epoch.passed(stamp) {
                break;
            }
            self.limbo.pop_front();
            self.free.push(segment);
        }
    }
}
