//! How records lie in a segment: items, chunks of large items, and fillers.
//!
//! ```text
//! every record    0  kind and options   1  key length   2..4  value length
//! an item         4..6   minute of the last access; or, if it may expire,
//!                 4..8   tick of the last access                    (atomic)
//!                 8..12  tick at which it expires                   (atomic)
//!                 then, each if present: flags 4, CAS number 8, long lengths 4 + 4,
//!                 the table of chunks (atomic, 4 each), the key, the value if it has no chunks
//! a chunk         4..8   its length   8..16  its item's hash   16..20  its number   20..  bytes
//! a filler        1..4   its length in units of 4 bytes
//! ```
//!
//! Records begin at multiples of 4, chunks at multiples of 64. All but the atomic fields never
//! change once the record is published. A 30-byte key with 100 bytes takes 136 bytes in all.

#![allow(unsafe_code, reason = "reads and writes raw memory through the arena")]
#![allow(clippy::cast_possible_truncation, reason = "lengths are bounded by Layout::of")]

use super::arena::{Arena, Location};
use crate::sync::{AtomicU16, AtomicU32};
use crate::time::minute;

/// Expires never.
pub(crate) const NEVER: u32 = u32::MAX;

/// The longest key: what a segment of the smallest size has room for beside a table of chunks.
pub(crate) const MAX_KEY: usize = 2048;

/// What a chunk has before its bytes.
pub(crate) const CHUNK_HEADER: usize = 20;

/// Chunks begin at multiples of this, so that 32 bits are enough to say where.
pub(crate) const CHUNK_ALIGN: usize = 64;

const KIND: u8 = 0b11;
const ITEM: usize = 0;
const FILLER: u8 = 1;
const CHUNK: u8 = 2;
const EXPIRES: usize = 1 << 2;
const FLAGS: usize = 1 << 3;
const CAS: usize = 1 << 4;
const LONG: usize = 1 << 5;
const CHUNKED: usize = 1 << 6;

/// The longest header: all options, without a table.
const MAX_HEADER: usize = 12 + 4 + 8 + 8;

/// What is stored with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) flags: u32,
    /// The tick at which it expires, or [`NEVER`].
    pub(crate) expires: u32,
    /// Its CAS number, where it is not the one its place gives.
    pub(crate) cas: Option<u64>,
    /// The tick of its last access; where it does not expire, as far as the [`minute`] tells.
    pub(crate) accessed: u32,
}

/// What says where the parts of an item lie. All fields are words: a byte among them leaves padding,
/// and copying that makes the processor wait, which doubled what a lookup in a batch takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    options: usize,
    pub(crate) key_len: usize,
    /// Of the whole value, in chunks or not.
    pub(crate) value_len: usize,
    /// How many chunks it is cut into; 0: it is not.
    pub(crate) chunks: usize,
}

impl Layout {
    /// The layout of a new item. Above `whole` bytes it is cut into chunks of `chunk` bytes.
    pub(crate) fn of(key_len: usize, value_len: usize, meta: &Meta, sizes: Sizes) -> Layout {
        let mut options = ITEM;
        for (option, present) in [
            (EXPIRES, meta.expires != NEVER),
            (FLAGS, meta.flags != 0),
            (CAS, meta.cas.is_some()),
            (LONG, key_len > usize::from(u8::MAX) || value_len > usize::from(u16::MAX)),
        ] {
            options |= if present { option } else { 0 };
        }
        let layout = Layout::from_lengths(options, key_len, value_len, sizes);
        if layout.len() <= sizes.whole {
            return layout;
        }
        Layout::from_lengths(options | LONG | CHUNKED, key_len, value_len, sizes)
    }

    /// The layout of the item at `at`.
    ///
    /// # Safety
    ///
    /// There is an item at `at`, which the caller may read (see [`Arena::bytes`]).
    #[inline]
    pub(crate) unsafe fn read(arena: &Arena, at: Location, sizes: Sizes) -> Layout {
        // SAFETY: passed on.
        let first = unsafe { word(arena, at, 0) };
        let [options, key_len, low, high] = first;
        let options = usize::from(options);
        if options & (LONG | CHUNKED) != 0 {
            // SAFETY: passed on.
            return unsafe { Layout::read_long(arena, at, options, sizes) };
        }
        let (key_len, value_len) =
            (usize::from(key_len), usize::from(u16::from_le_bytes([low, high])));
        Layout { options, key_len, value_len, chunks: 0 }
    }

    /// The same for one with long lengths.
    ///
    /// # Safety
    ///
    /// As [`Layout::read`].
    #[inline(never)]
    unsafe fn read_long(arena: &Arena, at: Location, options: usize, sizes: Sizes) -> Layout {
        let lengths = options_at(options) + flags_and_cas(options);
        // SAFETY: passed on.
        let [key_len, value_len] =
            unsafe { [word(arena, at, lengths), word(arena, at, lengths + 4)] };
        let [key_len, value_len] =
            [key_len, value_len].map(|length| u32::from_le_bytes(length) as usize);
        Layout::from_lengths(options, key_len, value_len, sizes)
    }

