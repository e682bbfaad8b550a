//! What clients do with a cache, as far as a sample tells.

use larder_tenancy::{Insight, KeyUse, Missed, PrefixUse, Recent};
use serde::Serialize;

use super::KeyView;

/// The busiest keys.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeysView {
    /// Since when it counts; 0: nothing was seen.
    pub since: u64,
    /// The share of requests that is looked at now, above 0 and up to 1; counts are scaled up by it.
    pub share: f64,
    /// The keys, the busiest first; at most 100.
    pub keys: Vec<KeyUseView>,
}

/// A busy key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyUseView {
    /// The key; its fields stand beside the others.
    #[serde(flatten)]
    pub key: KeyView,
    /// Gets that found it.
    pub hits: u64,
    /// Gets that did not.
    pub misses: u64,
    /// Stores.
    pub sets: u64,
    /// Deletes.
    pub deletes: u64,
    /// Bytes of its value, when it was last seen.
    pub bytes: u64,
    /// Commands a minute of late; the list is in this order.
    pub per_minute: u64,
}

/// The busiest prefixes, and why keys were missed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PrefixesView {
    /// Since when it counts; 0: nothing was seen.
    pub since: u64,
    /// The share of requests that is looked at now, above 0 and up to 1; counts are scaled up by it.
    pub share: f64,
    /// Why keys were missed, of all prefixes together.
    pub missed: MissedView,
    /// The prefixes, the busiest first; at most 100.
    pub prefixes: Vec<PrefixUseView>,
}

/// Keys of a common form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrefixUseView {
    /// The form, such as `task-fragment:*`.
    pub pattern: String,
    /// Gets that found a key.
    pub hits: u64,
    /// Gets that did not.
    pub misses: u64,
    /// Stores.
    pub sets: u64,
    /// Deletes.
    pub deletes: u64,
    /// Bytes of the values stored, all together.
    pub bytes_set: u64,
    /// Commands a minute of late; the list is in this order.
    pub per_minute: u64,
    /// Items evicted that nobody had read.
    pub evicted_unread: u64,
    /// Why its keys were missed.
    pub missed: MissedView,
    /// Whether it is stored again and again and never read with success.
    pub never_hits: bool,
}

/// Why keys were missed: how often for which reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MissedView {
    /// Nobody had stored it, as far as is remembered.
    pub never_set: u64,
    /// Its time was over.
    pub expired: u64,
    /// It was evicted to make room.
    pub evicted: u64,
    /// It was deleted.
    pub deleted: u64,
    /// Everything was flushed.
    pub flushed: u64,
}

/// The latest commands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecentView {
    /// The share of requests that is looked at now, above 0 and up to 1.
    pub share: f64,
    /// The commands, the latest first; at most 100.
    pub commands: Vec<CommandView>,
}

/// A command that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommandView {
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// `get`, `set`, `delete`, `incr/decr`, `touch` or `flush`.
    pub command: &'static str,
    /// Of which key; its fields stand beside the others.
    #[serde(flatten)]
    pub key: KeyView,
    /// Whether the key was found, or the value was stored.
    pub found: bool,
    /// Bytes of the value, as far as there was one.
    pub bytes: u64,
}

impl From<&Insight> for KeysView {
    fn from(insight: &Insight) -> Self {
        let keys = insight.keys.iter().map(KeyUseView::from).collect();
        Self { since: insight.since, share: insight.share, keys }
    }
}

impl From<&Insight> for PrefixesView {
    fn from(insight: &Insight) -> Self {
        Self {
            since: insight.since,
            share: insight.share,
            missed: insight.missed.into(),
            prefixes: insight.prefixes.iter().map(PrefixUseView::from).collect(),
        }
    }
}

impl From<&Insight> for RecentView {
    fn from(insight: &Insight) -> Self {
        let commands = insight.recent.iter().map(CommandView::from).collect();
        Self { share: insight.share, commands }
    }
}

impl From<&KeyUse> for KeyUseView {
    fn from(usage: &KeyUse) -> Self {
        Self {
            key: KeyView::from(&*usage.key),
            hits: usage.hits,
            misses: usage.misses,
            sets: usage.sets,
            deletes: usage.deletes,
            bytes: usage.bytes,
            per_minute: usage.per_minute,
        }
    }
}

impl From<&PrefixUse> for PrefixUseView {
    fn from(usage: &PrefixUse) -> Self {
        Self {
            pattern: usage.pattern.to_string(),
            hits: usage.hits,
            misses: usage.misses,
            sets: usage.sets,
            deletes: usage.deletes,
            bytes_set: usage.bytes_set,
            per_minute: usage.per_minute,
            evicted_unread: usage.evicted_unread,
            missed: usage.missed.into(),
            never_hits: usage.never_hits,
        }
    }
}

impl From<Missed> for MissedView {
    fn from(missed: Missed) -> Self {
        let Missed { never_set, expired, evicted, deleted, flushed } = missed;
        Self { never_set, expired, evicted, deleted, flushed }
    }
}

impl From<&Recent> for CommandView {
    fn from(recent: &Recent) -> Self {
        Self {
            unix_ms: recent.unix_ms,
            command: recent.command.name(),
            key: KeyView::from(&*recent.key),
            found: recent.found,
            bytes: recent.bytes,
        }
    }
}
