//! What is known of each segment.
//!
//! `owners` is dense, eight bytes a segment, because every lookup reads it: it names the tenant whose
//! items are in the segment, so that items need no field for it, and the segment's sequence number,
//! which is never reused and so tells whether a tenant was flushed since. The rest of a segment's
//! state is in `about`, which only writers and reclaim touch.

use super::arena::SegmentId;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Sequence numbers fit this many bits: 2^41 segments of 32 KiB are two years of writes at 1 GB/s, and the
/// smallest, of 8 KiB, half a year.
pub(crate) const SEQ_BITS: u32 = 41;

/// The owner of a segment: a tenant and a queue of it, and which use of the segment this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner(u64);

/// Above the sequence number and the bit of the queue.
const TENANT_SHIFT: u32 = SEQ_BITS + 1;

/// The numbers of tenants fit this many bits.
pub(crate) const TENANT_BITS: u32 = 64 - TENANT_SHIFT;

impl Owner {
    /// Of segments that hold no items.
    pub(crate) const NOBODY: Owner = Owner(0);

    pub(crate) fn new(tenant: u32, queue: Queue, seq: u64) -> Owner {
        debug_assert!(seq < 1 << SEQ_BITS && tenant < 1 << TENANT_BITS);
        Owner(u64::from(tenant) << TENANT_SHIFT | seq << 1 | queue as u64)
    }

    /// Whether this is a segment of `tenant`, opened at or after `since`.
    #[inline]
    pub(crate) fn is(self, tenant: u32, since: u64) -> bool {
        let first = u64::from(tenant) << TENANT_SHIFT | since << 1;
        self.0 >= first && self.0 >> TENANT_SHIFT == u64::from(tenant)
    }

    #[allow(clippy::cast_possible_truncation, reason = "22 bits are left")]
    pub(crate) fn tenant(self) -> u32 {
        (self.0 >> TENANT_SHIFT) as u32
    }

    #[inline]
    pub(crate) fn queue(self) -> Queue {
        if self.0 & 1 == Queue::Small as u64 { Queue::Small } else { Queue::Main }
    }

    #[inline]
    pub(crate) fn seq(self) -> u64 {
        self.0 >> 1 & ((1 << SEQ_BITS) - 1)
    }
}

/// Which of a tenant's two FIFO queues a segment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queue {
    /// Where new items go on trial.
    Small = 0,
    /// Where items go that were used in the small queue, or are remembered from it.
    Main = 1,
}

/// The state of one segment. A line of its own: two segments' writers must not share one.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct About {
    /// Bytes written so far, set when the segment is sealed.
    pub(crate) len: AtomicU32,
    /// Bytes taken so far, for figures: also while it is open.
    pub(crate) taken: AtomicU32,
    /// The tick at which much of it will have expired (see `log::Open`); `u32::MAX`: never.
    pub(crate) stale_at: AtomicU32,
    /// A [`Usage`].
    usage: AtomicU64,
    /// Its place in its queue: see `tenant::Queues`. Written under the lock of the queues.
    pub(crate) place: AtomicU64,
}

impl About {
    /// A record has been reserved; until it is published or given up the segment is not scanned.
    #[inline]
    pub(crate) fn reserve(&self) {
        self.usage.fetch_add(Usage::PENDING, Ordering::Relaxed);
    }

    /// A reserved record is an item now.
    #[inline]
    pub(crate) fn publish_item(&self) {
        self.usage.fetch_sub(Usage::PENDING - Usage::ITEM, Ordering::Release);
    }

    /// A reserved record is part of an item now.
    pub(crate) fn publish_part(&self) {
        self.usage.fetch_sub(Usage::PENDING, Ordering::Release);
    }

    /// A reserved record of `len` bytes is nothing. Returns the usage before.
    pub(crate) fn give_up(&self, len: usize) -> Usage {
        Usage(self.usage.fetch_sub(Usage::PENDING - len as u64, Ordering::Release))
    }

