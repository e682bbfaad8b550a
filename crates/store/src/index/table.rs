//! The table: where the home of a hash is, and lookups.
//!
//! Two sets of a directory and a number of buckets take turns in being the current table. The state
//! word says which is, and its number of buckets, and below which home everything has moved to the
//! other one. It is written by the thread that resizes, and nobody else; a reader loads it once, with
//! acquire, and by that sees the directory, the pages and the items of the homes it says have moved.
//! A home can have moved without the word saying so yet: the bucket itself says it then.

use super::bucket::Bucket;
use super::home::Home;
use super::prefetch::prefetch;
use super::resize::Resize;
use super::slot::Slot;
use super::{Group, PROBES, Pages, Supply};
use crate::sync::{AtomicU32, AtomicU64, Lock, Ordering};

/// A value on cache lines of its own.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct OwnLine<T>(pub(super) T);

/// The hash table, in pages of `P`.
#[derive(Debug)]
pub(crate) struct Table<P> {
    pub(super) pages: P,
    pub(super) state: AtomicU64,
    /// Buckets of either table; 0 for the one that is not current while nothing moves.
    pub(super) sizes: [AtomicU32; 2],
    /// The page numbers of either table.
    pub(super) directories: [Box<[AtomicU32]>; 2],
    /// Pages of both.
    pub(super) held: AtomicU32,
    /// Binary logarithm of the buckets of a page.
    pub(super) page_shift: u32,
    /// Writers come here only while there is something to move.
    pub(super) resize: OwnLine<Lock<Resize>>,
}

/// An item that was found.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Found<'a> {
    /// The slot as it was read.
    pub(crate) slot: Slot,
    /// Where it was read: to set frequency and flags.
    pub(crate) at: &'a AtomicU64,
}

impl<'a> Found<'a> {
    /// The slot as it is now; none if the item is not there any more.
    #[inline]
    pub(crate) fn anew(self) -> Option<Found<'a>> {
        let slot = Slot::from_word(self.at.load(Ordering::Acquire));
        slot.is_same_item(self.slot).then_some(Found { slot, ..self })
    }

    /// Changes frequency and flags, unless the slot has changed or moved since it was read. Returns
    /// whether it has been done.
    #[inline]
    pub(crate) fn set(&self, new: Slot) -> bool {
        debug_assert!(new.is_same_item(self.slot), "readers change frequency and flags only");
        let (old, new) = (self.slot.word(), new.word());
        self.at.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

/// A home bucket.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Place<'a> {
    group: &'a Group,
    index: usize,
    table: usize,
}

