//! What the wire protocols can ask beyond the plain commands, case by case.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use std::time::Duration;

use common::{Checked, MIB, cas_of, ms, set, text};
use larder_store::{
    Arithmetic, Commit, Computed, Config, Foreseen, Item, Limits, Mode, Outcome, Removed, Stale,
    Store, StoreError, Tenant, Write,
};

fn write(tenant: &Tenant, key: &str, write: &Write<'_>) -> Outcome {
    tenant.write(tenant.hashed(key.as_bytes()), write).unwrap()
}

/// What is there: value, CAS number, stale, won.
fn look(tenant: &Tenant, key: &str) -> Option<(String, u64, bool, bool)> {
    let seen = |item: Item<'_>| {
        let value = String::from_utf8(item.value().to_vec()).unwrap();
        (value, item.cas(), item.is_stale(), item.has_winner())
    };
    tenant.get(key.as_bytes(), seen)
}

/// The same of a key that is there, with what else belongs to it.
fn meta(tenant: &Tenant, key: &str) -> (u32, Option<Duration>, bool) {
    tenant.get(key.as_bytes(), |item| (item.flags(), item.ttl(), item.marked())).unwrap()
}

#[test]
fn a_reader_finds_what_is_there_and_counts_it_and_a_peek_does_not() {
    let checked = Checked::new(MIB);
    set(&checked, "k", "v");
    let before = checked.stats();
    let reader = checked.store.reader();
    let (k, none) = (checked.hashed(b"k"), checked.hashed(b"none"));
    assert_eq!(k.key(), b"k");
    let lookups = reader.of(&checked);
    assert!(lookups.peek(none).is_none());
    assert!(!lookups.peek(k).unwrap().fetched());
    assert!(!lookups.peek(k).unwrap().fetched());
    assert_eq!(checked.stats(), before);
    let first = lookups.get(k, lookups.foresee(k)).unwrap();
    let second = lookups.get(k, Foreseen::default()).unwrap();
    assert!(lookups.get(none, lookups.foresee(none)).is_none());
    assert_eq!((first.value().as_slice(), first.fetched()), (Some(&b"v"[..]), false));
    assert!(second.fetched());
    let after = checked.stats();
    assert_eq!((after.hits, after.misses), (before.hits + 2, before.misses + 1));
}

#[test]
fn what_a_reader_has_found_stays_whole_while_others_write_and_delete() {
    let checked = Checked::new(MIB);
    let values: Vec<Vec<u8>> = (0..50).map(|n| common::pattern(n, 2_000)).collect();
    let keys: Vec<[u8; 8]> = (0..50_u64).map(u64::to_be_bytes).collect();
    for (key, value) in keys.iter().zip(&values) {
        checked.set(key, value, 0, None).unwrap();
    }
    let reader = checked.store.reader();
    let lookups = reader.of(&checked);
    let found = |key| lookups.get(key, lookups.foresee(key)).unwrap();
    let items: Vec<_> = keys.iter().map(|key| found(checked.hashed(key))).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            checked.flush();
            for n in 0..3_000_u64 {
                let _ = checked.set(&n.to_be_bytes(), &common::pattern(n + 99, 2_000), 0, None);
            }
        });
    });
    for (item, value) in items.iter().zip(&values) {
        assert!(item.value() == **value);
    }
}

#[test]
fn hints_change_nothing() {
    let checked = Checked::new(MIB);
    set(&checked, "k", "v");
    let stats = checked.stats();
    for key in ["k", "none", ""] {
        checked.store.prefetch(checked.hashed(key.as_bytes()));
        let reader = checked.store.reader();
        reader.prefetch(checked.hashed(key.as_bytes()));
        let _ = reader.of(&checked).foresee(checked.hashed(key.as_bytes()));
    }
    assert_eq!(checked.stats(), stats);
}

