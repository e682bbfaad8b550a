//! How a node follows the accounts, on SQLite and PostgreSQL, with and without their database.

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use larder_control::{
    Accounts, AccountsError, AccountsUrl, DataDir, Follower, FollowerSettings, NewTenant,
};
use larder_peers::Postgres;
use larder_tenancy::{Directory, SharedDirectory};
use sqlx::Connection as _;
use support::{BY, Fresh, MIB, name, silent, suite, tenant};
use tokio::net::TcpSocket;

/// How long a test waits for what should come in a second or two.
const PATIENCE: Duration = Duration::from_secs(60);

suite!(
    a_change_reaches_every_node,
    a_node_that_lags_is_named_and_one_that_stopped_is_not,
    a_node_is_listed_as_it_says,
    a_node_begins_with_its_snapshot_and_catches_up,
    a_restored_backup_is_obeyed_and_nothing_is_given_twice,
    the_accounts_of_another_installation_are_refused,
);

/// A node of these accounts.
struct Node {
    directory: SharedDirectory,
    follower: Follower,
}

impl Node {
    async fn start(accounts: &Accounts, dir: &Path) -> Result<Node, AccountsError> {
        let directory = SharedDirectory::new(Directory::default());
        let settings = FollowerSettings {
            directory: directory.clone(),
            name: dir.file_name().unwrap().to_str().unwrap().to_owned(),
            servers: vec!["cache.example:11211".to_owned(), "[::1]:11212".to_owned()],
            console_url: Some("https://console.example".to_owned()),
            memory_bytes: 1 << 30,
            started: support::NOW,
        };
        let data = DataDir::open(dir)?;
        let follower = Follower::start(accounts.clone(), data, settings).await?;
        Ok(Node { directory, follower })
    }

    fn names(&self) -> Vec<String> {
        self.directory.load().tenants().map(|tenant| tenant.name.to_string()).collect()
    }

    /// Waits until its directory is as `is` says.
    async fn becomes(&self, is: impl Fn(&Directory) -> bool) {
        let seen = async {
            while !is(&self.directory.load()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, seen).await;
        assert!(waited.is_ok(), "still {:?}", self.directory);
    }
}

/// Waits until all nodes have `version`.
async fn acknowledged(accounts: &Accounts, version: u64) {
    let behind = accounts.acknowledged(version, PATIENCE).await.unwrap();
    assert_eq!(behind, []);
}

async fn a_change_reaches_every_node(fresh: &Fresh) {
    let (here, elsewhere) = (fresh.open().await, fresh.open().await);
    tenant(&here, "early").await;
    let one = Node::start(&here, &fresh.dir.path().join("one")).await.unwrap();
    let other = Node::start(&elsewhere, &fresh.dir.path().join("other")).await.unwrap();
    assert_eq!(one.names(), ["early"], "before `start` returns");
    for (round, accounts) in [&here, &elsewhere, &fresh.open().await].into_iter().enumerate() {
        let new = NewTenant::new(name(&format!("shop{round}")), MIB);
        let changed = accounts.create_tenant(&BY, new.clone()).await.unwrap();
        acknowledged(accounts, changed.version).await;
        for node in [&one, &other] {
            let directory = node.directory.load();
            assert!(directory.version() >= changed.version);
            assert!(directory.tenant_named(&new.name).is_some());
        }
    }
    for node in [one, other] {
        node.follower.stop().await;
    }
}

async fn a_node_that_lags_is_named_and_one_that_stopped_is_not(fresh: &Fresh) {
    let accounts = fresh.open().await;
    assert_eq!(accounts.acknowledged(99, Duration::ZERO).await.unwrap(), [], "no node at all");
    let [stops, dies, lives] = ["stops", "dies", "lives"].map(|dir| fresh.dir.path().join(dir));
    let stopping = Node::start(&accounts, &stops).await.unwrap();
    let dying = Node::start(&accounts, &dies).await.unwrap();
    let living = Node::start(&accounts, &lives).await.unwrap();
    stopping.follower.stop().await;
    drop(dying.follower);
    let version = accounts.create_tenant(&BY, NewTenant::new(name("shop"), MIB)).await.unwrap();
    let version = version.version;
    living.becomes(|directory| directory.version() == version).await;
    let mut behind = accounts.acknowledged(version, Duration::from_secs(1)).await.unwrap();
    behind.retain(|node| node.name != "lives");
    let names: Vec<_> = behind.iter().map(|node| &*node.name).collect();
    assert_eq!(names, ["dies"]);
    let running = accounts.forget_node(&BY, &behind[0].id).await.unwrap_err();
    assert!(running.to_string().contains("dies") && running.to_string().contains("stop it first"));
    // It is back, with the same row.
    let again = Node::start(&accounts, &dies).await.unwrap();
    acknowledged(&accounts, version).await;
    assert_eq!(accounts.nodes().await.unwrap().len(), 3);
    again.follower.stop().await;
    living.follower.stop().await;
}

async fn a_node_is_listed_as_it_says(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let node = Node::start(&accounts, &fresh.dir.path().join("node")).await.unwrap();
    let listed = accounts.nodes().await.unwrap();
    let [row] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((&*row.id, &*row.name), (node.follower.data().node_id(), "node"));
    assert_eq!(row.servers, ["cache.example:11211", "[::1]:11212"]);
    assert_eq!(row.console_url.as_deref(), Some("https://console.example"));
    assert_eq!((row.memory_bytes, row.started, row.version), (1 << 30, support::NOW, 1));
    assert!(row.is_live);
    node.follower.stop().await;
    let listed = accounts.nodes().await.unwrap();
    assert!(!listed[0].is_live && listed[0].version == 1);
    assert_eq!(accounts.capacity().await.unwrap().memory_bytes, Some(1 << 30), "it will be back");
}

/// The same accounts where they cannot be reached, until [`Away::back`].
struct Away {
    accounts: Accounts,
    made: std::path::PathBuf,
    away: std::path::PathBuf,
    _silent: Option<TcpSocket>,
}

impl Away {
    /// For SQLite: the directory of the file is moved away and a file is in its place. For PostgreSQL: a
    /// port where nobody listens, which stays so.
    fn of(fresh: &Fresh) -> Away {
        let (made, away) = (fresh.dir.path().join("made"), fresh.dir.path().join("away"));
        if fresh.is_postgres() {
            let (silent, addr) = silent();
            let url = AccountsUrl::parse(&format!("postgres://ann:hunter2@{addr}/larder")).unwrap();
            return Away { accounts: Accounts::lazy(&url), made, away, _silent: Some(silent) };
        }
        std::fs::rename(&made, &away).unwrap();
        std::fs::write(&made, "in the way").unwrap();
        Away { accounts: Accounts::lazy(&fresh.url), made, away, _silent: None }
    }

