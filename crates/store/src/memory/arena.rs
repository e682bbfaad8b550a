//! One mapping of memory, cut into segments of equal size.
//!
//! The kernel is asked for huge pages: a lookup in a big store is two cache misses, and with 4 KiB
//! pages each of them is a TLB miss too. Memory that was never used is never touched, so a store
//! that is not full takes no more than what it holds.
//!
//! Bytes are reached by their [`Location`]: the distance from the start in units of 4 bytes, which
//! fits 40 bits of an index slot for arenas of up to 4 TiB.

#![allow(unsafe_code, reason = "raw memory is handled here, and only here")]

use std::ops::Range;
use std::ptr::NonNull;

use crate::index::{Bucket, Group};
use crate::sync::{AtomicU16, AtomicU32, AtomicU64, Ordering};

/// Where something lies in the arena, in units of 4 bytes from its start.
pub(crate) type Location = u64;

/// The number of a segment in its arena.
pub(crate) type SegmentId = u32;

/// No system has smaller pages.
const SMALL_PAGE: usize = 4096;

/// The kernel's huge page on the machines we know; the mapping is aligned to it.
const HUGE_PAGE: usize = 2 * 1024 * 1024;

/// The mapping.
#[derive(Debug)]
pub(crate) struct Arena {
    base: NonNull<u8>,
    bytes: usize,
    segment_shift: u32,
    mapping: Mapping,
}

