//! Our engine beside its peers, in one run: `cargo xtask bench store`.
//!
//! - `engine`: what is asked of an engine; `engines`: one file for each.
//! - `windows`: short windows in turns, so that a slow moment of the machine hits all.
//! - `child`: a process of its own for what would disturb, or be disturbed by, its neighbours.
//! - `rows`: what is measured, one file for each question.
//!
//! Figures are worth something as ratios within one run. Where a bar compares two engines, it is the
//! median of the quotients of the windows of the same round.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

mod child;
mod engine;
mod engines;
mod report;
mod rows;
mod rss;
mod windows;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::engine::Kind;
use crate::report::Report;
use crate::rows::Row;

/// The engine beside its peers
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo xtask bench store")]
struct Cli {
    /// What to measure; everything without this
    #[arg(long, value_delimiter = ',', value_enum)]
    rows: Vec<Row>,
    /// Which engines; all without this
    #[arg(long, value_delimiter = ',', value_enum)]
    engines: Vec<Kind>,
    /// Shorter: about five minutes in all
    #[arg(long)]
    quick: bool,
    /// A cache trace for the row "trace"; may be repeated
    #[arg(long, value_name = "FILE")]
    trace: Vec<PathBuf>,
    /// Writes all tables to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What cargo says to a bench
    #[arg(long, hide = true)]
    bench: bool,
    /// Only this, in a process of its own
    #[command(subcommand)]
    job: Option<child::Job>,
}

/// What every row needs to know.
#[derive(Debug)]
struct Plan {
    quick: bool,
    /// Empty: all.
    engines: Vec<Kind>,
    traces: Vec<PathBuf>,
}

impl Plan {
    /// The engines of a row that are to be measured at all.
    fn among(&self, kinds: &[Kind]) -> Vec<Kind> {
        let wanted = |kind: &Kind| self.engines.is_empty() || self.engines.contains(kind);
        kinds.iter().copied().filter(wanted).collect()
    }

    /// One of two settings.
    fn pick<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench store: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    if let Some(job) = &cli.job {
        println!("{}", job.run()?);
        return Ok(());
    }
    let plan = Plan { quick: cli.quick, engines: cli.engines, traces: cli.trace };
    let mut report = Report::begin();
    for row in Row::ALL {
        if cli.rows.is_empty() || cli.rows.contains(&row) {
            row.measure(&plan, &mut report)?;
        }
    }
    report.end(cli.json.as_deref())
}
