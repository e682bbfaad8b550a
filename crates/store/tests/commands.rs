//! What each operation does, case by case.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use std::time::Duration;

use common::Checked;
use larder_store::{Arith, Mode, Outcome, Store, StoreError};

const MIB: usize = 1024 * 1024;

fn mode(store: &Store, mode: Mode, key: &str, value: &str) -> Outcome {
    store.store(mode, key.as_bytes(), value.as_bytes(), 9, None).unwrap()
}

#[test]
fn a_store_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Store>();
}

#[test]
fn what_is_stored_is_read_with_everything_that_belongs_to_it() {
    let store = Checked::new(MIB);
    let stored = store.store(Mode::Set, b"k\0\r\n ", b"\xff\0v", 7, Some(Duration::from_secs(3)));
    store.advance_ms(1_200);
    let read = store.get(b"k\0\r\n ", |item| (item.value.to_vec(), item.flags, item.cas, item.ttl));
    let (value, flags, cas, ttl) = read.unwrap();
    assert_eq!((&*value, flags, ttl), (&b"\xff\0v"[..], 7, Some(Duration::from_millis(1_800))));
    assert_eq!(stored, Ok(Outcome::Stored { cas }));
    assert_ne!(cas, 0);
}

#[test]
fn the_empty_key_and_the_empty_value_are_a_key_and_a_value() {
    let store = Checked::new(MIB);
    assert_eq!(store.text(""), None);
    store.set("", "");
    assert_eq!(store.text("").as_deref(), Some(""));
    assert!(store.delete(b""));
    assert_eq!(store.text(""), None);
}

#[test]
fn modes_look_at_what_there_is() {
    let store = Checked::new(MIB);
    let stored = |outcome| matches!(outcome, Outcome::Stored { .. });
    for missing in [Mode::Replace, Mode::Append, Mode::Prepend] {
        assert_eq!(mode(&store, missing, "k", "x"), Outcome::NotStored);
    }
    assert_eq!(mode(&store, Mode::Cas(1), "k", "x"), Outcome::NotFound);
    assert!(stored(mode(&store, Mode::Add, "k", "b")));
    assert_eq!(mode(&store, Mode::Add, "k", "x"), Outcome::NotStored);
    assert!(stored(mode(&store, Mode::Append, "k", "c")));
    assert!(stored(mode(&store, Mode::Prepend, "k", "a")));
    assert_eq!(store.text("k").as_deref(), Some("abc"));
    assert!(stored(mode(&store, Mode::Append, "k", "")));
    assert!(stored(mode(&store, Mode::Prepend, "k", "")));
    assert_eq!(store.text("k").as_deref(), Some("abc"));
    assert!(stored(mode(&store, Mode::Replace, "k", "d")));
    assert_eq!(store.text("k").as_deref(), Some("d"));
}

#[test]
fn cas_stores_only_over_the_version_that_was_read() {
    let store = Checked::new(MIB);
    let first = store.set("k", "1");
    let Outcome::Stored { cas: second } = mode(&store, Mode::Cas(first), "k", "2") else {
        panic!()
    };
    assert_ne!(first, second);
    assert_eq!(mode(&store, Mode::Cas(first), "k", "3"), Outcome::Exists);
    assert_eq!(mode(&store, Mode::Cas(0), "k", "3"), Outcome::Exists);
    assert_eq!(store.text("k").as_deref(), Some("2"));
    assert!(store.touch(b"k", None));
    assert!(matches!(mode(&store, Mode::Cas(second), "k", "4"), Outcome::Stored { .. }));
}

#[test]
fn append_prepend_and_arithmetic_keep_flags_and_ttl() {
    let store = Checked::new(MIB);
    let ttl = Some(Duration::from_secs(10));
    store.store(Mode::Set, b"k", b"5", 42, ttl).unwrap();
    store.store(Mode::Append, b"k", b"0", 1, None).unwrap();
    store.store(Mode::Prepend, b"k", b"1", 1, None).unwrap();
    assert_eq!(store.incr(b"k", 1), Arith::Value(151));
    assert_eq!(store.get(b"k", |item| (item.flags, item.ttl)), Some((42, ttl)));
    store.advance_ms(10_000);
    assert_eq!(store.text("k"), None);
}

#[test]
fn ttl_edges() {
    let cases: [(Option<Duration>, u64, bool); 9] = [
        (None, u64::MAX / 2, true),
        (Some(Duration::ZERO), 0, false),
        (Some(Duration::from_nanos(1)), 0, true),
        (Some(Duration::from_nanos(1)), 1, false),
        (Some(Duration::from_millis(5)), 4, true),
        (Some(Duration::from_millis(5)), 5, false),
        (Some(Duration::from_secs(40 * 86_400)), 40 * 86_400_000 - 1, true),
        (Some(Duration::from_secs(40 * 86_400)), 40 * 86_400_000, false),
        (Some(Duration::MAX), u64::MAX / 2, true),
    ];
    for (ttl, after_ms, alive) in cases {
        let store = Checked::new(MIB);
        store.store(Mode::Set, b"set", b"v", 0, ttl).unwrap();
        store.set("touched", "v");
        assert!(store.touch(b"touched", ttl));
        store.advance_ms(after_ms);
        assert_eq!(store.text("set").is_some(), alive, "{ttl:?} after {after_ms} ms");
        assert_eq!(store.text("touched").is_some(), alive, "{ttl:?} after {after_ms} ms, touched");
    }
}

