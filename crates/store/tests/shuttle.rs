//! The whole engine in many schedules of few threads, tried by shuttle.
//!
//! Each test runs in random schedules, where threads change at almost every access, and in ones with
//! few changes (PCT), where a thread stops at some bad place while another gets far. Values know
//! what they are: [`value`] makes them, [`version`] checks them. Every schedule ends with a recount.
//!
//! `SHUTTLE_RUNS` says how many schedules of each kind are tried.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use common::{Checked, ms, pattern};
use larder_store::{Arith, Commit, Item, Mode, Outcome, Position, Stale, Tenant, Write};
use shuttle::thread::{self, JoinHandle};

/// A store of a few segments of 8 KiB.
const SMALL: usize = 128 * 1024;

/// A value that takes an eighth of a segment, with its key.
const EIGHTH: usize = 980;

/// A value in four chunks.
const CHUNKED: usize = 1500;

fn small() -> Checked {
    Checked::new(SMALL)
}

/// Threads that work on a store.
trait Spawn {
    /// Runs `work` on another thread.
    fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tenant) -> T + Send + 'static,
    ) -> JoinHandle<T>;

    /// Does the work of taking back, on another thread, and stores other items in what it gains.
    fn spawn_compaction(&self) -> JoinHandle<()>;
}

impl Spawn for Checked {
    fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tenant) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let tenant = self.store.tenant().clone();
        thread::spawn(move || work(&tenant))
    }

    fn spawn_compaction(&self) -> JoinHandle<()> {
        let store = self.store.clone();
        thread::spawn(move || {
            while store.maintain(1) {}
            for number in 0..12 {
                set(store.tenant(), &format!("more{number}"), 7, EIGHTH);
            }
        })
    }
}

/// Runs a test in many schedules.
fn explore(test: fn()) {
    let most = if cfg!(debug_assertions) { 15 } else { 300 };
    let runs = std::env::var("SHUTTLE_RUNS").map_or(most, |runs| runs.parse().expect("a number"));
    shuttle::check_random(test, runs);
    for changes in [2, 3] {
        shuttle::check_pct(test, runs, changes);
    }
}

