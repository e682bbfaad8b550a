//! A session as it is stored, and changes to it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cache::Guard;
use crate::ttl::Ttl;

/// A session's values by key.
pub(super) type Data = Map<String, Value>;

/// One change that a request makes. It can be made again, on data that somebody else has changed.
pub(super) type Change = Box<dyn Fn(&mut Data) + Send + Sync>;

/// What is stored of a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) data: Data,
    pub(super) version: i64,
    /// Milliseconds since 1970-01-01 UTC.
    pub(super) expires_ms: i64,
}

/// A session that was read, with what it takes to replace it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) record: Record,
    /// The right to replace it in the cache, where the cache is what decides.
    pub(super) guard: Option<Guard>,
}

impl Record {
    pub(super) fn new(data: Data, expires_ms: i64) -> Self {
        Self { data, version: 1, expires_ms }
    }

    /// The record that follows this one.
    pub(super) fn next(&self, changes: &[Change], expires_ms: i64) -> Self {
        let mut data = self.data.clone();
        apply(changes, &mut data);
        Self { data, version: self.version + 1, expires_ms }
    }

    pub(super) fn has_ended(&self, now_ms: i64) -> bool {
        self.expires_ms <= now_ms
    }

    /// How long a cache is to keep it.
    pub(super) fn ttl(&self, now_ms: i64) -> Ttl {
        let left = u64::try_from(self.expires_ms.saturating_sub(now_ms)).unwrap_or(0);
        Ttl::After(Duration::from_millis(left))
    }
}

pub(super) fn apply(changes: &[Change], data: &mut Data) {
    for change in changes {
        change(data);
    }
}
