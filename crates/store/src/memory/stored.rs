//! An item in the arena, to be read.

#![allow(unsafe_code, reason = "reads raw memory through the arena")]

use super::arena::{Arena, Location};
use super::record::{
    CHUNK_ALIGN, CHUNK_HEADER, Layout, Meta, NEVER, Sizes, accessed_minute, accessed_tick,
};
use crate::sync::Ordering;
use crate::time::{MINUTE, minute, minutes_since};

/// An item that is there to stay for `'a`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stored<'a> {
    arena: &'a Arena,
    chunk: usize,
    pub(crate) at: Location,
    pub(crate) layout: Layout,
}

impl<'a> Stored<'a> {
    /// The item at `at`.
    ///
    /// # Safety
    ///
    /// An item was published at `at`, and its memory is not reused while `'a` lasts. That is so if
    /// the location was read from the index and since before that and throughout `'a` the thread is
    /// pinned, or if the caller scans a segment that it alone may give back.
    #[inline]
    pub(crate) unsafe fn new(arena: &'a Arena, at: Location, sizes: Sizes) -> Stored<'a> {
        // SAFETY: passed on.
        let layout = unsafe { Layout::read(arena, at, sizes) };
        Stored { arena, chunk: sizes.chunk, at, layout }
    }

    #[inline]
    pub(crate) fn key(&self) -> &'a [u8] {
        // SAFETY: published with the item, and there to stay (`new`).
        unsafe { self.arena.bytes(self.at, self.layout.key_at(), self.layout.key_len) }
    }

    /// Whether this is its key.
    #[inline]
    pub(crate) fn has_key(&self, key: &[u8]) -> bool {
        self.layout.key_len == key.len() && are_equal(self.key(), key)
    }

    pub(crate) fn flags(&self) -> u32 {
        // SAFETY: there is an item (`new`).
        unsafe { self.layout.flags(self.arena, self.at) }
    }

    /// The CAS number it carries, if it is not the one its place gives.
    pub(crate) fn written_cas(&self) -> Option<u64> {
        // SAFETY: there is an item (`new`).
        unsafe { self.layout.cas(self.arena, self.at) }
    }

    /// The tick at which it expires, or [`NEVER`].
    #[inline]
    pub(crate) fn expires(&self) -> u32 {
        let expires = self.layout.expires(self.arena, self.at);
        expires.map_or(NEVER, |tick| tick.load(Ordering::Relaxed))
    }

    /// Changes when it expires, if it has room for that; whether it has.
    pub(crate) fn set_expires(&self, tick: u32) -> bool {
        let expires = self.layout.expires(self.arena, self.at);
        expires.map(|expires| expires.store(tick, Ordering::Relaxed)).is_some()
    }

    /// When it was last accessed, as its header keeps it.
    #[inline]
    pub(crate) fn accessed(&self) -> Accessed {
        Accessed(if self.layout.has_expiry() {
            accessed_tick(self.arena, self.at).load(Ordering::Relaxed)
        } else {
            accessed_minute(self.arena, self.at).load(Ordering::Relaxed).into()
        })
    }

    /// Notes an access, at most once a minute. Returns the one before that is known.
    #[inline]
    pub(crate) fn set_accessed(&self, tick: u32) -> Accessed {
        let last = self.accessed();
        if self.layout.has_expiry() {
            if tick.wrapping_sub(last.0) >= MINUTE {
                accessed_tick(self.arena, self.at).store(tick, Ordering::Relaxed);
            }
        } else if u32::from(minute(tick)) != last.0 {
            accessed_minute(self.arena, self.at).store(minute(tick), Ordering::Relaxed);
        }
        last
    }

    /// The ticks that have passed at a tick since an access to it.
    pub(crate) fn idle(&self, accessed: Accessed, tick: u32) -> u32 {
        if self.layout.has_expiry() {
            tick.saturating_sub(accessed.0)
        } else {
            minutes_since(accessed.0, tick) * MINUTE
        }
    }

    /// What is stored with the value.
    pub(crate) fn meta(&self) -> Meta {
        Meta {
            flags: self.flags(),
            expires: self.expires(),
            cas: self.written_cas(),
            accessed: self.accessed().tick(self.layout.has_expiry()),
        }
    }

