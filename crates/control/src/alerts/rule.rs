//! What people ask to be told of.

use std::fmt;

use larder_tenancy::{TenantId, TenantName};

use super::webhook::Webhook;

/// When to tell whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRule {
    /// Its number, never used again.
    pub id: i64,
    /// Whose figures it is about.
    pub tenant: TenantName,
    /// The number of that tenant.
    pub tenant_id: TenantId,
    /// What is wrong.
    pub kind: AlertKind,
    /// For how many minutes it must be wrong before it is told, and right again before that is told; 1 to
    /// [`AlertRule::MOST_MINUTES`].
    pub for_minutes: u32,
    /// Where it is told; none: only on the dashboard.
    pub webhook: Option<Webhook>,
    /// Whether the webhook may be at an address that is not public, because an operator set it.
    pub webhook_private: bool,
    /// Whether it is looked at.
    pub enabled: bool,
}

impl AlertRule {
    /// Whether another rule asks for the same.
    pub(super) fn asks_as(&self, other: &AlertRule) -> bool {
        (self.kind, self.for_minutes) == (other.kind, other.for_minutes)
    }

    /// The longest time that something must be wrong: a day.
    pub const MOST_MINUTES: u32 = 24 * 60;

    /// The most rules of one tenant.
    pub const MOST_PER_TENANT: usize = 20;
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlertKind {
    /// Of the keys asked for in a minute, fewer than these percent were found; 1 to 100.
    HitRateBelow(u8),
    /// The tenant's items take more than these percent of its limit; 1 to 99.
    MemoryAbove(u8),
    /// More items than this were evicted in a minute; up to [`AlertKind::MOST_EVICTIONS`].
    EvictionsAbove(u64),
    /// Keys of some form are stored again and again and never read with success.
    NeverHits,
}

impl AlertKind {
    /// The highest threshold for evictions in a minute.
    pub const MOST_EVICTIONS: u64 = 1_000_000_000;

    /// As it is stored and written in JSON: `hit_rate_below`, `memory_above`, `evictions_above`,
    /// `never_hits`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AlertKind::HitRateBelow(_) => "hit_rate_below",
            AlertKind::MemoryAbove(_) => "memory_above",
            AlertKind::EvictionsAbove(_) => "evictions_above",
            AlertKind::NeverHits => "never_hits",
        }
    }

    /// The threshold, as it is stored: percent, or evictions in a minute; none where there is none.
    #[must_use]
    pub fn threshold(self) -> Option<u64> {
        match self {
            AlertKind::HitRateBelow(percent) | AlertKind::MemoryAbove(percent) => {
                Some(percent.into())
            }
            AlertKind::EvictionsAbove(count) => Some(count),
            AlertKind::NeverHits => None,
        }
    }

    /// The kind of this name with this threshold.
    ///
    /// # Errors
    ///
    /// What is wrong with the name or the threshold, and what would be right.
    pub fn named(name: &str, threshold: Option<u64>) -> Result<Self, AlertError> {
        let percent = |most: u8| match threshold.map(u8::try_from) {
            Some(Ok(percent)) if (1..=most).contains(&percent) => Ok(percent),
            _ => Err(AlertError::Threshold {
                kind: name.into(),
                given: threshold,
                most: most.into(),
            }),
        };
        match (name, threshold) {
            ("hit_rate_below", _) => Ok(AlertKind::HitRateBelow(percent(100)?)),
            ("memory_above", _) => Ok(AlertKind::MemoryAbove(percent(99)?)),
            ("evictions_above", Some(count @ 1..=Self::MOST_EVICTIONS)) => {
                Ok(AlertKind::EvictionsAbove(count))
            }
            ("evictions_above", given) => {
                Err(AlertError::Threshold { kind: name.into(), given, most: Self::MOST_EVICTIONS })
            }
            ("never_hits", None) => Ok(AlertKind::NeverHits),
            ("never_hits", Some(given)) => Err(AlertError::NoThreshold(given)),
            _ => Err(AlertError::Kind(name.into())),
        }
    }
}

