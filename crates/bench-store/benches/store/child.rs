//! A job in a process of its own: this program again, with a hidden subcommand, and one line of JSON
//! as its answer.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::engine::Kind;
use crate::rows::{memory, resident};

/// What such a process does.
#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum Job {
    /// Windows over many resident items
    #[command(hide = true)]
    Resident(resident::Job),
    /// Memory after some sets
    #[command(hide = true)]
    Memory(memory::Job),
}

impl Job {
    /// Does it; the answer.
    pub(crate) fn run(&self) -> anyhow::Result<Value> {
        match self {
            Job::Resident(job) => job.run(),
            Job::Memory(job) => job.run(),
        }
    }
}

/// Has a job done by another process.
pub(crate) fn ask(kind: Kind, args: &[String]) -> anyhow::Result<Value> {
    let program = std::env::current_exe().context("this program has no path")?;
    let output = Command::new(program)
        .args(args)
        .stderr(Stdio::inherit())
        .output()
        .context("this program cannot be run again")?;
    let name = kind.name();
    ensure!(output.status.success(), "{name}: {} failed: {}", args.join(" "), output.status);
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{name}: {} did not answer in JSON", args.join(" ")))
}