/// Whatever was foreseen: of an item that is gone or another by now, of another key, of another store.
#[test]
fn what_was_foreseen_is_a_hint_and_never_an_answer() {
    let (checked, elsewhere) = (Checked::new(MIB), Checked::new(MIB));
    for key in ["k", "other", "gone"] {
        set(&checked, key, key);
        set(&elsewhere, key, "elsewhere");
    }
    let (reader, there) = (checked.store.reader(), elsewhere.store.reader());
    let [k, other, gone] = ["k", "other", "gone"].map(|key| checked.hashed(key.as_bytes()));
    let (lookups, strange) = (reader.of(&checked), there.of(&elsewhere));
    let foreseen = [k, other, gone].map(|key| lookups.foresee(key));
    let strange =
        ["k", "other", "gone"].map(|key| strange.foresee(elsewhere.hashed(key.as_bytes())));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            set(&checked, "k", "a longer value than before");
            checked.delete(b"gone");
        });
    });
    let value = |key, foreseen| lookups.get(key, foreseen).map(|item| item.value().to_vec());
    for foreseen in foreseen.into_iter().chain(strange).chain([Foreseen::default()]) {
        assert_eq!(value(k, foreseen).as_deref(), Some(&b"a longer value than before"[..]));
        assert_eq!(value(other, foreseen).as_deref(), Some(&b"other"[..]));
        assert_eq!(value(gone, foreseen), None);
    }
}

#[test]
#[should_panic(expected = "a key that was hashed for another tenant")]
fn a_key_of_another_tenant_is_refused() {
    let checked = Checked::new(MIB);
    let other = checked.store.add_tenant(Limits::NONE);
    let _ = other.write(checked.hashed(b"k"), &Write::new(Mode::Set, b"v"));
}

#[test]
#[should_panic(expected = "a key that was hashed for another tenant")]
fn a_key_of_another_store_is_refused() {
    let (one, other) = (Checked::new(MIB), Checked::new(MIB));
    other.remove(one.hashed(b"k"), None);
}

#[test]
#[should_panic(expected = "a tenant of another store")]
fn a_reader_refuses_a_tenant_of_another_store() {
    let (one, other) = (Checked::new(MIB), Checked::new(MIB));
    let _ = one.store.reader().of(&other);
}

#[test]
fn a_number_to_compare_goes_with_every_mode_but_add() {
    let tenant = Checked::new(MIB);
    let with = |mode, cas| Write { cas: Some(cas), ..Write::new(mode, b"x") };
    for (mode, missing) in [
        (Mode::Set, Outcome::NotFound),
        (Mode::Replace, Outcome::NotFound),
        (Mode::Append, Outcome::NotStored),
        (Mode::Prepend, Outcome::NotStored),
    ] {
        assert_eq!(write(&tenant, "none", &with(mode, 1)), missing, "{mode:?}");
        let cas = set(&tenant, "k", "v");
        for wrong in [0, cas - 1, cas + 1, u64::MAX] {
            assert_eq!(write(&tenant, "k", &with(mode, wrong)), Outcome::Exists, "{mode:?}");
        }
        assert_eq!(text(&tenant, "k").as_deref(), Some("v"));
        let stored = cas_of(write(&tenant, "k", &with(mode, cas)));
        assert!(stored > cas);
        assert_eq!(look(&tenant, "k").unwrap().1, stored);
    }
    assert_eq!(write(&tenant, "k", &with(Mode::Add, 1)), Outcome::NotStored);
    assert!(matches!(write(&tenant, "new", &with(Mode::Add, 1)), Outcome::Stored { .. }));
}

#[test]
fn a_failed_compare_of_a_too_large_value_leaves_the_old_one() {
    let tenant = Checked::new(MIB);
    let cas = set(&tenant, "k", "v");
    let large = vec![b'x'; tenant.max_item_bytes() + 1];
    let request = Write { cas: Some(cas), ..Write::new(Mode::Set, &large) };
    let refused = tenant.write(tenant.hashed(b"k"), &request);
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    assert_eq!(text(&tenant, "k").as_deref(), Some("v"));
}

#[test]
fn an_item_gets_the_number_that_is_asked_for_and_later_ones_are_higher() {
    for number in [1, 5_000_000, 1 << 40, 1 << 62, (1 << 62) | (1 << 19), u64::MAX - 3] {
        let tenant = Checked::new(MIB);
        for mode in [Mode::Set, Mode::Replace, Mode::Append, Mode::Prepend, Mode::Set] {
            set(&tenant, "k", "v");
            let request = Write { new_cas: Some(number), ..Write::new(mode, b"w") };
            assert_eq!(write(&tenant, "k", &request), Outcome::Stored { cas: number });
            assert_eq!(look(&tenant, "k").unwrap().1, number);
            let request = Write { cas: Some(number), ..Write::new(Mode::Set, b"x") };
            let mut last = cas_of(write(&tenant, "k", &request));
            assert!(last > number, "{last} after {number}");
            for _ in 0..2 {
                tenant.set(b"k", b"y", 0, None).unwrap();
                let next = look(&tenant, "k").unwrap().1;
                assert!(next > last, "{next} after {last}");
                last = next;
            }
        }
    }
}

