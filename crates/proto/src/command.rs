//! What a client can ask of a server, the same for all protocols.

use bytes::Bytes;

use crate::error::CommandError;
use crate::key::Key;

/// One request.
///
/// `exptime` is as memcached means it: 0 is never, 1 to 2 592 000 (30 days) are seconds from now,
/// anything larger is an absolute Unix time in seconds. In the text and meta protocols a time
/// beyond 2038-01-19 is sent as that date, because servers read it as a signed 32-bit number and
/// would take it for "already expired".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Read an item, its flags and its CAS.
    Get {
        /// The item's key.
        key: Key,
    },
    /// Write an item.
    Store {
        /// On which condition, and how.
        mode: StoreMode,
        /// The item's key.
        key: Key,
        /// The bytes to store (or to add to the stored ones).
        value: Bytes,
        /// The client's 32 bits, stored beside the value; ignored by append and prepend.
        flags: u32,
        /// When the item expires; ignored by append and prepend.
        exptime: u32,
    },
    /// Remove an item.
    Delete {
        /// The item's key.
        key: Key,
    },
    /// Give an item a new expiry without reading it.
    Touch {
        /// The item's key.
        key: Key,
        /// The new expiry.
        exptime: u32,
    },
    /// Add to or subtract from an item whose value is an ASCII decimal number; never creates one.
    Arith {
        /// The item's key.
        key: Key,
        /// By how much. An increment wraps at 2^64, a decrement stops at 0.
        delta: u64,
        /// Up or down.
        direction: Direction,
    },
    /// Drop every item of the server, now.
    FlushAll,
    /// Ask for the server's version text.
    Version,
}

impl Command {
    /// The key this command is about; none for the two that concern a whole server.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Get { key }
            | Self::Store { key, .. }
            | Self::Delete { key }
            | Self::Touch { key, .. }
            | Self::Arith { key, .. } => Some(key),
            Self::FlushAll | Self::Version => None,
        }
    }

    /// Whether the command can be sent with values of at most `max_value_len` bytes.
    ///
    /// # Errors
    ///
    /// [`CommandError::ValueTooLarge`], or [`CommandError::ZeroCas`] for [`StoreMode::Cas`] with 0.
    pub fn check(&self, max_value_len: usize) -> Result<(), CommandError> {
        let Self::Store { mode, value, .. } = self else {
            return Ok(());
        };
        if value.len() > max_value_len {
            return Err(CommandError::ValueTooLarge { len: value.len(), limit: max_value_len });
        }
        if *mode == StoreMode::Cas(0) {
            return Err(CommandError::ZeroCas);
        }
        Ok(())
    }
}

/// How a [`Command::Store`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreMode {
    /// Unconditionally.
    Set,
    /// Only if the key is absent.
    Add,
    /// Only if the key is present.
    Replace,
    /// After the value that is there.
    Append,
    /// Before the value that is there.
    Prepend,
    /// Only if the item's CAS is still this one. 0 is refused before sending: the binary protocol
    /// would read it as "unconditionally".
    Cas(u64),
}

/// Which way a [`Command::Arith`] goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Increment.
    Incr,
    /// Decrement.
    Decr,
}
