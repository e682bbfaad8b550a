//! What is known since the last minute that was written: looks at the node, and counts the differences.
//!
//! [`Live`] owns what is in memory. What must stay true: each count of the node is part of exactly one
//! minute of a tenant, whatever the clock does; the first look after the start is only what the next is
//! compared with; a look costs little for a tenant whose figures have not changed.

use std::cmp::Reverse;
use std::collections::HashMap;

use larder_tenancy::{Figures, Latency, Node, TenantId};

use super::points::Period;
use super::seconds::{Ring, Rings};
use super::tally::{Gets, Tally, counted};

/// Most tenants whose minute is written. What the less active ones do is counted on, until they are among
/// the most active or the hour is over.
pub(super) const MOST_ROWS: usize = 1000;

/// A late look counts for so many seconds at most: the machine may have slept for hours.
const LATEST: u64 = 60;

/// What is in memory.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// When the last look was; 0: never.
    now: u64,
    /// When the node was started, as it says.
    started: u64,
    sum: Counted,
    sum_seconds: Ring,
    tenants: HashMap<TenantId, Counted>,
    seconds: Rings,
    minute: Minute,
}

/// What is known of a tenant, or of all together.
#[derive(Debug, Default)]
struct Counted {
    /// When it was last there.
    seen: u64,
    /// What its figures were then.
    last: Figures,
    /// What its latencies were when they were last looked at; none: no request yet.
    latency: Option<Latency>,
    /// What it did since its last minute that was handed on.
    open: Option<Tally>,
}

/// The minute that is not over.
#[derive(Debug, Clone, Copy, Default)]
struct Minute {
    at: u64,
    seconds: u64,
    is_start: bool,
}

/// A minute that is over.
#[derive(Debug)]
pub(super) struct Ended {
    /// When it was found to be over.
    pub(super) now: u64,
    /// When it began, its seconds, and how it went; the tally is that of the node.
    pub(super) period: Period,
    /// The tenants' rows, as [`Tally::encode`] has them.
    pub(super) rows: Vec<(TenantId, Box<[u8]>)>,
}

impl Live {
    /// Looks at the node. The minute that is over by now, if one is.
    pub(super) fn look(&mut self, now: u64, node: &dyn Node) -> Option<Ended> {
        let started = node.facts().started;
        if self.now == 0 {
            self.begin(now, started, node);
            return None;
        }
        if now == self.now {
            return None;
        }
        // A clock that was put back says nothing of the time that passed.
        let seconds = now.checked_sub(self.now).map_or(1, |gap| gap.min(LATEST));
        self.now = now;
        let at = now.saturating_sub(1);
        let minute = at / 60 * 60;
        let ended = if minute == self.minute.at { None } else { self.end(minute, Some(node)) };
        if started != self.started {
            self.restart(started);
        }
        self.minute.at = minute;
        self.minute.seconds += seconds;
        self.look_at_sum(at, seconds, node);
        self.look_at_tenants(at, seconds, node);
        ended
    }

    /// Ends the minute, as time is in the one that begins at `next`. Without a node, as at the end of the
    /// process, latencies of some tenants since their last second are not known.
    pub(super) fn end(&mut self, next: u64, node: Option<&dyn Node>) -> Option<Ended> {
        let Minute { at, seconds, is_start } = self.minute;
        if seconds == 0 {
            self.minute.at = next;
            return None;
        }
        self.minute = Minute { at: next, ..Minute::default() };
        let mut open: Vec<_> =
            self.tenants.iter_mut().filter(|(_, counted)| counted.open.is_some()).collect();
        let is_hour_over = next / 3600 != at / 3600 || node.is_none();
        let is_cut = !is_hour_over && open.len() > MOST_ROWS;
        if is_cut {
            open.select_nth_unstable_by_key(MOST_ROWS, |(_, counted)| Reverse(counted.activity()));
            open.truncate(MOST_ROWS);
        }
        let row = |(id, counted): (&TenantId, &mut Counted)| {
            if let Some(node) = node {
                counted.take_latency(&node.latency(Some(*id)));
            }
            Some((*id, counted.open.take()?.encode()))
        };
        let rows = open.into_iter().filter_map(row).collect();
        let tally = self.sum.open.take();
        Some(Ended { now: self.now, period: Period { at, seconds, is_cut, is_start, tally }, rows })
    }

    /// When the last look was; 0: never.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Somebody wants to know of a tenant, and will again.
    pub(super) fn watch(&mut self, tenant: Option<TenantId>) {
        if let Some(id) = tenant
            && let Some(counted) = self.tenants.get(&id)
        {
            self.seconds.watch(id, self.now, counted.last);
        }
    }

    /// What the figures of a tenant were at the last look, if it was ever used.
    pub(super) fn last(&self, tenant: Option<TenantId>) -> Option<Figures> {
        Some(self.counted(tenant)?.last)
    }

    /// When the minute that is not over began.
    pub(super) fn minute(&self) -> u64 {
        self.minute.at
    }

    /// What a tenant did in the minute that is not over.
    pub(super) fn open(&self, tenant: Option<TenantId>) -> Period {
        let tally = self.counted(tenant).and_then(|counted| counted.open.clone());
        let Minute { at, seconds, is_start } = self.minute;
        Period { at, seconds, is_cut: false, is_start, tally }
    }

