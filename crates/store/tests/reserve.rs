//! Values that arrive piece by piece.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use common::{Checked, MIB, ms, pattern, set, text};
use larder_store::{Commit, Config, Limits, Mode, Outcome, StoreError, Tenant};

#[test]
fn nobody_sees_a_reservation_before_it_is_committed() {
    let tenant = Checked::new(MIB);
    set(&tenant, "k", "old");
    let mut reservation = tenant.reserve(tenant.hashed(b"k"), 6, 3, ms(1_000)).unwrap();
    assert_eq!(reservation.missing(), 6);
    reservation.append(b"ab");
    reservation.append(b"");
    reservation.append(b"cdef");
    assert_eq!((reservation.missing(), text(&tenant, "k").as_deref()), (0, Some("old")));
    let outcome = reservation.commit(&Commit::new(Mode::Set)).unwrap();
    let read =
        tenant.get(b"k", |item| (item.value().to_vec(), item.flags(), item.ttl(), item.cas()));
    let (value, flags, ttl, cas) = read.unwrap();
    assert_eq!((value, flags, ttl), (b"abcdef".to_vec(), 3, ms(1_000)));
    assert_eq!(outcome, Outcome::Stored { cas });
}

#[test]
fn a_dropped_reservation_was_never_there() {
    for bytes in [1, 500, 5_000, 100_000] {
        let tenant = Checked::new(MIB);
        set(&tenant, "k", "old");
        let before = tenant.stats();
        for written in [0, bytes / 2, bytes] {
            let mut reservation = tenant.reserve(tenant.hashed(b"k"), bytes, 0, None).unwrap();
            reservation.append(&vec![b'x'; written]);
            drop(reservation);
            assert_eq!(text(&tenant, "k").as_deref(), Some("old"));
        }
        let after = tenant.stats();
        assert_eq!((after.items, after.sets), (before.items, before.sets));
    }
}

#[test]
fn a_commit_looks_at_what_there_is_then() {
    let tenant = Checked::new(MIB);
    let reserve = |value: &str| {
        let mut reservation = tenant.reserve(tenant.hashed(b"k"), value.len(), 0, None).unwrap();
        reservation.append(value.as_bytes());
        reservation
    };
    let (add, replace, cas) = (reserve("add"), reserve("replace"), reserve("cas"));
    assert_eq!(replace.commit(&Commit::new(Mode::Replace)).unwrap(), Outcome::NotStored);
    assert_eq!(cas.commit(&Commit::new(Mode::Cas(1))).unwrap(), Outcome::NotFound);
    let number = set(&tenant, "k", "v");
    assert_eq!(add.commit(&Commit::new(Mode::Add)).unwrap(), Outcome::NotStored);
    assert_eq!(
        reserve("cas").commit(&Commit::new(Mode::Cas(number + 1))).unwrap(),
        Outcome::Exists
    );
    assert!(matches!(
        reserve("cas").commit(&Commit::new(Mode::Cas(number))).unwrap(),
        Outcome::Stored { .. }
    ));
    assert_eq!(text(&tenant, "k").as_deref(), Some("cas"));
    assert!(matches!(
        reserve("replace").commit(&Commit::new(Mode::Replace)).unwrap(),
        Outcome::Stored { .. }
    ));
    tenant.delete(b"k");
    assert!(matches!(
        reserve("add").commit(&Commit::new(Mode::Add)).unwrap(),
        Outcome::Stored { .. }
    ));
    assert_eq!(text(&tenant, "k").as_deref(), Some("add"));
}

#[test]
fn a_reservation_outlives_flush_eviction_and_expiry() {
    let tenant = Checked::new(MIB);
    let value = pattern(7, 60_000);
    let mut reservation = tenant.reserve(tenant.hashed(b"k"), value.len(), 0, None).unwrap();
    for (number, piece) in value.chunks(777).enumerate() {
        reservation.append(piece);
        for n in 0..200_u64 {
            let key = (number as u64 * 200 + n).to_be_bytes();
            tenant.set(&key, &[b'c'; 200], 0, ms(100)).unwrap();
        }
        tenant.advance_ms(10);
    }
    assert!(matches!(reservation.commit(&Commit::new(Mode::Set)).unwrap(), Outcome::Stored { .. }));
    assert!(tenant.get(b"k", |item| item.value() == *value).unwrap());
}

#[test]
fn what_is_committed_after_a_flush_is_there() {
    let tenant = Checked::new(MIB);
    let mut reservation = tenant.reserve(tenant.hashed(b"k"), 1, 0, None).unwrap();
    reservation.append(b"v");
    tenant.flush();
    tenant.maintain();
    assert!(matches!(reservation.commit(&Commit::new(Mode::Set)).unwrap(), Outcome::Stored { .. }));
    assert_eq!(text(&tenant, "k").as_deref(), Some("v"));
}

