//! What each command does, case by case.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use std::time::Duration;

use common::{Checked, MIB, cas, cas_of, ms, set, text};
use larder_store::{Arith, MAX_KEY_BYTES, Mode, Outcome, Store, StoreError, Tenant};

fn store(tenant: &Tenant, mode: Mode, key: &str, value: &str) -> Outcome {
    tenant.store(mode, key.as_bytes(), value.as_bytes(), 9, None).unwrap()
}

#[test]
fn a_store_and_its_tenants_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Store>();
    shared::<Tenant>();
}

#[test]
fn what_is_stored_is_read_with_everything_that_belongs_to_it() {
    let tenant = Checked::new(MIB);
    let stored = tenant.store(Mode::Set, b"k\0\r\n ", b"\xff\0v", 7, ms(3_000)).unwrap();
    tenant.advance_ms(1_200);
    let read = tenant.get(b"k\0\r\n ", |item| {
        assert_eq!(item.key(), b"k\0\r\n ");
        assert_eq!(item.value().as_slice(), Some(&b"\xff\0v"[..]));
        (item.value().to_vec(), item.flags(), item.cas(), item.ttl())
    });
    assert_eq!(read, Some((b"\xff\0v".to_vec(), 7, cas_of(stored), ms(1_800))));
    assert_ne!(cas_of(stored), 0);
}

#[test]
fn the_empty_key_and_the_empty_value_are_a_key_and_a_value() {
    let tenant = Checked::new(MIB);
    assert_eq!(text(&tenant, ""), None);
    set(&tenant, "", "");
    assert_eq!(tenant.get(b"", |item| item.value().is_empty()), Some(true));
    assert_eq!(tenant.get(b"", |item| item.value().pieces().count()), Some(1));
    assert!(tenant.delete(b""));
    assert_eq!(text(&tenant, ""), None);
}

#[test]
fn all_options_of_an_item_go_together() {
    for key_len in [0, 1, 250, 255, 256, MAX_KEY_BYTES] {
        for value_len in [0, 1, 100, 900, 1_100, 65_535, 65_536, 100_000] {
            for (flags, ttl) in [(0, None), (5, None), (0, ms(1_000)), (u32::MAX, ms(1_000))] {
                let tenant = Checked::new(MIB);
                let key = common::pattern(1, key_len);
                let value = common::pattern(2, value_len);
                let stored = tenant.store(Mode::Set, &key, &value, flags, ttl).unwrap();
                let read = || {
                    tenant.get(&key, |item| {
                        assert_eq!(item.key(), key);
                        assert!(item.value() == *value);
                        (item.value().len(), item.flags(), item.ttl())
                    })
                };
                assert_eq!(read(), Some((value_len, flags, ttl)));
                // A version that carries its CAS number.
                let next =
                    tenant.store(Mode::Cas(cas_of(stored)), &key, &value, flags, ttl).unwrap();
                assert!(cas_of(next) > cas_of(stored));
                assert_eq!(read(), Some((value_len, flags, ttl)));
                assert_eq!(tenant.get(&key, |item| item.cas()), Some(cas_of(next)));
            }
        }
    }
}

#[test]
fn modes_look_at_what_there_is() {
    let tenant = Checked::new(MIB);
    let stored = |outcome| matches!(outcome, Outcome::Stored { .. });
    for missing in [Mode::Replace, Mode::Append, Mode::Prepend] {
        assert_eq!(store(&tenant, missing, "k", "x"), Outcome::NotStored);
    }
    assert_eq!(store(&tenant, Mode::Cas(1), "k", "x"), Outcome::NotFound);
    assert!(stored(store(&tenant, Mode::Add, "k", "b")));
    assert_eq!(store(&tenant, Mode::Add, "k", "x"), Outcome::NotStored);
    assert!(stored(store(&tenant, Mode::Append, "k", "c")));
    assert!(stored(store(&tenant, Mode::Prepend, "k", "a")));
    assert_eq!(text(&tenant, "k").as_deref(), Some("abc"));
    assert!(stored(store(&tenant, Mode::Append, "k", "")));
    assert!(stored(store(&tenant, Mode::Prepend, "k", "")));
    assert_eq!(text(&tenant, "k").as_deref(), Some("abc"));
    assert!(stored(store(&tenant, Mode::Replace, "k", "d")));
    assert_eq!(text(&tenant, "k").as_deref(), Some("d"));
    assert!(stored(store(&tenant, Mode::Set, "k", "e")));
    assert_eq!(text(&tenant, "k").as_deref(), Some("e"));
}