    /// The same with room for a CAS number.
    pub(crate) fn with_cas(&self, sizes: Sizes) -> Layout {
        Layout::from_lengths(self.options | CAS, self.key_len, self.value_len, sizes)
    }

    #[inline]
    fn from_lengths(options: usize, key_len: usize, value_len: usize, sizes: Sizes) -> Layout {
        let chunks = if options & CHUNKED == 0 { 0 } else { value_len.div_ceil(sizes.chunk) };
        Layout { options, key_len, value_len, chunks }
    }

    /// Where the header's options begin: flags, CAS number, long lengths.
    #[inline]
    fn options_at(&self) -> usize {
        options_at(self.options)
    }

    /// Where the table of chunks begins.
    #[inline]
    fn table_at(&self) -> usize {
        let end = self.options_at() + flags_and_cas(self.options);
        if self.options & LONG == 0 { end } else { (end + 8).next_multiple_of(4) }
    }

    /// Where the key begins.
    #[inline]
    pub(crate) fn key_at(&self) -> usize {
        self.table_at() + self.chunks * 4
    }

    /// The bytes of the item itself, without its chunks, up to the next record.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        let value = if self.chunks == 0 { self.value_len } else { 0 };
        (self.key_at() + self.key_len + value).next_multiple_of(4)
    }

    /// Where the value begins in an item without chunks.
    #[inline]
    pub(crate) fn value_at(&self) -> usize {
        self.key_at() + self.key_len
    }

    #[inline]
    pub(crate) fn has_expiry(&self) -> bool {
        self.options & EXPIRES != 0
    }

    /// Writes all but the value and the table.
    ///
    /// # Safety
    ///
    /// The caller has reserved [`len`](Self::len) bytes at `at` (see [`Arena::write`]).
    pub(crate) unsafe fn write(&self, arena: &Arena, at: Location, meta: &Meta, key: &[u8]) {
        let mut header = [0; MAX_HEADER];
        header[0] = self.options as u8;
        header[1] = if self.options & LONG == 0 { self.key_len as u8 } else { 0 };
        header[2..4].copy_from_slice(&(self.value_len as u16).to_le_bytes());
        header[4..6].copy_from_slice(&minute(meta.accessed).to_ne_bytes());
        if self.has_expiry() {
            header[4..8].copy_from_slice(&meta.accessed.to_ne_bytes());
            header[8..12].copy_from_slice(&meta.expires.to_ne_bytes());
        }
        let mut end = self.options_at();
        let mut put = |present: usize, bytes: &[u8]| {
            if self.options & present != 0 {
                header[end..end + bytes.len()].copy_from_slice(bytes);
                end += bytes.len();
            }
        };
        put(FLAGS, &meta.flags.to_le_bytes());
        put(CAS, &meta.cas.unwrap_or_default().to_le_bytes());
        put(LONG, &(self.key_len as u32).to_le_bytes());
        put(LONG, &(self.value_len as u32).to_le_bytes());
        // SAFETY: passed on.
        unsafe {
            arena.write(at, 0, &header[..end]);
            arena.write(at, self.key_at(), key);
        }
    }

    /// The flags of the item at `at`.
    ///
    /// # Safety
    ///
    /// As [`Layout::read`].
    pub(crate) unsafe fn flags(&self, arena: &Arena, at: Location) -> u32 {
        if self.options & FLAGS == 0 {
            return 0;
        }
        // SAFETY: passed on.
        u32::from_le_bytes(unsafe { word(arena, at, self.options_at()) })
    }

    /// The CAS number written in the item at `at`, if it is.
    ///
    /// # Safety
    ///
    /// As [`Layout::read`].
    pub(crate) unsafe fn cas(&self, arena: &Arena, at: Location) -> Option<u64> {
        if self.options & CAS == 0 {
            return None;
        }
        // SAFETY: passed on.
        let bytes = unsafe { arena.bytes(at, self.cas_at(), 8) };
        Some(u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
    }

    /// Writes another CAS number into the item at `at`, which has room for one.
    ///
    /// # Safety
    ///
    /// The item's bytes are reserved and not published (see [`Arena::write`]).
    pub(crate) unsafe fn write_cas(&self, arena: &Arena, at: Location, cas: u64) {
        debug_assert!(self.options & CAS != 0);
        // SAFETY: passed on.
        unsafe { arena.write(at, self.cas_at(), &cas.to_le_bytes()) };
    }

    fn cas_at(&self) -> usize {
        self.options_at() + if self.options & FLAGS == 0 { 0 } else { 4 }
    }

    /// The tick at which the item at `at` expires, to be read and changed; `None`: never.
    #[inline]
    pub(crate) fn expires<'a>(&self, arena: &'a Arena, at: Location) -> Option<&'a AtomicU32> {
        self.has_expiry().then(|| arena.u32_at(at, 8))
    }

    /// Where chunk `number` of the item at `at` lies, in units of [`CHUNK_ALIGN`].
    pub(crate) fn chunk<'a>(&self, arena: &'a Arena, at: Location, number: usize) -> &'a AtomicU32 {
        debug_assert!(number < self.chunks);
        arena.u32_at(at, self.table_at() + number * 4)
    }
}

