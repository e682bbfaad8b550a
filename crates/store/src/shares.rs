//! What of a tenant's limits is for its items.
//!
//! Limits are in bytes of everything: items, and the index that finds them, which all share. So of a limit
//! only as much is for segments of items as these are of all that is in use. And where what is
//! guaranteed to all tenants together is more than the store can give them, because it keeps some
//! segments free, each is guaranteed in proportion.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The shares of one store. Read by every writer, written once a segment at most.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Shares {
    /// Of a limit, in parts of [`WHOLE`].
    items: AtomicU32,
    /// Of what is guaranteed.
    floors: AtomicU32,
    /// Segments guaranteed to all tenants together.
    promised: AtomicU64,
}

const WHOLE: u32 = 1 << 16;

/// With fewer segments in use the first page of the index would count for much.
const FEWEST: u32 = 64;

impl Default for Shares {
    fn default() -> Shares {
        let whole = || AtomicU32::new(WHOLE);
        Shares { items: whole(), floors: whole(), promised: AtomicU64::new(0) }
    }
}

impl Shares {
    /// What a tenant may hold who is limited to so many segments.
    #[inline]
    pub(crate) fn of_ceiling(&self, segments: u32) -> u32 {
        part(segments, self.items.load(Ordering::Relaxed))
    }

    /// What a tenant is guaranteed to hold who was promised so many segments.
    #[inline]
    pub(crate) fn of_floor(&self, segments: u32) -> u32 {
        part(segments, self.floors.load(Ordering::Relaxed))
    }

    /// A tenant is promised so many segments, and not what it was before.
    pub(crate) fn promise(&self, segments: u32, before: u32) {
        let change = u64::from(segments).wrapping_sub(before.into());
        self.promised.fetch_add(change, Ordering::Relaxed);
    }

    /// Of so many segments in use some are the index's; so many can be held by tenants, with the index.
    pub(crate) fn note(&self, used: u32, index: u32, usable: u32) {
        let items = if used < FEWEST { WHOLE } else { ratio(used - index.min(used), used.into()) };
        let floors = part(items, ratio(usable, self.promised.load(Ordering::Relaxed)));
        for (share, now) in [(&self.items, items), (&self.floors, floors)] {
            if share.load(Ordering::Relaxed) != now {
                share.store(now, Ordering::Relaxed);
            }
        }
    }
}

/// A part of so many.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "not more than the whole")]
fn part(whole: u32, share: u32) -> u32 {
    (u64::from(whole) * u64::from(share) / u64::from(WHOLE)) as u32
}

/// The share that a part is of all, at most all of it.
fn ratio(part: u32, all: u64) -> u32 {
    let share = (u64::from(part) * u64::from(WHOLE)).checked_div(all);
    share.and_then(|share| u32::try_from(share).ok()).map_or(WHOLE, |share| share.min(WHOLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_for_the_index_too() {
        let shares = Shares::default();
        assert_eq!((shares.of_ceiling(u32::MAX), shares.of_floor(0)), (u32::MAX, 0));
        shares.note(1_000, 100, 1_000);
        assert_eq!((shares.of_ceiling(400), shares.of_floor(400)), (359, 359));
        shares.note(10, 1, 1_000);
        assert_eq!(shares.of_ceiling(400), 400);
    }

    #[test]
    fn what_cannot_be_given_to_all_is_shared() {
        let shares = Shares::default();
        shares.promise(600, 0);
        shares.promise(500, 0);
        shares.promise(400, 500);
        shares.note(1_000, 0, 1_000);
        assert_eq!(shares.of_floor(600), 600);
        shares.note(1_000, 0, 900);
        // Rounded down each.
        assert!((897..=900).contains(&(shares.of_floor(600) + shares.of_floor(400))));
        assert_eq!(shares.of_ceiling(600), 600);
        shares.promise(0, 600);
        shares.note(1_000, 0, 900);
        assert_eq!(shares.of_floor(400), 400);
    }
}
