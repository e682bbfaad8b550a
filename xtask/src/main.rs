//! What CI runs, runnable on a laptop: `cargo xtask <command>`.
//!
//! One file per command; this one only reads the command line. A command returns an error to fail,
//! and the error is the last line printed.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to a terminal"
)]

mod bench;
mod clients;
mod fuzz;
mod miri;
mod peers;
mod soak;
mod suite;
mod test;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "What CI runs, runnable on a laptop")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything CI checks: peers, formatting, lints, build, tidiness, tests, documentation
    Test(test::Args),
    /// The rules of the house that the compiler does not know
    Tidy,
    /// Measurements for docs/performance.md
    #[command(subcommand)]
    Bench(bench::Bench),
    /// The cache engine under Miri; needs a nightly compiler
    Miri(miri::Args),
    /// Random bytes for the parsers and the engine; needs a nightly compiler and cargo-fuzz
    Fuzz(fuzz::Args),
    /// Long runs that check every answer
    #[command(subcommand)]
    Soak(soak::Soak),
    /// memcached's own wire suite against our server
    Suite(suite::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Test(args) => test::run(&args),
        Command::Tidy => tidy::run(),
        Command::Bench(bench) => bench::run(&bench),
        Command::Miri(args) => miri::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Soak(soak) => soak::run(&soak),
        Command::Suite(args) => suite::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root directory.
fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask is in the workspace").to_path_buf()
}
