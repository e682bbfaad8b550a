//! Alerts.

use serde::Serialize;

/// A rule, and how it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertView {
    /// Its number.
    pub id: i64,
    /// `hit_rate_below`, `memory_above`, `evictions_above` or `never_hits`.
    pub kind: &'static str,
    /// Percent for a hit rate and for memory (of the limit), a number a minute for evictions; null for
    /// `never_hits`.
    pub threshold: Option<u64>,
    /// For how many minutes it must be so before anybody is told.
    pub for_minutes: u32,
    /// Where notices go; null: nowhere, the dashboard only.
    pub webhook: Option<String>,
    /// Whether it is watched.
    pub enabled: bool,
    /// How it stands on this node.
    pub state: AlertStateView,
}

/// How a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AlertStateView {
    /// `ok`, `pending` (so for now, and not yet for long enough) or `firing`.
    pub name: &'static str,
    /// Since when it is pending or firing.
    pub since: Option<u64>,
}

/// The rules of a cache.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertsView {
    /// One of them each, by number.
    pub alerts: Vec<AlertView>,
}

/// What the receiver said to a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertTestView {
    /// Whether it said that it took the message.
    pub delivered: bool,
    /// The HTTP status; null: there was no answer.
    pub status: Option<u16>,
    /// The beginning of what it said, or why there was no answer.
    pub said: String,
}
