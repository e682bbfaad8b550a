//! The busiest keys.

mod common;

use std::collections::HashMap;

use common::{Random, START, Story, event};
use larder_insight::Command::{Arith, Delete, Get, Set, Touch};
use larder_insight::{Event, Limits, Observer};

#[test]
fn a_newcomer_sees_exact_figures() {
    let mut story = Story::new();
    for key in 1..=5 {
        let name = format!("task:{key}");
        story.miss(&name).set(&name);
        for _ in 0..key {
            story.hit(&name).later(1);
        }
    }
    story
        .delete("task:5", true)
        .tell(Touch, true, "task:4", None)
        .tell(Arith, true, "task:4", None);
    let insight = story.insight();
    assert_eq!((insight.since, insight.share), (START / 1000, 1.0));
    let keys: Vec<_> =
        insight.keys.iter().map(|key| std::str::from_utf8(&key.key).unwrap()).collect();
    assert_eq!(keys, ["task:5", "task:4", "task:3", "task:2", "task:1"]);
    for (key, hits) in insight.keys.iter().zip([5, 4, 3, 2, 1]) {
        assert_eq!((key.hits, key.misses, key.sets, key.bytes), (hits, 1, 1, 10));
    }
    assert_eq!((insight.keys[0].deletes, insight.keys[0].per_minute), (1, 8));
    assert_eq!(insight.recent.len(), 28);
    assert_eq!((insight.recent[0].command, &*insight.recent[0].key), (Arith, &b"task:4"[..]));
}

#[test]
fn nothing_seen_is_nothing_told() {
    let insight = Observer::new(Limits::SMALL).insight();
    assert_eq!((insight.since, insight.share), (0, 1.0));
    assert!(insight.keys.is_empty() && insight.prefixes.is_empty() && insight.recent.is_empty());
}

#[test]
fn events_of_the_sample_by_key_alone_are_no_requests() {
    let mut observer = Observer::new(Limits::SMALL);
    observer.observe(&Event { request_weight: 0, found: false, ..event(b"k:1") });
    let insight = observer.insight();
    assert!(insight.keys.is_empty() && insight.recent.is_empty());
    assert_eq!((insight.prefixes[0].misses, insight.prefixes[0].missed.never_set), (0, 1));
    observer.observe(&Event { key_weight: 0, found: false, ..event(b"k:1") });
    let insight = observer.insight();
    assert_eq!(
        (insight.prefixes[0].misses, insight.missed.never_set, insight.keys[0].misses),
        (1, 1, 1)
    );
}

#[test]
fn busy_means_of_late() {
    let mut story = Story::new();
    for _ in 0..1000 {
        story.hit("yesterday");
    }
    story.later(3600);
    for _ in 0..10 {
        story.hit("today").later(1);
    }
    let keys = story.insight().keys;
    assert_eq!((&*keys[0].key, keys[0].hits), (&b"today"[..], 10));
    assert_eq!((&*keys[1].key, keys[1].hits, keys[1].per_minute), (&b"yesterday"[..], 1000, 0));
}

#[test]
fn a_flush_is_a_command_of_no_key() {
    let mut story = Story::new();
    story.set("k").tell(larder_insight::Command::Flush, true, "", None).later(1).miss("k");
    let insight = story.insight();
    assert_eq!((insight.keys.len(), insight.prefixes.len(), insight.missed.flushed), (1, 1, 1));
    assert!(insight.recent[1].key.is_empty());
}

/// Ranks with the probability that Zipf's law of exponent `s` gives them.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(keys: u32, s: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=keys).map(|rank| {
            sum += f64::from(rank).powf(-s);
            sum
        });
        Self(sums.collect())
    }

    fn rank(&self, random: &mut Random) -> usize {
        let at = random.share() * self.0.last().unwrap();
        self.0.partition_point(|sum| *sum < at)
    }
}

/// Of the truly 20 busiest keys, how many are found. Their counts must be right within four standard errors of a
/// sampled count and, downwards, what a full table of `most_keys` may have missed of them.
fn recall(
    limits: Limits,
    most_keys: u64,
    s: f64,
    weight: impl Fn(u64) -> u32,
    requests: u64,
) -> usize {
    let zipf = Zipf::new(100_000, s);
    let mut random = Random(99);
    let mut observer = Observer::new(limits);
    let mut truth: HashMap<usize, u64> = HashMap::new();
    let name = |rank: usize| format!("key:{rank:x}:{rank}");
    for step in 0..requests {
        let rank = zipf.rank(&mut random);
        *truth.entry(rank).or_default() += 1;
        let weight = weight(step);
        if random.below(weight.into()) == 0 {
            let unix_ms = START + step / 100;
            let event = Event { unix_ms, request_weight: weight, key_weight: 0, ..event(b"") };
            observer.observe(&Event { key: name(rank).as_bytes(), ..event });
        }
    }
    assert!(observer.bytes() <= limits.bytes);
    let found: HashMap<_, _> =
        observer.insight().keys.into_iter().take(20).map(|key| (key.key, key.hits)).collect();
    let mut ranks: Vec<_> = truth.into_iter().collect();
    ranks.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut recalled = 0;
    for (rank, count) in ranks.into_iter().take(20) {
        let Some(hits) = found.get(name(rank).as_bytes()) else { continue };
        recalled += 1;
        let (hits, count) = (*hits as f64, count as f64);
        let sampled = 4.0 * (count * f64::from(weight(0))).sqrt();
        let missed = requests as f64 / (0.75 * most_keys as f64);
        assert!(hits < count + sampled, "{limits:?} {s} rank {rank}: {hits} for {count}");
        assert!(hits > count - sampled - missed, "{limits:?} {s} rank {rank}: {hits} for {count}");
    }
    recalled
}

#[test]
fn the_busiest_of_a_zipf_stream_are_found_from_one_of_64_requests() {
    for (limits, most_keys, s) in [
        (Limits::SMALL, 96, 1.3),
        (Limits::USUAL, 384, 0.9),
        (Limits::USUAL, 384, 1.0),
        (Limits::LARGE, 768, 1.2),
    ] {
        let recalled = recall(limits, most_keys, s, |_| 64, 6_400_000);
        assert!(recalled >= 18, "{limits:?} {s}: {recalled} of 20");
    }
}

#[test]
fn estimates_stay_right_when_the_sampling_changes() {
    let weight = |step: u64| 1_u32 << (6 - step * 7 / 2_000_000);
    let recalled = recall(Limits::USUAL, 384, 1.0, weight, 2_000_000);
    assert!(recalled >= 18, "{recalled} of 20");
}

/// The guarantee of the algorithm: however many other keys there are, who has its share is there.
#[test]
fn a_key_with_its_share_is_always_there() {
    for limits in [Limits::SMALL, Limits::USUAL] {
        let mut observer = Observer::new(limits);
        let share = if limits == Limits::SMALL { 50 } else { 250 };
        for step in 0..300_000_u64 {
            let key =
                if step % share == 0 { "regular".to_owned() } else { format!("noise {step:020}") };
            let command = [Get, Set, Delete][usize::try_from(step % 3).unwrap()];
            observer.observe(&Event { unix_ms: START + step, command, ..event(key.as_bytes()) });
            if step > 10 * share && step % 997 == 0 {
                let keys = observer.insight().keys;
                assert_eq!(&*keys[0].key, b"regular", "{limits:?} at {step}");
            }
        }
    }
}
