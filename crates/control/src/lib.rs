//! The accounts of a fleet of cache servers: who may use them, as whom, how much of them, and who has
//! changed that.
//!
//! # What there is
//!
//! A *tenant* is a cache: a name, a floor (bytes that it is guaranteed on each node), a ceiling (bytes
//! that it may reach there), labels. A *credential* opens one tenant, with some capabilities; a tenant
//! has several, one of them primary. An *operator* runs the fleet. All of it is in one database,
//! [`Accounts`]: a SQLite file in the node's data directory, or PostgreSQL where several nodes share
//! it. The rules are here and nowhere else; no HTTP, and nothing of the data plane.
//!
//! # One change
//!
//! Every change is one transaction (`change.rs`), which
//!
//! 1. takes the lock on the one row of table `directory`, so that changes come one after the other,
//!    whichever process makes them, and what a change looks up (is the name free, is there room) is
//!    still true when it commits;
//! 2. makes the change;
//! 3. adds 1 to the version in that row;
//! 4. writes who did what, from where, from what to what, into the audit log;
//! 5. commits, on SQLite with `synchronous=FULL`.
//!
//! When the call returns, the change is on the disk: a process that is killed, or a machine that loses
//! its power, loses none that it has acknowledged, and leaves none half made. The order of versions is
//! the order of commits. What concerns people alone (a session, a token, a password of an operator) is
//! audited in the same way and leaves the version as it is, because no node needs to know of it.
//!
//! # From the database to the nodes
//!
//! A node never asks the database about a request. Its [`Follower`] asks for the version four times a
//! second, and at once when its own process has changed something. When that is another one, it reads
//! everything in one transaction, makes a [`Directory`](larder_tenancy::Directory) of it, publishes it
//! in the node's [`SharedDirectory`](larder_tenancy::SharedDirectory), saves it as the node's snapshot
//! (`directory.json`), and only then notes the version in the node's row of table `nodes`. Who makes a
//! change and wants to know that it holds waits for those rows: [`Accounts::acknowledged`].
//!
//! So the data plane does not need the database: while it is down the last directory goes on serving,
//! and a node that starts meanwhile begins with its snapshot. The versions that a node obeys only grow.
//! A database that was restored from an older backup is right all the same: the first node that finds
//! its version lower than its own raises it, and the counts that must not go back, and obeys. (A SQLite
//! file is replaced while nothing has it open; who had it open says so and does not write to what is
//! gone.) A database of another installation is refused.
//!
//! # Memory
//!
//! A floor is a promise, so the floors of all tenants together must fit the memory of the smallest node
//! that is known; to raise one beyond that is [`AccountsError::NoRoom`], which says what is free. To
//! lower one is always possible. Ceilings promise nothing and may add up to anything. A node stays known
//! while it is stopped, since it will be back, and is forgotten after 30 days or by
//! [`Accounts::forget_node`].
//!
//! # Secrets
//!
//! Of a password only a digest is kept. One that is made here has 128 random bits: SHA-256 with a salt
//! is enough, and makes a storm of connections cheap. One that a person chooses is digested with
//! Argon2id, two at a time and never more than 32 waiting. Sessions, API tokens and sign-in links are
//! 256 random bits each, of which SHA-256 is kept. Secrets are returned once, by the call that makes
//! them; no error, log line, audit entry or `Debug` shows one, nor the password of a database.
//!
//! Rotating a credential needs no moment at which neither works: create another, promote it, hand it to
//! the applications, revoke the old one, whose connections then close.
//!
//! # Who may do what
//!
//! [`Principal`] is who asks, [`Need`] what a thing needs, [`Principal::may`] the one place where they
//! meet. What a session or a token may do is looked up at each use: it is never more than what its
//! credential may do now. Methods here do not ask for rights; whoever calls them, the console or the
//! command line, has done that.
//!
//! # What else is kept
//!
//! [`History`] keeps what a node counted, in a file of the node's own; [`Alerts`] looks at it by rules
//! that are in the accounts.

mod access;
mod accounts;
mod alerts;
mod audit;
mod caught;
mod change;
mod credentials;
mod db;
mod digest;
mod directory;
mod error;
mod fleet;
mod follower;
mod history;
mod moment;
mod people;
mod rights;
mod secrets;
mod tenants;
mod url;

pub use access::{Access, Form, percent_encoded, quoted};
pub use accounts::{Accounts, Actor, Caller, Changed, Clock};
pub use alerts::{
    AlertChange, AlertError, AlertKind, AlertRule, AlertState, Alerts, NewAlert, News, Notice,
    Webhook,
};
pub use audit::AuditEntry;
pub use credentials::{Chosen, CredentialChange, CredentialRecord, NewCredential, Secret};
pub use error::{AccountsError, SignInError};
pub use fleet::{Capacity, NodeRecord};
pub use follower::{DataDir, Follower, FollowerSettings};
pub use history::{History, HistoryError, HitRates, Point, Series, Span};
pub use moment::{moment, utc_minute};
pub use people::{NewSession, OperatorRecord, SessionRecord, SignInLink, TokenRecord, session_id};
pub use rights::{Need, Principal};
pub use tenants::{NewTenant, TenantChange, TenantRecord};
pub use url::AccountsUrl;
