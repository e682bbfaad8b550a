//! The store's memory: what it is made of, who may use which part, and how it comes back.
//!
//! - [`arena`]: one mapping, cut into segments of equal size. The only place with raw memory.
//! - [`record`]: how items and chunks lie in a segment.
//! - [`segment`]: what is known of each segment: its owner, how full and how dead it is.
//! - [`pool`]: the segments nobody uses, and those waiting for the last reader to leave.
//! - [`log`]: appending to open segments.
//! - [`stored`]: an item to be read: its key, its options, its value, whole or in chunks.

pub(crate) mod arena;
pub(crate) mod log;
pub(crate) mod pool;
pub(crate) mod record;
pub(crate) mod segment;
pub(crate) mod stored;
