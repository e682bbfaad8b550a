//! Walking all items, in the order of their hashes.
//!
//! A position is a hash: homes are in the order of the hashes in a table of any size, so it stays
//! right while the table is resized.

use super::slot::Slot;
use super::table::{Table, first_hash, home_of};
use super::{GROUP, PROBES, Pages};
use crate::sync::Ordering;

impl<P: Pages> Table<P> {
    /// Gives the items whose hash is `from` or more to `f`, those of at most one group of buckets, and
    /// returns where to go on: `None` at the end. From 0, again and again, it gives each item that is
    /// there throughout at least once, and just once if nothing is resized meanwhile.
    ///
    /// The caller is pinned for each call, and need not be between them.
    pub(crate) fn scan(&self, from: u64, mut f: impl FnMut(Slot)) -> Option<u64> {
        let state = self.state();
        let moved_to = first_hash(state.moved(), state.buckets())?;
        if from < moved_to {
            let next = state.table() ^ 1;
            let buckets = self.sizes[next].load(Ordering::Relaxed);
            let group = first_of_group(from, buckets);
            self.scan_group(next, group, &mut f);
            // Behind the cursor the items are still in the old table.
            let end = first_hash(group + GROUP, buckets);
            return Some(end.map_or(moved_to, |end| end.min(moved_to)));
        }
        let group = first_of_group(from, state.buckets());
        self.scan_group(state.table(), group, f);
        let place = self.place_at(state.table(), group);
        let stayed = state.moved().saturating_sub(group) as usize;
        if (stayed..PROBES).any(|probe| place.bucket(probe).control().moved()) {
            // Some items may have moved away before they were looked at.
            return Some(from);
        }
        first_hash(group + GROUP, state.buckets())
    }

    /// Gives all items to `f`: see [`scan`](Table::scan).
    pub(crate) fn for_each(&self, mut f: impl FnMut(Slot)) {
        let mut from = Some(0);
        while let Some(position) = from {
            from = self.scan(position, &mut f);
        }
    }

    /// Gives all items in the group of buckets from `first` on to `f`.
    fn scan_group(&self, table: usize, first: u32, mut f: impl FnMut(Slot)) {
        let place = self.place_at(table, first);
        for probe in 0..PROBES {
            place.bucket(probe).occupied().for_each(|(_, slot)| f(slot));
        }
    }
}

/// The first bucket of the group in which a hash has its home.
pub(super) fn first_of_group(hash: u64, buckets: u32) -> u32 {
    home_of(hash, buckets) & !(GROUP - 1)
}
