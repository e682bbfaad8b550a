//! Items that expire: 40 % of the keys live 2 s, 30 % live 8 s, 30 % until they are evicted.
//!
//! Time is simulated at 200,000 requests a second: our engine's clock is moved, and engines that
//! keep an expiry beside the value read a clock that is moved the same way. Segcache has neither, and
//! is asked at that pace in real time.

use std::cell::Cell;
use std::time::{Duration, Instant};

use larder_bench_store::random::{Random, Zipf};
use larder_bench_store::table::{Bar, Table, number};
use larder_bench_store::workload::{KEY_BYTES, key, scrambled};

use super::ratio::{ENGINES, Outcome, on_all_cores, sized};
use crate::Plan;
use crate::engine::{Engine, Kind, Limit, SharedClock, Size};
use crate::report::Report;

const KEYS: u32 = 1_000_000;
const ITEMS: usize = 100_000;
const PER_MILLISECOND: usize = 200;
/// Hits are counted after so many milliseconds.
const WARM_UP: usize = 10_000;
const VALUE: [u8; 100] = [b'v'; 100];

/// Measures all engines.
pub(crate) fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    // Real time is dear.
    let measured =
        |kind: &Kind| !plan.quick || *kind != Kind::Segcache || plan.engines.contains(kind);
    let kinds: Vec<Kind> = plan.among(&ENGINES).into_iter().filter(measured).collect();
    report.progress("items that expire");
    let milliseconds = plan.pick(20_000, 40_000);
    let outcomes = on_all_cores(&kinds, |&kind| run(kind, milliseconds))?;
    let title = "Hit ratios with TTLs: 1 M keys, Zipf 0.9, caches for 100 k items";
    let mut table = Table::new(title, &["", "hit ratio", "items held", "expired, %"]);
    for (kind, (outcome, expired)) in kinds.iter().zip(&outcomes) {
        table.row([
            kind.name().to_owned(),
            format!("{:.4}", outcome.hit_ratio),
            outcome.items.to_string(),
            number(expired * 100.0),
        ]);
        if *kind == Kind::Larder {
            report.bar(Bar::at_least("hit ratio with TTLs", outcome.hit_ratio, 0.65));
            report.bar(Bar::at_most("expired items still held, % of all", expired * 100.0, 10.0));
        }
    }
    report.table(table);
    Ok(())
}

/// The outcome, and the share of the items held in the end that are expired, if it says how many it
/// holds.
fn run(kind: Kind, milliseconds: usize) -> anyhow::Result<(Outcome, f64)> {
    let clock = SharedClock::default();
    let size = Size {
        limit: Limit::Items,
        clock: clock.clone(),
        simulated: true,
        ..Size::roomy(ITEMS, KEY_BYTES + VALUE.len())
    };
    let (held, alive) = (Cell::new(0), Cell::new(0));
    let workload = |engine: &dyn Engine, trial: bool| {
        clock.reset();
        let milliseconds = if trial { WARM_UP } else { milliseconds };
        let real_time = kind == Kind::Segcache;
        let hit_ratio = requests(engine, &clock, milliseconds, real_time);
        // Counted first: to find an expired item may be to remove it.
        held.set(engine.items().unwrap_or(0));
        alive.set((0..KEYS).filter(|&id| engine.peek(&key(id))).count());
        hit_ratio
    };
    let outcome = match kind {
        // Once is long enough; the ratio of items to bytes is known well enough.
        Kind::Segcache => {
            let bytes = ITEMS * (KEY_BYTES + VALUE.len() + 14);
            let engine = kind.build(&Size { limit: Limit::Bytes(bytes), ..size })?;
            let hit_ratio = workload(&*engine, false);
            Outcome { hit_ratio, items: alive.get() }
        }
        _ => sized(kind, &size, KEYS, workload)?,
    };
    #[expect(clippy::cast_precision_loss, reason = "counts of items")]
    let expired = (held.get() > 0).then(|| 1.0 - alive.get() as f64 / held.get() as f64);
    Ok((outcome, expired.unwrap_or(f64::NAN)))
}

/// Reads through for so many milliseconds; the hit ratio after the warm-up.
#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
fn requests(engine: &dyn Engine, clock: &SharedClock, milliseconds: usize, real_time: bool) -> f64 {
    let zipf = Zipf::new(KEYS, 0.9);
    let mut random = Random::new(13);
    let (mut gets, mut hits) = (0u64, 0u64);
    let start = Instant::now();
    for now in 0..milliseconds {
        for _ in 0..PER_MILLISECOND {
            let id = scrambled(zipf.rank(&mut random), KEYS);
            let key = key(id);
            let hit = engine.get(&key);
            if !hit {
                engine.set(&key, &VALUE, ttl(id));
            }
            if now >= WARM_UP {
                gets += 1;
                hits += u64::from(hit);
            }
        }
        let step = Duration::from_millis(1);
        clock.advance(step);
        engine.advance(step);
        if real_time {
            let due = Duration::from_millis(now as u64 + 1);
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
    }
    hits as f64 / gets as f64
}

/// How long an id's value lives: a property of the id, whatever its popularity.
fn ttl(id: u32) -> Option<Duration> {
    match Random::new(u64::from(id)).below(10) {
        0..4 => Some(Duration::from_secs(2)),
        4..7 => Some(Duration::from_secs(8)),
        _ => None,
    }
}
