//! What the reads of a run share: the look-ups of one reader of the store, and where their replies go.

use larder_store::{Foreseen, Lookups};

use crate::replies::Replies;

/// A run of reads. What it answers with lies in the store as long as its reader lives.
pub(crate) struct Reading<'r> {
    pub(crate) lookups: Lookups<'r>,
    /// Of the key of the request that is carried out.
    pub(crate) foreseen: Foreseen<'r>,
    pub(crate) replies: Replies<'r>,
}

impl<'r> Reading<'r> {
    #[inline(always)] // It is large, and not to be copied.
    pub(crate) fn new(lookups: Lookups<'r>, out: &'r mut Vec<u8>) -> Reading<'r> {
        Reading { lookups, foreseen: Foreseen::default(), replies: Replies::new(out) }
    }

    /// Where replies are appended.
    #[inline]
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        self.replies.bytes()
    }
}
