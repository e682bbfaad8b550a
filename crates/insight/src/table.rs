//! A bounded hash table from bytes to values: what busy keys, patterns and traced keys are kept in.
//!
//! Entries go away in bulk only (see [`Table::retain`]), so open addressing with linear probing needs no marks
//! for what was removed. The table owns its keys, knows what it takes in bytes, and says when it is full;
//! its user then decides what to part with.

use std::hash::{BuildHasher, RandomState};

use rapidhash::v3::{RapidSecrets, rapidhash_v3_nano_inline};

/// Slots that a table begins with.
const FIRST_SLOTS: usize = 8;

/// A bounded map from keys to values.
#[derive(Debug)]
pub(crate) struct Table<V> {
    /// A power of two of them; at most three of four are taken.
    slots: Vec<Option<Entry<V>>>,
    len: usize,
    key_bytes: usize,
    limits: TableLimits,
    /// Keys come from clients: their places must not be foreseen.
    secrets: RapidSecrets,
}

#[derive(Debug)]
struct Entry<V> {
    hash: u64,
    key: Box<[u8]>,
    value: V,
}

/// What a table may take. Whatever the sizes of keys, slots leave three eighths to them.
#[derive(Debug)]
struct TableLimits {
    slots: usize,
    bytes: usize,
}

impl<V> Table<V> {
    /// One that takes at most `bytes`, which are a few thousand at least.
    pub(crate) fn new(bytes: usize) -> Self {
        let slots = 1 << (bytes / 8 * 5 / size_of::<Option<Entry<V>>>()).max(FIRST_SLOTS).ilog2();
        let secrets = RapidSecrets::seed(RandomState::new().hash_one(0));
        let limits = TableLimits { slots, bytes };
        Self { slots: empty(FIRST_SLOTS), len: 0, key_bytes: 0, limits, secrets }
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that it takes, those of keys as an allocator rounds them.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Entry<V>>>() + self.key_bytes
    }

    /// The value of a key.
    #[inline]
    pub(crate) fn get_mut(&mut self, key: &[u8]) -> Option<&mut V> {
        let place = self.place(self.hash(key), key);
        self.slots[place].as_mut().map(|entry| &mut entry.value)
    }

    /// The value of a key, to look at.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&V> {
        self.slots[self.place(self.hash(key), key)].as_ref().map(|entry| &entry.value)
    }

    /// Whether one more key of this length may be added.
    pub(crate) fn has_room(&self, key_len: usize) -> bool {
        self.has_room_in_slots() && self.bytes_with(key_len) <= self.limits.bytes
    }

    /// Whether not even a quarter of it is taken.
    pub(crate) fn is_mostly_free(&self) -> bool {
        let for_keys =
            self.limits.bytes.saturating_sub(self.limits.slots * size_of::<Option<Entry<V>>>());
        self.len < self.limits.slots / 16 * 3 && self.key_bytes < for_keys / 4
    }

    /// The value of a key, which is added if it is not there. There must be room then.
    pub(crate) fn entry(&mut self, key: &[u8], new: impl FnOnce() -> V) -> &mut V {
        let hash = self.hash(key);
        let mut place = self.place(hash, key);
        if self.slots[place].is_none() {
            debug_assert!(self.has_room(key.len()), "room was to be made");
            if self.is_crowded() {
                self.rebuild(self.slots.len() * 2);
                place = self.place(hash, key);
            }
            self.len += 1;
            self.key_bytes += allocated(key.len());
        }
        &mut self.slots[place]
            .get_or_insert_with(|| Entry { hash, key: key.into(), value: new() })
            .value
    }

    /// Parts with all entries of which `keep` says no.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&[u8], &mut V) -> bool) {
        for slot in &mut self.slots {
            if let Some(entry) = slot
                && !keep(&entry.key, &mut entry.value)
            {
                self.len -= 1;
                self.key_bytes -= allocated(entry.key.len());
                *slot = None;
            }
        }
        self.rebuild(self.slots.len());
    }

    /// All keys and values, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.slots.iter().flatten().map(|entry| (&*entry.key, &entry.value))
    }

    /// All values, in no order, to change.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.slots.iter_mut().flatten().map(|entry| &mut entry.value)
    }

    /// Up to `most` keys that `wanted` says yes to, going round from slot `*cursor`, which is moved on.
    pub(crate) fn round(
        &self,
        cursor: &mut usize,
        most: usize,
        wanted: impl Fn(&V) -> bool,
    ) -> impl Iterator<Item = &[u8]> {
        let mut found = Vec::with_capacity(most.min(self.len));
        for _ in 0..self.slots.len() {
            if found.len() == most {
                break;
            }
            *cursor = (*cursor + 1) & (self.slots.len() - 1);
            if let Some(entry) = self.slots[*cursor].as_ref().filter(|entry| wanted(&entry.value)) {
                found.push(&*entry.key);
            }
        }
        found.into_iter()
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        rapidhash_v3_nano_inline::<true, false>(key, &self.secrets)
    }

    /// The slot where a key is, or where it would be put.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the low bits choose the slot")]
    fn place(&self, hash: u64, key: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut place = hash as usize & mask;
        while let Some(entry) = &self.slots[place]
            && (entry.hash != hash || *entry.key != *key)
        {
            place = (place + 1) & mask;
        }
        place
    }

    fn is_crowded(&self) -> bool {
        self.len + 1 > self.slots.len() / 4 * 3
    }

    fn has_room_in_slots(&self) -> bool {
        !self.is_crowded() || self.slots.len() < self.limits.slots
    }

    fn bytes_with(&self, key_len: usize) -> usize {
        let slots = if self.is_crowded() { self.slots.len() * 2 } else { self.slots.len() };
        slots * size_of::<Option<Entry<V>>>() + self.key_bytes + allocated(key_len)
    }

    /// Puts all entries where they belong among so many slots.
    fn rebuild(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, empty(slots));
        for entry in old.into_iter().flatten() {
            let place = self.place(entry.hash, &entry.key);
            self.slots[place] = Some(entry);
        }
    }
}

