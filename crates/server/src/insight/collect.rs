//! The collector: empties the rings, feeds the observers, and decides how much is looked at.
//!
//! What bounds it: [`MOST_OBSERVERS`] observers, of which each bounds itself, and [`BUDGET`] samples a
//! second of either kind. If more tenants than that are busy the busiest are looked at.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use larder_insight::{Event, Limits, Observer};
use larder_tenancy::{Insight, TenantId};

use super::Insights;
use super::ring::{Sample, Samples};
use super::trace::MOST;
use crate::node::{Node, TenantState};

/// Tenants that are looked at, at most.
const MOST_OBSERVERS: usize = 64;

/// Samples that all tenants together should make in a second, by request and by key each. A sample costs
/// about a microsecond, all in.
const BUDGET: u64 = 2000;

/// The least that a tenant's share of it is.
const LEAST_SHARE: u64 = 50;

/// How often it is decided how much is looked at, in milliseconds; and how often at most, if samples were
/// dropped.
const DECIDED_EVERY: u64 = 1000;
const DECIDED_AT_MOST_EVERY: u64 = 50;

/// An observer that was not fed for so long, in milliseconds, makes room for another tenant's.
const OBSERVED_FOR: u64 = 1000;

/// Keys of a tenant that are looked up each time, because it is not known whether they are still there.
const DOUBTFUL: usize = 32;

/// What was collected.
#[derive(Debug, Default)]
pub(super) struct Collected {
    observed: HashMap<TenantId, Observed>,
    /// What is to be fed.
    waiting: Vec<(Sample, Box<[u8]>)>,
    /// Emptied, to be exchanged for a full one.
    place: Option<Samples>,
    /// What tenants had asked for when it was last decided, and when that was, by the node's age.
    asked: HashMap<TenantId, u64>,
    decided: u64,
}

/// A tenant that is looked at.
#[derive(Debug)]
struct Observed {
    state: Arc<TenantState>,
    observer: Observer,
    /// When it was last fed, by the node's age.
    fed: u64,
}

impl Collected {
    /// Takes in what was sampled, and decides anew how much is looked at if it is time to.
    pub(super) fn collect(&mut self, insights: &Insights, node: &Node) {
        // What is taken from now on may come before something that is not in its ring yet.
        let until = insights.taken.load(Ordering::SeqCst);
        let dropped = self.empty(insights);
        self.feed(until, node);
        self.look(node);
        let (now, since) = (node.age_ms(), node.age_ms() - self.decided);
        if since >= DECIDED_EVERY || (dropped > 0 && since >= DECIDED_AT_MOST_EVERY) {
            self.decide(since, node);
            self.decided = now;
        }
    }

    /// What is known of a tenant.
    pub(super) fn insight(&self, tenant: TenantId, node: &Node) -> Insight {
        let observed = self.observed.get(&tenant);
        let insight = observed.map_or_else(Insight::default, |it| it.observer.insight());
        let exponents = node.existing_tenant(tenant).and_then(|state| state.trace.exponents());
        Insight {
            share: exponents.map_or(0.0, |(by_request, _)| 0.5_f64.powi(by_request.cast_signed())),
            ..insight
        }
    }

    /// Empties all rings; returns how many samples they had no room for.
    fn empty(&mut self, insights: &Insights) -> u64 {
        let mut place = self.place.take().unwrap_or_else(Samples::with_room);
        let mut dropped = 0;
        for ring in &insights.rings {
            dropped += ring.take(&mut place);
            self.waiting.extend(place.iter().map(|(sample, key)| (*sample, key.into())));
            place.clear();
        }
        self.place = Some(place);
        dropped
    }

    /// Feeds what has a number below `until`, in order.
    fn feed(&mut self, until: u64, node: &Node) {
        self.waiting.sort_unstable_by_key(|(sample, _)| sample.number);
        let ready = self.waiting.partition_point(|(sample, _)| sample.number < until);
        let mut waiting = std::mem::take(&mut self.waiting);
        for (sample, key) in waiting.drain(..ready) {
            if let Some(observed) = self.observed(sample.tenant, node) {
                observed.feed(&sample, &key);
            }
        }
        self.waiting = waiting;
    }

    /// The observer of a tenant; none if it is gone, or there are too many busier ones.
    fn observed(&mut self, tenant: TenantId, node: &Node) -> Option<&mut Observed> {
        let now = node.age_ms();
        if !self.observed.contains_key(&tenant) {
            let state = node.existing_tenant(tenant)?;
            if self.observed.len() >= MOST_OBSERVERS {
                let (last, idlest) = self.observed.iter().min_by_key(|(_, it)| it.fed)?;
                if now < idlest.fed + OBSERVED_FOR {
                    return None;
                }
                let last = *last;
                self.observed.remove(&last);
            }
            let observer = Observer::new(Limits::USUAL);
            self.observed.insert(tenant, Observed { state, observer, fed: now });
        }
        let observed = self.observed.get_mut(&tenant)?;
        observed.fed = now;
        Some(observed)
    }

