//! An item as it is read.

use std::time::Duration;

use crate::index::{Found, Slot};
use crate::memory::record::NEVER;
use crate::memory::segment::Owner;
use crate::memory::stored::{Stored, Value};
use crate::store::{Shared, TICK_MS, minute};
use crate::sync::{AtomicU64, Ordering};

/// An item as it is read: what a lookup hands to its caller, without copying anything.
///
/// While a caller holds one, memory is not reused: it should take what it needs and return.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    shared: &'a Shared,
    stored: Stored<'a>,
    slot: Slot,
    at: Option<&'a AtomicU64>,
    /// Of the segment it was found in.
    owner: Owner,
    /// When it was looked up.
    tick: u32,
    /// The minute of the access before this one.
    accessed: u16,
}

impl<'a> Item<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        stored: Stored<'a>,
        found: Found<'a>,
        owner: Owner,
        tick: u32,
    ) -> Item<'a> {
        let accessed = stored.accessed();
        Item { shared, stored, slot: found.slot, at: Some(found.at), owner, tick, accessed }
    }

    /// An item met by walking over all of them: seen, not used.
    pub(crate) fn seen(
        shared: &'a Shared,
        stored: Stored<'a>,
        slot: Slot,
        owner: Owner,
        tick: u32,
    ) -> Item<'a> {
        Item { shared, stored, slot, at: None, owner, tick, accessed: stored.accessed() }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &'a [u8] {
        self.stored.key()
    }

    /// What was stored.
    #[must_use]
    #[inline]
    pub fn value(&self) -> Value<'a> {
        self.stored.value()
    }

    /// The number stored with it, which means something to clients only.
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.stored.flags()
    }

    /// The time left, in steps of 100 ms; `None`: it does not expire.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        let expires = self.stored.expires();
        let left = u64::from(expires.saturating_sub(self.tick));
        (expires != NEVER).then(|| Duration::from_millis(left * TICK_MS))
    }

    /// How long it had not been read before this read, in whole minutes; after 45 days it counts from
    /// 0 again.
    #[must_use]
    pub fn idle(&self) -> Duration {
        let minutes = minute(self.tick).wrapping_sub(self.accessed);
        Duration::from_secs(u64::from(minutes) * 60)
    }

    /// Whether it had been read before this read.
    #[must_use]
    pub fn fetched(&self) -> bool {
        self.slot.has(Slot::FETCHED)
    }

    /// Whether it was [invalidated](crate::Tenant::invalidate), and is kept to be served meanwhile.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.slot.has(Slot::STALE)
    }

    /// Whether somebody has [won](Item::win) the right to replace it.
    #[must_use]
    pub fn has_winner(&self) -> bool {
        self.slot.has(Slot::WON)
    }

    /// Asks for the right to replace it: of all who ask until it is replaced, one gets it.
    pub fn win(&self) -> bool {
        !self.set(Slot::WON).has(Slot::WON)
    }

    /// A number that changes with every change of the item; never 0. Later versions of an item
    /// whose number was asked for have higher numbers.
    #[must_use]
    pub fn cas(&self) -> u64 {
        if !self.slot.has(Slot::CAS_KNOWN) {
            self.set(Slot::CAS_KNOWN);
        }
        let (shared, stored) = (self.shared, &self.stored);
        stored.written_cas().unwrap_or_else(|| shared.cas_in(self.owner, stored.at))
    }

    /// Sets a flag of the slot; returns the slot before.
    fn set(&self, flag: u64) -> Slot {
        let Some(at) = self.at else { return self.slot };
        let mut now = Slot::from_word(at.load(Ordering::Acquire));
        while now.is_same_item(self.slot) {
            if now.has(flag) {
                return now;
            }
            let new = now.with(flag).word();
            match at.compare_exchange(now.word(), new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return now,
                Err(other) => now = Slot::from_word(other),
            }
        }
        self.set_elsewhere(flag)
    }

    /// The same when the item has moved, or was replaced: whatever the key has now gets the flag. If
    /// it has nothing, as if somebody else had set it.
    #[inline(never)]
    fn set_elsewhere(&self, flag: u64) -> Slot {
        let (shared, tenant, key) = (self.shared, self.owner.tenant(), self.key());
        let mut home = shared.index.lock(shared.hash(tenant, key));
        let found = home.find(|slot| shared.is_item(slot, tenant, 0, key));
        found.map_or(self.slot.with(flag), |found| home.update(found, |slot| slot.with(flag)))
    }
}

impl Shared {
    /// The CAS number of an item: the one it carries, or else what its place gives, which no item
    /// had before nor will have again.
    pub(crate) fn cas_of(&self, stored: &Stored<'_>) -> u64 {
        stored.written_cas().unwrap_or_else(|| self.cas_at(stored.at))
    }

    /// The CAS number that a place gives.
    pub(crate) fn cas_at(&self, at: u64) -> u64 {
        self.cas_in(self.segments.owner(self.arena.segment_of(at)), at)
    }

    /// The CAS number after one that is known, where the place of the next version gives a lower one:
    /// a sequence number is used up, and versions are counted under it.
    pub(crate) fn next_cas(&self, known: u64) -> u64 {
        let next = known + 1;
        if is_counted(known) && is_counted(next) {
            return next;
        }
        self.segments.skip_seq() << CAS_OFFSET_BITS | COUNTED
    }

    fn cas_in(&self, owner: Owner, at: u64) -> u64 {
        (owner.seq() << CAS_OFFSET_BITS) | (self.arena.offset_of(at) as u64 / 4)
    }
}

/// An offset in a segment of at most 1 MiB, in units of 4 bytes, and two bits to spare.
const CAS_OFFSET_BITS: u32 = 20;

/// Set in numbers that no place gives.
const COUNTED: u64 = 1 << (CAS_OFFSET_BITS - 1);

/// Whether a CAS number was counted up from another one, and is not that of a place.
pub(crate) fn is_counted(cas: u64) -> bool {
    cas & COUNTED != 0
}

impl std::fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Item").field("value", &self.value()).finish_non_exhaustive()
    }
}
