//! How a key finds its item: a hash table that readers never lock, and that grows and shrinks while
//! it is used.
//!
//! The files:
//!
//! - [`slot`]: the eight bytes kept of an item. [`bucket`]: a cache line of seven slots and a control
//!   word, and who may write which. [`home`]: a locked home bucket, the only way to add or remove.
//! - [`table`]: where the home of a hash is; lookups.
//! - [`resize`]: moving to a table of another size, a few homes a step. [`scan`]: walking all items.
//!   [`check`]: recounting everything.
//!
//! The home of a hash is `hash * buckets / 2^64`: for any number of buckets, and *in the order of the
//! hashes*. So a table is rebuilt into one of another size from front to back: the pages behind the
//! cursor are given back while those of the new table are taken, and a position among the hashes
//! stays meaningful whatever the size of the table.
//!
//! An item lies in its home bucket or, if that is full, in one of the aligned group of 128
//! buckets around it, which is always within one page: at probe `j` lies bucket `home ^ j`. So large a
//! group hardly ever fills up: 128 buckets that are 83 % full on average have no room left once in 10^8
//! groups, 64 would once in 20,000.
//!
//! What must stay true:
//!
//! - Whoever uses a table has pinned the epoch, from before the call until it lets go of what it was
//!   given. Pages are reused, and a table's number of buckets and directory rewritten, only after
//!   everybody who was pinned has left.
//! - All that is known of the current table (which of the two, its number of buckets, how many of its
//!   homes have moved) is one word, so that no reader puts together halves of two tables.
//! - A reader finds every item that is there from the beginning to the end of its search. An item is
//!   put into the next table first, then its old home is marked as moved, then its old slot is
//!   cleared; a reader that has found nothing looks at the mark again before it says so.
//! - The bits readers set are never lost: who takes a slot's word away gets its last value, and the
//!   move carries it over.
//! - A thread holds one [`Home`] at a time, and none while it resizes. The move locks the old home
//!   and under it the new ones, one at a time; nobody else takes two.

mod bucket;
mod check;
mod home;
mod prefetch;
mod resize;
mod scan;
mod slot;
mod table;

#[cfg(test)]
mod tests;

pub(crate) use bucket::Bucket;
pub(crate) use home::{At, Home};
pub use prefetch::prefetch;
pub(crate) use resize::{Load, Step};
pub(crate) use slot::Slot;
pub(crate) use table::{Found, Place, Table};

/// Buckets among which an item may lie: an aligned group.
const GROUP: u32 = 128;
/// The probes of an item: so many buckets it may lie in.
const PROBES: usize = GROUP as usize;

/// Such a group.
pub(crate) type Group = [Bucket; PROBES];

/// No room in the group of an item's home: the caller treats the item as evicted.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The memory of a table, as its readers see it.
pub(crate) trait Pages {
    /// The buckets of a page that a table uses, or used when the caller pinned the epoch.
    fn page(&self, page: u32) -> &[Bucket];

    /// The group of buckets in a page that begins with bucket `first`, a multiple of its length.
    fn group(&self, page: u32, first: usize) -> &Group {
        self.page(page)[first..first + PROBES].try_into().expect("as long as a group")
    }

    /// How many buckets each page has: a power of two, at least 128.
    fn buckets_a_page(&self) -> usize;

    /// Page numbers are below this.
    fn pages(&self) -> usize;
}

/// Where a table's pages come from, and the epochs of its readers.
pub(crate) trait Supply {
    /// A page nobody else uses any more, whatever it holds; `None` if there is none at the moment.
    fn take(&self) -> Option<u32>;

    /// Takes a page back. It must not be used for anything else before everybody who is pinned now
    /// has left.
    fn give_back(&self, page: u32);

    /// A stamp for [`passed`](Supply::passed). What was stored before this call is seen by whoever
    /// pins after `passed` has said yes to the stamp.
    fn now(&self) -> u64;

    /// Whether everybody who was pinned when the stamp was given has left since.
    fn passed(&self, stamp: u64) -> bool;
}

/// What moving and checking need to know of items.
pub(crate) trait Items {
    /// The hash of the item's key, read from the item.
    fn hash_of(&self, slot: Slot) -> u64;

    /// Has the item's first line fetched, as `hash_of` will need it.
    fn prefetch(&self, slot: Slot);
}
