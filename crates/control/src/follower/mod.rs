//! Keeps a node's directory as the accounts have it.
//!
//! Every 250 ms, and at once when this process has changed something, the version is asked for. If it is
//! another one, the whole directory is read, published, and saved as the node's snapshot; only then does
//! the node's row say that it obeys it. A node that is told nothing new costs the database one small
//! read in 250 ms and one small write in 5 s.
//!
//! Whatever goes wrong with the database, the last good directory goes on serving: it is said once, and
//! tried again until it works. A node that starts while the database is down begins with its snapshot.
//!
//! Versions only grow, but a database can be restored from an older backup. Then the database is right:
//! the follower says so, raises the version of the database above its own, and obeys what is there (see
//! `outrun`). A database of another installation is never obeyed: a wrong URL must not empty a node.

mod data_dir;
mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use larder_tenancy::{Directory, SharedDirectory};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

pub use self::data_dir::DataDir;
use self::snapshot::{Snapshot, SnapshotFile};
use crate::accounts::Accounts;
use crate::caught::caught;
use crate::error::AccountsError;
use crate::fleet::Beat;

/// How often the version is asked for.
const POLL: Duration = Duration::from_millis(250);
/// How often it is tried again after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// How often the node says that it is there.
const BEAT: Duration = Duration::from_secs(5);
/// How long one round may take before it counts as failed.
const ROUND: Duration = Duration::from_secs(20);
/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a node says of itself, and where its directory goes.
#[derive(Debug, Clone)]
pub struct FollowerSettings {
    /// Where the node reads its directory.
    pub directory: SharedDirectory,
    /// What people call the node.
    pub name: String,
    /// The addresses that clients should use.
    pub servers: Vec<String>,
    /// The address of its console.
    pub console_url: Option<String>,
    /// Bytes that its store may keep.
    pub memory_bytes: u64,
    /// When it started, in seconds since 1970.
    pub started: u64,
}

/// Follows the accounts until it is stopped or dropped.
#[derive(Debug)]
pub struct Follower {
    data: DataDir,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Publishes the accounts' directory, or the last one known if they cannot be asked, and follows
    /// them from then on.
    ///
    /// # Errors
    ///
    /// If there is neither: the accounts' error, and what is wrong with the snapshot.
    /// [`AccountsError::Conflict`] if the snapshot is of another installation's accounts.
    pub async fn start(
        accounts: Accounts,
        data: DataDir,
        settings: FollowerSettings,
    ) -> Result<Self, AccountsError> {
        let mut following = Following::new(accounts, &data, settings);
        following.begin().await?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(following.run(stopped));
        Ok(Self { data, stop, task })
    }

    /// The node's data directory.
    #[must_use]
    pub fn data(&self) -> &DataDir {
        &self.data
    }

    /// Stops following, tells the accounts that the node has stopped, and unlocks the directory.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // It ends by itself; that it panicked has been told where panics are.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The state of the task that follows.
#[derive(Debug)]
struct Following {
    accounts: Accounts,
    settings: FollowerSettings,
    file: SnapshotFile,
    node_id: String,
    /// Of the accounts that are followed, once known.
    installation: Option<String>,
    /// The version that the snapshot has.
    saved: Option<u64>,
    /// The version that the node's row has, and when it was written.
    told: Option<(u64, Instant)>,
    /// What went wrong last, as it was logged.
    trouble: Option<String>,
}

impl Following {
    fn new(accounts: Accounts, data: &DataDir, settings: FollowerSettings) -> Self {
        Self {
            accounts,
            settings,
            file: SnapshotFile::new(data.snapshot_path()),
            node_id: data.node_id().to_owned(),
            installation: None,
            saved: None,
            told: None,
            trouble: None,
        }
    }

    /// The first directory: the accounts', or else the snapshot's.
    async fn begin(&mut self) -> Result<(), AccountsError> {
        let snapshot = self.file.read().await;
        if let Err(says) = &snapshot {
            tracing::warn!("{says}; it is not needed if the accounts can be asked");
        }
        let (snapshot, damage) = match snapshot {
            Ok(snapshot) => (snapshot, None),
            Err(says) => (None, Some(says)),
        };
        self.installation = snapshot.as_ref().map(|snapshot| snapshot.installation.clone());
        let last = snapshot.map(|Snapshot { directory, .. }| Arc::new(directory));
        let taken_up = match timeout(ROUND, self.take_up(last.clone())).await {
            Ok(taken_up) => taken_up,
            Err(_) => Err(self.late()),
        };
        match taken_up {
            Ok(()) => {}
            Err(error @ AccountsError::Conflict(_)) if self.installation.is_some() => {
                return Err(error);
            }
            Err(error) => return self.begin_with(last, damage, &error),
        }
        if let Err(error) = self.accounts.forget_old_nodes().await {
            tracing::debug!(%error, "nodes that are gone were not forgotten");
        }
        // Whoever starts a node wants to see it listed.
        self.settle().await;
        Ok(())
    }

