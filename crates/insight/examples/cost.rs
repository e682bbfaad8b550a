//! What an event costs: nanoseconds of CPU each, for streams of several kinds.
//!
//! `cargo run --release -p larder-insight --example cost`

#![allow(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "it prints, and its numbers are small"
)]

use std::time::Instant;

use larder_insight::{Command, Event, Limits, Observer};
use rapidhash::v3::rapidhash_v3;

/// A name, and the key of each event.
type Stream = (&'static str, fn(u64) -> String);

const EVENTS: usize = 200_000;
const ROUNDS: usize = 10;

fn main() {
    let streams: [Stream; 6] = [
        ("five keys", |at| format!("task-fragment:{}", at % 5)),
        ("Django pages, skewed", |at| {
            let at = skewed(at, 100_000);
            format!(
                ":1:views.decorators.cache.cache_page..GET.{at:032x}.d41d8cd98f00b204e9800998ecf8427e.en-us.UTC"
            )
        }),
        ("user:N:part, skewed", |at| format!("user:{}:settings", skewed(at, 1_000_000))),
        ("all distinct", |at| format!("session:{:032x}", random(at))),
        ("random words", |at| format!("user:{}:settings", word(at))),
        ("random words in eight places", |at| {
            (0..8).map(|place| word(at * 8 + place)).collect::<Vec<_>>().join(":")
        }),
    ];
    let only = std::env::args().nth(1);
    println!(
        "{:30} {:>12} {:>12} {:>10} {:>10}",
        "nanoseconds an event", "by request", "both samples", "insight us", "bytes"
    );
    for (name, key) in streams {
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let keys: Vec<_> = (0..EVENTS as u64).map(|at| key(at).into_bytes()).collect();
        let (by_request, _) = feed(&keys, 0);
        let (both, observer) = feed(&keys, 1);
        let start = Instant::now();
        let insight = observer.insight();
        let told = start.elapsed().as_micros();
        println!("{name:30} {by_request:12.0} {both:12.0} {told:10} {:10}", observer.bytes());
        for prefix in insight.prefixes.iter().take(3) {
            println!("  {:60} {} hits", prefix.pattern, prefix.hits);
        }
    }
}

/// Feeds the keys [`ROUNDS`] times and tells of the quickest, with three gets, a miss and a set of each five events.
fn feed(keys: &[Vec<u8>], key_weight: u32) -> (f64, Observer) {
    let hashes: Vec<_> = keys.iter().map(|key| rapidhash_v3(key)).collect();
    let mut observer = Observer::new(Limits::USUAL);
    let mut unix_ms = 1_700_000_000_000;
    let mut best = u64::MAX;
    for round in 0..ROUNDS {
        let start = cpu_nanos();
        for (at, (key, hash)) in keys.iter().zip(&hashes).enumerate() {
            unix_ms += u64::from(at % 8 == 0);
            let (command, found) = match (at + round) % 5 {
                0 => (Command::Set, true),
                1 => (Command::Get, false),
                _ => (Command::Get, true),
            };
            let event = Event {
                unix_ms,
                command,
                found,
                key,
                hash: *hash,
                bytes: 100,
                expires: None,
                request_weight: 8,
                key_weight,
            };
            observer.observe(&event);
        }
        best = best.min(cpu_nanos() - start);
    }
    (best as f64 / keys.len() as f64, observer)
}

/// CPU time of the main thread so far, by Linux.
fn cpu_nanos() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}

fn random(at: u64) -> u64 {
    rapidhash_v3(&at.to_le_bytes())
}

/// From 0 to `most`, the small ones far more often.
fn skewed(at: u64, most: u64) -> u64 {
    let share = random(at) as f64 / u64::MAX as f64;
    (most as f64).powf(share) as u64
}

fn word(at: u64) -> String {
    random(at).to_le_bytes().map(|byte| char::from(b'a' + byte % 26)).iter().collect()
}
