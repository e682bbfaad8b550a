//! `larder-sim`: the table and the picture, on the command line.

#![allow(clippy::print_stdout, reason = "a command-line tool talks to a terminal")]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Parser, Subcommand};

use larder_sim::policy::{self, Named};
use larder_sim::series::Series;
use larder_sim::trace::Trace;
use larder_sim::{plot, report, simulate};

/// Runs cache traces through eviction policies and prints their hit ratios.
#[derive(Debug, Parser)]
#[command(name = "larder-sim", version, after_help = TRACES)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Cache sizes: shares of all keys (or bytes) of a trace, or absolute numbers
    #[arg(long, value_delimiter = ',', default_value = "1%,10%")]
    sizes: Vec<String>,
    /// Policies; the engine's can be varied: engine/segments=512/small=5%
    #[arg(long, value_delimiter = ',', default_value = policy::ALL)]
    policies: Vec<String>,
    /// Counts the sizes of items, if the trace has them; without, every item has size 1
    #[arg(long)]
    bytes: bool,
    /// Prints a line per trace, size and policy, separated by tabs
    #[arg(long)]
    tsv: bool,
    /// Draws what is gained over LRU
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Trace files, or specifications of made-up traces
    #[arg(required = true, value_name = "TRACE")]
    traces: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Draws the figures of a long run (cargo xtask soak store --csv)
    Series {
        #[arg(value_name = "RUN.csv")]
        figures: PathBuf,
        #[arg(value_name = "FILE.svg")]
        plot: PathBuf,
    },
}

const TRACES: &str = "\
Traces, by file name, each may end in .zst or .xz, too:
  *.lis                ARC: lines of `first-block blocks 0 request`
  *.trace              cache2k: big-endian 32-bit keys
  *oracleGeneral*      libCacheSim: 24-byte records
  any other            text, a key a line
Made-up traces:
  zipf:<alpha>:<keys>:<requests>[:scan=25%][:sized][:ttl][:seed=42]
  loop:<keys>[:<requests>]";

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match &cli.command {
        Some(Command::Series { figures, plot }) => series(figures, plot),
        None => compare(&cli),
    }
}

fn compare(cli: &Cli) -> anyhow::Result<()> {
    let policies: Vec<Named> =
        cli.policies.iter().map(|name| Named::parse(name)).collect::<anyhow::Result<_>>()?;
    let mut points = Vec::new();
    let mut credits = Vec::new();
    for source in &cli.traces {
        let trace = Trace::open(source)?;
        let sizes = simulate::sizes(&cli.sizes, trace.footprint(cli.bytes))?;
        points.extend(simulate::points(&trace, &sizes, &policies, cli.bytes));
        credits.extend(trace.credit.filter(|credit| !credits.contains(credit)));
    }
    let text = if cli.tsv { report::tsv } else { report::table };
    print!("{}", text(&points, &policies));
    if !cli.tsv {
        credits.iter().for_each(|credit| println!("{credit}"));
    }
    if let Some(path) = &cli.plot {
        let svg = plot::svg(&points, &policies, &credits)
            .context("--plot compares with lru: name it and others in --policies")?;
        write(path, &svg)?;
    }
    Ok(())
}

fn series(figures: &Path, plot: &Path) -> anyhow::Result<()> {
    let file = figures.display();
    let csv = fs::read_to_string(figures).with_context(|| format!("cannot read {file}"))?;
    let series = Series::parse(&csv).with_context(|| file.to_string())?;
    write(plot, &series.svg())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
