//! The observer of one tenant.

use larder_tenancy::{Command, Insight, Missed};

use crate::busy::BusyKeys;
use crate::decay::Decay;
use crate::fates::{Fates, Finding};
use crate::patterns::{self, Patterns};
use crate::recent::Ring;

/// The longest key there can be.
const MOST_KEY_BYTES: usize = 250;

/// What the forms at hand may grow to: a form ends with the piece of a key that makes it too long.
const FORMS_AT_HAND: usize = 2 << 10;

/// A command on one key, as it ended.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// When, in milliseconds since 1970. Events may come a little out of order.
    pub unix_ms: u64,
    /// What was asked. A flush has no key and may have any weights.
    pub command: Command,
    /// Whether the key was found, or the value was stored.
    pub found: bool,
    /// The key; what is beyond 250 bytes is ignored.
    pub key: &'a [u8],
    /// A keyed hash of the key, the same for all events of a key; its trailing zero bits decide about the
    /// sample by key.
    pub hash: u64,
    /// Bytes of the value: of what was read or stored; 0 if there was none.
    pub bytes: u32,
    /// When the item's time will be over, in seconds since 1970: after a store or touch that succeeded (none:
    /// never). For other commands that found the item it may be given; none then means that nothing is said.
    pub expires: Option<u64>,
    /// For how many requests this one stands; 0: it is not in the sample by request.
    pub request_weight: u32,
    /// For how many keys this one stands, a power of two, `1 << k` where the sample has the keys whose hash
    /// ends in `k` zero bits; 0: it is not in the sample by key.
    pub key_weight: u32,
}

/// How much an observer may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes, all together. What is needed for few keys is less; memory is taken as it is needed.
    pub bytes: usize,
}

impl Limits {
    /// For a tenant of which little is to be kept: 64 KiB.
    pub const SMALL: Self = Self { bytes: 64 << 10 };
    /// For one of the few busiest tenants of a node: 256 KiB.
    pub const USUAL: Self = Self { bytes: 256 << 10 };
    /// For a node with one tenant: 512 KiB.
    pub const LARGE: Self = Self { bytes: 512 << 10 };
}

/// What is known of one tenant's clients.
#[derive(Debug)]
pub struct Observer {
    /// When the first event was, in milliseconds since 1970.
    since_ms: Option<u64>,
    /// For how many requests one stood that was looked at, of late.
    request_weight: u32,
    decay: Decay,
    keys: BusyKeys,
    patterns: Patterns,
    fates: Fates,
    /// Why keys were missed, of all forms together.
    missed: Missed,
    recent: Ring,
}

impl Observer {
    /// One that has seen nothing yet. It keeps to 16 KiB at least, whatever the limit.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let bytes = limits.bytes.max(16 << 10) - size_of::<Self>() - FORMS_AT_HAND;
        Self {
            since_ms: None,
            request_weight: 1,
            decay: Decay::new(),
            keys: BusyKeys::new(bytes / 32 * 10),
            patterns: Patterns::new(bytes / 32 * 9),
            fates: Fates::new(bytes / 32 * 10),
            missed: Missed::default(),
            recent: Ring::new(bytes / 32 * 3),
        }
    }

    /// Takes an event into account.
    pub fn observe(&mut self, event: &Event<'_>) {
        self.since_ms.get_or_insert(event.unix_ms);
        let key = &event.key[..event.key.len().min(MOST_KEY_BYTES)];
        if event.command == Command::Flush {
            self.flushed(event.unix_ms);
            return self.recent.push(event.unix_ms, event.command, event.found, b"", 0);
        }
        if let Some(factor) = self.decay.advance(event.unix_ms) {
            self.keys.scale(factor);
            self.patterns.scale(factor);
        }
        let worth = self.decay.worth();
        if event.request_weight > 0 {
            self.request_weight = event.request_weight;
            self.recent.push(event.unix_ms, event.command, event.found, key, event.bytes);
            self.keys.observe(event, key, worth);
        }
        let finding =
            if event.key_weight > 0 { self.fates.observe(event, key) } else { Finding::default() };
        if let Some(reason) = finding.missed {
            patterns::add(&mut self.missed, reason, finding.weight);
        }
        self.patterns.observe(event, key, worth, finding);
    }

    /// Everything stored up to `unix_ms` was flushed. Costs the same however much is known.
    pub fn flushed(&mut self, unix_ms: u64) {
        self.fates.flushed(unix_ms);
    }

    /// Up to `most` keys that should be in the store still, for the caller to look whether they are, and to
    /// tell by [`Observer::looked`]. Each call goes on where the last one ended; what was seen to be there
    /// within a second is left out.
    pub fn doubtful(&mut self, unix_ms: u64, most: usize) -> impl Iterator<Item = &[u8]> {
        self.fates.doubtful(unix_ms, most)
    }

    /// Whether a doubtful key is in the store, as seen at `unix_ms`. That it is not is believed the second time,
    /// since the event of a delete may not have come here yet.
    pub fn looked(&mut self, key: &[u8], present: bool, unix_ms: u64) {
        let finding = self.fates.looked(key, present, unix_ms);
        if finding.evicted_unread {
            self.patterns.note(key, finding);
        }
    }

    /// What is known now.
    #[must_use]
    pub fn insight(&self) -> Insight {
        Insight {
            since: self.since_ms.unwrap_or(0) / 1000,
            share: 1.0 / f64::from(self.request_weight),
            keys: self.keys.busiest(&self.decay),
            prefixes: self.patterns.busiest(&self.decay),
            missed: self.missed,
            recent: self.recent.latest(),
        }
    }

    /// Bytes of memory that it takes now; never above the limit.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.keys.bytes()
            + self.patterns.bytes()
            + self.fates.bytes()
            + self.recent.bytes()
    }
}
