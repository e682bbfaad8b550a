//! What became of the keys of the sample by key, so that a miss can be told why.
//!
//! A key is traced from its first store, or its first hit, on. What is remembered of it is when it was last known
//! to be there, when its time is over, and once it is gone, why. A flush is one number, compared when it matters.
//! Evictions are not events: they come to light by a miss of what should be there, or when the caller looks for
//! the keys of [`Fates::doubtful`].
//!
//! # When memory is full
//!
//! First, what has been gone for more than [`REMEMBERED_MS`] is forgotten, so a miss later than that counts as
//! *never set*. If that is not enough, the sample is halved (as SHARDS does, Waldspurger et al., FAST 2015): of the
//! keys only those are kept whose hash ends in one more zero bit, and each stands for twice as many. So the bound
//! makes estimates coarser, but no reason more likely than another. When there is room again, or the caller has
//! sampled more keys for a while, the newly admitted are traced for [`WARM_UP_MS`] before they count: their first
//! misses would be of keys set before they were traced.
//!
//! What remains is this bias, towards *never set*: keys stored before the observer began and not read since, and
//! keys gone for more than an hour, in a table that is full. And towards *evicted*: what a failed store of too
//! large a value removed, and what events tell that were lost on their way here.

use larder_tenancy::Command;

use crate::observer::Event;
use crate::table::Table;

/// How long a key that is gone is remembered at least, but for what its half of the sample was given up.
const REMEMBERED_MS: u64 = 3_600_000;

/// How long newly admitted keys are traced before their misses count.
const WARM_UP_MS: u64 = 600_000;

/// How often it is seen whether there is room for a larger sample.
const SETTLE_MS: u64 = 600_000;

/// How much later than its neighbours an event may come. What is older still shows that the clock was set back.
const STRAGGLER_MS: u64 = 5_000;

/// Expiry is told in whole seconds: an item may be gone a second before its time, or stay a second longer.
const CLOCK_MS: u64 = 1_000;

/// Halves of the sample that can be given up.
const MOST_LEVEL: u8 = 31;

/// What became of the traced keys.
#[derive(Debug)]
pub(crate) struct Fates {
    keys: Table<Fate>,
    /// Everything that was there at this time was flushed.
    flushed_ms: u64,
    /// Keys are traced whose hash ends in so many zero bits: as the caller samples, and as memory allows.
    asked_level: u8,
    own_level: u8,
    /// The highest level that the caller asked for since `settled_ms`.
    asked_of_late: u8,
    /// Keys count whose hash ends in so many: as many, but more while the rest is warming up.
    counted_level: u8,
    /// When keys were last newly admitted.
    admitted_ms: u64,
    settled_ms: u64,
    /// Where the round of doubtful keys is.
    cursor: usize,
}

/// What became of a key.
#[derive(Debug, Clone, Copy)]
struct Fate {
    /// When it was last known to be there; of one that is gone, when that was found.
    at_ms: u64,
    /// Seconds since 1970.
    expires: Option<u32>,
    /// Zero bits that its hash ends in.
    level: u8,
    /// Why it is gone; none: it should be there.
    gone: Option<Reason>,
    /// Why it was not there before it was stored.
    before: Reason,
    was_read: bool,
    /// It was looked for in vain, once.
    is_missing: bool,
}

/// Why a key is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    NeverSet,
    Expired,
    Evicted,
    Deleted,
    Flushed,
}

/// What an event, or a look, brought to light.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Finding {
    /// Why the key was missed by a get.
    pub(crate) missed: Option<Reason>,
    /// It was evicted, and nobody had read it.
    pub(crate) evicted_unread: bool,
    /// For how many keys it stands.
    pub(crate) weight: u64,
}