// SAFETY: the arena is a range of memory without thread affinity. Who may write which bytes of it is
// the contract of the unsafe methods below.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    /// Reserves `segments` segments of `1 << segment_shift` bytes, all zero.
    pub(crate) fn new(segments: usize, segment_shift: u32) -> std::io::Result<Arena> {
        let bytes = segments << segment_shift;
        let mapping = Mapping::new(bytes)?;
        Ok(Arena { base: mapping.start(), bytes, segment_shift, mapping })
    }

    pub(crate) fn segments(&self) -> usize {
        self.bytes >> self.segment_shift
    }

    #[inline]
    pub(crate) fn segment_bytes(&self) -> usize {
        1 << self.segment_shift
    }

    /// Where `offset` bytes into `segment` lie.
    #[inline]
    pub(crate) fn location(&self, segment: SegmentId, offset: usize) -> Location {
        ((u64::from(segment) << self.segment_shift) + offset as u64) >> 2
    }

    /// The segment something lies in.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "an arena has fewer than 2^32 segments")]
    pub(crate) fn segment_of(&self, at: Location) -> SegmentId {
        (at >> (self.segment_shift - 2)) as SegmentId
    }

    /// How many bytes into its segment something lies.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "less than a segment")]
    pub(crate) fn offset_of(&self, at: Location) -> usize {
        (at << 2) as usize & (self.segment_bytes() - 1)
    }

    /// `len` bytes at `at` + `offset`.
    ///
    /// # Safety
    ///
    /// They are part of one record, and none of its atomic fields is among them. They were written
    /// before the caller learnt of them (through a slot of the index, or under the lock of their
    /// segment), nobody writes them while the slice lives, and the caller keeps their segment from
    /// being reused: it is pinned, or holds what reclaim needs.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a location is at most 40 bits")]
    pub(crate) unsafe fn bytes(&self, at: Location, offset: usize, len: usize) -> &[u8] {
        debug_assert!(self.has(at, offset, len));
        // SAFETY: records lie within the mapping; the bytes are initialised and unchanging (the
        // contract).
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(at as usize * 4 + offset), len) }
    }

    /// Copies `data` to `at` + `offset`.
    ///
    /// # Safety
    ///
    /// The caller alone has reserved these bytes and has not published them.
    #[inline]
    pub(crate) unsafe fn write(&self, at: Location, offset: usize, data: &[u8]) {
        let start = self.checked(at, offset, data.len());
        // SAFETY: within the mapping (checked), nobody else reads or writes there (the contract),
        // and `data` is outside what was reserved.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), start, data.len()) };
    }

    /// The 16-bit atomic at `at` + `offset`, for a field of a record that is only ever used so.
    #[inline]
    pub(crate) fn u16_at(&self, at: Location, offset: usize) -> &AtomicU16 {
        let start = self.checked(at, offset, 2).cast::<AtomicU16>();
        debug_assert!(start.is_aligned());
        // SAFETY: within the mapping and aligned; every bit pattern is a valid atomic.
        unsafe { &*start }
    }

    /// The 32-bit atomic at `at` + `offset`, for a field of a record that is only ever used so.
    #[inline]
    pub(crate) fn u32_at(&self, at: Location, offset: usize) -> &AtomicU32 {
        let start = self.checked(at, offset, 4).cast::<AtomicU32>();
        debug_assert!(start.is_aligned());
        // SAFETY: within the mapping and aligned; every bit pattern is a valid atomic.
        unsafe { &*start }
    }

    /// A whole segment as atomics, for pages of the index and of ghosts.
    #[inline]
    pub(crate) fn words(&self, segment: SegmentId) -> &[AtomicU64] {
        let start = self.checked(self.location(segment, 0), 0, self.segment_bytes());
        // SAFETY: within the mapping; segments are aligned to more than 8 bytes; every bit pattern
        // is a valid atomic.
        unsafe { std::slice::from_raw_parts(start.cast(), self.segment_bytes() / 8) }
    }

    /// A whole segment as buckets of the index.
    #[inline]
    pub(crate) fn buckets(&self, segment: SegmentId) -> &[Bucket] {
        let start = self.checked(self.location(segment, 0), 0, self.segment_bytes());
        // SAFETY: within the mapping; segments are aligned to more than a line; a bucket is eight
        // atomics, of which every bit pattern is valid.
        unsafe {
            std::slice::from_raw_parts(start.cast(), self.segment_bytes() / size_of::<Bucket>())
        }
    }

    /// A group of buckets of a segment, from bucket `first` on, a multiple of their number.
    #[inline]
    pub(crate) fn bucket_group(&self, segment: SegmentId, first: usize) -> &Group {
        let offset = first * size_of::<Bucket>();
        let start = self.checked(self.location(segment, 0), offset, size_of::<Group>());
        // SAFETY: as in `buckets`.
        unsafe { &*start.cast::<Group>() }
    }

    /// Has all of it handed out by the system now.
    pub(crate) fn take_all(&self) {
        // A write a page, of the zero that is there: nobody else uses the arena yet.
        for page in (0..self.bytes / SMALL_PAGE).map(|page| page * SMALL_PAGE) {
            self.u32_at(page as u64 / 4, 0).store(0, Ordering::Relaxed);
        }
    }

    /// Makes some bytes of a segment zero; they begin and end at multiples of 8.
    pub(crate) fn clear(&self, segment: SegmentId, bytes: Range<usize>) {
        for word in &self.words(segment)[bytes.start / 8..bytes.end / 8] {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// Gives the memory of a segment back to the system: it is taken anew, all zero, when it is next
    /// written. Nobody may use the segment.
    pub(crate) fn release(&self, segment: SegmentId) {
        let start = self.checked(self.location(segment, 0), 0, self.segment_bytes());
        #[cfg(all(target_os = "linux", not(miri)))]
        // SAFETY: within the mapping (checked), of which what is in use is only what the atomics of the
        // index and records say, and they say nothing of this segment. If the system refuses, the
        // memory just stays.
        let _ = unsafe {
            let advice = rustix::mm::Advice::LinuxDontNeed;
            rustix::mm::madvise(start.cast(), self.segment_bytes(), advice)
        };
        #[cfg(not(all(target_os = "linux", not(miri))))]
        let _ = start;
    }

    /// Asks for the lines of the first `bytes` of a record, one at least.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a location is at most 40 bits")]
    pub(crate) fn prefetch(&self, at: Location, bytes: usize) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let fetch = |offset: usize| {
                let start = self.base.as_ptr().wrapping_add(at as usize * 4 + offset);
                // SAFETY: a prefetch of any address is harmless.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(start.cast()) };
            };
            // Where a record ends in its line is not looked at, as that could not be predicted: asking for
            // the same line twice costs less.
            fetch(0);
            for line in 1..bytes / 64 {
                fetch(line * 64);
            }
            fetch(bytes - 1);
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = (at, bytes);
    }

    /// The address of `len` bytes at `at` + `offset`.
    ///
    /// # Panics
    ///
    /// When they are not all inside the arena: no fault elsewhere may read or write other memory.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a location is at most 40 bits")]
    fn checked(&self, at: Location, offset: usize, len: usize) -> *mut u8 {
        assert!(self.has(at, offset, len), "outside the arena");
        // SAFETY: within the mapping, as just checked.
        unsafe { self.base.as_ptr().add(at as usize * 4 + offset) }
    }

    /// Whether `len` bytes at `at` + `offset` are all inside.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a location is at most 40 bits")]
    fn has(&self, at: Location, offset: usize, len: usize) -> bool {
        at as usize * 4 + offset + len <= self.bytes
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.mapping.release();
    }
}

