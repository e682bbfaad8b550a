//! The database: tasks, sessions and the installation's name, on SQLite, PostgreSQL or MySQL.
//!
//! [`Db`] owns the connection pool; nothing else in the crate speaks SQL. Each database keeps its
//! own typed pool, because sqlx's `Any` driver knows neither the ids of inserted rows nor all types.
//! The statements are written once, with `$1` placeholders, in `tasks.rs` and `sessions.rs`.
//!
//! What must stay true:
//! - the id of a deleted task is never given to another task (cached fragments are keyed by it);
//! - an update never creates a row, so a deleted session stays deleted;
//! - an error or log line never contains a password.

mod connect;
mod error;
mod migrate;
mod sessions;
mod table;
mod tasks;
mod url;

use sqlx::{AssertSqlSafe, MySqlPool, PgPool, SqlSafeStr, SqlStr, SqlitePool};

pub use self::error::DbError;
pub use self::tasks::Task;
pub use self::url::DatabaseUrl;

/// A pool of connections to the app's database; clones share the pool.
#[derive(Debug, Clone)]
pub enum Db {
    /// SQLite, a file or in memory.
    Sqlite(SqlitePool),
    /// PostgreSQL.
    Postgres(PgPool),
    /// MySQL or MariaDB.
    MySql(MySqlPool),
}

/// Evaluates one expression over the typed pool of whichever database this is.
macro_rules! with_pool {
    ($db:expr, |$pool:ident| $body:expr) => {
        match $db {
            $crate::db::Db::Sqlite($pool) => $body,
            $crate::db::Db::Postgres($pool) => $body,
            $crate::db::Db::MySql($pool) => $body,
        }
    };
}
use with_pool;

impl Db {
    /// Asks the database for a sign of life: one round trip.
    pub async fn ping(&self) -> Result<(), DbError> {
        with_pool!(self, |pool| {
            sqlx::query("SELECT 1").execute(pool).await?;
        });
        Ok(())
    }

    /// Closes the pool, after the statements in flight have ended.
    pub async fn close(&self) {
        with_pool!(self, |pool| pool.close().await);
    }

    /// The kind of database, as a person calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Db::Sqlite(_) => "SQLite",
            Db::Postgres(_) => "PostgreSQL",
            Db::MySql(_) => "MySQL",
        }
    }

    /// A statement in this database's own notation. SQLite and PostgreSQL understand `$1`; MySQL
    /// only `?`, bound in order: statements must therefore use `$1`, `$2`, … once and in order.
    fn sql(&self, statement: &'static str) -> SqlStr {
        match self {
            Db::Sqlite(_) | Db::Postgres(_) => statement.into_sql_str(),
            Db::MySql(_) => AssertSqlSafe(question_marks(statement)).into_sql_str(),
        }
    }
}

fn question_marks(statement: &str) -> String {
    let mut parts = statement.split('$');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push('?');
        out.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::question_marks;

    #[test]
    fn placeholders_for_mysql() {
        assert_eq!(question_marks("SELECT 1"), "SELECT 1");
        assert_eq!(
            question_marks("UPDATE s SET a = $1, v = v + 1 WHERE id = $12 AND v = $3"),
            "UPDATE s SET a = ?, v = v + 1 WHERE id = ? AND v = ?"
        );
    }
}
