//! Threads at work on one store never see a value that is not whole, not its key's, or not its
//! tenant's.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Checked, MIB, cas_of, ms, numbers, set, text};
use larder_store::{Arith, Commit, Config, Item, Limits, Mode, Outcome, StoreError, Tenant};

const THREADS: u64 = 4;

/// Longer than anybody does not run.
const FOREVER: Duration = Duration::from_secs(60);

/// A value that says whose it is: key, version and tenant are in it and fill it, and a checksum ends it.
fn sealed(tenant: u64, key: u64, version: u64, len: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(len + 40);
    for number in [tenant, key, version, len as u64] {
        value.extend(number.to_le_bytes());
    }
    let mut next = numbers(tenant ^ key << 20 ^ version << 40);
    while value.len() < 32 + len {
        value.extend(next().to_le_bytes());
    }
    value.truncate(32 + len);
    value.extend(checksum(&value).to_le_bytes());
    value
}

/// The flags of a key's items.
fn flags(key: u64) -> u32 {
    u32::try_from(key).unwrap()
}

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(7, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Whether a value is whole and belongs to tenant and key. What was appended is marks of eight `+`.
fn is_sound(item: &Item<'_>, tenant: u64, key: u64) -> bool {
    let value = item.value().to_vec();
    let marks = value.rchunks(8).take_while(|mark| *mark == b"++++++++").count();
    let (value, _) = value.split_at(value.len() - marks * 8);
    let Some((body, sum)) = value.split_last_chunk::<8>() else { return false };
    let number = |at: usize| u64::from_le_bytes(body[at..at + 8].try_into().unwrap());
    body.len() >= 32
        && checksum(body) == u64::from_le_bytes(*sum)
        && (number(0), number(8), number(24) + 32) == (tenant, key, body.len() as u64)
        && u64::from(item.flags()) == key
        && item.key() == key.to_be_bytes()
}

fn check(tenant: &Tenant, who: u64, key: u64) {
    let sound = tenant.get(&key.to_be_bytes(), |item| is_sound(&item, who, key));
    assert_ne!(sound, Some(false), "key {key} of tenant {who}");
}

#[test]
fn every_value_read_is_whole_and_its_keys_and_tenants() {
    for (max_bytes, keys, long) in
        [(MIB, 3_000, 3_000), (2 * MIB, 900, 40_000), (16 * MIB, 9_000, 900)]
    {
        let store = Checked::new(max_bytes);
        let tenants = [store.store.add_tenant(Limits::NONE), store.store.add_tenant(Limits::NONE)];
        let refused = AtomicU64::new(0);
        thread::scope(|scope| {
            for seed in 1..=THREADS {
                let (store, tenants, refused) = (&store, &tenants, &refused);
                scope.spawn(move || hammer(store, tenants, seed, keys, long, refused));
            }
        });
        let stats = store.store.stats();
        assert!(stats.hits > 0 && stats.misses > 0 && stats.expired > 0, "{stats:?}");
        assert!(max_bytes > 2 * MIB || stats.evictions > 0, "{stats:?}");
        // Only where somebody who reads, or makes room, does not run for very long.
        assert!(refused.into_inner() < stats.sets, "{stats:?}");
    }
}

fn hammer(
    store: &Checked,
    tenants: &[Tenant; 2],
    seed: u64,
    keys: u64,
    long: u64,
    refused: &AtomicU64,
) {
    let (mut next, mut patience) = (numbers(seed), 5_000);
    let mut reservation = None;
    for version in 0..12_000_u64 {
        let (what, key, who) = (next() % 100, next() % keys, next() % 2);
        let tenant = &tenants[usize::try_from(who).unwrap()];
        let name = key.to_be_bytes();
        let flags = u32::try_from(key).unwrap();
        let stored = match what {
            0..45 => {
                check(tenant, who, key);
                Ok(())
            }
            45..50 => {
                let batch: Vec<u64> = (key..key + 20).collect();
                let names: Vec<[u8; 8]> = batch.iter().map(|key| key.to_be_bytes()).collect();
                tenant.get_many(&names, |number, item| {
                    assert!(item.is_none_or(|item| is_sound(&item, who, batch[number])));
                });
                Ok(())
            }
            50..80 => {
                let len = if next().is_multiple_of(10) { next() % long } else { next() % 200 };
                let value = sealed(who, key, version, usize::try_from(len).unwrap());
                let mode =
                    [Mode::Set, Mode::Add, Mode::Replace][usize::try_from(next() % 3).unwrap()];
                let ttl = if len % 3 == 0 { ms(next() % 900) } else { None };
                while_patient(&mut patience, || tenant.store(mode, &name, &value, flags, ttl))
                    .map(drop)
            }
            80..85 => {
                let append = || tenant.store(Mode::Append, &name, b"++++++++", 0, None);
                match while_patient(&mut patience, append) {
                    Err(StoreError::TooLarge { .. }) => Ok(()),
                    other => other.map(drop),
                }
            }
            85..90 => {
                tenant.delete(&name);
                Ok(())
            }
            90..93 => {
                let ttl = if key % 2 == 0 { ms(5_000) } else { None };
                while_patient(&mut patience, || tenant.touch(&name, ttl)).map(drop)
            }
            93 => while_patient(&mut patience, || tenant.invalidate(&name, ms(5_000))).map(drop),
            94 | 95 => {
                let value = sealed(who, key, version, usize::try_from(next() % long).unwrap());
                let reserve = || tenant.reserve(tenant.hashed(&name), value.len(), flags, None);
                match while_patient(&mut patience, reserve) {
                    Ok(mut new) => {
                        let (first, last) = value.split_at(value.len() / 2);
                        new.append(first);
                        new.append(last);
                        reservation = Some(new);
                        Ok(())
                    }
                    Err(error) => Err(error),
                }
            }
            96 => match reservation.take() {
                // What could not be written as a whole is dropped.
                Some(done) if done.missing() == 0 => done.commit(&Commit::new(Mode::Set)).map(drop),
                _ => Ok(()),
            },
            97 if key < 8 => {
                tenant.flush();
                Ok(())
            }
            98 if key < 30 => {
                tenant.for_each(|item| {
                    let key = u64::from_be_bytes(item.key().try_into().unwrap());
                    assert!(is_sound(&item, who, key), "{key}");
                });
                Ok(())
            }
            _ => {
                store.advance_ms(1);
                Ok(())
            }
        };
        match stored {
            Ok(()) | Err(StoreError::TooMuchReserved { .. }) => {}
            Err(StoreError::NoRoom { .. }) => drop(refused.fetch_add(1, Ordering::Relaxed)),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn no_increment_and_no_cas_is_lost() {
    const EACH: u64 = 3_000;
    let store = Checked::new(4 * MIB);
    set(&store, "incr", "0");
    set(&store, "cas", "0");
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    let incremented = until_there_is_room(|| store.incr(b"incr", 1));
                    assert!(matches!(incremented, Arith::Value(_)), "{incremented:?}");
                    while !add_one_by_cas(&store) {}
                }
            });
        }
    });
    assert_eq!(text(&store, "incr"), Some((THREADS * EACH).to_string()));
    assert_eq!(text(&store, "cas"), Some((THREADS * EACH).to_string()));
    assert_eq!(store.stats().evictions, 0);
}

