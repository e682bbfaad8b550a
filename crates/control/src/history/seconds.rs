//! The last minutes, second by second, in memory.
//!
//! A [`Ring`] has those of one tenant, or of the node. [`Rings`] are those of the tenants that were last
//! active or last looked at; it is bounded by [`Rings::MOST`], and each of them by [`Ring::MOST_BYTES`].

use std::collections::{HashMap, VecDeque};

use larder_tenancy::{Figures, TenantId};

use super::tally::{Tally, names};

/// The seconds of one tenant, or of the node. A second in which nothing changed has no entry.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// From when on it has every second.
    since: u64,
    /// The levels before the first entry.
    before: Figures,
    entries: VecDeque<Second>,
    bytes: usize,
    active: u64,
    watched: u64,
}

#[derive(Debug)]
struct Second {
    at: u64,
    seconds: u64,
    row: Box<[u8]>,
}

impl Ring {
    /// Seconds that are kept: ten minutes and some.
    const KEPT: u64 = 660;

    /// Bytes of rows and entries, 256 for each second. Of a tenant whose rows are larger, fewer seconds are
    /// kept.
    const MOST_BYTES: usize = 660 * 256;

    pub(super) fn new(since: u64, before: Figures) -> Self {
        Self { since, before, active: since, ..Self::default() }
    }

    /// Notes what was counted in the `seconds` up to the end of that at `at`. What it has of that second
    /// and later ones, from before the clock was put back, is forgotten.
    pub(super) fn push(&mut self, at: u64, seconds: u64, tally: &Tally) {
        self.since = self.since.min(at);
        while let Some(last) = self.entries.pop_back_if(|last| last.at >= at) {
            self.bytes -= last.size();
        }
        let second = Second { at, seconds, row: tally.encode() };
        self.bytes += second.size();
        self.entries.push_back(second);
        self.active = at;
        let oldest = at.saturating_sub(Self::KEPT);
        while self.bytes > Self::MOST_BYTES
            || self.entries.front().is_some_and(|first| first.at < oldest)
        {
            self.forget_first();
        }
    }

    /// The entries from `from` on.
    pub(super) fn from(&self, from: u64) -> impl Iterator<Item = (u64, u64, Tally)> {
        let begin = self.entries.partition_point(|second| second.at < from);
        self.entries
            .range(begin..)
            .filter_map(|second| Some((second.at, second.seconds, second.tally()?)))
    }

    /// From when on it has every second.
    pub(super) fn since(&self) -> u64 {
        self.since
    }

    /// The levels at the end of the second before `from`.
    pub(super) fn levels_before(&self, from: u64) -> Figures {
        let end = self.entries.partition_point(|second| second.at < from);
        let last = end.checked_sub(1).and_then(|last| self.entries.get(last));
        last.and_then(Second::tally).map_or(self.before, |tally| tally.figures)
    }

    fn forget_first(&mut self) {
        if let Some(first) = self.entries.pop_front() {
            self.bytes -= first.size();
            self.since = first.at + 1;
            if let Some(tally) = first.tally() {
                self.before = tally.figures;
            }
        }
    }
}

impl Second {
    fn size(&self) -> usize {
        size_of::<Self>() + self.row.len()
    }

    fn tally(&self) -> Option<Tally> {
        Tally::decode(&self.row, names())
    }
}

/// The seconds of some tenants.
#[derive(Debug, Default)]
pub(super) struct Rings {
    of: HashMap<TenantId, Ring>,
}

impl Rings {
    /// How many tenants have their seconds kept.
    pub(super) const MOST: usize = 256;

    /// After so many seconds without activity or a look, a tenant makes room for another.
    const IDLE: u64 = 60;

    pub(super) fn get(&self, tenant: TenantId) -> Option<&Ring> {
        self.of.get(&tenant)
    }

