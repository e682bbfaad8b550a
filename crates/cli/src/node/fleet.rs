//! What runs beside a server whose users are accounts: it follows the accounts, and serves the console.
//!
//! All of it is on a tokio runtime of its own, so nothing here can hold up the data plane. The server needs
//! none of it to go on: without the database it serves whom it knew last.
//!
//! It starts in two steps. [`Fleet::open`] finds out who may use the server, and fails if nobody can know;
//! [`Fleet::watch`] then shows the server that was made for them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use larder_console::{Console, ConsoleSettings};
use larder_control::{
    Accounts, AccountsError, AccountsUrl, Actor, Alerts, DataDir, Follower, FollowerSettings,
    History, Principal, SignInLink,
};
use larder_tenancy::{Directory, Node, SharedDirectory};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::accounts::place;
use crate::now::now;
use crate::units;

/// The operator who is there from the start.
const OPERATOR: &str = "operator";

/// How long each part may take to end.
const GRACE: Duration = Duration::from_secs(3);

/// How accounts are to be followed and shown.
#[derive(Debug)]
pub(crate) struct FleetSettings {
    /// The directory of the server's own state.
    pub(crate) data: PathBuf,
    /// Where the accounts are.
    pub(crate) accounts: AccountsUrl,
    /// Where clients find the server.
    pub(crate) servers: Vec<String>,
    /// The address by which browsers find the console, if there is to be one.
    pub(crate) console_url: Option<String>,
    /// The same, if somebody said so: then it is found by no other.
    pub(crate) public_url: Option<String>,
    /// Whether the console may show values.
    pub(crate) show_values: bool,
    /// Bytes that the server's store may keep.
    pub(crate) memory_bytes: u64,
}

/// The follower and the console of a server.
pub(crate) struct Fleet {
    runtime: Runtime,
    accounts: Accounts,
    directory: SharedDirectory,
    follower: Follower,
    history: History,
    warning: Option<String>,
    settings: FleetSettings,
    /// The server, once it is there.
    node: Option<Arc<dyn Node>>,
    console: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Fleet {
    /// Locks the data directory, and finds out who may use the server: from the accounts or, if their
    /// database does not answer, as they were when it last did.
    ///
    /// # Errors
    ///
    /// If another server has the directory, neither accounts nor snapshot can be read, or the server's
    /// memory is less than what tenants are guaranteed.
    pub(crate) fn open(settings: FleetSettings) -> anyhow::Result<Fleet> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("larder-fleet")
            .enable_all()
            .build()
            .context("cannot start threads for the console")?;
        let data = DataDir::open(&settings.data)?;
        let history_path = data.history_path();
        let directory = SharedDirectory::new(Directory::default());
        place::not_lost(&settings.accounts, &settings.data)?;
        let opened = runtime.block_on(async {
            let (accounts, warning) = open_accounts(&settings).await?;
            let row = row(&settings, directory.clone());
            match Follower::start(accounts.clone(), data, row).await {
                Ok(follower) => anyhow::Ok((accounts, warning, follower)),
                Err(error) => {
                    accounts.close().await;
                    Err(error.into())
                }
            }
        });
        let (accounts, warning, follower) = opened?;
        let history = runtime.block_on(open_history(&history_path))?;
        let fleet = Fleet {
            runtime,
            accounts,
            directory,
            follower,
            history,
            warning,
            settings,
            node: None,
            console: None,
        };
        // The database may have been silent, and the snapshot have tenants all the same.
        let floors = fleet.directory.load().tenants().map(|tenant| tenant.limits.floor).sum();
        match enough(floors, fleet.settings.memory_bytes) {
            Ok(()) => Ok(fleet),
            Err(error) => {
                fleet.stop();
                Err(error)
            }
        }
    }

    /// Who may use the server, kept up to date.
    pub(crate) fn directory(&self) -> &SharedDirectory {
        &self.directory
    }

    /// The accounts.
    pub(crate) fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Where clients find the server.
    pub(crate) fn servers(&self) -> &[String] {
        &self.settings.servers
    }

    /// Why the accounts are as they were, if they are.
    pub(crate) fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Has something done that is to be waited for.
    pub(crate) fn wait<T>(&self, task: impl Future<Output = T>) -> T {
        self.runtime.block_on(task)
    }

    /// Watches over `node` until it is stopped, and serves the console if there is a listener for it.
    pub(crate) fn watch(
        &mut self,
        listener: Option<TcpListener>,
        node: Arc<dyn Node>,
    ) -> anyhow::Result<()> {
        self.node = Some(node.clone());
        let inside = self.runtime.enter();
        let listener = listener.map(|listener| {
            listener.set_nonblocking(true)?;
            tokio::net::TcpListener::from_std(listener)
        });
        let listener = listener.transpose()?;
        let console = self.console(node);
        let (stop, stopped) = oneshot::channel();
        let task = self.runtime.spawn(async move {
            let stopped = async {
                // The sender is dropped to stop it, too.
                let _ = stopped.await;
            };
            match listener {
                None => larder_console::attend(console, stopped).await,
                Some(listener) => {
                    if let Err(error) = larder_console::serve(console, listener, stopped).await {
                        tracing::error!("the console has ended: {error}");
                    }
                }
            }
        });
        drop(inside);
        self.console = Some((stop, task));
        Ok(())
    }

