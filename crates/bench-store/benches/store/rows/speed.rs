//! How fast: all engines resident at once, a million items of 30 + 100 bytes that all fit.

use std::time::Duration;

use larder_bench_store::figures::{best, median, paired_ratio};
use larder_bench_store::table::{Bar, Table, number};
use larder_bench_store::workload::{KEY_BYTES, Mix, Request, STREAM, key};

use crate::Plan;
use crate::engine::{Engine, Kind, Size};
use crate::report::Report;
use crate::windows::{self, Cursor, Gets, Window};

const KEYS: u32 = 1_000_000;
const VALUE: [u8; 100] = [b'v'; 100];
const WINDOW: Duration = Duration::from_millis(250);

/// One engine and what is asked of it.
struct Contender<'e> {
    name: String,
    engine: &'e dyn Engine,
    gets: Gets,
}

/// 99 % gets.
pub(crate) fn get(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let engines = filled(&plan.among(&Kind::LIBRARIES), report)?;
    for threads in [1, 2] {
        let windows = singles(plan, report, &engines, 0.01, threads);
        let ratio = |peer| ratio_to(&engines, &windows, peer);
        match threads {
            1 => report.bar(Bar::at_least(
                "get 99/1, 1 thread: larder ÷ quick_cache",
                ratio(Kind::QuickCache),
                2.0,
            )),
            _ => report.bar(Bar::at_least(
                "get 99/1, 2 threads: larder ÷ segcache",
                ratio(Kind::Segcache),
                1.2,
            )),
        }
    }
    Ok(())
}

/// 90 % gets.
pub(crate) fn mixed(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let engines = filled(&plan.among(&Kind::LIBRARIES), report)?;
    for threads in [1, 2] {
        let windows = singles(plan, report, &engines, 0.1, threads);
        if threads == 2 {
            report.bar(Bar::at_least(
                "get 90/10, 2 threads: larder ÷ segcache",
                ratio_to(&engines, &windows, Kind::Segcache),
                1.4,
            ));
        }
    }
    Ok(())
}

/// Gets in batches of ours, beside single gets.
pub(crate) fn many(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let engines = filled(&plan.among(&[Kind::Larder, Kind::QuickCache, Kind::Segcache]), report)?;
    let mut contenders = Vec::new();
    for (kind, engine) in &engines {
        for (gets, what) in [
            (Gets::One, "singly"),
            (Gets::Many(16), "16 keys at hand"),
            (Gets::Many(32), "32 keys at hand"),
        ] {
            let name = format!("{}, {what}", kind.name());
            contenders.push(Contender { name, engine: &**engine, gets });
        }
    }
    report.progress("gets in batches, 1 thread");
    let windows = take_turns(plan, &contenders, 0.0, 1);
    let mut table = table("Gets in batches: 1 M items, 1 thread", &contenders, &windows);
    table.note(
        "keys at hand: made before, in a batch; larder by get_many, its peers one after another",
    );
    report.table(table);
    let of = |name: &str| {
        let at = contenders.iter().position(|contender| contender.name == name)?;
        Some(mops(&windows[at]))
    };
    for batch in [16, 32] {
        let ours = of(&format!("larder, {batch} keys at hand"));
        let theirs = of("quick_cache, singly");
        let ratio = ours.zip(theirs).map_or(f64::NAN, |(a, b)| paired_ratio(&a, &b));
        let what = format!("get_many of {batch}, 1 thread: larder ÷ quick_cache's single gets");
        report.bar(Bar::at_least(what, ratio, 8.0));
    }
    Ok(())
}

type Filled = Vec<(Kind, Box<dyn Engine>)>;

fn filled(kinds: &[Kind], report: &Report) -> anyhow::Result<Filled> {
    let mut engines = Vec::new();
    for &kind in kinds {
        report.progress(&format!("filling {} with 1 M items", kind.name()));
        let engine = kind.build(&Size::roomy(KEYS as usize, KEY_BYTES + VALUE.len()))?;
        (0..KEYS).for_each(|id| engine.set(&key(id), &VALUE, None));
        engine.settle();
        engines.push((kind, engine));
    }
    Ok(engines)
}

