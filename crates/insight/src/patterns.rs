//! What was done to the keys of each form.
//!
//! Forms are words with ids collapsed (see [`crate::pattern`]). Where the words themselves are as good as random,
//! as in `user:alice`, forms would be without number. So when the table is full, the piece is collapsed whose
//! collapsing brings the most forms together, `user:*`; the common form *absorbs* from then on what would be new
//! and fits it. Forms that have a good part of the group's commands stay by themselves. If no such piece is found,
//! the least busy forms are parted with, and counted from 0 if they come again.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use larder_tenancy::{Command, Missed, PrefixUse};

use crate::collapse::{Collapsed, Group, Span, collapses};
use crate::decay::Decay;
use crate::fates::{Finding, Reason, reads};
use crate::observer::Event;
use crate::pattern;
use crate::table::Table;

/// How many are shown at most.
const MOST_SHOWN: usize = 100;

/// *Never hits* is said of a form that was stored this often, as far as was looked at, and never read with
/// success since it is counted. If one of ten stores were read, no hit among so many would be a chance of 4 %.
const NEVER_HITS_STORES: u32 = 32;

/// And only if these stores are this far apart, so that a cache being filled in one go raises no alarm.
const NEVER_HITS_MS: u64 = 300_000;

/// Forms are collapsed if they are at least this part of all, and so many.
const FEW_IN: usize = 8;
const MANY: usize = 4;

/// A form keeps itself if it has at least this part of the commands of all that would be collapsed with it, and
/// three times the average.
const KEEPS_ITSELF: f64 = 1.0 / 16.0;

/// For so many new forms after an attempt to collapse, there is no other: it looks at all there are.
const PATIENCE: u32 = 1_000;

/// What was done to the keys of each form.
#[derive(Debug)]
pub(crate) struct Patterns {
    forms: Table<Use>,
    /// Of whom it is said that they absorb.
    absorbing: usize,
    /// New forms to let pass before pieces are collapsed again.
    patience: u32,
    /// The form at hand.
    form: Vec<u8>,
    /// What the form at hand may be absorbed by.
    candidate: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Use {
    score: f64,
    hits: u64,
    misses: u64,
    sets: u64,
    deletes: u64,
    bytes_set: u64,
    evicted_unread: u64,
    missed: Missed,
    first_store_ms: u64,
    last_store_ms: u64,
    stores: u32,
    was_hit: bool,
    absorbs: Option<Span>,
}

impl Patterns {
    /// Takes at most `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            forms: Table::new(bytes),
            absorbing: 0,
            patience: 0,
            form: Vec::new(),
            candidate: Vec::new(),
        }
    }

    /// Counts an event, as far as it is in the sample by request, and what it brought to light.
    pub(crate) fn observe(&mut self, event: &Event<'_>, key: &[u8], worth: f64, finding: Finding) {
        self.change(key, |form| {
            form.count(event, worth);
            form.judge(event);
            form.note(finding);
        });
    }

    /// Counts what a look brought to light.
    pub(crate) fn note(&mut self, key: &[u8], finding: Finding) {
        self.change(key, |form| form.note(finding));
    }

    /// Multiplies all scores.
    pub(crate) fn scale(&mut self, factor: f64) {
        for form in self.forms.values_mut() {
            form.score *= factor;
        }
    }

    /// The busiest of late, the busiest first.
    pub(crate) fn busiest(&self, decay: &Decay) -> Vec<PrefixUse> {
        let mut all: Vec<_> = self.forms.iter().collect();
        all.sort_unstable_by(|(a_form, a), (b_form, b)| {
            b.score.total_cmp(&a.score).then_with(|| a_form.cmp(b_form))
        });
        all.iter().take(MOST_SHOWN).map(|(form, done)| done.shown(form, decay)).collect()
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.forms.bytes() + self.form.capacity() + self.candidate.capacity()
    }

    fn change(&mut self, key: &[u8], change: impl FnOnce(&mut Use)) {
        pattern::write(key, &mut self.form);
        match self.forms.get_mut(&self.form) {
            Some(done) => change(done),
            None => {
                self.place_new();
                change(self.forms.entry(&self.form, Use::default));
            }
        }
    }

    /// Finds what absorbs the form at hand, or makes room for it.
    fn place_new(&mut self) {
        self.patience = self.patience.saturating_sub(1);
        while !self.is_absorbed() && !self.forms.has_room(self.form.len()) {
            if self.patience == 0 {
                self.patience = PATIENCE;
                self.collapse();
            } else {
                self.part_with_least();
            }
            self.absorbing = self.forms.iter().filter(|(_, done)| done.absorbs.is_some()).count();
        }
    }

    /// Whether there is a form that absorbs the one at hand, which takes its place then.
    fn is_absorbed(&mut self) -> bool {
        if self.absorbing == 0 {
            return false;
        }
        let absorbed = collapses(&self.form).any(|collapsed| {
            collapsed.write(&self.form, &mut self.candidate);
            self.forms.get(&self.candidate).is_some_and(|done| done.absorbs == Some(collapsed.span))
        });
        if absorbed {
            std::mem::swap(&mut self.form, &mut self.candidate);
        }
        absorbed
    }

    /// Puts together those forms that collapsing one piece brings together, if they are many.
    #[allow(clippy::cast_precision_loss, reason = "forms are some hundreds")]
    fn collapse(&mut self) {
        let hasher = RandomState::new();
        let candidate = &mut self.candidate;
        let mut id = |collapsed: &Collapsed, form: &[u8]| {
            collapsed.write(form, candidate);
            hasher.hash_one((collapsed.span, &*candidate))
        };
        let mut groups: HashMap<u64, Group> = HashMap::new();
        for (form, done) in self.forms.iter() {
            for collapsed in collapses(form) {
                groups
                    .entry(id(&collapsed, form))
                    .or_insert_with(|| Group::of(collapsed))
                    .add(done.score);
            }
        }
        let many = (self.forms.len() / FEW_IN).max(MANY);
        let Some((&best, group)) = groups
            .iter()
            .filter(|(_, group)| group.forms >= many)
            .max_by_key(|(_, group)| group.merit())
        else {
            return;
        };
        let keeps_itself = group.score * KEEPS_ITSELF.max(3.0 / group.forms.max(1) as f64);
        let span = group.collapsed.span;
        let (mut name, mut sum) = (Vec::new(), Use::default());
        self.forms.retain(|form, done| {
            let Some(collapsed) = collapses(form).find(|collapsed| id(collapsed, form) == best)
            else {
                return true;
            };
            if done.score >= keeps_itself {
                return true;
            }
            collapsed.write(form, &mut name);
            sum.merge(done);
            false
        });
        if !name.is_empty() {
            // No longer than any of those that went, so there is room.
            let form = self.forms.entry(&name, Use::default);
            form.merge(&sum);
            form.absorbs = if form.absorbs == Some(Span::Rest) { form.absorbs } else { Some(span) };
        }
    }

    /// Parts with the least busy quarter.
    fn part_with_least(&mut self) {
        let mut scores: Vec<f64> = self.forms.iter().map(|(_, done)| done.score).collect();
        let quarter = scores.len() / 4;
        let (_, &mut lowest, _) = scores.select_nth_unstable_by(quarter, f64::total_cmp);
        let mut to_go = quarter + 1;
        self.forms.retain(|_, done| {
            let goes = done.score <= lowest && to_go > 0;
            to_go -= usize::from(goes);
            !goes
        });
    }
}