#[test]
fn an_expired_item_is_missing_to_every_operation() {
    let expired = || {
        let store = Checked::new(MIB);
        store.store(Mode::Set, b"k", b"1", 0, Some(Duration::from_millis(1))).unwrap();
        store.advance_ms(1);
        store
    };
    assert_eq!(expired().text("k"), None);
    assert!(!expired().delete(b"k"));
    assert!(!expired().touch(b"k", None));
    assert_eq!(expired().incr(b"k", 1), Arith::NotFound);
    assert_eq!(expired().decr(b"k", 1), Arith::NotFound);
    assert_eq!(mode(&expired(), Mode::Append, "k", "2"), Outcome::NotStored);
    assert_eq!(mode(&expired(), Mode::Replace, "k", "2"), Outcome::NotStored);
    assert_eq!(mode(&expired(), Mode::Cas(1), "k", "2"), Outcome::NotFound);
    assert!(matches!(mode(&expired(), Mode::Add, "k", "2"), Outcome::Stored { .. }));
    let mut seen = 0;
    expired().for_each(|_, _| seen += 1);
    assert_eq!(seen, 0);
}

#[test]
fn arithmetic_reads_digits_wraps_above_and_stops_at_zero() {
    let max = "18446744073709551615";
    let cases = [
        ("0", 0, Arith::Value(0), Arith::Value(0)),
        ("10", 3, Arith::Value(13), Arith::Value(7)),
        ("2", 3, Arith::Value(5), Arith::Value(0)),
        (max, 1, Arith::Value(0), Arith::Value(u64::MAX - 1)),
        (max, u64::MAX, Arith::Value(u64::MAX - 1), Arith::Value(0)),
        ("0000000000000000000000000005", 1, Arith::Value(6), Arith::Value(4)),
        ("18446744073709551616", 1, Arith::NotANumber, Arith::NotANumber),
        ("", 1, Arith::NotANumber, Arith::NotANumber),
        ("-1", 1, Arith::NotANumber, Arith::NotANumber),
        ("+1", 1, Arith::NotANumber, Arith::NotANumber),
        ("1 ", 1, Arith::NotANumber, Arith::NotANumber),
        ("1.0", 1, Arith::NotANumber, Arith::NotANumber),
        ("one", 1, Arith::NotANumber, Arith::NotANumber),
    ];
    for (value, delta, up, down) in cases {
        let store = Checked::new(MIB);
        for (result, expected) in [
            (store_and(&store, value, |s| s.incr(b"k", delta)), up),
            (store_and(&store, value, |s| s.decr(b"k", delta)), down),
        ] {
            assert_eq!(result.0, expected, "{value:?} and {delta}");
            let left = match expected {
                Arith::Value(number) => number.to_string(),
                _ => value.to_owned(),
            };
            assert_eq!(result.1, left);
        }
    }
}

fn store_and(store: &Checked, value: &str, f: impl FnOnce(&Store) -> Arith) -> (Arith, String) {
    store.set("k", value);
    let result = f(store);
    (result, store.text("k").unwrap())
}

/// A store that interprets values when they are stored returns 7 for this one.
#[test]
fn digits_that_are_never_incremented_are_never_rewritten() {
    let store = Checked::new(MIB);
    store.set("agent", "007");
    assert_eq!(store.text("agent").as_deref(), Some("007"));
    store.touch(b"agent", Some(Duration::from_secs(1)));
    assert_eq!(mode(&store, Mode::Append, "agent", ""), Outcome::Stored { cas: 2 });
    assert_eq!(store.text("agent").as_deref(), Some("007"));
    assert_eq!(store.incr(b"agent", 1), Arith::Value(8));
    assert_eq!(store.text("agent").as_deref(), Some("8"));
    assert_eq!(store.decr(b"agent", 8), Arith::Value(0));
    assert_eq!(store.text("agent").as_deref(), Some("0"));
}

#[test]
fn arithmetic_changes_the_cas_number() {
    let store = Checked::new(MIB);
    let cas = store.set("k", "1");
    store.incr(b"k", 0);
    assert_eq!(mode(&store, Mode::Cas(cas), "k", "x"), Outcome::Exists);
}

#[test]
fn delete_and_touch_say_whether_there_was_an_item() {
    let store = Checked::new(MIB);
    assert!(!store.delete(b"k"));
    assert!(!store.touch(b"k", None));
    store.set("k", "v");
    assert!(store.touch(b"k", Some(Duration::from_secs(1))));
    assert!(store.delete(b"k"));
    assert!(!store.delete(b"k"));
}