impl Fates {
    /// Takes at most `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            keys: Table::new(bytes),
            flushed_ms: 0,
            asked_level: 0,
            own_level: 0,
            asked_of_late: 0,
            counted_level: 0,
            admitted_ms: 0,
            settled_ms: 0,
            cursor: 0,
        }
    }

    /// Takes an event of the sample by key into account.
    pub(crate) fn observe(&mut self, event: &Event<'_>, key: &[u8]) -> Finding {
        self.sample_as(event);
        let level = level_of(event.hash);
        if level < self.level() {
            return Finding::default();
        }
        let flushed_ms = self.flushed_ms;
        let mut finding = match self.keys.get_mut(key) {
            Some(fate) => fate.observe(event, flushed_ms),
            None => self.first(event, key, level),
        };
        finding.weight = self.weight(level);
        finding
    }

    /// Everything stored up to then is gone.
    pub(crate) fn flushed(&mut self, unix_ms: u64) {
        self.flushed_ms = self.flushed_ms.max(unix_ms);
    }

    /// Up to `most` keys that should be there still, going round.
    pub(crate) fn doubtful(&mut self, unix_ms: u64, most: usize) -> impl Iterator<Item = &[u8]> {
        let flushed_ms = self.flushed_ms;
        let is_doubtful = move |fate: &Fate| {
            fate.gone_by(unix_ms, flushed_ms).is_none()
                && fate.at_ms.saturating_add(CLOCK_MS) <= unix_ms
        };
        self.keys.round(&mut self.cursor, most, is_doubtful)
    }

    /// A traced key was looked for. That it is not there is believed the second time: the news of a delete may
    /// still be on its way.
    pub(crate) fn looked(&mut self, key: &[u8], is_there: bool, unix_ms: u64) -> Finding {
        let flushed_ms = self.flushed_ms;
        let Some(fate) = self.keys.get_mut(key) else { return Finding::default() };
        if fate.gone_by(unix_ms, flushed_ms).is_some() || fate.at_ms >= unix_ms {
            return Finding::default();
        }
        let was_missing = std::mem::replace(&mut fate.is_missing, !is_there);
        let evicted_unread = !is_there && was_missing && fate.evict(unix_ms);
        let level = fate.level;
        Finding { missed: None, evicted_unread, weight: self.weight(level) }
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.keys.bytes()
    }

    fn level(&self) -> u8 {
        self.asked_level.max(self.own_level)
    }

    /// For how many keys one of this level stands; 0: it does not count yet.
    fn weight(&self, level: u8) -> u64 {
        if level < self.counted_level { 0 } else { 1 << self.counted_level }
    }

    /// Follows the caller's sampling: at once to fewer keys, to more of them only when none of its events
    /// was of the smaller sample for a while.
    fn sample_as(&mut self, event: &Event<'_>) {
        let asked = u8::try_from(event.key_weight.max(1).ilog2()).unwrap_or(MOST_LEVEL);
        self.asked_of_late = self.asked_of_late.max(asked);
        if asked > self.level() {
            self.give_up_below(asked);
        }
        self.asked_level = self.asked_level.max(asked);
        if event.unix_ms.abs_diff(self.settled_ms) >= SETTLE_MS {
            self.settle(event.unix_ms, asked);
        }
        if self.counted_level > self.level()
            && event.unix_ms.abs_diff(self.admitted_ms) >= WARM_UP_MS
        {
            self.counted_level = self.level();
        }
    }

    /// Admits more keys, if the caller has sampled more of late, and if there is room for them.
    fn settle(&mut self, now: u64, asked: u8) {
        let before = self.level();
        self.settled_ms = now;
        self.asked_level = std::mem::replace(&mut self.asked_of_late, asked);
        if self.own_level > 0 {
            let flushed_ms = self.flushed_ms;
            self.keys.retain(|_, fate| fate.is_remembered(now, flushed_ms));
            if self.keys.is_mostly_free() {
                self.own_level -= 1;
            }
        }
        if self.level() < before {
            self.admitted_ms = now;
        }
    }

    /// The first event of a key that is not traced.
    fn first(&mut self, event: &Event<'_>, key: &[u8], level: u8) -> Finding {
        if event.found && self.make_room(key, event.unix_ms, level) {
            self.keys.entry(key, || Fate {
                at_ms: event.unix_ms,
                expires: event.expires.map(seconds),
                level,
                gone: (event.command == Command::Delete).then_some(Reason::Deleted),
                before: Reason::NeverSet,
                was_read: reads(event.command),
                is_missing: false,
            });
        }
        let is_miss = event.command == Command::Get && !event.found;
        Finding { missed: is_miss.then_some(Reason::NeverSet), ..Finding::default() }
    }

    /// Makes room for a key; whether it still is in the sample.
    fn make_room(&mut self, key: &[u8], now: u64, level: u8) -> bool {
        if self.keys.has_room(key.len()) {
            return true;
        }
        let (flushed_ms, before) = (self.flushed_ms, self.keys.len());
        self.keys.retain(|_, fate| fate.is_remembered(now, flushed_ms));
        // A little room would be gone soon, and to look through all keys is not for every event.
        let mut is_little = self.keys.len() > before / 8 * 7;
        while is_little || !self.keys.has_room(key.len()) {
            if self.level() >= MOST_LEVEL {
                // These are no hashes, if so many end in so many zeros.
                self.keys.retain(|_, _| false);
                return true;
            }
            self.own_level = self.level() + 1;
            self.give_up_below(self.own_level);
            is_little = false;
        }
        level >= self.level()
    }

    fn give_up_below(&mut self, level: u8) {
        self.counted_level = self.counted_level.max(level);
        self.keys.retain(|_, fate| fate.level >= level);
    }
}

