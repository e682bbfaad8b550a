//! Room for what is to be stored: a place in an open segment, or else one made by evicting.

use std::thread;
use std::time::{Duration, Instant};

use crate::config::MAX_KEY_BYTES;
use crate::epoch::Pin;
use crate::error::StoreError;
use crate::memory::log::{Need, Place};
use crate::reclaim::{Effort, Got, Pace};
use crate::store::Shared;
use crate::sync::{self, Ordering};
use crate::tenant::TenantState;

/// For whom a place is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By {
    /// A writer: the thread of this number.
    Writer(u32),
    /// Reclaim, which may use the last segments.
    Reclaim,
}

/// How long an operation waits for others.
#[derive(Debug, Clone, Copy)]
struct Wait {
    most: Duration,
    /// How often before it sleeps.
    awake: usize,
}

/// For threads that read in what is free, or are making room. They take microseconds, unless they are not
/// running: where more threads are to run than there are cores, each of them waits for tens of milliseconds
/// now and then, and for hundreds at worst. To sleep leaves them the core; who yields instead takes it from
/// them again and again, and comes later itself than anybody else.
const FOR_ROOM: Wait = Wait { most: Duration::from_secs(1), awake: 8 };

/// For the index, which a new item can do without.
const FOR_INDEX: Wait = Wait { most: Duration::from_millis(20), awake: 8 };

/// Where nobody is known to be making room.
const BLIND: Wait = Wait { most: Duration::from_millis(20), awake: FEW_WAITS };

/// How often it waits there.
const FEW_WAITS: usize = 64;

/// How often it waits at most where no time passes.
const MOST_WAITS: usize = 180;

/// How long it sleeps first. Each time is twice the one before, so many times.
const FIRST_SLEEP: Duration = Duration::from_micros(50);
const MOST_DOUBLED: usize = 5;

/// What an operation has waited so far.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    turns: usize,
    since: Option<Instant>,
}

/// What one that needs room has waited so far.
#[derive(Debug, Default)]
struct Waited {
    for_room: Patience,
    blind: Patience,
    /// The [oldest](crate::memory::pool::Pool::oldest_waiting) when it began to wait for room.
    oldest: u64,
    /// Whether it has evicted something for itself.
    evicted: bool,
}

impl Patience {
    fn is_over(&mut self, wait: Wait) -> bool {
        if cfg!(any(miri, feature = "shuttle")) {
            return self.turns >= MOST_WAITS;
        }
        self.since.get_or_insert_with(Instant::now).elapsed() > wait.most
    }

    fn pause(&mut self, wait: Wait) {
        if self.turns < wait.awake || cfg!(any(miri, feature = "shuttle")) {
            sync::wait(self.turns);
        } else {
            let doubled = (self.turns - wait.awake).min(MOST_DOUBLED);
            thread::sleep(FIRST_SLEEP * (1 << doubled));
        }
        self.turns += 1;
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
        let mut waited = Waited::default();
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
            let got = if waiting { Got::Busy } else { self.press_on(pin, tenant, effort) };
            pin.repin(&self.epoch);
            if !self.goes_on(pin, got, &mut waited) {
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
        let mut waited = Waited::default();
        loop {
            if !tenant.is_beyond_ceiling_with(segments) && self.has_ready(segments) {
                return true;
            }
            if !pin.is_outermost() {
                return false;
            }
            let waiting = self.has_room_for(segments) && !tenant.is_beyond_ceiling_with(segments);
            let got = if waiting { Got::Busy } else { self.press_on(pin, tenant, effort) };
            pin.repin(&self.epoch);
            if !self.goes_on(pin, got, &mut waited) {
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
    fn press_on(&self, pin: &Pin<'_>, tenant: &TenantState, effort: &mut Effort) -> Got {
        effort.raise();
        let pace = if effort.is_used_up() { Pace::Urgent } else { self.pace(tenant) };
        if effort.is_used_up() && !effort.resort() {
            return Got::Nothing;
        }
        self.reclaim_some(pin, tenant, pace, effort)
    }

    /// After a step, if it came to nothing, waits a moment for others. `false` if there is no use in that.
    #[cold]
    fn goes_on(&self, pin: &mut Pin<'_>, got: Got, waited: &mut Waited) -> bool {
        if got.is_progress() {
            waited.evicted = self.evicts;
            return true;
        }
        if got == Got::Busy || waited.evicted {
            // Others may have taken what it has evicted: they evict, too.
            return self.await_room(pin, waited);
        }
        // Others are writing into everything, or nothing there is may go.
        waited.blind.turns < FEW_WAITS && self.rest(BLIND, pin, &mut waited.blind)
    }

    /// Waits a moment for those who read in what is free, or for who is making room, without reading
    /// meanwhile; `false` if there is no use in waiting any longer: this thread itself is one of those readers,
    /// or they were waited for in vain before.
    fn await_room(&self, pin: &mut Pin<'_>, waited: &mut Waited) -> bool {
        let oldest = self.pool.oldest_waiting(&self.epoch).unwrap_or(0);
        if oldest != 0 && oldest == self.shifting.waited_for.load(Ordering::Relaxed) {
            return false;
        }
        if waited.for_room.turns == 0 {
            waited.oldest = oldest;
        }
        let rested = self.rest(FOR_ROOM, pin, &mut waited.for_room);
        if !rested && pin.is_outermost() && oldest != 0 && oldest == waited.oldest {
            // All the time for the same readers: others, and the next ones, need not do so again.
            self.shifting.waited_for.store(oldest, Ordering::Relaxed);
        }
        rested
    }

    /// Waits a moment for who is at work on the index, without reading meanwhile; `false` if it has waited
    /// long enough, or keeps reading.
    #[cold]
    pub(crate) fn await_others(&self, pin: &mut Pin<'_>, patience: &mut Patience) -> bool {
        self.rest(FOR_INDEX, pin, patience)
    }

    fn rest(&self, wait: Wait, pin: &mut Pin<'_>, patience: &mut Patience) -> bool {
        if !pin.is_outermost() || patience.is_over(wait) {
            return false;
        }
        pin.rest(&self.epoch, || patience.pause(wait));
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
