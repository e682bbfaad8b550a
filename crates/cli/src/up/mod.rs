//! `larder up`: the whole story in one process, for a newcomer: a cache server with accounts and a console,
//! and the task list as an application that uses it like any other, over TCP with a username and a
//! password. State is kept in `./larder-data`.
//!
//! If the environment names cache servers, the task list uses those, and none is started here.
//!
//! It stops in the order of use: the task list, the console, the cache server.

mod demo;
mod server;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use larder::Cache;
use tasklist::config::Config;
use tasklist::{App, logging, shutdown};
use tokio::net::TcpListener;

use self::server::Embedded;
use crate::accounts::{place, sign_in};
use crate::serve::Setting;
use crate::{serve, tell};

const MORE: &str = "\
What larder serve takes as variables is taken here, too: LARDER_MEMORY, LARDER_THREADS, …
With MEMCACHIER_SERVERS or LARDER_URL set, the task list uses those servers, and none is started here.";

/// Signals that come closer to the first are the same wish to stop.
const ONE_WISH: Duration = Duration::from_secs(1);

/// Flags of `larder up`.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = MORE)]
pub(crate) struct Args {
    /// Where everything is kept  [default: LARDER_DATA, else ./larder-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the cache server listens  [default: LARDER_LISTEN, else 127.0.0.1:11211]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where the console listens  [default: LARDER_CONSOLE, else 127.0.0.1:8001]
    #[arg(long, value_name = "ADDRESS:PORT")]
    console: Option<String>,
    /// The port of the task list  [default: PORT, else 8000]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

/// Serves until Ctrl-C or SIGTERM.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut config = Config::from_vars(std::env::vars_os().chain(args.database()))?;
    if let Some(port) = args.port {
        config.listen.set_port(port);
    }
    let configured = Cache::from_env()?;
    logging::init(config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let inside = runtime.enter();
    let stop = shutdown::signal()?;
    drop(inside);
    let listener = runtime.block_on(tasklist::bind(config.listen))?;
    let (embedded, cache) = if configured.backend().client().is_some() {
        (None, configured)
    } else {
        let embedded = Embedded::start(&args.sources()?)?;
        let cache = embedded.cache()?;
        (Some(embedded), cache)
    };
    let served = runtime.block_on(serve_tasks(config, cache, listener, embedded.as_ref(), stop));
    let stopped = embedded.map_or(Ok(()), Embedded::stop);
    runtime.shutdown_timeout(ONE_WISH);
    served.and(stopped)?;
    tell::out("Stopped.\n");
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// The variable of the task list's database, which is in the same directory as all else unless
    /// somebody says otherwise.
    fn database(&self) -> Option<(OsString, OsString)> {
        const NAME: &str = "DATABASE_URL";
        let data = self.data.clone().map(PathBuf::into_os_string);
        let data = data.or_else(|| std::env::var_os("LARDER_DATA").filter(|data| !data.is_empty()));
        let mut url = OsString::from("sqlite:");
        url.push(Path::new(&data?).join("tasklist.db"));
        std::env::var_os(NAME).is_none().then(|| (NAME.into(), url))
    }

    /// The settings of the cache server.
    fn sources(&self) -> anyhow::Result<serve::Sources> {
        let mut serve = serve::Args::default();
        let data = self.data.as_deref().map(|data| data.display().to_string());
        for (setting, value) in [
            (Setting::Data, data),
            (Setting::Listen, self.listen.clone()),
            (Setting::Console, self.console.clone()),
        ] {
            serve.give(setting, value);
        }
        Ok(serve.sources()?.or(Setting::Data, place::DEFAULT_DATA))
    }
}

async fn serve_tasks(
    config: Config,
    cache: Cache,
    listener: TcpListener,
    embedded: Option<&Embedded>,
    stop: impl Future<Output = &'static str> + Send + 'static,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    let app = App::open(config, cache).await?;
    tell::out(banner(&app, address, embedded));
    let db = app.db.clone();
    tasklist::serve(app, listener, async {
        stop.await;
        tell::out("\nStopping.\n");
        tokio::spawn(stop_at_once());
    })
    .await?;
    db.close().await;
    Ok(())
}

/// Ends the process when it is told again to stop.
async fn stop_at_once() {
    tokio::time::sleep(ONE_WISH).await;
    if let Ok(again) = shutdown::signal() {
        again.await;
        tell::error("larder: told again to stop: ending at once");
        std::process::exit(1);
    }
}

fn banner(app: &App, address: SocketAddr, embedded: Option<&Embedded>) -> String {
    let mut text = format!("Larder {}\n\n", env!("CARGO_PKG_VERSION"));
    // Writing to a string does not fail.
    let mut line = |heading: &str, line: &str| {
        let _ = writeln!(text, "  {heading:<10} {line}");
    };
    let url = format!("http://{}", serve::near(address));
    line("Task list", &url);
    line("Caches", &format!("{url}/caches"));
    if address.ip().is_unspecified() {
        line("", "on all interfaces (TASKLIST_LISTEN=127.0.0.1 keeps it to this machine)");
    }
    if let Some(embedded) = embedded {
        if let Some(console) = &embedded.console_url {
            line("Console", console);
            match &embedded.link {
                Some(link) => {
                    line("Sign in", &sign_in::address(console, link));
                    line("", "works once, within 15 minutes; larder sign-in prints another");
                }
                None => line("Sign in", "larder sign-in prints a link"),
            }
        }
        line("", "");
        line("Cache", &embedded.describe());
    } else {
        line("", "");
        line("Cache", &app.cache.backend().describe());
        line("", "as the environment says; no cache server and no console are started");
    }
    line("Database", &app.config.database_url.to_string());
    if let Some(embedded) = embedded {
        text += &variables(embedded, &embedded.env_file);
    }
    text += "\nCtrl-C stops it.\n";
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

/// What other applications need to use the same cache.
fn variables(embedded: &Embedded, file: &Path) -> String {
    let mut text = format!("\nThe cache's variables, which are in {}, too:\n\n", file.display());
    for (name, value) in embedded.access.variables() {
        if name.starts_with("MEMCACHIER_") {
            let _ = writeln!(text, "  {name}={value}");
        }
    }
    text
}
