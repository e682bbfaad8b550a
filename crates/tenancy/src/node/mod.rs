//! How a running server is asked, from outside its event loops: for figures, what its clients do, or an
//! item.

mod figures;
mod insight;
mod latency;

use std::sync::Arc;
use std::time::Duration;

pub use self::figures::Figures;
pub use self::insight::{Command, Insight, KeyUse, Missed, PrefixUse, Recent};
pub use self::latency::Latency;
use crate::tenant::TenantId;

/// A cache server, as the console and the accounts see it. All calls return at once and may come from
/// any thread.
pub trait Node: Send + Sync {
    /// What the node is.
    fn facts(&self) -> NodeFacts;

    /// The figures of one tenant, or of all together. All zero for a tenant that was never used here.
    fn figures(&self, tenant: Option<TenantId>) -> Figures;

    /// The figures of every tenant that was used here, in no order.
    fn all_figures(&self) -> Vec<(TenantId, Figures)>;

    /// How long requests took, of one tenant or of all together.
    fn latency(&self, tenant: Option<TenantId>) -> Latency;

    /// What clients of a tenant do, from a sample. Empty for a tenant that was never used here.
    fn insight(&self, tenant: TenantId) -> Insight;

    /// Who was let in and when they were last seen to do anything, in seconds since 1970, of those seen
    /// since the server began; usernames as on the wire.
    fn last_used(&self) -> Vec<(Arc<[u8]>, u64)>;

    /// What is known of an item, without counting as a use of it; none if a get would miss.
    fn look_up(&self, tenant: TenantId, key: &[u8]) -> Option<ItemFacts>;

    /// The value of an item, without counting as a use of it: its first `most` bytes.
    fn value(&self, tenant: TenantId, key: &[u8], most: usize) -> Option<Vec<u8>>;

    /// Removes an item; whether there was one.
    fn delete(&self, tenant: TenantId, key: &[u8]) -> bool;

    /// Makes every item that the tenant has now a miss, on this node.
    fn flush(&self, tenant: TenantId);

    /// Sets and gets a value as a client would, through an event loop, in a tenant that is nobody's; how
    /// long that took.
    ///
    /// # Errors
    ///
    /// What went wrong, for an operator.
    fn probe(&self) -> Result<Duration, String>;
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeFacts {
    /// When it started, in seconds since 1970.
    pub started: u64,
    /// The version of the directory that new requests obey.
    pub directory_version: u64,
    /// The limit for everything the store keeps, in bytes.
    pub memory_bytes: u64,
    /// The largest item, key and value together, in bytes.
    pub max_item_bytes: u64,
    /// Event loops.
    pub workers: usize,
    /// Connections open now.
    pub connections: u64,
    /// Most connections at once.
    pub max_connections: u64,
    /// Connections turned away because there were too many, or no memory for one more of TLS.
    pub rejected_connections: u64,
    /// Bytes that half commands, unsent replies and TLS take now.
    pub buffer_bytes: u64,
    /// The limit for them.
    pub max_buffer_bytes: u64,
    /// Where it listens.
    pub listening: Vec<String>,
}

/// What a look-up tells of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemFacts {
    /// Bytes of its value.
    pub value_bytes: u64,
    /// Bytes that it takes in memory, with its key and header.
    pub bytes: u64,
    /// The client's flags.
    pub flags: u32,
    /// Its CAS number.
    pub cas: u64,
    /// Time left; none: it does not expire.
    pub ttl: Option<Duration>,
    /// Time since it was last used.
    pub idle: Duration,
    /// Whether it was read since it was stored.
    pub fetched: bool,
}