#[test]
fn append_prepend_and_arithmetic_keep_flags_and_ttl() {
    let tenant = Checked::new(MIB);
    let ttl = ms(10_000);
    tenant.store(Mode::Set, b"k", b"5", 42, ttl).unwrap();
    tenant.store(Mode::Append, b"k", b"0", 1, None).unwrap();
    tenant.store(Mode::Prepend, b"k", b"1", 1, None).unwrap();
    assert_eq!(tenant.incr(b"k", 1), Ok(Arith::Value(151)));
    assert_eq!(tenant.get(b"k", |item| (item.flags(), item.ttl())), Some((42, ttl)));
    tenant.advance_ms(10_000);
    assert_eq!(text(&tenant, "k"), None);
}

#[test]
fn a_ttl_is_kept_and_rounded_up_to_100_ms() {
    let cases: [(Option<Duration>, u64, bool); 12] = [
        (None, u64::MAX / 2, true),
        (Some(Duration::ZERO), 0, false),
        (Some(Duration::from_nanos(1)), 0, true),
        (Some(Duration::from_nanos(1)), 99, true),
        (Some(Duration::from_nanos(1)), 100, false),
        (ms(100), 99, true),
        (ms(100), 100, false),
        (ms(101), 199, true),
        (ms(101), 200, false),
        (Some(Duration::from_secs(40 * 86_400)), 40 * 86_400_000 - 1, true),
        (Some(Duration::from_secs(40 * 86_400)), 40 * 86_400_000, false),
        (Some(Duration::MAX), 400 * 86_400_000, true),
    ];
    for (ttl, after_ms, alive) in cases {
        let tenant = Checked::new(MIB);
        tenant.set(b"set", b"v", 0, ttl).unwrap();
        set(&tenant, "no place for a TTL", "v");
        assert_eq!(tenant.touch(b"no place for a TTL", ttl), Ok(true));
        tenant.set(b"has a TTL", b"v", 0, ms(7_000)).unwrap();
        assert_eq!(tenant.touch(b"has a TTL", ttl), Ok(true));
        tenant.advance_ms(after_ms);
        for key in ["set", "no place for a TTL", "has a TTL"] {
            assert_eq!(text(&tenant, key).is_some(), alive, "{key} {ttl:?} after {after_ms} ms");
        }
    }
}

/// A time that is not a multiple of 100 ms: the TTL must not be cut short.
#[test]
fn a_ttl_never_ends_early() {
    for late in [1, 50, 99] {
        let tenant = Checked::new(MIB);
        tenant.advance_ms(late);
        tenant.set(b"k", b"v", 0, ms(250)).unwrap();
        tenant.advance_ms(249);
        assert!(text(&tenant, "k").is_some(), "stored at {late}");
        tenant.advance_ms(101);
        assert!(text(&tenant, "k").is_none(), "stored at {late}");
    }
}

#[test]
fn the_time_may_run_out() {
    let tenant = Checked::new(MIB);
    tenant.advance_ms(u64::MAX / 2);
    tenant.set(b"k", b"v", 0, Some(Duration::MAX)).unwrap();
    set(&tenant, "never", "v");
    tenant.set(b"k2", b"v", 0, ms(5)).unwrap();
    assert!(text(&tenant, "never").is_some());
}

#[test]
fn touch_to_never_and_back() {
    let tenant = Checked::new(MIB);
    tenant.set(b"k", b"v", 3, ms(1_000)).unwrap();
    assert_eq!(tenant.touch(b"k", None), Ok(true));
    tenant.advance_ms(1_000_000);
    assert_eq!(tenant.get(b"k", |item| (item.flags(), item.ttl())), Some((3, None)));
    assert_eq!(tenant.touch(b"k", ms(500)), Ok(true));
    assert_eq!(tenant.get(b"k", |item| item.ttl()), Some(ms(500)));
    tenant.advance_ms(500);
    assert_eq!(text(&tenant, "k"), None);
    assert_eq!(tenant.touch(b"k", None), Ok(false));
}

#[test]
fn touch_with_a_ttl_of_zero_ends_an_item() {
    for ttl in [None, ms(1_000)] {
        let tenant = Checked::new(MIB);
        tenant.set(b"k", b"v", 0, ttl).unwrap();
        assert_eq!(tenant.touch(b"k", ms(0)), Ok(true));
        assert_eq!(text(&tenant, "k"), None);
        assert_eq!(tenant.touch(b"k", None), Ok(false));
    }
}