    /// A link that signs the first operator in; none if that operator was made earlier.
    pub(crate) fn first_sign_in(&self) -> Option<SignInLink> {
        let made = self.runtime.block_on(self.accounts.ensure_operator());
        made.unwrap_or_else(|error| {
            tracing::warn!("no sign-in link: {error}");
            None
        })
    }

    /// A link that signs the operator in who has no other way: neither a password nor a session.
    pub(crate) fn sign_in_for_newcomer(&self, command: &str) -> Option<SignInLink> {
        let by = Actor { who: format!("larder {command}"), from: "cli".to_owned() };
        let accounts = &self.accounts;
        let link = self.runtime.block_on(async {
            if let Some(link) = accounts.ensure_operator().await? {
                return Ok(Some(link));
            }
            let operators = accounts.operators().await?;
            let of = Principal::Operator { name: OPERATOR.to_owned() };
            let knows_a_way = operators.iter().any(|operator| operator.has_password)
                || !operators.iter().any(|operator| operator.name == OPERATOR)
                || !accounts.sessions(&of).await?.is_empty();
            match knows_a_way {
                true => Ok::<_, AccountsError>(None),
                false => accounts.new_sign_in_link(&by, OPERATOR).await.map(Some),
            }
        });
        link.unwrap_or_else(|error| {
            tracing::warn!("no sign-in link: {error}");
            None
        })
    }

    /// Ends the console, then stops following.
    pub(crate) fn stop(self) {
        let Fleet { runtime, accounts, follower, history, console, node, .. } = self;
        runtime.block_on(async {
            if let Some((stop, mut task)) = console {
                let _ = stop.send(());
                // A browser may hold a stream of events open.
                if timeout(GRACE, &mut task).await.is_err() {
                    task.abort();
                }
            }
            let ending = async {
                history.close().await;
                if let Some(node) = node {
                    let _ = accounts.note_last_used(&node.last_used()).await;
                }
                follower.stop().await;
                accounts.close().await;
            };
            if timeout(GRACE, ending).await.is_err() {
                tracing::warn!(
                    "the accounts could not be told in time that the server has stopped"
                );
            }
        });
        runtime.shutdown_timeout(GRACE);
    }

    fn console(&self, node: Arc<dyn Node>) -> Console {
        let settings = ConsoleSettings {
            node_name: node_name(&self.settings),
            servers: self.settings.servers.clone(),
            public_url: self.settings.public_url.clone(),
            listen: None,
            show_values: self.settings.show_values,
        };
        Console {
            accounts: self.accounts.clone(),
            history: self.history.clone(),
            alerts: Alerts::new(),
            node,
            settings,
        }
    }
}

/// The accounts, and why they cannot be asked now if they cannot.
async fn open_accounts(settings: &FleetSettings) -> anyhow::Result<(Accounts, Option<String>)> {
    match Accounts::open(&settings.accounts).await {
        Ok(accounts) => {
            // Before the server calls itself one of theirs: its memory bounds what is promised.
            enough(accounts.capacity().await?.floors, settings.memory_bytes)?;
            Ok((accounts, None))
        }
        Err(AccountsError::Unavailable(reason)) => {
            Ok((Accounts::lazy(&settings.accounts), Some(reason)))
        }
        Err(error) => Err(error.into()),
    }
}

/// The history in a file or, so that the server starts all the same, in memory.
async fn open_history(path: &Path) -> anyhow::Result<History> {
    match History::open(path).await {
        Ok(history) => Ok(history),
        Err(error) => {
            tracing::warn!("history is kept in memory only: {error}");
            Ok(History::in_memory().await?)
        }
    }
}

/// Whether `memory` has room for what is promised.
fn enough(floors: u64, memory: u64) -> anyhow::Result<()> {
    if floors > memory {
        let [floors, memory] = [floors, memory].map(units::show_size);
        bail!(
            "--memory: {memory} are less than the {floors} that tenants are guaranteed; give the \
             server that much, or lower guarantees (larder tenants resize NAME --floor SIZE)"
        );
    }
    Ok(())
}

fn row(settings: &FleetSettings, directory: SharedDirectory) -> FollowerSettings {
    FollowerSettings {
        directory,
        name: node_name(settings),
        servers: settings.servers.clone(),
        console_url: settings.console_url.clone(),
        memory_bytes: settings.memory_bytes,
        started: now(),
    }
}

/// What people call the server: its address.
fn node_name(settings: &FleetSettings) -> String {
    settings.servers.first().cloned().unwrap_or_else(|| "a unix socket".to_owned())
}
