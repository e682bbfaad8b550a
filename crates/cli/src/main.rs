//! The `larder` command: composition and commands only, one file per command.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to a terminal"
)]

mod check;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Memcache for web apps, whole.
#[derive(Debug, Parser)]
#[command(name = "larder", version, after_help = ENVIRONMENT)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Runs everything embedded, in one process: the task list with its cache and its database
    /// (what happens without a command)
    Up,
    /// Sets a value in the configured cache and gets it back, and says what is wrong if that fails
    Check,
}

const ENVIRONMENT: &str = "\
Environment:
  MEMCACHIER_SERVERS   cache servers, host[:port] separated by commas; none: a cache in this process
  MEMCACHIER_USERNAME  with MEMCACHIER_PASSWORD, if the servers ask for them
  MEMCACHE_…           the same three under their other name
  LARDER_URL           memcached://user:password@host1,host2:11212/?ring=ketama&timeout=250ms
  DATABASE_URL         sqlite:PATH, postgres://… or mysql://…  [default: sqlite:./larder-data/tasklist.db]
  PORT                 the port to listen on  [default: 8000]
The task list's own variables, TASKLIST_…, are in docs/deploy.md.";

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command.unwrap_or(Command::Up) {
        Command::Up => up::run().await,
        Command::Check => check::run().await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("larder: {error:#}");
            ExitCode::FAILURE
        }
    }
}
