//! Where replies go: what a session needs of whoever carries them to the client.

use crate::replies::Large;

/// Takes replies. Implemented by a connection's socket, and by a plain buffer for tests.
pub(crate) trait Output {
    /// Takes `bytes` with the `large` values between them, all of it: what cannot be sent now is kept.
    /// Returns whether there is room for more. If not, the session makes no more replies until it is told
    /// to go on.
    fn send(&mut self, bytes: &[u8], large: &[Large<'_>]) -> Room;
}

/// Whether replies may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// All was taken.
    Free,
    /// Something waits for the client to take it, or the connection has failed.
    Full,
}

/// Calls `each` with the pieces of replies, in order.
pub(crate) fn pieces<'a>(bytes: &'a [u8], large: &[Large<'a>], mut each: impl FnMut(&'a [u8])) {
    let mut at = 0;
    for value in large {
        each(&bytes[at..value.at]);
        at = value.at;
        value.value.pieces().for_each(&mut each);
    }
    each(&bytes[at..]);
}
