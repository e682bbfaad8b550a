//! Appending to a log: a writer reserves bytes in an open segment, fills them, publishes them.
//!
//! An open segment is behind a lock that is held for a few instructions: long enough to take the next
//! bytes, not while they are written. A tenant has one open segment per queue; one that holds much has
//! several, and its threads spread over them.

use std::sync::OnceLock;

use super::arena::{Location, SegmentId};
use super::record::write_filler;
use super::segment::{Queue, Segments};
use crate::store::Shared;
use crate::sync::{Guard, Lock, Ordering};

/// A segment that is being filled, or none.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) segment: Option<SegmentId>,
    pub(crate) offset: usize,
    expiry: Expiry,
}

impl Default for Open {
    fn default() -> Open {
        Open { segment: None, offset: 0, expiry: Expiry { since: 0, bytes: [0; BUCKETS] } }
    }
}

impl Open {
    /// Begins to fill an empty segment.
    pub(crate) fn begin(&mut self, segment: SegmentId, tick: u32) {
        *self = Open { segment: Some(segment), offset: 0, ..Open::default() };
        self.expiry.since = tick;
    }

    /// Takes the next `len` bytes, if they are there; returns their offset.
    #[inline]
    pub(crate) fn take(&mut self, len: usize, segment_bytes: usize, expires: u32) -> Option<usize> {
        let offset = self.offset;
        if self.segment.is_none() || offset + len > segment_bytes {
            return None;
        }
        self.offset += len;
        if expires != super::record::NEVER {
            self.expiry.add(expires, len);
        }
        Some(offset)
    }

    /// Ends filling; what is known of the segment goes to its state. Returns the segment.
    #[allow(clippy::cast_possible_truncation, reason = "at most a segment")]
    pub(crate) fn seal(&mut self, segments: &Segments) -> Option<SegmentId> {
        let segment = self.segment.take()?;
        let about = segments.about(segment);
        about.stale_at.store(self.expiry.stale_at(self.offset), Ordering::Relaxed);
        about.len.store(self.offset as u32, Ordering::Release);
        Some(segment)
    }
}

/// When the bytes of a segment expire, in quarters of octaves of the time since it was opened.
#[derive(Debug)]
struct Expiry {
    since: u32,
    bytes: [u32; BUCKETS],
}

const BUCKETS: usize = 32 * 4;

/// A segment is stale when one in so many of its bytes has expired.
const STALE: usize = 8;

impl Expiry {
    #[allow(clippy::cast_possible_truncation, reason = "less than a segment")]
    fn add(&mut self, expires: u32, len: usize) {
        self.bytes[bucket(expires.saturating_sub(self.since))] += len as u32;
    }

    /// The tick by which one in [`STALE`] of `written` bytes has expired.
    fn stale_at(&self, written: usize) -> u32 {
        let mut expired = 0;
        for (number, bytes) in self.bytes.iter().enumerate() {
            expired += *bytes as usize;
            if expired * STALE >= written && expired > 0 {
                return self.since.saturating_add(bucket_end(number));
            }
        }
        u32::MAX
    }
}

/// The bucket of a time: its octave, and the two bits after the leading one.
fn bucket(ticks: u32) -> usize {
    let ticks = ticks.max(1);
    let octave = ticks.ilog2();
    let quarter = if octave >= 2 { ticks >> (octave - 2) & 3 } else { ticks << (2 - octave) & 3 };
    (octave * 4 + quarter) as usize
}

/// The first time after a bucket's.
#[allow(clippy::cast_possible_truncation, reason = "below 128")]
fn bucket_end(bucket: usize) -> u32 {
    let (octave, quarter) = (bucket as u32 / 4, bucket as u64 % 4);
    u32::try_from(((5 + quarter) << octave).div_ceil(4)).unwrap_or(u32::MAX)
}

