//! How a running server is asked, from outside its event loops: for figures, a flush, or an item.

use std::time::Duration;

use crate::tenant::TenantId;

/// A cache server, as the console and the accounts see it. All calls return at once and may come from
/// any thread.
pub trait Node: Send + Sync {
    /// The figures of one tenant, or of all together. All zero for a tenant that was never used here.
    fn figures(&self, tenant: Option<TenantId>) -> Figures;

    /// Makes every item that the tenant has now a miss.
    fn flush(&self, tenant: TenantId);

    /// What is known of an item, without counting as a use of it; none if a get would miss.
    fn look_up(&self, tenant: TenantId, key: &[u8]) -> Option<ItemFacts>;
}

/// What a node counts. Everything counts up from the start of the server, but for the levels, which
/// are said to be so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Keys asked for and found.
    pub get_hits: u64,
    /// Keys asked for and not found, for whatever reason.
    pub get_misses: u64,
    /// Of the misses: the item's time was over.
    pub get_expired: u64,
    /// Of the misses: the item was flushed.
    pub get_flushed: u64,
    /// Store commands of all kinds.
    pub sets: u64,
    /// Delete commands of all kinds.
    pub deletes: u64,
    /// Increments and decrements.
    pub counts: u64,
    /// Touch commands, and gets that touch.
    pub touches: u64,
    /// Flush commands.
    pub flushes: u64,
    /// Items there now. A level.
    pub items: u64,
    /// Bytes that the items take now, with all that goes with them. A level.
    pub bytes: u64,
    /// Bytes that they may take. A level.
    pub limit_bytes: u64,
    /// Items evicted to make room.
    pub evictions: u64,
    /// Of the evictions: nobody had read the item.
    pub evicted_unread: u64,
    /// Items whose memory came back because their time was over, unread.
    pub expired_unread: u64,
    /// Connections open now. A level.
    pub connections: u64,
    /// Connections opened.
    pub total_connections: u64,
    /// Attempts to authenticate.
    pub auth_commands: u64,
    /// Of them: refused.
    pub auth_errors: u64,
    /// Commands refused because the credential does not allow them.
    pub denied: u64,
    /// Bytes read from clients.
    pub bytes_read: u64,
    /// Bytes written to clients.
    pub bytes_written: u64,
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// A node of one item.
    struct One;

    impl Node for One {
        fn figures(&self, tenant: Option<TenantId>) -> Figures {
            let items = u64::from(tenant.is_none_or(|id| id == TenantId::DEFAULT));
            Figures { items, ..Figures::default() }
        }

        fn flush(&self, _: TenantId) {}

        fn look_up(&self, _: TenantId, _: &[u8]) -> Option<ItemFacts> {
            None
        }
    }

    #[test]
    fn a_node_is_shared_as_an_object() {
        let node: Arc<dyn Node> = Arc::new(One);
        let asked = std::thread::spawn(move || node.figures(None).items);
        assert_eq!(asked.join().unwrap(), 1);
    }
}