#[test]
fn an_expired_item_is_missing_to_every_command() {
    let expired = || {
        let tenant = Checked::new(MIB);
        tenant.set(b"k", b"1", 0, ms(1)).unwrap();
        tenant.advance_ms(100);
        tenant
    };
    assert_eq!(text(&expired(), "k"), None);
    assert!(!expired().delete(b"k"));
    assert_eq!(expired().touch(b"k", None), Ok(false));
    assert_eq!(expired().invalidate(b"k", None), Ok(false));
    assert_eq!(expired().incr(b"k", 1), Ok(Arith::NotFound));
    assert_eq!(expired().decr(b"k", 1), Ok(Arith::NotFound));
    assert_eq!(store(&expired(), Mode::Append, "k", "2"), Outcome::NotStored);
    assert_eq!(store(&expired(), Mode::Replace, "k", "2"), Outcome::NotStored);
    assert_eq!(store(&expired(), Mode::Cas(1), "k", "2"), Outcome::NotFound);
    assert!(matches!(store(&expired(), Mode::Add, "k", "2"), Outcome::Stored { .. }));
    expired().for_each(|_| panic!("it is dead"));
    expired().get_many(&[b"k"], |_, item| assert!(item.is_none()));
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
        ("007", 1, Arith::Value(8), Arith::Value(6)),
        ("0000000000000000000000000005", 1, Arith::Value(6), Arith::Value(4)),
        ("5   ", 1, Arith::Value(6), Arith::Value(4)),
        (" \t\n1", 1, Arith::Value(2), Arith::Value(0)),
        ("+1", 1, Arith::Value(2), Arith::Value(0)),
        ("12 x", 1, Arith::Value(13), Arith::Value(11)),
        ("1\n", 1, Arith::Value(2), Arith::Value(0)),
        ("99", 1, Arith::Value(100), Arith::Value(98)),
        ("18446744073709551616", 1, Arith::NotANumber, Arith::NotANumber),
        ("", 1, Arith::NotANumber, Arith::NotANumber),
        ("  ", 1, Arith::NotANumber, Arith::NotANumber),
        ("-1", 1, Arith::NotANumber, Arith::NotANumber),
        ("-0", 1, Arith::NotANumber, Arith::NotANumber),
        ("+", 1, Arith::NotANumber, Arith::NotANumber),
        ("+ 1", 1, Arith::NotANumber, Arith::NotANumber),
        ("++1", 1, Arith::NotANumber, Arith::NotANumber),
        ("1x", 1, Arith::NotANumber, Arith::NotANumber),
        ("1.0", 1, Arith::NotANumber, Arith::NotANumber),
        ("one", 1, Arith::NotANumber, Arith::NotANumber),
        ("١", 1, Arith::NotANumber, Arith::NotANumber),
    ];
    for (value, delta, up, down) in cases {
        let tenant = Checked::new(MIB);
        let set_and = |arith: &dyn Fn() -> Arith| {
            set(&tenant, "k", value);
            (arith(), text(&tenant, "k").unwrap())
        };
        for (result, expected) in [
            (set_and(&|| tenant.incr(b"k", delta).unwrap()), up),
            (set_and(&|| tenant.decr(b"k", delta).unwrap()), down),
        ] {
            let left = match expected {
                // As long as it was, as memcached's clients expect.
                Arith::Value(number) => format!("{number:<0$}", value.len()),
                _ => value.to_owned(),
            };
            assert_eq!(result, (expected, left), "{value:?} and {delta}");
        }
    }
}

#[test]
fn arithmetic_on_a_value_in_chunks_is_not_a_number() {
    let tenant = Checked::new(MIB);
    let digits = "1".repeat(60_000);
    set(&tenant, "k", &digits);
    assert_eq!(tenant.incr(b"k", 1), Ok(Arith::NotANumber));
    assert_eq!(text(&tenant, "k"), Some(digits));
    // However they lie there, values of up to 64 bytes are read.
    for key in [&b"k"[..], &[b'k'; MAX_KEY_BYTES]] {
        for (len, expected) in [(64, Arith::Value(6)), (65, Arith::NotANumber)] {
            tenant.set(key, format!("{:0>1$}", 5, len).as_bytes(), 0, None).unwrap();
            assert_eq!(tenant.incr(key, 1), Ok(expected), "{len} bytes");
        }
    }
}

/// A store that interprets values when they are stored returns 7 for this one.
#[test]
fn digits_that_are_never_incremented_are_never_rewritten() {
    let tenant = Checked::new(MIB);
    set(&tenant, "agent", "007");
    assert_eq!(text(&tenant, "agent").as_deref(), Some("007"));
    tenant.touch(b"agent", ms(1_000)).unwrap();
    store(&tenant, Mode::Append, "agent", "");
    assert_eq!(text(&tenant, "agent").as_deref(), Some("007"));
    assert_eq!(tenant.incr(b"agent", 1), Ok(Arith::Value(8)));
    assert_eq!(text(&tenant, "agent").as_deref(), Some("8  "));
    assert_eq!(tenant.decr(b"agent", 8), Ok(Arith::Value(0)));
    assert_eq!(text(&tenant, "agent").as_deref(), Some("0  "));
}

