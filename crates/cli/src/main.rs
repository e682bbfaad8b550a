//! The `larder` command: composition and commands only, one file per command.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to a terminal"
)]

mod bench;
mod check;
mod memcached;
mod node;
mod serve;
mod tell;
mod units;
mod up;

use std::ffi::OsString;
use std::path::PathBuf;
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

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs everything embedded, in one process: the task list with its cache and its database
    /// (what happens without a command)
    Up,
    /// Runs the cache server: memcached's protocols, with users and tenants
    Serve(serve::Args),
    /// Runs the cache server behind memcached's own flags; `larder memcached -h` lists them
    #[command(disable_help_flag = true)]
    Memcached {
        /// memcached's flags
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<OsString>,
    },
    /// Sets a value in the configured cache and gets it back, and says what is wrong if that fails
    Check,
    /// Measures servers that speak memcached's protocols, alone or side by side
    Bench(Box<bench::Args>),
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

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let program = args.next().map(PathBuf::from).unwrap_or_default();
    if memcached::is_meant_by(&program) {
        return memcached::run(args);
    }
    let result = match Cli::parse().command.unwrap_or(Command::Up) {
        Command::Up => on_tokio(up::run()),
        Command::Serve(args) => serve::run(&args),
        Command::Memcached { flags } => return memcached::run(flags),
        Command::Check => on_tokio(check::run()),
        Command::Bench(args) => bench::run(*args).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        tell::error(format_args!("larder: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Runs a command that is for tokio; the servers have threads of their own.
fn on_tokio(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(command).map(|()| ExitCode::SUCCESS)
}
