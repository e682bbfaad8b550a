//! `DATABASE_URL`, parsed: which database, where, and a form of it that is safe to print.
//!
//! [`DatabaseUrl`] owns the driver options, the password among them. Its `Debug` and `Display`
//! show the redacted form only, and that must stay so: configuration and errors are logged.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};

use super::DbError;

/// The notations that are understood, for messages.
pub(super) const VALID: &str = "sqlite:PATH, sqlite::memory:, \
     postgres://USER:PASSWORD@HOST:PORT/DATABASE and mysql://USER:PASSWORD@HOST:PORT/DATABASE \
     (postgresql:// and mariadb:// too)";

/// How long SQLite waits for another process's write before it gives up.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A checked `DATABASE_URL`.
#[derive(Clone)]
pub struct DatabaseUrl {
    pub(super) target: Target,
    redacted: String,
}

/// The driver's options for each database.
#[derive(Clone)]
pub(super) enum Target {
    Sqlite { options: SqliteConnectOptions, in_memory: bool },
    Postgres(PgConnectOptions),
    MySql(MySqlConnectOptions),
}

impl FromStr for DatabaseUrl {
    type Err = DbError;

    fn from_str(text: &str) -> Result<DatabaseUrl, DbError> {
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme))
        else {
            return Err(problem("does not begin with a scheme such as sqlite:"));
        };
        let scheme = scheme.to_ascii_lowercase();
        let target = match scheme.as_str() {
            "sqlite" => sqlite(rest)?,
            "postgres" | "postgresql" => Target::Postgres(network("postgres", rest)?),
            "mysql" | "mariadb" => Target::MySql(network("mysql", rest)?),
            _ => return Err(problem(&format!("has the unknown scheme {scheme:?}"))),
        };
        Ok(DatabaseUrl { target, redacted: redact(&scheme, rest) })
    }
}

/// The redacted form: no user's password, no query.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({})", self.redacted)
    }
}

fn sqlite(rest: &str) -> Result<Target, DbError> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let (file, query) = path.split_once('?').unwrap_or((path, ""));
    if file.is_empty() {
        return Err(problem("names no file after sqlite:"));
    }
    let in_memory = file == ":memory:" || query.split('&').any(|pair| pair == "mode=memory");
    let options = SqliteConnectOptions::from_str(&format!("sqlite:{path}"))
        .map_err(|error| problem(&format!("is not a valid sqlite: URL ({error})")))?
        .foreign_keys(true)
        .busy_timeout(SQLITE_BUSY_TIMEOUT);
    if in_memory {
        return Ok(Target::Sqlite { options, in_memory });
    }
    // An explicit mode (`?mode=rw`) says whether the file may be created; without one it may.
    let create = !query.split('&').any(|pair| pair.starts_with("mode="));
    let options = if create { options.create_if_missing(true) } else { options };
    let options = options.journal_mode(SqliteJournalMode::Wal);
    Ok(Target::Sqlite { options, in_memory })
}

fn network<O: FromStr<Err = sqlx::Error>>(scheme: &str, rest: &str) -> Result<O, DbError> {
    let Some(authority) = rest.strip_prefix("//") else {
        return Err(problem(&format!("lacks the // after {scheme}:")));
    };
    let path = authority.split_once('?').map_or(authority, |(before, _)| before);
    if path.split_once('/').is_none_or(|(_, database)| database.is_empty()) {
        return Err(problem("names no database after the host"));
    }
    // The parser's message is about the form (a bad port, say); it does not repeat the URL.
    O::from_str(&format!("{scheme}:{rest}"))
        .map_err(|error| problem(&format!("is not a valid {scheme}:// URL ({error})")))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn problem(text: &str) -> DbError {
    DbError::Url { problem: text.to_owned() }
}

/// Drops the query, which may hold a password too, and the password before the last `@`.
fn redact(scheme: &str, rest: &str) -> String {
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    let Some((login, host)) = rest.rsplit_once('@').filter(|_| scheme != "sqlite") else {
        return format!("{scheme}:{rest}");
    };
    let user = login.trim_start_matches('/').split(':').next().unwrap_or_default();
    format!("{scheme}://{user}@{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DatabaseUrl, String> {
        text.parse().map_err(|error: DbError| error.to_string())
    }

    #[test]
    fn the_notations() {
        for (text, shown) in [
            ("sqlite:a/b.db", "sqlite:a/b.db"),
            ("sqlite://b.db", "sqlite://b.db"),
            ("sqlite:///var/lib/t.db?mode=rw", "sqlite:///var/lib/t.db"),
            ("sqlite::memory:", "sqlite::memory:"),
            ("postgres://u:secret@h:5432/db", "postgres://u@h:5432/db"),
            ("postgresql://u:sec@ret@h/db?password=secret", "postgresql://u@h/db"),
            ("mysql://u:secret@h/db", "mysql://u@h/db"),
            ("MariaDB://h/db", "mariadb://h/db"),
        ] {
            let url = parse(text).expect(text);
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("secret"));
        }
    }

    #[test]
    fn wrong_ones_say_what_is_wrong_and_keep_the_password() {
        for (text, says) in [
            ("", "does not begin with a scheme"),
            ("tasks.db", "does not begin with a scheme"),
            ("u/secret@h:1/db", "does not begin with a scheme"),
            ("oracle://u:secret@h/db", "unknown scheme \"oracle\""),
            ("redis://:secret@h/0", "unknown scheme \"redis\""),
            ("sqlite:", "names no file"),
            ("sqlite:a.db?mode=purple", "purple"),
            ("postgres:u:secret@h/db", "lacks the //"),
            ("postgres://u:secret@h", "names no database"),
            ("mysql://u:secret@h/?x=1", "names no database"),
            ("mysql://u:secret@h:port/db", "invalid port"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
            assert!(error.contains("DATABASE_URL") && error.contains("sqlite:PATH"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