#[test]
fn one_of_several_tenants_cannot_reserve_all_there_is() {
    let store = Checked::new(MIB);
    let [one, other] = [(); 2].map(|()| store.store.add_tenant(Limits::NONE));
    let reserve = |tenant: &Tenant, len| tenant.reserve(tenant.hashed(b"k"), len, 0, None);
    // Each holds a segment of 8 KiB, and all together may hold 128 KiB.
    let mut held = Vec::new();
    let refused = loop {
        match reserve(&one, 100) {
            Ok(reservation) => held.push(reservation),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, StoreError::TooMuchReserved { bytes: 101, limit: MIB / 16 });
    assert_eq!(held.len(), 8);
    held.push(reserve(&other, 60_000).unwrap());
    held.clear();
    // The largest item there may be takes all of it.
    drop(reserve(&one, store.max_item_bytes() - 1).unwrap());
}

#[test]
fn reservations_are_capped_and_given_back() {
    let tenant = Checked::new(MIB);
    for _ in 0..200 {
        let held: Vec<_> =
            (0..2).map(|_| tenant.reserve(tenant.hashed(b"k"), 60_000, 0, None).unwrap()).collect();
        let refused = tenant.reserve(tenant.hashed(b"k"), 60_000, 0, None).unwrap_err();
        assert_eq!(refused, StoreError::TooMuchReserved { bytes: 60_001, limit: MIB / 8 });
        drop(held);
    }
    // Committed ones no longer count.
    for n in 0..200_u32 {
        let value = pattern(u64::from(n), 60_000);
        let mut reservation =
            tenant.reserve(tenant.hashed(&n.to_be_bytes()), value.len(), 0, None).unwrap();
        reservation.append(&value);
        assert!(matches!(
            reservation.commit(&Commit::new(Mode::Set)).unwrap(),
            Outcome::Stored { .. }
        ));
        assert!(tenant.get(&n.to_be_bytes(), |item| item.value() == *value).unwrap());
    }
    let refused = tenant.reserve(tenant.hashed(b"k"), 200_000, 0, None).unwrap_err();
    assert!(matches!(refused, StoreError::TooLarge { .. }));
    assert_eq!(tenant.reserve(tenant.hashed(b"k"), 60_000, 0, None).map(drop), Ok(()));
}

/// Slow senders of small values must not keep everybody else from storing.
#[test]
fn many_small_reservations_leave_room_for_others() {
    let tenant = Checked::new(MIB);
    let mut held = Vec::new();
    for n in 0..20_000_u64 {
        if n % 60 == 0 {
            match tenant.reserve(tenant.hashed(&n.to_le_bytes()), 20, 0, None) {
                Ok(reservation) => held.push(reservation),
                Err(StoreError::TooMuchReserved { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let stored = tenant.set(&n.to_be_bytes(), &[b'v'; 120], 0, None);
        assert_eq!(stored, Ok(()), "{n}: with {} reservations", held.len());
    }
}

/// Nor must large items that begin in the same segments: what is written there keeps it from being decided
/// whether they stay, and the rest of them would stay for ever.
#[test]
fn large_items_beside_reservations_make_room_for_others() {
    for max_bytes in [MIB, 2 * MIB] {
        let tenant = Checked::new(max_bytes);
        let value = pattern(5, max_bytes / 17);
        let mut held = Vec::new();
        for n in 0..16_u32 {
            held.push(tenant.reserve(tenant.hashed(b"k"), 20, 0, None).unwrap());
            let stored = tenant.set(&n.to_be_bytes(), &value, 0, None);
            assert_eq!(stored, Ok(()), "{n} of {max_bytes}");
        }
        assert!(tenant.stats().evictions > 0);
    }
}

/// Also where nothing is evicted, and only waste makes room.
#[test]
fn what_dropped_reservations_held_is_used_again() {
    let tenant = Checked::with(&Config { evicts: false, ..Config::new(MIB) });
    for n in 0..200 {
        let reserved = tenant.reserve(tenant.hashed(b"k"), 60_000, 0, None).map(drop);
        assert_eq!(reserved, Ok(()), "{n}");
    }
}

#[test]
#[should_panic(expected = "more than was reserved")]
fn more_than_was_reserved_cannot_be_appended() {
    let tenant = Checked::new(MIB);
    tenant.reserve(tenant.hashed(b"k"), 1, 0, None).unwrap().append(b"ab");
}
