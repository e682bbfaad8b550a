//! What others ask a running server: the console and the accounts, through [`larder_tenancy::Node`].
//!
//! Figures are counted from the start of the server: `stats reset`, which is for clients, does not set
//! them back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder_store::{Removed, Stats};
use larder_tenancy::{Command, Figures, Insight, ItemFacts, Latency, NodeFacts, TenantId};

use super::{Node, TenantState, lock};
use crate::counters::{Count, Counted};
use crate::insight::Sample;
use crate::server::Handle;

impl larder_tenancy::Node for Handle {
    fn facts(&self) -> NodeFacts {
        let node = self.node();
        let listening = node.listening.get().map_or(&[][..], Vec::as_slice);
        NodeFacts {
            started: node.started,
            directory_version: node.directory.load().version(),
            memory_bytes: node.store.stats().max_bytes,
            max_item_bytes: node.store.max_item_bytes().min(node.settings.max_item_bytes) as u64,
            workers: node.settings.workers,
            connections: node.connections.open() as u64,
            max_connections: node.settings.max_connections as u64,
            rejected_connections: node.tally.rejected_connections.load(Ordering::Relaxed),
            buffer_bytes: node.budget.used() as u64,
            max_buffer_bytes: node.budget.limit() as u64,
            listening: listening.iter().map(|at| at.address.to_string()).collect(),
        }
    }

    fn figures(&self, tenant: Option<TenantId>) -> Figures {
        let node = self.node();
        match tenant {
            None => {
                let (tenants, gone) = lock(&node.tenants).ever();
                let mut counted = gone.counted;
                tenants.iter().for_each(|state| counted.add(&state.sum()));
                counted.add(&node.nobody.sum());
                figures(&counted, &node.store.stats())
            }
            Some(id) => node.existing_tenant(id).map_or_else(Figures::default, |it| it.figures()),
        }
    }

    fn all_figures(&self) -> Vec<(TenantId, Figures)> {
        let all = self.node().all_tenants();
        let stores: Vec<_> = all.iter().map(|state| state.store.clone()).collect();
        let stats = self.node().store.stats_of(&stores);
        let both = all.iter().zip(&stats);
        both.map(|(state, stats)| (state.id, figures(&state.sum(), stats))).collect()
    }

    fn latency(&self, tenant: Option<TenantId>) -> Latency {
        let (tenants, mut sum) = match tenant {
            Some(id) => (self.node().existing_tenant(id).into_iter().collect(), Latency::default()),
            None => {
                let (tenants, gone) = lock(&self.node().tenants).ever();
                (tenants, gone.times)
            }
        };
        tenants.iter().for_each(|state| state.times(&mut sum));
        sum
    }

    fn insight(&self, tenant: TenantId) -> Insight {
        self.node().insights.of(tenant, self.node())
    }

    fn last_used(&self) -> Vec<(Arc<[u8]>, u64)> {
        let used = lock(&self.node().used);
        used.iter().map(|(name, at)| (Arc::clone(name), at.load(Ordering::Relaxed))).collect()
    }

    fn look_up(&self, tenant: TenantId, key: &[u8]) -> Option<ItemFacts> {
        let state = self.node().existing_tenant(tenant)?;
        let reader = self.node().store.reader();
        let item = reader.of(&state.store).peek(state.store.hashed(key))?;
        Some(ItemFacts {
            value_bytes: item.value().len() as u64,
            bytes: item.stored_bytes() as u64,
            flags: item.flags(),
            cas: item.cas(),
            ttl: item.ttl(),
            idle: item.idle(),
            fetched: item.fetched(),
        })
    }

    fn value(&self, tenant: TenantId, key: &[u8], most: usize) -> Option<Vec<u8>> {
        let state = self.node().existing_tenant(tenant)?;
        let reader = self.node().store.reader();
        let value = reader.of(&state.store).peek(state.store.hashed(key))?.value();
        let mut copy = Vec::with_capacity(value.len().min(most));
        for piece in value.pieces() {
            let room = most - copy.len();
            copy.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        Some(copy)
    }

    fn delete(&self, tenant: TenantId, key: &[u8]) -> bool {
        let Some(state) = self.node().existing_tenant(tenant) else { return false };
        let key = state.store.hashed(key);
        let found = state.store.remove(key, None) == Removed::Deleted;
        let (_, key_weight) = state.trace.sampling(0).weights(key.hash());
        let sample = Sample {
            command: Command::Delete,
            found,
            hash: key.hash(),
            key_weight,
            ..Sample::flush(tenant, self.node().now().unix_ms)
        };
        self.node().insights.take(None, sample, key.key());
        found
    }

    fn flush(&self, tenant: TenantId) {
        if let Some(state) = self.node().existing_tenant(tenant) {
            state.flush(self.node());
        }
    }

    fn probe(&self) -> Result<Duration, String> {
        self.node().probe.run(self.node())
    }
}

impl TenantState {
    /// Flushes, for whoever is no client.
    fn flush(&self, node: &Node) {
        self.store.flush();
        self.trace.plan_flush(None);
        node.insights.take(None, Sample::flush(self.id, node.now().unix_ms), b"");
    }

    /// As others are told of them.
    fn figures(&self) -> Figures {
        figures(&self.sum(), &self.store.stats())
    }
}

/// Counts as others are told of them.
fn figures(counted: &Counted, stats: &Stats) -> Figures {
    Figures {
        get_hits: counted.get(Count::GetHits),
        get_misses: counted.get(Count::GetMisses),
        get_expired: stats.expired_misses,
        get_flushed: stats.flushed_misses,
        sets: counted.get(Count::CmdSet),
        delete_hits: counted.get(Count::DeleteHits),
        delete_misses: counted.get(Count::DeleteMisses),
        incr_hits: counted.get(Count::IncrHits),
        incr_misses: counted.get(Count::IncrMisses),
        decr_hits: counted.get(Count::DecrHits),
        decr_misses: counted.get(Count::DecrMisses),
        cas_hits: counted.get(Count::CasHits),
        cas_misses: counted.get(Count::CasMisses),
        cas_badval: counted.get(Count::CasBadval),
        touch_hits: counted.get(Count::TouchHits),
        touch_misses: counted.get(Count::TouchMisses),
        flushes: counted.get(Count::CmdFlush),
        too_large: counted.get(Count::StoreTooLarge),
        no_memory: counted.get(Count::StoreNoMemory),
        items: stats.items,
        bytes: stats.bytes,
        limit_bytes: stats.max_bytes,
        evictions: stats.evictions,
        evicted_unread: stats.evicted_unread,
        expired: stats.expired,
        expired_unread: stats.expired_unread,
        connections: counted.get(Count::Opened).saturating_sub(counted.get(Count::Closed)),
        total_connections: counted.get(Count::Opened),
        auth_commands: counted.get(Count::AuthCmds),
        auth_errors: counted.get(Count::AuthErrors),
        denied: counted.get(Count::Denied),
        bytes_read: counted.get(Count::BytesRead),
        bytes_written: counted.get(Count::BytesWritten),
    }
}