#[test]
fn the_number_after_the_highest_is_another_one() {
    let tenant = Checked::new(MIB);
    let request = Write { new_cas: Some(u64::MAX), ..Write::new(Mode::Set, b"v") };
    assert_eq!(write(&tenant, "k", &request), Outcome::Stored { cas: u64::MAX });
    for _ in 0..3 {
        let next = cas_of(write(&tenant, "k", &Write::new(Mode::Set, b"w")));
        assert!(next != u64::MAX && next != 0);
        assert_eq!(look(&tenant, "k").unwrap().1, next);
    }
}

#[test]
fn a_number_nobody_asked_for_is_not_told() {
    let tenant = Checked::new(MIB);
    let quiet = |mode| Write { tell_cas: false, ..Write::new(mode, b"1") };
    for mode in [Mode::Set, Mode::Replace, Mode::Append, Mode::Prepend] {
        assert_eq!(write(&tenant, "k", &quiet(mode)), Outcome::Stored { cas: 0 });
    }
    let arith = Arithmetic { tell_cas: false, ..Arithmetic::up(1) };
    let computed = tenant.arith(tenant.hashed(b"k"), &arith).unwrap();
    assert!(matches!(computed, Computed::Value { number: 112, cas: 0, .. }), "{computed:?}");
    // It has one all the same.
    let cas = look(&tenant, "k").unwrap().1;
    let request = Write { cas: Some(cas), ..quiet(Mode::Set) };
    assert_eq!(write(&tenant, "k", &request), Outcome::Stored { cas: 0 });
}

#[test]
fn an_older_value_is_stored_as_stale_with_the_ttl_there_was() {
    for (old_ttl, ttl) in [(ms(9_000), ms(500)), (None, ms(500)), (ms(9_000), None), (None, None)] {
        let tenant = Checked::new(MIB);
        let cas = cas_of(tenant.store(Mode::Set, b"k", b"new", 1, old_ttl).unwrap());
        let older = Write {
            cas: Some(cas - 1),
            stale_if_older: true,
            flags: 2,
            ttl,
            ..Write::new(Mode::Set, b"old")
        };
        let stored = cas_of(write(&tenant, "k", &older));
        assert!(stored > cas);
        assert_eq!(look(&tenant, "k"), Some(("old".to_owned(), stored, true, false)));
        assert_eq!(meta(&tenant, "k"), (2, old_ttl, false));
        // Whoever has won keeps the right.
        assert_eq!(tenant.get(b"k", |item| item.win()), Some(true));
        assert!(matches!(write(&tenant, "k", &older), Outcome::Stored { .. }));
        assert!(look(&tenant, "k").unwrap().3);
        // A newer one is refused, the right one is not stale.
        let newer = Write { cas: Some(u64::MAX), ..older };
        assert_eq!(write(&tenant, "k", &newer), Outcome::Exists);
        let (_, cas, ..) = look(&tenant, "k").unwrap();
        let same = Write { cas: Some(cas), ..older };
        let stored = cas_of(write(&tenant, "k", &same));
        assert_eq!(look(&tenant, "k"), Some(("old".to_owned(), stored, false, false)));
        assert_eq!(meta(&tenant, "k").1, ttl);
        assert_eq!(write(&tenant, "none", &older), Outcome::NotFound);
    }
}

#[test]
fn a_mark_stays_with_an_item_and_may_be_added() {
    let tenant = Checked::new(MIB);
    let marked = |mode, marked| Write { marked, ..Write::new(mode, b"1") };
    write(&tenant, "k", &marked(Mode::Set, true));
    assert!(meta(&tenant, "k").2);
    write(&tenant, "k", &marked(Mode::Append, false));
    tenant.incr(b"k", 1).unwrap();
    tenant.touch(b"k", ms(1_000)).unwrap();
    tenant.invalidate(b"k", None).unwrap();
    assert!(meta(&tenant, "k").2);
    write(&tenant, "k", &marked(Mode::Set, false));
    assert!(!meta(&tenant, "k").2);
    let arith = Arithmetic { marked: true, ..Arithmetic::up(1) };
    tenant.arith(tenant.hashed(b"k"), &arith).unwrap();
    assert!(meta(&tenant, "k").2);
    let mut seen = false;
    tenant.for_each(|item| seen = item.marked());
    assert!(seen);
}

