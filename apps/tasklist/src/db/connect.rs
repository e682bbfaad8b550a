//! Opening the pool, with patience for a database that is still starting.
//!
//! One plain connection is tried first, because a pool that cannot connect reports only a timeout
//! and not its cause. Failures that waiting can cure are retried for a bounded time; a wrong
//! password or an unknown database is reported at once.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::pool::PoolOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Database, Pool};

use super::url::Target;
use super::{DatabaseUrl, Db, DbError};

/// The driver's options for the database `DB`.
type Options<DB> = <<DB as Database>::Connection as Connection>::Options;

/// How long [`Db::connect`] waits for a database that is still starting.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// The first pause between two attempts; each later one is twice as long, up to `LONGEST_PAUSE`.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a request waits for a free connection before it fails.
const ACQUIRE: Duration = Duration::from_secs(5);
/// Connections of one process: small hosted databases allow 20 in all.
const MAX_CONNECTIONS: u32 = 8;

impl Db {
    /// Opens the database; a file, and the directory it is in, are created. A database that does
    /// not answer yet is tried for 30 seconds.
    pub async fn connect(url: &DatabaseUrl) -> Result<Db, DbError> {
        Db::connect_within(url, PATIENCE).await
    }

    /// Like [`Db::connect`], trying for `patience`.
    pub async fn connect_within(url: &DatabaseUrl, patience: Duration) -> Result<Db, DbError> {
        let attempts = Attempts { target: url.to_string(), patience };
        match url.target.clone() {
            Target::Sqlite { options, in_memory: true } => {
                // The data lives as long as a connection to it: one, never closed for its age.
                let pool =
                    PoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
                Ok(Db::Sqlite(pool.connect_with(options).await?))
            }
            Target::Sqlite { options, in_memory: false } => {
                create_directory(&options)?;
                Ok(Db::Sqlite(attempts.pool(options).await?))
            }
            Target::Postgres(options) => Ok(Db::Postgres(attempts.pool(options).await?)),
            Target::MySql(options) => Ok(Db::MySql(attempts.pool(options).await?)),
        }
    }
}

fn create_directory(options: &SqliteConnectOptions) -> Result<(), DbError> {
    let directory = options.get_filename().parent().unwrap_or(Path::new(""));
    if directory.as_os_str().is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all(directory)
        .map_err(|cause| DbError::Directory { path: directory.to_owned(), cause })
}

/// The attempts to reach one database.
struct Attempts {
    target: String,
    patience: Duration,
}

impl Attempts {
    async fn pool<DB: Database>(&self, options: Options<DB>) -> Result<Pool<DB>, DbError> {
        self.first_connection::<DB>(&options).await?;
        Ok(PoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            .connect_lazy_with(options))
    }

    async fn first_connection<DB: Database>(&self, options: &Options<DB>) -> Result<(), DbError> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let Err(cause) = attempt::<DB>(options).await else {
                return Ok(());
            };
            let waited = started.elapsed();
            if !waiting_may_help(&cause) || waited + pause > self.patience {
                let target = self.target.clone();
                return Err(DbError::Connect { target, attempts, waited, cause });
            }
            let database = &self.target;
            if attempts == 1 {
                tracing::warn!(%database, error = %cause, "no connection to the database yet, trying again");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

async fn attempt<DB: Database>(options: &Options<DB>) -> Result<(), sqlx::Error> {
    match tokio::time::timeout(ATTEMPT, DB::Connection::connect_with(options)).await {
        Ok(connected) => connected?.close().await,
        Err(_) => {
            let slow = io::Error::new(io::ErrorKind::TimedOut, "no answer in 5 s");
            Err(sqlx::Error::Io(slow))
        }
    }
}

/// Whether the failure is of a database that is starting, full or busy rather than misconfigured.
fn waiting_may_help(error: &sqlx::Error) -> bool {
    match error {
        // Nothing listens yet, the name does not resolve yet, the connection broke.
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => match error.code().as_deref() {
            // PostgreSQL: starting or shutting down, too many connections.
            Some("57P03" | "57P01" | "53300") => true,
            // SQLite: another process holds the lock (5 SQLITE_BUSY, 261 and 517 its extensions).
            Some("5" | "261" | "517") => true,
            // MySQL: too many connections, shutting down.
            Some("08004" | "08S01") => true,
            _ => false,
        },
        _ => false,
    }
}
