//! The servers that are asked, ours or memcached, and what they answered last.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use larder::Cache;
use larder_client::{Config, ServerAddr};
use larder_load::{Inquiry, Login, LoginForm, Server, Tls};

/// The server if nothing names another.
const DEFAULT_SERVER: &str = "127.0.0.1:11211";

/// What the password is taken from: a command line can be seen by others.
const PASSWORD_VARIABLE: &str = "LARDER_PASSWORD";

/// What servers to ask, and who to be there.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Which {
    /// host[:port], a path of a unix socket, or memcached://USER:PASSWORD@HOST/  [default: what
    /// LARDER_URL or MEMCACHIER_SERVERS names, else 127.0.0.1:11211]
    #[arg(value_name = "SERVER")]
    pub(super) servers: Vec<String>,
    /// Who to be, if the servers ask; the password is taken from LARDER_PASSWORD
    #[arg(long, value_name = "NAME", requires = "servers")]
    user: Option<String>,
}

impl Which {
    /// The servers, not connected to yet.
    pub(super) fn sources(&self) -> anyhow::Result<Vec<Source>> {
        if self.servers.is_empty() {
            return of_environment();
        }
        let mut all = Vec::new();
        for text in &self.servers {
            let mut config = if text.contains("://") {
                Config::from_url(text)?
            } else {
                Config::new(larder_client::parse_servers(text)?)
            };
            if let Some(user) = &self.user {
                let password = std::env::var(PASSWORD_VARIABLE).ok().with_context(|| {
                    format!("--user {user}: its password is taken from {PASSWORD_VARIABLE}")
                })?;
                config = config.with_credentials(larder_client::Credentials::new(user, password));
            }
            all.extend(sources(&config)?);
        }
        Ok(all)
    }
}

/// The servers that the environment names.
fn of_environment() -> anyhow::Result<Vec<Source>> {
    // It says what is wrong with a variable.
    Cache::from_env()?;
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    if let Some(url) = set(larder::URL_VARIABLE) {
        return sources(&Config::from_url(url.trim())?);
    }
    for family in ["MEMCACHIER", "MEMCACHE"] {
        let Some(servers) = set(&format!("{family}_SERVERS")) else { continue };
        let mut config = Config::new(larder_client::parse_servers(&servers)?);
        let [user, password] =
            ["USERNAME", "PASSWORD"].map(|part| set(&format!("{family}_{part}")));
        if let (Some(user), Some(password)) = (user, password) {
            config = config.with_credentials(larder_client::Credentials::new(user, password));
        }
        return sources(&config);
    }
    sources(&Config::new(larder_client::parse_servers(DEFAULT_SERVER)?))
}

fn sources(config: &Config) -> anyhow::Result<Vec<Source>> {
    let login = config.credentials.as_ref().map(|credentials| Login {
        form: LoginForm::Sasl,
        user: credentials.username.clone(),
        password: credentials.password.clone(),
    });
    let tls = config.tls.as_ref().map(|tls| Tls {
        ca: tls.ca_file.clone(),
        name: tls.server_name.clone(),
        ..Tls::default()
    });
    let source = |address: &ServerAddr| {
        let name = address.clone().with_weight(1).to_string();
        let Ok(address) = name.parse() else { bail!("{name:?} is no address of a server") };
        let server = Server { login: login.clone(), tls: tls.clone(), ..Server::at(address) };
        Ok(Source { name, server, connection: None, before: None, now: None })
    };
    config.servers.iter().map(source).collect()
}

/// A server that is asked again and again.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    server: Server,
    connection: Option<Inquiry>,
    /// What it answered the time before, if it did.
    pub(super) before: Option<Reading>,
    /// What it answered last, if it did.
    pub(super) now: Option<Result<Reading, String>>,
}

/// What a server told of itself.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    at: Instant,
    stats: BTreeMap<String, String>,
    /// What it counts by prefix; none if it does not.
    pub(super) prefixes: Vec<(String, String)>,
}

impl Source {
    /// Asks, over the connection of last time if it still works.
    pub(super) fn ask(&mut self, with_prefixes: bool) {
        if let Some(Ok(reading)) = self.now.take() {
            self.before = Some(reading);
        }
        let read = match self.connection.take().map(|held| read(held, with_prefixes)) {
            Some(Ok(read)) => Ok(read),
            // None yet, or the server has closed it.
            _ => Inquiry::open(&self.server).and_then(|opened| read(opened, with_prefixes)),
        };
        self.now = Some(match read {
            Ok((connection, reading)) => {
                self.connection = Some(connection);
                Ok(reading)
            }
            Err(error) => {
                self.before = None;
                Err(self.explained(&error.to_string()))
            }
        });
    }

    /// An error, with what to do where the server asks for a login that nobody gave.
    fn explained(&self, error: &str) -> String {
        let asks =
            ["unauthenticated", "no reply", "with \"\""].iter().any(|words| error.contains(words));
        if self.server.login.is_none() && asks {
            let name = &self.name;
            format!(
                "{error}; if it asks for a login, write memcached://USER:PASSWORD@{name}/, or set \
                 MEMCACHIER_SERVERS, MEMCACHIER_USERNAME and MEMCACHIER_PASSWORD"
            )
        } else {
            error.to_owned()
        }
    }

    /// What it answered last.
    pub(super) fn reading(&self) -> Option<&Reading> {
        self.now.as_ref().and_then(|now| now.as_ref().ok())
    }

    /// Why it did not.
    pub(super) fn error(&self) -> Option<&str> {
        self.now.as_ref().and_then(|now| now.as_ref().err()).map(String::as_str)
    }
}

fn read(
    mut connection: Inquiry,
    with_prefixes: bool,
) -> Result<(Inquiry, Reading), larder_load::Error> {
    let stats = connection.stats("")?.into_iter().collect();
    let prefixes = if with_prefixes { connection.stats("detail dump")? } else { Vec::new() };
    Ok((connection, Reading { at: Instant::now(), stats, prefixes }))
}

/// Asks all at once.
pub(super) fn ask_all(sources: &mut [Source], with_prefixes: bool) {
    std::thread::scope(|scope| {
        for source in sources {
            scope.spawn(move || source.ask(with_prefixes));
        }
    });
}

impl Reading {
    /// Everything, by name.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.stats.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A text, such as the version.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.stats.get(name).map(String::as_str)
    }

    /// A number, or several together.
    pub(super) fn number(&self, names: &[&str]) -> Option<u64> {
        let mut numbers =
            names.iter().filter_map(|name| self.stats.get(*name)?.parse::<u64>().ok());
        let first = numbers.next()?;
        Some(numbers.fold(first, u64::saturating_add))
    }

    /// What was counted since `before`; all of it, if the count began anew.
    pub(super) fn since(&self, before: &Reading, names: &[&str]) -> Option<u64> {
        let (now, before) = (self.number(names)?, before.number(names)?);
        Some(now.checked_sub(before).unwrap_or(now))
    }

    /// The time since `before`.
    pub(super) fn time_since(&self, before: &Reading) -> Duration {
        self.at.saturating_duration_since(before.at)
    }
}
