//! A fresh database for each test, and a clock that tests move.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use larder_control::{
    Accounts, AccountsUrl, Actor, Caller, Clock, NewCredential, NewTenant, Secret, TenantRecord,
};
use larder_peers::Postgres;
use larder_tenancy::{AuthError, Capabilities, Directory, Grant, TenantName};
use sqlx::Connection as _;

pub(crate) const MIB: u64 = 1 << 20;
/// When tests begin.
pub(crate) const NOW: u64 = 1_800_000_000;

/// Declares every check once per database.
macro_rules! suite {
    ($($check:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $check() {
                super::$check(&crate::support::Fresh::sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $check() {
                super::$check(&crate::support::Fresh::postgres(stringify!($check))).await;
            })*
        }
    };
}
pub(crate) use suite;

/// A database of its own for one test; gone with this value.
pub(crate) struct Fresh {
    pub(crate) url: AccountsUrl,
    /// A directory for whatever the test needs.
    pub(crate) dir: tempfile::TempDir,
    now: Arc<AtomicU64>,
    postgres_url: Option<String>,
    _postgres: Option<Arc<Postgres>>,
}

impl Fresh {
    pub(crate) fn sqlite() -> Fresh {
        let dir = tempfile::tempdir().unwrap();
        let url = AccountsUrl::file(&dir.path().join("made/accounts.db"));
        Fresh { url, dir, now: Arc::new(AtomicU64::new(NOW)), postgres_url: None, _postgres: None }
    }

    pub(crate) fn postgres(name: &str) -> Fresh {
        // Shared by the tests that run at once, and ended with the last of them: what is in a static is
        // never dropped, and the server would outlive the tests.
        static SERVER: Mutex<std::sync::Weak<Postgres>> = Mutex::new(std::sync::Weak::new());
        let server = {
            let mut held = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
            held.upgrade().unwrap_or_else(|| {
                let server = Arc::new(Postgres::start());
                *held = Arc::downgrade(&server);
                server
            })
        };
        let dir = tempfile::tempdir().unwrap();
        let postgres_url = server.create_database(name);
        let url = AccountsUrl::parse(&postgres_url).unwrap();
        let now = Arc::new(AtomicU64::new(NOW));
        Fresh { url, dir, now, postgres_url: Some(postgres_url), _postgres: Some(server) }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.postgres_url.is_some()
    }

    /// One more process's view of the accounts.
    pub(crate) async fn open(&self) -> Accounts {
        let now = self.now.clone();
        let clock = Clock::new(move || now.load(Ordering::Relaxed));
        let accounts = Accounts::with_clock(&self.url, clock);
        accounts.version().await.unwrap();
        accounts
    }

    /// Lets the clock go on.
    pub(crate) fn wait(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The address as another process is given it.
    pub(crate) fn raw_url(&self) -> String {
        let file = || format!("sqlite:{}", self.file().display());
        self.postgres_url.clone().unwrap_or_else(file)
    }

    /// Executes statements past the accounts.
    pub(crate) async fn execute(&self, statements: &str) {
        let statements = sqlx::AssertSqlSafe(statements.to_owned());
        if let Some(url) = &self.postgres_url {
            let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
            sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
        } else {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.file());
            let options = options.busy_timeout(std::time::Duration::from_secs(60));
            let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }

    /// The file of an SQLite database.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("made/accounts.db")
    }
}

/// An address where nobody listens, and nobody else can as long as its socket is there.
pub(crate) fn silent() -> (tokio::net::TcpSocket, std::net::SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

pub(crate) static BY: LazyLock<Actor> =
    LazyLock::new(|| Actor { who: "operator ann".to_owned(), from: "127.0.0.1".to_owned() });

pub(crate) fn caller() -> Caller {
    Caller { from: "192.0.2.7".to_owned(), user_agent: "Firefox".to_owned() }
}

pub(crate) fn name(text: &str) -> TenantName {
    TenantName::new(text).unwrap()
}

/// A new tenant of 25 MiB.
pub(crate) async fn tenant(accounts: &Accounts, text: &str) -> (TenantRecord, Secret) {
    let new = NewTenant::new(name(text), 25 * MIB);
    accounts.create_tenant(&BY, new).await.unwrap().value
}

pub(crate) fn may(capabilities: Capabilities) -> NewCredential {
    NewCredential {
        capabilities,
        key_prefix: None,
        expires: None,
        note: String::new(),
        chosen: None,
    }
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What the data plane answers who comes with this.
pub(crate) fn grant(directory: &Directory, secret: &Secret, now: u64) -> Result<Grant, AuthError> {
    directory.authenticate(secret.username.as_bytes(), secret.password.as_bytes(), now)
}
