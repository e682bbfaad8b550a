//! Opening the database: one connection tried, the schema brought up to date, the pool.
//!
//! One plain connection is tried first, because a pool that cannot connect reports only that time ran
//! out and not why. Several processes may migrate one database at once: sqlx locks PostgreSQL, and
//! SQLite is locked here.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, Database, Executor, PgConnection, PgPool, SqlitePool};

use super::fault::migration_fault;
use super::{Db, OpenFile, Pool, fault};
use crate::error::AccountsError;
use crate::url::{AccountsUrl, Target};

/// How long the first connection may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long a call waits for a free connection before it fails.
const ACQUIRE: Duration = Duration::from_secs(3);
/// How long a write waits for another to end: PostgreSQL is told the same in `open_postgres`.
const BUSY: Duration = Duration::from_secs(5);
/// Connections of one process: small hosted databases allow 20 in all.
const MAX_CONNECTIONS: u32 = 8;

impl Db {
    /// Opens the database, makes the file if it is one and missing, and brings the schema up to date.
    pub(crate) async fn open(url: &AccountsUrl) -> Result<Db, AccountsError> {
        let name: Arc<str> = url.to_string().into();
        let (pool, file) = match &url.target {
            Target::File(path) => {
                let pool = open_sqlite(&name, path).await?;
                let file = OpenFile::of(path).map_err(|error| fault(&name, error.into()))?;
                (Pool::Sqlite(pool), Some(file))
            }
            Target::Postgres(options) => {
                (Pool::Postgres(open_postgres(&name, options).await?), None)
            }
        };
        Ok(Db { pool, name, file })
    }
}

async fn open_sqlite(name: &str, path: &Path) -> Result<SqlitePool, AccountsError> {
    make_file(path).map_err(|cause| {
        AccountsError::Unavailable(format!(
            "cannot make the accounts database {name}: {cause}; name a directory that this user may write"
        ))
    })?;
    // FULL: what a change has acknowledged survives a power cut, too.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY);
    first_connection::<sqlx::Sqlite>(name, &options).await?;
    let pool = PoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(ACQUIRE)
        .connect_lazy_with(options);
    migrate_sqlite(name, &pool).await?;
    Ok(pool)
}

/// Makes the file, for its owner alone, before SQLite would make it for everybody.
fn make_file(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

async fn open_postgres(name: &str, options: &PgConnectOptions) -> Result<PgPool, AccountsError> {
    first_connection::<sqlx::Postgres>(name, options).await?;
    let pool = PoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(ACQUIRE)
        .after_connect(|connection: &mut PgConnection, _| {
            Box::pin(async move {
                // A change that is stuck, or whose client is gone, must not stop all others for ever.
                let limits = "SET lock_timeout = '5s'; SET statement_timeout = '30s'; \
                              SET idle_in_transaction_session_timeout = '30s'";
                connection.execute(limits).await.map(|_| ())
            })
        })
        .connect_lazy_with(options.clone());
    let migrated = sqlx::migrate!("migrations/postgres").run(&pool).await;
    migrated.map_err(|error| migration_fault(name, error))?;
    Ok(pool)
}

async fn first_connection<DB: Database>(
    name: &str,
    options: &<DB::Connection as Connection>::Options,
) -> Result<(), AccountsError> {
    let slow = || sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "no answer in 5 s"));
    let connected = tokio::time::timeout(ATTEMPT, DB::Connection::connect_with(options)).await;
    let connection = connected.unwrap_or_else(|_| Err(slow()));
    let connection = connection.map_err(|error| fault(name, error))?;
    connection.close().await.map_err(|error| fault(name, error))
}

async fn migrate_sqlite(name: &str, pool: &SqlitePool) -> Result<(), AccountsError> {
    // IMMEDIATE takes the write lock now, and waits for it as long as the busy timeout.
    let begun = pool.begin_with("BEGIN IMMEDIATE").await;
    let mut transaction = begun.map_err(|error| fault(name, error))?;
    // Not `run`: over a borrowed connection its future is not `Send`.
    let migrator = sqlx::migrate!("migrations/sqlite");
    let migrated = migrator.run_direct(None, &mut *transaction, false).await;
    migrated.map_err(|error| migration_fault(name, error))?;
    transaction.commit().await.map_err(|error| fault(name, error))
}