/// Single requests of all engines: measures and reports the table.
fn singles(
    plan: &Plan,
    report: &mut Report,
    engines: &Filled,
    sets: f64,
    threads: usize,
) -> Vec<Vec<Window>> {
    let contenders: Vec<Contender<'_>> = engines
        .iter()
        .map(|(kind, engine)| Contender {
            name: kind.name().to_owned(),
            engine: &**engine,
            gets: Gets::One,
        })
        .collect();
    let percent = (sets * 100.0).round();
    let title = format!(
        "{}/{percent} gets/sets: 1 M items, Zipf 0.99, {threads} thread{}",
        100.0 - percent,
        if threads == 1 { "" } else { "s" },
    );
    report.progress(&title);
    let windows = take_turns(plan, &contenders, sets, threads);
    report.table(table(&title, &contenders, &windows));
    windows
}

/// The windows of each contender, round by round.
fn take_turns(
    plan: &Plan,
    contenders: &[Contender<'_>],
    sets: f64,
    threads: usize,
) -> Vec<Vec<Window>> {
    let mix = Mix { keys: KEYS, exponent: 0.99, sets };
    let streams: Vec<Vec<Request>> =
        (0..threads as u64).map(|thread| mix.stream(STREAM, thread)).collect();
    let mut cursors: Vec<Vec<Cursor<'_>>> = contenders
        .iter()
        .map(|_| streams.iter().map(|stream| Cursor::new(stream)).collect())
        .collect();
    let mut windows = vec![Vec::new(); contenders.len()];
    let rounds = plan.pick(8, 24);
    // The first round warms up.
    for round in 0..=rounds {
        for (at, Contender { engine, gets, .. }) in contenders.iter().enumerate() {
            let window = windows::run(*engine, &mut cursors[at], &VALUE, *gets, WINDOW);
            if round > 0 {
                windows[at].push(window);
            }
        }
    }
    windows
}

/// Throughput and CPU time of every contender, beside quick_cache and segcache.
fn table(title: &str, contenders: &[Contender<'_>], windows: &[Vec<Window>]) -> Table {
    let headings = ["", "best Mops", "median", "CPU ns/op", "hits", "× quick_cache", "× segcache"];
    let mut table = Table::new(title, &headings);
    let base = |name: &str| {
        let same = |contender: &Contender<'_>| {
            contender.name == name || contender.name == format!("{name}, singly")
        };
        contenders.iter().position(same).map(|at| mops(&windows[at]))
    };
    let bases = [base("quick_cache"), base("segcache")];
    for (contender, windows) in contenders.iter().zip(windows) {
        let mops = mops(windows);
        let cpu: Vec<f64> = windows.iter().map(|window| window.cpu_nanos).collect();
        let hits: Vec<f64> = windows.iter().map(|window| window.hit_ratio).collect();
        let [quick, seg] = bases
            .each_ref()
            .map(|base| number(base.as_ref().map_or(f64::NAN, |base| paired_ratio(&mops, base))));
        table.row([
            contender.name.clone(),
            number(best(&mops)),
            number(median(&mops)),
            format!("{:.0}", median(&cpu)),
            format!("{:.4}", median(&hits)),
            quick,
            seg,
        ]);
    }
    table
}

fn mops(windows: &[Window]) -> Vec<f64> {
    windows.iter().map(|window| window.mops).collect()
}

/// Our throughput in units of a peer's.
fn ratio_to(engines: &Filled, windows: &[Vec<Window>], peer: Kind) -> f64 {
    let of = |kind| engines.iter().position(|(k, _)| *k == kind).map(|at| mops(&windows[at]));
    of(Kind::Larder).zip(of(peer)).map_or(f64::NAN, |(ours, theirs)| paired_ratio(&ours, &theirs))
}