/// How large items are cut, which is the same in a whole store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Records up to this many bytes are not cut: an eighth of a segment.
    pub(crate) whole: usize,
    /// The bytes of the value in a chunk; the last one may have fewer.
    pub(crate) chunk: usize,
}

impl Sizes {
    pub(crate) fn of_segment(bytes: usize) -> Sizes {
        Sizes { whole: bytes / 8, chunk: bytes / 16 - CHUNK_ALIGN }
    }
}

/// The minute of an item's last access, if it does not expire.
#[inline]
pub(crate) fn accessed_minute(arena: &Arena, at: Location) -> &AtomicU16 {
    arena.u16_at(at, 4)
}

/// The tick of an item's last access, if it may expire.
#[inline]
pub(crate) fn accessed_tick(arena: &Arena, at: Location) -> &AtomicU32 {
    arena.u32_at(at, 4)
}

/// A record as a scan of a segment meets it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Record {
    Item(Layout),
    Chunk(Chunk),
    /// Nothing, for so many bytes.
    Filler(usize),
}

/// The header of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Of the key of its item.
    pub(crate) hash: u64,
    pub(crate) number: u32,
    pub(crate) len: usize,
}

impl Chunk {
    /// Up to the next record.
    pub(crate) fn record_len(&self) -> usize {
        chunk_record_len(self.len)
    }

    /// Writes the header.
    ///
    /// # Safety
    ///
    /// The caller has reserved the chunk's bytes at `at` (see [`Arena::write`]).
    pub(crate) unsafe fn write(&self, arena: &Arena, at: Location) {
        let mut header = [0; CHUNK_HEADER];
        header[0] = CHUNK;
        header[4..8].copy_from_slice(&(self.len as u32).to_le_bytes());
        header[8..16].copy_from_slice(&self.hash.to_le_bytes());
        header[16..20].copy_from_slice(&self.number.to_le_bytes());
        // SAFETY: passed on.
        unsafe { arena.write(at, 0, &header) };
    }
}

impl Record {
    /// The record at `at`.
    ///
    /// # Safety
    ///
    /// A record begins at `at`, which the caller may read (see [`Arena::bytes`]).
    pub(crate) unsafe fn read(arena: &Arena, at: Location, sizes: Sizes) -> Record {
        // SAFETY: passed on.
        unsafe {
            let first = word(arena, at, 0);
            match first[0] & KIND {
                FILLER => Record::Filler((u32::from_le_bytes(first) >> 8) as usize * 4),
                CHUNK => {
                    let hash = arena.bytes(at, 8, 8).try_into().expect("eight bytes");
                    Record::Chunk(Chunk {
                        hash: u64::from_le_bytes(hash),
                        number: u32::from_le_bytes(word(arena, at, 16)),
                        len: u32::from_le_bytes(word(arena, at, 4)) as usize,
                    })
                }
                _ => Record::Item(Layout::read(arena, at, sizes)),
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Record::Item(layout) => layout.len(),
            Record::Chunk(chunk) => chunk.record_len(),
            Record::Filler(len) => *len,
        }
    }
}

/// The bytes of a chunk's record that holds `len` bytes of a value.
pub(crate) fn chunk_record_len(len: usize) -> usize {
    (CHUNK_HEADER + len).next_multiple_of(4)
}

/// Marks `len` reserved bytes, a multiple of 4, as nothing.
///
/// # Safety
///
/// The caller has reserved them and not published them (see [`Arena::write`]).
pub(crate) unsafe fn write_filler(arena: &Arena, at: Location, len: usize) {
    debug_assert!(len > 0 && len.is_multiple_of(4));
    let first = (len as u32 / 4) << 8 | u32::from(FILLER);
    // SAFETY: passed on.
    unsafe { arena.write(at, 0, &first.to_le_bytes()) };
}

/// Where the options begin.
#[inline]
fn options_at(options: usize) -> usize {
    6 + (options & EXPIRES) / EXPIRES * 6
}

/// The bytes of flags and CAS number.
#[inline]
fn flags_and_cas(options: usize) -> usize {
    (options & (FLAGS | CAS)) / 2
}

/// Four bytes of a record.
///
/// # Safety
///
/// As [`Arena::bytes`].
#[inline]
unsafe fn word(arena: &Arena, at: Location, offset: usize) -> [u8; 4] {
    // SAFETY: passed on.
    let bytes = unsafe { arena.bytes(at, offset, 4) };
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}

#[cfg(test)]
mod tests;
