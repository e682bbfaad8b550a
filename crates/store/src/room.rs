//! Room for what is to be stored: a place in an open segment, or else one made by evicting.

use std::time::{Duration, Instant};

use crate::config::MAX_KEY_BYTES;
use crate::epoch::Pin;
use crate::error::StoreError;
use crate::memory::log::{Need, Place};
use crate::reclaim::{Effort, Pace};
use crate::store::Shared;
use crate::sync::{Ordering, wait};
use crate::tenant::TenantState;

/// For whom a place is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By {
    /// A writer: the thread of this number.
    Writer(u32),
    /// Reclaim, which may use the last segments.
    Reclaim,
}

/// How long an operation waits for others, who read in what is free, or are at work for it. They take
/// microseconds, unless they are not running at all: where more threads are to run than there are
/// cores, each of them waits for some milliseconds now and then, and whoever waits for it here lets it
/// run. Nobody sleeps, and nobody waits again for a reader that was waited for in vain.
const MOST_WAIT: Duration = Duration::from_millis(20);

/// How often, where no time passes.
const MOST_WAITS: usize = 180;

/// How often it waits for who is making room.
const FEW_WAITS: usize = 64;

/// What an operation has waited so far.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    turns: usize,
    since: Option<Instant>,
}

impl Patience {
    fn is_over(&mut self) -> bool {
        if cfg!(any(miri, feature = "shuttle")) {
            return self.turns >= MOST_WAITS;
        }
        self.since.get_or_insert_with(Instant::now).elapsed() > MOST_WAIT
    }
}

impl Shared {
    /// Refuses what is too large for any store, for this one, or for this tenant.
    pub(crate) fn check_size(
        &self,
        tenant: &TenantState,
        key: &[u8],
        value_len: usize,
    ) -> Result<(), StoreError> {
        let bytes = key.len().saturating_add(value_len);
        let limit = self.max_item_bytes().min(tenant.most_item_bytes(&self.arena));
        if key.len() > MAX_KEY_BYTES {
            return Err(StoreError::TooLarge { bytes: key.len(), limit: MAX_KEY_BYTES });
        }
        if bytes > limit {
            return Err(StoreError::TooLarge { bytes, limit });
        }
        Ok(())
    }

    /// What an operation may do for others that stores so many bytes.
    pub(crate) fn effort(&self, bytes: usize) -> Effort {
        Effort::of(bytes, self.arena.segment_bytes())
    }

    /// Reserves `len` bytes in an open segment of the tenant's.
    pub(crate) fn allocate(
        &self,
        pin: &mut Pin<'_>,
        tenant: &TenantState,
        need: Need,
        effort: &mut Effort,
    ) -> Result<Place, StoreError> {
        let mut patience = Patience::default();
        loop {
            let by = By::Writer(pin.worker.number);
            if let Some(place) = self.try_allocate(tenant, need, by) {
                return Ok(place);
            }
            // What is free and only waits for readers to leave is enough: evicting more is no use.
            let waiting = self.has_room() && !tenant.at_ceiling();
            if waiting && !pin.is_outermost() {
                // This thread itself is such a reader.
                break;
            }
            let progressed = !waiting && self.press_on(pin, tenant, effort);
            pin.repin(&self.epoch);
            if !progressed && !self.await_readers(pin, &mut patience) {
                break;
            }
        }
        Err(StoreError::NoRoom { bytes: need.len })
    }

    /// Makes room for `bytes` in all, which [`allocate`](Self::allocate) then finds even while this
    /// thread keeps memory from being reused. Returns whether there is.
    pub(crate) fn make_much_room(
        &self,
        pin: &mut Pin<'_>,
        tenant: &TenantState,
        bytes: usize,
        effort: &mut Effort,
    ) -> bool {
        let segments = self.segments_for(bytes);
        let mut patience = Patience::default();
        loop {
            if !tenant.is_beyond_ceiling_with(segments) && self.has_ready(segments) {
                return true;
            }
            if !pin.is_outermost() {
                return false;
            }
            let waiting = self.has_room_for(segments) && !tenant.is_beyond_ceiling_with(segments);
            let progressed = !waiting && self.press_on(pin, tenant, effort);
            pin.repin(&self.epoch);
            if !progressed && !self.await_readers(pin, &mut patience) {
                return false;
            }
        }
    }

    /// Segments that an item of so many bytes asks for: if it is in chunks, a quarter more for what these
    /// take, and one where they begin.
    pub(crate) fn segments_for(&self, bytes: usize) -> u32 {
        if bytes <= self.sizes.whole {
            return 1;
        }
        let segments = (bytes + bytes / 4).div_ceil(self.arena.segment_bytes()) + 1;
        u32::try_from(segments).unwrap_or(u32::MAX)
    }

    /// A step for one who finds no room.
    #[cold]
    fn press_on(&self, pin: &Pin<'_>, tenant: &TenantState, effort: &mut Effort) -> bool {
        effort.raise();
        let pace = if effort.is_used_up() { Pace::Urgent } else { self.pace(tenant) };
        (!effort.is_used_up() || effort.resort()) && self.reclaim_step(pin, tenant, pace, effort)
    }

    /// Waits a moment for those who read in what is free, without reading meanwhile; `false` if there is
    /// no use in waiting any longer: this thread itself is one of them, or one was waited for before.
    #[cold]
    fn await_readers(&self, pin: &mut Pin<'_>, patience: &mut Patience) -> bool {
        let oldest = self.pool.oldest_waiting().unwrap_or(0);
        let waited_for = self.shifting.waited_for.load(Ordering::Relaxed);
        // If there is none, somebody else is making room, or there is none to be made.
        if oldest != 0 && oldest == waited_for || oldest == 0 && patience.turns >= FEW_WAITS {
            return false;
        }
        let waited = self.await_others(pin, patience);
        if !waited && pin.is_outermost() {
            // Others, and the next ones, need not wait for the same again.
            self.shifting.waited_for.store(oldest, Ordering::Relaxed);
        }
        waited
    }

    /// Waits a moment for others, without reading meanwhile; `false` if it has waited long enough, or
    /// keeps reading.
    #[cold]
    pub(crate) fn await_others(&self, pin: &mut Pin<'_>, patience: &mut Patience) -> bool {
        if !pin.is_outermost() || patience.is_over() {
            return false;
        }
        pin.rest(&self.epoch, || wait(patience.turns));
        patience.turns += 1;
        true
    }

    /// The same, without making room for it.
    pub(crate) fn try_allocate(&self, tenant: &TenantState, need: Need, by: By) -> Option<Place> {
        let thread = if let By::Writer(number) = by { number } else { 0 };
        let mut open = tenant.stripes.of(need.queue, tenant.held(), thread).lock();
        loop {
            if let Some(place) = self.take_from(&mut open, need) {
                return Some(place);
            }
            if let Some(sealed) = open.seal(&self.segments) {
                self.enqueue(tenant, need.queue, sealed);
            }
            let segment = self.supply(tenant, by)?;
            self.segments.open(segment, tenant.id, need.queue);
            open.begin(segment, self.time.tick());
            self.check_index();
        }
    }
}
