//! An async client for any fleet of memcached servers: Larder, memcached, MemCachier, ElastiCache.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use larder_client::{Client, Config, Key, parse_servers};
//!
//! let client = Client::new(Config::new(parse_servers("cache1, cache2:11212")?))?;
//! let key = Key::new("greeting")?;
//! client.set(&key, "hello", 0, 60).await?;
//! assert_eq!(client.get(&key).await?.unwrap().value, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! The walk of one batch:
//!
//! ```text
//! client.rs      batch      each command to its server's group (ring/: libmemcached's ketama)
//! server.rs      run        the breaker's leave; one deadline over all that follows
//! pool.rs        lease      one of max_connections, an idle connection if there is a good one
//! connection.rs  open       else connect (stream.rs: TCP, Unix, TLS), authenticate
//! server.rs      settle     deletes that the server is owed go first (debts.rs)
//! connection.rs  exchange   write the pipeline, read the replies (larder-proto), match each
//! server.rs      finish     what was not confirmed is owed; the breaker hears how it went
//! client.rs      batch      replies in the order of the commands
//! ```
//!
//! What must stay true:
//!
//! - A connection serves one request at a time and goes back to the pool only after a complete
//!   exchange. A request that fails or is cancelled closes its connection, so no reply can reach
//!   another request.
//! - Every operation ends within [`Config::timeout`]. A server that keeps failing is left alone and
//!   probed (breaker.rs): using it fails at once.
//! - A delete, plain set or flush that was not confirmed is remembered, and applied as a delete or
//!   flush before anything else is sent to that server, also in the background (settler.rs). This
//!   holds within the process: it is not written down anywhere.
//! - Passwords appear in no message and no `Debug`.

mod addr;
mod breaker;
mod client;
mod config;
mod connection;
mod debts;
mod error;
mod health;
mod pool;
mod ring;
mod server;
mod settler;
mod stream;
mod url;

pub use addr::{AddrError, DEFAULT_PORT, Endpoint, ServerAddr, parse_servers};
pub use client::{Batch, Client};
pub use config::{Config, ConfigError, Credentials, RingKind, TlsConfig};
pub use error::{Error, Stage};
pub use health::ServerHealth;
pub use larder_proto::{
    Command, DEFAULT_MAX_VALUE_LEN, Direction, Item, Key, KeyError, MAX_KEY_LEN, Protocol,
    ProtocolError, Refusal, RefusalKind, Reply, StoreMode, StoreOutcome,
};
