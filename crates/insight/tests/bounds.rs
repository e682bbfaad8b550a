//! Memory stays within its limits, and nothing panics, whatever clients do.

mod common;

use common::{Random, START, event};
use larder_insight::Command::{Arith, Delete, Flush, Get, Set, Touch};
use larder_insight::{Command, Event, Limits, Observer};
use proptest::prelude::*;

const ALL: [Command; 6] = [Get, Set, Delete, Arith, Touch, Flush];

/// What makes keys as nasty as can be.
fn nasty(kind: usize, at: u64, random: &mut Random) -> Vec<u8> {
    match kind {
        0 => format!("{at:0250}").into_bytes(),
        1 => format!("{:x<250}", random.text(b"abcdefghijklmnop", 9)).into_bytes(),
        2 => (0..8)
            .map(|_| random.text(b"abcdefghijklmnop", 8))
            .collect::<Vec<_>>()
            .join(":")
            .into_bytes(),
        3 => (0..random.below(251)).map(|_| random.next().to_le_bytes()[0]).collect(),
        4 => random.text(b"ab:.-_@/%=0\x01", 240).into_bytes(),
        5 => at.to_le_bytes().to_vec(),
        _ => format!("k{at}").into_bytes(),
    }
}

#[test]
fn memory_is_bounded_and_truly_told() {
    for limits in [Limits { bytes: 0 }, Limits::SMALL, Limits::USUAL, Limits::LARGE] {
        for kind in 0..=6 {
            let mut observer = None;
            let mut told = 0;
            let counted = allocation_counter::measure(|| {
                let mut seen = Observer::new(limits);
                let mut random = Random(kind as u64 + 1);
                for at in 0..10_000 {
                    let key = nasty(kind, at, &mut random);
                    let command = ALL[usize::from(at % 100 == 0) + usize::from(at % 2 == 1)];
                    let (hash, bytes) = (random.next(), u32::MAX);
                    seen.observe(&Event {
                        unix_ms: START + at,
                        command,
                        hash,
                        bytes,
                        ..event(&key)
                    });
                    told = seen.bytes();
                    assert!(told <= limits.bytes.max(16 << 10), "{limits:?} {kind}: {told}");
                }
                observer = Some(Box::new(seen));
            });
            let real = counted.bytes_current as f64;
            let error = (told as f64 - real) / real;
            assert!(error.abs() < 0.2, "{limits:?} {kind}: {told} told, {real} taken");
        }
    }
}

#[test]
fn few_keys_take_little() {
    let mut observer = Observer::new(Limits::LARGE);
    for at in 0..1000_u64 {
        let key = format!("task:{}", at % 5);
        observer.observe(&Event { unix_ms: START + at, ..event(key.as_bytes()) });
    }
    assert!(observer.bytes() < 12 << 10, "{}", observer.bytes());
}

#[test]
fn hashes_that_are_none_do_no_harm() {
    for hash in [0, u64::MAX, 1 << 63, 0xffff_0000_0000_0000] {
        let mut observer = Observer::new(Limits::SMALL);
        for at in 0..200_000_u64 {
            let key = format!("{}:{at}", "same".repeat(30));
            let command = ALL[usize::try_from(at % 4).unwrap()];
            observer.observe(&Event {
                unix_ms: START + at,
                command,
                hash,
                ..event(key.as_bytes())
            });
        }
        assert!(observer.bytes() <= Limits::SMALL.bytes);
    }
}

#[test]
fn counts_stop_at_the_largest_number() {
    let mut observer = Observer::new(Limits::SMALL);
    let weights = Event {
        request_weight: u32::MAX,
        key_weight: u32::MAX,
        hash: 0,
        bytes: u32::MAX,
        ..event(b"k")
    };
    for at in 0..100_000_u64 {
        let (command, found) = (ALL[usize::try_from(at % 3).unwrap()], at % 3 == 1);
        observer.observe(&Event { unix_ms: START + at, command, found, ..weights });
    }
    let prefix = &observer.insight().prefixes[0];
    assert_eq!(prefix.bytes_set, u64::MAX);
    assert!(prefix.misses > 1 << 46 && prefix.missed.evicted > 0);
}

fn any_event() -> impl Strategy<Value = (u64, usize, bool, Vec<u8>, u64, Option<u64>, u32, u32)> {
    let time = prop_oneof![8 => START..START + 10_000_000, 1 => any::<u64>(), 1 => Just(u64::MAX)];
    let key = prop_oneof![
        4 => "[a-c]{1,2}:[0-9]{1,2}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..300),
    ];
    let weight = prop_oneof![4 => (0..8_u32).prop_map(|bits| 1 << bits), 1 => any::<u32>()];
    let expires =
        proptest::option::of(prop_oneof![START / 1000..START / 1000 + 10_000, any::<u64>()]);
    (time, 0..ALL.len(), any::<bool>(), key, any::<u64>(), expires, weight.clone(), weight)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn anything_may_come_in_any_order(events in proptest::collection::vec(any_event(), 1..400)) {
        let mut observer = Observer::new(Limits { bytes: 0 });
        for (unix_ms, command, found, key, hash, expires, request_weight, key_weight) in &events {
            let event = Event {
                unix_ms: *unix_ms, command: ALL[*command], found: *found, key, hash: *hash,
                bytes: *request_weight, expires: *expires, request_weight: *request_weight, key_weight: *key_weight,
            };
            observer.observe(&event);
            let doubtful: Vec<_> = observer.doubtful(*hash, 3).map(<[u8]>::to_vec).collect();
            for key in doubtful {
                observer.looked(&key, *found, *unix_ms);
            }
            prop_assert!(observer.bytes() <= 16 << 10);
        }
        let insight = observer.insight();
        prop_assert!(insight.keys.len() <= 100 && insight.prefixes.len() <= 100 && insight.recent.len() <= 100);
        prop_assert!(insight.share > 0.0 && insight.share <= 1.0);
        prop_assert!(insight.keys.iter().all(|key| key.key.len() <= 250));
        prop_assert!(insight.prefixes.iter().all(|prefix| prefix.pattern.len() <= 120));
    }
}
