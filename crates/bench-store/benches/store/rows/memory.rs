//! How much memory: every engine in a process of its own, all of whose resident memory counts.

use anyhow::anyhow;
use larder_bench_store::random::Random;
use larder_bench_store::table::{Bar, Table, number};
use larder_bench_store::workload::{KEY_BYTES, key};
use serde_json::{Value, json};

use super::ratio::on_all_cores;
use crate::Plan;
use crate::child::ask;
use crate::engine::{Engine, Kind, Limit, Size};
use crate::report::Report;
use crate::rss;

const PAYLOAD: usize = KEY_BYTES + 100;
const MIB: usize = 1 << 20;
/// The limit, or the resident memory, of the engines of these rows.
const BOUND: usize = 256 * MIB;
/// How many items it takes to measure the bytes of one.
const MILLION: usize = 1_000_000;

/// The engines of the rows about a bound.
const BOUNDED: [Kind; 5] =
    [Kind::Larder, Kind::Segcache, Kind::Memcached, Kind::QuickCache, Kind::Moka];

/// What is done to an engine before its memory is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Script {
    /// Sets of new keys with values of 100 bytes.
    Fill,
    /// Sets of values from 50 to 2048 bytes, half of them of keys that are probably there.
    Overwrite,
}

/// Runs one script on one engine.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Job {
    #[arg(long, value_enum)]
    engine: Kind,
    #[arg(long, value_enum)]
    script: Script,
    /// How many sets
    #[arg(long)]
    sets: u32,
    /// The engine's own limit in bytes; without it, `--items` have room
    #[arg(long)]
    limit: Option<usize>,
    /// How many items the engine is told to expect
    #[arg(long)]
    items: usize,
    /// Bounded by these items, rather than with room for more
    #[arg(long)]
    bounded: bool,
}

/// What a process has answered.
#[derive(Debug, Clone, Copy)]
struct Answer {
    items: f64,
    /// Resident memory of all of the process.
    rss: f64,
    /// The same before the engine was made.
    before: f64,
    /// Bytes of keys and values that can be read.
    live: f64,
}

/// Measures all rows.
pub(crate) fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    per_item(plan, report)?;
    items_held(plan, report)?;
    overwrites(plan, report)
}

/// Bytes per item beyond key and value.
fn per_item(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    report.progress("memory per item");
    let kinds = plan.among(&[&Kind::LIBRARIES[..], &[Kind::Memcached]].concat());
    let sets = plan.pick(5 * MILLION / 2, 9 * MILLION / 2);
    let answers = on_all_cores(&kinds, |&kind| {
        let in_bytes = matches!(kind, Kind::Larder | Kind::Segcache | Kind::Memcached);
        // Segcache takes its heap at once, so it gets one of the right size.
        let room = (kind == Kind::Memcached).then_some(2 * BOUND);
        let fresh = fill(kind, MILLION, room, MILLION, kind == Kind::Segcache)?;
        if matches!(kind, Kind::DashMap | Kind::Papaya) {
            return Ok((fresh, None));
        }
        let limit = in_bytes.then_some(BOUND);
        let churned = fill(kind, sets, limit, limit.map_or(MILLION, expected), true)?;
        Ok((fresh, Some(churned)))
    })?;

    let title = "Bytes per item beyond key and value (30 + 100): resident memory";
    let headings = ["", "1 M items fresh", "after churn", "items then", "items/GiB then"];
    let mut table = Table::new(title, &headings);
    table.note(format!(
        "churn: {sets} sets of new keys into a cache bounded to 1 M items, or to 256 MiB where the \
         engine counts all bytes"
    ));
    for (kind, (fresh, churned)) in kinds.iter().zip(&answers) {
        let of = |f: fn(&Answer) -> f64| number(churned.as_ref().map_or(f64::NAN, f));
        table.row([
            kind.name().to_owned(),
            number(fresh.overhead()),
            of(Answer::overhead),
            of(|answer| answer.items),
            of(|answer| f64::from(1 << 30) / (answer.overhead() + PAYLOAD as f64)),
        ]);
        if let (Kind::Larder, Some(churned)) = (kind, churned) {
            let worse = fresh.overhead().max(churned.overhead());
            report.bar(Bar::at_most("bytes per item beyond key and value", worse, 24.0));
        }
    }
    report.table(table);
    Ok(())
}

