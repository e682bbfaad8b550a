//! Caches from the environment, so that outgrowing one machine changes variables and not code.
//!
//! `LARDER_URL`, then `MEMCACHIER_SERVERS` with `MEMCACHIER_USERNAME` and `MEMCACHIER_PASSWORD`,
//! then the same with `MEMCACHE_`: the first that is set says where the servers are. None set means
//! the in-process cache. Every one that is set is checked, used or not: a half-set environment is a
//! mistake to be told about, never a reason to fall back quietly.

use std::collections::BTreeMap;

use larder_client::{Client, Config, Credentials};

use crate::backend::Backend;
use crate::cache::{Cache, DEFAULT_IN_PROCESS_BYTES};
use crate::error::ConfigError;

/// A client URL, for example `memcached://user:pass@mc1.example.com,mc2.example.com/?ring=ketama`.
pub const URL_VARIABLE: &str = "LARDER_URL";

/// The prefixes of the three variables that MemCachier and its kin set.
const FAMILIES: [&str; 2] = ["MEMCACHIER", "MEMCACHE"];

impl Cache {
    /// The cache that the environment describes.
    ///
    /// # Errors
    /// If a variable cannot be used, or is missing its partner. The message names it.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_vars(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into()))
    }

    /// [`from_env`](Self::from_env) with another source of variables.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from_vars(vars: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let backend = match client_config(vars)? {
            Some(config) => Backend::memcached(Client::new(config)?),
            None => Backend::try_store(larder_store::Config::new(DEFAULT_IN_PROCESS_BYTES))?,
        };
        Self::builder(backend).build()
    }
}

/// Caches by name, where one program uses several: `sessions` on servers, `pages` in process.
#[derive(Clone, Debug)]
pub struct Caches {
    default: Cache,
    named: BTreeMap<String, Cache>,
}

impl Caches {
    /// Only the default cache.
    #[must_use]
    pub fn new(default: Cache) -> Self {
        Self { default, named: BTreeMap::new() }
    }

    /// One more, under `name`; one already there by that name is replaced.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, cache: Cache) -> Self {
        self.named.insert(name.into(), cache);
        self
    }

    /// The cache for everything that has none of its own.
    #[must_use]
    pub fn default_cache(&self) -> &Cache {
        &self.default
    }

    /// The cache called `name`; `default` is the default one.
    ///
    /// # Errors
    /// If no cache has that name; the message lists those there are.
    pub fn named(&self, name: &str) -> Result<&Cache, ConfigError> {
        if name == "default" {
            return Ok(&self.default);
        }
        self.named.get(name).ok_or_else(|| {
            let known = std::iter::once("default").chain(self.named.keys().map(String::as_str));
            let known = known.collect::<Vec<_>>().join(", ");
            ConfigError::UnknownCache { name: name.to_owned(), known }
        })
    }
}

/// The servers that the environment names, or `None`.
fn client_config(vars: impl Fn(&str) -> Option<String>) -> Result<Option<Config>, ConfigError> {
    // Platforms cannot always unset a variable, so an empty one counts as unset.
    let set = |name: &str| vars(name).filter(|value| !value.trim().is_empty());
    let mut found = Vec::new();
    if let Some(url) = set(URL_VARIABLE) {
        found.push(Config::from_url(url.trim()).map_err(|error| wrong(URL_VARIABLE, error))?);
    }
    for family in FAMILIES {
        found.extend(family_config(family, set)?);
    }
    Ok(found.into_iter().next())
}

fn family_config(
    family: &str,
    set: impl Fn(&str) -> Option<String>,
) -> Result<Option<Config>, ConfigError> {
    let [servers, username, password] =
        ["SERVERS", "USERNAME", "PASSWORD"].map(|part| format!("{family}_{part}"));
    let credentials = match (set(&username), set(&password)) {
        (None, None) => None,
        (Some(username), Some(password)) => Some(Credentials { username, password }),
        (Some(_), None) => {
            return Err(ConfigError::HalfCredentials { set: username, missing: password });
        }
        (None, Some(_)) => {
            return Err(ConfigError::HalfCredentials { set: password, missing: username });
        }
    };
    let Some(list) = set(&servers) else {
        return match credentials {
            None => Ok(None),
            Some(_) => Err(ConfigError::NoServers { set: username, missing: servers }),
        };
    };
    let addrs = larder_client::parse_servers(&list).map_err(|error| wrong(&servers, error))?;
    let mut config = Config::new(addrs);
    if let Some(credentials) = credentials {
        config = config.with_credentials(credentials);
    }
    Ok(Some(config))
}

fn wrong(variable: &str, reason: impl std::fmt::Display) -> ConfigError {
    ConfigError::Variable { variable: variable.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)]) -> Result<Option<Config>, String> {
        let get = |name: &str| {
            vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        client_config(get).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_environment_means_in_process() {
        assert!(config(&[]).unwrap().is_none());
        assert!(config(&[("MEMCACHIER_SERVERS", " ")]).unwrap().is_none());
        let cache = Cache::from_vars(|_| None).unwrap();
        assert!(cache.backend().engine().is_some());
    }

    #[test]
    fn memcachiers_three_variables_are_understood() {
        let full = config(&[
            ("MEMCACHIER_SERVERS", "mc1.example.com, mc2.example.com:11212;mc3"),
            ("MEMCACHIER_USERNAME", "15F38e"),
            ("MEMCACHIER_PASSWORD", "secret"),
        ]);
        let full = full.unwrap().unwrap();
        let servers: Vec<_> = full.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["mc1.example.com:11211", "mc2.example.com:11212", "mc3:11211"]);
        assert_eq!(full.credentials.unwrap().username, "15F38e");
        assert!(config(&[("MEMCACHE_SERVERS", "mc1")]).unwrap().unwrap().credentials.is_none());
    }

    #[test]
    fn the_url_goes_first_but_everything_is_checked() {
        let url = ("LARDER_URL", "memcached://mc9/");
        let both = config(&[url, ("MEMCACHIER_SERVERS", "mc1")]).unwrap().unwrap();
        assert_eq!(both.servers[0].to_string(), "mc9:11211");
        assert!(config(&[url, ("MEMCACHE_USERNAME", "u")]).is_err());
    }

    #[test]
    fn a_half_set_environment_names_the_variable() {
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[("MEMCACHIER_USERNAME", "u")], "MEMCACHIER_PASSWORD"),
            (&[("MEMCACHE_SERVERS", "mc1"), ("MEMCACHE_PASSWORD", "p")], "MEMCACHE_USERNAME"),
            (&[("MEMCACHIER_USERNAME", "u"), ("MEMCACHIER_PASSWORD", "p")], "MEMCACHIER_SERVERS"),
            (&[("MEMCACHIER_SERVERS", "mc1:notaport")], "MEMCACHIER_SERVERS"),
            (&[("LARDER_URL", "redis://mc1")], "LARDER_URL"),
            (&[("LARDER_URL", "memcached://mc1/?ring=round")], "LARDER_URL"),
        ];
        for (vars, named) in cases {
            let message = config(vars).unwrap_err();
            assert!(message.contains(named), "{vars:?}: {message}");
            assert!(!message.contains("\"p\""), "no secret in {message}");
        }
    }

    #[test]
    fn caches_have_names() {
        let caches = Caches::new(Cache::null()).with("pages", Cache::null());
        assert!(caches.named("default").is_ok() && caches.named("pages").is_ok());
        let unknown = caches.named("page").unwrap_err().to_string();
        assert!(unknown.contains("\"page\"") && unknown.contains("default, pages"), "{unknown}");
    }
}
