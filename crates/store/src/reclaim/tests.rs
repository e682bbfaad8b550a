//! No operation does much for others, however the sizes of items shift: counted, not timed.

use std::time::Duration;

use super::effort::RAISED;
use crate::{Clock, Config, Limits, Store, Tenant};

const MIB: usize = 1 << 20;

/// What a set looks through at most: 20 KiB, or what it stores and 4 KiB.
fn most_effort(mib: usize, bytes: usize) -> usize {
    // Twice that in the smallest stores, whose memory is near.
    let raised = if mib < 8 { 2 * RAISED } else { RAISED };
    raised.max(bytes + 4096)
}

/// So many records of 64 bytes and more; smaller ones count with their length.
fn most_looked(effort: usize, smallest_record: usize) -> u64 {
    // The last record goes beyond, and so may the one after a segment was chosen.
    (effort / smallest_record.min(64) + 2) as u64
}

/// What it copies at most: eight times that, and one record.
fn most_moved(effort: usize) -> u64 {
    8 * (effort + 16 * 1024) as u64
}

/// Sets of which each is checked.
struct Sets {
    store: Store,
    mib: usize,
    clock: Clock,
    value: Vec<u8>,
    smallest_record: usize,
    /// The most of any set, as a share of what it may do.
    records: f64,
    bytes: f64,
    random: u64,
}

impl Sets {
    fn new(mib: usize, smallest_record: usize) -> Sets {
        let clock = Clock::manual(1_000_000);
        let store = Store::new(Config { clock: clock.clone(), ..Config::new(mib * MIB) }).unwrap();
        let value = vec![b'v'; 64 * 1024];
        Sets { store, mib, clock, value, smallest_record, records: 0.0, bytes: 0.0, random: 1 }
    }

    fn below(&mut self, end: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 33).unwrap() % end
    }

    fn set(&mut self, tenant: &Tenant, key: u64, value_bytes: usize, ttl: Option<Duration>) {
        let epoch = &self.store.tenant().shared.epoch;
        let work = || epoch.pin().worker.counters.work();
        let [looked, moved] = work();
        tenant.set(&key.to_be_bytes(), &self.value[..value_bytes], 0, ttl).unwrap();
        let [looked, moved] = [work()[0] - looked, work()[1] - moved];
        let effort = most_effort(self.mib, 8 + value_bytes);
        self.records = self.records.max(share(looked, most_looked(effort, self.smallest_record)));
        self.bytes = self.bytes.max(share(moved, most_moved(effort)));
        assert!(
            self.records <= 1.0 && self.bytes <= 1.0,
            "a set of {value_bytes} B looked at {looked} records and moved {moved} B"
        );
    }

    /// That the sets came near to what is allowed, or the test would show nothing.
    fn were_busy(&self) {
        assert!(self.records > 0.3, "{} {}", self.records, self.bytes);
    }
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn share(part: u64, all: u64) -> f64 {
    part as f64 / all as f64
}

/// Phases of small values and of values up to `largest`; half of the calls read keys old and new.
fn shift(sets: &mut Sets, tenants: &[Tenant], largest: usize, phases: usize, phase: u64) {
    let mut keys = 0;
    for number in 0..phases {
        let end = keys + phase;
        let top = if number % 2 == 0 { 130 } else { largest };
        while keys < end {
            let tenant = &tenants[sets.below(tenants.len())];
            let old = sets.below(usize::try_from(keys + 1).unwrap()) as u64;
            match sets.below(6) {
                0..2 => {
                    keys += 1;
                    let bytes = 50 + sets.below(top - 49);
                    sets.set(tenant, keys, bytes, None);
                }
                2 => {
                    let bytes = 50 + sets.below(top - 49);
                    sets.set(tenant, old, bytes, None);
                }
                _ => _ = tenant.get(&old.to_be_bytes(), |_| ()),
            }
        }
    }
    sets.store.validate().unwrap();
}

#[test]
fn a_set_does_little_for_others_where_sizes_shift() {
    for (mib, largest, phases, phase) in
        [(1, 2048, 20, 4_000), (16, 2048, 8, 60_000), (32, 16 * 1024, 6, 130_000)]
    {
        let mut sets = Sets::new(mib, 64);
        let tenant = sets.store.tenant().clone();
        shift(&mut sets, &[tenant], largest, phases, phase);
        sets.were_busy();
    }
}

#[test]
fn nor_at_a_ceiling() {
    let mut sets = Sets::new(64, 64);
    let limits = Limits { floor_bytes: 0, ceiling_bytes: 16 * MIB };
    let tenant = sets.store.add_tenant(limits);
    shift(&mut sets, &[tenant], 16 * 1024, 4, 100_000);
    sets.were_busy();
}

#[test]
fn nor_among_many_tenants() {
    let mut sets = Sets::new(32, 64);
    let tenants: Vec<Tenant> = (0..100).map(|_| sets.store.add_tenant(Limits::NONE)).collect();
    shift(&mut sets, &tenants, 16 * 1024, 4, 150_000);
    sets.were_busy();
}

/// All that is stored is as small as can be, and then all is large at once.
#[test]
fn nor_where_hundreds_of_tiny_items_make_room_for_one() {
    for hot in [false, true] {
        let mut sets = Sets::new(16, 16);
        let tenant = sets.store.tenant().clone();
        let count = 600_000;
        for key in 0..count {
            sets.set(&tenant, key, 2, None);
            if hot {
                // What is used is worth keeping.
                for back in [1_000, 50_000, 200_000] {
                    tenant.get(&key.saturating_sub(back).to_be_bytes(), |_| ());
                }
            }
        }
        for key in count..count + 4_000 {
            sets.set(&tenant, key, 16 * 1024, None);
        }
        assert!(tenant.get(&(count + 3_999).to_be_bytes(), |_| ()).is_some());
        sets.store.validate().unwrap();
        sets.were_busy();
    }
}

#[test]
fn nor_where_items_expire_or_were_flushed() {
    let mut sets = Sets::new(16, 64);
    let tenant = sets.store.tenant().clone();
    let mut keys = 0;
    for round in 0..6 {
        for _ in 0..150_000 {
            keys += 1;
            let seconds = 1 + sets.below(40) as u64;
            sets.set(&tenant, keys, 80, Some(Duration::from_secs(seconds)));
            if keys.is_multiple_of(1_000) {
                sets.clock.advance(Duration::from_millis(100));
            }
        }
        if round % 2 == 0 {
            tenant.flush();
        } else {
            sets.clock.advance(Duration::from_secs(60));
        }
        for _ in 0..2_000 {
            keys += 1;
            sets.set(&tenant, keys, 16 * 1024, None);
        }
    }
    sets.store.validate().unwrap();
}
