//! Figures and what they mean for a rule.

use larder_tenancy::PrefixUse;

use super::Verdict::{Bad, Good, Near};
use super::*;

const NOW: u64 = 10_000;

/// The verdict, since how many seconds, and the text.
fn reading(kind: AlertKind, counted: Figures) -> Option<(Verdict, u64, String)> {
    let facts = Facts { now: NOW, figures: counted, counted: Some((counted, 60)) };
    let Reading { seen, found } = read(kind, &facts, || panic!("insight is not needed"))?;
    Some((seen.verdict, NOW - seen.from, found))
}

fn verdict(kind: AlertKind, counted: Figures) -> Option<Verdict> {
    reading(kind, counted).map(|(verdict, ..)| verdict)
}

#[test]
fn hit_rates() {
    let gets = |get_hits, get_misses| Figures { get_hits, get_misses, ..Figures::default() };
    for (threshold, hits, misses, expected) in [
        (80, 0, 0, None),
        (80, 0, 9, None),
        (80, 0, 10, Some(Bad)),
        (80, 799, 201, Some(Bad)),
        (80, 800, 200, Some(Near)),
        (80, 819, 181, Some(Near)),
        (80, 820, 180, Some(Good)),
        (100, 999, 1, Some(Bad)),
        (100, 1000, 0, Some(Good)),
        (99, 995, 5, Some(Near)),
        (99, 1000, 0, Some(Good)),
        (1, 0, 1000, Some(Bad)),
    ] {
        let found = verdict(AlertKind::HitRateBelow(threshold), gets(hits, misses));
        assert_eq!(found, expected, "{threshold} %: {hits} of {}", hits + misses);
    }
    let (_, since, text) =
        reading(AlertKind::HitRateBelow(80), gets(7_999_999, 2_000_001)).unwrap();
    assert_eq!((since, text.as_str()), (60, "the hit rate is 79.9 %"));
}

#[test]
fn memory() {
    let full = |bytes, limit_bytes| Figures { bytes, limit_bytes, ..Figures::default() };
    for (threshold, bytes, limit, expected) in [
        (90, 0, 0, None),
        (90, 5, u64::MAX, None),
        (90, 901, 1000, Some(Bad)),
        (90, 900, 1000, Some(Near)),
        (90, 881, 1000, Some(Near)),
        (90, 880, 1000, Some(Good)),
        (90, 1010, 1000, Some(Bad)),
        (1, 0, 1000, Some(Good)),
        (1, 5, 1000, Some(Near)),
    ] {
        let found = verdict(AlertKind::MemoryAbove(threshold), full(bytes, limit));
        assert_eq!(found, expected, "{threshold} %: {bytes} of {limit}");
    }
    let (_, since, text) = reading(AlertKind::MemoryAbove(90), full(955, 1000)).unwrap();
    assert_eq!((since, text.as_str()), (0, "its items take 95.5 % of its memory"));
}

#[test]
fn evictions() {
    let evicted = |evictions| Figures { evictions, ..Figures::default() };
    for (threshold, count, expected) in [
        (100, 101, Bad),
        (100, 100, Near),
        (100, 91, Near),
        (100, 90, Good),
        (1, 2, Bad),
        (1, 1, Good),
        (AlertKind::MOST_EVICTIONS, u64::MAX, Bad),
    ] {
        let found = verdict(AlertKind::EvictionsAbove(threshold), evicted(count));
        assert_eq!(found, Some(expected), "{threshold}: {count}");
    }
    let slow = Facts { now: NOW, figures: Figures::default(), counted: Some((evicted(300), 120)) };
    let reading = read(AlertKind::EvictionsAbove(100), &slow, Insight::default).unwrap();
    assert_eq!(reading.found, "150 items a minute are evicted");
    assert_eq!(reading.seen, Seen { verdict: Bad, from: NOW - 120 });
}

#[test]
fn without_a_look_before_counts_tell_nothing() {
    let figures = Figures { get_misses: 1000, evictions: 1000, ..Figures::default() };
    let facts = Facts { now: NOW, figures, counted: None };
    for kind in [AlertKind::HitRateBelow(80), AlertKind::EvictionsAbove(1)] {
        assert_eq!(read(kind, &facts, Insight::default), None);
    }
}

#[test]
fn keys_that_never_hit_are_named() {
    let facts = Facts { now: NOW, figures: Figures::default(), counted: None };
    let found = |prefixes: &[(&str, bool)]| {
        let prefix = |(pattern, never_hits): &(&str, bool)| PrefixUse {
            pattern: (*pattern).into(),
            never_hits: *never_hits,
            ..PrefixUse::default()
        };
        let prefixes = prefixes.iter().map(prefix).collect();
        let insight = || Insight { prefixes, ..Insight::default() };
        let reading = read(AlertKind::NeverHits, &facts, insight)?;
        Some((reading.seen.verdict, reading.found))
    };
    assert_eq!(found(&[]), None);
    assert_eq!(found(&[("a:*", false)]).unwrap().0, Good);
    let (verdict, text) = found(&[("a:*", true), ("b:*", false), ("c:*", true)]).unwrap();
    assert_eq!(verdict, Bad);
    assert_eq!(text, "keys are stored again and again and never hit: a:*, c:*");
    let long = "x\n".repeat(500);
    let many: Vec<_> = (0..9).map(|_| (long.as_str(), true)).collect();
    let (_, text) = found(&many).unwrap();
    assert!(text.ends_with("xxx and 4 more") && !text.contains('\n'), "{text}");
    assert!(text.len() < 600, "{}", text.len());
}
