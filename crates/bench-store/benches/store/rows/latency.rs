//! How long a get takes while another thread writes as fast as it can.
//!
//! Each get is timed by the clock on the wall (reading it costs about 20 ns, the same for all), so a
//! reader that loses its core is counted, too. The figures are medians of the windows' quantiles: a
//! window that was disturbed does not decide them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use larder_bench_store::figures::{median, paired_ratio};
use larder_bench_store::histogram::Histogram;
use larder_bench_store::table::{Bar, Table, number};
use larder_bench_store::workload::{KEY_BYTES, Mix, Request, STREAM, key};

use crate::Plan;
use crate::engine::{Engine, Kind, Size};
use crate::report::Report;

const KEYS: u32 = 1_000_000;
const VALUE: [u8; 100] = [b'v'; 100];
const WINDOW: Duration = Duration::from_millis(250);
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// What the windows of one engine showed, each a list in the order of the rounds.
#[derive(Debug, Default, Clone)]
struct Windows {
    /// Nanoseconds by quantile.
    quantiles: [Vec<f64>; QUANTILES.len()],
    gets: Vec<f64>,
    sets: Vec<f64>,
}

/// Measures all engines.
pub(crate) fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let kinds = plan.among(&Kind::LIBRARIES);
    let mut engines = Vec::new();
    for kind in &kinds {
        let engine = kind.build(&Size::roomy(KEYS as usize, KEY_BYTES + VALUE.len()))?;
        (0..KEYS).for_each(|id| engine.set(&key(id), &VALUE, None));
        engine.settle();
        engines.push(engine);
    }
    report.progress("a get beside a flat-out writer");
    let mix = Mix { keys: KEYS, exponent: 0.99, sets: 0.0 };
    let (reads, writes) = (mix.stream(STREAM, 21), mix.stream(STREAM, 22));
    let mut windows = vec![Windows::default(); engines.len()];
    let rounds = plan.pick(10, 40);
    // The first round warms up. Every round goes on in the streams where the last one ended, roughly.
    for round in 0..=rounds {
        let skip = STREAM / (rounds + 1) * round;
        for (engine, windows) in engines.iter().zip(&mut windows) {
            let (histogram, sets) = beside_a_writer(&**engine, &reads[skip..], &writes[skip..]);
            if round > 0 {
                windows.add(&histogram, sets);
            }
        }
    }
    let title = "A get beside a flat-out writer: 1 M items, Zipf 0.99, in ns";
    let headings = ["", "p50", "p90", "p99", "p99.9", "gets, Mops", "sets, Mops"];
    let mut table = Table::new(title, &headings);
    for (kind, windows) in kinds.iter().zip(&windows) {
        let quantiles = windows.quantiles.iter().map(|nanos| format!("{:.0}", median(nanos)));
        let speeds = [&windows.gets, &windows.sets].map(|mops| number(median(mops)));
        table.row([kind.name().to_owned()].into_iter().chain(quantiles).chain(speeds));
    }
    report.table(table);
    let p99 = |kind| {
        let at = kinds.iter().position(|&k| k == kind)?;
        Some(&windows[at].quantiles[2])
    };
    let ratio = p99(Kind::Larder).zip(p99(Kind::Segcache));
    let ratio = ratio.map_or(f64::NAN, |(ours, theirs)| paired_ratio(ours, theirs));
    report.bar(Bar::at_most("p99 of a get beside a writer: larder ÷ segcache", ratio, 1.0));
    Ok(())
}

impl Windows {
    #[expect(clippy::cast_precision_loss, reason = "counts of a fraction of a second")]
    fn add(&mut self, histogram: &Histogram, sets: u64) {
        for (nanos, share) in self.quantiles.iter_mut().zip(QUANTILES) {
            nanos.push(histogram.quantile(share) as f64);
        }
        let mops = |count: u64| count as f64 / WINDOW.as_secs_f64() / 1e6;
        self.gets.push(mops(histogram.count()));
        self.sets.push(mops(sets));
    }
}

/// One window: how long the gets took, and how many sets there were beside them.
fn beside_a_writer(engine: &dyn Engine, reads: &[Request], writes: &[Request]) -> (Histogram, u64) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut sets = 0;
            for write in writes.iter().cycle() {
                engine.set(&key(write.id()), &VALUE, None);
                sets += 1;
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
            sets
        });
        let mut histogram = Histogram::default();
        let start = Instant::now();
        let mut last = start;
        for read in reads.iter().cycle() {
            let key = key(read.id());
            let before = Instant::now();
            std::hint::black_box(engine.get(&key));
            last = Instant::now();
            let nanos = last.duration_since(before).as_nanos();
            histogram.add(u64::try_from(nanos).unwrap_or(u64::MAX));
            if last.duration_since(start) >= WINDOW {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
        std::hint::black_box(last);
        (histogram, writer.join().expect("the writer panicked"))
    })
}
