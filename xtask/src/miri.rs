//! `cargo xtask miri`: the cache engine under Miri, which knows what a program may do with memory.
//!
//! Not part of `cargo xtask test`: it needs a nightly compiler, and minutes.

use anyhow::{Context, ensure};

/// What there is to install if it is missing.
const INSTALL: &str = "rustup toolchain install nightly --component miri --component rust-src";

/// Runs the tests that are made for it; `filter` is a part of the names of those to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only tests whose name contains this
    filter: Option<String>,
}

/// Runs them.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut version = std::process::Command::new("rustup");
    let version = version.args(["run", "nightly", "cargo", "miri", "--version"]).output();
    let version = version.context("cannot run rustup, which finds the nightly compiler")?;
    ensure!(version.status.success(), "there is no Miri: {INSTALL}");
    print!("{}", String::from_utf8_lossy(&version.stdout));
    let mut miri = std::process::Command::new("rustup");
    miri.current_dir(crate::root());
    miri.args(["run", "nightly", "cargo", "miri", "test", "--package=larder-store", "--test=miri"]);
    miri.arg("--").args(["--test-threads=1", "--nocapture"]).args(&args.filter);
    // The tests ask for the time, which Miri else makes up.
    miri.env("MIRIFLAGS", "-Zmiri-disable-isolation");
    let status = miri.status().context("cannot run cargo miri")?;
    ensure!(status.success(), "Miri: {status}");
    Ok(())
}
