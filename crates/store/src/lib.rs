//! The cache engine: bytes in, bytes out.
//!
//! A [`Store`] maps keys to items under a limit in bytes, with TTLs, CAS numbers and eviction. It
//! knows no sockets and starts no threads; its clock is given to it.
//!
//! What lives where:
//!
//! - `store`: the public type. It owns the shards and picks one by the key's hash, and hands out CAS
//!   numbers.
//! - `shard`: one lock's worth of items; every operation happens inside one shard.
//! - `slab`, `index`, `queue`: the three parts of a shard: where items are, how a key finds its
//!   item, in what order items are evicted. An item is a slot number to all three.
//! - `clock`, `stats`: time and figures.
//!
//! What must stay true, checked by [`Store::validate`]:
//!
//! - The memory charged to each shard stays within its share of the limit, the index included.
//! - A lookup compares the whole key, never the hash alone.
//! - Every item is in the index once and in the queue once.
//! - Values are opaque: only what `incr` or `decr` has computed is ever different from what was
//!   stored.
//! - An expired or flushed item is never returned, whether or not its memory has been taken back.

mod clock;
mod index;
mod queue;
mod shard;
mod slab;
mod stats;
mod store;

pub use clock::Clock;
pub use stats::Stats;
pub use store::{
    Arith, Config, Item, MAX_KEY_BYTES, MIN_MAX_BYTES, Mode, Outcome, Store, StoreError,
};
