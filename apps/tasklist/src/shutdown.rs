//! Serving until a signal, then finishing what has begun.
//!
//! [`signal`] is the future a platform's SIGTERM or a person's Ctrl-C completes; [`serve`] takes
//! its listener and its stop signal from the caller, so a test can hand it both. After the signal
//! no connection is accepted, requests in flight are answered, and what has not ended after
//! [`GRACE`] is cut off: platforms kill the process some seconds later in any case.

use std::io;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal as listen_for};
use tokio::sync::watch;

/// How long requests in flight have to end after the signal.
pub const GRACE: Duration = Duration::from_secs(10);

/// Listens for SIGTERM and SIGINT; the future ends with the first of them and gives its name.
///
/// The handlers are in place when this returns, not only when the future is awaited.
pub fn signal() -> io::Result<impl Future<Output = &'static str> + Send + 'static> {
    let mut terminate = listen_for(SignalKind::terminate())?;
    let mut interrupt = listen_for(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

/// Answers requests on `listener` until `stop` completes; returns once those in flight are
/// answered or `grace` has passed.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    stop: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> io::Result<()> {
    let (stopping, mut stopped) = watch::channel(false);
    let stop = async move {
        stop.await;
        let _ = stopping.send(true);
    };
    let out_of_time = async move {
        // An error means that the server has ended without the signal; then there is no deadline.
        if stopped.wait_for(|stopped| *stopped).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        done = axum::serve(listener, app).with_graceful_shutdown(stop).into_future() => done,
        () = out_of_time => {
            tracing::warn!(grace_s = grace.as_secs(), "some requests did not end in time and were cut off");
            Ok(())
        }
    }
}
