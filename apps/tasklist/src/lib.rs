//! The task list: the reference app that shows every way of caching.
//!
//! | module | what lives there |
//! |---|---|
//! | [`tasks`] | the list and the ways of caching it: begin reading here |
//! | [`app`] | everything put together |
//! | [`web`] | pages and forms |
//! | [`db`] | SQLite, PostgreSQL, MySQL and MariaDB |
//! | [`config`] | what the environment asks for |
//! | [`trace`] | what a request cost |
//! | [`walkthrough`], [`visitor`] | the tutorials' story, played over HTTP |
//! | [`logging`], [`shutdown`] | what a process needs around them |
//!
//! The binary only composes these. Nothing here reads the environment except
//! [`config::Config::from_env`] and the log filter, so tests give every part its input.

pub mod app;
pub mod config;
pub mod db;
pub mod logging;
pub mod shutdown;
pub mod tasks;
pub mod trace;
pub mod visitor;
pub mod walkthrough;
pub mod web;

use std::io;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;

pub use app::App;

/// Listens on `addr`.
///
/// # Errors
/// If it cannot, with what to do about it.
pub async fn bind(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                let (port, next) = (addr.port(), addr.port().checked_add(1).unwrap_or(8000));
                let ip = addr.ip();
                format!(
                    "another program uses port {port}; stop it, or choose another port: \
                     PORT={next} TASKLIST_LISTEN={ip}"
                )
            }
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need rights; choose another one with PORT".to_owned()
            }
            _ => "TASKLIST_LISTEN must be an address of this machine".to_owned(),
        };
        anyhow::anyhow!("cannot listen on {addr}: {error}; {hint}")
    })
}

/// Serves the app on `listener` until `stop` completes, then answers what has begun; see
/// [`shutdown::serve`].
///
/// # Errors
/// If accepting connections fails for good.
pub async fn serve(
    app: App,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = web::router(app.clone());
    let served = tokio::select! {
        served = shutdown::serve(listener, router, stop, shutdown::GRACE) => served,
        () = app.sweep_sessions(unix_ms) => Ok(()),
    };
    // Changes whose visitors have gone are still on their way to the caches.
    if tokio::time::timeout(shutdown::GRACE, app.tasks.settle()).await.is_err() {
        tracing::warn!("a change did not reach the caches in time");
    }
    served
}

/// The time in Unix milliseconds.
fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
