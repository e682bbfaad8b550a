//! A node whose figures the test sets, and a history that looks at it.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder_control::{History, Point, Series, Span};
use larder_tenancy::{Figures, Insight, ItemFacts, Latency, Node, NodeFacts, TenantId};

/// Sunday, 22 November 2026, 08:00 UTC: the beginning of an hour.
pub(crate) const EIGHT: u64 = 1_795_334_400;

/// A node whose figures the test sets.
#[derive(Default)]
pub(crate) struct FakeNode {
    counted: Mutex<BTreeMap<TenantId, (Figures, Latency)>>,
    /// What all did together, where a test of many tenants counts that itself.
    pub(crate) sum: Mutex<Option<(Figures, Latency)>>,
    started: Mutex<u64>,
    /// What it says of every tenant's keys.
    pub(crate) insight: Mutex<Insight>,
}

impl FakeNode {
    /// Counts hits and misses, 1 µs each, and sets an item for each miss.
    pub(crate) fn gets(&self, tenant: u32, hits: u64, misses: u64) {
        let mut counted = self.counted.lock().unwrap();
        let (figures, latency) = counted.entry(TenantId::new(tenant)).or_default();
        figures.get_hits += hits;
        figures.get_misses += misses;
        figures.sets += misses;
        figures.items += misses;
        figures.limit_bytes = 1000;
        latency.add(Latency::bucket(1000), hits + misses);
    }

    /// Whatever the test wants.
    pub(crate) fn with<T>(
        &self,
        act: impl FnOnce(&mut BTreeMap<TenantId, (Figures, Latency)>) -> T,
    ) -> T {
        act(&mut self.counted.lock().unwrap())
    }

    /// Starts again: all is 0.
    pub(crate) fn restart(&self, at: u64) {
        self.with(BTreeMap::clear);
        *self.started.lock().unwrap() = at;
    }
}

impl Node for FakeNode {
    fn facts(&self) -> NodeFacts {
        NodeFacts { started: *self.started.lock().unwrap(), ..NodeFacts::default() }
    }

    fn figures(&self, tenant: Option<TenantId>) -> Figures {
        if let (None, Some((sum, _))) = (tenant, &*self.sum.lock().unwrap()) {
            return *sum;
        }
        let none = Figures::default();
        self.with(|counted| match tenant {
            Some(id) => counted.get(&id).map_or(none, |(figures, _)| *figures),
            None => counted.values().fold(none, |sum, (figures, _)| sum.plus(figures)),
        })
    }

    fn all_figures(&self) -> Vec<(TenantId, Figures)> {
        self.with(|counted| counted.iter().map(|(id, (figures, _))| (*id, *figures)).collect())
    }

    fn latency(&self, tenant: Option<TenantId>) -> Latency {
        if let (None, Some((_, sum))) = (tenant, &*self.sum.lock().unwrap()) {
            return sum.clone();
        }
        self.with(|counted| match tenant {
            Some(id) => counted.get(&id).map(|(_, latency)| latency.clone()).unwrap_or_default(),
            None => counted.values().fold(Latency::default(), |mut sum, (_, latency)| {
                sum.merge(latency);
                sum
            }),
        })
    }

    fn insight(&self, _: TenantId) -> Insight {
        self.insight.lock().unwrap().clone()
    }

    fn last_used(&self) -> Vec<(Arc<[u8]>, u64)> {
        Vec::new()
    }

    fn look_up(&self, _: TenantId, _: &[u8]) -> Option<ItemFacts> {
        None
    }

    fn value(&self, _: TenantId, _: &[u8], _: usize) -> Option<Vec<u8>> {
        None
    }

    fn delete(&self, _: TenantId, _: &[u8]) -> bool {
        false
    }

    fn flush(&self, _: TenantId) {}

    fn probe(&self) -> Result<Duration, String> {
        Ok(Duration::ZERO)
    }
}

/// A history, its node and the time.
pub(crate) struct Watched {
    pub(crate) history: History,
    pub(crate) node: FakeNode,
    pub(crate) now: u64,
}

impl Watched {
    /// A history in this directory that had its first look, at `now`.
    pub(crate) async fn new(dir: &Path, now: u64) -> Self {
        let history = History::open(&dir.join("history.db")).await.unwrap();
        let node = FakeNode::default();
        *node.started.lock().unwrap() = now;
        history.sample(now, &node).await;
        Self { history, node, now }
    }

    /// The process ends suddenly and starts again at `now`.
    pub(crate) async fn restart(self, dir: &Path, now: u64) -> Self {
        drop(self);
        Self::new(dir, now).await
    }

    /// A second passes, in which `act` happens.
    pub(crate) async fn second(&mut self, act: impl FnOnce(&FakeNode)) {
        act(&self.node);
        self.jump(self.now + 1).await;
    }

    /// Seconds pass until `then`; `act` happens in each.
    pub(crate) async fn until(&mut self, then: u64, act: impl Fn(&FakeNode)) {
        while self.now < then {
            self.second(&act).await;
        }
    }

    /// The time is another, and there is a look.
    pub(crate) async fn jump(&mut self, now: u64) {
        self.history.sample(now, &self.node).await;
        // A minute for which a slow disk makes wait is lost. Here minutes take no time, so each is given
        // the time to be written: who reads waits for that.
        if std::mem::replace(&mut self.now, now) / 60 != now / 60 {
            let _ = self.history.series(None, Span::ThreeHours).await;
        }
    }

    pub(crate) async fn series(&self, tenant: u32, span: Span) -> Series {
        self.history.series(Some(TenantId::new(tenant)), span).await.unwrap()
    }

    pub(crate) async fn sum(&self, span: Span) -> Series {
        self.history.series(None, span).await.unwrap()
    }
}

/// When, for how many seconds, hits, misses, items: relative to [`EIGHT`].
pub(crate) fn shown(series: &Series) -> Vec<(i64, u64, u64, u64, u64)> {
    let shown = |point: &Point| {
        let at = i64::try_from(point.at).unwrap() - i64::try_from(EIGHT).unwrap();
        let figures = &point.figures;
        (at, point.seconds, figures.get_hits, figures.get_misses, figures.items)
    };
    series.points.iter().map(shown).collect()
}
