//! The kinds of values that variables have: named choices, switches, durations.
//!
//! Every parser returns `None` for what it does not accept; the caller knows the variable's name
//! and words the error. Choices are lower-case and matched exactly.

use std::time::Duration;

/// How the list of tasks is cached and kept up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryCache {
    /// Every page asks the database.
    Off,
    /// The list lives for a fixed time, and may be stale for as long.
    Expiration,
    /// Every change deletes the cached list.
    Delete,
    /// Every change moves on to a new key.
    Key,
    /// Every change writes the new list into the cache.
    Update,
}

impl QueryCache {
    pub(super) fn parse(text: &str) -> Option<QueryCache> {
        let all = [Self::Off, Self::Expiration, Self::Delete, Self::Key, Self::Update];
        all.into_iter().find(|choice| choice.as_str() == text)
    }

    /// The name it has in `TASKLIST_QUERY_CACHE`.
    pub fn as_str(self) -> &'static str {
        match self {
            QueryCache::Off => "off",
            QueryCache::Expiration => "expiration",
            QueryCache::Delete => "delete",
            QueryCache::Key => "key",
            QueryCache::Update => "update",
        }
    }
}

/// Where sessions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEngine {
    /// In the cache only: fast, and lost with it.
    Cache,
    /// In the database, with the cache written through before it.
    CachedDb,
}

impl SessionEngine {
    pub(super) fn parse(text: &str) -> Option<SessionEngine> {
        [Self::Cache, Self::CachedDb].into_iter().find(|choice| choice.as_str() == text)
    }

    /// The name it has in `TASKLIST_SESSION_ENGINE`.
    pub fn as_str(self) -> &'static str {
        match self {
            SessionEngine::Cache => "cache",
            SessionEngine::CachedDb => "cached_db",
        }
    }
}

/// When cookies are marked `Secure`, so that browsers send them over https only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecureCookies {
    /// When the proxy in front says that the visitor came over https.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl SecureCookies {
    pub(super) fn parse(text: &str) -> Option<SecureCookies> {
        match text {
            "auto" => Some(SecureCookies::Auto),
            "on" => Some(SecureCookies::On),
            "off" => Some(SecureCookies::Off),
            _ => None,
        }
    }
}

/// `on` or `off`.
pub(super) fn switch(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

/// Whole seconds, minutes, hours or days: `90s`, `15m`, `12h`, `14d`. The unit is required.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, seconds) = match text.split_at_checked(text.len().checked_sub(1)?)? {
        (number, "s") => (number, 1),
        (number, "m") => (number, 60),
        (number, "h") => (number, 60 * 60),
        (number, "d") => (number, 24 * 60 * 60),
        _ => return None,
    };
    // `u64::from_str` would take a leading plus.
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}
