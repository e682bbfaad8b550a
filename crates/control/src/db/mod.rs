//! The database of the accounts: SQLite or PostgreSQL.
//!
//! Each database has its own typed pool; statements are written once, in the notation that both
//! understand (`$1`, `RETURNING`, `ON CONFLICT`), and over columns of the types that both have: whole
//! numbers of 64 bits and text. [`with_pool!`] and [`with_tx!`] evaluate one statement over whichever
//! database it is, and turn its failure into an [`AccountsError`](crate::AccountsError) that names the
//! database and a remedy.

mod fault;
mod open;

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, Transaction};

use crate::error::AccountsError;

/// An open database; its schema is up to date.
#[derive(Debug)]
pub(crate) struct Db {
    pub(crate) pool: Pool,
    /// As messages name it: the file, or the URL without its password.
    pub(crate) name: Arc<str>,
    /// The file, where it is one.
    file: Option<OpenFile>,
}

/// A file, and which one it was when it was opened.
#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

#[derive(Debug)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A transaction. It is undone unless it is committed.
#[derive(Debug)]
pub(crate) struct Tx {
    pub(crate) inner: TxInner,
    pub(crate) name: Arc<str>,
}

#[derive(Debug)]
pub(crate) enum TxInner {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// Evaluates one statement over the pool of a [`Db`].
macro_rules! with_pool {
    ($db:expr, |$pool:ident| $statement:expr) => {{
        let db: &$crate::db::Db = $db;
        let result = match &db.pool {
            $crate::db::Pool::Sqlite($pool) => $statement,
            $crate::db::Pool::Postgres($pool) => $statement,
        };
        result.map_err(|error| $crate::db::fault(&db.name, error))
    }};
}
pub(crate) use with_pool;

/// Evaluates one statement over the connection of a [`Tx`].
macro_rules! with_tx {
    ($tx:expr, |$connection:ident| $statement:expr) => {{
        let tx: &mut $crate::db::Tx = &mut $tx;
        let result = match &mut tx.inner {
            $crate::db::TxInner::Sqlite(inner) => {
                let $connection = &mut **inner;
                $statement
            }
            $crate::db::TxInner::Postgres(inner) => {
                let $connection = &mut **inner;
                $statement
            }
        };
        result.map_err(|error| $crate::db::fault(&tx.name, error))
    }};
}
pub(crate) use with_tx;

/// Executes one query over the connection of a [`Tx`]; how many rows it concerned.
macro_rules! execute {
    ($tx:expr, $query:expr) => {
        $crate::db::with_tx!($tx, |connection| {
            $query.execute(connection).await.map(|done| done.rows_affected())
        })
    };
}
pub(crate) use execute;

pub(crate) use fault::{damaged, fault};

impl Db {
    /// Begins a transaction that will write. On SQLite it holds the one write lock from now on, so that
    /// what it reads is what it writes over.
    pub(crate) async fn begin_write(&self) -> Result<Tx, AccountsError> {
        self.begin(["BEGIN IMMEDIATE", "BEGIN"]).await
    }

    /// Begins a transaction whose reads all see the database as it is at the first of them.
    pub(crate) async fn begin_read(&self) -> Result<Tx, AccountsError> {
        self.begin(["BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"]).await
    }

    /// Refuses to go on with a file that is no longer there, or another one by now: what is written to
    /// it would be lost.
    pub(crate) fn check_file(&self) -> Result<(), AccountsError> {
        match &self.file {
            Some(file) if !file.is_there() => Err(AccountsError::Unavailable(format!(
                "the accounts database {} was removed or replaced while it was open; start this process again to use what is there now",
                self.name
            ))),
            _ => Ok(()),
        }
    }

    async fn begin(&self, statement: [&'static str; 2]) -> Result<Tx, AccountsError> {
        self.check_file()?;
        let [sqlite, postgres] = statement;
        let begun = match &self.pool {
            Pool::Sqlite(pool) => pool.begin_with(sqlite).await.map(TxInner::Sqlite),
            Pool::Postgres(pool) => pool.begin_with(postgres).await.map(TxInner::Postgres),
        };
        let inner = begun.map_err(|error| fault(&self.name, error))?;
        Ok(Tx { inner, name: self.name.clone() })
    }

    /// The database's own clock, in seconds since 1970: one for all nodes, whatever theirs say.
    pub(crate) async fn clock(&self) -> Result<u64, AccountsError> {
        let sql = match &self.pool {
            Pool::Sqlite(_) => "SELECT unixepoch()",
            Pool::Postgres(_) => "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS BIGINT)",
        };
        let now: i64 = with_pool!(self, |pool| sqlx::query_scalar(sql).fetch_one(pool).await)?;
        Ok(known(now))
    }

    /// Closes the pool, after the statements in flight have ended.
    pub(crate) async fn close(&self) {
        match &self.pool {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(pool) => pool.close().await,
        }
    }
}

impl OpenFile {
    fn of(path: &Path) -> io::Result<Self> {
        let facts = path.metadata()?;
        Ok(Self { path: path.to_owned(), device: facts.dev(), inode: facts.ino() })
    }

    fn is_there(&self) -> bool {
        let same =
            |facts: std::fs::Metadata| facts.dev() == self.device && facts.ino() == self.inode;
        self.path.metadata().is_ok_and(same)
    }
}

impl Tx {
    /// Makes everything that was done in it true, all at once and for good.
    pub(crate) async fn commit(self) -> Result<(), AccountsError> {
        let committed = match self.inner {
            TxInner::Sqlite(inner) => inner.commit().await,
            TxInner::Postgres(inner) => inner.commit().await,
        };
        committed.map_err(|error| fault(&self.name, error))
    }

    /// Whether this is PostgreSQL, for the few statements that differ.
    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.inner, TxInner::Postgres(_))
    }
}

/// As the database keeps a count: its numbers end at 2^63.
pub(crate) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count that the database kept.
pub(crate) fn known(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
