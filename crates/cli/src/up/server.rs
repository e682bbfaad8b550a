//! The cache server of `larder up`: on threads of its own in this process, and used by the task list as if
//! it were anywhere.

use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use larder::Cache;
use larder_control::{Access, Secret, SignInLink};
use larder_server::{Handle, Server, ServerError};
use larder_tenancy::SharedDirectory;

use super::demo;
use crate::node::fleet::Fleet;
use crate::now::now;
use crate::serve::{Chosen, Setting, Sources, Users};

/// How long a change of the accounts may take to get from one part of this process to another.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server that runs, what goes with it, and how the task list reaches it.
pub(super) struct Embedded {
    handle: Handle,
    thread: JoinHandle<Result<(), ServerError>>,
    fleet: Fleet,
    pub(super) console_url: Option<String>,
    pub(super) link: Option<SignInLink>,
    pub(super) access: Access,
    pub(super) env_file: PathBuf,
}

impl Embedded {
    /// Starts the server and the console, with a tenant for the task list.
    pub(super) fn start(sources: &Sources) -> anyhow::Result<Embedded> {
        let chosen = Chosen::from(sources)?;
        let listeners = chosen.bind().with_context(|| {
            format!("no cache server; {} names another address", sources.name(Setting::Listen))
        })?;
        let Chosen { settings, users, .. } = chosen;
        let Users::Followed(managed) = users else {
            bail!("larder up serves the users of accounts");
        };
        let env_file = managed.data().join("demo.env");
        let started = managed.start(&listeners, &settings)?;
        let console_url = started.console_url.clone();
        let servers = started.fleet.servers().to_vec();
        let server = Server::new(settings, started.fleet.directory().clone())?;
        let handle = server.handle();
        let fleet = started.watch(&handle)?;
        let access = access(&fleet, &env_file, servers)?;
        let link = console_url.as_ref().and_then(|_| fleet.sign_in_for_newcomer("up"));
        let thread = thread::Builder::new()
            .name("larder-server".to_owned())
            .spawn(move || server.run(listeners))
            .context("cannot start a thread")?;
        Ok(Embedded { handle, thread, fleet, console_url, link, access, env_file })
    }

    /// The cache of the task list: this server's, like any application's.
    pub(super) fn cache(&self) -> anyhow::Result<Cache> {
        let url = self.access.url().context("no password")?;
        Ok(Cache::from_vars(|name| (name == larder::URL_VARIABLE).then(|| url.clone()))?)
    }

    pub(super) fn describe(&self) -> String {
        let (servers, user) = (self.access.servers.join(", "), &self.access.username);
        format!("{servers}, tenant {}, user {user}, over SASL", demo::NAME)
    }

    /// Ends the console, then the server.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.fleet.stop();
        self.handle.stop();
        let served = self.thread.join().map_err(|_| anyhow!("the cache server panicked"))?;
        Ok(served?)
    }
}

/// How the task list reaches its tenant: as last time, if that still works.
fn access(fleet: &Fleet, file: &std::path::Path, servers: Vec<String>) -> anyhow::Result<Access> {
    let known = demo::read(file).filter(|secret| is_let_in(fleet.directory(), secret));
    let secret = match known {
        Some(secret) => secret,
        None => {
            let (secret, version) = fleet.wait(demo::provision(fleet.accounts()))?;
            await_version(fleet.directory(), version)?;
            secret
        }
    };
    let Secret { username, password } = secret;
    let access = Access { servers, username, password: Some(password) };
    demo::write(file, &access)?;
    Ok(access)
}

fn is_let_in(directory: &SharedDirectory, secret: &Secret) -> bool {
    let (user, password) = (secret.username.as_bytes(), secret.password.as_bytes());
    let directory = directory.load();
    let Ok(grant) = directory.authenticate(user, password, now()) else { return false };
    directory.tenant(grant.tenant()).is_some_and(|tenant| tenant.name.as_str() == demo::NAME)
}

fn await_version(directory: &SharedDirectory, version: u64) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    while directory.load().version() < version {
        if Instant::now() >= end {
            bail!("the server has not heard of its new tenant within {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
