//! `cargo xtask test`: the one test command.
//!
//! A list of steps, run in order from the workspace's root; each prints a heading and how long it
//! took, the first that fails ends the run. Nothing is skipped: a peer that is missing is installed
//! or is an error.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::{clients, peers, root, tidy};

/// Arguments of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Install nothing: fail and list what is missing
    #[arg(long)]
    no_install: bool,
}

/// A part of the run.
struct Step {
    name: &'static str,
    action: Action,
}

enum Action {
    Peers,
    Tidy,
    /// Arguments of `cargo`.
    Cargo(&'static [&'static str]),
    /// The same, with every warning of rustdoc an error.
    Rustdoc(&'static [&'static str]),
}

/// The cheap checks come before the expensive ones.
const STEPS: &[Step] = &[
    Step { name: "peers", action: Action::Peers },
    Step { name: "format", action: Action::Cargo(&["fmt", "--all", "--check"]) },
    Step { name: "tidy", action: Action::Tidy },
    Step {
        name: "clippy",
        action: Action::Cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    },
    // Tests that start our own programs find them built.
    Step { name: "build", action: Action::Cargo(&["build", "-p", "larder-cli", "-p", "tasklist"]) },
    Step { name: "test", action: Action::Cargo(&["test", "--workspace", "--no-fail-fast"]) },
    // The engine with its atomics and locks wrapped: all schedules of threads, all lines written.
    Step {
        name: "shuttle",
        action: Action::Cargo(&[
            "test",
            "--package=larder-store",
            "--features=shuttle",
            "--lib",
            "--test=shuttle",
        ]),
    },
    Step {
        name: "lines",
        action: Action::Cargo(&[
            "test",
            "--package=larder-store",
            "--features=lines",
            "--test=lines",
        ]),
    },
    Step { name: "doc", action: Action::Rustdoc(&["doc", "--workspace", "--no-deps"]) },
];

/// Runs all steps; fails at the first that fails.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut times = Vec::new();
    for step in STEPS {
        println!("\n=== {} ===", step.name);
        let start = Instant::now();
        let result = step.action.run(args);
        let time = start.elapsed();
        times.push((step.name, time));
        let ending = if result.is_ok() { "ok" } else { "FAILED" };
        println!("=== {}: {ending}, {} ===", step.name, seconds(time));
        if result.is_err() {
            println!("\n{}", table(&times));
        }
        result.with_context(|| format!("test: step '{}' failed", step.name))?;
    }
    println!("\n{}", table(&times));
    Ok(())
}

impl Action {
    fn run(&self, args: &Args) -> anyhow::Result<()> {
        match self {
            Action::Peers => {
                peers::make_sure(!args.no_install)?;
                clients::make_sure(!args.no_install)
            }
            Action::Tidy => tidy::run(),
            Action::Cargo(arguments) => run_cargo(arguments, cargo()),
            Action::Rustdoc(arguments) => {
                let mut cargo = cargo();
                cargo.env("RUSTDOCFLAGS", "-Dwarnings");
                run_cargo(arguments, cargo)
            }
        }
    }
}

/// The cargo that runs this program, in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

fn run_cargo(arguments: &[&str], mut cargo: Command) -> anyhow::Result<()> {
    let line = format!("cargo {}", arguments.join(" "));
    println!("$ {line}");
    let status = cargo.args(arguments).status().with_context(|| format!("cannot run {line}"))?;
    if !status.success() {
        bail!("{line}: {status}");
    }
    Ok(())
}

/// The steps and their times, one a line, with the sum.
fn table(times: &[(&str, Duration)]) -> String {
    let sum = times.iter().map(|(_, time)| *time).sum();
    let row = |name: &str, time| format!("{name:<8}{:>10}\n", seconds(time));
    let mut table: String = times.iter().map(|(name, time)| row(name, *time)).collect();
    table.push_str(&row("all", sum));
    table
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_step_and_the_sum() {
        let times = [("peers", Duration::from_millis(40)), ("clippy", Duration::from_secs(12))];
        assert_eq!(table(&times), "peers        0.0 s\nclippy      12.0 s\nall         12.0 s\n");
    }

    #[test]
    fn a_failing_cargo_command_is_named() {
        let error = run_cargo(&["build", "-p", "x"], Command::new("false")).unwrap_err();
        assert_eq!(error.to_string(), "cargo build -p x: exit status: 1");
    }
}
