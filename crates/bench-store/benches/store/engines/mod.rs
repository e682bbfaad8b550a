//! One file for each engine: how it is set up, and how its users would call it.
//!
//! Where an engine lets its users choose, all get the same: foldhash, keys of `Box<[u8]>`, values of
//! `Arc<[u8]>` with eight bytes of expiry beside them.

pub(crate) mod dashmap;
pub(crate) mod foyer;
pub(crate) mod larder;
pub(crate) mod lru;
pub(crate) mod memcached;
pub(crate) mod moka;
pub(crate) mod papaya;
pub(crate) mod quick_cache;
pub(crate) mod segcache;