#[test]
fn append_and_prepend_may_create() {
    let tenant = Checked::new(MIB);
    for mode in [Mode::Append, Mode::Prepend] {
        let request =
            Write { create: Some(ms(700)), flags: 5, marked: true, ..Write::new(mode, b"x") };
        assert!(matches!(write(&tenant, "k", &request), Outcome::Stored { .. }));
        assert_eq!(meta(&tenant, "k"), (5, ms(700), true));
        // There is one now: its flags and TTL stay.
        let request = Write { create: Some(None), flags: 6, ..Write::new(mode, b"y") };
        assert!(matches!(write(&tenant, "k", &request), Outcome::Stored { .. }));
        assert_eq!(meta(&tenant, "k"), (5, ms(700), true));
        assert_eq!(text(&tenant, "k").unwrap().len(), 2);
        tenant.delete(b"k");
    }
}

#[test]
fn a_remove_may_compare() {
    let tenant = Checked::new(MIB);
    let key = tenant.hashed(b"k");
    assert_eq!(tenant.remove(key, None), Removed::NotFound);
    assert_eq!(tenant.remove(key, Some(1)), Removed::NotFound);
    let cas = set(&tenant, "k", "v");
    assert_eq!(tenant.remove(key, Some(cas + 1)), Removed::Exists);
    assert_eq!(text(&tenant, "k").as_deref(), Some("v"));
    assert_eq!(tenant.remove(key, Some(cas)), Removed::Deleted);
    assert_eq!(tenant.remove(key, Some(cas)), Removed::NotFound);
    // Whatever its number, an expired item is not there.
    tenant.set(b"k", b"v", 0, ms(0)).unwrap();
    assert_eq!(tenant.remove(key, Some(1)), Removed::NotFound);
}

#[test]
fn arithmetic_with_everything() {
    let tenant = Checked::new(MIB);
    let key = tenant.hashed(b"k");
    let value = |computed| match computed {
        Computed::Value { number, cas, ttl, flags, created } => {
            assert_eq!(created, number == 7 && cas != 77 || cas == 88);
            (number, cas, ttl, flags)
        }
        other => panic!("{other:?}"),
    };
    let arith = |arith: Arithmetic| tenant.arith(key, &arith).unwrap();
    assert_eq!(arith(Arithmetic::up(3)), Computed::NotFound);
    let create = Arithmetic { initial: Some((7, ms(900))), ..Arithmetic::up(3) };
    let (number, first, ttl, flags) = value(arith(create));
    assert_eq!((number, ttl, flags), (7, ms(900), 0));
    assert_eq!(look(&tenant, "k"), Some(("7".to_owned(), first, false, false)));
    let (number, second, ttl, _) = value(arith(create));
    assert_eq!((number, ttl), (10, ms(900)));
    assert!(second > first);
    assert_eq!(arith(Arithmetic { cas: Some(first), ..Arithmetic::up(1) }), Computed::Exists);
    let touched = Arithmetic { cas: Some(second), ttl: Some(None), ..Arithmetic::down(4) };
    let (number, third, ttl, _) = value(arith(touched));
    assert_eq!((number, ttl), (6, None));
    assert_eq!(look(&tenant, "k"), Some(("6 ".to_owned(), third, false, false)));
    assert_eq!(meta(&tenant, "k").1, None);
    let given = Arithmetic { new_cas: Some(77), ttl: Some(ms(300)), ..Arithmetic::up(1) };
    assert_eq!(value(arith(given)), (7, 77, ms(300), 0));
    assert_eq!(look(&tenant, "k").unwrap().1, 77);
    tenant.store(Mode::Set, b"k", b"5", 42, ms(800)).unwrap();
    assert_eq!(value(arith(Arithmetic::up(0))).3, 42);
    set(&tenant, "k", "five");
    assert_eq!(arith(create), Computed::NotANumber);
    let created = Arithmetic { initial: Some((0, None)), new_cas: Some(88), ..create };
    tenant.delete(b"k");
    assert_eq!(value(arith(created)), (0, 88, None, 0));
}