impl fmt::Display for AlertKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AlertKind::HitRateBelow(percent) => write!(f, "hit rate below {percent} %"),
            AlertKind::MemoryAbove(percent) => write!(f, "memory above {percent} % of the limit"),
            AlertKind::EvictionsAbove(count) => write!(f, "more than {count} evictions a minute"),
            AlertKind::NeverHits => write!(f, "keys that are stored and never hit"),
        }
    }
}

/// A rule to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAlert {
    /// What is wrong.
    pub kind: AlertKind,
    /// For how many minutes; 1 to [`AlertRule::MOST_MINUTES`].
    pub for_minutes: u32,
    /// Where it is told.
    pub webhook: Option<Webhook>,
    /// Whether the webhook may be at an address that is not public, because an operator set it.
    pub webhook_private: bool,
    /// Whether it is looked at.
    pub enabled: bool,
}

/// What is to be different about a rule. What is none stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlertChange {
    /// What is wrong.
    pub kind: Option<AlertKind>,
    /// For how many minutes.
    pub for_minutes: Option<u32>,
    /// Where it is told, or no more.
    pub webhook: Option<Option<Webhook>>,
    /// Whether the webhook may be at an address that is not public, because an operator set it.
    pub webhook_private: Option<bool>,
    /// Whether it is looked at.
    pub enabled: Option<bool>,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlertError {
    /// No such kind.
    #[error(
        "{0:?} is no kind of alert: hit_rate_below, memory_above, evictions_above or never_hits"
    )]
    Kind(String),
    /// The threshold is missing or out of range.
    #[error(
        "{kind} needs a threshold from 1 to {most}{}",
        given.map(|given| format!(", not {given}")).unwrap_or_default()
    )]
    Threshold {
        /// Of which kind.
        kind: String,
        /// What was given.
        given: Option<u64>,
        /// The highest.
        most: u64,
    },
    /// A threshold where there is none.
    #[error("never_hits has no threshold, but {0} was given")]
    NoThreshold(u64),
    /// A webhook that cannot be.
    #[error("a webhook {0}; right is https://HOST/PATH or http://HOST/PATH, of at most 2048 bytes")]
    Webhook(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_come_back_from_their_name_and_threshold() {
        let most = AlertKind::MOST_EVICTIONS;
        for kind in [
            AlertKind::HitRateBelow(1),
            AlertKind::HitRateBelow(100),
            AlertKind::MemoryAbove(99),
            AlertKind::EvictionsAbove(1),
            AlertKind::EvictionsAbove(most),
            AlertKind::NeverHits,
        ] {
            assert_eq!(AlertKind::named(kind.name(), kind.threshold()), Ok(kind));
        }
    }

    #[test]
    fn what_cannot_be_says_what_would_be_right() {
        for (name, threshold, says) in [
            ("hit_rate_below", None, "hit_rate_below needs a threshold from 1 to 100"),
            ("hit_rate_below", Some(0), "from 1 to 100, not 0"),
            ("hit_rate_below", Some(101), "from 1 to 100, not 101"),
            ("hit_rate_below", Some(256), "from 1 to 100, not 256"),
            ("memory_above", Some(100), "memory_above needs a threshold from 1 to 99, not 100"),
            ("evictions_above", None, "evictions_above needs a threshold from 1 to 1000000000"),
            ("evictions_above", Some(u64::MAX), "not 18446744073709551615"),
            ("never_hits", Some(3), "never_hits has no threshold, but 3 was given"),
            ("", None, "\"\" is no kind of alert: hit_rate_below,"),
        ] {
            let error = AlertKind::named(name, threshold).unwrap_err().to_string();
            assert!(error.contains(says), "{name} {threshold:?}: {error}");
        }
    }
}