/// The same while the items move all the time: what lives fits, and all segments are compacted again
/// and again.
#[test]
fn no_increment_and_no_cas_is_lost_to_relocation() {
    let store = Checked::new(MIB);
    let done = AtomicBool::new(false);
    set(&store, "incr", "0");
    set(&store, "cas", "0");
    let counted = thread::scope(|scope| {
        let count = || {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                let incremented = until_there_is_room(|| store.incr(b"incr", 1));
                assert!(matches!(incremented, Arith::Value(_)), "{incremented:?}");
                while !add_one_by_cas(&store) {}
                count += 1;
            }
            count
        };
        let workers = [scope.spawn(count), scope.spawn(count)];
        let mut next = numbers(4);
        for _ in 0..25_000 {
            // In no order, so that a part of every segment stays.
            let key = next() % 3_500;
            until_there_is_room(|| store.set(&key.to_be_bytes(), &[b'c'; 100], 0, None));
        }
        done.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join().unwrap()).sum::<u64>()
    });
    let stats = store.stats();
    // Others are evicted where somebody who reads does not run for long, and then few.
    assert!(stats.evictions < stats.relocated / 10 && stats.relocated > 1_000, "{stats:?}");
    assert_eq!(text(&store, "incr"), Some(counted.to_string()));
    assert_eq!(text(&store, "cas"), Some(counted.to_string()));
}

/// Does it again as long as others, who are not running just now, keep all free memory from being used.
fn until_there_is_room<T>(mut store: impl FnMut() -> Result<T, StoreError>) -> T {
    let end = Instant::now() + FOREVER;
    loop {
        match store() {
            Err(StoreError::NoRoom { .. }) if Instant::now() < end => thread::yield_now(),
            stored => return stored.unwrap(),
        }
    }
}

/// The same, for so many milliseconds in all.
fn while_patient<T>(
    patience: &mut u32,
    mut store: impl FnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    loop {
        match store() {
            Err(StoreError::NoRoom { .. }) if *patience > 0 => {
                *patience -= 1;
                thread::sleep(Duration::from_millis(1));
            }
            stored => return stored,
        }
    }
}

fn add_one_by_cas(tenant: &Tenant) -> bool {
    let read = tenant.get(b"cas", |item| {
        let text = String::from_utf8(item.value().to_vec()).unwrap();
        (text.parse::<u64>().unwrap(), item.cas())
    });
    let (number, cas) = read.expect("it is never evicted");
    let value = (number + 1).to_string();
    let outcome =
        until_there_is_room(|| tenant.store(Mode::Cas(cas), b"cas", value.as_bytes(), 0, None));
    assert!(outcome != Outcome::Stored { cas }, "a new version has a new number");
    matches!(outcome, Outcome::Stored { .. })
}

