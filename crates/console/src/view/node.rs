//! Nodes, and who did what.

use larder_control::{AuditEntry, NodeRecord};
use larder_tenancy::NodeFacts;
use serde::Serialize;

use super::LatencyView;

/// The nodes of the fleet, and more of this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodesView {
    /// All that were ever seen, by name.
    pub nodes: Vec<NodeView>,
    /// The one that answers.
    pub this: NodeFactsView,
}

/// A node as the accounts know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeView {
    /// Its number.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it is the one that answers.
    pub is_this: bool,
    /// Where clients reach it, `host:port` each.
    pub servers: Vec<String>,
    /// Its own console.
    pub console_url: Option<String>,
    /// Bytes for everything that it stores.
    pub memory_bytes: u64,
    /// When it started.
    pub started: u64,
    /// When it was last heard of.
    pub seen: u64,
    /// The version of the accounts that it obeys.
    pub version: u64,
    /// Whether it was heard of lately.
    pub is_live: bool,
}

/// The node that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeFactsView {
    /// Its name.
    pub name: String,
    /// When it started.
    pub started: u64,
    /// The version of the accounts that it obeys.
    pub directory_version: u64,
    /// The limit for everything that it stores, in bytes.
    pub memory_bytes: u64,
    /// Bytes that are in use.
    pub used_bytes: u64,
    /// The largest item, key and value together, in bytes.
    pub max_item_bytes: u64,
    /// Event loops.
    pub workers: usize,
    /// Connections open now.
    pub connections: u64,
    /// Most connections at once.
    pub max_connections: u64,
    /// Connections turned away because there were too many.
    pub rejected_connections: u64,
    /// Bytes that half commands, unsent replies and TLS take now.
    pub buffer_bytes: u64,
    /// The limit for them.
    pub max_buffer_bytes: u64,
    /// Where it listens.
    pub listening: Vec<String>,
    /// The version of the software.
    pub software: &'static str,
    /// How long requests took, of all caches together.
    pub latency: LatencyView,
}

impl NodeFactsView {
    /// The facts of the node called `name`, of which `used_bytes` are in use.
    #[must_use]
    pub fn new(name: &str, facts: NodeFacts, used_bytes: u64, latency: LatencyView) -> Self {
        Self {
            name: name.to_owned(),
            started: facts.started,
            directory_version: facts.directory_version,
            memory_bytes: facts.memory_bytes,
            used_bytes,
            max_item_bytes: facts.max_item_bytes,
            workers: facts.workers,
            connections: facts.connections,
            max_connections: facts.max_connections,
            rejected_connections: facts.rejected_connections,
            buffer_bytes: facts.buffer_bytes,
            max_buffer_bytes: facts.max_buffer_bytes,
            listening: facts.listening,
            software: env!("CARGO_PKG_VERSION"),
            latency,
        }
    }
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DoneView {
    /// Nodes that have not said yet that they know of it, by name; empty: it is so everywhere.
    pub waiting_for: Vec<String>,
}

/// A page of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditView {
    /// The entries, the latest first.
    pub entries: Vec<AuditEntryView>,
    /// What to ask for as `before` to get the next page; null: there is none.
    pub next: Option<i64>,
}

/// Who did what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEntryView {
    /// Its number; later ones are higher.
    pub id: i64,
    /// When.
    pub at: u64,
    /// Who, such as `operator ann`.
    pub who: String,
    /// From where, an address or `cli`.
    pub from: String,
    /// To which cache; null: to none in particular.
    pub tenant: Option<String>,
    /// What, such as `tenant.create`.
    pub action: String,
    /// The particulars.
    pub detail: String,
}

impl NodeView {
    /// A node; `this` is the name of the one that answers.
    #[must_use]
    pub fn new(node: NodeRecord, this: &str) -> Self {
        Self {
            is_this: node.name == this,
            id: node.id,
            name: node.name,
            servers: node.servers,
            console_url: node.console_url,
            memory_bytes: node.memory_bytes,
            started: node.started,
            seen: node.seen,
            version: node.version,
            is_live: node.is_live,
        }
    }
}

impl From<AuditEntry> for AuditEntryView {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { id, at, who, from, tenant, action, detail, .. } = entry;
        Self { id, at, who, from, tenant, action, detail }
    }
}
