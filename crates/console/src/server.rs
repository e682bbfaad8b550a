//! The console on a listener: connections, the ticker, and how both end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use crate::console::{App, Console};
use crate::{routes, ticker};

/// Most connections at once; each may stand for a live stream.
const MOST_CONNECTIONS: usize = 1000;

/// For the head of a request, from its first byte or from the end of the request before.
const HEAD: Duration = Duration::from_secs(60);

/// The longest head of a request, and what is read of a body at once, in bytes: for each connection.
const MOST_HEAD: usize = 32 * 1024;

/// For requests that are being answered when the console is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Serves the console on `listener` until `shutdown` is ready; requests that are being answered then may
/// finish, for a few seconds. While it runs it looks at the node every second, for the history and the
/// alerts.
///
/// # Errors
///
/// If the listener has no address. A connection that fails is no error.
pub async fn serve(
    mut console: Console,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    console.settings.listen = Some(listener.local_addr()?);
    let (end, ending) = watch::channel(false);
    let app = Arc::new(App::new(console, ending));
    let router = routes::router(app.clone());
    let ticking = tokio::spawn(ticker::run(app.clone()));
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match places.clone().try_acquire_owned() {
                    Ok(place) => {
                        let watcher = graceful.watcher();
                        tokio::spawn(connection(stream, peer, router.clone(), watcher, place));
                    }
                    Err(_) => tracing::warn!(%peer, "turned away: too many connections"),
                },
                Err(error) => {
                    // Out of file descriptors, most likely: others must end first.
                    tracing::warn!(%error, "the console cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                }
            },
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    // Live streams and the ticker end by themselves now.
    let _ = end.send(true);
    let _ = timeout(GRACE, graceful.shutdown()).await;
    let _ = timeout(GRACE, ticking).await;
    app.history.close().await;
    Ok(())
}

/// Serves nobody until `shutdown` is ready, and looks at the node every second all the same, as [`serve`]
/// does: for servers without a console.
pub async fn attend(console: Console, shutdown: impl Future<Output = ()>) {
    let (end, ending) = watch::channel(false);
    let app = Arc::new(App::new(console, ending));
    let ticking = tokio::spawn(ticker::run(app.clone()));
    shutdown.await;
    let _ = end.send(true);
    let _ = timeout(GRACE, ticking).await;
    app.history.close().await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    watcher: Watcher,
    _place: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let router = router.clone();
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            router.oneshot(request).await.map_err(|never: Infallible| never)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MOST_HEAD);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, %peer, "a connection to the console failed");
    }
}
