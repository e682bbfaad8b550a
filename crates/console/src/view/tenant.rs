//! Caches, and how they are doing.

use std::collections::BTreeMap;

use larder_control::{Capacity, TenantRecord};
use serde::Serialize;

use super::{FiguresView, HitRatesView, LatencyView, SecretView};

/// A cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TenantView {
    /// Its number, as metrics and logs have it.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Bytes that it is guaranteed on each node.
    pub floor: u64,
    /// Bytes that it may reach.
    pub ceiling: u64,
    /// What the operator wrote on it.
    pub labels: BTreeMap<String, String>,
    /// When it was made.
    pub created: u64,
    /// How often it was flushed through its account.
    pub flushes: u64,
    /// The username of its primary credential.
    pub primary: String,
}

/// A cache in the list of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TenantRowView {
    /// The cache; its fields stand beside the others.
    #[serde(flatten)]
    pub tenant: TenantView,
    /// What this node counted of it since it started.
    pub figures: FiguresView,
}

/// All caches, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TenantsView {
    /// One of them each.
    pub tenants: Vec<TenantRowView>,
    /// What memory is left for more.
    pub capacity: CapacityView,
    /// What this node counted of all of them together.
    pub total: FiguresView,
}

/// The memory that floors are promised from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CapacityView {
    /// Bytes of the smallest node; null before any node was there.
    pub memory_bytes: Option<u64>,
    /// Bytes promised, all floors together.
    pub floors: u64,
    /// Bytes that could be promised still.
    pub free: Option<u64>,
}

/// A cache that was made just now, and the only sight of its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewTenantView {
    /// The cache.
    pub tenant: TenantView,
    /// Its primary credential.
    pub credential: SecretView,
    /// Nodes that have not said yet that they know of it, by name; empty: it works everywhere.
    pub waiting_for: Vec<String>,
}

/// How a cache is doing on this node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatsView {
    /// The moment, in seconds since 1970.
    pub at: u64,
    /// Counted since the node started; levels as they are.
    pub figures: FiguresView,
    /// Hit rates over several times.
    pub hit_rates: HitRatesView,
    /// Share of the limit that is in use, from 0 to 1; null without a limit.
    pub memory_used: Option<f64>,
    /// How long requests took.
    pub latency: LatencyView,
}

/// One event of the live stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LiveView {
    /// The moment, in seconds since 1970.
    pub at: u64,
    /// Counted since the node started; levels as they are.
    pub figures: FiguresView,
    /// Counted since the event before, so about a second; levels as they are.
    pub rates: FiguresView,
    /// Hit rates over several times.
    pub hit_rates: HitRatesView,
    /// Share of the limit that is in use, from 0 to 1; null without a limit.
    pub memory_used: Option<f64>,
    /// Half of the requests since the event before took less, in nanoseconds; null if there was none.
    pub p50_ns: Option<u64>,
    /// 99 of 100 of them took less.
    pub p99_ns: Option<u64>,
}

impl From<&TenantRecord> for TenantView {
    fn from(tenant: &TenantRecord) -> Self {
        Self {
            id: tenant.id.get(),
            name: tenant.name.to_string(),
            floor: tenant.floor,
            ceiling: tenant.ceiling,
            labels: tenant.labels.clone(),
            created: tenant.created,
            flushes: tenant.flushes,
            primary: tenant.primary.clone(),
        }
    }
}

impl From<Capacity> for CapacityView {
    fn from(capacity: Capacity) -> Self {
        let Capacity { memory_bytes, floors, free } = capacity;
        Self { memory_bytes, floors, free }
    }
}
