//! Why keys were missed, and what was evicted unread.

mod common;

use common::{Random, START, Story, event};
use larder_insight::Command::{Arith, Delete, Get, Set, Touch};
use larder_insight::{Event, Limits, Observer};
use larder_tenancy::Missed;

fn missed(story: &Story) -> [u64; 5] {
    let Missed { never_set, expired, evicted, deleted, flushed } = story.insight().missed;
    [never_set, expired, evicted, deleted, flushed]
}

const NEVER_SET: [u64; 5] = [1, 0, 0, 0, 0];
const EXPIRED: [u64; 5] = [0, 1, 0, 0, 0];
const EVICTED: [u64; 5] = [0, 0, 1, 0, 0];
const DELETED: [u64; 5] = [0, 0, 0, 1, 0];
const FLUSHED: [u64; 5] = [0, 0, 0, 0, 1];

/// What the one miss of `k` at the end of a story is put down to.
#[track_caller]
fn check(tell: impl FnOnce(&mut Story) -> &mut Story, wanted: [u64; 5]) {
    let mut story = Story::new();
    tell(&mut story).miss("k");
    assert_eq!(missed(&story), wanted);
    assert_eq!(story.prefix("k").missed, story.insight().missed);
}

#[test]
fn each_reason_by_itself() {
    check(|story| story, NEVER_SET);
    check(|story| story.set_for("k", 10).later(11), EXPIRED);
    check(|story| story.set_for("k", 10).later(8), EVICTED);
    check(|story| story.set("k").hit("k").later(8), EVICTED);
    check(|story| story.set("k").delete("k", true), DELETED);
    check(|story| story.set("k").flush(), FLUSHED);
    check(|story| story.hit("k").delete("k", true), DELETED);
    check(|story| story.delete("k", true), DELETED);
    check(|story| story.delete("k", false), NEVER_SET);
    check(|story| story.tell(Set, false, "k", None), NEVER_SET);
    check(|story| story.set("other").flush(), NEVER_SET);
}

#[test]
fn what_came_first_is_the_reason() {
    check(|story| story.set_for("k", 10).later(5).flush().later(20), FLUSHED);
    check(|story| story.set_for("k", 10).later(15).flush().later(20), EXPIRED);
    check(|story| story.set("k").delete("k", true).flush(), DELETED);
    check(|story| story.set("k").flush().delete("k", false), FLUSHED);
    check(|story| story.set_for("k", 1).later(2).delete("k", false), EXPIRED);
    check(|story| story.set("k").flush().set("k").delete("k", true), DELETED);
    check(|story| story.set("k").later(2).looked("k", false).looked("k", false).flush(), EVICTED);
}

#[test]
fn expiry_follows_what_was_said_last() {
    let at = |seconds: u64| Some(START / 1000 + seconds);
    check(|story| story.set_for("k", 10).tell(Touch, true, "k", at(100)).later(50), EVICTED);
    check(|story| story.set_for("k", 10).tell(Touch, true, "k", at(100)).later(120), EXPIRED);
    check(|story| story.set_for("k", 10).tell(Touch, true, "k", None).later(50), EVICTED);
    check(|story| story.set_for("k", 100).hit("k").later(120), EXPIRED);
    check(|story| story.set_for("k", 10).tell(Arith, true, "k", None).later(20), EXPIRED);
    check(|story| story.tell(Get, true, "k", at(10)).later(20), EXPIRED);
    // A hit after its time: the time was not what we thought.
    check(|story| story.set_for("k", 10).later(20).hit("k").later(20), EVICTED);
    check(|story| story.tell(Set, true, "k", Some(u64::MAX)).later(9), EVICTED);
    check(|story| story.tell(Set, true, "k", Some(0)), EXPIRED);
}

/// Times to live are told in whole seconds, but events come at any millisecond.
#[test]
fn the_second_of_expiry_is_no_eviction() {
    for after_ms in (9001..=10_999).step_by(37) {
        let mut story = Story::new();
        story.set_for("k", 10);
        story.now = START + after_ms;
        // Found to the last, then expired, and stored again at once.
        story.tell(Get, true, "k", Some(START / 1000 + 10)).miss("k").set("k").hit("k");
        assert_eq!(missed(&story), EXPIRED, "{after_ms}");
        story.delete("k", true).miss("k");
        assert_eq!(missed(&story), [0, 1, 0, 1, 0], "{after_ms}");
    }
}

