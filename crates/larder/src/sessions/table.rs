//! The table of sessions that a program offers to
//! [`SessionEngine::CachedDb`](super::SessionEngine::CachedDb).

use std::future::Future;
use std::pin::Pin;

/// An error of the program's database.
pub type TableError = Box<dyn std::error::Error + Send + Sync>;

/// What the methods of a [`SessionTable`] return.
pub type TableFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, TableError>> + Send + 'a>>;

/// One session as the table keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// A JSON object.
    pub data: String,
    /// 1 when inserted, raised by one with each update.
    pub version: i64,
    /// When the session ends, in milliseconds since 1970-01-01 UTC.
    pub expires_ms: i64,
}

/// Rows by id. Ids are 64 hexadecimal digits that tell nothing about the cookie; every method must
/// have taken effect, for every process, when its future is ready.
pub trait SessionTable: Send + Sync {
    /// The row, unless there is none or it has ended by `now_ms`.
    fn load<'a>(&'a self, id: &'a str, now_ms: i64) -> TableFuture<'a, Option<SessionRow>>;

    /// A new row with version 1; false, with nothing changed, if the id exists.
    fn insert<'a>(&'a self, id: &'a str, data: &'a str, expires_ms: i64) -> TableFuture<'a, bool>;

    /// Replaces the row if it is there with version `expected`, and raises the version by one;
    /// false, with nothing changed, otherwise. Never inserts: a deleted session stays deleted.
    fn update<'a>(
        &'a self,
        id: &'a str,
        data: &'a str,
        expires_ms: i64,
        expected: i64,
    ) -> TableFuture<'a, bool>;

    /// Removes the row, if there is one.
    fn delete<'a>(&'a self, id: &'a str) -> TableFuture<'a, ()>;
}