    /// An item whose record has `len` bytes is no longer referred to. Returns the usage before.
    #[inline]
    pub(crate) fn remove_item(&self, len: usize) -> Usage {
        Usage(self.usage.fetch_sub(Usage::ITEM - len as u64, Ordering::Relaxed))
    }

    /// A part of `len` bytes of a removed item, or a filler. Returns the usage before.
    pub(crate) fn add_dead(&self, len: usize) -> Usage {
        Usage(self.usage.fetch_add(len as u64, Ordering::Relaxed))
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage(self.usage.load(Ordering::Acquire))
    }
}

/// How a segment's bytes are used, in one word so that each change is one instruction: bytes of
/// records nothing refers to (24 bits), items (20), and reserved records not yet published (20).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage(u64);

impl Usage {
    const ITEM: u64 = 1 << 24;
    const PENDING: u64 = 1 << 44;

    #[allow(clippy::cast_possible_truncation, reason = "24 bits")]
    pub(crate) fn dead_bytes(self) -> u32 {
        (self.0 & (Usage::ITEM - 1)) as u32
    }

    #[allow(clippy::cast_possible_truncation, reason = "20 bits")]
    pub(crate) fn items(self) -> u32 {
        (self.0 >> 24) as u32 & 0xf_ffff
    }

    #[allow(clippy::cast_possible_truncation, reason = "20 bits")]
    pub(crate) fn pending(self) -> u32 {
        (self.0 >> 44) as u32
    }
}

/// The states of all segments.
#[derive(Debug)]
pub(crate) struct Segments {
    owners: Box<[AtomicU64]>,
    about: Box<[About]>,
    next_seq: AtomicU64,
}

/// What the states take per segment, in bytes.
pub(crate) const STATE_BYTES: usize = size_of::<AtomicU64>() + size_of::<About>();

impl Segments {
    pub(crate) fn new(count: usize) -> Segments {
        Segments {
            owners: (0..count).map(|_| AtomicU64::new(0)).collect(),
            about: (0..count).map(|_| About::default()).collect(),
            next_seq: AtomicU64::new(1),
        }
    }

    /// Gives a free segment to a tenant's queue, under a new sequence number.
    pub(crate) fn open(&self, segment: SegmentId, tenant: u32, queue: Queue) -> u64 {
        let seq = self.next_seq.fetch_add(1, Ordering::Relaxed);
        // Beyond, the segment would be another tenant's.
        assert!(
            seq < 1 << SEQ_BITS,
            "a store has filled 2^{SEQ_BITS} segments, and can fill no more"
        );
        let about = self.about(segment);
        about.len.store(0, Ordering::Relaxed);
        about.taken.store(0, Ordering::Relaxed);
        about.usage.store(0, Ordering::Relaxed);
        about.stale_at.store(u32::MAX, Ordering::Relaxed);
        // Released by the slots that will refer to items in it.
        self.owners[segment as usize].store(Owner::new(tenant, queue, seq).0, Ordering::Release);
        seq
    }

    /// Takes a segment from its owner: nothing in it is anyone's item any more.
    pub(crate) fn close(&self, segment: SegmentId) {
        self.owners[segment as usize].store(Owner::NOBODY.0, Ordering::Release);
    }

    #[inline]
    pub(crate) fn owner(&self, segment: SegmentId) -> Owner {
        Owner(self.owners[segment as usize].load(Ordering::Acquire))
    }

    #[inline]
    pub(crate) fn about(&self, segment: SegmentId) -> &About {
        &self.about[segment as usize]
    }

    /// All segments with their owners, [`Owner::NOBODY`] included.
    pub(crate) fn owners(&self) -> impl Iterator<Item = (SegmentId, Owner)> {
        (0..).zip(self.owners.iter().map(|owner| Owner(owner.load(Ordering::Acquire))))
    }

    /// Uses up a number: no segment will have it, and it is later than all there are.
    pub(crate) fn skip_seq(&self) -> u64 {
        self.next_seq.fetch_add(1, Ordering::Relaxed)
    }

    /// The number that the next segment opened will have, or a later one.
    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq.load(Ordering::Relaxed)
    }
}
