//! What a client can be told, its defaults, and what makes no sense. Reading it from a URL is in
//! `url.rs`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use larder_proto::{DEFAULT_MAX_VALUE_LEN, MAX_VALUE_LEN, Protocol};

use crate::addr::{AddrError, ServerAddr};

/// The settings of a [`Client`](crate::Client). [`Config::new`] fills in the defaults; change what
/// differs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The servers, in the order every other client of the fleet lists them.
    pub servers: Vec<ServerAddr>,
    /// What to authenticate with; default none. Set with [`Config::with_credentials`], which also
    /// picks the protocol that can carry them.
    pub credentials: Option<Credentials>,
    /// The protocol; default meta, or binary with credentials.
    pub protocol: Protocol,
    /// How keys are spread over several servers; default [`RingKind::Ketama`].
    pub ring: RingKind,
    /// TLS; default none.
    pub tls: Option<TlsConfig>,
    /// The time limit of one whole operation, waiting for a connection, connecting and
    /// authenticating included; default 250 ms.
    pub timeout: Duration,
    /// The most connections to each server; default 32. Operations beyond wait for one, within
    /// their deadline.
    pub max_connections: usize,
    /// After so many failures in a row a server is left alone for a while; default 2.
    pub failure_limit: u32,
    /// How long a failing server is left alone at first; default 200 ms. Doubles with each failed
    /// probe.
    pub retry_min: Duration,
    /// How long a failing server is left alone at most; default 5 s.
    pub retry_max: Duration,
    /// The largest value sent or accepted, in bytes; default 1 MiB.
    pub max_value_len: usize,
}

impl Config {
    /// The default settings for these servers, without credentials.
    #[must_use]
    pub fn new(servers: Vec<ServerAddr>) -> Self {
        Self {
            servers,
            credentials: None,
            protocol: Protocol::Meta,
            ring: RingKind::Ketama,
            tls: None,
            timeout: Duration::from_millis(250),
            max_connections: 32,
            failure_limit: 2,
            retry_min: Duration::from_millis(200),
            retry_max: Duration::from_secs(5),
            max_value_len: DEFAULT_MAX_VALUE_LEN,
        }
    }

    /// The same with credentials, over the binary protocol (SASL PLAIN). Set `protocol` afterwards
    /// to authenticate over text instead (memcached's `-Y`).
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self.protocol = Protocol::Binary;
        self
    }

    /// Settings from a URL:
    /// `memcached://user:password@host1,host2:11212/?tls=on&ring=ketama&timeout=250ms`.
    ///
    /// User, password and hosts may be percent-encoded (a Unix socket is `%2Fpath%2Fto.sock`).
    /// Parameters: `protocol` = `text` | `meta` | `binary`; `ring` = `ketama` | `ketama_weighted`;
    /// `tls` = `on` | `off`; `tls_ca` = path; `tls_name` = host name; `timeout`, `retry_min`,
    /// `retry_max` = a whole number with `ms` or `s`; `max_connections`, `failure_limit`,
    /// `max_value_len` = a whole number.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] that names the malformed part and what is valid there; never the password.
    pub fn from_url(url: &str) -> Result<Self, ConfigError> {
        crate::url::parse(url)
    }

    /// Checks that the settings make sense together.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.servers.is_empty() {
            return Err(ConfigError::NoServers);
        }
        for (index, server) in self.servers.iter().enumerate() {
            if self.servers[..index].iter().any(|other| other.endpoint() == server.endpoint()) {
                return Err(ConfigError::DuplicateServer { server: server.clone() });
            }
        }
        self.check_ranges()?;
        match &self.credentials {
            Some(credentials) => credentials.check(self.protocol),
            None => Ok(()),
        }
    }

    fn check_ranges(&self) -> Result<(), ConfigError> {
        let range = |setting, valid, ok| match ok {
            true => Ok(()),
            false => Err(ConfigError::Range { setting, valid }),
        };
        range("timeout", "above 0", !self.timeout.is_zero())?;
        range("failure_limit", "1 or more", self.failure_limit > 0)?;
        range("retry_min", "above 0", !self.retry_min.is_zero())?;
        range("retry_max", "retry_min or more", self.retry_max >= self.retry_min)?;
        let connections = 1..=65_535;
        range("max_connections", "1 to 65535", connections.contains(&self.max_connections))?;
        let values = 1..=MAX_VALUE_LEN;
        range("max_value_len", "1 to 1073741824 bytes", values.contains(&self.max_value_len))?;
        Ok(())
    }
}

/// A user name and password. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl Credentials {
    /// The pair of a user name and a password.
    #[must_use]
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: username.into(), password: password.into() }
    }

    /// What each protocol's way of authenticating cannot carry.
    fn check(&self, protocol: Protocol) -> Result<(), ConfigError> {
        let reason = if self.username.is_empty() {
            "the user name is empty"
        } else if self.username.len() > 1024 || self.password.len() > 1024 {
            "user name and password have at most 1024 bytes each"
        } else if self.username.contains('\0') || self.password.contains('\0') {
            "neither may hold a NUL, which separates them in SASL PLAIN"
        } else if protocol != Protocol::Binary && self.username.contains(' ') {
            "over text the user name may hold no space, which separates it from the password"
        } else {
            return Ok(());
        };
        Err(ConfigError::Credentials { reason })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("password", &"(not shown)")
            .finish()
    }
}

/// How keys are spread over several servers. Both are libmemcached's, so that clients in other
/// languages find the same keys on the same servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RingKind {
    /// `MEMCACHED_BEHAVIOR_KETAMA` (pylibmc's `"ketama": True`): 100 points per server, one-at-a-time
    /// hashes. As soon as one server has a weight above 1, libmemcached places the points as
    /// `KetamaWeighted` does; so does this.
    Ketama,
    /// `MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED`: MD5 hashes, 160 points per server on average, by
    /// weight.
    KetamaWeighted,
}

/// TLS to the servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// A PEM file of the certificate authorities to trust; default: the public ones (Mozilla's).
    pub ca_file: Option<PathBuf>,
    /// The name that the servers' certificates must carry; default: each server's host.
    pub server_name: Option<String>,
}

/// Settings that cannot be used. Names the setting and what is valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The list of servers is empty.
    #[error("no cache server is given; at least one is needed, such as 127.0.0.1:11211")]
    NoServers,
    /// A server is listed twice.
    #[error("the cache server {server} is listed twice; use a weight (host:port*2) instead")]
    DuplicateServer {
        /// The second mention.
        server: ServerAddr,
    },
    /// An address cannot be read.
    #[error(transparent)]
    Server(#[from] AddrError),
    /// A number or duration is out of range.
    #[error("{setting} is out of range: valid is {valid}")]
    Range {
        /// Its name in [`Config`].
        setting: &'static str,
        /// What is valid.
        valid: &'static str,
    },
    /// The credentials cannot be sent.
    #[error("the credentials cannot be used: {reason}")]
    Credentials {
        /// Why not.
        reason: &'static str,
    },
    /// The certificate authorities or the server name cannot be used.
    #[error("TLS: {setting} {value:?} cannot be used: {reason}")]
    Tls {
        /// `tls_ca` or `tls_name`.
        setting: &'static str,
        /// Its value.
        value: String,
        /// Why not.
        reason: String,
    },
    /// A part of the URL cannot be read.
    #[error("cache URL: {part} is {value:?}; valid is {valid}")]
    Url {
        /// Which part.
        part: String,
        /// What it says; never a password.
        value: String,
        /// What is valid there.
        valid: &'static str,
    },
}