#[test]
fn marking_as_stale_may_compare_clear_and_number() {
    let tenant = Checked::new(MIB);
    let key = tenant.hashed(b"k");
    let stale = |stale: Stale| tenant.mark_stale(key, &stale).unwrap();
    assert_eq!(stale(Stale::MARK), Outcome::NotFound);
    let cas = cas_of(tenant.store(Mode::Set, b"k", b"v", 9, ms(5_000)).unwrap());
    assert_eq!(stale(Stale { cas: Some(cas + 1), ..Stale::MARK }), Outcome::Exists);
    // `md x`: value, flags and TTL go, the number stays, and it is as fresh as it was.
    let cleared = Stale { mark: false, clear_value: true, cas: Some(cas), ..Stale::MARK };
    assert_eq!(stale(cleared), Outcome::Stored { cas });
    assert_eq!(look(&tenant, "k"), Some((String::new(), cas, false, false)));
    assert_eq!(meta(&tenant, "k"), (0, None, false));
    // `md I T`: the value stays.
    tenant.store(Mode::Set, b"k", b"v", 9, ms(5_000)).unwrap();
    let marked = cas_of(stale(Stale { ttl: Some(ms(300)), ..Stale::MARK }));
    assert_eq!(look(&tenant, "k"), Some(("v".to_owned(), marked, true, false)));
    assert_eq!(meta(&tenant, "k"), (9, ms(300), false));
    // `md I x E`: both.
    let both = Stale { clear_value: true, new_cas: Some(55), ..Stale::MARK };
    assert_eq!(stale(both), Outcome::Stored { cas: 55 });
    assert_eq!(look(&tenant, "k"), Some((String::new(), 55, true, false)));
    // Who won before has to win again.
    assert_eq!(tenant.get(b"k", |item| item.win()), Some(true));
    stale(Stale::MARK);
    assert_eq!(tenant.get(b"k", |item| (item.has_winner(), item.win())), Some((false, true)));
}

#[test]
fn a_vivified_item_is_empty_and_already_won() {
    let tenant = Checked::new(MIB);
    let key = tenant.hashed(b"k");
    let cas = cas_of(tenant.vivify(key, ms(30_000), None, true).unwrap());
    assert_eq!(look(&tenant, "k"), Some((String::new(), cas, false, true)));
    assert_eq!(meta(&tenant, "k"), (0, ms(30_000), true));
    assert_eq!(tenant.get(b"k", |item| item.win()), Some(false));
    assert_eq!(tenant.vivify(key, None, None, false).unwrap(), Outcome::NotStored);
    // The winner stores what it has made, and the item is as any other.
    let request = Write { cas: Some(cas), ..Write::new(Mode::Set, b"v") };
    let stored = cas_of(write(&tenant, "k", &request));
    assert_eq!(look(&tenant, "k"), Some(("v".to_owned(), stored, false, false)));
    tenant.delete(b"k");
    assert_eq!(tenant.vivify(key, None, Some(9), false).unwrap(), Outcome::Stored { cas: 9 });
}

#[test]
fn a_retouch_changes_the_ttl_only() {
    let tenant = Checked::new(MIB);
    let key = tenant.hashed(b"k");
    assert_eq!(tenant.retouch(key, None), Ok(false));
    let cas = set(&tenant, "k", "v");
    for ttl in [ms(700), None, ms(100)] {
        assert_eq!(tenant.retouch(key, ttl), Ok(true));
        assert_eq!(look(&tenant, "k"), Some(("v".to_owned(), cas, false, false)));
        assert_eq!(meta(&tenant, "k").1, ttl);
    }
}

#[test]
fn a_reservation_can_be_committed_with_everything() {
    for value in ["small".to_owned(), "large".repeat(10_000)] {
        let tenant = Checked::new(MIB);
        let reserve = |ttl| {
            let mut reservation = tenant.reserve(tenant.hashed(b"k"), value.len(), 4, ttl).unwrap();
            reservation.append(value.as_bytes());
            reservation
        };
        let given = Commit { new_cas: Some(1_000), marked: true, ..Commit::new(Mode::Set) };
        assert_eq!(reserve(ms(900)).commit(&given), Ok(Outcome::Stored { cas: 1_000 }));
        assert_eq!(look(&tenant, "k"), Some((value.clone(), 1_000, false, false)));
        assert_eq!(meta(&tenant, "k"), (4, ms(900), true));
        let with = |cas| Commit { cas: Some(cas), ..Commit::new(Mode::Set) };
        assert_eq!(reserve(None).commit(&with(999)), Ok(Outcome::Exists));
        let older = Commit { stale_if_older: true, ..with(999) };
        let cas = cas_of(reserve(None).commit(&older).unwrap());
        assert_eq!(look(&tenant, "k"), Some((value.clone(), cas, true, false)));
        assert_eq!(meta(&tenant, "k"), (4, ms(900), false), "the TTL there was");
        let quiet = Commit { tell_cas: false, ..Commit::new(Mode::Replace) };
        assert_eq!(reserve(None).commit(&quiet), Ok(Outcome::Stored { cas: 0 }));
        assert!(!look(&tenant, "k").unwrap().2);
        tenant.delete(b"k");
        assert_eq!(reserve(None).commit(&with(1)), Ok(Outcome::NotFound));
    }
}

