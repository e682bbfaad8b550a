//! An item as it is read.

use std::time::Duration;

use crate::index::{Found, Slot};
use crate::memory::record::chunk_record_len;
use crate::memory::segment::Owner;
use crate::memory::stored::{Accessed, Stored, Value};
use crate::store::Shared;
use crate::sync::{AtomicU64, Ordering};
use crate::time::{TICK_MS, Time};

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
    /// The access before this one.
    accessed: Accessed,
}

impl<'a> Item<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        stored: Stored<'a>,
        found: Found<'a>,
        owner: Owner,
        tick: u32,
        accessed: Accessed,
    ) -> Item<'a> {
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
        Time::left(self.stored.expires(), self.tick)
    }

    /// How long it had not been used, by reading or storing it, before this read: never longer than it
    /// is, and up to a minute too short, since a use within a minute of the last is not noted. Items
    /// that have a TTL tell it to 100 ms; others in whole minutes, and after 45 days from 0 again.
    #[must_use]
    pub fn idle(&self) -> Duration {
        let ticks = self.stored.idle(self.accessed, self.tick);
        Duration::from_millis(u64::from(ticks) * TICK_MS)
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

    /// Whether it was [marked](crate::Write::marked) when it was stored.
    #[must_use]
    pub fn marked(&self) -> bool {
        self.slot.has(Slot::MARKED)
    }

    /// What it takes in memory, in bytes: key, value, and what is kept beside them, without its place in
    /// the index.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        let chunks = self.stored.chunks().map(|(_, len)| chunk_record_len(len));
        self.stored.layout.len() + chunks.sum::<usize>()
    }

    /// Asks for the right to replace it: of all who ask until it is replaced, one gets it. Nobody gets
    /// it from an item that was replaced or has moved since it was looked up, nor from one that was met
    /// by [walking](crate::Tenant::walk).
    pub fn win(&self) -> bool {
        self.set(Slot::WON).is_some_and(|before| !before.has(Slot::WON))
    }

    /// A number that changes with every change of the item; never 0 unless that was
    /// [asked for](crate::Write::new_cas). Later versions of an item whose number was asked for have
    /// higher numbers.
    #[must_use]
    pub fn cas(&self) -> u64 {
        if !self.slot.has(Slot::CAS_KNOWN) && self.set(Slot::CAS_KNOWN).is_none() {
            self.make_known();
        }
        let (shared, stored) = (self.shared, &self.stored);
        stored.written_cas().unwrap_or_else(|| shared.cas_in(self.owner, stored.at))
    }

    /// Sets a flag of the slot, if the item is where it was found; returns the slot before.
    fn set(&self, flag: u64) -> Option<Slot> {
        let at = self.at?;
        let mut now = Slot::from_word(at.load(Ordering::Acquire));
        while now.is_same_item(self.slot) {
            if now.has(flag) {
                return Some(now);
            }
            let new = now.with(flag).word();
            match at.compare_exchange(now.word(), new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(now),
                Err(other) => now = Slot::from_word(other),
            }
        }
        None
    }

    /// Notes that the number is known, wherever the item's slot is by now. If the item has moved, or was
    /// replaced, whatever the key has now is noted: later versions have higher numbers.
    #[inline(never)]
    fn make_known(&self) {
        let (shared, tenant, key) = (self.shared, self.owner.tenant(), self.key());
        let pin = shared.epoch.pin();
        let mut home = shared.index.lock(shared.hash(tenant, key));
        if let Some(found) = home.find(|slot| shared.is_item(&pin, slot, tenant, 0, key)) {
            home.update(found, |slot| slot.with(Slot::CAS_KNOWN));
        }
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
        let next = known.wrapping_add(1);
        if self.is_counted(known) && self.is_counted(next) {
            return next;
        }
        self.segments.skip_seq() << CAS_OFFSET_BITS | COUNTED
    }

    /// Whether a CAS number is no place's: it was counted up from another one, or somebody has chosen it
    /// higher than any place gives by now. Versions after it are counted up, too.
    pub(crate) fn is_counted(&self, cas: u64) -> bool {
        cas & COUNTED != 0 || cas >> CAS_OFFSET_BITS >= self.segments.next_seq()
    }

    fn cas_in(&self, owner: Owner, at: u64) -> u64 {
        (owner.seq() << CAS_OFFSET_BITS) | (self.arena.offset_of(at) as u64 / 4)
    }
}

/// An offset in a segment of at most 1 MiB, in units of 4 bytes, and two bits to spare.
const CAS_OFFSET_BITS: u32 = 20;

/// Set in numbers that no place gives.
const COUNTED: u64 = 1 << (CAS_OFFSET_BITS - 1);

impl std::fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Item").field("value", &self.value()).finish_non_exhaustive()
    }
}