/// A value that is of this key, version and length only, in each of its parts.
fn value(key: &[u8], version: u64, len: usize) -> Vec<u8> {
    let seed = key.iter().fold(version.wrapping_mul(0x9e37_79b9_7f4a_7c15), |seed, byte| {
        (seed ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut value = version.to_le_bytes().to_vec();
    value.extend(pattern(seed, len.saturating_sub(8)));
    value
}

/// The version of an item, whose value must be right, and stay so while others run.
fn version(item: Item<'_>) -> u64 {
    let bytes = item.value().to_vec();
    let version = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let right = value(item.key(), version, bytes.len());
    assert!(bytes == right, "version {version} of {:?} is torn", item.key());
    thread::yield_now();
    assert!(item.value().to_vec() == right, "version {version} of {:?} has changed", item.key());
    version
}

fn set(tenant: &Tenant, key: &str, version: u64, len: usize) {
    set_for(tenant, key, version, len, None);
}

fn set_for(tenant: &Tenant, key: &str, version: u64, len: usize, ttl: Option<Duration>) {
    tenant.set(key.as_bytes(), &value(key.as_bytes(), version, len), 0, ttl).unwrap();
}

/// The version of a key's item, if there is one.
fn get(tenant: &Tenant, key: &str) -> Option<u64> {
    tenant.get(key.as_bytes(), |item| {
        assert_eq!(item.key(), key.as_bytes());
        version(item)
    })
}

/// Sets `kept`, with `ttl`, so that it lies in a sealed segment that is mostly dead.
fn set_amid_waste(tenant: &Tenant, kept: &[&str], len: usize, ttl: Option<Duration>) {
    let waste = |of: &str, number: usize| format!("waste{of}{number}");
    for key in kept {
        set_for(tenant, key, 1, len, ttl);
        (0..7).for_each(|number| set(tenant, &waste(key, number), 1, EIGHTH));
    }
    // Seals the last one.
    (0..8).for_each(|number| set(tenant, &waste("last", number), 1, EIGHTH));
    for key in kept {
        (0..7).for_each(|number| assert!(tenant.delete(waste(key, number).as_bytes())));
    }
}

#[test]
fn a_get_that_races_overwrites_finds_one_version_or_the_next() {
    explore(|| {
        let store = small();
        set(&store, "key", 0, 100);
        let writer = store.spawn(|tenant| {
            // Some of them in chunks, and so many that segments are used again.
            for version in 1..40 {
                set(tenant, "key", version, if version % 3 == 0 { CHUNKED } else { EIGHTH });
            }
            while get(tenant, "other").is_some() {}
        });
        let maintenance = {
            let store = store.store.clone();
            thread::spawn(move || store.maintain(60))
        };
        let reader = store.spawn(|tenant| {
            let mut last = 0;
            for _ in 0..20 {
                let version = get(tenant, "key").expect("it is always there");
                assert!(version >= last, "{version} after {last}");
                last = version;
            }
        });
        maintenance.join().unwrap();
        for thread in [writer, reader] {
            thread.join().unwrap();
        }
        assert_eq!(get(&store, "key"), Some(39));
    });
}

#[test]
fn a_get_that_races_compaction_finds_the_item_where_it_was_or_is() {
    explore(|| {
        let store = small();
        set_amid_waste(&store, &["a", "b", "c"], EIGHTH, None);
        let compaction = store.spawn_compaction();
        let reader = store.spawn(|tenant| {
            for key in ["a", "b", "c"].iter().cycle().take(24) {
                assert_eq!(get(tenant, key), Some(1), "{key} is missing");
            }
        });
        let many = store.spawn(|tenant| {
            for _ in 0..4 {
                tenant.get_many(&["c", "a", "b"], |number, item| {
                    assert_eq!(item.map(version), Some(1), "number {number} is missing");
                });
            }
        });
        for thread in [compaction, reader, many] {
            thread.join().unwrap();
        }
        assert!(store.store.stats().relocated > 0);
    });
}

#[test]
fn a_value_in_chunks_stays_whole_while_they_move() {
    explore(|| {
        let store = small();
        set_amid_waste(&store, &["a", "b", "c"], CHUNKED, None);
        let compaction = store.spawn_compaction();
        let reader = store.spawn(|tenant| {
            for key in ["a", "b", "c"].iter().cycle().take(12) {
                assert_eq!(get(tenant, key), Some(1), "{key} is missing");
            }
        });
        let writer = store.spawn(|tenant| set(tenant, "b", 1, CHUNKED + 100));
        for thread in [compaction, reader, writer] {
            thread.join().unwrap();
        }
        assert_eq!(["a", "b", "c"].map(|key| get(&store, key)), [Some(1); 3]);
    });
}

#[test]
fn a_walk_that_races_compaction_meets_everything() {
    explore(|| {
        let store = small();
        set_amid_waste(&store, &["a", "b", "c"], EIGHTH, None);
        let compaction = store.spawn_compaction();
        let walker = store.spawn(|tenant| {
            for _ in 0..8 {
                let mut met = [false; 3];
                let mut from = Some(Position::START);
                while let Some(position) = from {
                    from = tenant.walk(position, |item| {
                        if let [key @ b'a'..=b'c'] = item.key() {
                            met[usize::from(key - b'a')] = true;
                        }
                    });
                }
                assert_eq!(met, [true; 3]);
            }
        });
        for thread in [compaction, walker] {
            thread.join().unwrap();
        }
    });
}

#[test]
fn readers_and_writers_of_a_full_store_meet_right_values_only() {
    explore(|| {
        let store = small();
        for number in 0..130 {
            set(&store, &format!("key{number}"), 1, if number % 5 == 0 { CHUNKED } else { EIGHTH });
        }
        let writers = [200, 300].map(|first| {
            store.spawn(move |tenant| {
                for number in first..first + 12 {
                    set(tenant, &format!("key{number}"), 2, EIGHTH);
                    set(tenant, &format!("key{}", number % 100), 2, CHUNKED);
                }
            })
        });
        let reader = store.spawn(|tenant| {
            for number in (0..130).rev().chain(100..130) {
                get(tenant, &format!("key{number}"));
            }
        });
        for thread in writers {
            thread.join().unwrap();
        }
        reader.join().unwrap();
        assert!(store.store.stats().evictions > 0);
    });
}

#[test]
fn a_flush_is_before_or_after_a_get_and_what_is_set_after_it_stays() {
    explore(|| {
        let store = small();
        set_amid_waste(&store, &["key"], EIGHTH, None);
        let flusher = store.spawn(|tenant| {
            tenant.flush();
            assert_eq!(get(tenant, "key"), None, "it was flushed");
            set(tenant, "key", 2, CHUNKED);
            assert_eq!(get(tenant, "key"), Some(2), "it was set after the flush");
        });
        let maintenance = {
            let store = store.store.clone();
            thread::spawn(move || store.maintain(20))
        };
        let reader = store.spawn(|tenant| {
            let mut met = Vec::new();
            for _ in 0..12 {
                met.push(get(tenant, "key"));
            }
            met.dedup();
            let possible: [&[Option<u64>]; 6] = [
                &[Some(1)],
                &[Some(1), None],
                &[Some(1), None, Some(2)],
                &[Some(1), Some(2)],
                &[None, Some(2)],
                &[Some(2)],
            ];
            assert!(possible.contains(&&met[..]) || met == [None], "{met:?}");
        });
        maintenance.join().unwrap();
        for thread in [flusher, reader] {
            thread.join().unwrap();
        }
        assert_eq!(get(&store, "key"), Some(2));
    });
}

#[test]
fn a_set_that_races_a_flush_is_before_or_after_it() {
    explore(|| {
        let store = small();
        let flushed = Arc::new(AtomicBool::new(false));
        let flusher = {
            let flushed = Arc::clone(&flushed);
            store.spawn(move |tenant| {
                tenant.flush();
                flushed.store(true, SeqCst);
            })
        };
        let writers = ["a", "b"].map(|key| {
            let flushed = Arc::clone(&flushed);
            store.spawn(move |tenant| {
                for round in 1..4 {
                    let was_flushed = flushed.load(SeqCst);
                    set(tenant, key, round, if round == 2 { CHUNKED } else { EIGHTH });
                    let there = get(tenant, key);
                    assert!(there == Some(round) || (!was_flushed && there.is_none()), "{there:?}");
                }
            })
        });
        flusher.join().unwrap();
        for writer in writers {
            writer.join().unwrap();
        }
        while store.store.maintain(1) {}
    });
}

#[test]
fn a_reservation_that_races_a_flush_is_all_there_or_not_at_all() {
    explore(|| {
        let store = small();
        let flushed = Arc::new(AtomicBool::new(false));
        let writers = [("a", 200), ("b", CHUNKED)].map(|(key, len)| {
            let flushed = Arc::clone(&flushed);
            store.spawn(move |tenant| {
                let bytes = value(key.as_bytes(), 5, len);
                let mut reservation =
                    tenant.reserve(tenant.hashed(key.as_bytes()), len, 0, None).unwrap();
                bytes.chunks(300).for_each(|piece| reservation.append(piece));
                let was_flushed = flushed.load(SeqCst);
                let done = reservation.commit(&Commit::new(Mode::Set)).unwrap();
                assert!(matches!(done, Outcome::Stored { .. }));
                was_flushed
            })
        });
        let flusher = store.spawn(move |tenant| {
            tenant.flush();
            flushed.store(true, SeqCst);
        });
        let maintenance = {
            let store = store.store.clone();
            thread::spawn(move || store.maintain(20))
        };
        let was_flushed = writers.map(|writer| writer.join().unwrap());
        flusher.join().unwrap();
        maintenance.join().unwrap();
        for (key, was_flushed) in ["a", "b"].iter().zip(was_flushed) {
            let there = get(&store, key);
            assert!(there == Some(5) || (there.is_none() && !was_flushed), "{key}: {there:?}");
        }
    });
}

#[test]
fn a_get_that_races_a_resize_of_the_index_misses_nothing() {
    explore(|| {
        let store = small();
        // A page has room for 896 items and is replaced by two above 83 % of that.
        let key = |number: u64| format!("{number}");
        (0..740).for_each(|number| set(&store, &key(number), 1, 8));
        let resizer = {
            let store = store.store.clone();
            thread::spawn(move || {
                for number in 740..810 {
                    set(store.tenant(), &key(number), 1, 8);
                }
                while store.maintain(1) {}
            })
        };
        let readers = [17].map(|step| {
            store.spawn(move |tenant| {
                // The writer deletes one of fifty.
                for number in (0..740).step_by(step).filter(|number| number % 50 != 1) {
                    assert_eq!(get(tenant, &key(number)), Some(1), "{number} is missing");
                }
            })
        });
        let writer = store.spawn(move |tenant| {
            for number in (0..740).step_by(50) {
                assert!(tenant.delete(key(number + 1).as_bytes()));
                assert_eq!(get(tenant, &key(number + 1)), None);
                set(tenant, &key(number), 1, 16);
            }
            // Again and again, as the move goes by.
            for number in (0..740).step_by(50).cycle().take(60) {
                set(tenant, &key(number + 1), 2, 8);
                assert_eq!(get(tenant, &key(number + 1)), Some(2));
                assert!(tenant.delete(key(number + 1).as_bytes()));
                assert_eq!(get(tenant, &key(number + 1)), None);
            }
        });
        for reader in readers {
            reader.join().unwrap();
        }
        resizer.join().unwrap();
        writer.join().unwrap();
        (0..740).filter(|number| number % 50 != 1).for_each(|number| {
            assert_eq!(get(&store, &key(number)), Some(1), "{number} is missing");
        });
        assert_eq!(store.len(), 810 - 15);
    });
}

#[test]
fn two_writers_of_a_key_leave_one_item() {
    explore(|| {
        let store = small();
        let writers = [1, 2].map(|first| {
            store.spawn(move |tenant| {
                for version in (first..9).step_by(2) {
                    set(tenant, "key", version, 200);
                    let there = get(tenant, "key").expect("nobody removes it");
                    assert!(there == version || there % 2 != version % 2, "{there} of {version}");
                }
            })
        });
        for writer in writers {
            writer.join().unwrap();
        }
        assert!(matches!(get(&store, "key"), Some(7 | 8)));
        assert_eq!(store.len(), 1);
        assert_eq!((store.stats().sets, store.stats().replaced), (8, 7));
    });
}

#[test]
fn of_two_who_compare_and_store_one_wins() {
    explore(|| {
        let store = small();
        set_amid_waste(&store, &["key"], EIGHTH, None);
        let cas = store.get(b"key", |item| item.cas()).unwrap();
        let compaction = store.spawn_compaction();
        let writers = [2, 3].map(|version| {
            store.spawn(move |tenant| {
                let value = value(b"key", version, 200);
                match tenant.store(Mode::Cas(cas), b"key", &value, 0, None).unwrap() {
                    Outcome::Stored { cas: new } => {
                        assert!(new > cas, "{new} after {cas}");
                        Some(version)
                    }
                    outcome => {
                        assert_eq!(outcome, Outcome::Exists);
                        None
                    }
                }
            })
        });
        let won: Vec<_> = writers.into_iter().filter_map(|it| it.join().unwrap()).collect();
        compaction.join().unwrap();
        assert_eq!(won.len(), 1, "{won:?}");
        assert_eq!(get(&store, "key"), Some(won[0]));
    });
}

#[test]
fn of_two_who_want_to_replace_an_item_one_wins_while_it_moves() {
    explore(|| {
        let store = small();
        set_amid_waste(&store, &["key"], EIGHTH, None);
        assert!(store.invalidate(b"key", None).unwrap());
        (0..8).for_each(|number| set(&store, &format!("seal{number}"), 1, EIGHTH));
        (0..8).for_each(|number| assert!(store.delete(format!("seal{number}").as_bytes())));
        let compaction = store.spawn_compaction();
        let askers = [(); 2].map(|()| {
            store.spawn(|tenant| {
                let mut won = 0;
                for _ in 0..3 {
                    let win = |item: Item<'_>| {
                        // It may move before it is asked for, and while.
                        thread::yield_now();
                        u32::from(item.win())
                    };
                    won += tenant.get(b"key", win).expect("it is there");
                }
                won
            })
        });
        let won: u32 = askers.into_iter().map(|asker| asker.join().unwrap()).sum();
        compaction.join().unwrap();
        assert_eq!(won, 1);
    });
}

#[test]
fn what_two_add_is_the_sum() {
    explore(|| {
        let store = small();
        store.set(b"number", b"40", 0, Some(Duration::from_secs(60))).unwrap();
        store.set(b"text", b"", 0, None).unwrap();
        let adders = [(); 2].map(|()| {
            store.spawn(|tenant| {
                let Arith::Value(sum) = tenant.incr(b"number", 1).unwrap() else { panic!() };
                tenant.store(Mode::Append, b"text", b"!", 0, None).unwrap();
                sum
            })
        });
        assert!(store.touch(b"number", None).unwrap());
        let mut sums = adders.map(|adder| adder.join().unwrap());
        sums.sort_unstable();
        assert_eq!(sums, [41, 42]);
        assert_eq!(store.get(b"number", |item| item.value().to_vec()).unwrap(), b"42");
        assert_eq!(store.get(b"text", |item| item.value().to_vec()).unwrap(), b"!!");
    });
}

#[test]
fn a_set_is_before_or_after_a_delete() {
    explore(|| {
        let store = small();
        let writer = store.spawn(|tenant| set(tenant, "key", 1, 200));
        let deleter = store.spawn(|tenant| tenant.delete(b"key"));
        writer.join().unwrap();
        let deleted = deleter.join().unwrap();
        assert_eq!(get(&store, "key").is_none(), deleted);
        set(&store, "key", 2, 200);
        let writer = store.spawn(|tenant| set(tenant, "key", 3, CHUNKED));
        let deleters = [(); 2].map(|()| store.spawn(|tenant| tenant.delete(b"key")));
        writer.join().unwrap();
        let deleted = deleters.into_iter().filter(|_| true).map(|it| u64::from(it.join().unwrap()));
        let deleted = deleted.sum::<u64>();
        match get(&store, "key") {
            None => assert!(deleted >= 1),
            Some(version) => assert_eq!((version, deleted <= 1), (3, true)),
        }
    });
}

#[test]
fn a_new_expiry_is_kept_while_the_item_moves() {
    explore(|| {
        let store = small();
        let minute = Some(Duration::from_secs(60));
        set_amid_waste(&store, &["a"], EIGHTH, minute);
        set_amid_waste(&store, &["b"], CHUNKED, None);
        let compaction = store.spawn_compaction();
        let touchers = ["a", "b"].map(|key| {
            store.spawn(move |tenant| {
                for minutes in 2..22 {
                    let ttl = Some(Duration::from_secs(60 * minutes));
                    assert!(tenant.touch(key.as_bytes(), ttl).unwrap());
                    assert_eq!(tenant.get(key.as_bytes(), |item| item.ttl()), Some(ttl));
                }
            })
        });
        for toucher in touchers {
            toucher.join().unwrap();
        }
        compaction.join().unwrap();
        store.clock.advance(Duration::from_secs(60 * 21 - 10));
        assert_eq!(["a", "b"].map(|key| get(&store, key)), [Some(1); 2]);
        store.clock.advance(Duration::from_secs(20));
        assert_eq!(["a", "b"].map(|key| get(&store, key)), [None; 2]);
    });
}

/// What changes a value keeps the TTL that is there when it does, not the one it saw.
#[test]
fn a_touch_beside_an_increment_is_not_lost() {
    explore(|| {
        let store = small();
        store.set(b"key", b"1", 0, ms(1_000)).unwrap();
        let touched = store.spawn(|tenant| assert_eq!(tenant.touch(b"key", ms(9_000)), Ok(true)));
        let added = store.spawn(|tenant| assert_eq!(tenant.incr(b"key", 1), Ok(Arith::Value(2))));
        touched.join().unwrap();
        added.join().unwrap();
        assert_eq!(store.get(b"key", |item| item.ttl()), Some(ms(9_000)));
    });
}

/// Whoever stores an older value as stale meets one version or the next, and the TTL of that one.
#[test]
fn an_older_value_takes_the_ttl_of_what_it_replaces() {
    explore(|| {
        let store = small();
        let first = store.store(Mode::Set, b"key", b"new", 0, None).unwrap();
        let Outcome::Stored { cas } = first else { panic!("{first:?}") };
        let touched = store.spawn(|tenant| assert_eq!(tenant.touch(b"key", ms(9_000)), Ok(true)));
        let stored = store.spawn(move |tenant| {
            let write = Write {
                cas: Some(cas - 1),
                stale_if_older: true,
                ttl: ms(500),
                ..Write::new(Mode::Set, b"old")
            };
            let stored = tenant.write(tenant.hashed(b"key"), &write).unwrap();
            assert!(matches!(stored, Outcome::Stored { cas: now } if now > cas), "{stored:?}");
        });
        touched.join().unwrap();
        stored.join().unwrap();
        let seen = store.get(b"key", |item| (item.value().to_vec(), item.is_stale(), item.ttl()));
        assert_eq!(seen, Some((b"old".to_vec(), true, ms(9_000))));
    });
}

/// The right to replace goes to one, and not beyond the version it was given for.
#[test]
fn a_version_is_won_once_and_never_the_one_after_it() {
    explore(|| {
        let store = small();
        store.set(b"key", b"1", 0, None).unwrap();
        store.mark_stale(store.hashed(b"key"), &Stale::MARK).unwrap();
        let ask = |tenant: &Tenant| {
            let reading = |item: Item<'_>| (item.is_stale(), item.win());
            tenant.get(b"key", reading).expect("it is always there")
        };
        let asked = [store.spawn(ask), store.spawn(ask)];
        let replaced = store.spawn(|tenant| tenant.set(b"key", b"2", 0, None).unwrap());
        replaced.join().unwrap();
        let won = asked.map(|asked| asked.join().unwrap());
        assert!(won.iter().filter(|(stale, won)| *stale && *won).count() <= 1, "{won:?}");
        // Only who saw the new one may have won it.
        let seen = store.get(b"key", |item| item.has_winner()).unwrap();
        assert_eq!(seen, won.iter().any(|(stale, won)| !*stale && *won));
    });
}
