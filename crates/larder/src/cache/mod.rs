//! `Cache`: what a program caches with.
//!
//! ```text
//! values.rs   typed and raw values: get set add replace delete touch incr …
//! compute.rs  get_or_compute and refresh: a value and how to make it
//! guard.rs    Lookup and Guard: a fill that an invalidation can refuse
//! flight.rs   one computation per key and process
//! tags.rs     names whose change makes everything filed under them stale
//! wire.rs     the batches all of these are made of, and their figures
//! ```
//!
//! Nothing here fails because a cache does: a server that is down or slow is a miss, counted in
//! [`Figures::errors`], and bounded in time by the client's deadline.

mod compute;
mod flight;
pub(crate) mod guard;
mod tags;
mod values;
mod wire;

use std::sync::Arc;

use crate::activity::{Activity, Figures};
use crate::backend::Backend;
use crate::error::ConfigError;
use crate::key::Namespace;
use crate::ttl::Ttl;
use flight::Flights;

pub use guard::{Guard, Lookup};
pub use tags::TagVersions;
pub(crate) use tags::tag_key;

/// The default size of the in-process cache: 64 MiB, memcached's own default.
pub const DEFAULT_IN_PROCESS_BYTES: usize = 64 * 1024 * 1024;

/// A handle to a cache. Clones are cheap and share everything.
#[derive(Clone, Debug)]
pub struct Cache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    backend: Backend,
    namespace: Namespace,
    version: u32,
    default_ttl: Ttl,
    totals: Activity,
    flights: Flights,
}

impl Cache {
    /// A cache in this process, in at most `bytes` of memory, as [`Backend::in_process`] says.
    ///
    /// # Panics
    /// When the system does not let that much memory be reserved.
    #[must_use]
    pub fn in_process(bytes: usize) -> Self {
        Self::builder(Backend::in_process(bytes)).build().expect("the defaults are valid")
    }

    /// A cache that keeps nothing: for tests, and to switch caching off.
    #[must_use]
    pub fn null() -> Self {
        Self::builder(Backend::null()).build().expect("the defaults are valid")
    }

    /// A cache over `backend`, to be given a prefix, a version and a default TTL.
    #[must_use]
    pub fn builder(backend: Backend) -> CacheBuilder {
        CacheBuilder { backend, prefix: "larder".to_owned(), version: 1, default_ttl: Ttl::Never }
    }

    /// The same servers or memory under another key prefix: two programs, or two databases, that
    /// share a cache without seeing each other's values. Figures start at zero.
    ///
    /// # Errors
    /// If `prefix` is over 64 bytes, not printable ASCII, or has a colon.
    pub fn with_prefix(&self, prefix: &str) -> Result<Self, ConfigError> {
        CacheBuilder {
            backend: self.0.backend.clone(),
            prefix: prefix.to_owned(),
            version: self.0.version,
            default_ttl: self.0.default_ttl,
        }
        .build()
    }

    /// The same cache, the same values, counted apart: its figures start at zero. For a program
    /// that wants to know what its pages, its queries and its sessions each do.
    #[must_use]
    pub fn with_own_figures(&self) -> Self {
        Self(Arc::new(Inner {
            backend: self.0.backend.clone(),
            namespace: self.0.namespace.clone(),
            version: self.0.version,
            default_ttl: self.0.default_ttl,
            totals: Activity::new(),
            flights: self.0.flights.clone(),
        }))
    }

    /// Where the values are.
    #[must_use]
    pub fn backend(&self) -> &Backend {
        &self.0.backend
    }

    /// What this cache has done since it was made.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.0.totals.figures()
    }
}

/// Settings of a [`Cache`].
#[derive(Clone, Debug)]
pub struct CacheBuilder {
    backend: Backend,
    prefix: String,
    version: u32,
    default_ttl: Ttl,
}

impl CacheBuilder {
    /// What every key begins with (default `larder`).
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Part of every key (default 1): raise it to leave all old values behind.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// What [`Ttl::Default`] stands for (default [`Ttl::Never`]).
    #[must_use]
    pub fn default_ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.default_ttl = ttl.into().or(Ttl::Never);
        self
    }

    /// The cache.
    ///
    /// # Errors
    /// If the prefix is over 64 bytes, not printable ASCII, or has a colon.
    pub fn build(self) -> Result<Cache, ConfigError> {
        let namespace = Namespace::new(&self.prefix, self.version)?;
        Ok(Cache(Arc::new(Inner {
            backend: self.backend,
            namespace,
            version: self.version,
            default_ttl: self.default_ttl,
            totals: Activity::new(),
            flights: Flights::default(),
        })))
    }
}
