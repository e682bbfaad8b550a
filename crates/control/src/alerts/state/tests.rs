//! Tables of looks and what is told of them, and a slower model of the same.

use proptest::prelude::*;

use super::Verdict::{Bad, Good, Near};
use super::*;

const WAIT: u64 = 180;

/// Plays looks, a minute apart, each seen since the one before; at which minute what was told.
fn told(looks: &[Option<Verdict>]) -> Vec<(u64, Turn)> {
    let mut state = State::default();
    let turn = |(minute, look): (u64, &Option<Verdict>)| {
        let (now, from) = (minute * 60, (minute - 1) * 60);
        let lost = if look.is_some() { 0 } else { 60 };
        let seen = look.map(|verdict| Seen { verdict, from });
        Some((minute, state.turn(now, lost, WAIT, seen)?))
    };
    (1..).zip(looks).filter_map(turn).collect()
}

fn raised(since: u64) -> Turn {
    Turn::Raised { since: since * 60 }
}

fn cleared(since: u64) -> Turn {
    Turn::Cleared { since: since * 60 }
}

#[test]
fn what_is_told_of_a_row_of_looks() {
    let [b, n, g, x] = [Some(Bad), Some(Near), Some(Good), None];
    for (name, looks, expected) in [
        ("well", vec![g, g, n, g], vec![]),
        ("too short", vec![b, b, g, b, b], vec![]),
        ("long enough", vec![g, b, b, b, b, b, b], vec![(4, raised(1))]),
        ("and over", vec![b, b, b, g, g, g, g], vec![(3, raised(0)), (6, cleared(0))]),
        ("over for too short", vec![b, b, b, g, g, b, g, g], vec![(3, raised(0))]),
        ("about the threshold: never", vec![b, n, b, n, b, n, b, n], vec![]),
        ("about the threshold: once", vec![b, b, b, n, b, n, b, n], vec![(3, raised(0))]),
        ("near is not well", vec![b, b, b, n, n, n, n, n], vec![(3, raised(0))]),
        ("near ends well", vec![b, b, b, g, n, g, g, g], vec![(3, raised(0)), (8, cleared(0))]),
        ("nothing known", vec![x, x, x, x], vec![]),
        ("nothing known is no time", vec![b, x, x, x, x, b, b], vec![(7, raised(4))]),
        ("nothing known while told", vec![b, b, b, x, x, x, x], vec![(3, raised(0))]),
        ("nor while it gets well", vec![b, b, b, g, x, x, x, g], vec![(3, raised(0))]),
        (
            "again",
            vec![b, b, b, g, g, g, b, b, b],
            vec![(3, raised(0)), (6, cleared(0)), (9, raised(6))],
        ),
    ] {
        assert_eq!(told(&looks), expected, "{name}");
    }
}

#[test]
fn a_level_is_wrong_for_its_time_only_when_seen_twice() {
    let mut state = State::default();
    let bad = |now| Some(Seen { verdict: Bad, from: now });
    assert_eq!(state.turn(1000, 0, 60, bad(1000)), None);
    assert_eq!(state.turn(1059, 0, 60, bad(1059)), None);
    assert_eq!(state.turn(1060, 0, 60, bad(1060)), Some(Turn::Raised { since: 1000 }));
}

#[test]
fn a_clock_put_back_neither_tells_nor_waits_for_ever() {
    let mut state = State::default();
    let seen = |verdict, now| Some(Seen { verdict, from: now });
    assert_eq!(state.turn(100_000, 0, WAIT, seen(Bad, 100_000)), None);
    assert_eq!(state.turn(1000, 0, WAIT, seen(Bad, 1000)), None);
    assert_eq!(state, State::Pending { since: 1000 });
    assert_eq!(state.turn(1180, 0, WAIT, seen(Bad, 1180)), Some(Turn::Raised { since: 1000 }));
    assert_eq!(state.turn(500, 0, WAIT, seen(Good, 500)), None);
    let cleared = state.turn(680, 0, WAIT, seen(Good, 680));
    assert_eq!(cleared, Some(Turn::Cleared { since: 500 }));
}

/// The same by looking back at all looks that told something, each of which is of a minute.
fn model(looks: &[Option<Verdict>]) -> Vec<(u64, bool)> {
    let mut told = Vec::new();
    let mut of_this: Vec<Verdict> = Vec::new();
    let mut is_raised = false;
    for (minute, look) in (1..).zip(looks) {
        let Some(look) = look else { continue };
        of_this.push(*look);
        let wanted = if is_raised { Good } else { Bad };
        let in_a_row = of_this.iter().rev().take_while(|look| **look == wanted).count();
        if in_a_row as u64 * 60 >= WAIT {
            is_raised = !is_raised;
            told.push((minute, is_raised));
            of_this.clear();
        }
    }
    told
}

proptest! {
    #[test]
    fn it_agrees_with_the_model(
        looks in prop::collection::vec(
            prop_oneof![Just(Some(Bad)), Just(Some(Bad)), Just(Some(Good)), Just(Some(Good)),
                Just(Some(Near)), Just(None)],
            0..60,
        )
    ) {
        let told: Vec<_> = told(&looks)
            .into_iter()
            .map(|(minute, turn)| (minute, matches!(turn, Turn::Raised { .. })))
            .collect();
        prop_assert_eq!(told, model(&looks));
    }

    #[test]
    fn whatever_the_times_news_take_turns(
        looks in prop::collection::vec(
            (any::<u64>(), any::<u64>(), 0..4000_u64, prop::sample::select(vec![Bad, Near, Good])),
            0..40,
        )
    ) {
        let mut state = State::default();
        let mut is_raised = false;
        for (now, lost, before, verdict) in looks {
            let from = now.saturating_sub(before);
            match state.turn(now, lost, WAIT, Some(Seen { verdict, from })) {
                Some(Turn::Raised { since }) => {
                    prop_assert!(!is_raised && since <= now && verdict == Bad);
                    is_raised = true;
                }
                Some(Turn::Cleared { .. }) => {
                    prop_assert!(is_raised && verdict == Good);
                    is_raised = false;
                }
                None => {}
            }
        }
    }
}