impl Fate {
    fn observe(&mut self, event: &Event<'_>, flushed_ms: u64) -> Finding {
        let now = event.unix_ms;
        let is_straggler = (1..STRAGGLER_MS).contains(&self.at_ms.saturating_sub(now));
        match (event.command, event.found) {
            (Command::Get, false) => return self.missed(now, flushed_ms),
            _ if is_straggler => {}
            (Command::Set, true) => self.stored(event, flushed_ms),
            (Command::Delete, true) => {
                self.gone = Some(Reason::Deleted);
                self.at_ms = now;
            }
            (Command::Get | Command::Arith | Command::Touch, true) => self.used(event),
            (Command::Delete | Command::Arith | Command::Touch, false) => {
                return Finding { missed: None, ..self.missed(now, flushed_ms) };
            }
            (Command::Set, false) | (Command::Flush, _) => {}
        }
        Finding::default()
    }

    fn stored(&mut self, event: &Event<'_>, flushed_ms: u64) {
        if let Some((reason, _)) = self.gone_by(event.unix_ms, flushed_ms) {
            self.before = reason;
        }
        self.gone = None;
        self.at_ms = event.unix_ms;
        self.expires = event.expires.map(seconds);
        self.was_read = false;
        self.is_missing = false;
    }

    fn used(&mut self, event: &Event<'_>) {
        self.gone = None;
        self.at_ms = event.unix_ms;
        let said = event.expires.map(seconds);
        if said.is_some() || event.command == Command::Touch {
            self.expires = said;
        }
        // What is found well after its time was given another one, unseen.
        self.expires = self.expires.filter(|expires| millis(*expires) + CLOCK_MS > event.unix_ms);
        self.was_read = true;
        self.is_missing = false;
    }

    /// It was asked for and not there. An event no later than what is known, as many clients make when they all
    /// find a key missing and store it, is of the time before.
    fn missed(&mut self, now: u64, flushed_ms: u64) -> Finding {
        if let Some((reason, since)) = self.gone_by(now, flushed_ms) {
            // An expiry may be told a second early, but nothing was found out after now.
            (self.gone, self.at_ms) = (Some(reason), since.min(now));
            return Finding { missed: Some(reason), ..Finding::default() };
        }
        if now <= self.at_ms {
            return Finding { missed: Some(self.before), ..Finding::default() };
        }
        let evicted_unread = self.evict(now);
        Finding { missed: Some(Reason::Evicted), evicted_unread, weight: 0 }
    }

    /// It turned out to be gone without a reason of its own; whether nobody had read it.
    fn evict(&mut self, now: u64) -> bool {
        (self.gone, self.at_ms) = (Some(Reason::Evicted), now);
        !self.was_read
    }

    /// Why it is gone by now and since when, as far as is known without looking: whatever came first.
    fn gone_by(&self, now: u64, flushed_ms: u64) -> Option<(Reason, u64)> {
        if let Some(reason) = self.gone {
            return Some((reason, self.at_ms));
        }
        let flushed =
            (flushed_ms > 0 && self.at_ms <= flushed_ms).then_some((flushed_ms, Reason::Flushed));
        let expires =
            self.expires.map(millis).filter(|expires| now.saturating_add(CLOCK_MS) >= *expires);
        let expired = expires.map(|expires| (expires, Reason::Expired));
        flushed
            .into_iter()
            .chain(expired)
            .min_by_key(|(at, _)| *at)
            .map(|(at, reason)| (reason, at))
    }

    fn is_remembered(&self, now: u64, flushed_ms: u64) -> bool {
        self.gone_by(now, flushed_ms)
            .is_none_or(|(_, since)| now < since.saturating_add(REMEMBERED_MS))
    }
}

/// Whether a command that found an item shows that somebody needed it.
pub(crate) fn reads(command: Command) -> bool {
    matches!(command, Command::Get | Command::Arith | Command::Touch)
}

fn level_of(hash: u64) -> u8 {
    u8::try_from(hash.trailing_zeros()).unwrap_or(u8::MAX)
}

fn seconds(unix: u64) -> u32 {
    u32::try_from(unix).unwrap_or(u32::MAX)
}

fn millis(seconds: u32) -> u64 {
    u64::from(seconds) * 1000
}