#[test]
fn a_flush_takes_what_was_stored_before_and_nothing_after() {
    let store = Checked::new(8 * MIB);
    for n in 0..1000 {
        store.set(&format!("old{n}"), "v");
    }
    store.flush();
    assert!(store.is_empty());
    assert_eq!(store.stats().flushed, 1000);
    for n in 0..500 {
        store.set(&format!("new{n}"), "v");
        store.set(&format!("old{n}"), "w");
    }
    assert!((0..500).all(|n| store.text(&format!("new{n}")).is_some()));
    assert!((0..500).all(|n| store.text(&format!("old{n}")).as_deref() == Some("w")));
    assert!((500..1000).all(|n| store.text(&format!("old{n}")).is_none()));
    assert!(!store.touch(b"old999", None));
    assert_eq!(store.len(), 1000);
    store.flush();
    store.flush();
    assert_eq!((store.len(), store.stats().flushed), (0, 2000));
    store.for_each(|key, _| panic!("{key:?} was flushed"));
}

#[test]
fn a_too_large_set_removes_the_old_value_and_other_modes_leave_it() {
    let store = Checked::new(64 * MIB);
    assert_eq!(store.max_item_bytes(), MIB);
    let large = vec![b'x'; MIB];
    let refused = |mode| store.store(mode, b"k", &large, 0, None).unwrap_err();
    let error = StoreError::TooLarge { bytes: MIB + 1, limit: MIB };
    let cas = store.set("k", "small");
    for mode in [Mode::Add, Mode::Replace, Mode::Append, Mode::Prepend, Mode::Cas(cas)] {
        assert_eq!(
            refused(mode),
            if matches!(mode, Mode::Append | Mode::Prepend) {
                StoreError::TooLarge { bytes: MIB + 6, limit: MIB }
            } else {
                error
            }
        );
        assert_eq!(store.text("k").as_deref(), Some("small"), "{mode:?}");
    }
    assert_eq!(refused(Mode::Set), error);
    assert_eq!(store.text("k"), None);
    assert!(store.store(Mode::Set, b"k", &large[1..], 0, None).is_ok());
    assert!(error.to_string().contains("1048577 bytes, 1048576 allowed"));
}

#[test]
fn keys_go_up_to_64_kib() {
    let store = Checked::new(8 * MIB);
    let longest = vec![b'k'; 64 * 1024];
    store.store(Mode::Set, &longest, b"v", 0, None).unwrap();
    assert_eq!(store.get(&longest, |item| item.value.len()), Some(1));
    let longer = vec![b'k'; 64 * 1024 + 1];
    let refused = store.store(Mode::Set, &longer, b"v", 0, None);
    assert_eq!(refused, Err(StoreError::TooLarge { bytes: 64 * 1024 + 1, limit: 64 * 1024 }));
    assert_eq!(store.get(&longer, |_| ()), None);
}

#[test]
fn for_each_sees_every_live_item_once() {
    let store = Checked::new(8 * MIB);
    for n in 0..300 {
        let ttl = (n % 3 == 0).then_some(Duration::from_secs(1));
        store
            .store(Mode::Set, format!("k{n}").as_bytes(), format!("v{n}").as_bytes(), n, ttl)
            .unwrap();
    }
    store.advance_ms(1_000);
    let mut seen = Vec::new();
    store.for_each(|key, item| {
        assert_eq!(key, format!("k{}", item.flags).as_bytes());
        assert_eq!(item.value, format!("v{}", item.flags).as_bytes());
        seen.push(item.flags);
    });
    seen.sort_unstable();
    assert_eq!(seen, (0..300).filter(|n| n % 3 != 0).collect::<Vec<_>>());
    let stats = store.stats();
    assert_eq!((stats.hits, stats.misses), (0, 0));
}

#[test]
fn statistics_count_what_happened() {
    let store = Checked::new(MIB);
    store.set("a", "1");
    store.set("a", "2");
    store.set("b", "1");
    store.store(Mode::Append, b"b", b"1", 0, None).unwrap();
    store.store(Mode::Set, b"c", b"1", 0, Some(Duration::from_secs(1))).unwrap();
    store.text("a");
    store.text("none");
    store.delete(b"a");
    store.delete(b"a");
    store.advance_ms(1_000);
    store.text("c");
    let stats = store.stats();
    assert_eq!((stats.items, stats.sets, stats.replaced), (1, 5, 2));
    assert_eq!((stats.hits, stats.misses), (1, 2));
    assert_eq!((stats.deleted, stats.expired, stats.evictions), (1, 1, 0));
    assert!(stats.bytes > 0 && stats.bytes <= stats.max_bytes && stats.max_bytes == MIB as u64);
}

#[test]
fn a_panicking_reader_leaves_a_working_store() {
    let store = Checked::new(MIB);
    store.set("k", "v");
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.get(b"k", |_| panic!("in the reader"))
    }));
    assert!(panic.is_err());
    assert_eq!(store.text("k").as_deref(), Some("v"));
    store.set("k", "w");
    assert_eq!(store.text("k").as_deref(), Some("w"));
}
