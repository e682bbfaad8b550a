//! Where the accounts are: a file, or a PostgreSQL database.
//!
//! [`AccountsUrl`] owns the password if there is one. Its `Debug` and `Display` show the form without
//! it only: configuration and errors are logged.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use crate::error::AccountsError;

const VALID: &str = "use postgres://USER:PASSWORD@HOST:PORT/DATABASE or sqlite:PATH";

/// The address of an accounts database. Never shows a password.
#[derive(Clone)]
pub struct AccountsUrl {
    pub(crate) target: Target,
    redacted: String,
}

/// The database itself.
#[derive(Clone)]
pub(crate) enum Target {
    File(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

impl AccountsUrl {
    /// The SQLite file at `path`. It and its directory are made when it is opened first.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        Self { target: Target::File(path.to_owned()), redacted: path.display().to_string() }
    }

    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE` (`postgresql://` too) or `sqlite:PATH`.
    ///
    /// # Errors
    ///
    /// [`AccountsError::Invalid`] for anything else.
    pub fn parse(text: &str) -> Result<Self, AccountsError> {
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme))
        else {
            return Err(invalid("", "does not begin with a scheme"));
        };
        let scheme = scheme.to_ascii_lowercase();
        match scheme.as_str() {
            "sqlite" => sqlite(rest),
            "postgres" | "postgresql" => {
                let redacted = redact(&scheme, rest);
                let options = postgres(rest).map_err(|says| invalid(&redacted, &says))?;
                Ok(Self { target: Target::Postgres(Box::new(options)), redacted })
            }
            _ => Err(invalid(&redact(&scheme, rest), "has an unknown scheme")),
        }
    }
}

impl FromStr for AccountsUrl {
    type Err = AccountsError;

    fn from_str(text: &str) -> Result<Self, AccountsError> {
        Self::parse(text)
    }
}

impl fmt::Display for AccountsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted)
    }
}

impl fmt::Debug for AccountsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountsUrl({})", self.redacted)
    }
}

fn sqlite(rest: &str) -> Result<AccountsUrl, AccountsError> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path == ":memory:" || path.contains('?') {
        return Err(invalid(&format!("sqlite:{rest}"), "names no file, or more than a file"));
    }
    Ok(AccountsUrl::file(Path::new(path)))
}

fn postgres(rest: &str) -> Result<PgConnectOptions, String> {
    let authority = rest.strip_prefix("//").ok_or("lacks the //")?;
    let path = authority.split_once('?').map_or(authority, |(before, _)| before);
    if path.split_once('/').is_none_or(|(_, database)| database.is_empty()) {
        return Err("names no database after the host".to_owned());
    }
    // The parser's message is about the form (a bad port, say); it does not repeat the URL.
    let options = PgConnectOptions::from_str(&format!("postgres:{rest}"));
    let options = options.map_err(|error| error.to_string())?;
    Ok(options.application_name("larder"))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn invalid(value: &str, says: &str) -> AccountsError {
    AccountsError::Invalid {
        what: "database URL",
        value: value.to_owned(),
        wanted: format!("it {says}; {VALID}"),
    }
}

/// Drops the query, which may hold a password too, and the password before the last `@`.
fn redact(scheme: &str, rest: &str) -> String {
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    let Some((login, host)) = rest.rsplit_once('@') else {
        return format!("{scheme}:{rest}");
    };
    let user = login.trim_start_matches('/').split(':').next().unwrap_or_default();
    format!("{scheme}://{user}@{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notations() {
        for (text, shown) in [
            ("sqlite:a/b.db", "a/b.db"),
            ("sqlite:///var/lib/a.db", "/var/lib/a.db"),
            ("postgres://u:secret@h:5432/db", "postgres://u@h:5432/db"),
            ("PostgreSQL://u:sec@ret@h/db?password=secret", "postgresql://u@h/db"),
        ] {
            let url = AccountsUrl::parse(text).expect(text);
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("secret"));
        }
    }

    #[test]
    fn wrong_ones_say_what_is_wrong_and_keep_the_password() {
        for (text, says) in [
            ("", "does not begin with a scheme"),
            ("accounts.db", "does not begin with a scheme"),
            ("u/secret@h:1/db", "does not begin with a scheme"),
            ("mysql://u:secret@h/db", "unknown scheme"),
            ("sqlite:", "names no file"),
            ("sqlite::memory:", "names no file"),
            ("sqlite:a.db?mode=ro", "more than a file"),
            ("postgres:u:secret@h/db", "lacks the //"),
            ("postgres://u:secret@h", "names no database"),
            ("postgres://u:secret@h:port/db", "invalid port"),
        ] {
            let error = AccountsUrl::parse(text).expect_err(text).to_string();
            assert!(error.contains(says) && error.contains("sqlite:PATH"), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