/// Items in 256 MiB of resident memory.
fn items_held(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    report.progress("items in 256 MiB");
    let kinds = plan.among(&BOUNDED);
    let fits = on_all_cores(&kinds, |&kind| fit(plan, kind))?;
    let title = "Items of 30 + 100 bytes in 256 MiB of resident memory, all of the process";
    let mut table = Table::new(title, &["", "items", "RSS MiB", "at a limit of MiB"]);
    for (kind, (limit, answer)) in kinds.iter().zip(&fits) {
        table.row([
            kind.name().to_owned(),
            format!("{:.0}", answer.items),
            number(answer.rss / MIB as f64),
            number(*limit as f64 / MIB as f64),
        ]);
        if *kind == Kind::Larder {
            let items = if answer.fits() { answer.items } else { f64::NAN };
            report.bar(Bar::at_least("items in 256 MiB of resident memory", items, 1.68e6));
        }
    }
    report.table(table);
    Ok(())
}

/// The limit at which an engine's process has 256 MiB resident, found by trying, and what it holds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "bytes of memory"
)]
fn fit(plan: &Plan, kind: Kind) -> anyhow::Result<(usize, Answer)> {
    // About right, so that few tries are needed.
    let percent = match kind {
        Kind::Larder => 98,
        Kind::Segcache => 85,
        Kind::Memcached => 95,
        Kind::Moka => 24,
        _ => 48,
    };
    let mut limit = BOUND / 100 * percent;
    let mut best: Option<(usize, Answer)> = None;
    for _ in 0..plan.pick(2, 5) {
        let answer = fill(kind, 3 * MILLION, Some(limit), expected(limit), true)?;
        let better = best.as_ref().is_none_or(|(_, best)| match (answer.fits(), best.fits()) {
            (true, true) => answer.items > best.items,
            (false, false) => answer.rss < best.rss,
            (now, _) => now,
        });
        if better {
            best = Some((limit, answer));
        }
        // What the process has grown by belongs to the limit; what was there before does not.
        let per_limit = (answer.rss - answer.before) / limit as f64;
        limit = ((BOUND as f64 - answer.before) / per_limit) as usize;
    }
    best.ok_or_else(|| anyhow!("{}: no limit was tried", kind.name()))
}

/// Resident memory after many overwrites with other sizes.
fn overwrites(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    report.progress("memory after overwrites");
    let kinds = plan.among(&BOUNDED);
    let turnover = plan.pick(8, 20);
    let sets = u32::try_from(turnover * BOUND / Overwrites::MEAN)?;
    let items = BOUND / Overwrites::MEAN;
    let answers = on_all_cores(&kinds, |&engine| {
        let script = Script::Overwrite;
        Job { engine, script, sets, limit: Some(BOUND), items, bounded: true }.elsewhere()
    })?;
    let title = format!(
        "Memory at a limit of 256 MiB after {turnover} times that in sets, half of them \
         overwrites, 50 B to 2 KiB"
    );
    let mut table = Table::new(title, &["", "RSS MiB", "÷ limit", "live MiB", "items"]);
    table.note(
        "live: keys and values that can be read; the limit of quick_cache and moka is of these",
    );
    for (kind, answer) in kinds.iter().zip(&answers) {
        let limit = BOUND as f64;
        table.row([
            kind.name().to_owned(),
            number(answer.rss / MIB as f64),
            number(answer.rss / limit),
            number(answer.live / MIB as f64),
            format!("{:.0}", answer.items),
        ]);
        if *kind == Kind::Larder {
            let beyond = (answer.rss - 16.0 * MIB as f64) / limit;
            report.bar(Bar::at_most("(RSS after overwrites − 16 MiB) ÷ limit", beyond, 1.03));
        }
    }
    report.table(table);
    Ok(())
}

/// How many items an engine is told to expect within a limit.
fn expected(limit: usize) -> usize {
    limit / (PAYLOAD + 14)
}

fn fill(
    engine: Kind,
    sets: usize,
    limit: Option<usize>,
    items: usize,
    bounded: bool,
) -> anyhow::Result<Answer> {
    let sets = u32::try_from(sets)?;
    Job { engine, script: Script::Fill, sets, limit, items, bounded }.elsewhere()
}

