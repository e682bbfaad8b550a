//! Flushing: at once, later, and what becomes of the memory.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use std::time::Duration;

use common::{Checked, MIB, set, text};
use larder_store::{Commit, Mode, Outcome};

#[test]
fn a_flush_takes_what_was_stored_before_and_nothing_after() {
    let tenant = Checked::new(2 * MIB);
    for n in 0..1000 {
        set(&tenant, &format!("old{n}"), "v");
    }
    tenant.flush();
    assert!(tenant.is_empty());
    for n in 0..500 {
        set(&tenant, &format!("new{n}"), "v");
        set(&tenant, &format!("old{n}"), "w");
    }
    assert!((0..500).all(|n| text(&tenant, &format!("new{n}")).is_some()));
    assert!((0..500).all(|n| text(&tenant, &format!("old{n}")).as_deref() == Some("w")));
    assert!((500..1000).all(|n| text(&tenant, &format!("old{n}")).is_none()));
    assert_eq!(tenant.touch(b"old999", None), Ok(false));
    assert_eq!(tenant.len(), 1000);
    tenant.maintain();
    assert_eq!((tenant.len(), tenant.stats().flushed), (1000, 1000));
    tenant.flush();
    tenant.flush();
    tenant.for_each(|item| panic!("{:?} was flushed", item.key()));
    tenant.maintain();
    assert_eq!((tenant.len(), tenant.stats().flushed), (0, 2000));
}

#[test]
fn a_flush_makes_every_command_miss() {
    let tenant = Checked::new(MIB);
    let flushed = || {
        set(&tenant, "k", "1");
        tenant.flush();
    };
    flushed();
    assert!(!tenant.delete(b"k"));
    flushed();
    assert_eq!(tenant.incr(b"k", 1), Ok(larder_store::Arith::NotFound));
    flushed();
    for mode in [Mode::Append, Mode::Prepend, Mode::Replace] {
        assert_eq!(tenant.store(mode, b"k", b"x", 0, None), Ok(Outcome::NotStored));
    }
    assert!(matches!(tenant.store(Mode::Add, b"k", b"x", 0, None), Ok(Outcome::Stored { .. })));
    assert_eq!(text(&tenant, "k").as_deref(), Some("x"));
}

/// Not the time is compared, but what a flush does: it looks at no item and moves none.
#[test]
fn a_flush_touches_no_item_and_its_memory_comes_back_by_and_by() {
    let tenant = Checked::new(4 * MIB);
    for n in 0..20_000_u64 {
        tenant.set(&n.to_be_bytes(), &[b'v'; 60], 0, None).unwrap();
    }
    let before = (tenant.stats(), tenant.store.stats());
    tenant.flush();
    let after = (tenant.stats(), tenant.store.stats());
    assert_eq!((after.0.flushed, after.0.relocated), (0, before.0.relocated));
    assert_eq!(after.0.items, 0);
    assert_eq!(after.1.bytes, before.1.bytes, "no memory has been taken back yet");
    // A step looks at 32 records at most: it takes many.
    let mut steps = 0;
    while tenant.store.maintain(1) {
        steps += 1;
    }
    assert!(steps >= 20_000 / 32, "{steps}");
    assert_eq!(tenant.stats().flushed, 20_000);
    assert!(tenant.store.stats().bytes < before.1.bytes / 2);
}

#[test]
fn storing_goes_on_while_flushed_memory_is_taken_back() {
    let tenant = Checked::new(MIB);
    for round in 0..20_u64 {
        for n in 0..6_000_u64 {
            tenant.set(&n.to_be_bytes(), &round.to_be_bytes().repeat(10), 0, None).unwrap();
        }
        assert_eq!(
            tenant.get(&5_999_u64.to_be_bytes(), |item| item.value().to_vec()),
            Some(round.to_be_bytes().repeat(10))
        );
        tenant.flush();
        assert!(tenant.is_empty());
    }
}

