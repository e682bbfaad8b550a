//! Ten million items resident: each engine alone in a process, one after another, and again.

use std::time::Duration;

use larder_bench_store::figures::{best, median};
use larder_bench_store::table::{Bar, Table, number};
use larder_bench_store::workload::{KEY_BYTES, Mix, Request, STREAM, key};
use serde_json::{Value, json};

use crate::Plan;
use crate::child::ask;
use crate::engine::{Engine, Kind, Size};
use crate::report::Report;
use crate::rss;
use crate::windows::{self, Cursor, Gets};

const ITEMS: u32 = 10_000_000;
const THREADS: u32 = 2;
const VALUE: [u8; 100] = [b'v'; 100];
/// What a peer may need at most, beside what is free.
const NEEDED: u64 = 6 << 30;

const ENGINES: [Kind; 6] =
    [Kind::Larder, Kind::Segcache, Kind::QuickCache, Kind::Foyer, Kind::DashMap, Kind::Papaya];

/// Fills one engine and measures it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Job {
    #[arg(long, value_enum)]
    engine: Kind,
    #[arg(long)]
    windows: u32,
}

/// What the processes of one engine have answered.
#[derive(Default)]
struct Answers {
    mops: Vec<f64>,
    cpu: Vec<f64>,
    hits: Vec<f64>,
    rss: Vec<f64>,
}

/// Measures all engines.
pub(crate) fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let kinds = plan.among(&ENGINES);
    let mut answers: Vec<Answers> = kinds.iter().map(|_| Answers::default()).collect();
    for round in 1..=plan.pick(1, 3) {
        for (&kind, answers) in kinds.iter().zip(&mut answers) {
            if rss::available()? < NEEDED {
                report.progress(&format!("{}: less than 6 GiB are free, left out", kind.name()));
                continue;
            }
            report.progress(&format!("10 M items in {}, round {round}", kind.name()));
            let windows = plan.pick("6", "8");
            let args = ["resident", "--engine", kind.name(), "--windows", windows];
            answers.add(&ask(kind, &args.map(str::to_owned))?);
        }
    }
    let title = "99/1 gets/sets: 10 M items resident, Zipf 0.99, 2 threads";
    let mut table = Table::new(title, &["", "best Mops", "median", "CPU ns/op", "hits", "RSS MiB"]);
    for (kind, answers) in kinds.iter().zip(&answers) {
        table.row([
            kind.name().to_owned(),
            number(best(&answers.mops)),
            number(median(&answers.mops)),
            format!("{:.0}", median(&answers.cpu)),
            format!("{:.4}", median(&answers.hits)),
            format!("{:.0}", median(&answers.rss)),
        ]);
    }
    report.table(table);
    let (ours, peers): (Vec<_>, Vec<_>) =
        kinds.iter().zip(&answers).partition(|(kind, _)| **kind == Kind::Larder);
    let ours = ours.first().map_or(f64::NAN, |(_, answers)| median(&answers.mops));
    let peers: Vec<f64> = peers.iter().map(|(_, answers)| median(&answers.mops)).collect();
    report.bar(Bar::at_least(
        "10 M items, 2 threads: larder ÷ best peer",
        ours / best(&peers),
        1.6,
    ));
    Ok(())
}

impl Answers {
    fn add(&mut self, answer: &Value) {
        let numbers = |name: &str| {
            let list = answer[name].as_array().into_iter().flatten();
            list.filter_map(Value::as_f64).collect::<Vec<f64>>()
        };
        self.mops.extend(numbers("mops"));
        self.cpu.extend(numbers("cpu_nanos"));
        self.hits.extend(numbers("hit_ratio"));
        self.rss.extend(answer["rss_mib"].as_f64());
    }
}

impl Job {
    /// In the process of its own.
    pub(crate) fn run(&self) -> anyhow::Result<Value> {
        let engine = self.engine.build(&Size::roomy(ITEMS as usize, KEY_BYTES + VALUE.len()))?;
        fill(&*engine);
        let mix = Mix { keys: ITEMS, exponent: 0.99, sets: 0.01 };
        let streams: Vec<Vec<Request>> =
            (0..u64::from(THREADS)).map(|thread| mix.stream(STREAM, thread)).collect();
        let mut cursors: Vec<Cursor<'_>> =
            streams.iter().map(|stream| Cursor::new(stream)).collect();
        let mut window = |length| {
            windows::run(&*engine, &mut cursors, &VALUE, Gets::One, Duration::from_millis(length))
        };
        window(1000);
        let windows: Vec<_> = (0..self.windows).map(|_| window(500)).collect();
        #[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
        let rss = rss::own()? as f64 / f64::from(1 << 20);
        Ok(json!({
            "mops": windows.iter().map(|window| window.mops).collect::<Vec<_>>(),
            "cpu_nanos": windows.iter().map(|window| window.cpu_nanos).collect::<Vec<_>>(),
            "hit_ratio": windows.iter().map(|window| window.hit_ratio).collect::<Vec<_>>(),
            "rss_mib": rss,
        }))
    }
}

/// Every thread stores its share of the ids.
fn fill(engine: &dyn Engine) {
    std::thread::scope(|scope| {
        for first in 0..THREADS {
            scope.spawn(move || {
                let ids = (first..ITEMS).step_by(THREADS as usize);
                ids.for_each(|id| engine.set(&key(id), &VALUE, None));
            });
        }
    });
    engine.settle();
}