/// Zeroed memory from the kernel, aligned to a huge page.
#[cfg(all(unix, not(miri)))]
#[derive(Debug)]
struct Mapping {
    /// As mapped, with room to align.
    all: NonNull<u8>,
    all_bytes: usize,
}

#[cfg(all(unix, not(miri)))]
impl Mapping {
    fn new(bytes: usize) -> std::io::Result<Mapping> {
        use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
        let all_bytes = bytes.next_multiple_of(4096) + HUGE_PAGE;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new private mapping at an address of the kernel's choice touches nothing else.
        let all = unsafe {
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
            mmap_anonymous(std::ptr::null_mut(), all_bytes, access, flags)?
        };
        let all = NonNull::new(all.cast()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        let mapping = Mapping { all, all_bytes };
        #[cfg(target_os = "linux")]
        if bytes >= HUGE_PAGE {
            // Whether there are huge pages is the kernel's business: without them it is only slower.
            // SAFETY: the range is ours; the advice does not change what it holds.
            let _ = unsafe {
                let start = mapping.start().as_ptr().cast();
                rustix::mm::madvise(start, bytes, rustix::mm::Advice::LinuxHugepage)
            };
        }
        Ok(mapping)
    }

    fn start(&self) -> NonNull<u8> {
        let pad = self.all.align_offset(HUGE_PAGE);
        // SAFETY: the mapping has room for the padding.
        unsafe { self.all.add(pad) }
    }

    fn release(&mut self) {
        // SAFETY: mapped by `new`, released once, and nothing borrows the arena any more.
        let _ = unsafe { rustix::mm::munmap(self.all.as_ptr().cast(), self.all_bytes) };
    }
}

/// Zeroed memory from the allocator, where there is no `mmap`.
#[cfg(not(all(unix, not(miri))))]
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    layout: std::alloc::Layout,
}

#[cfg(not(all(unix, not(miri))))]
impl Mapping {
    fn new(bytes: usize) -> std::io::Result<Mapping> {
        let layout = std::alloc::Layout::from_size_align(bytes.max(1), HUGE_PAGE)
            .map_err(|_| std::io::ErrorKind::OutOfMemory)?;
        // SAFETY: the layout's size is not zero.
        let start = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) })
            .ok_or(std::io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { start, layout })
    }

    fn start(&self) -> NonNull<u8> {
        self.start
    }

    fn release(&mut self) {
        // SAFETY: allocated by `new` with this layout, released once.
        unsafe { std::alloc::dealloc(self.start.as_ptr(), self.layout) };
    }
}
