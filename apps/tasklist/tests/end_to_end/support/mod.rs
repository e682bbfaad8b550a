//! What the tests are played with: apps as processes, databases, caches, and what visitors see.

mod databases;
mod pages;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use larder_peers::{Memcached, Program, Running};
use tasklist::visitor::Visitor;

pub(crate) use self::databases::{Database, Kind};
pub(crate) use self::pages::{HOST, add, is_hit, list, remove, shows};

/// How long something that comes by itself may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Environment variables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vars(Vec<(String, String)>);

impl Vars {
    /// These and one more.
    pub(crate) fn with(&self, name: &str, value: impl Into<String>) -> Vars {
        let mut vars = self.clone();
        vars.0.push((name.to_owned(), value.into()));
        vars
    }

    /// These and MemCachier's three.
    pub(crate) fn with_memcachier(&self, server: &Memcached) -> Vars {
        self.with("MEMCACHIER_SERVERS", server.addr().to_string())
            .with("MEMCACHIER_USERNAME", USER)
            .with("MEMCACHIER_PASSWORD", PASSWORD)
    }
}

/// The account of [`memcached_with_sasl`].
pub(crate) const USER: &str = "15F38e";
/// Its password.
pub(crate) const PASSWORD: &str = "s3cret/pass";

/// A stock memcached that asks for [`USER`] and [`PASSWORD`].
pub(crate) fn memcached_with_sasl() -> Memcached {
    Memcached::sasl(USER, PASSWORD)
}

/// The URL of some servers, with a deadline that a busy machine keeps.
pub(crate) fn patient_url(servers: &[&Memcached]) -> String {
    let addrs: Vec<_> = servers.iter().map(|server| server.addr().to_string()).collect();
    format!("memcached://{}/?timeout=20s", addrs.join(","))
}

/// [`patient_url`] for a server of [`memcached_with_sasl`].
pub(crate) fn patient_sasl_url(server: &Memcached) -> String {
    let password = PASSWORD.replace('/', "%2F");
    format!("memcached://{USER}:{password}@{}/?timeout=20s", server.addr())
}

/// The binary with a command and variables.
pub(crate) fn tasklist(command: &str, vars: &Vars) -> Program {
    Program::new(env!("CARGO_BIN_EXE_tasklist")).args([command]).envs(vars.0.iter().cloned())
}

/// The app as a process, killed when dropped.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) process: Running,
    pub(crate) addr: SocketAddr,
}

impl App {
    /// Starts it on a free port of this machine.
    pub(crate) fn start(vars: &Vars) -> App {
        let vars = vars.with("PORT", "0").with("TASKLIST_LISTEN", "127.0.0.1");
        let mut process = tasklist("serve", &vars).start();
        let addr = process.address();
        App { process, addr }
    }

    /// Somebody who has never been there.
    pub(crate) fn visitor(&self) -> Visitor {
        Visitor::new(self.addr)
    }
}

/// Asks again and again until the answer is yes.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < end, "it did not come to pass: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
