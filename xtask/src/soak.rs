//! `cargo xtask soak store`: a long run at the limit, every value checked (the example `soak` of
//! `crates/store`), and its picture (`larder-sim series`). That in the documentation is drawn by
//!
//! ```console
//! $ cargo xtask soak store --minutes 10 --mib 64 --threads 2 --plot docs/images/soak.svg
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Subcommand;

use crate::test::cargo;

/// What to run.
#[derive(Debug, Subcommand)]
pub(crate) enum Soak {
    /// The cache engine: all commands on checksummed values, under eviction and size shifts
    Store(Args),
}

/// How long and how large.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long it runs
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// The limit of the store in MiB
    #[arg(long, default_value_t = 64)]
    mib: usize,
    /// Threads at work
    #[arg(long, default_value_t = 4)]
    threads: usize,
    /// Writes the figures to this file, too
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draws memory, hit ratio and latency over time
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// Builds it and runs it, and draws what it measured.
pub(crate) fn run(soak: &Soak) -> anyhow::Result<()> {
    let Soak::Store(args) = soak;
    let csv = args.csv.as_deref().map(|file| absolute("--csv", file)).transpose()?;
    let Some(plot) = &args.plot else { return measure(args, csv.as_deref()) };
    let plot = absolute("--plot", plot)?;
    let own = tempfile::tempdir().context("there is no place for the figures")?;
    let csv = csv.unwrap_or_else(|| own.path().join("run.csv"));
    measure(args, Some(&csv))?;
    draw(&csv, &plot)
}

fn measure(args: &Args, csv: Option<&Path>) -> anyhow::Result<()> {
    let mut cargo = cargo();
    cargo.args(["run", "--quiet", "--release", "--package=larder-store", "--example=soak", "--"]);
    cargo.arg("--minutes").arg(args.minutes.to_string());
    cargo.arg("--mib").arg(args.mib.to_string());
    cargo.arg("--threads").arg(args.threads.to_string());
    if let Some(csv) = csv {
        cargo.arg("--csv").arg(csv);
    }
    let status = cargo.status().context("cannot run cargo")?;
    ensure!(status.success(), "the soak failed: {status}");
    Ok(())
}

fn draw(csv: &Path, plot: &Path) -> anyhow::Result<()> {
    let mut cargo = cargo();
    cargo.args(["run", "--quiet", "--package=larder-sim", "--", "series"]).args([csv, plot]);
    let status = cargo.status().context("cannot run cargo")?;
    ensure!(status.success(), "cannot draw the figures: {status}");
    Ok(())
}

/// What is run works in another directory.
fn absolute(option: &str, file: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(file).with_context(|| format!("{option} {}: not a path", file.display()))
}