#[test]
fn a_deleted_key_stays_deleted_until_it_is_stored() {
    let mut story = Story::new();
    story.set("k").delete("k", true);
    for _ in 0..10 {
        story.later(30).miss("k");
    }
    assert_eq!(missed(&story), [0, 0, 0, 10, 0]);
    story.set("k").later(5).miss("k");
    assert_eq!(missed(&story), [0, 0, 1, 10, 0]);
}

#[test]
fn many_clients_that_miss_and_store_at_once_are_no_eviction() {
    let mut observer = Observer::new(Limits::USUAL);
    let mut tell = |command, found, after| {
        observer.observe(&Event { command, found, unix_ms: START + after, ..event(b"k") });
    };
    // Two event loops, whose news come one after the other.
    tell(Get, false, 0);
    tell(Set, true, 2);
    tell(Get, false, 1);
    tell(Get, false, 2);
    tell(Set, true, 2);
    // A delete that happened before the store it comes after.
    tell(Delete, true, 1);
    tell(Get, true, 3);
    let missed = observer.insight().missed;
    assert_eq!((missed.never_set, missed.evicted, missed.deleted), (3, 0, 0));
}

#[test]
fn a_clock_set_back_is_lived_with() {
    let mut story = Story::new();
    story.set("k");
    story.now -= 3_600_000;
    story.delete("k", true).miss("k").set("k").later(2).miss("k");
    assert_eq!(missed(&story), [0, 0, 1, 1, 0]);
}

#[test]
fn evictions_are_found_by_looking_and_counted_once() {
    let mut story = Story::new();
    story
        .set("task:1")
        .set("task:2")
        .hit("task:2")
        .set_for("task:3", 10)
        .set("task:4")
        .delete("task:4", true);
    assert!(story.doubtful(10).is_empty(), "seen just now");
    story.later(5);
    let mut doubtful = story.doubtful(10);
    doubtful.sort();
    assert_eq!(doubtful, ["task:1", "task:2", "task:3"]);
    for _ in 0..3 {
        assert_eq!(story.prefix("task:*").evicted_unread, 0);
        story.later(1).looked("task:1", true).looked("task:1", false);
    }
    for _ in 0..5 {
        story
            .later(1)
            .looked("task:1", false)
            .looked("task:2", false)
            .looked("task:4", false)
            .looked("nobody", false);
    }
    assert_eq!(story.prefix("task:*").evicted_unread, 1);
    story.later(10).looked("task:3", false).looked("task:3", false);
    assert_eq!(story.prefix("task:*").evicted_unread, 1, "expired");
    assert!(story.doubtful(10).is_empty());
    story.miss("task:1").miss("task:2").miss("task:3").miss("task:4");
    assert_eq!(missed(&story), [0, 1, 2, 1, 0]);
    assert_eq!(story.prefix("task:*").evicted_unread, 1);
}

#[test]
fn evictions_found_by_a_miss_count_too() {
    let mut story = Story::new();
    story.set("a:1").later(1).miss("a:1").miss("a:1");
    story.set("a:2").hit("a:2").later(1).miss("a:2");
    story.set("a:3").later(1).tell(Arith, false, "a:3", None);
    story.set("a:4").later(1).delete("a:4", false);
    let prefix = story.prefix("a:*");
    assert_eq!((prefix.evicted_unread, prefix.missed.evicted, prefix.missed.never_set), (3, 3, 0));
}

#[test]
fn a_delete_that_is_still_on_its_way_is_no_eviction() {
    let mut story = Story::new();
    story.set("k").later(5).looked("k", false);
    story.delete("k", true).later(1).looked("k", false).miss("k");
    assert_eq!(missed(&story), DELETED);
    assert_eq!(story.prefix("k").evicted_unread, 0);
    // Nor one stored again in the meantime.
    story.set("j").later(5).looked("j", false).set("j").later(5).looked("j", false);
    assert_eq!(story.prefix("j").evicted_unread, 0);
}