#[test]
fn delete_and_touch_say_whether_there_was_an_item() {
    let tenant = Checked::new(MIB);
    assert!(!tenant.delete(b"k"));
    assert_eq!(tenant.touch(b"k", None), Ok(false));
    set(&tenant, "k", "v");
    assert_eq!(tenant.touch(b"k", ms(1_000)), Ok(true));
    assert!(tenant.delete(b"k"));
    assert!(!tenant.delete(b"k"));
}

#[test]
fn a_too_large_set_removes_the_old_value_and_other_modes_leave_it() {
    let tenant = Checked::new(16 * MIB);
    assert_eq!(tenant.max_item_bytes(), MIB);
    let large = vec![b'x'; MIB];
    let refused = |mode| tenant.store(mode, b"k", &large, 0, None).unwrap_err();
    let error = StoreError::TooLarge { bytes: MIB + 1, limit: MIB };
    let cas = set(&tenant, "k", "small");
    for mode in [Mode::Add, Mode::Replace, Mode::Append, Mode::Prepend, Mode::Cas(cas)] {
        let longer = StoreError::TooLarge { bytes: MIB + 6, limit: MIB };
        let expected = if matches!(mode, Mode::Append | Mode::Prepend) { &longer } else { &error };
        assert_eq!(refused(mode), *expected);
        assert_eq!(text(&tenant, "k").as_deref(), Some("small"), "{mode:?}");
    }
    assert_eq!(refused(Mode::Set), error);
    assert_eq!(text(&tenant, "k"), None);
    assert_eq!(tenant.set(b"k", &large[1..], 0, None), Ok(()));
    set(&tenant, "k", "small");
    assert_eq!(tenant.set(b"k", &large, 0, None), Err(error.clone()));
    assert_eq!(text(&tenant, "k"), None);
    assert!(error.to_string().contains("1048577 bytes, 1048576 allowed"));
}

#[test]
fn keys_go_up_to_2048_bytes() {
    for max_bytes in [MIB, 16 * MIB] {
        let tenant = Checked::new(max_bytes);
        let longest = vec![b'k'; MAX_KEY_BYTES];
        for value_len in [0, 1, 10_000, tenant.max_item_bytes() - MAX_KEY_BYTES] {
            tenant.set(&longest, &vec![b'v'; value_len], 0, ms(5_000)).unwrap();
            assert_eq!(tenant.get(&longest, |item| item.value().len()), Some(value_len));
        }
        let longer = vec![b'k'; MAX_KEY_BYTES + 1];
        let refused = tenant.set(&longer, b"v", 0, None);
        let error = StoreError::TooLarge { bytes: MAX_KEY_BYTES + 1, limit: MAX_KEY_BYTES };
        assert_eq!(refused, Err(error));
        assert_eq!(tenant.get(&longer, |_| ()), None);
        assert!(!tenant.delete(&longer));
        assert_eq!(tenant.incr(&longer, 1), Ok(Arith::NotFound));
    }
}

#[test]
fn a_batch_gives_what_single_gets_give_in_order() {
    let tenant = Checked::new(MIB);
    for n in (0..200).step_by(3) {
        set(&tenant, &format!("k{n}"), &format!("v{n}"));
    }
    for count in [0, 1, 31, 32, 33, 200] {
        let keys: Vec<String> = (0..count).map(|n| format!("k{n}")).collect();
        let mut expected = 0;
        tenant.get_many(&keys, |number, item| {
            assert_eq!(number, expected);
            expected += 1;
            let value = item.map(|item| item.value().to_vec());
            assert_eq!(value, (number % 3 == 0).then(|| format!("v{number}").into_bytes()));
        });
        assert_eq!(expected, count);
    }
    // The same key more than once.
    let mut found = 0;
    tenant.get_many(&["k0"; 70], |_, item| found += usize::from(item.is_some()));
    assert_eq!(found, 70);
}

#[test]
fn a_get_within_a_get_finds_both() {
    let tenant = Checked::new(MIB);
    set(&tenant, "outer", "o");
    set(&tenant, "inner", "i");
    let both = tenant.get(b"outer", |outer| {
        let inner = text(&tenant, "inner");
        assert!(tenant.delete(b"outer"));
        tenant.flush();
        (outer.value().to_vec(), inner)
    });
    assert_eq!(both, Some((b"o".to_vec(), Some("i".to_owned()))));
    assert!(tenant.is_empty());
}

