//! Moving to a table of another size, a few homes a step.
//!
//! One thread at a time does a step, under the lock of [`Resize`]; it alone writes the state word, the
//! sizes and the directories. A move begins with the number of buckets of the next table, which gets
//! its pages as the cursor reaches them, and each group of its buckets is cleared as the cursor enters
//! it. One home is moved thus, under its lock:
//!
//! 1. each of its items is put into the next table, under the lock of its home there;
//! 2. the old home is marked as moved: who finds nothing goes on in the next table from now on, and
//!    who waits for the lock as well;
//! 3. the old slots are cleared, and what readers have set in them since is merged into the new ones.
//!
//! Until 3 is done nobody but readers touches the new slots: writers either wait for the old lock, or
//! go to the next table because the state word says so, which is written after it.
//!
//! The pages behind the cursor are given back after the state word says that nothing is there. The
//! next move starts only when everybody who was pinned when the last one ended has left: until then
//! somebody may be about to look into the table that was left.

use super::bucket::{Bucket, SLOTS};
use super::home::update;
use super::slot::Slot;
use super::table::{MAX_BUCKETS, State, Table, first_hash, home_of};
use super::{GROUP, Items, PROBES, Pages, Supply};
use crate::sync::{AtomicU64, Ordering};

/// Homes moved a step: a block that is aligned, so that most displaced items lie in it too.
const HOMES_A_STEP: u32 = 4;

/// A table grows when its load is above this, in percent of its slots.
const GROW_ABOVE: u64 = 83;
/// It shrinks when its load is below this, and memory is scarce ...
const SHRINK_BELOW: u64 = 60;
/// ... to this load.
const SHRINK_TO: u64 = 80;
/// How much larger than needed a grown table is made, in percent: while there is memory, and later.
const GROWTH_ROOMY: u64 = 140;
const GROWTH: u64 = 108;

/// What the table's size goes by.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Load {
    /// Items in the table.
    pub(crate) items: u64,
    /// Whether there is memory nobody needs: the table then grows in large steps and never shrinks.
    pub(crate) roomy: bool,
}

/// What a step did.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing: the size is right.
    Idle,
    /// Nothing: another thread is at it.
    Busy,
    /// Nothing yet: somebody is still pinned since the last move.
    Waiting,
    /// Nothing yet: there was no page to take.
    NeedsPage,
    /// Some homes have moved.
    Moved,
    /// The last homes have moved.
    Finished,
}

/// What only the resizing thread knows.
#[derive(Debug, Default)]
pub(super) struct Resize {
    /// Groups of the next table that have been cleared.
    pub(super) prepared: u32,
    /// When the last move ended.
    ended: Option<u64>,
}

/// An item on its way.
struct Moving<'a> {
    slot: Slot,
    old: &'a AtomicU64,
    /// Nowhere if the next table had no room.
    new: Option<&'a AtomicU64>,
}

impl<P: Pages> Table<P> {
    /// Does some of the work of resizing, if there is any: at most about 32 items' worth. Those that
    /// find no room are handed to `lost`, and are no longer in the table.
    ///
    /// The caller is pinned and holds no [`Home`](super::Home).
    #[inline]
    pub(crate) fn resize_step(
        &self,
        supply: &impl Supply,
        load: Load,
        items: &impl Items,
        lost: impl FnMut(Slot),
    ) -> Step {
        if !self.is_to_resize(load) {
            return Step::Idle;
        }
        self.resize_step_locked(supply, load, items, lost)
    }

    /// Whether there is anything to do for [`resize_step`](Self::resize_step).
    pub(crate) fn is_to_resize(&self, load: Load) -> bool {
        self.is_moving() || self.wanted(load).is_some()
    }

    /// Whether a move to another size is under way.
    #[inline]
    pub(crate) fn is_moving(&self) -> bool {
        self.sizes[self.state().table() ^ 1].load(Ordering::Acquire) != 0
    }

    #[inline(never)]
    fn resize_step_locked(
        &self,
        supply: &impl Supply,
        load: Load,
        items: &impl Items,
        lost: impl FnMut(Slot),
    ) -> Step {
        let Some(mut resize) = self.resize.0.try_lock() else { return Step::Busy };
        if !self.is_moving() {
            let Some(wanted) = self.wanted(load) else { return Step::Idle };
            if resize.ended.is_some_and(|stamp| !supply.passed(stamp)) {
                return Step::Waiting;
            }
            *resize = Resize::default();
            self.sizes[self.state().table() ^ 1].store(wanted, Ordering::Release);
        }
        self.advance(&mut resize, supply, items, lost)
    }

