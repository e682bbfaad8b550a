//! The busiest keys of late, with what was done to them.
//!
//! Frequent items by Misra and Gries (1982), in the form for weights with batches of decrements (Anderson et al.,
//! "A high-performance algorithm for identifying frequent items in data streams", 2017), which is Space-Saving
//! without its heap: when the table is full, the score below which a quarter of the keys lies is taken off all
//! scores, and that quarter goes. Scores decay by time (see [`crate::decay`]).
//!
//! With `m` keys in a full table and `n` commands of late, no score is too low by more than `n / (3/4 m)`, and
//! none is too high; so a key with a larger share than that of the commands is always in the table. What is shown
//! of a key, the rate by which it is ranked too, counts from when it got into the table.

use larder_tenancy::{Command, KeyUse};

use crate::decay::Decay;
use crate::observer::Event;
use crate::table::Table;

/// How many are shown at most.
const MOST_SHOWN: usize = 100;

/// The busiest keys.
#[derive(Debug)]
pub(crate) struct BusyKeys {
    keys: Table<Tally>,
}

/// What was done to a key.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    /// Decides who stays.
    score: f64,
    /// The same, but nothing was taken off.
    seen: f64,
    hits: u64,
    misses: u64,
    sets: u64,
    deletes: u64,
    bytes: u32,
}

impl BusyKeys {
    /// Takes at most `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { keys: Table::new(bytes) }
    }

    /// Counts an event of the sample by request.
    pub(crate) fn observe(&mut self, event: &Event<'_>, key: &[u8], worth: f64) {
        match self.keys.get_mut(key) {
            Some(tally) => tally.add(event, worth),
            None => {
                while !self.keys.has_room(key.len()) {
                    self.make_room();
                }
                self.keys.entry(key, Tally::default).add(event, worth);
            }
        }
    }

    /// Multiplies all scores.
    pub(crate) fn scale(&mut self, factor: f64) {
        for tally in self.keys.values_mut() {
            tally.score *= factor;
            tally.seen *= factor;
        }
    }

    /// The busiest of late, the busiest first.
    pub(crate) fn busiest(&self, decay: &Decay) -> Vec<KeyUse> {
        let mut all: Vec<_> = self.keys.iter().collect();
        all.sort_unstable_by(|(a_key, a), (b_key, b)| {
            b.seen.total_cmp(&a.seen).then_with(|| a_key.cmp(b_key))
        });
        let shown = all.iter().take(MOST_SHOWN);
        shown
            .map(|(key, tally)| KeyUse {
                key: (*key).into(),
                hits: tally.hits,
                misses: tally.misses,
                sets: tally.sets,
                deletes: tally.deletes,
                bytes: tally.bytes.into(),
                per_minute: decay.per_minute(tally.seen),
            })
            .collect()
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.keys.bytes()
    }

    /// Takes the score below which a quarter of the keys lies off all, and parts with that quarter.
    fn make_room(&mut self) {
        let mut scores: Vec<f64> = self.keys.iter().map(|(_, tally)| tally.score).collect();
        let quarter = scores.len() / 4;
        let (_, &mut lowest, _) = scores.select_nth_unstable_by(quarter, f64::total_cmp);
        let mut to_go = quarter + 1;
        self.keys.retain(|_, tally| {
            let goes = tally.score <= lowest && to_go > 0;
            to_go -= usize::from(goes);
            tally.score = (tally.score - lowest).max(0.0);
            !goes
        });
    }
}

impl Tally {
    fn add(&mut self, event: &Event<'_>, worth: f64) {
        let weight = u64::from(event.request_weight);
        self.score += worth * f64::from(event.request_weight);
        self.seen += worth * f64::from(event.request_weight);
        match event.command {
            Command::Get if event.found => self.hits = self.hits.saturating_add(weight),
            Command::Get => self.misses = self.misses.saturating_add(weight),
            Command::Set => self.sets = self.sets.saturating_add(weight),
            Command::Delete => self.deletes = self.deletes.saturating_add(weight),
            Command::Arith | Command::Touch | Command::Flush => {}
        }
        if event.found && (event.bytes > 0 || event.command == Command::Set) {
            self.bytes = event.bytes;
        }
    }
}
