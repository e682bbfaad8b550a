//! CAS numbers: unique across the versions of a key, and kept once they have been handed out.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use std::collections::HashSet;

use common::{Checked, MIB, cas, cas_of, ms, set, text};
use larder_store::{Commit, Mode, Outcome, Tenant};

fn store_cas(tenant: &Tenant, number: u64, value: &str) -> Outcome {
    tenant.store(Mode::Cas(number), b"k", value.as_bytes(), 0, None).unwrap()
}

/// Churns until everything there was has been moved or evicted more than once; `k` is read so that it
/// stays.
fn relocate(tenant: &Checked) {
    let relocated = tenant.stats().relocated;
    for n in 0..30_000_u64 {
        tenant.set(&n.to_be_bytes(), &[b'c'; 100], 0, None).unwrap();
        // Late enough to count as a use: the main queue fills and turns over, too.
        tenant.get(&n.saturating_sub(700).to_be_bytes(), |_| ());
        if n % 50 == 0 {
            assert!(tenant.get(b"k", |_| ()).is_some());
        }
    }
    assert!(tenant.stats().relocated > relocated + 10_000);
}

#[test]
fn cas_stores_only_over_the_version_that_was_read() {
    let tenant = Checked::new(MIB);
    let first = set(&tenant, "k", "1");
    let second = cas_of(store_cas(&tenant, first, "2"));
    assert!(second > first);
    assert_eq!(store_cas(&tenant, first, "3"), Outcome::Exists);
    assert_eq!(store_cas(&tenant, 0, "3"), Outcome::Exists);
    assert_eq!(store_cas(&tenant, u64::MAX, "3"), Outcome::Exists);
    assert_eq!(text(&tenant, "k").as_deref(), Some("2"));
    assert!(matches!(store_cas(&tenant, second, "4"), Outcome::Stored { .. }));
}

#[test]
fn a_touch_keeps_the_number_in_place_and_anew() {
    for ttl in [None, ms(5_000)] {
        let tenant = Checked::new(MIB);
        let stored = tenant.store(Mode::Set, b"k", b"v", 0, ttl).unwrap();
        for touched in [ms(1_000), None, ms(2_000)] {
            assert_eq!(tenant.touch(b"k", touched), Ok(true));
            assert_eq!(cas(&tenant, "k"), Some(cas_of(stored)));
        }
        assert!(matches!(store_cas(&tenant, cas_of(stored), "4"), Outcome::Stored { .. }));
    }
}

#[test]
fn every_change_but_a_touch_gives_a_higher_number() {
    type Change = fn(&Tenant);
    let changes: [Change; 9] = [
        |tenant| drop(tenant.store(Mode::Set, b"k", b"1", 0, None)),
        |tenant| drop(tenant.set(b"k", b"1", 0, None)),
        |tenant| drop(tenant.store(Mode::Replace, b"k", b"1", 0, None)),
        |tenant| drop(tenant.store(Mode::Append, b"k", b"1", 0, None)),
        |tenant| drop(tenant.store(Mode::Prepend, b"k", b"", 0, None)),
        |tenant| drop(tenant.incr(b"k", 0)),
        |tenant| drop(tenant.decr(b"k", 1)),
        |tenant| drop(tenant.invalidate(b"k", None)),
        |tenant| {
            let mut reservation = tenant.reserve(tenant.hashed(b"k"), 1, 0, None).unwrap();
            reservation.append(b"1");
            assert!(matches!(
                reservation.commit(&Commit::new(Mode::Set)).unwrap(),
                Outcome::Stored { .. }
            ));
        },
    ];
    let tenant = Checked::new(MIB);
    set(&tenant, "k", "1");
    let mut last = cas(&tenant, "k").unwrap();
    for _ in 0..200 {
        for (number, change) in changes.iter().enumerate() {
            change(&tenant);
            let new = cas(&tenant, "k").unwrap();
            assert!(new > last, "change {number}: {new} after {last}");
            assert_eq!(store_cas(&tenant, last, "9"), Outcome::Exists);
            last = cas_of(store_cas(&tenant, new, "1"));
            assert!(last > new);
        }
    }
}

#[test]
fn a_number_handed_out_survives_relocation() {
    for value in ["v".to_owned(), "v".repeat(20_000)] {
        for ttl in [None, ms(1_000_000)] {
            let tenant = Checked::new(MIB);
            tenant.set(b"k", value.as_bytes(), 6, ttl).unwrap();
            let number = cas(&tenant, "k").unwrap();
            for _ in 0..2 {
                relocate(&tenant);
                assert_eq!(cas(&tenant, "k"), Some(number));
                let read =
                    tenant.get(b"k", |item| (item.value().to_vec(), item.flags(), item.ttl()));
                assert_eq!(read, Some((value.clone().into_bytes(), 6, ttl)));
            }
            let next = tenant.store(Mode::Cas(number), b"k", b"next", 0, None).unwrap();
            assert!(cas_of(next) > number);
        }
    }
}

#[test]
fn a_number_told_on_a_walk_survives_relocation() {
    let tenant = Checked::new(MIB);
    tenant.set(b"k", b"v", 0, None).unwrap();
    let mut told = None;
    tenant.for_each(|item| told = Some(item.cas()));
    relocate(&tenant);
    assert_eq!(cas(&tenant, "k"), told);
}

#[test]
fn numbers_of_all_versions_and_keys_differ() {
    let tenant = Checked::new(MIB);
    let mut seen = HashSet::new();
    for n in 0..20_000_u32 {
        let key = format!("k{}", n % 300);
        if n % 3 == 0 {
            tenant.set(key.as_bytes(), &[b'v'; 60], 0, None).unwrap();
        }
        if let Some(number) = cas(&tenant, &key) {
            assert!(number != 0 && (n % 3 != 0 || seen.insert(number)), "{key}");
        }
        if n % 7 == 0 {
            tenant.delete(key.as_bytes());
        }
    }
}

#[test]
fn a_number_is_no_longer_good_once_the_item_was_deleted_and_stored_again() {
    let tenant = Checked::new(MIB);
    let first = set(&tenant, "k", "1");
    tenant.delete(b"k");
    assert_eq!(store_cas(&tenant, first, "2"), Outcome::NotFound);
    set(&tenant, "k", "1");
    assert_eq!(store_cas(&tenant, first, "2"), Outcome::Exists);
    tenant.flush();
    assert_eq!(store_cas(&tenant, first, "2"), Outcome::NotFound);
}