#[test]
fn an_item_tells_what_it_takes() {
    let tenant = Checked::new(MIB);
    let bytes = |key: &str| tenant.get(key.as_bytes(), |item| item.stored_bytes()).unwrap();
    set(&tenant, "k", "v");
    assert!((2..=16).contains(&bytes("k")), "{}", bytes("k"));
    for len in [100, 5_000, 100_000] {
        tenant.set(b"k", &vec![b'v'; len], 0, None).unwrap();
        assert!((len + 1..len + len / 8 + 64).contains(&bytes("k")), "{len}: {}", bytes("k"));
    }
}

#[test]
fn misses_of_flushed_items_are_told_apart_while_they_lie_there() {
    let tenant = Checked::new(MIB);
    set(&tenant, "k", "v");
    assert_eq!(text(&tenant, "none"), None);
    assert_eq!(tenant.stats().flushed_misses, 0);
    tenant.flush();
    assert_eq!(text(&tenant, "k"), None);
    assert_eq!(text(&tenant, "none"), None);
    assert_eq!((tenant.stats().flushed_misses, tenant.stats().misses), (1, 3));
    tenant.maintain();
    assert_eq!(text(&tenant, "k"), None);
    assert_eq!(tenant.stats().flushed_misses, 1, "nothing is left of it");
}

#[test]
fn expired_items_that_were_never_read_are_told_apart() {
    let tenant = Checked::new(MIB);
    for key in ["read", "unread"] {
        tenant.set(key.as_bytes(), b"v", 0, ms(100)).unwrap();
    }
    text(&tenant, "read");
    tenant.advance_ms(100);
    assert!(!tenant.delete(b"read"));
    set(&tenant, "unread", "w");
    let stats = tenant.stats();
    assert_eq!((stats.expired, stats.expired_unread), (2, 1));
}

#[test]
fn the_limit_can_be_lowered_and_raised_again() {
    const LIMIT: usize = 16 * MIB;
    let checked = Checked::with(&Config { ..Config::new(LIMIT) });
    let fill = || {
        for n in 0..40_000_u64 {
            checked.set(&n.to_be_bytes(), &[b'v'; 500], 0, None).unwrap();
        }
    };
    let items = |store: &Store| store.stats().items;
    fill();
    let all = items(&checked.store);
    assert_eq!(checked.store.set_max_bytes(LIMIT / 2), LIMIT / 2);
    assert_eq!(checked.store.stats().max_bytes, LIMIT as u64 / 2);
    checked.maintain();
    assert!(checked.store.stats().bytes <= LIMIT as u64 / 2, "{:?}", checked.store.stats());
    let half = items(&checked.store);
    assert!((all / 3..all * 3 / 5).contains(&half), "{half} of {all}");
    fill();
    assert!(checked.store.stats().bytes <= LIMIT as u64 / 2);
    assert!((all / 3..all * 3 / 5).contains(&items(&checked.store)));
    assert_eq!(checked.max_item_bytes(), LIMIT / 16);
    // No further than it was made for.
    assert_eq!(checked.store.set_max_bytes(usize::MAX), LIMIT);
    fill();
    assert!(items(&checked.store) > all * 9 / 10);
    assert_eq!(checked.max_item_bytes(), MIB);
    // And not below what it needs.
    let least = checked.store.set_max_bytes(0);
    assert!((MIB..6 * MIB).contains(&least), "{least}");
    checked.maintain();
    assert!(checked.store.stats().bytes <= least as u64);
    set(&checked, "k", "v");
    assert_eq!(text(&checked, "k").as_deref(), Some("v"));
}

