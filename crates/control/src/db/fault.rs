//! What a failure of the database means, and what to do about it.

use sqlx::migrate::MigrateError;

use crate::error::AccountsError;

/// The failure of a statement on the database `name`.
pub(crate) fn fault(name: &str, error: sqlx::Error) -> AccountsError {
    if let sqlx::Error::Database(cause) = &error
        && let Some(code) = cause.code()
        && let Some(known) = of_code(name, &code, &error)
    {
        return known;
    }
    match error {
        sqlx::Error::Migrate(error) => migration_fault(name, *error),
        sqlx::Error::Io(error) => unavailable(
            name,
            &format!("cannot be reached: {error}; is it running, and is the address right?"),
        ),
        sqlx::Error::PoolTimedOut => unavailable(
            name,
            "gave no connection in time: it does not answer, or all connections are in use",
        ),
        sqlx::Error::PoolClosed => unavailable(name, "was closed by this process"),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::RowNotFound => damaged(name, &error.to_string()),
        other => unavailable(name, &format!("failed: {other}")),
    }
}

/// The failure of a migration of the database `name`.
pub(crate) fn migration_fault(name: &str, error: MigrateError) -> AccountsError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            fault(name, error)
        }
        MigrateError::VersionMissing(version) => unavailable(
            name,
            &format!(
                "is of a newer release (its schema has migration {version}): use that release, or a newer one"
            ),
        ),
        MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => damaged(
            name,
            &format!("migration {version} of its schema is not the one of any release"),
        ),
        other => unavailable(name, &format!("cannot be migrated: {other}")),
    }
}

/// A code of SQLite (a number, its lowest byte the kind) or PostgreSQL (five characters).
fn of_code(name: &str, code: &str, error: &sqlx::Error) -> Option<AccountsError> {
    let says = match code {
        "28P01" | "28000" => "refuses the user or the password; check both in its URL",
        "3D000" => "does not exist on that server; create it, or correct its URL",
        "42501" => "refuses: the user lacks a right; grant all rights on the database",
        "53300" => "has no connection left; allow more, or end some",
        "55P03" => "is locked: another change has taken longer than 5 s; try again",
        "57P01" | "57P02" | "57P03" => "is starting or stopping; try again",
        "25006" => "can only be read: it is a replica; use the URL of the primary",
        "53100" => "has a full disk; make room",
        "42P01" | "42703" => return Some(damaged(name, &error.to_string())),
        _ => return of_sqlite(name, code.parse().ok()?),
    };
    Some(unavailable(name, says))
}

fn of_sqlite(name: &str, code: u32) -> Option<AccountsError> {
    let says = match code & 0xff {
        // SQLITE_BUSY, SQLITE_LOCKED
        5 | 6 => {
            "is locked: another process has been writing it for more than 5 s; end that process, or try again"
        }
        // SQLITE_PERM, SQLITE_READONLY
        3 | 8 => {
            "cannot be written: make the file and its directory writable for this user, and the file system"
        }
        // SQLITE_IOERR
        10 => "cannot be read or written: the disk reports an error",
        // SQLITE_FULL
        13 => "has a full disk; make room",
        // SQLITE_CANTOPEN
        14 => "cannot be opened: check that the file and its directory are there and may be used",
        // SQLITE_CORRUPT, SQLITE_NOTADB
        11 => return Some(damaged(name, "its content is damaged")),
        26 => return Some(damaged(name, "the file is not an SQLite database")),
        _ => return None,
    };
    Some(unavailable(name, says))
}

fn unavailable(name: &str, says: &str) -> AccountsError {
    AccountsError::Unavailable(format!("the accounts database {name} {says}"))
}

pub(crate) fn damaged(name: &str, says: &str) -> AccountsError {
    AccountsError::Damaged(format!(
        "the accounts database {name} is not as it should be: {says}; restore it from a backup, or move it away to begin anew (running nodes go on with the accounts they know)"
    ))
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{Connection as _, SqliteConnection};

    use super::*;

    /// What SQLite says of `statements`, with these options on a file that is there.
    async fn of_sqlite(
        options: impl Fn(SqliteConnectOptions) -> SqliteConnectOptions,
        statements: &'static str,
    ) -> AccountsError {
        let dir = tempfile::tempdir().unwrap();
        let file = SqliteConnectOptions::new().filename(dir.path().join("a.db"));
        let made = file.clone().create_if_missing(true);
        SqliteConnection::connect_with(&made).await.unwrap().close().await.unwrap();
        let failed = match SqliteConnection::connect_with(&options(file)).await {
            Ok(mut connection) => sqlx::raw_sql(statements).execute(&mut connection).await.err(),
            Err(error) => Some(error),
        };
        fault("a.db", failed.unwrap())
    }

    #[tokio::test]
    async fn sqlite_is_understood() {
        let read_only = of_sqlite(|file| file.read_only(true), "CREATE TABLE t (a)").await;
        assert!(read_only.to_string().contains("a.db cannot be written"), "{read_only}");
        let full = "PRAGMA max_page_count = 2; CREATE TABLE t (a); CREATE TABLE u (a)";
        let full = of_sqlite(|file| file, full).await;
        assert!(full.to_string().contains("a.db has a full disk"), "{full}");
        let missing = of_sqlite(|file| file.filename("/nowhere/at/all.db"), "").await;
        assert!(missing.to_string().contains("a.db cannot be opened"), "{missing}");
        let other = of_sqlite(|file| file, "SELEC").await;
        assert!(other.to_string().contains("syntax error"), "{other}");
    }

    #[test]
    fn every_code_of_postgresql_says_what_to_do() {
        let any = sqlx::Error::PoolClosed;
        for code in [
            "28P01", "28000", "3D000", "42501", "53300", "55P03", "57P01", "57P02", "57P03",
            "25006", "53100",
        ] {
            let says = of_code("postgres://u@h/db", code, &any).unwrap();
            assert!(says.to_string().contains("postgres://u@h/db "), "{code}: {says}");
        }
        assert_eq!(of_code("x", "XX000", &any), None);
    }
}
