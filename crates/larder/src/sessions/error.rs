//! What can go wrong with a session.

use super::table::TableError;

/// A session could not be read or saved. Answer with 503: the visitor's session is not lost, and
/// the cookie must stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The cache that keeps the sessions could not be asked, did not store, or did not confirm a
    /// delete.
    #[error("the cache that keeps the sessions is unavailable")]
    Unavailable,
    /// The table of sessions failed.
    #[error("the table of sessions: {0}")]
    Table(#[source] TableError),
    /// The session kept being changed by other requests.
    #[error("other requests kept changing the session")]
    Contended,
    /// A row of the table holds no session.
    #[error("a row in the table of sessions is not a JSON object")]
    Row(#[source] serde_json::Error),
    /// A value is of another type than asked for, or has no JSON form.
    #[error("session value {key:?}")]
    Value {
        /// The value's key.
        key: String,
        /// What serde says.
        source: serde_json::Error,
    },
}