    /// The number of buckets the table should have, if it is another.
    #[inline]
    fn wanted(&self, load: Load) -> Option<u32> {
        let buckets = self.buckets();
        let slots = u64::from(buckets) * SLOTS as u64;
        let percent = load.items * 100;
        if percent > slots * GROW_ABOVE {
            let growth = if load.roomy { GROWTH_ROOMY } else { GROWTH };
            let wanted = self.whole_pages(load.items * growth / GROW_ABOVE);
            (wanted > buckets).then_some(wanted)
        } else if percent < slots * SHRINK_BELOW && !load.roomy {
            let wanted = self.whole_pages(load.items * 100 / SHRINK_TO);
            (wanted < buckets).then_some(wanted)
        } else {
            None
        }
    }

    /// The buckets of the pages that hold so many slots: at least one, and not more than there are.
    fn whole_pages(&self, slots: u64) -> u32 {
        let pages = (slots / SLOTS as u64 + 1).div_ceil(1 << self.page_shift);
        let most = self.directories[0].len().min((MAX_BUCKETS >> self.page_shift) as usize);
        let pages = pages.min(most as u64);
        u32::try_from(pages << self.page_shift).expect("the directory has no more pages")
    }

    /// Moves the next few homes.
    fn advance(
        &self,
        resize: &mut Resize,
        supply: &impl Supply,
        items: &impl Items,
        mut lost: impl FnMut(Slot),
    ) -> Step {
        let state = self.state();
        let end = (state.moved() + HOMES_A_STEP).min(state.buckets());
        if !self.prepare(resize, supply, state, end) {
            return Step::NeedsPage;
        }
        for home in state.moved()..end {
            let bucket = self.place_at(state.table(), home).bucket(0);
            bucket.occupied().for_each(|(_, slot)| items.prefetch(slot));
        }
        let mut moving = Vec::with_capacity(4 * SLOTS);
        for home in state.moved()..end {
            self.move_home(state, home, items, &mut moving, &mut lost);
        }
        let finished = end == state.buckets();
        let next = state.table() ^ 1;
        let new_state = if finished {
            State::new(next, self.sizes[next].load(Ordering::Relaxed), 0)
        } else {
            State::new(state.table(), state.buckets(), end)
        };
        self.state.store(new_state.word(), Ordering::Release);
        if end.is_multiple_of(1 << self.page_shift) {
            let left = &self.directories[state.table()][((end - 1) >> self.page_shift) as usize];
            self.held.fetch_sub(1, Ordering::Relaxed);
            supply.give_back(left.load(Ordering::Relaxed));
        }
        if !finished {
            return Step::Moved;
        }
        self.sizes[state.table()].store(0, Ordering::Release);
        resize.ended = Some(supply.now());
        Step::Finished
    }

    /// Clears the groups of the next table that the homes below `end` move to, and takes pages for
    /// them; says whether they are all there.
    fn prepare(&self, resize: &mut Resize, supply: &impl Supply, state: State, end: u32) -> bool {
        let next = state.table() ^ 1;
        let last_hash = first_hash(end, state.buckets()).map_or(u64::MAX, |first| first - 1);
        let last_home = home_of(last_hash, self.sizes[next].load(Ordering::Relaxed));
        while resize.prepared <= last_home / GROUP {
            let first = resize.prepared * GROUP;
            if first.is_multiple_of(1 << self.page_shift) {
                let Some(page) = supply.take() else { return false };
                let entry = &self.directories[next][(first >> self.page_shift) as usize];
                entry.store(page, Ordering::Relaxed);
                self.held.fetch_add(1, Ordering::Relaxed);
            }
            let place = self.place_at(next, first);
            (0..PROBES).map(|probe| place.bucket(probe)).for_each(Bucket::clear);
            resize.prepared += 1;
        }
        true
    }

    /// Moves the items of one home. `moving` is empty before and after.
    fn move_home<'a>(
        &'a self,
        state: State,
        home: u32,
        items: &impl Items,
        moving: &mut Vec<Moving<'a>>,
        lost: &mut impl FnMut(Slot),
    ) {
        let mut locked = self.place_at(state.table(), home).lock(0).expect("a home moves once");
        locked.each(|slot, old| {
            let hash = items.hash_of(slot);
            // Of another home an item may just have been removed, and its segment with it: then the
            // hash means nothing.
            let is_there = Slot::from_word(old.load(Ordering::Acquire)).is_same_item(slot);
            let is_ours = is_there && home_of(hash, state.buckets()) == home;
            if is_ours {
                let mut new = self.lock_in(state.table() ^ 1, hash);
                moving.push(Moving { slot, old, new: new.place(slot).ok() });
            }
            is_ours
        });
        locked.announce_move();
        for Moving { slot, old, new } in moving.drain(..) {
            let last = Slot::from_word(old.swap(0, Ordering::AcqRel));
            match new {
                None => lost(last),
                Some(_) if last == slot => (),
                Some(new) => {
                    update(new, |new| new.merged(last));
                }
            }
        }
    }
}
