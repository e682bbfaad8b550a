//! Events for tests.
#![allow(dead_code, reason = "each test uses some")]

use larder_insight::{Command, Event, Limits, Observer};
use larder_tenancy::{Insight, KeyUse, PrefixUse};
use rapidhash::v3::rapidhash_v3;

/// When tests begin, in milliseconds since 1970.
pub(crate) const START: u64 = 1_700_000_000_000;

/// A get at `START` that hits, of both samples with weight 1.
pub(crate) fn event(key: &[u8]) -> Event<'_> {
    Event {
        unix_ms: START,
        command: Command::Get,
        found: true,
        key,
        hash: rapidhash_v3(key),
        bytes: 10,
        expires: None,
        request_weight: 1,
        key_weight: 1,
    }
}

/// An observer, and a clock that tests move.
pub(crate) struct Story {
    pub(crate) observer: Observer,
    pub(crate) now: u64,
    pub(crate) weight: u32,
}

impl Story {
    pub(crate) fn new() -> Self {
        Self::with(Limits::USUAL)
    }

    pub(crate) fn with(limits: Limits) -> Self {
        Self { observer: Observer::new(limits), now: START, weight: 1 }
    }

    /// A second later.
    pub(crate) fn later(&mut self, seconds: u64) -> &mut Self {
        self.now += seconds * 1000;
        self
    }

    pub(crate) fn tell(
        &mut self,
        command: Command,
        found: bool,
        key: &str,
        expires: Option<u64>,
    ) -> &mut Self {
        let event = event(key.as_bytes());
        let weight = self.weight;
        let (request_weight, key_weight) = (weight, weight);
        let unix_ms = self.now;
        self.observer.observe(&Event {
            unix_ms,
            command,
            found,
            expires,
            request_weight,
            key_weight,
            ..event
        });
        self.now += 1;
        self
    }

    pub(crate) fn hit(&mut self, key: &str) -> &mut Self {
        self.tell(Command::Get, true, key, None)
    }

    pub(crate) fn miss(&mut self, key: &str) -> &mut Self {
        self.tell(Command::Get, false, key, None)
    }

    pub(crate) fn set(&mut self, key: &str) -> &mut Self {
        self.tell(Command::Set, true, key, None)
    }

    /// A set for so many seconds.
    pub(crate) fn set_for(&mut self, key: &str, seconds: u64) -> &mut Self {
        let expires = self.now / 1000 + seconds;
        self.tell(Command::Set, true, key, Some(expires))
    }

    pub(crate) fn delete(&mut self, key: &str, found: bool) -> &mut Self {
        self.tell(Command::Delete, found, key, None)
    }

    pub(crate) fn flush(&mut self) -> &mut Self {
        self.observer.flushed(self.now);
        self.now += 1;
        self
    }

    pub(crate) fn looked(&mut self, key: &str, present: bool) -> &mut Self {
        self.observer.looked(key.as_bytes(), present, self.now);
        self
    }

    pub(crate) fn doubtful(&mut self, most: usize) -> Vec<String> {
        let keys = self.observer.doubtful(self.now, most);
        keys.map(|key| String::from_utf8(key.to_vec()).unwrap()).collect()
    }

    pub(crate) fn insight(&self) -> Insight {
        self.observer.insight()
    }

    pub(crate) fn key(&self, key: &str) -> KeyUse {
        self.insight().keys.into_iter().find(|one| *one.key == *key.as_bytes()).unwrap_or_default()
    }

    pub(crate) fn prefix_or_default(&self, pattern: &str) -> PrefixUse {
        self.insight().prefixes.into_iter().find(|one| *one.pattern == *pattern).unwrap_or_default()
    }

    pub(crate) fn prefix(&self, pattern: &str) -> PrefixUse {
        let all = self.insight().prefixes;
        let names: Vec<_> = all.iter().map(|one| one.pattern.clone()).collect();
        all.into_iter()
            .find(|one| *one.pattern == *pattern)
            .unwrap_or_else(|| panic!("{pattern}: not in {names:?}"))
    }
}

/// Numbers that look random, the same each time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 to `most`, less than it.
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    /// From 0 to 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// So many letters of `alphabet`.
    pub(crate) fn text(&mut self, alphabet: &[u8], len: usize) -> String {
        (0..len).map(|_| char::from(alphabet[self.index(alphabet.len())])).collect()
    }
}
