//! What clients of a tenant do, as far as a sample tells.

/// What clients of a tenant do. Counts are estimates of all that happened since `since`: what was seen,
/// scaled up by the share that was looked at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Insight {
    /// Since when it counts, in seconds since 1970; 0 if nothing was seen.
    pub since: u64,
    /// The share of requests that is looked at now, above 0 and up to 1.
    pub share: f64,
    /// The busiest keys, the busiest first; at most 100.
    pub keys: Vec<KeyUse>,
    /// The busiest prefixes, the busiest first; at most 100.
    pub prefixes: Vec<PrefixUse>,
    /// Why keys were missed, of all prefixes together.
    pub missed: Missed,
    /// The latest commands that were looked at, the latest first; at most 100.
    pub recent: Vec<Recent>,
}

/// A busy key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyUse {
    /// The key.
    pub key: Box<[u8]>,
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
    /// Commands a minute of late: an average over about the last ten minutes.
    pub per_minute: u64,
}

/// Keys with a common form, such as `task-fragment:*`: what looks like an id, a UUID or a hash is a `*`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrefixUse {
    /// The form; bytes that are no text are escaped.
    pub pattern: Box<str>,
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
    /// Items evicted that nobody had read.
    pub evicted_unread: u64,
    /// Why its keys were missed.
    pub missed: Missed,
    /// Commands a minute of late: an average over about the last ten minutes.
    pub per_minute: u64,
    /// Whether it is stored again and again and never read with success: a sign that keys are built
    /// differently by those who store and those who read.
    pub never_hits: bool,
}

/// Why keys were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Missed {
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

/// A command that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recent {
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// What was asked.
    pub command: Command,
    /// Of which key; empty for a flush.
    pub key: Box<[u8]>,
    /// Whether the key was found, or the value was stored.
    pub found: bool,
    /// Bytes of the value, as far as there was one.
    pub bytes: u64,
}

/// The kinds of commands, whatever protocol they come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// A read.
    Get,
    /// A store of any kind.
    Set,
    /// A removal.
    Delete,
    /// An increment or decrement.
    Arith,
    /// A change of the exptime alone.
    Touch,
    /// Of all items.
    Flush,
}

impl Command {
    /// As it is shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Command::Get => "get",
            Command::Set => "set",
            Command::Delete => "delete",
            Command::Arith => "incr/decr",
            Command::Touch => "touch",
            Command::Flush => "flush",
        }
    }
}
