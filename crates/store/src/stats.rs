//! Figures of a store.

/// Figures of a [`Store`](crate::Store), taken shard by shard.
///
/// The counters only grow. Operations that run meanwhile may be counted in one and not in another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Items held, without flushed ones; an expired item counts until an operation meets it.
    pub items: u64,
    /// Bytes charged against `max_bytes`: keys, values, per-item overhead, index, free slots, and
    /// dead items not yet met.
    pub bytes: u64,
    /// The limit for `bytes`.
    pub max_bytes: u64,
    /// Calls of `get` that found a live item.
    pub hits: u64,
    /// Calls of `get` that did not.
    pub misses: u64,
    /// Calls of `store` that stored.
    pub sets: u64,
    /// Live items removed to make room.
    pub evictions: u64,
    /// Those of `evictions` that no `get` had ever read.
    pub evicted_unread: u64,
    /// Expired items removed when an operation met them.
    pub expired: u64,
    /// Live items removed by `delete`.
    pub deleted: u64,
    /// Items made dead by `flush`.
    pub flushed: u64,
    /// Live items replaced by `store` (any mode, and a too large `Set`, which removes the item).
    pub replaced: u64,
}

impl Stats {
    /// Adds the figures of a shard.
    pub(crate) fn add(&mut self, shard: &Stats) {
        self.items += shard.items;
        self.bytes += shard.bytes;
        self.max_bytes += shard.max_bytes;
        self.hits += shard.hits;
        self.misses += shard.misses;
        self.sets += shard.sets;
        self.evictions += shard.evictions;
        self.evicted_unread += shard.evicted_unread;
        self.expired += shard.expired;
        self.deleted += shard.deleted;
        self.flushed += shard.flushed;
        self.replaced += shard.replaced;
    }
}
