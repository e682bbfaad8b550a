//! Hit ratios: caches that hold the same number of items, read through (a miss is followed by a
//! set).

use std::sync::Mutex;

use larder_bench_store::random::{Random, Zipf};
use larder_bench_store::table::{Bar, Table};
use larder_bench_store::workload::{KEY_BYTES, key, scrambled};

use crate::Plan;
use crate::engine::{Engine, Kind, Limit, Size};
use crate::report::Report;

const KEYS: u32 = 1_000_000;

/// Those that evict.
pub(crate) const ENGINES: [Kind; 6] =
    [Kind::Larder, Kind::QuickCache, Kind::Foyer, Kind::Moka, Kind::Segcache, Kind::Lru];

/// A synthetic stream and the size of the caches.
#[derive(Debug, Clone, Copy)]
struct Stream {
    name: &'static str,
    exponent: f64,
    /// The share of requests for keys that are asked for only once.
    scan: f64,
    items: usize,
}

const STREAMS: [Stream; 5] = [
    Stream { name: "Zipf 0.8, 1 %", exponent: 0.8, scan: 0.0, items: 10_000 },
    Stream { name: "Zipf 0.8, 10 %", exponent: 0.8, scan: 0.0, items: 100_000 },
    Stream { name: "Zipf 1.0, 1 %", exponent: 1.0, scan: 0.0, items: 10_000 },
    Stream { name: "Zipf 1.0, 10 %", exponent: 1.0, scan: 0.0, items: 100_000 },
    Stream { name: "Zipf 1.0 + 25 % scan, 10 %", exponent: 1.0, scan: 0.25, items: 100_000 },
];

/// What one engine made of one stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) hit_ratio: f64,
    /// How many items it held in the end.
    pub(crate) items: usize,
}

/// Measures all engines on all streams.
pub(crate) fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let kinds = plan.among(&ENGINES);
    let jobs: Vec<(Stream, Kind)> =
        STREAMS.iter().flat_map(|stream| kinds.iter().map(|kind| (*stream, *kind))).collect();
    report.progress(&format!(
        "hit ratios of {} streams and {} engines",
        STREAMS.len(),
        kinds.len()
    ));
    let requests = plan.pick(2_000_000, 10_000_000);
    let outcomes = on_all_cores(&jobs, |(stream, kind)| stream.run(*kind, requests))?;

    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    let title = "Hit ratios: 1 M keys, caches for 1 % or 10 % of them";
    let mut table = Table::new(title, &[&[""], &names[..]].concat());
    table.note(format!("{requests} requests after half as many to warm up"));
    let mut held = Table::new("Items held in the end", &[&[""], &names[..]].concat());
    for (stream, outcomes) in STREAMS.iter().zip(outcomes.chunks(kinds.len().max(1))) {
        let name = || [stream.name.to_owned()].into_iter();
        table.row(name().chain(outcomes.iter().map(|o| format!("{:.4}", o.hit_ratio))));
        held.row(name().chain(outcomes.iter().map(|o| o.items.to_string())));
        let of = |kind| {
            let at = kinds.iter().position(|&k| k == kind);
            at.map_or(f64::NAN, |at| outcomes[at].hit_ratio)
        };
        stream.bars(of, report);
    }
    report.table(table);
    report.table(held);
    Ok(())
}

impl Stream {
    fn bars(&self, of: impl Fn(Kind) -> f64, report: &mut Report) {
        let name = self.name;
        let ours = of(Kind::Larder);
        if self.scan > 0.0 {
            report.bar(Bar::at_least(format!("hit ratio, {name}"), ours, 0.59));
            return;
        }
        let points = |other: Kind| (ours - of(other)) * 100.0;
        let what = |other: &str| format!("hit ratio, {name}: points above {other}");
        report.bar(Bar::at_least(what("quick_cache"), points(Kind::QuickCache), -1.5));
        report.bar(Bar::at_least(what("LRU"), points(Kind::Lru), 3.0));
    }

    fn run(&self, kind: Kind, requests: usize) -> anyhow::Result<Outcome> {
        const VALUE: [u8; 100] = [b'v'; 100];
        let size = Size { limit: Limit::Items, ..Size::roomy(self.items, KEY_BYTES + VALUE.len()) };
        let ids = if self.scan > 0.0 { KEYS + u32::try_from(requests)? } else { KEYS };
        sized(kind, &size, ids, |engine, trial| {
            let mut ids = self.ids();
            let warm = read_through(engine, ids.by_ref().take(requests / 2), &VALUE);
            if trial { warm } else { read_through(engine, ids.take(requests), &VALUE) }
        })
    }

    /// The ids that are asked for, without end.
    fn ids(&self) -> impl Iterator<Item = u32> + use<> {
        let zipf = Zipf::new(KEYS, self.exponent);
        let mut random = Random::new(11);
        let scan = self.scan;
        let mut once = KEYS;
        std::iter::repeat_with(move || {
            if random.chance(scan) {
                once += 1;
                return once;
            }
            scrambled(zipf.rank(&mut random), KEYS)
        })
    }
}

/// Runs a workload on an engine that holds as many items as `size` says. Where an engine's limit is
/// in bytes, the limit for that is found by trying: the workload is told when it is on trial. Ids
/// are below `ids`.
pub(crate) fn sized(
    kind: Kind,
    size: &Size,
    ids: u32,
    workload: impl Fn(&dyn Engine, bool) -> f64,
) -> anyhow::Result<Outcome> {
    let run = |size: &Size, trial: bool| -> anyhow::Result<Outcome> {
        let engine = kind.build(size)?;
        let hit_ratio = workload(&*engine, trial);
        engine.settle();
        // Whoever does not count is asked for every key there may be.
        let count = || (0..ids).filter(|&id| engine.peek(&key(id))).count();
        Ok(Outcome { hit_ratio, items: engine.items().unwrap_or_else(count) })
    };
    let mut size = size.clone();
    if matches!(kind, Kind::Larder | Kind::Segcache) {
        let mut limit = size.items * (size.item_bytes + 20);
        for _ in 0..4 {
            size.limit = Limit::Bytes(limit);
            let items = run(&size, true)?.items;
            if items.abs_diff(size.items) * 200 <= size.items {
                break;
            }
            let scaled = limit as u128 * size.items as u128 / items.max(1) as u128;
            limit = usize::try_from(scaled)?;
        }
    }
    run(&size, false)
}

/// Gets every id, and sets it where it was missed; the hit ratio.
#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
pub(crate) fn read_through(
    engine: &dyn Engine,
    ids: impl Iterator<Item = u32>,
    value: &[u8],
) -> f64 {
    let (mut requests, mut hits) = (0u64, 0u64);
    for id in ids {
        requests += 1;
        let key = key(id);
        if engine.get(&key) {
            hits += 1;
        } else {
            engine.set(&key, value, None);
        }
    }
    hits as f64 / requests as f64
}

/// Does jobs on all cores; the results in the order of the jobs. For what is not timed.
pub(crate) fn on_all_cores<J: Sync, R: Send>(
    jobs: &[J],
    work: impl Fn(&J) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let next = Mutex::new(jobs.iter().enumerate());
    let worker = || {
        let mut done = Vec::new();
        loop {
            let job = next.lock().ok().and_then(|mut next| next.next());
            let Some((at, job)) = job else {
                return done;
            };
            done.push((at, work(job)));
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut done: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker panicked")).collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
