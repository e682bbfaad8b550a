//! What is measured, one file for each question.

mod latency;
pub(crate) mod memory;
mod pauses;
mod ratio;
pub(crate) mod resident;
mod speed;
mod trace;
mod ttl;

use crate::Plan;
use crate::report::Report;

/// A part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Row {
    /// 99 % gets, 1 M items, 1 and 2 threads
    Get,
    /// 90 % gets, 1 and 2 threads
    Mixed,
    /// Gets in batches
    Many,
    /// 10 M items resident
    Resident,
    /// Bytes per item, items in 256 MiB, memory after churn
    Memory,
    /// Hit ratios on synthetic streams
    Ratio,
    /// Items that expire
    Ttl,
    /// Hit ratios on trace files
    Trace,
    /// A get beside a flat-out writer
    Latency,
    /// The longest single operation
    Pauses,
}

impl Row {
    pub(crate) const ALL: [Row; 10] = [
        Row::Get,
        Row::Mixed,
        Row::Many,
        Row::Resident,
        Row::Memory,
        Row::Ratio,
        Row::Ttl,
        Row::Trace,
        Row::Latency,
        Row::Pauses,
    ];

    /// Measures it and adds its tables and bars to the report.
    pub(crate) fn measure(self, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
        match self {
            Row::Get => speed::get(plan, report),
            Row::Mixed => speed::mixed(plan, report),
            Row::Many => speed::many(plan, report),
            Row::Resident => resident::measure(plan, report),
            Row::Memory => memory::measure(plan, report),
            Row::Ratio => ratio::measure(plan, report),
            Row::Ttl => ttl::measure(plan, report),
            Row::Trace => trace::measure(plan, report),
            Row::Latency => latency::measure(plan, report),
            Row::Pauses => pauses::measure(plan, report),
        }
    }
}