#[test]
fn flushing_an_empty_tenant_again_and_again_costs_nothing() {
    let tenant = Checked::new(MIB);
    for _ in 0..10_000 {
        tenant.flush();
    }
    assert!(tenant.store.stats().bytes < 64 * 1024);
    for _ in 0..2_000 {
        set(&tenant, "k", "v");
        tenant.flush();
    }
    set(&tenant, "k", "v");
    assert!(text(&tenant, "k").is_some());
}

#[test]
fn a_flush_planned_for_later_takes_what_is_stored_until_then() {
    let tenant = Checked::new(MIB);
    set(&tenant, "before", "v");
    tenant.flush_in(Duration::from_secs(10));
    assert!(text(&tenant, "before").is_some());
    tenant.advance_ms(9_999);
    set(&tenant, "meanwhile", "v");
    assert!(text(&tenant, "before").is_some());
    tenant.advance_ms(1);
    assert_eq!((text(&tenant, "before"), text(&tenant, "meanwhile")), (None, None));
    set(&tenant, "after", "v");
    tenant.advance_ms(100_000);
    assert!(text(&tenant, "after").is_some());
}

#[test]
fn whatever_comes_first_after_the_deadline_finds_nothing() {
    type Look = fn(&Checked) -> bool;
    let looks: [(&str, Look); 8] = [
        ("get", |tenant| text(tenant, "k").is_some()),
        ("get_many", |tenant| {
            let mut found = false;
            tenant.get_many(&["k"], |_, item| found = item.is_some());
            found
        }),
        ("delete", |tenant| tenant.delete(b"k")),
        ("touch", |tenant| tenant.touch(b"k", None).unwrap()),
        ("append", |tenant| {
            tenant.store(Mode::Append, b"k", b"x", 0, None) != Ok(Outcome::NotStored)
        }),
        ("add", |tenant| tenant.store(Mode::Add, b"k", b"x", 0, None) == Ok(Outcome::NotStored)),
        ("for_each", |tenant| {
            let mut found = false;
            tenant.for_each(|_| found = true);
            found
        }),
        ("len", |tenant| !tenant.is_empty()),
    ];
    for (name, look) in looks {
        let tenant = Checked::new(MIB);
        set(&tenant, "k", "v");
        tenant.flush_in(Duration::from_secs(1));
        tenant.advance_ms(1_000);
        assert!(!look(&tenant), "{name} found what was to be flushed");
    }
}

#[test]
fn what_is_reserved_after_the_deadline_stays() {
    let tenant = Checked::new(MIB);
    set(&tenant, "k", "v");
    tenant.flush_in(Duration::from_secs(1));
    tenant.advance_ms(1_000);
    let mut reservation = tenant.reserve(tenant.hashed(b"new"), 1, 0, None).unwrap();
    reservation.append(b"x");
    assert_eq!(text(&tenant, "k"), None);
    assert!(matches!(reservation.commit(&Commit::new(Mode::Set)).unwrap(), Outcome::Stored { .. }));
    assert_eq!(text(&tenant, "new").as_deref(), Some("x"));
}

#[test]
fn a_later_plan_replaces_an_earlier_one() {
    let tenant = Checked::new(MIB);
    set(&tenant, "k", "v");
    tenant.flush_in(Duration::from_secs(1));
    tenant.flush_in(Duration::from_secs(5));
    tenant.advance_ms(4_999);
    assert!(text(&tenant, "k").is_some());
    tenant.advance_ms(1);
    assert!(text(&tenant, "k").is_none());
    set(&tenant, "k", "v");
    tenant.flush_in(Duration::from_secs(5));
    tenant.flush_in(Duration::ZERO);
    assert!(text(&tenant, "k").is_none());
    set(&tenant, "k", "v");
    tenant.advance_ms(60_000);
    assert!(text(&tenant, "k").is_some(), "the plan was carried out, at once");
}

#[test]
fn a_new_plan_does_not_save_what_an_earlier_one_has_taken() {
    let tenant = Checked::new(MIB);
    set(&tenant, "k", "v");
    tenant.flush_in(Duration::from_secs(1));
    tenant.advance_ms(1_000);
    tenant.flush_in(Duration::from_secs(60));
    assert_eq!(text(&tenant, "k"), None);
}
