//! How things are for a rule, by what a node counted.

use std::fmt::Write as _;

use larder_tenancy::{Figures, Insight};

use super::rule::AlertKind;
use super::state::{Seen, Verdict};

/// Fewer keys asked for in a minute than this tell nothing of the hit rate.
const LEAST_GETS: u64 = 10;

/// Percentage points by which a share must be right to be right.
const MARGIN: f64 = 2.0;

/// Forms of keys that a notice names, and characters of each.
const MOST_PATTERNS: usize = 5;
const LONGEST_PATTERN: usize = 80;

/// What a node says of a tenant.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) now: u64,
    pub(super) figures: Figures,
    /// What was counted, and in how many seconds; none: there was no look before.
    pub(super) counted: Option<(Figures, u64)>,
}

/// How things are for a rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) seen: Seen,
    /// The same for people.
    pub(super) found: String,
}

/// How things are for a rule; none if that cannot be told. `insight` is asked for where it is needed.
pub(super) fn read(
    kind: AlertKind,
    facts: &Facts,
    insight: impl FnOnce() -> Insight,
) -> Option<Reading> {
    match kind {
        AlertKind::HitRateBelow(percent) => hit_rate(facts, percent.into()),
        AlertKind::MemoryAbove(percent) => memory(facts, percent.into()),
        AlertKind::EvictionsAbove(most) => evictions(facts, most),
        AlertKind::NeverHits => never_hits(facts, &insight()),
    }
}

fn hit_rate(facts: &Facts, threshold: f64) -> Option<Reading> {
    let (counted, seconds) = facts.counted?;
    let percent = counted.hit_rate().filter(|_| counted.gets() >= LEAST_GETS)? * 100.0;
    let verdict = match percent {
        low if low < threshold => Verdict::Bad,
        near if near < (threshold + MARGIN).min(100.0) => Verdict::Near,
        _ => Verdict::Good,
    };
    let seen = Seen { verdict, from: facts.now.saturating_sub(seconds) };
    // Cut, not rounded: 79.96 % is not to be called 80.0 %.
    let percent = (percent * 10.0).floor() / 10.0;
    Some(Reading { seen, found: format!("the hit rate is {percent:.1} %") })
}

#[allow(clippy::cast_precision_loss, reason = "a share needs no more digits")]
fn memory(facts: &Facts, threshold: f64) -> Option<Reading> {
    let Figures { bytes, limit_bytes, .. } = facts.figures;
    // A tenant that was never used here has no limit yet; one may reach whatever there is.
    if limit_bytes == 0 || limit_bytes == u64::MAX {
        return None;
    }
    let percent = bytes as f64 / limit_bytes as f64 * 100.0;
    let verdict = match percent {
        high if high > threshold => Verdict::Bad,
        near if near > (threshold - MARGIN).max(0.0) => Verdict::Near,
        _ => Verdict::Good,
    };
    let seen = Seen { verdict, from: facts.now };
    Some(Reading { seen, found: format!("its items take {percent:.1} % of its memory") })
}

fn evictions(facts: &Facts, most: u64) -> Option<Reading> {
    let (counted, seconds) = facts.counted?;
    let a_minute = counted.evictions.saturating_mul(60) / seconds.max(1);
    let verdict = match a_minute {
        many if many > most => Verdict::Bad,
        near if near > most - most / 10 => Verdict::Near,
        _ => Verdict::Good,
    };
    let seen = Seen { verdict, from: facts.now.saturating_sub(seconds) };
    Some(Reading { seen, found: format!("{a_minute} items a minute are evicted") })
}

fn never_hits(facts: &Facts, insight: &Insight) -> Option<Reading> {
    if insight.prefixes.is_empty() {
        return None;
    }
    let never: Vec<_> = insight.prefixes.iter().filter(|prefix| prefix.never_hits).collect();
    let verdict = if never.is_empty() { Verdict::Good } else { Verdict::Bad };
    let mut found = match never.len() {
        0 => "all keys that are stored are hit now".to_owned(),
        _ => "keys are stored again and again and never hit:".to_owned(),
    };
    for (at, prefix) in never.iter().take(MOST_PATTERNS).enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let shown = prefix.pattern.chars().filter(|c| !c.is_control()).take(LONGEST_PATTERN);
        let _ = write!(found, "{comma} {}", shown.collect::<String>());
    }
    if let Some(more @ 1..) = never.len().checked_sub(MOST_PATTERNS) {
        let _ = write!(found, " and {more} more");
    }
    Some(Reading { seen: Seen { verdict, from: facts.now }, found })
}

#[cfg(test)]
mod tests;