impl Answer {
    /// Whether the process stays in 256 MiB, but for the last pages.
    fn fits(&self) -> bool {
        self.rss <= 1.005 * BOUND as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
    fn overhead(&self) -> f64 {
        (self.rss - self.before) / self.items - PAYLOAD as f64
    }
}

impl Job {
    /// Has it done by a process of its own.
    fn elsewhere(&self) -> anyhow::Result<Answer> {
        let script = if self.script == Script::Fill { "fill" } else { "overwrite" };
        let mut args = ["memory", "--engine", self.engine.name(), "--script", script]
            .map(str::to_owned)
            .to_vec();
        args.extend([format!("--sets={}", self.sets), format!("--items={}", self.items)]);
        args.extend(self.limit.map(|limit| format!("--limit={limit}")));
        args.extend(self.bounded.then(|| "--bounded".to_owned()));
        let answer = ask(self.engine, &args)?;
        let of = |name: &str| answer[name].as_f64().unwrap_or(f64::NAN);
        Ok(Answer { items: of("items"), rss: of("rss"), before: of("before"), live: of("live") })
    }

    /// In the process of its own.
    pub(crate) fn run(&self) -> anyhow::Result<Value> {
        let before = rss::own()?;
        let limit = match self.limit {
            Some(limit) => Limit::Bytes(limit),
            None if self.bounded => Limit::Items,
            None => Limit::Roomy,
        };
        let size = Size { limit, ..Size::roomy(self.items, PAYLOAD) };
        let engine = self.engine.build(&size)?;
        // The sizes of the values by id are kept in a few bytes, so that they hardly count.
        let mut overwrites = Overwrites::default();
        match self.script {
            Script::Fill => {
                (0..self.sets).for_each(|id| engine.set(&key(id), &[b'v'; 100], None));
            }
            Script::Overwrite => overwrites.run(&*engine, self.sets),
        }
        engine.settle();
        let elsewhere = engine.process().map(|pid| pid.to_string());
        let own = size_of_val(&*overwrites.sizes) as u64;
        let rss = match &elsewhere {
            Some(pid) => rss::of(pid)?,
            None => rss::own()?.saturating_sub(own),
        };
        let before = if elsewhere.is_some() { 0 } else { before };
        let ids = if self.script == Script::Fill { self.sets } else { overwrites.keys() };
        let live = elsewhere.is_none().then(|| overwrites.live(&*engine));
        let count = || (0..ids).filter(|&id| engine.peek(&key(id))).count();
        let items = engine.items().unwrap_or_else(count);
        Ok(json!({ "items": items, "rss": rss, "before": before, "live": live }))
    }
}

/// Sets of values of mixed sizes; half of them of one of the keys that were new most recently.
#[derive(Debug, Default)]
struct Overwrites {
    /// By id: how long its value is.
    sizes: Vec<u16>,
}

impl Overwrites {
    const SMALLEST: u32 = 50;
    const LARGEST: u32 = 2048;
    const MEAN: usize = (Overwrites::SMALLEST + Overwrites::LARGEST) as usize / 2 + KEY_BYTES;
    /// Overwritten is one of so many keys.
    const RECENT: u32 = 100_000;

    fn run(&mut self, engine: &dyn Engine, sets: u32) {
        let value = [b'v'; Overwrites::LARGEST as usize];
        let mut random = Random::new(5);
        // So that it does not grow while it is measured.
        self.sizes = Vec::with_capacity(sets as usize);
        for _ in 0..sets {
            let keys = self.keys();
            let length =
                Overwrites::SMALLEST + random.below(Overwrites::LARGEST - Overwrites::SMALLEST + 1);
            let length = u16::try_from(length).expect("at most 2048");
            let id = if keys > 0 && random.chance(0.5) {
                keys - 1 - random.below(keys.min(Overwrites::RECENT))
            } else {
                self.sizes.push(length);
                keys
            };
            self.sizes[id as usize] = length;
            engine.set(&key(id), &value[..usize::from(length)], None);
        }
    }

    fn keys(&self) -> u32 {
        u32::try_from(self.sizes.len()).expect("as many keys as sets at most")
    }

    /// Bytes of the keys and values that are still there.
    fn live(&self, engine: &dyn Engine) -> usize {
        let sizes = self.sizes.iter().zip(0..);
        let present = sizes.filter(|&(_, id)| engine.peek(&key(id)));
        present.map(|(&size, _)| usize::from(size) + KEY_BYTES).sum()
    }
}
