//! Configuration: what the environment asks of the app, checked once at start.
//!
//! [`VARIABLES`] is the one table of the variables; `--help`, the error messages and a test over
//! `docs/deploy.md` read it. [`Config`] owns the checked values. What must stay true: a value that
//! is not valid, the empty one and a misspelt `TASKLIST_` name among them, is an error that says
//! so; nothing falls back silently. The cache's own variables (`MEMCACHIER_*`, `MEMCACHE_*`,
//! `LARDER_URL`) belong to the framework.

mod values;

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::db::DatabaseUrl;
use crate::logging::LogFormat;
use crate::web::host::AllowedHosts;

pub use self::values::{QueryCache, SecureCookies, SessionEngine};

/// The longest TTL that is accepted: browsers keep no cookie longer than 400 days.
const LONGEST_TTL: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The database.
    pub database_url: DatabaseUrl,
    /// Where to listen; port 0 means any free port.
    pub listen: SocketAddr,
    /// How the list of tasks is cached.
    pub query_cache: QueryCache,
    /// How long a cached list lives under [`QueryCache::Expiration`].
    pub query_ttl: Duration,
    /// Whether rendered rows are cached.
    pub fragment_cache: bool,
    /// Whether whole pages are cached.
    pub page_cache: bool,
    /// How much slower than it is the query for the list shall seem.
    pub slow_query: Duration,
    /// Where sessions are kept.
    pub session_engine: SessionEngine,
    /// How long a session lives after its last use.
    pub session_ttl: Duration,
    /// The host names the app answers to.
    pub allowed_hosts: AllowedHosts,
    /// When cookies are marked `Secure`.
    pub secure_cookies: SecureCookies,
    /// How log lines are written.
    pub log: LogFormat,
}

impl Config {
    /// Reads the process's environment.
    pub fn from_env() -> Result<Config, ConfigError> {
        Config::from_vars(std::env::vars_os())
    }

    /// Reads the given variables; others than those in [`VARIABLES`] are ignored, unless their
    /// name begins with `TASKLIST_`.
    pub fn from_vars(
        vars: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Config, ConfigError> {
        let vars = Vars::collect(vars)?;
        Ok(Config {
            database_url: vars.database_url()?,
            listen: vars.listen()?,
            query_cache: vars.read("TASKLIST_QUERY_CACHE", QueryCache::parse)?,
            query_ttl: vars.read("TASKLIST_QUERY_TTL", ttl)?,
            fragment_cache: vars.read("TASKLIST_FRAGMENT_CACHE", values::switch)?,
            page_cache: vars.read("TASKLIST_PAGE_CACHE", values::switch)?,
            slow_query: vars.read("TASKLIST_SLOW_QUERY_MS", slow_query)?,
            session_engine: vars.read("TASKLIST_SESSION_ENGINE", SessionEngine::parse)?,
            session_ttl: vars.read("TASKLIST_SESSION_TTL", ttl)?,
            allowed_hosts: vars.read("TASKLIST_ALLOWED_HOSTS", |text| text.parse().ok())?,
            secure_cookies: vars.read("TASKLIST_SECURE_COOKIES", SecureCookies::parse)?,
            log: vars.read("TASKLIST_LOG", LogFormat::parse)?,
        })
    }
}

/// A variable whose value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The value is not one of the valid ones.
    #[error("{variable} is {value:?}; valid is {valid}")]
    Value {
        /// The variable's name.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        valid: &'static str,
    },
    /// `DATABASE_URL` is wrong; the message hides its password.
    #[error("{0}")]
    DatabaseUrl(String),
    /// A name that begins with `TASKLIST_` but is not known: most likely misspelt.
    #[error("{name} is not a variable of the task list; known are {}", known())]
    Unknown {
        /// The name.
        name: String,
    },
}

/// One environment variable.
#[derive(Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The value it has when it is unset.
    pub default: &'static str,
    /// What it may be, in words.
    pub valid: &'static str,
    /// What it is for.
    pub help: &'static str,
}

macro_rules! variables {
    ($($name:literal = $default:literal, $valid:literal, $help:literal;)*) => {
        /// Every variable the app reads, with its default.
        pub const VARIABLES: &[Variable] = &[$(Variable {
            name: $name,
            default: $default,
            valid: $valid,
            help: $help,
        }),*];
    };
}

