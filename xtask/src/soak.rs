//! `cargo xtask soak store`: a long run at the limit, every value checked (the example `soak` of
//! `crates/store`).

use std::path::PathBuf;

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
    /// Writes the figures of every few seconds to this file, too
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

/// Builds it and runs it.
pub(crate) fn run(soak: &Soak) -> anyhow::Result<()> {
    let Soak::Store(args) = soak;
    let mut cargo = cargo();
    cargo.args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "larder-store",
        "--example",
        "soak",
        "--",
    ]);
    cargo.arg("--minutes").arg(args.minutes.to_string());
    cargo.arg("--mib").arg(args.mib.to_string());
    cargo.arg("--threads").arg(args.threads.to_string());
    if let Some(file) = &args.csv {
        let file = std::path::absolute(file)
            .with_context(|| format!("--csv {}: not a path", file.display()))?;
        cargo.arg("--csv").arg(file);
    }
    let status = cargo.status().context("cannot run cargo")?;
    ensure!(status.success(), "the soak failed: {status}");
    Ok(())
}
