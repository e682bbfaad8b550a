//! Visitors' sessions: a few values per visitor, kept by the server, named by a cookie.
//!
//! ```
//! use http::Request;
//! use larder::sessions::{Session, SessionError};
//!
//! async fn me<B>(request: Request<B>) -> Result<String, SessionError> {
//!     let session = Session::from_extensions(request.extensions()).expect("a SessionLayer");
//!     let visits = session.update("visits", |n: Option<u64>| n.unwrap_or(0) + 1).await?;
//!     Ok(format!("You were here {visits} times."))
//! }
//! ```
//!
//! A [`SessionLayer`] around the handler puts the session into the request's extensions, where
//! axum's handlers find it as `Extension(session): Extension<Session>`.
//!
//! ```text
//! layer.rs      SessionLayer: puts a Session into each request, its cookie onto the response
//! session.rs    Session: what handlers use; nothing is read before they do
//! engine.rs     where sessions are kept; how concurrent changes are brought together
//! cache_only.rs engine: in the cache
//! cached_db.rs  engine: in a table, written through the cache
//! table.rs      SessionTable: what the program's database must offer
//! record.rs     a session as it is stored
//! cookie.rs     ids; reading and writing the cookie
//! error.rs      SessionError
//! failures.rs   what the log says of sessions that could not be saved
//! ```
//!
//! # What a handler can rely on
//!
//! A session that nobody touches costs nothing: the cookie is not parsed, nothing is loaded, and
//! the response stays as it is, fit for a shared cache. A response whose handler touched the
//! session says `Vary: Cookie` and is kept by no shared cache, for it must not be shown after the
//! visitor has signed out: unless the handler says `private` or `no-store` in its own words, it is
//! `Cache-Control: private, no-cache`, and `private, no-store` if it sets the cookie. (A body that
//! first asks for the session while it is sent comes too late for any of this.) What a handler
//! changed is saved when it has answered, unless it answered with a 5xx; if that
//! fails the visitor gets a 503, never a page that claims what was not kept. A handler whose real
//! work is done, and whose note in the session may be lost, calls [`Session::save`] itself and after
//! a failure [`Session::discard_changes`].
//!
//! Requests of one visitor at the same time do not undo each other: a save that finds the session
//! changed makes this request's changes again on top of it, key by key, and
//! [`update`](Session::update) counts right.
//!
//! # What must stay true
//!
//! - Only ids that this server issued name a session. An unknown one is a visitor without a
//!   session, who gets a fresh id with the first change, and [`Session::cycle_id`] gives one at
//!   sign-in. Ids have 256 random bits; the cache and the table only know their SHA-256.
//! - A deleted session stays deleted. A request that was still running saves nothing, for a save
//!   only ever replaces what it has read; its response leaves the cookie alone, which may be that of
//!   a newer session by then.
//! - A cache or database that cannot be asked is an error, never a visitor without a session, and
//!   never a sign-out: no cookie is replaced. With [`SessionEngine::CachedDb`] the database decides: a cache that is
//!   down, emptied or stale costs time only, and a database that is down is not noticed by those
//!   whose session is in the cache and does not change.

mod cache_only;
mod cached_db;
mod cookie;
mod engine;
mod error;
mod failures;
mod layer;
mod record;
mod session;
mod table;

pub use cookie::{InvalidCookieName, Secure};
pub use engine::SessionEngine;
pub use error::SessionError;
pub use layer::{DEFAULT_TTL, SessionBody, SessionLayer, SessionService};
pub use session::Session;
pub use table::{SessionRow, SessionTable, TableError, TableFuture};
