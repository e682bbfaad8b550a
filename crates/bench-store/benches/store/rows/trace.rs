//! Hit ratios on recorded traces, as shares of the gap between LRU and the best there can be
//! (Belady), at 1 % and 10 % of the trace's footprint.

use std::path::Path;

use anyhow::Context;
use larder_bench_store::table::{Bar, Table};
use larder_bench_store::workload::KEY_BYTES;
use larder_sim::policy::Named;
use larder_sim::simulate;
use larder_sim::trace::Trace;

use super::ratio::{ENGINES, on_all_cores, read_through, sized};
use crate::Plan;
use crate::engine::{Kind, Limit, Size};
use crate::report::Report;

/// A cache is made at least this large by the size of its items, so that an engine that works in
/// segments has more than a hundred of them.
const LEAST_BYTES: usize = 2 << 20;

/// A trace and the size of the caches.
struct Point<'t> {
    trace: &'t Trace,
    percent: usize,
    items: usize,
    lru: f64,
    belady: f64,
}

/// Measures all engines on the traces that were named.
pub(crate) fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    if plan.traces.is_empty() {
        report.progress("no trace was named (--trace FILE): the row \"trace\" is left out");
        return Ok(());
    }
    let traces: Vec<Trace> =
        plan.traces.iter().map(|path| open(path)).collect::<anyhow::Result<_>>()?;
    let mut points = Vec::new();
    for trace in &traces {
        for percent in [1, 10] {
            points.push(point(trace, percent)?);
        }
    }
    report.progress("trace files");
    // LRU is known from the simulation.
    let kinds: Vec<Kind> =
        plan.among(&ENGINES).into_iter().filter(|kind| *kind != Kind::Lru).collect();
    let jobs: Vec<(&Point<'_>, Kind)> =
        points.iter().flat_map(|point| kinds.iter().map(move |kind| (point, *kind))).collect();
    let ratios = on_all_cores(&jobs, |(point, kind)| point.run(*kind))?;

    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    let headings = [&["", "items", "LRU", "Belady"], &names[..]].concat();
    let mut table = Table::new("Hit ratios on traces, read through from an empty cache", &headings);
    let mut gaps = vec![Vec::new(); kinds.len()];
    for (point, ratios) in points.iter().zip(ratios.chunks(kinds.len().max(1))) {
        let name = format!("{}, {} %", point.trace.name, point.percent);
        let known = [point.items.to_string(), ratio(point.lru), ratio(point.belady)];
        let found = ratios.iter().copied().map(ratio);
        table.row([name.clone()].into_iter().chain(known).chain(found));
        for ((gaps, found), kind) in gaps.iter_mut().zip(ratios).zip(&kinds) {
            gaps.push((found - point.lru) / (point.belady - point.lru));
            if *kind == Kind::Larder {
                let what = format!("{name}: points above LRU");
                report.bar(Bar::at_least(what, (found - point.lru) * 100.0, -0.2));
            }
        }
    }
    let mut row = ["gap closed, mean", "", "", ""].map(str::to_owned).to_vec();
    for (gaps, kind) in gaps.iter().zip(&kinds) {
        let mean = gaps.iter().sum::<f64>() / points.len() as f64;
        row.push(format!("{:.1} %", mean * 100.0));
        if *kind == Kind::Larder {
            let what = "traces: mean share of the gap LRU to Belady, %";
            report.bar(Bar::at_least(what, mean * 100.0, 17.0));
        }
    }
    table.row(row);
    traces
        .iter()
        .filter_map(|trace| trace.credit.as_ref())
        .for_each(|credit| table.note(credit.to_string()));
    report.table(table);
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<Trace> {
    let path = path.to_str().context("a trace's path is not UTF-8")?;
    Trace::open(path)
}

fn point(trace: &Trace, percent: usize) -> anyhow::Result<Point<'_>> {
    let items = (trace.keys * percent / 100).max(1);
    let next = simulate::next_requests(&trace.requests);
    let of = |policy: &str| -> anyhow::Result<f64> {
        let policy = Named::parse(policy)?;
        Ok(simulate::hit_ratio(trace, &policy, items as u64, false, Some(&next)))
    };
    Ok(Point { trace, percent, items, lru: of("lru")?, belady: of("belady")? })
}

impl Point<'_> {
    fn run(&self, kind: Kind) -> anyhow::Result<f64> {
        let item_bytes = (LEAST_BYTES / self.items).max(KEY_BYTES + 100);
        let value = vec![b'v'; item_bytes - KEY_BYTES];
        let size = Size { limit: Limit::Items, ..Size::roomy(self.items, item_bytes) };
        let keys = u32::try_from(self.trace.keys)?;
        let outcome = sized(kind, &size, keys, |engine, _| {
            read_through(engine, self.trace.requests.iter().copied(), &value)
        })?;
        Ok(outcome.hit_ratio)
    }
}

fn ratio(ratio: f64) -> String {
    format!("{ratio:.4}")
}