    /// Begins with the snapshot, because of `error`.
    fn begin_with(
        &mut self,
        last: Option<Arc<Directory>>,
        damage: Option<String>,
        error: &AccountsError,
    ) -> Result<(), AccountsError> {
        let Some(last) = last.and_then(Arc::into_inner) else {
            let path = self.file.path().display();
            let missing = damage.unwrap_or_else(|| format!("there is no {path} yet"));
            return Err(AccountsError::Unavailable(format!(
                "{error}; and no earlier directory can serve meanwhile: {missing}"
            )));
        };
        tracing::warn!(
            version = last.version(),
            "{error}; the node begins with its last directory, {}",
            self.file.path().display()
        );
        self.trouble = Some(error.to_string());
        self.saved = Some(last.version());
        self.publish(last);
        Ok(())
    }

    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut changed = self.accounts.changed();
        loop {
            let pause = if self.trouble.is_some() { RETRY } else { POLL };
            tokio::select! {
                () = sleep(pause) => {}
                Ok(()) = changed.changed() => {}
                _ = stopped.wait_for(|stopped| *stopped) => break,
            }
            // A stop does not wait for a database that does not answer.
            tokio::select! {
                () = self.settle() => {}
                _ = stopped.wait_for(|stopped| *stopped) => break,
            }
        }
        let farewell = timeout(FAREWELL, self.tell(false)).await;
        if !matches!(farewell, Ok(Ok(()))) {
            tracing::debug!("the accounts were not told that the node stops");
        }
    }

    /// One round, and what is said of how it went.
    async fn settle(&mut self) {
        // A round that panics leaves a directory that is published or not: the next one finds out.
        let outcome = match timeout(ROUND, caught(self.round())).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => Err(AccountsError::Unavailable(
                "following the accounts failed by a fault of this program".to_owned(),
            )),
            Err(_) => Err(self.late()),
        };
        match (outcome, self.trouble.take()) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => tracing::info!("the accounts are followed again"),
            (Err(error), before) => {
                let says = error.to_string();
                if before.as_ref() != Some(&says) {
                    tracing::warn!("{says}; the node goes on with the directory it has");
                }
                self.trouble = Some(says);
            }
        }
    }

    fn late(&self) -> AccountsError {
        let url = self.accounts.url();
        AccountsError::Unavailable(format!("the accounts database {url} gave no answer in 20 s"))
    }

    async fn round(&mut self) -> Result<(), AccountsError> {
        if self.accounts.version().await? != self.obeyed() {
            let known = self.settings.directory.load();
            self.take_up(Some(known)).await?;
        }
        let saved = if self.saved == Some(self.obeyed()) { Ok(()) } else { self.save().await };
        // The node is there, even if its disk is full.
        let is_told = |(version, at): (u64, Instant)| {
            version == self.saved.unwrap_or(0) && at.elapsed() < BEAT
        };
        if !self.told.is_some_and(is_told) {
            self.tell(true).await?;
        }
        saved
    }

    /// Reads the directory and publishes it. `known` is the last one that this node obeyed.
    async fn take_up(&mut self, known: Option<Arc<Directory>>) -> Result<(), AccountsError> {
        let mut current = self.accounts.current().await?;
        if let Some(installation) = &self.installation
            && *installation != current.installation
        {
            return Err(AccountsError::Conflict(format!(
                "{} are not the accounts that this node has followed; correct the address, or remove {} to make the node follow these",
                self.accounts.url(),
                self.file.path().display()
            )));
        }
        if let Some(known) = known.filter(|known| known.version() > current.directory.version()) {
            tracing::warn!(
                found = current.directory.version(),
                known = known.version(),
                "the accounts {} were restored from a backup: the node obeys them as they are now",
                self.accounts.url()
            );
            self.accounts.outrun(&known).await?;
            current = self.accounts.current().await?;
        }
        self.installation = Some(current.installation);
        self.warn_of_floors(&current.directory);
        self.publish(current.directory);
        Ok(())
    }

    fn publish(&self, directory: Directory) {
        // Refused if it is not newer than what is there, as when nothing has changed.
        if self.settings.directory.publish(directory).is_ok() {
            tracing::debug!(version = self.obeyed(), "a new directory");
        }
    }

    fn warn_of_floors(&self, directory: &Directory) {
        let floor = |tenant: &larder_tenancy::Tenant| tenant.limits.floor;
        let floors = directory.tenants().map(floor).fold(0, u64::saturating_add);
        let memory = self.settings.memory_bytes;
        if floors > memory {
            tracing::warn!(
                floors,
                memory,
                "the tenants' floors are more than this node has: give it more memory"
            );
        }
    }

    /// The version that the node obeys.
    fn obeyed(&self) -> u64 {
        self.settings.directory.load().version()
    }

    async fn save(&mut self) -> Result<(), AccountsError> {
        let directory = self.settings.directory.load();
        let installation = self.installation.clone().unwrap_or_default();
        let version = directory.version();
        self.file.write(directory, installation).await?;
        self.saved = Some(version);
        Ok(())
    }

    /// Writes the node's row: what was saved is what the node obeys even after a crash.
    async fn tell(&mut self, is_running: bool) -> Result<(), AccountsError> {
        let version = self.saved.unwrap_or(0);
        let FollowerSettings { name, servers, console_url, memory_bytes, started, .. } =
            self.settings.clone();
        let id = self.node_id.clone();
        let beat =
            Beat { id, name, servers, console_url, memory_bytes, started, version, is_running };
        self.accounts.beat(&beat).await?;
        self.told = Some((version, Instant::now()));
        Ok(())
    }
}
