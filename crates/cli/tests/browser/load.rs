//! An application that is busy while its credential is replaced.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::support::Login;
use super::{log_in, until};

/// A client that asks without a pause; a request that fails ends it.
pub(crate) struct Load {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

struct Shared {
    /// Whom the client is to sign in as next.
    next: Mutex<Option<Login>>,
    requests: AtomicUsize,
    stop: AtomicBool,
}

impl Load {
    pub(crate) fn begin(login: &Login) -> Load {
        let next = Mutex::new(Some(login.clone()));
        let shared = Shared { next, requests: AtomicUsize::new(0), stop: AtomicBool::new(false) };
        let shared = Arc::new(shared);
        Load { shared: shared.clone(), thread: thread::spawn(move || shared.ask()) }
    }

    /// Waits until it has done some more.
    pub(crate) async fn goes_on(&self) {
        let begin = self.shared.requests.load(Ordering::Relaxed);
        until("load", async || {
            assert!(!self.thread.is_finished(), "a request failed");
            self.shared.requests.load(Ordering::Relaxed) > begin + 200
        })
        .await;
    }

    /// Gives it another credential, as a deployment does, and waits until it uses that one only.
    pub(crate) async fn switch(&self, login: &Login) {
        *self.shared.next.lock().unwrap() = Some(login.clone());
        until("the switch", async || self.shared.next.lock().unwrap().is_none()).await;
        self.goes_on().await;
    }

    pub(crate) fn end(self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

impl Shared {
    fn ask(&self) {
        let next = || self.next.lock().unwrap().take();
        let mut connection = log_in(&next().expect("somebody to begin as"));
        while !self.stop.load(Ordering::Relaxed) {
            if let Some(login) = next() {
                connection = log_in(&login);
            }
            let value = self.requests.fetch_add(1, Ordering::Relaxed).to_string();
            assert_eq!(connection.set("load", &value), "STORED");
            assert_eq!(connection.get("load"), Some(value));
        }
    }
}
