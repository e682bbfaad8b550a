//! What can go wrong with the database, in words an operator can act on.
//!
//! [`DbError`] is for logs and for the terminal at start; pages never show it. No variant carries a
//! connection URL, only its redacted form, so that a password cannot leak through a message. Each
//! message includes its cause, so none is given as `source` too.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::migrate::MigrateError;

/// A failure of the database or of its configuration.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// `DATABASE_URL` cannot be used as it is.
    #[error("DATABASE_URL {problem}; valid are {}", super::url::VALID)]
    Url {
        /// What is wrong with the value, without the value's secrets.
        problem: String,
    },
    /// The directory for the SQLite file could not be created.
    #[error("cannot create the directory {} for the SQLite file of DATABASE_URL: {cause}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// No connection could be made within the time allowed.
    #[error(
        "cannot connect to the database {target} of DATABASE_URL (tried {attempts} times in {:.1} s): {cause}",
        waited.as_secs_f64()
    )]
    Connect {
        /// The database, without the password.
        target: String,
        /// How often it was tried.
        attempts: u32,
        /// How long it was tried.
        waited: Duration,
        /// The last failure.
        cause: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("cannot migrate the database: {0}")]
    Migrate(MigrateError),
    /// Another process holds the lock of the migrations.
    #[error(
        "cannot migrate the database: another process has been migrating it for 60 s; end that process, or wait for it and try again"
    )]
    MigrationLock,
    /// The schema is there but its one row in `installation` is not.
    #[error("the database has no row in its table `installation`: run `tasklist migrate`")]
    NoInstallation,
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system: {0}")]
    Random(getrandom::Error),
    /// A statement failed.
    #[error("database: {0}")]
    Query(sqlx::Error),
}

impl From<MigrateError> for DbError {
    fn from(cause: MigrateError) -> DbError {
        DbError::Migrate(cause)
    }
}

impl From<sqlx::Error> for DbError {
    fn from(cause: sqlx::Error) -> DbError {
        DbError::Query(cause)
    }
}
