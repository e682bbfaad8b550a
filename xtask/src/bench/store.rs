//! `cargo xtask bench store`: the engine beside its peers (the bench of `crates/bench-store`).

use std::path::PathBuf;

use anyhow::{Context, ensure};

use crate::test::cargo;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rows: get, mixed, many, resident, memory, ratio, ttl, trace, latency, pauses [default: all]
    #[arg(long, value_name = "A,B")]
    rows: Option<String>,
    /// Engines: larder, segcache, quick_cache, foyer, moka, lru, dashmap, papaya, memcached
    /// [default: all]
    #[arg(long, value_name = "A,B")]
    engines: Option<String>,
    /// About five minutes in all, rather than twenty
    #[arg(long)]
    quick: bool,
    /// A cache trace for the row "trace"; may be repeated
    #[arg(long, value_name = "FILE")]
    trace: Vec<PathBuf>,
    /// Writes all tables to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Builds everything for this very processor (builds of our users do not)
    #[arg(long)]
    native: bool,
}

/// Builds the bench and runs it.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mut cargo = cargo();
    cargo.args(["bench", "--quiet", "--package", "larder-bench-store", "--bench", "store"]);
    if args.native {
        // In a directory of its own, so that the usual build stays.
        let target = std::env::var_os("CARGO_TARGET_DIR");
        let target = target.map_or_else(|| crate::root().join("target"), PathBuf::from);
        cargo.arg("--target-dir").arg(target.join("native"));
        cargo.env("RUSTFLAGS", "-Ctarget-cpu=native");
    }
    cargo.arg("--");
    for (option, value) in [("--rows", &args.rows), ("--engines", &args.engines)] {
        if let Some(value) = value {
            cargo.args([option, value]);
        }
    }
    if args.quick {
        cargo.arg("--quick");
    }
    // The bench runs in another directory.
    let files = args.trace.iter().map(|file| ("--trace", file));
    for (option, file) in files.chain(args.json.iter().map(|file| ("--json", file))) {
        let file = std::path::absolute(file)
            .with_context(|| format!("{option} {}: not a path", file.display()))?;
        cargo.arg(option).arg(file);
    }
    let status = cargo.status().context("cannot run cargo bench")?;
    ensure!(status.success(), "the bench failed: {status}");
    Ok(())
}
