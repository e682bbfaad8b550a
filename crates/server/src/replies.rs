//! The replies of a run of reads: bytes in order, and large values where they lie in the store.
//!
//! A value up to [`COPY_LIMIT`] is copied, for a piece of its own in a vectored write costs more than that;
//! a larger one is referred to. A reference must not outlive the store's reader, so whoever runs the reads
//! sends what refers before it lets the reader go.

use arrayvec::ArrayVec;
use larder_store::Value;

/// The largest value that is copied into the replies, in bytes.
pub(crate) const COPY_LIMIT: usize = 4096;

/// Replies of so many bytes are sent before more are made.
pub(crate) const FULL: usize = 256 * 1024;

/// More than so many values larger than [`COPY_LIMIT`] are more than [`FULL`].
const MOST_LARGE: usize = FULL / COPY_LIMIT + 1;

/// The replies of a run of reads.
pub(crate) struct Replies<'r> {
    bytes: &'r mut Vec<u8>,
    large: ArrayVec<Large<'r>, MOST_LARGE>,
    large_bytes: usize,
}

/// A value that is sent from where it lies.
pub(crate) struct Large<'r> {
    /// So many of the replies' bytes come before it.
    pub(crate) at: usize,
    pub(crate) value: Value<'r>,
}

impl<'r> Replies<'r> {
    /// Replies that come after what is in `bytes`.
    #[inline(always)] // It is large, and not to be copied.
    pub(crate) fn new(bytes: &'r mut Vec<u8>) -> Replies<'r> {
        Replies { bytes, large: ArrayVec::new(), large_bytes: 0 }
    }

    /// Where headers and whatever else is not a large value are appended.
    #[inline]
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        self.bytes
    }

    /// Appends a value.
    #[inline]
    pub(crate) fn value(&mut self, value: Value<'r>) {
        if value.len() <= COPY_LIMIT || self.large.is_full() {
            match value.as_slice() {
                Some(bytes) => self.bytes.extend_from_slice(bytes),
                None => value.pieces().for_each(|piece| self.bytes.extend_from_slice(piece)),
            }
        } else {
            self.large_bytes += value.len();
            self.large.push(Large { at: self.bytes.len(), value });
        }
    }

    /// Whether these must be sent before more are made.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() + self.large_bytes >= FULL
    }

    /// The bytes, and the large values between them, in order.
    pub(crate) fn parts(&mut self) -> (&mut Vec<u8>, &[Large<'r>]) {
        (self.bytes, &self.large)
    }
}
