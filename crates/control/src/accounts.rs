//! The accounts, opened: what all parts of them share.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{OnceCell, watch};

use crate::db::{Db, known, with_pool};
use crate::error::AccountsError;
use crate::people::Checks;
use crate::url::AccountsUrl;

/// How long a failure to connect stands before another attempt is made.
const PAUSE: Duration = Duration::from_secs(1);

/// The accounts. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Accounts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    url: AccountsUrl,
    clock: Clock,
    /// Set by the first call that reaches the database.
    db: OnceCell<Db>,
    /// The last attempt that failed, so that those who wait for the same do not all repeat it.
    failed: Mutex<Option<(Instant, AccountsError)>>,
    changed: watch::Sender<u64>,
    checks: Checks,
}

/// Who makes a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Such as `operator ann`, `credential 15f38e` or `larder provision (user root)`.
    pub who: String,
    /// An address, or `cli`.
    pub from: String,
}

/// Where a sign-in comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// The address.
    pub from: String,
    /// What the browser says it is; may be empty.
    pub user_agent: String,
}

/// What came of a change, and the version of the directory that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed<T> {
    /// What came of it.
    pub value: T,
    /// The directory's version from which on every node obeys it.
    pub version: u64,
}

/// Tells the time, in seconds since 1970.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Accounts {
    /// Opens the accounts, and makes or migrates their tables.
    ///
    /// # Errors
    ///
    /// [`AccountsError::Unavailable`] if the database cannot be reached or written, or a newer release
    /// has made it, [`AccountsError::Damaged`] if it is not one of accounts.
    pub async fn open(url: &AccountsUrl) -> Result<Self, AccountsError> {
        let accounts = Self::lazy(url);
        accounts.db().await?;
        Ok(accounts)
    }

    /// The accounts, without connecting: each call does so when it needs to, and answers what
    /// [`open`](Accounts::open) would while the database is down.
    #[must_use]
    pub fn lazy(url: &AccountsUrl) -> Self {
        Self::with_clock(url, Clock::system())
    }

    /// Like [`lazy`](Accounts::lazy), with another clock than the system's.
    #[must_use]
    pub fn with_clock(url: &AccountsUrl, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            url: url.clone(),
            clock,
            db: OnceCell::new(),
            failed: Mutex::new(None),
            changed: watch::Sender::new(0),
            checks: Checks::default(),
        }))
    }

    /// Where they are.
    #[must_use]
    pub fn url(&self) -> &AccountsUrl {
        &self.0.url
    }

    /// Closes all connections. What is asked after that fails.
    pub async fn close(&self) {
        if let Some(db) = self.0.db.get() {
            db.close().await;
        }
    }

    /// The version of the directory.
    ///
    /// # Errors
    ///
    /// If the database does not answer.
    pub async fn version(&self) -> Result<u64, AccountsError> {
        let sql = "SELECT version FROM directory WHERE slot = 1";
        let db = self.db().await?;
        db.check_file()?;
        let version: i64 = with_pool!(db, |pool| sqlx::query_scalar(sql).fetch_one(pool).await)?;
        Ok(known(version))
    }

    /// The version that this process made last; changes when this process changes something.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// Tells those who wait in this process that it has made `version`.
    pub(crate) fn announce(&self, version: u64) {
        self.0.changed.send_modify(|last| *last = version.max(*last));
    }

    /// The database, opened by whoever needs it first.
    pub(crate) async fn db(&self) -> Result<&Db, AccountsError> {
        self.0.db.get_or_try_init(|| self.first_open()).await
    }

    /// Now, in seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        (self.0.clock.0)()
    }

    /// The checks of passwords that are under way.
    pub(crate) fn checks(&self) -> &Checks {
        &self.0.checks
    }

    async fn first_open(&self) -> Result<Db, AccountsError> {
        if let Some((at, error)) = &*self.failed()
            && at.elapsed() < PAUSE
        {
            return Err(error.clone());
        }
        let opened = Db::open(&self.0.url).await;
        if let Err(error) = &opened {
            *self.failed() = Some((Instant::now(), error.clone()));
        }
        opened
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Option<(Instant, AccountsError)>> {
        self.0.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock {
    /// The system's.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.map_or(0, |since| since.as_secs())
        })
    }

    /// One that tells what `now` tells.
    pub fn new(now: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", (self.0)())
    }
}
