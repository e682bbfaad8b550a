//! A cache server as a process: what `larder serve` and `larder memcached` have in common once each has
//! read its own flags.
//!
//! Sockets are bound and files read before anything runs, so what is wrong is said at once. The main
//! thread accepts connections; one more waits for signals: SIGINT, SIGTERM and SIGUSR1 stop the server in
//! order, one more of them a while later ends it at once, and SIGHUP has users and certificates read again.

pub(crate) mod accounts;
pub(crate) mod bind;
pub(crate) mod filter;
pub(crate) mod fleet;
pub(crate) mod log;
pub(crate) mod process;

use std::future::poll_fn;
use std::path::PathBuf;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use larder_server::{Address, Handle, Listener, Server, Settings};
use larder_tenancy::SharedDirectory;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::accounts::Accounts;

/// Everything a server needs.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) accounts: Accounts,
    /// Where `accounts` publishes it; begins as they were loaded.
    pub(crate) directory: SharedDirectory,
    /// Whether any listener speaks TLS.
    pub(crate) tls: bool,
    /// Removed when the server has stopped.
    pub(crate) files: Vec<PathBuf>,
}

impl Plan {
    /// Takes the memory and the signals. Clients can connect, and wait.
    pub(crate) fn prepare(self) -> anyhow::Result<Prepared> {
        let addresses = self.listeners.iter().map(Listener::address).collect();
        let directory = self.directory;
        let server = Server::new(self.settings, directory.clone())?;
        let signals = Signals::new().context("cannot wait for signals")?;
        let handle = server.handle();
        let told = Told {
            handle,
            accounts: self.accounts,
            directory,
            tls: self.tls,
            stops: Stops::default(),
        };
        let (listeners, files) = (self.listeners, self.files);
        Ok(Prepared { server, listeners, addresses, signals, told, files })
    }
}

/// A server that is ready to run.
pub(crate) struct Prepared {
    server: Server,
    listeners: Vec<Listener>,
    addresses: Vec<Address>,
    signals: Signals,
    told: Told,
    files: Vec<PathBuf>,
}

impl Prepared {
    /// The server as other threads see it.
    pub(crate) fn handle(&self) -> Handle {
        self.server.handle()
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Serves until a signal or a client says to stop.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let Prepared { server, listeners, signals, told, files, .. } = self;
        thread::Builder::new()
            .name("larder-signals".to_owned())
            .spawn(move || signals.obey(told))
            .context("cannot start a thread")?;
        let served = server.run(listeners);
        for file in files {
            // Somebody may have removed it, or the process may not any more.
            let _ = std::fs::remove_file(file);
        }
        Ok(served?)
    }
}

/// Whom signals are for.
struct Told {
    handle: Handle,
    accounts: Accounts,
    directory: SharedDirectory,
    tls: bool,
    stops: Stops,
}

impl Told {
    fn stop(&mut self) {
        // Before anything is said of it: what is said may get stuck.
        self.handle.stop();
        match self.stops.take(Instant::now()) {
            Stop::Begins => tracing::info!("stopping: what was sent is answered first"),
            Stop::GoesOn => {}
            Stop::Breaks => {
                tracing::warn!("told again to stop: ending at once");
                std::process::exit(1);
            }
        }
    }

    fn reload(&self) {
        match self.accounts.reload(&self.directory) {
            Ok(Some(users)) => tracing::info!(users, "read the users again"),
            Ok(None) => {}
            Err(error) => tracing::error!("the users stay as they were: {error:#}"),
        }
        match self.handle.reload_certificates() {
            Ok(()) if !self.tls => {}
            Ok(()) => tracing::info!("read the certificates again"),
            Err(error) => tracing::error!("the certificates stay as they were: {error}"),
        }
    }
}

/// A server that heard no signals could only be killed, so it ends with whom they are for.
impl Drop for Told {
    fn drop(&mut self) {
        self.handle.stop();
    }
}

/// What a signal to stop does.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    Begins,
    GoesOn,
    Breaks,
}

/// When the first signal to stop came.
#[derive(Debug, Default)]
struct Stops {
    first: Option<Instant>,
}

impl Stops {
    /// Signals that come closer to the first are the same wish: `timeout`, for one, tells the process and
    /// then its group.
    const ONE_WISH: Duration = Duration::from_secs(1);

    fn take(&mut self, now: Instant) -> Stop {
        match self.first {
            None => {
                self.first = Some(now);
                Stop::Begins
            }
            Some(first) if now.duration_since(first) < Self::ONE_WISH => Stop::GoesOn,
            Some(_) => Stop::Breaks,
        }
    }
}

/// The signals that a server obeys, caught from when they are made.
struct Signals {
    runtime: Runtime,
    stop: [Signal; 3],
    reload: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let inside = runtime.enter();
        let stop = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::user_defined1())?,
        ];
        let reload = signal(SignalKind::hangup())?;
        drop(inside);
        Ok(Signals { runtime, stop, reload })
    }

    /// Obeys for as long as the process lives.
    fn obey(mut self, mut told: Told) {
        self.runtime.block_on(poll_fn(|context| {
            while let Poll::Ready(Some(())) = self.reload.poll_recv(context) {
                told.reload();
            }
            for stop in &mut self.stop {
                while let Poll::Ready(Some(())) = stop.poll_recv(context) {
                    told.stop();
                }
            }
            Poll::<()>::Pending
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_later_signal_breaks_a_graceful_stop() {
        let first = Instant::now();
        let mut stops = Stops::default();
        assert_eq!(stops.take(first), Stop::Begins);
        for ms in [0, 1, 999] {
            assert_eq!(stops.take(first + Duration::from_millis(ms)), Stop::GoesOn, "{ms}");
        }
        assert_eq!(stops.take(first + Duration::from_secs(1)), Stop::Breaks);
    }
}
