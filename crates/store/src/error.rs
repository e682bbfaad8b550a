//! Why something could not be done.

use std::fmt;

/// Why nothing was stored, or no store was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The item, or its key, is larger than allowed.
    TooLarge {
        /// Its size in bytes: key and value together, or the key alone if that is too long.
        bytes: usize,
        /// The most that is allowed, in bytes.
        limit: usize,
    },
    /// There is no room for an item at the moment: nothing can be evicted, because everything is
    /// being read or written. A cache may then do without.
    NoRoom {
        /// The bytes that were wanted.
        bytes: usize,
    },
    /// Reservations that are not committed hold as much as they may.
    TooMuchReserved {
        /// The bytes that were wanted.
        bytes: usize,
        /// The most that all reservations together may hold, in bytes.
        limit: usize,
    },
    /// The system refused to reserve the memory.
    NoMemory {
        /// The bytes that were wanted.
        bytes: usize,
        /// What the system said.
        reason: String,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::TooLarge { bytes, limit } => {
                write!(f, "too large for the cache: {bytes} bytes, {limit} allowed")
            }
            StoreError::NoRoom { bytes } => {
                write!(f, "no room for {bytes} bytes: everything in the cache is in use just now")
            }
            StoreError::TooMuchReserved { bytes, limit } => {
                write!(f, "{bytes} bytes more than values on their way may hold, {limit} in all")
            }
            StoreError::NoMemory { bytes, reason } => {
                write!(f, "cannot reserve {bytes} bytes of memory for the cache: {reason}")
            }
        }
    }
}

impl std::error::Error for StoreError {}
