//! The longest operation: what one call does of its own work, on one thread.
//!
//! Each call is timed by the thread's CPU time, which does not pass while another thread has the
//! core, but does while the kernel serves an interrupt on it. So the same calls are made several times
//! on fresh engines, and each call counts with the shortest of its times: an interrupt does not come
//! at the same call again, an engine's own work does. "longest seen" is the longest of all times,
//! "nothing" the same measurement of an engine that does nothing. The kernel's work for a call counts:
//! to hand out a huge page that was never touched takes it longer than most calls. Therefore ours is
//! measured once more with all memory taken before, as a server would have it.

use std::time::Duration;

use larder_bench_store::random::Random;
use larder_bench_store::table::{Bar, Table};
use larder_bench_store::workload::key;

use crate::Plan;
use crate::engine::{Engine, Kind, Limit, Size};
use crate::report::Report;
use crate::windows::thread_cpu;

/// What is called.
#[derive(Clone, Copy)]
struct Calls {
    /// The largest value, in bytes.
    largest: u32,
    /// Whether there are turns of values of about 80 bytes only.
    shifting: bool,
    number: usize,
}

/// The limit of the engines: filled early in the run, and turned over several times.
const BOUND: usize = 64 << 20;
const SMALLEST: u32 = 50;
const LARGEST: u32 = 2048;
/// Values of at most so many bytes where sizes shift and small ones have their turn.
const SMALL: u32 = 130;
/// New keys before sizes shift.
const SHIFT: u32 = 20_000;
const REPEATS: usize = 3;
/// No call may have more work of its own than this.
const LIMIT_MICROS: f64 = 50.0;

const ENGINES: [Kind; 6] =
    [Kind::Larder, Kind::Segcache, Kind::QuickCache, Kind::Foyer, Kind::Moka, Kind::Lru];

/// Measures all engines.
pub(crate) fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let number = plan.pick(400_000, 1_500_000);
    let calls = Calls { largest: LARGEST, shifting: false, number };
    let title = "Longest call, in µs of CPU time: 64 MiB, from empty to turned over, 50 B to 2 KiB";
    let headings = ["", "own work", "once full", "p99.99", "over 50 µs", "longest seen", "calls"];
    let mut table = Table::new(title, &headings);
    table.note(
        "own work: the least of each call's times in 3 runs; so are \
         once full (the second half of the calls), p99.99 and the count",
    );
    let mut add = |name: &str, times: &Times| table.row(times.row(name));
    add("nothing", &repeat(calls, || Ok(Box::new(Nothing)))?);
    for kind in plan.among(&ENGINES) {
        report.progress(&format!("longest call of {}", kind.name()));
        let items = BOUND / ((SMALLEST + LARGEST) / 2) as usize;
        let size = Size { limit: Limit::Bytes(BOUND), ..Size::roomy(items, BOUND / items) };
        add(kind.name(), &repeat(calls, || kind.build(&size))?);
        if kind == Kind::Larder {
            let size = Size { take_all: true, ..size };
            let times = repeat(calls, || kind.build(&size))?;
            add("larder, memory taken", &times);
            let what = "longest call, µs of its own work, all memory taken before";
            report.bar(Bar::at_most(what, times.longest(), LIMIT_MICROS));
            for (bound, largest) in [(BOUND, LARGEST), (1 << 30, 16 << 10)] {
                let calls = Calls { largest, shifting: true, number: 3 * number };
                let size = Size { limit: Limit::Bytes(bound), ..size.clone() };
                let times = repeat(calls, || kind.build(&size))?;
                let name = format!("sizes shift, to {largest} B in {} MiB", bound >> 20);
                add(&format!("larder, {name}"), &times);
                let what = format!("longest call where {name}");
                report.bar(Bar::at_most(&what, times.longest(), LIMIT_MICROS));
            }
        }
    }
    report.table(table);
    Ok(())
}

/// The times of the same calls in several runs.
struct Times {
    /// Of each call the shortest, in nanoseconds, in order of length.
    own: Vec<u32>,
    /// The longest of the second half of the calls, when all memory is in use.
    once_full: u32,
    longest_seen: u32,
}

impl Times {
    /// Of a call's own work, in microseconds.
    fn longest(&self) -> f64 {
        micros(self.own.last().copied().unwrap_or(0))
    }

    fn row(&self, name: &str) -> [String; 7] {
        let rank = self.own.len() - self.own.len() / 10_000 - 1;
        let over = self.own.iter().filter(|&&nanos| micros(nanos) > LIMIT_MICROS).count();
        [
            name.to_owned(),
            format!("{:.1}", self.longest()),
            format!("{:.1}", micros(self.once_full)),
            format!("{:.1}", micros(self.own[rank])),
            over.to_string(),
            format!("{:.1}", micros(self.longest_seen)),
            self.own.len().to_string(),
        ]
    }
}

fn micros(nanos: u32) -> f64 {
    f64::from(nanos) / 1e3
}

fn repeat(
    calls: Calls,
    build: impl Fn() -> anyhow::Result<Box<dyn Engine>>,
) -> anyhow::Result<Times> {
    let mut own = vec![u32::MAX; calls.number];
    let mut longest_seen = 0;
    for _ in 0..REPEATS {
        let engine = build()?;
        run(&*engine, calls, &mut own, &mut longest_seen);
    }
    let once_full = own[calls.number / 2..].iter().copied().max().unwrap_or(0);
    own.sort_unstable();
    Ok(Times { own, once_full, longest_seen })
}

/// Makes the calls: half gets, a third sets of new keys, the rest overwrites.
fn run(engine: &dyn Engine, calls: Calls, own: &mut [u32], longest_seen: &mut u32) {
    let value = vec![b'v'; calls.largest as usize];
    let mut random = Random::new(31);
    let mut keys = 1;
    for time in own {
        let kind = random.below(6);
        let id = if kind < 2 { keys } else { random.below(keys) };
        keys += u32::from(kind < 2);
        let is_small = calls.shifting && (keys / SHIFT).is_multiple_of(2);
        let largest = if is_small { SMALL } else { calls.largest };
        let length = (SMALLEST + random.below(largest - SMALLEST + 1)) as usize;
        let key = key(id);
        let before = thread_cpu();
        if kind < 3 {
            engine.set(&key, &value[..length], None);
        } else {
            std::hint::black_box(engine.get(&key));
        }
        let nanos = thread_cpu().saturating_sub(before).as_nanos();
        let nanos = u32::try_from(nanos).unwrap_or(u32::MAX);
        *time = nanos.min(*time);
        *longest_seen = nanos.max(*longest_seen);
    }
}

/// Shows what the measurement itself takes.
struct Nothing;

impl Engine for Nothing {
    fn get(&self, _key: &[u8]) -> bool {
        false
    }

    fn set(&self, _key: &[u8], _value: &[u8], _ttl: Option<Duration>) {}
}