#[test]
fn writes_alone_bring_a_store_below_a_lowered_limit() {
    let checked = Checked::new(16 * MIB);
    for n in 0..60_000_u64 {
        checked.set(&n.to_be_bytes(), &[b'v'; 300], 0, None).unwrap();
    }
    let limit = checked.store.set_max_bytes(6 * MIB) as u64;
    for n in 0..60_000_u64 {
        checked.set(&n.to_be_bytes(), &[b'w'; 300], 0, None).unwrap();
    }
    assert!(checked.store.stats().bytes <= limit, "{:?}", checked.store.stats());
}

#[test]
fn a_store_that_does_not_evict_refuses_what_finds_no_room() {
    let checked = Checked::with(&Config { evicts: false, ..Config::new(MIB) });
    let value = [b'v'; 900];
    let mut stored = 0_u64;
    while checked.set(&stored.to_be_bytes(), &value, 0, None).is_ok() {
        stored += 1;
    }
    assert!((800..1_200).contains(&stored), "{stored}");
    let refused = checked.store(Mode::Add, b"new", &value, 0, None);
    assert!(matches!(refused, Err(StoreError::NoRoom { .. })), "{refused:?}");
    let found = |from: u64| {
        let found = (from..stored).filter(|n| checked.get(&n.to_be_bytes(), |_| ()).is_some());
        u64::try_from(found.count()).unwrap()
    };
    assert_eq!((found(0), checked.stats().evictions), (stored, 0));
    // A refused `set` removes what it was to replace, and nothing else.
    let refused = (0..stored).find(|n| checked.set(&n.to_be_bytes(), &value, 0, None).is_err());
    assert_eq!(found(0), stored - u64::from(refused.is_some()));
    // What is deleted makes room, and what has expired.
    (0..stored / 2).for_each(|n| _ = checked.delete(&n.to_be_bytes()));
    for n in 0..stored / 4 {
        assert_eq!(checked.set(&n.to_be_bytes(), &value, 0, ms(1_000)), Ok(()), "{n}");
    }
    assert_eq!((found(stored / 2), checked.stats().evictions), (stored - stored / 2, 0));
    checked.advance_ms(1_100);
    for n in 0..stored / 8 {
        assert_eq!(checked.set(&(n + stored).to_be_bytes(), &value, 0, None), Ok(()), "{n}");
    }
    assert_eq!(checked.stats().evictions, 0);
    checked.flush();
    for n in 0..stored / 2 {
        assert_eq!(checked.set(&n.to_be_bytes(), &value, 0, None), Ok(()), "{n}");
    }
}

#[test]
fn a_touch_is_no_new_item() {
    let tenant = Checked::new(MIB);
    set(&tenant, "k", "v");
    for ttl in [ms(1_000), None, ms(2_000)] {
        tenant.touch(b"k", ttl).unwrap();
    }
    let stats = tenant.stats();
    assert_eq!((stats.sets, stats.replaced, stats.items), (1, 0, 1));
}

#[test]
fn the_time_since_the_last_access_is_never_too_long() {
    for (set_at, read_at, idle) in [
        (0, 59_900, 0),
        (59_900, 60_000, 0),
        (59_900, 119_900, 0),
        (0, 60_000, 60),
        (500, 180_000, 120),
    ] {
        let tenant = Checked::new(MIB);
        tenant.advance_ms(set_at);
        set(&tenant, "k", "v");
        tenant.advance_ms(read_at - set_at);
        let seen = tenant.get(b"k", |item| item.idle().as_secs());
        assert_eq!(seen, Some(idle), "stored at {set_at}, read at {read_at}");
    }
}

#[test]
fn items_with_a_ttl_tell_the_time_since_the_last_access_to_the_tick() {
    let tenant = Checked::new(MIB);
    let idle = || tenant.get(b"k", |item| item.idle()).map(|idle| idle.as_millis());
    tenant.advance_ms(250);
    tenant.set(b"k", b"v", 0, ms(900_000)).unwrap();
    assert_eq!(idle(), Some(0));
    tenant.advance_ms(2_000);
    assert_eq!(idle(), Some(2_000));
    // Noted at most once a minute: reads in between do not count.
    tenant.advance_ms(57_900);
    assert_eq!(idle(), Some(59_900));
    tenant.advance_ms(100);
    assert_eq!(idle(), Some(60_000));
    tenant.advance_ms(300);
    assert_eq!(idle(), Some(300));
    tenant.touch(b"k", ms(90_000_000)).unwrap();
    tenant.advance_ms(48 * 3_600_000 / 2);
    assert_eq!(idle(), Some(24 * 3_600_000 + 300));
}
