//! The `larder` command: composition and commands only, one file per command.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to a terminal"
)]

mod accounts;
mod bench;
mod check;
mod memcached;
mod node;
mod now;
mod serve;
mod tell;
mod units;
mod up;
mod watch;

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
    /// Runs everything in one process: a cache server with its console, and the task list that uses it
    /// (what happens without a command)
    Up(up::Args),
    /// Runs the cache server: memcached's protocols, with users and tenants
    Serve(serve::Args),
    /// Makes a cache for an application and prints how it is reached
    Provision(accounts::provision::Args),
    /// Lists tenants, shows them, changes them
    Tenants(accounts::tenants::Args),
    /// Lists who may use a tenant, and changes it
    Credentials(accounts::credentials::Args),
    /// Prints a link that signs in to the console, once
    SignIn(accounts::sign_in::Args),
    /// Makes all that is cached a miss, of a tenant or of the configured cache
    Flush(accounts::flush::Args),
    /// Shows what servers count, ours or memcached
    Stats(watch::stats::Args),
    /// Shows what goes on, live: tenants, prefixes and keys
    Top(watch::top::Args),
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
  LARDER_DATA          where accounts, history and the like are kept  [default: ./larder-data]
  LARDER_DATABASE_URL  postgres://…, if several servers share their accounts
  DATABASE_URL         the task list's: sqlite:PATH, postgres://… or mysql://…  [default: sqlite:./larder-data/tasklist.db]
  PORT                 the port to listen on  [default: 8000]
The task list's own variables, TASKLIST_…, are in docs/deploy.md.";

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let program = args.next().map(PathBuf::from).unwrap_or_default();
    if memcached::is_meant_by(&program) {
        return memcached::run(args);
    }
    let command = Cli::parse().command.unwrap_or(Command::Up(up::Args::default()));
    let result = match command {
        Command::Up(args) => up::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Provision(args) => on_tokio(accounts::provision::run(args)),
        Command::Tenants(args) => on_tokio(accounts::tenants::run(args)),
        Command::Credentials(args) => on_tokio(accounts::credentials::run(args)),
        Command::SignIn(args) => on_tokio(accounts::sign_in::run(args)),
        Command::Flush(args) => on_tokio(accounts::flush::run(args)),
        Command::Stats(args) => on_tokio(watch::stats::run(args)),
        Command::Top(args) => on_tokio(watch::top::run(args)),
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
