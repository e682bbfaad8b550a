//! The schema: migrations embedded per database, and the installation's name.
//!
//! Several processes may migrate one database at once. sqlx locks PostgreSQL; it has no lock for
//! SQLite, and the one for MySQL waits for ever by a timeout of -1, which MariaDB answers at once
//! without the lock: both are locked here. Migrations only ever add to the schema, and each MySQL
//! migration is a single statement, since MySQL cannot undo half of one.

use sqlx::migrate::Migrator;
use sqlx::{Connection, MySqlPool, SqlitePool};

use super::{Db, DbError, with_pool};

impl Db {
    /// Brings the schema up to date and names the installation; does nothing where that is done.
    pub async fn migrate(&self) -> Result<(), DbError> {
        match self {
            Db::Sqlite(pool) => migrate_sqlite(pool).await?,
            Db::Postgres(pool) => {
                tolerant(sqlx::migrate!("migrations/postgres")).run(pool).await?;
            }
            Db::MySql(pool) => migrate_mysql(pool).await?,
        }
        self.name_installation().await
    }

    /// The random name of this database: 32 hex digits, made once by [`Db::migrate`].
    ///
    /// It is the prefix of every cache key, so that a cache shared by two databases, or one that
    /// outlives a wiped database, never serves another database's rows.
    pub async fn installation(&self) -> Result<String, DbError> {
        self.stored_installation().await?.ok_or(DbError::NoInstallation)
    }

    async fn stored_installation(&self) -> Result<Option<String>, DbError> {
        let sql = self.sql("SELECT id FROM installation");
        Ok(with_pool!(self, |pool| sqlx::query_scalar(sql).fetch_optional(pool).await?))
    }

    async fn name_installation(&self) -> Result<(), DbError> {
        if self.stored_installation().await?.is_some() {
            return Ok(());
        }
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(DbError::Random)?;
        let id = hex::encode(bytes);
        let sql = self.sql("INSERT INTO installation (slot, id) VALUES (1, $1)");
        let inserted =
            with_pool!(self, |pool| { sqlx::query(sql).bind(id).execute(pool).await.map(|_| ()) });
        match inserted {
            // Another process named it between the look and the insert: its name stands.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(()),
            other => Ok(other?),
        }
    }
}

async fn migrate_sqlite(pool: &SqlitePool) -> Result<(), DbError> {
    // IMMEDIATE takes the write lock now, and waits for it as long as the busy timeout.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let migrator = tolerant(sqlx::migrate!("migrations/sqlite"));
    // Not `run`: over a borrowed connection its future is not `Send`.
    migrator.run_direct(None, &mut *transaction, false).await?;
    Ok(transaction.commit().await?)
}

async fn migrate_mysql(pool: &MySqlPool) -> Result<(), DbError> {
    // Detached from the pool, so that the lock ends with this connection whatever happens. Lock
    // names are the whole server's and at most 64 characters, hence the digest of the database.
    let mut connection = pool.acquire().await?.detach();
    let sql = "SELECT GET_LOCK(CONCAT('tasklist.', MD5(DATABASE())), 60)";
    let locked: Option<i64> = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
    if locked != Some(1) {
        return Err(DbError::MigrationLock);
    }
    let mut migrator = tolerant(sqlx::migrate!("migrations/mysql"));
    migrator.set_locking(false);
    migrator.run_direct(None, &mut connection, false).await?;
    Ok(connection.close().await?)
}

/// While a new version is rolled out, the old one must still start on the newer schema; migrations
/// only add, so it can.
fn tolerant(mut migrator: Migrator) -> Migrator {
    migrator.set_ignore_missing(true);
    migrator
}