    fn back(&self) {
        std::fs::remove_file(&self.made).unwrap();
        std::fs::rename(&self.away, &self.made).unwrap();
    }
}

async fn a_node_begins_with_its_snapshot_and_catches_up(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (_, secret) = tenant(&accounts, "shop").await;
    let (dir, other) = (fresh.dir.path().join("node"), fresh.dir.path().join("other"));
    let node = Node::start(&accounts, &dir).await.unwrap();
    acknowledged(&accounts, 2).await;
    let snapshot = node.follower.data().snapshot_path();
    let mode = snapshot.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it has digests");
    node.follower.stop().await;
    accounts.close().await;

    let away = Away::of(fresh);
    // A node that has never seen them has nothing to serve.
    let error = Node::start(&away.accounts, &other).await.err().unwrap().to_string();
    assert!(error.contains("no earlier directory") && error.contains("other/directory.json"));
    assert!(!error.contains("hunter2"), "{error}");
    let node = Node::start(&away.accounts, &dir).await.unwrap();
    let directory = node.directory.load();
    let (user, password) = (secret.username.as_bytes(), secret.password.as_bytes());
    assert!(directory.version() == 2 && directory.authenticate(user, password, 0).is_ok());
    let console = away.accounts.tenants().await;
    assert!(matches!(console, Err(AccountsError::Unavailable(_))), "{console:?}");
    if !fresh.is_postgres() {
        away.back();
        let accounts = fresh.open().await;
        tenant(&accounts, "late").await;
        node.becomes(|directory| directory.version() == 3).await;
        acknowledged(&accounts, 3).await;
        // The console that was opened while they were away works, too.
        assert_eq!(away.accounts.tenants().await.unwrap().len(), 2);
        node.follower.stop().await;
        return;
    }
    node.follower.stop().await;

    // A damaged snapshot is no harm while the accounts are there, and an error when they are not.
    std::fs::write(&snapshot, "{\"format\":1").unwrap();
    let error = Node::start(&away.accounts, &dir).await.err().unwrap().to_string();
    assert!(error.contains("node/directory.json, cannot be used"), "{error}");
    let accounts = fresh.open().await;
    let node = Node::start(&accounts, &dir).await.unwrap();
    acknowledged(&accounts, 2).await;
    assert!(std::fs::read_to_string(&snapshot).unwrap().contains("\"shop\""));
    node.follower.stop().await;
}

async fn a_restored_backup_is_obeyed_and_nothing_is_given_twice(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let dir = fresh.dir.path().join("node");
    let (shop, _) = tenant(&accounts, "shop").await;
    let node = Node::start(&accounts, &dir).await.unwrap();
    accounts.flush_tenant(&BY, &shop.name).await.unwrap();
    let (later, _) = tenant(&accounts, "later").await;
    let version = accounts.version().await.unwrap();
    node.becomes(|directory| directory.version() == version).await;

    // As a backup from before the flush would have it, once while the node runs, once while it does not.
    restore(fresh).await;
    node.becomes(|directory| directory.version() > version).await;
    assert_eq!(node.names(), ["shop"], "the accounts are right");
    let directory = node.directory.load();
    assert_eq!(directory.tenants().next().unwrap().flushes, 1, "counts go on");
    let (again, _) = tenant(&accounts, "again").await;
    assert!(again.id > later.id, "{again:?} has the number of {later:?}");
    acknowledged(&accounts, accounts.version().await.unwrap()).await;
    node.follower.stop().await;
    let version = accounts.version().await.unwrap();

    restore(fresh).await;
    let node = Node::start(&accounts, &dir).await.unwrap();
    assert_eq!(node.names(), ["shop"]);
    assert!(node.directory.load().version() > version);
    assert!(tenant(&accounts, "third").await.0.id > again.id);
    let audit = accounts.audit(None, None, 100).await.unwrap();
    let restored = audit.iter().filter(|entry| entry.action == "directory.restore");
    assert_eq!(restored.count(), 2);
    node.follower.stop().await;
}

/// Makes the accounts what they were after the first tenant.
async fn restore(fresh: &Fresh) {
    let statements = "DELETE FROM tenants WHERE id > 1; UPDATE tenants SET flushes = 0; \
                      UPDATE directory SET version = 2, next_tenant = 2";
    fresh.execute(statements).await;
}

async fn the_accounts_of_another_installation_are_refused(fresh: &Fresh) {
    let accounts = fresh.open().await;
    tenant(&accounts, "shop").await;
    let dir = fresh.dir.path().join("node");
    Node::start(&accounts, &dir).await.unwrap().follower.stop().await;
    let other =
        Accounts::open(&AccountsUrl::file(&fresh.dir.path().join("other.db"))).await.unwrap();
    let error = Node::start(&other, &dir).await.err().unwrap();
    assert!(matches!(error, AccountsError::Conflict(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("other.db") && text.contains("node/directory.json"), "{text}");
    // As the message says.
    std::fs::remove_file(dir.join("directory.json")).unwrap();
    let node = Node::start(&other, &dir).await.unwrap();
    assert!(node.names().is_empty());
    // And while it runs: it goes on with what it has.
    tenant(&other, "shed").await;
    node.becomes(|directory| directory.version() == 2).await;
    let file = format!("sqlite:{}", fresh.dir.path().join("other.db").display());
    let mut raw = sqlx::SqliteConnection::connect(&file).await.unwrap();
    let swap = "UPDATE directory SET installation = 'another', version = 9; DELETE FROM tenants";
    sqlx::raw_sql(swap).execute(&mut raw).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(node.names(), ["shed"]);
    node.follower.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_outlives_the_database() {
    let mut server = Postgres::start();
    let url = AccountsUrl::parse(&server.create_database("accounts")).unwrap();
    let accounts = Accounts::open(&url).await.unwrap();
    let (_, secret) = tenant(&accounts, "shop").await;
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&accounts, &dir.path().join("node")).await.unwrap();
    server.kill();
    let error = accounts.version().await.unwrap_err();
    assert!(matches!(error, AccountsError::Unavailable(_)), "{error}");
    let directory = node.directory.load();
    let (user, password) = (secret.username.as_bytes(), secret.password.as_bytes());
    assert!(directory.authenticate(user, password, 0).is_ok());
    // Stopping does not wait for who does not answer.
    node.follower.stop().await;
}