fn empty<V>(slots: usize) -> Vec<Option<Entry<V>>> {
    let mut all = Vec::with_capacity(slots);
    all.resize_with(slots, || None);
    all
}

/// What an allocator takes for a key.
fn allocated(key_len: usize) -> usize {
    key_len.next_multiple_of(16)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn it_is_a_map_that_grows_up_to_its_limit() {
        let mut table = Table::new(40 << 10);
        let mut model = HashMap::new();
        let mut most = 0;
        for at in 0..100_000_u32 {
            let key = format!("key {}", at.wrapping_mul(2_654_435_761) % 700);
            if table.get_mut(key.as_bytes()).is_none() && !table.has_room(key.len()) {
                table.retain(|_, value| *value % 3 != 0);
                model.retain(|_, value| *value % 3 != 0);
                assert_eq!(table.len(), model.len());
                if !table.has_room(key.len()) {
                    table.retain(|_, _| false);
                    model.clear();
                }
            }
            most = most.max(table.len());
            *table.entry(key.as_bytes(), || 0) += at;
            *model.entry(key).or_insert(0_u32) += at;
            assert_eq!(table.len(), model.len());
            assert!(table.bytes() <= 40 << 10);
        }
        assert!(most > 300, "{most}");
        assert!(
            table.iter().all(|(key, value)| model[std::str::from_utf8(key).unwrap()] == *value)
        );
    }

    #[test]
    fn long_keys_are_fewer() {
        let mut table = Table::new(16 << 10);
        let mut count = 0_u32;
        while table.has_room(250) {
            count += 1;
            table.entry(format!("{count:0250}").as_bytes(), || count);
        }
        assert!((40..=60).contains(&count), "{count}");
        table.retain(|_, _| false);
        assert_eq!((table.len(), table.has_room(250), table.get(b"x")), (0, true, None));
    }

    #[test]
    fn going_round_meets_every_key_once_before_any_twice() {
        let mut table = Table::new(16 << 10);
        for at in 0..50_u8 {
            table.entry(&[at], || at);
        }
        let mut cursor = 0;
        let mut met = Vec::new();
        for _ in 0..5 {
            met.extend(table.round(&mut cursor, 5, |value| value % 2 == 0).map(<[u8]>::to_vec));
        }
        met.sort_unstable();
        met.dedup();
        assert_eq!(met.len(), 25);
        assert_eq!(table.round(&mut cursor, 5, |_| false).count(), 0);
    }
}
