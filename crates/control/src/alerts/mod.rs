//! Rules about a tenant's figures, whether they are broken now, and what people are told of it.
//!
//! Rules (`rule`, `webhook`) are kept in the accounts database (`store`). Each node judges them over its own
//! figures once a minute ([`Alerts::evaluate`]): `reading` says how things are for a rule, `state` when that
//! is worth a notice (`notice`). Where rules stand is in memory only: after a start all is well until it
//! was wrong for the rule's time again. Posting notices is for whoever asked for them.

mod notice;
mod reading;
mod rule;
mod state;
mod store;
mod webhook;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use larder_tenancy::{Figures, Node, TenantId};

pub use self::notice::{News, Notice};
use self::reading::{Facts, read};
pub use self::rule::{AlertChange, AlertError, AlertKind, AlertRule, NewAlert};
use self::state::{State, Turn};
pub use self::webhook::Webhook;

/// Seconds from one look to the next.
const STEP: u64 = 60;

/// What counted over more seconds than this tells nothing of now.
const LONGEST: u64 = 5 * STEP;

/// Where every rule stands on this node.
#[derive(Debug, Default)]
pub struct Alerts {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// When the last look was; 0: never.
    looked: u64,
    /// What the figures were then, of tenants that have rules.
    figures: HashMap<TenantId, Figures>,
    rules: HashMap<i64, (AlertRule, State)>,
}

/// Whether a rule is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AlertState {
    /// It is not, or nothing is known yet.
    #[default]
    Ok,
    /// It is, but not for long enough.
    Pending {
        /// Since when, in seconds since 1970. Time of which nothing is known is not counted: this moves.
        since: u64,
    },
    /// It is, and that was told.
    Firing {
        /// Since when it is broken, in seconds since 1970.
        since: u64,
    },
}

impl Alerts {
    /// Nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the node, once a minute however often it is called, and says what is to be told. `rules` are
    /// all there are; one that is missing, not enabled or asks for something else than before is begun
    /// afresh, without a word. `now` is in seconds since 1970.
    pub fn evaluate(&self, now: u64, rules: &[AlertRule], node: &dyn Node) -> Vec<Notice> {
        self.book().evaluate(now, rules, node)
    }

    /// Whether a rule is broken.
    #[must_use]
    pub fn state(&self, rule: &AlertRule) -> AlertState {
        match self.book().rules.get(&rule.id) {
            Some((known, state)) if rule.enabled && known.asks_as(rule) => match *state {
                State::Ok => AlertState::Ok,
                State::Pending { since } => AlertState::Pending { since },
                State::Firing { since, .. } => AlertState::Firing { since },
            },
            _ => AlertState::Ok,
        }
    }

    /// A notice that says that it is only a test, to where those of the rule go.
    #[must_use]
    pub fn test(&self, now: u64, rule: &AlertRule) -> Notice {
        Notice::new(now, rule, News::Test, String::new())
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn evaluate(&mut self, now: u64, rules: &[AlertRule], node: &dyn Node) -> Vec<Notice> {
        let passed = now.checked_sub(self.looked);
        if passed.is_some_and(|passed| passed < STEP) {
            return Vec::new();
        }
        // After the first look, a sleep or when the clock was put back, what was counted since the last look
        // is of no known time.
        let counted_over = passed.filter(|passed| *passed <= LONGEST);
        let lost = passed.map_or(0, |passed| passed.saturating_sub(2 * STEP));
        self.looked = now;
        let before = std::mem::take(&mut self.figures);
        let mut known = std::mem::take(&mut self.rules);
        let mut notices = Vec::new();
        for rule in rules.iter().filter(|rule| rule.enabled) {
            let id = rule.tenant_id;
            let figures = *self.figures.entry(id).or_insert_with(|| node.figures(Some(id)));
            let counted = counted_over.zip(before.get(&id));
            let facts = Facts {
                now,
                figures,
                counted: counted.map(|(seconds, before)| (figures.since(before), seconds)),
            };
            let known = known.remove(&rule.id).filter(|(known, _)| known.asks_as(rule));
            let mut state = known.map(|(_, state)| state).unwrap_or_default();
            let reading = read(rule.kind, &facts, || node.insight(id));
            let lost = if reading.is_some() { lost } else { passed.unwrap_or(0) };
            let wait = u64::from(rule.for_minutes) * 60;
            let turn = state.turn(now, lost, wait, reading.as_ref().map(|reading| reading.seen));
            if let Some((turn, reading)) = turn.zip(reading) {
                notices.push(Notice::new(now, rule, turn.into(), reading.found));
            }
            self.rules.insert(rule.id, (rule.clone(), state));
        }
        notices
    }
}

impl From<Turn> for News {
    fn from(turn: Turn) -> Self {
        match turn {
            Turn::Raised { since } => News::Raised { since },
            Turn::Cleared { since } => News::Cleared { since },
        }
    }
}