#[test]
fn looking_goes_round() {
    let mut story = Story::new();
    for at in 0..100 {
        story.set(&format!("k:{at}"));
    }
    story.later(5);
    let mut met: Vec<_> = (0..10).flat_map(|_| story.doubtful(10)).collect();
    met.sort();
    met.dedup();
    assert_eq!(met.len(), 100);
    assert!(story.flush().doubtful(10).is_empty());
}

/// Stores, reads, deletes and lets expire at random; a model knows the truth.
fn shares(seed: u64, keys: u64, weights: impl Fn(u64) -> u32) -> ([f64; 5], [f64; 5], usize) {
    let mut random = Random(seed);
    let mut story = Story::with(Limits::SMALL);
    let mut truth = [0_u64; 5];
    // Why each key is not there; 5: it is there, until then.
    let mut state = vec![(0_usize, u64::MAX); usize::try_from(keys).unwrap()];
    for step in 0..100_000_u64 {
        let at = random.below(keys);
        let (why, until) = &mut state[usize::try_from(at).unwrap()];
        let key = format!("key:{seed}:{at:016x}");
        let seconds = story.now / 1000;
        if *why == 5 && seconds >= *until {
            *why = 1;
        }
        let (command, found, expires) = match random.below(10) {
            0 => (Delete, *why == 5, None),
            1 if *why == 5 => {
                *why = 2;
                continue;
            }
            _ if *why == 5 => (Get, true, None),
            2..=5 => (Set, true, Some(seconds + 2 + random.below(2000))),
            _ => (Get, false, None),
        };
        match (command, found) {
            (Get, false) => truth[*why] += 1,
            (Delete, true) => *why = 3,
            (Set, _) => (*why, *until) = (5, expires.unwrap()),
            _ => {}
        }
        // All expiry is seen a second late or more, as the model has it to the second.
        let weight = weights(step);
        let event = event(key.as_bytes());
        if event.hash.is_multiple_of(weight.into()) {
            story.observer.observe(&Event {
                unix_ms: story.now,
                command,
                found,
                expires,
                request_weight: 0,
                key_weight: weight,
                ..event
            });
        }
        story.now += 20;
    }
    let share =
        |counts: [u64; 5]| counts.map(|count| count as f64 / counts.iter().sum::<u64>() as f64);
    (share(truth), share(missed(&story)), story.observer.bytes())
}

#[test]
fn estimates_of_the_reasons_are_unbiased() {
    let same: fn(u64) -> u32 = |_| 1;
    let sampled = |_| 16;
    let changing = |step: u64| 1 << (step / 10_000 % 4);
    // Few keys, which fit; and many, of which memory for a small part.
    for (name, keys, weights) in [
        ("few", 100, same),
        ("many", 5_000, same),
        ("sampled", 5_000, sampled),
        ("changing", 5_000, changing),
    ] {
        let (mut truth, mut found) = ([0.0; 5], [0.0; 5]);
        for seed in 1..=8 {
            let (true_shares, found_shares, bytes) = shares(seed, keys, weights);
            assert!(bytes <= Limits::SMALL.bytes);
            for reason in 0..5 {
                truth[reason] += true_shares[reason] / 8.0;
                found[reason] += found_shares[reason] / 8.0;
            }
        }
        for (truth, found) in truth.into_iter().zip(found) {
            assert!((truth - found).abs() < 0.06, "{name}: {found} for {truth}");
        }
    }
}

#[test]
fn keys_newly_in_the_sample_count_only_when_they_are_known() {
    let mut story = Story::new();
    // All keys were stored before they were traced.
    let keys: Vec<_> = (0..4000).map(|at| format!("key:{at:x}")).collect();
    let all = |story: &mut Story, command, found, weight: u32| {
        for key in &keys {
            let event = event(key.as_bytes());
            if event.hash.is_multiple_of(weight.into()) {
                let unix_ms = story.now;
                story.observer.observe(&Event {
                    unix_ms,
                    command,
                    found,
                    key_weight: weight,
                    request_weight: 0,
                    ..event
                });
            }
        }
    };
    all(&mut story, Set, true, 64);
    // The caller samples more keys from here on.
    for _ in 0..30 {
        story.later(100);
        all(&mut story, Get, true, 8);
    }
    story.later(1);
    all(&mut story, Get, false, 8);
    let [never_set, _, evicted, ..] = missed(&story);
    assert_eq!(never_set, 0);
    assert!((3000..5000).contains(&evicted), "{evicted}");
}