    /// The ring of a tenant that is active. If it has none it gets one, unless all are in use; `before` is
    /// what its figures were until `at`.
    pub(super) fn active(
        &mut self,
        tenant: TenantId,
        at: u64,
        before: Figures,
    ) -> Option<&mut Ring> {
        if !self.of.contains_key(&tenant) && self.of.len() >= Self::MOST {
            let oldest = at.saturating_sub(Self::IDLE);
            let (idle, _) =
                self.of.iter().find(|(_, ring)| ring.active < oldest && ring.watched < oldest)?;
            let idle = *idle;
            self.of.remove(&idle);
        }
        Some(self.of.entry(tenant).or_insert_with(|| Ring::new(at, before)))
    }

    /// Somebody looks at a tenant: it gets a ring, if need be in the place of one that nobody looks at.
    pub(super) fn watch(&mut self, tenant: TenantId, at: u64, before: Figures) {
        if !self.of.contains_key(&tenant) && self.of.len() >= Self::MOST {
            let last = self.of.iter().min_by_key(|(_, ring)| (ring.watched, ring.active));
            if let Some(last) = last.map(|(tenant, _)| *tenant) {
                self.of.remove(&last);
            }
        }
        let ring = self.of.entry(tenant).or_insert_with(|| Ring::new(at, before));
        ring.watched = at;
    }

    /// Forgets a tenant.
    pub(super) fn remove(&mut self, tenant: TenantId) {
        self.of.remove(&tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(items: u64) -> Tally {
        let figures = Figures { get_hits: 1, items, ..Figures::default() };
        Tally { figures, ..Tally::default() }
    }

    #[test]
    fn a_ring_keeps_eleven_minutes_and_the_levels_before() {
        let mut ring = Ring::new(0, Figures::default());
        for at in 1..=2000 {
            ring.push(at, 1, &tally(at));
        }
        let kept: Vec<_> = ring.from(0).map(|(at, ..)| at).collect();
        assert_eq!(kept, (1340..=2000).collect::<Vec<_>>());
        assert_eq!(ring.since(), 1340);
        assert_eq!(ring.levels_before(1340).items, 1339);
        assert_eq!(ring.levels_before(1500).items, 1499);
        assert_eq!(ring.from(1990).count(), 11);
    }

    #[test]
    fn a_ring_of_large_rows_keeps_fewer() {
        let mut ring = Ring::new(0, Figures::default());
        let mut large = tally(1);
        for bucket in 0..160 {
            large.latency.add(bucket, 1 << 40);
        }
        for at in 0..2000 {
            ring.push(at, 1, &large);
            let sum: usize = ring.entries.iter().map(Second::size).sum();
            assert!(ring.bytes == sum && sum <= Ring::MOST_BYTES);
        }
        assert!(ring.entries.len() > 100);
    }

    #[test]
    fn a_clock_put_back_takes_what_is_later() {
        let mut ring = Ring::new(0, Figures::default());
        for at in [5, 6, 7, 5] {
            ring.push(at, 1, &tally(at));
        }
        assert_eq!(ring.from(0).map(|(at, ..)| at).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn rings_are_of_those_who_are_active_or_looked_at() {
        let mut rings = Rings::default();
        let none = Figures::default();
        let most = u32::try_from(Rings::MOST).unwrap();
        for tenant in 0..most {
            rings.active(TenantId::new(tenant), 100, none).unwrap();
        }
        let late = TenantId::new(most);
        assert!(rings.active(late, 150, none).is_none(), "all are in use");
        rings.watch(TenantId::new(0), 150, none);
        rings.watch(late, 151, none);
        assert!(rings.get(late).is_some() && rings.get(TenantId::new(0)).is_some());
        assert_eq!(rings.of.len(), Rings::MOST);
        // After a minute the others are idle.
        for tenant in most + 1..2 * most {
            assert!(rings.active(TenantId::new(tenant), 161, none).is_none() || tenant > most);
        }
        assert_eq!(rings.of.len(), Rings::MOST);
        assert!(rings.get(late).is_some(), "somebody looks at it");
    }
}