impl Shared {
    /// Takes the next bytes of an open segment for a record, which is pending then; `None` if there
    /// is no segment, or it is full.
    pub(crate) fn take_from(&self, open: &mut Open, need: Need) -> Option<Place> {
        let Need { len, align, expires, .. } = need;
        let segment = open.segment?;
        // The location 0 is no item's: its slot could look like an empty one.
        let first = if segment == 0 { open.offset.max(4) } else { open.offset };
        let pad = first.next_multiple_of(align) - open.offset;
        let offset = open.take(pad + len, self.arena.segment_bytes(), expires)?;
        let about = self.segments.about(segment);
        about.taken.store(u32::try_from(open.offset).unwrap_or(u32::MAX), Ordering::Relaxed);
        if pad > 0 {
            #[allow(unsafe_code)]
            // SAFETY: just taken, like what follows it.
            unsafe {
                write_filler(&self.arena, self.arena.location(segment, offset), pad);
            }
            about.add_dead(pad);
        }
        about.reserve();
        Some(Place { segment, at: self.arena.location(segment, offset + pad) })
    }
}

/// A tenant's open segments. On lines of their own: what is beside them every get reads.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Stripes {
    first: [Lock<Open>; 2],
    /// For tenants that hold much: made when first asked for.
    more: OnceLock<Box<[[Lock<Open>; 2]]>>,
}

/// Open segments per queue, at most.
const MOST_STRIPES: u32 = 8;

/// A tenant gets another stripe for each so many segments it holds, so that what lies half filled
/// in open segments stays a small part of what it has.
const SEGMENTS_PER_STRIPE: u32 = 128;

impl Stripes {
    /// The open segment for a thread of a tenant that holds `segments` segments.
    #[inline]
    pub(crate) fn of(&self, queue: Queue, segments: u32, thread: u32) -> &Lock<Open> {
        let active = (segments / SEGMENTS_PER_STRIPE).clamp(1, MOST_STRIPES);
        let stripe = if active == 1 { 0 } else { thread % active };
        match stripe.checked_sub(1) {
            None => &self.first[queue as usize],
            Some(other) => &self.more()[other as usize][queue as usize],
        }
    }

    fn more(&self) -> &[[Lock<Open>; 2]] {
        if let Some(more) = self.more.get() {
            return more;
        }
        // Under a lock that `lock_all` takes: it must not overlook them.
        let _all = self.first[0].lock();
        self.more.get_or_init(|| (1..MOST_STRIPES).map(|_| Default::default()).collect())
    }

    /// All that exist, locked in order; no more come into existence meanwhile.
    pub(crate) fn lock_all(&self) -> Vec<(Queue, Guard<'_, Open>)> {
        let [small, main] = &self.first;
        let mut locked = vec![(Queue::Small, small.lock()), (Queue::Main, main.lock())];
        for [small, main] in self.more.get().into_iter().flatten() {
            locked.extend([(Queue::Small, small.lock()), (Queue::Main, main.lock())]);
        }
        locked
    }
}

/// A record that needs a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    pub(crate) queue: Queue,
    /// In bytes.
    pub(crate) len: usize,
    pub(crate) align: usize,
    /// The tick at which it expires.
    pub(crate) expires: u32,
}

/// Where a reserved record lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) segment: SegmentId,
    pub(crate) at: Location,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lies_before_the_end_of_its_bucket_and_not_before_the_end_of_the_one_before() {
        for ticks in (1..5_000).chain([1 << 20, (1 << 20) + 12_345, u32::MAX / 2]) {
            let bucket = bucket(ticks);
            assert!(ticks < bucket_end(bucket), "{ticks} in {bucket}");
            assert!(bucket == 0 || bucket_end(bucket - 1) <= ticks || ticks < 4, "{ticks}");
        }
    }

    #[test]
    fn an_eighth_has_expired_at_the_stale_tick() {
        let mut open = Open::default();
        open.begin(7, 1_000);
        for expires in [1_010, 1_100, 2_000, super::super::record::NEVER] {
            open.take(100, 8192, expires).unwrap();
        }
        let stale_at = open.expiry.stale_at(open.offset);
        assert!((1_010..1_014).contains(&stale_at), "{stale_at}");
    }
}