/// In a store that is never full, and whose index grows all the time.
#[test]
fn what_stays_is_found_at_all_times() {
    const STAY: u64 = 500;
    const MOST_LOST: u64 = 6_000;
    let store = Checked::new(64 * MIB);
    let done = AtomicBool::new(false);
    for key in 0..STAY {
        store.set(&key.to_be_bytes(), &sealed(0, key, 0, 50), flags(key), None).unwrap();
    }
    thread::scope(|scope| {
        for seed in 0..2 {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                let mut next = numbers(seed);
                while !done.load(Ordering::Relaxed) {
                    let key = next() % STAY;
                    let found = store.get(&key.to_be_bytes(), |item| is_sound(&item, 0, key));
                    assert_eq!(found, Some(true), "key {key}");
                }
            });
        }
        // Overwritten, what stays is found as well. So often that all that is dead has room at a time.
        scope.spawn(|| {
            let mut next = numbers(9);
            for _ in (0..200_000).take_while(|_| !done.load(Ordering::Relaxed)) {
                let key = next() % STAY;
                let value = sealed(0, key, next(), 50);
                store.set(&key.to_be_bytes(), &value, flags(key), None).unwrap();
            }
        });
        let mut lost = 0;
        for n in 0..60_000_u64 {
            let key = n.to_le_bytes().repeat(2);
            store.set(&key, &[], 0, None).unwrap();
            // The index cannot grow while somebody who reads does not run; a new item that finds no
            // room in it is evicted at once.
            while store.get(&key, |_| ()).is_none() && lost < MOST_LOST {
                lost += 1;
                thread::sleep(Duration::from_millis(1));
                store.set(&key, &[], 0, None).unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(store.stats().evictions < MOST_LOST, "{:?}", store.stats());
    assert_eq!(store.len() as u64, 60_000 + STAY);
}

/// What a thread stores after its own flush returned is there, whatever others flush before that.
#[test]
fn a_flush_spares_what_is_stored_after_it() {
    let store = Checked::new(4 * MIB);
    for round in 0..200 {
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| store.flush());
            }
            scope.spawn(|| set(&store, "before", "v"));
        });
        store.flush();
        set(&store, "after", "v");
        assert_eq!(text(&store, "before"), None, "round {round}");
        assert!(text(&store, "after").is_some(), "round {round}");
        assert_eq!(store.len(), 1);
        store.store.validate().unwrap();
    }
}

/// Items of writers who do not flush live until the next flush begins.
#[test]
fn a_flush_takes_all_that_was_stored_before_it_by_any_thread() {
    let store = Checked::with(&Config::new(32 * MIB));
    for round in 0..20_u64 {
        thread::scope(|scope| {
            for seed in 0..THREADS {
                let store = &store;
                scope.spawn(move || {
                    for n in 0..300 {
                        store.set(&(seed << 32 | n).to_be_bytes(), &[b'v'; 200], 0, None).unwrap();
                    }
                });
            }
        });
        store.flush();
        assert_eq!(store.len(), 0);
        store.for_each(|_| panic!("round {round}"));
        if round % 3 == 0 {
            store.maintain();
        }
    }
}

#[test]
fn of_many_who_ask_one_wins() {
    let store = Checked::new(MIB);
    for _ in 0..300 {
        set(&store, "k", "v");
        assert_eq!(store.invalidate(b"k", None), Ok(true));
        let wins = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    store.touch(b"k", ms(60_000)).unwrap();
                    let won = store.get(b"k", |item| item.win()).unwrap();
                    wins.fetch_add(u64::from(won), Ordering::Relaxed);
                });
            }
        });
        assert_eq!(wins.into_inner(), 1);
    }
}

#[test]
fn cas_numbers_handed_out_by_many_threads_differ() {
    let store = Checked::new(4 * MIB);
    let mut all: Vec<u64> = Vec::new();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|seed| {
                let store = &store;
                scope.spawn(move || {
                    let mut next = numbers(seed);
                    let one = |_| {
                        let key = (next() % 50).to_be_bytes();
                        cas_of(store.store(Mode::Set, &key, &[b'v'; 40], 0, None).unwrap())
                    };
                    (0..2_000).map(one).collect::<Vec<u64>>()
                })
            })
            .collect();
        all.extend(threads.into_iter().flat_map(|thread| thread.join().unwrap()));
    });
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

/// Tenants come and go while others work.
#[test]
fn tenants_may_be_added_and_removed_by_any_thread() {
    let store = Checked::new(4 * MIB);
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                for round in 0..25 {
                    let tenant = store.store.add_tenant(Limits::NONE);
                    for key in 0..150 {
                        let value = sealed(seed, key, round, 100);
                        // What is removed keeps its memory as long as somebody who works does not run.
                        until_there_is_room(|| {
                            tenant.set(&key.to_be_bytes(), &value, flags(key), None)
                        });
                        check(&tenant, seed, key);
                        let (name, value) = (format!("k{key}"), seed.to_string());
                        until_there_is_room(|| {
                            store.set(name.as_bytes(), value.as_bytes(), 0, None)
                        });
                    }
                    store.store.remove_tenant(&tenant);
                    assert!(tenant.is_empty());
                }
            });
        }
    });
    store.maintain();
}