    /// Has flushes take effect whose time has come, and looks whether keys are still there of which the
    /// observers do not know.
    fn look(&mut self, node: &Node) {
        let unix_ms = node.now().unix_ms;
        for Observed { state, observer, .. } in self.observed.values_mut() {
            if let Some(at) = state.trace.due_flush(unix_ms) {
                observer.flushed(at);
            }
            let doubtful: Vec<Box<[u8]>> =
                observer.doubtful(unix_ms, DOUBTFUL).map(Into::into).collect();
            for key in doubtful {
                let reader = node.store.reader();
                let present = reader.of(&state.store).peek(state.store.hashed(&key)).is_some();
                drop(reader);
                observer.looked(&key, present, unix_ms);
            }
        }
    }

    /// Decides how much is looked at, by what was asked for in the last `since` milliseconds.
    fn decide(&mut self, since: u64, node: &Node) {
        let before = std::mem::take(&mut self.asked);
        let mut loads = Vec::new();
        for state in node.all_tenants() {
            let asked = state.asked();
            let more = asked - before.get(&state.id).copied().unwrap_or(0).min(asked);
            self.asked.insert(state.id, asked);
            loads.push((state, more * 1000 / since.max(1)));
        }
        let asked = &self.asked;
        self.observed.retain(|tenant, _| asked.contains_key(tenant));
        let busy = self.busiest(&loads);
        let share = (BUDGET / busy.len().max(1) as u64).max(LEAST_SHARE);
        let all = busy.len() < MOST_OBSERVERS;
        for (state, load) in loads {
            let before = state.trace.exponents();
            let (by_request, by_key) = before.unwrap_or_default();
            let exponents = (all || busy.contains(&state.id)).then(|| {
                // What is known of keys is of no use when others are looked at: that changes seldom.
                (next(by_request, load, share, 2), next(by_key, load, share, 5))
            });
            if exponents != before {
                state.trace.set_exponents(exponents);
            }
        }
    }

    /// The busiest tenants. One that is looked at already counts twice, so that they do not take turns.
    fn busiest(&self, loads: &[(Arc<TenantState>, u64)]) -> HashSet<TenantId> {
        let weight = |(state, load): &(Arc<TenantState>, u64)| {
            (*load > 0)
                .then(|| (load * (1 + u64::from(self.observed.contains_key(&state.id))), state.id))
        };
        let mut busy: Vec<_> = loads.iter().filter_map(weight).collect();
        busy.sort_unstable_by(|one, other| other.cmp(one));
        busy.into_iter().take(MOST_OBSERVERS).map(|(_, id)| id).collect()
    }
}

impl Observed {
    fn feed(&mut self, sample: &Sample, key: &[u8]) {
        if let Some(at) = self.state.trace.due_flush(sample.unix_ms) {
            self.observer.flushed(at);
        }
        self.observer.observe(&Event {
            unix_ms: sample.unix_ms,
            command: sample.command,
            found: sample.found,
            key,
            hash: sample.hash,
            bytes: sample.bytes,
            expires: sample.expires,
            request_weight: sample.request_weight,
            key_weight: sample.key_weight,
        });
    }
}

/// The exponent by which `load` requests a second become no more than `share` samples. It rises at once, and
/// falls step by step when there is `slack`, powers of two, to spare.
fn next(exponent: u32, load: u64, share: u64, slack: u32) -> u32 {
    let needed = (0..MOST).find(|exponent| load >> exponent <= share).unwrap_or(MOST);
    let spare = exponent > needed && load << slack <= share << exponent;
    if spare { exponent - 1 } else { exponent.max(needed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at_follows_the_load() {
        assert_eq!(next(0, 0, 2000, 2), 0);
        assert_eq!(next(0, 2000, 2000, 2), 0);
        assert_eq!(next(0, 2001, 2000, 2), 1);
        assert_eq!(next(0, 1_000_000, 2000, 2), 9, "at once");
        assert_eq!(next(9, 1_000_000, 2000, 2), 9, "and stays");
        assert_eq!(next(9, 300_000, 2000, 2), 9, "for a while");
        assert_eq!(next(9, 200_000, 2000, 2), 8, "and falls step by step");
        assert_eq!(next(1, 0, 2000, 5), 0);
        assert_eq!(next(0, u64::MAX, 50, 5), MOST);
    }
}
