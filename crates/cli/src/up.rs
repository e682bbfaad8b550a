//! `larder up`: the whole story in one process, for a newcomer. State is kept in `./larder-data`.

use larder::Cache;
use tasklist::config::Config;
use tasklist::{App, logging, shutdown};

use crate::tell;

/// Serves until Ctrl-C or SIGTERM.
pub(crate) async fn run() -> anyhow::Result<()> {
    let config = Config::from_env()?;
    let cache = Cache::from_env()?;
    logging::init(config.log)?;
    let stop = shutdown::signal()?;
    let listener = tasklist::bind(config.listen).await?;
    let addr = listener.local_addr()?;
    let app = App::open(config, cache).await?;
    print_banner(&app, addr);
    let db = app.db.clone();
    tasklist::serve(app, listener, async {
        stop.await;
        tell::out("\nStopping.\n");
    })
    .await?;
    db.close().await;
    Ok(())
}

fn print_banner(app: &App, addr: std::net::SocketAddr) {
    // A browser on this machine finds an app that listens everywhere at its loopback address.
    let host = if addr.ip().is_unspecified() {
        "127.0.0.1".to_owned()
    } else {
        match addr {
            std::net::SocketAddr::V4(addr) => addr.ip().to_string(),
            std::net::SocketAddr::V6(addr) => format!("[{}]", addr.ip()),
        }
    };
    let url = format!("http://{host}:{}", addr.port());
    println!("Larder {}", env!("CARGO_PKG_VERSION"));
    println!();
    println!("  Task list  {url}");
    println!("  Caches     {url}/caches");
    if addr.ip().is_unspecified() {
        println!(
            "  Listening  on all interfaces (TASKLIST_LISTEN=127.0.0.1 keeps it to this machine)"
        );
    }
    println!();
    println!("  Database   {}", app.config.database_url);
    println!("  Cache      {}", app.cache.backend().describe());
    println!();
    println!("Ctrl-C stops it.");
}
