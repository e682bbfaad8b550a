//! The `tasklist` binary: commands and composition, nothing else.
//!
//! `serve` (the default) and `migrate` read the same environment; a wrong variable ends either with
//! a message before anything is opened.

#![allow(clippy::print_stdout, reason = "a command-line tool talks to a terminal")]

mod story;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use larder::Cache;
use tasklist::config::{Config, VARIABLES};
use tasklist::{App, app, logging, shutdown};

/// A page from the cache is mostly allocations of a few dozen bytes and one of the page's size.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A task list that shows every way of caching.
#[derive(Debug, Parser)]
#[command(name = "tasklist", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Serves the task list (what happens without a command); migrates the database first
    Serve,
    /// Brings the database's schema up to date, then ends
    Migrate,
    /// Plays the tutorials' story and prints each claim with what was measured: in a database of
    /// its own, unless DATABASE_URL names one
    Walkthrough,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, whatever RUST_BACKTRACE says: these are errors of the environment.
            let _ = writeln!(std::io::stderr(), "tasklist: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let matches = Cli::command().after_help(variables()).get_matches();
    let command = Cli::from_arg_matches(&matches)?.command;
    let config = Config::from_env()?;
    // A release step must fail on what would stop the web process after it.
    let cache = Cache::from_env()?;
    logging::init(config.log)?;
    match command.unwrap_or(Command::Serve) {
        Command::Serve => serve(config, cache).await,
        Command::Migrate => app::migrated(&config).await.map(drop),
        Command::Walkthrough => story::run(config, cache).await,
    }
}

async fn serve(config: Config, cache: Cache) -> anyhow::Result<()> {
    let stop = shutdown::signal()?;
    let listener = tasklist::bind(config.listen).await?;
    let addr = listener.local_addr()?;
    let app = App::open(config, cache).await?;
    tracing::info!(hosts = %app.config.allowed_hosts, cache = app.cache.backend().describe(), "serving");
    println!("listening on http://{addr}");
    let db = app.db.clone();
    let stop = async {
        let signal = stop.await;
        tracing::info!(signal, "stopping");
    };
    tasklist::serve(app, listener, stop).await?;
    db.close().await;
    Ok(())
}

/// The table of variables, for `--help`.
fn variables() -> String {
    let mut text = String::from("Environment variables:\n");
    for variable in VARIABLES {
        let (name, default) = (variable.name, variable.default);
        let (help, valid) = (variable.help, variable.valid);
        let _ = writeln!(text, "  {name}\n      {help}\n      {valid} [default: {default}]");
    }
    text.push_str(CACHE_VARIABLES);
    text
}

/// The variables that belong to the framework and to the log filter.
const CACHE_VARIABLES: &str = "
  MEMCACHIER_SERVERS, MEMCACHIER_USERNAME, MEMCACHIER_PASSWORD
      the cache servers, host[:port] separated by commas, and their credentials
      none: a cache in this process; MEMCACHE_… are the same under another name
  LARDER_URL
      the same as one URL: memcached://user:password@host1,host2:11212/?timeout=250ms
  RUST_LOG
      which log lines are written: error, warn, info, debug, trace, or a list [default: info]
";