    /// Keys asked for by a tenant in that minute.
    pub(super) fn open_gets(&self, tenant: Option<TenantId>) -> Gets {
        let open = self.counted(tenant).and_then(|counted| counted.open.as_ref());
        open.map(|open| Gets::of(&open.figures)).unwrap_or_default()
    }

    /// Keys asked for by a tenant from the second at `from` on.
    pub(super) fn gets_from(&self, tenant: Option<TenantId>, from: u64) -> Gets {
        let Some(ring) = self.ring(tenant) else { return Gets::default() };
        let gets = ring.from(from).map(|(_, _, tally)| Gets::of(&tally.figures));
        gets.fold(Gets::default(), Gets::plus)
    }

    /// The seconds from that at `from` on, as far back as they are known, and the levels before.
    pub(super) fn seconds(
        &self,
        tenant: Option<TenantId>,
        from: u64,
    ) -> (Vec<Period>, Option<Figures>) {
        let Some(ring) = self.ring(tenant) else { return (Vec::new(), None) };
        let from = from.max(ring.since());
        let mut own: HashMap<u64, Tally> =
            ring.from(from).map(|(at, _, tally)| (at, tally)).collect();
        let period = |(at, seconds, _)| {
            let tally = own.remove(&at);
            Period { at, seconds, tally, ..Period::default() }
        };
        let periods = self.sum_seconds.from(from).map(period).collect();
        (periods, Some(ring.levels_before(from)))
    }

    fn counted(&self, tenant: Option<TenantId>) -> Option<&Counted> {
        match tenant {
            Some(id) => self.tenants.get(&id),
            None => Some(&self.sum),
        }
    }

    fn ring(&self, tenant: Option<TenantId>) -> Option<&Ring> {
        match tenant {
            Some(id) => self.seconds.get(id),
            None => Some(&self.sum_seconds),
        }
    }

    /// The first look: from here on it is counted.
    fn begin(&mut self, now: u64, started: u64, node: &dyn Node) {
        (self.now, self.started) = (now, started);
        self.minute = Minute { at: now / 60 * 60, seconds: 0, is_start: true };
        self.sum = Counted::now(now, node.figures(None), node.latency(None));
        self.sum_seconds = Ring::new(now, self.sum.last);
        let counted = |(id, figures)| (id, Counted::now(now, figures, node.latency(Some(id))));
        self.tenants = node.all_figures().into_iter().map(counted).collect();
    }

    /// The node was started again: its counts began at 0.
    fn restart(&mut self, started: u64) {
        self.started = started;
        self.minute.is_start = true;
        for counted in self.tenants.values_mut().chain([&mut self.sum]) {
            (counted.last, counted.latency) = Default::default();
        }
    }

    /// Counts what all did together, also where that is nothing: so it is known that there was a look.
    fn look_at_sum(&mut self, at: u64, seconds: u64, node: &dyn Node) {
        let figures = self.sum.count(node.figures(None));
        let latency = self.sum.take_latency(&node.latency(None));
        self.sum_seconds.push(at, seconds, &Tally { figures, latency });
    }

    fn look_at_tenants(&mut self, at: u64, seconds: u64, node: &dyn Node) {
        let all = node.all_figures();
        let count = all.len();
        for (id, figures) in all {
            let counted = self.tenants.entry(id).or_default();
            counted.seen = self.now;
            if counted.last == figures {
                continue;
            }
            let before = counted.last;
            let figures = counted.count(figures);
            if let Some(ring) = self.seconds.active(id, at, before) {
                let latency = counted.take_latency(&node.latency(Some(id)));
                ring.push(at, seconds, &Tally { figures, latency });
            }
        }
        if count < self.tenants.len() {
            self.forget_the_gone();
        }
    }

    /// Forgets tenants that the node has no more, once what they did is written.
    fn forget_the_gone(&mut self) {
        let (now, seconds) = (self.now, &mut self.seconds);
        self.tenants.retain(|id, counted| {
            if counted.seen != now {
                // Should it be back before, it counts from 0.
                (counted.last, counted.latency) = Default::default();
                seconds.remove(*id);
            }
            counted.seen == now || counted.open.is_some()
        });
    }
}

impl Counted {
    fn now(now: u64, figures: Figures, latency: Latency) -> Self {
        Self { seen: now, last: figures, latency: Some(latency), open: None }
    }

    /// Counts what is different in the figures.
    fn count(&mut self, now: Figures) -> Figures {
        let figures = counted(&now, &self.last);
        self.last = now;
        let open = self.open.get_or_insert_default();
        open.add(&Tally { figures, latency: Latency::default() });
        figures
    }

    /// Counts what is different in the latencies.
    fn take_latency(&mut self, now: &Latency) -> Latency {
        let latency = match &self.latency {
            None => now.clone(),
            Some(before) if before.total() <= now.total() => now.since(before),
            Some(_) => Latency::default(),
        };
        self.latency = Some(now.clone());
        if let Some(open) = &mut self.open {
            open.latency.merge(&latency);
        }
        latency
    }

    /// How much it did since it was last written.
    fn activity(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| {
            let figures = &open.figures;
            let writes = [figures.sets, figures.delete_hits, figures.delete_misses];
            writes.into_iter().fold(figures.gets(), u64::saturating_add)
        })
    }
}
