//! Private real processes for the tests: memcached, PostgreSQL, MariaDB, a browser, and programs of
//! this workspace; and client libraries of other languages.
//!
//! Each peer is started for one owner on a temporary loopback port with its files in a scratch
//! directory, and is killed when its value is dropped. What must stay true:
//!
//! - A peer dies with the process that started it, even when that process is killed or keeps the
//!   peer in a `static` that is never dropped (the module `process` says how).
//! - No server runs as root, no packaged service is used, no default port is taken.
//! - A missing program is a panic that names the program, its Debian package and the command that
//!   installs it. A test that needs a peer is never skipped.
//!
//! The feature `browser` adds a client for the browser, which the other peers' users need not build.
//!
//! Everything here panics rather than returning errors: the callers are tests.

#[cfg(feature = "browser")]
pub mod browser;
mod chrome;
mod clients;
mod mariadb;
mod memcached;
mod postgres;
mod process;
mod program;
mod requirements;
mod scratch;

pub use chrome::{ChromeDriver, chromium_args};
pub use clients::{
    NODE_PACKAGES, PYTHON_PACKAGES, clients_directory, clients_mark, memccapable, node, python,
    sasl_mechanisms,
};
pub use mariadb::MariaDb;
pub use memcached::Memcached;
pub use postgres::Postgres;
pub use program::{Program, Running};
pub use requirements::{Probe, Requirement, required};
pub use scratch::free_address;
