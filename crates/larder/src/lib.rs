//! The cache framework: what a web developer adds to Cargo.toml.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use larder::{Cache, Ttl};
//!
//! let cache = Cache::from_env()?; // in this process, or on the servers that MEMCACHIER_* names
//! let tasks: Vec<String> = cache
//!     .get_or_compute("tasks.all", Ttl::Never, async || {
//!         Ok::<_, std::io::Error>(vec!["water the plants".to_owned()]) // an expensive query
//!     })
//!     .await?;
//! cache.delete("tasks.all").await; // after every change
//! # assert_eq!(tasks.len(), 1);
//! # Ok(()) }
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | [`cache`] | values: get, set, compute once, guards against stale fills, tags |
//! | [`fragments`] | `{% cache ttl, "name", vary %}` in minijinja templates |
//! | [`pages`] | a tower layer that caches whole responses |
//! | [`sessions`] | visitors' sessions in the cache, or written through to a database |
//! | [`activity`] | what the caches did for one request |
//!
//! A cache that is down is a miss. Nothing here turns a cache's failure into an error page.

pub mod activity;
mod backend;
pub mod cache;
mod check;
mod env;
mod envelope;
mod error;
pub mod fragments;
mod key;
pub mod pages;
pub mod sessions;
mod ttl;

pub use activity::{Activity, Figures};
pub use backend::Backend;
pub use cache::{Cache, CacheBuilder, DEFAULT_IN_PROCESS_BYTES, Guard, Lookup, TagVersions};
pub use check::Checked;
pub use env::{Caches, URL_VARIABLE};
pub use error::{CheckError, ConfigError};
pub use key::{CacheKey, MAX_PREFIX_LEN};
pub use larder_client as client;
pub use larder_store as store;
pub use ttl::Ttl;

/// `N` random bytes from the operating system, as hexadecimal digits.
pub(crate) fn random_hex<const N: usize>() -> String {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
    hex::encode(bytes)
}