impl Use {
    fn count(&mut self, event: &Event<'_>, worth: f64) {
        let weight = u64::from(event.request_weight);
        self.score += worth * f64::from(event.request_weight);
        let count = match event.command {
            Command::Get if event.found => &mut self.hits,
            Command::Get => &mut self.misses,
            Command::Set => &mut self.sets,
            Command::Delete => &mut self.deletes,
            Command::Arith | Command::Touch | Command::Flush => return,
        };
        *count = count.saturating_add(weight);
        if event.command == Command::Set && event.found {
            self.bytes_set =
                self.bytes_set.saturating_add(weight.saturating_mul(event.bytes.into()));
        }
    }

    /// What tells whether the form is never hit, for which either sample will do.
    fn judge(&mut self, event: &Event<'_>) {
        if event.found && reads(event.command) {
            self.was_hit = true;
        } else if event.found && event.command == Command::Set {
            if self.stores == 0 {
                self.first_store_ms = event.unix_ms;
            }
            self.stores = self.stores.saturating_add(1);
            self.last_store_ms = event.unix_ms;
        }
    }

    fn never_hits(&self) -> bool {
        let over_ms = self.last_store_ms.saturating_sub(self.first_store_ms);
        !self.was_hit && self.stores >= NEVER_HITS_STORES && over_ms >= NEVER_HITS_MS
    }

    fn note(&mut self, finding: Finding) {
        if let Some(reason) = finding.missed {
            add(&mut self.missed, reason, finding.weight);
        }
        if finding.evicted_unread {
            self.evicted_unread = self.evicted_unread.saturating_add(finding.weight);
        }
    }

    fn merge(&mut self, other: &Use) {
        let has_stores = |one: &Use| (one.stores > 0).then_some(one.first_store_ms);
        let first = has_stores(self).into_iter().chain(has_stores(other)).min();
        self.first_store_ms = first.unwrap_or(0);
        self.last_store_ms = self.last_store_ms.max(other.last_store_ms);
        self.stores = self.stores.saturating_add(other.stores);
        self.was_hit |= other.was_hit;
        self.score += other.score;
        for (sum, more) in [
            (&mut self.hits, other.hits),
            (&mut self.misses, other.misses),
            (&mut self.sets, other.sets),
            (&mut self.deletes, other.deletes),
            (&mut self.bytes_set, other.bytes_set),
            (&mut self.evicted_unread, other.evicted_unread),
            (&mut self.missed.never_set, other.missed.never_set),
            (&mut self.missed.expired, other.missed.expired),
            (&mut self.missed.evicted, other.missed.evicted),
            (&mut self.missed.deleted, other.missed.deleted),
            (&mut self.missed.flushed, other.missed.flushed),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    fn shown(&self, form: &[u8], decay: &Decay) -> PrefixUse {
        PrefixUse {
            pattern: String::from_utf8_lossy(form).into(),
            hits: self.hits,
            misses: self.misses,
            sets: self.sets,
            deletes: self.deletes,
            bytes_set: self.bytes_set,
            evicted_unread: self.evicted_unread,
            missed: self.missed,
            per_minute: decay.per_minute(self.score),
            never_hits: self.never_hits(),
        }
    }
}

/// Counts why so many keys were missed.
pub(crate) fn add(missed: &mut Missed, reason: Reason, weight: u64) {
    let count = match reason {
        Reason::NeverSet => &mut missed.never_set,
        Reason::Expired => &mut missed.expired,
        Reason::Evicted => &mut missed.evicted,
        Reason::Deleted => &mut missed.deleted,
        Reason::Flushed => &mut missed.flushed,
    };
    *count = count.saturating_add(weight);
}
