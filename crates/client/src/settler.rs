//! The background task that pays owed deletes, so that other processes do not read stale values for
//! as long as nobody here uses the server.
//!
//! It runs only while something is owed, one per server, and holds the server weakly: it ends with
//! the client.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::server::Server;

/// Whether the task runs, and how often it tries.
#[derive(Debug)]
pub(crate) struct State {
    running: AtomicBool,
    retry_min: Duration,
    retry_max: Duration,
}

impl State {
    pub(crate) fn new(retry_min: Duration, retry_max: Duration) -> Self {
        Self { running: AtomicBool::new(false), retry_min, retry_max }
    }
}

/// Starts the task unless it runs. Outside a runtime nothing starts; the debts are then paid by the
/// next operation.
pub(crate) fn start(server: &Arc<Server>) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    if !server.settler.running.swap(true, Ordering::AcqRel) {
        runtime.spawn(settle(Running(Arc::downgrade(server))));
    }
}

async fn settle(running: Running) {
    let mut pause = match running.0.upgrade() {
        Some(server) => server.settler.retry_min,
        None => return,
    };
    loop {
        tokio::time::sleep(pause).await;
        let Some(server) = running.0.upgrade() else {
            return;
        };
        if server.has_debts() {
            // Goes through the breaker like any operation, and is its probe when one is due.
            server.run(Vec::new()).await;
            pause = pause.saturating_mul(2).min(server.settler.retry_max);
        }
        if !server.has_debts() {
            // A debt made between this look and the end of the task starts no task of its own, so
            // look again after giving up the flag.
            drop(running);
            if server.has_debts() {
                start(&server);
            }
            return;
        }
    }
}

/// The flag that the task runs, given up however it ends (also with its runtime).
struct Running(Weak<Server>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(server) = self.0.upgrade() {
            server.settler.running.store(false, Ordering::Release);
        }
    }
}
