//! Recounting everything, for tests.

use std::collections::{BTreeMap, HashSet};

use super::slot::Slot;
use super::table::{State, Table, home_of};
use super::{GROUP, Items, PROBES, Pages};
use crate::sync::{AtomicU32, Ordering};

/// What the control words of a group should say: by home, how many items are displaced and how far.
type Displaced = BTreeMap<u32, (u64, usize)>;

impl<P: Pages> Table<P> {
    /// Recounts all items, while nobody changes anything, and says how many there are.
    ///
    /// # Errors
    ///
    /// The first disagreement found, in words.
    pub(crate) fn validate(&self, items: &impl Items) -> Result<u64, String> {
        let resize = self.resize.0.lock();
        let state = self.state();
        let mut seen = HashSet::new();
        let (current, next) = (state.table(), state.table() ^ 1);
        let kept = state.moved() & !(GROUP - 1);
        for first in (kept..state.buckets()).step_by(PROBES) {
            self.validate_group(state, current, first, items, &mut seen)?;
        }
        for group in 0..resize.prepared * u32::from(self.is_moving()) {
            self.validate_group(state, next, group * GROUP, items, &mut seen)?;
        }
        let pages = |buckets: u32| buckets.div_ceil(1 << self.page_shift);
        let left = state.moved() >> self.page_shift;
        let taken = pages(resize.prepared * GROUP) * u32::from(self.is_moving());
        let held = self.held.load(Ordering::Relaxed);
        if held != pages(state.buckets()) - left + taken {
            return Err(format!("{held} pages are held: {left} left, {taken} taken"));
        }
        Ok(seen.len() as u64)
    }

    fn validate_group(
        &self,
        state: State,
        table: usize,
        first: u32,
        items: &impl Items,
        seen: &mut HashSet<u64>,
    ) -> Result<(), String> {
        let place = self.place_at(table, first);
        let mut displaced = Displaced::new();
        for (bucket, probe) in (first..).zip(0..PROBES) {
            for (_, slot) in place.bucket(probe).occupied() {
                let home = self.validate_slot(state, table, slot, items)?;
                if !seen.insert(slot.location()) {
                    return Err(format!("{slot:?} is there twice"));
                }
                if home / GROUP != first / GROUP {
                    return Err(format!("{slot:?} in bucket {bucket} has home {home}"));
                }
                if home != bucket {
                    let (count, reach) = displaced.entry(home).or_default();
                    *count += 1;
                    *reach = (*reach).max((home ^ bucket) as usize);
                }
            }
        }
        for (home, probe) in (first..).zip(0..PROBES) {
            let (count, reach) = displaced.remove(&home).unwrap_or_default();
            let control = place.bucket(probe).control();
            let moved = table == state.table() && home < state.moved();
            if control.locked() || control.moved() != moved {
                return Err(format!("home {home} of table {table}: {control:?} at {state:?}"));
            }
            let reaches = if count == 0 { control.reach() == 0 } else { control.reach() >= reach };
            if control.displaced() != count || !reaches {
                return Err(format!("home {home}: {count} displaced to {reach}, {control:?}"));
            }
        }
        Ok(())
    }

    /// The home of an item's slot, in the table it was found in.
    fn validate_slot(
        &self,
        state: State,
        table: usize,
        slot: Slot,
        items: &impl Items,
    ) -> Result<u32, String> {
        let hash = items.hash_of(slot);
        if slot.location() == 0 || slot.tag() != Slot::tag_of(hash) {
            return Err(format!("{slot:?} of an item with hash {hash:016x}"));
        }
        let has_moved = home_of(hash, state.buckets()) < state.moved();
        if has_moved != (table != state.table()) {
            return Err(format!("{slot:?} with hash {hash:016x} in table {table} at {state:?}"));
        }
        let buckets = self.sizes[table].load(Ordering::Relaxed);
        Ok(home_of(hash, buckets))
    }
}

impl<P: Pages> Table<P> {
    /// The pages of both tables, to recount.
    pub(crate) fn pages_in_use(&self) -> Vec<u32> {
        let resize = self.resize.0.lock();
        let state = self.state();
        let pages = |buckets: u32| buckets.div_ceil(1 << self.page_shift) as usize;
        let current = (state.moved() >> self.page_shift) as usize..pages(state.buckets());
        let taken = 0..pages(resize.prepared * GROUP) * usize::from(self.is_moving());
        let of = |table: usize, pages: std::ops::Range<usize>| {
            self.directories[table][pages]
                .iter()
                .map(|page: &AtomicU32| page.load(Ordering::Relaxed))
        };
        of(state.table(), current).chain(of(state.table() ^ 1, taken)).collect()
    }
}