#[test]
fn an_item_read_stays_whole_while_it_is_replaced_many_times() {
    let tenant = Checked::new(MIB);
    let first = common::pattern(1, 3_000);
    tenant.set(b"k", &first, 0, None).unwrap();
    tenant.get(b"k", |item| {
        for n in 0..2_000 {
            // Some find no room: this very thread keeps the memory from being used again.
            let _ = tenant.set(b"k", &common::pattern(n, 3_000), 0, None);
            let _ = tenant.incr(b"k", 1);
        }
        assert!(item.value() == *first);
        assert_eq!(item.key(), b"k");
    });
    assert_eq!(tenant.set(b"k", b"last", 0, None), Ok(()));
    assert_eq!(text(&tenant, "k").as_deref(), Some("last"));
}

#[test]
fn a_panicking_reader_leaves_a_working_store() {
    let tenant = Checked::new(MIB);
    set(&tenant, "k", "v");
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        tenant.get(b"k", |_| panic!("in the reader"))
    }));
    assert!(panic.is_err());
    for n in 0..5_000 {
        set(&tenant, &format!("k{n}"), &"w".repeat(500));
    }
    set(&tenant, "k", "w");
    assert_eq!(text(&tenant, "k").as_deref(), Some("w"));
}

#[test]
fn an_invalidated_item_is_served_as_stale_and_won_by_one() {
    let tenant = Checked::new(MIB);
    let first = set(&tenant, "k", "v");
    assert_eq!(tenant.invalidate(b"none", None), Ok(false));
    assert_eq!(tenant.invalidate(b"k", ms(30_000)), Ok(true));
    let look = || {
        let item = tenant.get(b"k", |item| {
            assert_eq!(item.value(), *b"v".as_slice());
            (item.is_stale(), item.has_winner(), item.win(), item.ttl())
        });
        item.unwrap()
    };
    assert_eq!(look(), (true, false, true, ms(30_000)));
    assert_eq!(look(), (true, true, false, ms(30_000)));
    assert!(cas(&tenant, "k").unwrap() > first);
    assert_eq!(store(&tenant, Mode::Cas(first), "k", "x"), Outcome::Exists);
    // Again: there is something to win again.
    assert_eq!(tenant.invalidate(b"k", None), Ok(true));
    assert_eq!(look(), (true, false, true, ms(30_000)));
    set(&tenant, "k", "fresh");
    let fresh = tenant.get(b"k", |item| (item.is_stale(), item.has_winner())).unwrap();
    assert_eq!(fresh, (false, false));
}

/// The right to replace a version that is gone is nobody's, and not a right to replace the next one.
#[test]
fn nobody_wins_an_item_that_was_replaced_meanwhile() {
    let tenant = Checked::new(MIB);
    set(&tenant, "k", "v");
    tenant.invalidate(b"k", None).unwrap();
    let won = tenant.get(b"k", |item| {
        set(&tenant, "k", "fresh");
        item.win()
    });
    assert_eq!(won, Some(false));
    assert_eq!(tenant.get(b"k", |item| item.has_winner()), Some(false));
    let won = tenant.get(b"k", |item| {
        assert!(tenant.delete(b"k"));
        item.win()
    });
    assert_eq!(won, Some(false));
}

#[test]
fn nobody_wins_an_item_met_on_a_walk() {
    let tenant = Checked::new(MIB);
    set(&tenant, "k", "v");
    tenant.invalidate(b"k", None).unwrap();
    tenant.for_each(|item| assert!(item.is_stale() && !item.win()));
    assert_eq!(tenant.get(b"k", |item| (item.has_winner(), item.win())), Some((false, true)));
    tenant.for_each(|item| assert!(item.has_winner() && !item.win()));
}

#[test]
fn an_item_tells_whether_and_how_long_ago_it_was_read() {
    let tenant = Checked::new(MIB);
    set(&tenant, "k", "v");
    let look = || tenant.get(b"k", |item| (item.fetched(), item.idle().as_secs())).unwrap();
    tenant.advance_ms(120_000);
    assert_eq!(look(), (false, 120));
    assert_eq!(look(), (true, 0));
    tenant.advance_ms(59_000);
    assert!(look().1 <= 60);
    // Walking over it is no use.
    tenant.advance_ms(600_000);
    tenant.for_each(|item| assert!(item.fetched()));
    // In whole minutes, and never too long.
    assert_eq!(look(), (true, 540));
}
