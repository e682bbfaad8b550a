//! Errors of setting a cache up. A cache that is up never fails a caller: it misses.

use larder_client::ServerAddr;

/// A cache could not be configured. Every message names the setting, the value and what would be
/// right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A key prefix that could be misread or does not fit.
    #[error(
        "cache key prefix {prefix:?}: {}; use at most 64 printable ASCII characters without ':'",
        match wrong { Some(c) => format!("{c:?} is not allowed in it"), None => "it is too long".to_owned() }
    )]
    Prefix {
        /// The prefix as given.
        prefix: String,
        /// The first character that is not allowed; `None` when the prefix is too long.
        wrong: Option<char>,
    },
    /// A username without a password, or the reverse.
    #[error(
        "{set} is set but {missing} is not; set both, or neither for servers without authentication"
    )]
    HalfCredentials {
        /// The variable that has a value.
        set: String,
        /// The variable that has none.
        missing: String,
    },
    /// Credentials, but no servers to use them with.
    #[error(
        "{set} is set but {missing} is not; set {missing} to the servers, for example mc1.example.com:11211"
    )]
    NoServers {
        /// The variable that has a value.
        set: String,
        /// The variable that has none.
        missing: String,
    },
    /// A variable whose value cannot be used.
    #[error("{variable}: {reason}")]
    Variable {
        /// The variable's name.
        variable: String,
        /// What is wrong with its value and what would be right.
        reason: String,
    },
    /// A name that no cache has.
    #[error("no cache is named {name:?}; there are: {known}")]
    UnknownCache {
        /// The name asked for.
        name: String,
        /// The names there are, separated by commas.
        known: String,
    },
    /// What the client says of its settings.
    #[error(transparent)]
    Client(#[from] larder_client::ConfigError),
    /// What the in-process engine says of its settings.
    #[error("{0}; give the in-process cache less, or the process more")]
    Store(#[from] larder_store::StoreError),
}

/// What [`Cache::check`](crate::Cache::check) found wrong.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// A server could not be used.
    #[error("{0}")]
    Server(#[from] larder_client::Error),
    /// Everything was answered, but a value that was just set did not come back.
    #[error(
        "set {key:?} succeeded, but get answered {found}; is another program using the same key, or is the server out of memory?"
    )]
    NotFound {
        /// The key on the wire.
        key: String,
        /// What came back.
        found: String,
    },
    /// The server gives no CAS, without which a stale value could be stored.
    #[error(
        "the server at {0} answers without a CAS value (memcached's -C switch); values are only cached where CAS works, so remove -C"
    )]
    NoCas(ServerAddr),
}