    #[inline]
    pub(crate) fn value(&self) -> Value<'a> {
        if self.layout.chunks > 0 {
            return Value(Parts::Chunks(*self));
        }
        // SAFETY: as in `key`.
        Value(Parts::Whole(unsafe {
            self.arena.bytes(self.at, self.layout.value_at(), self.layout.value_len)
        }))
    }

    /// Where a chunk lies, if it has so many.
    pub(crate) fn chunk_at(&self, number: usize) -> Option<Location> {
        if number >= self.layout.chunks {
            return None;
        }
        let entry = self.layout.chunk(self.arena, self.at, number);
        // Acquire: whoever moved the chunk wrote its bytes before.
        Some(u64::from(entry.load(Ordering::Acquire)) * (CHUNK_ALIGN as u64 / 4))
    }

    /// Where its chunks lie, with the bytes of the value in each.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = (Location, usize)> + use<'a> {
        let stored = *self;
        (0..).map_while(move |number| {
            let at = stored.chunk_at(number)?;
            Some((at, stored.chunk.min(stored.layout.value_len - number * stored.chunk)))
        })
    }

    fn chunk_slices(self) -> impl Iterator<Item = &'a [u8]> {
        // SAFETY: chunks are published with their item, and moved ones before the table says so; a
        // chunk's old place stays as long as the item's would (`new`).
        self.chunks().map(move |(at, len)| unsafe { self.arena.bytes(at, CHUNK_HEADER, len) })
    }
}

/// When an item was last accessed: a tick if it may expire, or else a minute. One word, because it is
/// copied with every lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accessed(u32);

impl Accessed {
    fn tick(self, is_tick: bool) -> u32 {
        if is_tick { self.0 } else { self.0 * MINUTE + 1 }
    }
}

/// Whether two slices of the same length are equal. Keys are short: comparing their first and last
/// bytes as words is cheaper than a call.
#[inline]
fn are_equal(one: &[u8], other: &[u8]) -> bool {
    match one.len() {
        16..=32 => ends::<16>(one) == ends::<16>(other),
        8..16 => ends::<8>(one) == ends::<8>(other),
        _ => one == other,
    }
}

/// The first and the last `N` bytes, of a slice that has as many.
#[inline]
fn ends<const N: usize>(bytes: &[u8]) -> Option<(&[u8; N], &[u8; N])> {
    Some((bytes.first_chunk()?, bytes.last_chunk()?))
}

/// A value as it lies in the store: whole, or in several pieces if it is large.
#[derive(Clone, Copy)]
pub struct Value<'a>(Parts<'a>);

#[derive(Clone, Copy)]
enum Parts<'a> {
    Whole(&'a [u8]),
    Chunks(Stored<'a>),
}

impl<'a> Value<'a> {
    /// Bytes in all.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Parts::Whole(bytes) => bytes.len(),
            Parts::Chunks(stored) => stored.layout.value_len,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes, if they lie side by side, as those of values up to an eighth of a segment do.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> Option<&'a [u8]> {
        match self.0 {
            Parts::Whole(bytes) => Some(bytes),
            Parts::Chunks(_) => None,
        }
    }

    /// The pieces, in order; none is empty, but the only one of an empty value.
    pub fn pieces(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (whole, chunks) = match self.0 {
            Parts::Whole(bytes) => (Some(bytes), None),
            Parts::Chunks(stored) => (None, Some(stored.chunk_slices())),
        };
        whole.into_iter().chain(chunks.into_iter().flatten())
    }

    /// A copy.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        if let Some(bytes) = self.as_slice() {
            return bytes.to_vec();
        }
        let mut copy = Vec::with_capacity(self.len());
        self.pieces().for_each(|piece| copy.extend_from_slice(piece));
        copy
    }
}

impl PartialEq<[u8]> for Value<'_> {
    fn eq(&self, other: &[u8]) -> bool {
        let mut rest = other;
        self.len() == other.len()
            && self.pieces().all(|piece| {
                let (start, end) = rest.split_at(piece.len());
                rest = end;
                piece == start
            })
    }
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A length, not contents: cached values do not belong in a log.
        write!(f, "Value({} bytes)", self.len())
    }
}