variables! {
    "DATABASE_URL" = "sqlite:./larder-data/tasklist.db",
        "sqlite:PATH, sqlite::memory:, postgres://… or mysql://…",
        "the database";
    "PORT" = "8000",
        "a number from 0 to 65535, where 0 means any free port",
        "the port to listen on; when it is set, the app listens on all interfaces";
    "TASKLIST_LISTEN" = "127.0.0.1",
        "an IP address without a port, such as 127.0.0.1, 0.0.0.0 or ::",
        "the address to listen on (0.0.0.0 when PORT is set)";
    "TASKLIST_ALLOWED_HOSTS" = "localhost,127.0.0.1,[::1]",
        "a list such as example.com,.example.org,[::1] (without scheme and port; a leading dot \
         means the domain and all its subdomains), or * for any host",
        "the host names the app answers to";
    "TASKLIST_QUERY_CACHE" = "delete",
        "off, expiration, delete, key or update",
        "how the list of tasks is cached";
    "TASKLIST_QUERY_TTL" = "5s",
        "a duration of 1s to 400d, such as 5s, 10m, 12h or 14d",
        "how long a cached list lives when TASKLIST_QUERY_CACHE is expiration";
    "TASKLIST_FRAGMENT_CACHE" = "on",
        "on or off",
        "whether the rendered rows of the list are cached";
    "TASKLIST_PAGE_CACHE" = "on",
        "on or off",
        "whether whole pages are cached";
    "TASKLIST_SLOW_QUERY_MS" = "0",
        "a number of milliseconds from 0 to 30000",
        "makes the query for the list this much slower, to see what caching saves";
    "TASKLIST_SESSION_ENGINE" = "cached_db",
        "cache or cached_db",
        "where sessions are kept: only in the cache, or in the database with the cache before it";
    "TASKLIST_SESSION_TTL" = "14d",
        "a duration of 1s to 400d, such as 5s, 10m, 12h or 14d",
        "how long a session lives after its last use";
    "TASKLIST_SECURE_COOKIES" = "auto",
        "auto, on or off",
        "whether cookies are for https only; auto: when X-Forwarded-Proto says https";
    "TASKLIST_LOG" = "text",
        "text or json",
        "how log lines are written (RUST_LOG says which)";
}

/// The variables of [`VARIABLES`] that are set.
struct Vars(Vec<(&'static Variable, OsString)>);

impl Vars {
    fn collect(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Vars, ConfigError> {
        let mut known = Vec::new();
        for (name, value) in vars {
            match VARIABLES.iter().find(|variable| name == variable.name) {
                Some(variable) => known.push((variable, value)),
                None if name.to_string_lossy().starts_with("TASKLIST_") => {
                    return Err(ConfigError::Unknown { name: name.to_string_lossy().into() });
                }
                None => {}
            }
        }
        Ok(Vars(known))
    }

    fn set(&self, name: &str) -> Option<&OsString> {
        self.0.iter().find(|(variable, _)| variable.name == name).map(|(_, value)| value)
    }

    /// The value of a variable, or its default, through `parse`.
    fn read<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, ConfigError> {
        let variable = variable(name);
        let value = match self.set(name) {
            // What is not UTF-8 is not valid for any variable; the replacement characters say so.
            Some(value) => value.to_string_lossy(),
            None => variable.default.into(),
        };
        parse(&value).ok_or_else(|| ConfigError::Value {
            variable: variable.name,
            value: value.clone().into_owned(),
            valid: variable.valid,
        })
    }

    fn database_url(&self) -> Result<DatabaseUrl, ConfigError> {
        let default = variable("DATABASE_URL").default;
        let url = self.set("DATABASE_URL").map_or(default.into(), |url| url.to_string_lossy());
        url.parse().map_err(|error: crate::db::DbError| ConfigError::DatabaseUrl(error.to_string()))
    }

    /// A platform that sets `PORT` sends its requests from outside, so there the default address
    /// is every interface; on a person's own machine it is loopback.
    fn listen(&self) -> Result<SocketAddr, ConfigError> {
        let port = self.read("PORT", |text| text.parse().ok())?;
        let mut address: IpAddr = self.read("TASKLIST_LISTEN", |text| text.parse().ok())?;
        if self.set("PORT").is_some() && self.set("TASKLIST_LISTEN").is_none() {
            address = Ipv4Addr::UNSPECIFIED.into();
        }
        Ok(SocketAddr::new(address, port))
    }
}

fn variable(name: &str) -> &'static Variable {
    let found = VARIABLES.iter().find(|variable| variable.name == name);
    found.expect("the variable is in the table")
}

fn known() -> String {
    let names: Vec<_> = VARIABLES.iter().map(|variable| variable.name).collect();
    names.join(", ")
}

fn ttl(text: &str) -> Option<Duration> {
    values::duration(text).filter(|ttl| !ttl.is_zero() && *ttl <= LONGEST_TTL)
}

fn slow_query(text: &str) -> Option<Duration> {
    text.parse().ok().filter(|ms| *ms <= 30_000).map(Duration::from_millis)
}

#[cfg(test)]
mod tests;
