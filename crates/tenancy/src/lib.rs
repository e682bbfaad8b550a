//! The words that the server, the accounts and the console share: who may use a cache, as whom, and
//! how much of it.
//!
//! A [`Tenant`] is a cache of its own. A [`Credential`] opens one tenant, with some
//! [`Capabilities`]. All that a node knows of both is one immutable [`Directory`]; whoever owns the
//! accounts makes a new one for each change and publishes it in a [`SharedDirectory`], and the server
//! reads that with one atomic load. What an authenticated connection holds is a [`Grant`].
//!
//! An [`AuthFile`] makes a directory where there are no accounts. [`Node`] is how others ask a running
//! server for figures, a flush, or an item.
//!
//! No I/O here, no clock and no threads. What must stay true: a password is kept only as a [`Digest`],
//! nothing here prints one, a wrong password and an unknown user cost the same and look the same, and
//! the version of what is published only grows.

mod auth_file;
mod capabilities;
mod check;
mod credential;
mod directory;
mod node;
mod shared;
mod tenant;

pub use auth_file::{AuthFile, AuthFileError, Fault, Layout};
pub use capabilities::{Capabilities, UnknownCapability};
pub use check::{Check, Fingerprint, SlowCheck};
pub use credential::{Credential, Digest, Salt};
pub use directory::{AuthError, Directory, DirectoryError, Grant};
pub use node::{
    Command, Figures, Insight, ItemFacts, KeyUse, Latency, Missed, Node, NodeFacts, PrefixUse,
    Recent,
};
pub use shared::{DirectoryReader, Outdated, SharedDirectory};
pub use tenant::{Tenant, TenantId, TenantLimits, TenantName, TenantNameError};
