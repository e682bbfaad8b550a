//! Databases for the tests: one of each server for all of them, a fresh database for each.

use std::sync::LazyLock;

use larder_peers::{MariaDb, Postgres};
use tasklist::db::Db;
use tempfile::TempDir;

static POSTGRES: LazyLock<Postgres> = LazyLock::new(Postgres::start);
static MARIADB: LazyLock<MariaDb> = LazyLock::new(MariaDb::start);

/// The databases that the app runs on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    MariaDb,
}

/// An empty database, gone when dropped.
#[derive(Debug)]
pub(crate) struct Database {
    /// Its `DATABASE_URL`.
    pub(crate) url: String,
    _directory: Option<TempDir>,
}

impl Database {
    /// A new one; the name is a plain identifier and used once in this test program.
    pub(crate) fn new(kind: Kind, name: &str) -> Database {
        let url = match kind {
            Kind::Sqlite => return Database::sqlite(),
            Kind::Postgres => POSTGRES.create_database(name),
            Kind::MariaDb => MARIADB.create_database(name),
        };
        Database { url, _directory: None }
    }

    /// A new one in a file.
    pub(crate) fn sqlite() -> Database {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/tasks.db", directory.path().display());
        Database { url, _directory: Some(directory) }
    }

    /// A view of it past the app, migrated.
    pub(crate) async fn open(&self) -> Db {
        let db = Db::connect(&self.url.parse().unwrap()).await.unwrap();
        db.migrate().await.unwrap();
        db
    }
}