impl<'a> Place<'a> {
    /// The bucket at a probe, which is below [`PROBES`].
    #[inline]
    pub(super) fn bucket(&self, probe: usize) -> &'a Bucket {
        &self.group[(self.index ^ probe) % PROBES]
    }

    /// Locks the home; `None` if it has moved.
    pub(super) fn lock(&self, tag: u16) -> Option<Home<'a>> {
        Home::lock(self.group, self.index, tag)
    }

    /// Has the home bucket fetched.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(self.bucket(0));
    }

    /// The first item whose tag matches, of the home bucket or the one beside it: most likely the one
    /// sought, if it is there.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<Found<'a>> {
        let tag = Slot::tag_of(hash);
        self.find_at(0, tag, &mut Some).or_else(|| {
            let reaches = self.bucket(0).control().reach() > 0;
            reaches.then(|| self.find_at(1, tag, &mut Some)).flatten()
        })
    }

    #[inline]
    fn find_at<T>(
        &self,
        probe: usize,
        tag: u16,
        sought: &mut impl FnMut(Found<'a>) -> Option<T>,
    ) -> Option<T> {
        let bucket = self.bucket(probe);
        bucket.matches(tag).find_map(|(index, slot)| sought(Found { slot, at: bucket.slot(index) }))
    }

    /// Looks at all probes but the home itself, which has been looked at.
    fn find_displaced<T>(
        &self,
        tag: u16,
        sought: &mut impl FnMut(Found<'a>) -> Option<T>,
    ) -> Option<T> {
        let reach = self.bucket(0).control().reach();
        (1..=reach).find_map(|probe| self.find_at(probe, tag, sought))
    }
}

impl<P: Pages> Table<P> {
    /// A table of as many pages as hold `buckets`, at least one; `None` if they can't be had.
    pub(crate) fn new(pages: P, supply: &impl Supply, buckets: usize) -> Option<Table<P>> {
        let a_page = pages.buckets_a_page();
        assert!(a_page.is_power_of_two() && a_page >= PROBES, "pages of {a_page} buckets");
        let directory = || (0..pages.pages()).map(|_| AtomicU32::new(0)).collect();
        let directories = [directory(), directory()];
        let page_shift = a_page.trailing_zeros();
        let count = buckets.div_ceil(a_page).max(1);
        let size = u32::try_from(count << page_shift).expect("a table of less than 2^31 buckets");
        let table = Table {
            pages,
            state: AtomicU64::new(State::new(0, size, 0).0),
            sizes: [AtomicU32::new(size), AtomicU32::new(0)],
            directories,
            held: AtomicU32::new(size >> page_shift),
            page_shift,
            resize: OwnLine(Lock::new(Resize::default())),
        };
        for entry in &table.directories[0][..count] {
            let page = supply.take()?;
            entry.store(page, Ordering::Relaxed);
            table.pages.page(page).iter().for_each(Bucket::clear);
        }
        Some(table)
    }

    /// What `sought` makes of the first item it wants, among those whose tag matches. Takes no lock and
    /// writes nothing.
    #[inline]
    pub(crate) fn find<'a, T>(
        &'a self,
        hash: u64,
        mut sought: impl FnMut(Found<'a>) -> Option<T>,
    ) -> Option<T> {
        let home = self.home(hash);
        let found = home.find_at(0, Slot::tag_of(hash), &mut sought);
        if found.is_some() || home.bucket(0).control().is_plain() {
            return found;
        }
        self.find_further(home, hash, &mut sought)
    }

    /// The rest of the search: the home has displaced items, or has moved.
    #[inline(never)]
    fn find_further<'a, T>(
        &'a self,
        home: Place<'a>,
        hash: u64,
        sought: &mut impl FnMut(Found<'a>) -> Option<T>,
    ) -> Option<T> {
        let tag = Slot::tag_of(hash);
        let found = home.find_displaced(tag, sought);
        // The mark is set before slots are cleared: if one was missed for that, it is seen now.
        if found.is_some() || !home.bucket(0).control().moved() {
            return found;
        }
        let home = self.place_in(home.table ^ 1, hash);
        home.find_at(0, tag, sought).or_else(|| home.find_displaced(tag, sought))
    }

    /// Has the home bucket fetched.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        self.home(hash).prefetch();
    }

    /// Locks all items that have the home of this hash.
    pub(crate) fn lock(&self, hash: u64) -> Home<'_> {
        let tag = Slot::tag_of(hash);
        let mut place = self.home(hash);
        loop {
            if let Some(home) = place.lock(tag) {
                return home;
            }
            // Once at most: no move away from the next table begins while this thread is pinned.
            place = self.place_in(place.table ^ 1, hash);
        }
    }

    /// Buckets of the current table.
    pub(crate) fn buckets(&self) -> u32 {
        self.state().buckets()
    }

    /// Bytes of the pages it has.
    pub(crate) fn bytes(&self) -> usize {
        let pages = self.held.load(Ordering::Relaxed) as usize;
        (pages << self.page_shift) * size_of::<Bucket>()
    }

    #[inline]
    pub(super) fn state(&self) -> State {
        State(self.state.load(Ordering::Acquire))
    }

    /// The home of a hash, as far as is known without looking at it.
    #[inline(always)]
    pub(crate) fn home(&self, hash: u64) -> Place<'_> {
        let state = self.state();
        let home = home_of(hash, state.buckets());
        if home < state.moved() {
            return self.place_in(state.table() ^ 1, hash);
        }
        self.place_at(state.table(), home)
    }

    /// The home of a hash in one of the tables.
    pub(super) fn place_in(&self, table: usize, hash: u64) -> Place<'_> {
        let buckets = self.sizes[table].load(Ordering::Relaxed);
        self.place_at(table, home_of(hash, buckets))
    }

    /// Locks a home of the next table, under the lock of the old one: nobody moves it away.
    pub(super) fn lock_in(&self, table: usize, hash: u64) -> Home<'_> {
        let home = self.place_in(table, hash).lock(Slot::tag_of(hash));
        home.expect("only one move is under way")
    }

    /// A home by its number in one of the tables.
    #[inline]
    pub(super) fn place_at(&self, table: usize, home: u32) -> Place<'_> {
        let page =
            self.directories[table][(home >> self.page_shift) as usize].load(Ordering::Relaxed);
        let index = home as usize & ((1 << self.page_shift) - 1);
        let group = self.pages.group(page, index & !(PROBES - 1));
        Place { group, index: index % PROBES, table }
    }
}

/// The home of a hash in a table of this many buckets.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the quotient is below `buckets`")]
pub(super) fn home_of(hash: u64, buckets: u32) -> u32 {
    ((u128::from(hash) * u128::from(buckets)) >> 64) as u32
}

/// The least hash with this home; `None` if the table has no such home.
#[expect(clippy::cast_possible_truncation, reason = "the quotient is below 2^64")]
pub(super) fn first_hash(home: u32, buckets: u32) -> Option<u64> {
    let first = (u128::from(home) << 64).div_ceil(u128::from(buckets));
    (home < buckets).then_some(first as u64)
}

/// The state word, by value.
///
/// | bits | what |
/// |---|---|
/// | 0..32 | moved: the homes below this are in the other table |
/// | 32..63 | buckets of the current table |
/// | 63 | which of the two is current |
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct State(u64);

impl State {
    pub(super) fn new(table: usize, buckets: u32, moved: u32) -> State {
        debug_assert!(table < 2 && buckets <= MAX_BUCKETS && moved < buckets);
        State((table as u64) << 63 | u64::from(buckets) << 32 | u64::from(moved))
    }

    #[inline]
    pub(super) fn table(self) -> usize {
        (self.0 >> 63) as usize
    }

    #[inline]
    pub(super) fn buckets(self) -> u32 {
        (self.0 >> 32 & u64::from(MAX_BUCKETS)) as u32
    }

    #[inline]
    pub(super) fn moved(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }

    pub(super) fn word(self) -> u64 {
        self.0
    }
}

/// The most buckets of a table.
pub(super) const MAX_BUCKETS: u32 = (1 << 31) - 1;
