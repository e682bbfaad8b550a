//! The segments nobody uses: never used, free again, or waiting for the last reader to leave.

use std::collections::VecDeque;

use super::arena::{Arena, SegmentId};
use crate::epoch::{Epoch, Stamp};
use crate::sync::{AtomicU32, Lock, Ordering};

#[derive(Debug)]
pub(crate) struct Pool {
    lists: Lock<Lists>,
    /// Segments in `lists`. Read by every writer, written once a segment.
    available: AtomicU32,
}

#[derive(Debug)]
struct Lists {
    /// Segments from this one on were never used: they are zero, and not even resident.
    fresh: SegmentId,
    end: SegmentId,
    free: Vec<SegmentId>,
    /// Unlinked, oldest first; a reader may still be in them.
    limbo: VecDeque<(Stamp, SegmentId)>,
}

impl Pool {
    pub(crate) fn new(segments: SegmentId) -> Pool {
        Pool {
            lists: Lock::new(Lists {
                fresh: 0,
                end: segments,
                free: Vec::with_capacity(segments as usize),
                limbo: VecDeque::with_capacity(64),
            }),
            available: AtomicU32::new(segments),
        }
    }

    /// How many segments are not in use.
    #[inline]
    pub(crate) fn available(&self) -> u32 {
        self.available.load(Ordering::Relaxed)
    }

    /// A segment to use, if more than `keep` are there; whatever was in it still is.
    pub(crate) fn take(&self, keep: u32, epoch: &Epoch) -> Option<SegmentId> {
        let (segment, _) = self.take_any(keep, epoch)?;
        Some(segment)
    }

    /// A segment to use, all zero.
    pub(crate) fn take_zeroed(&self, keep: u32, epoch: &Epoch, arena: &Arena) -> Option<SegmentId> {
        let (segment, fresh) = self.take_any(keep, epoch)?;
        if !fresh {
            arena.clear(segment);
        }
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
        let free = u32::try_from(lists.free.len()).unwrap_or(u32::MAX);
        free.saturating_add(lists.end - lists.fresh)
    }

    /// All segments in the pool, to recount.
    pub(crate) fn held(&self) -> Vec<SegmentId> {
        let lists = self.lists.lock();
        let waiting = lists.limbo.iter().map(|(_, segment)| *segment);
        (lists.fresh..lists.end).chain(lists.free.iter().copied()).chain(waiting).collect()
    }

    fn take_any(&self, keep: u32, epoch: &Epoch) -> Option<(SegmentId, bool)> {
        let mut lists = self.lists.lock();
        if self.available() <= keep {
            return None;
        }
        lists.leave_limbo(epoch);
        // What is resident already is used first.
        let taken = if let Some(segment) = lists.free.pop() {
            (segment, false)
        } else if lists.fresh < lists.end {
            lists.fresh += 1;
            (lists.fresh - 1, true)
        } else {
            return None;
        };
        self.available.fetch_sub(1, Ordering::Relaxed);
        Some(taken)
    }
}

impl Lists {
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
