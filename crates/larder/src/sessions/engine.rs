//! Where sessions are kept, and how concurrent changes are brought together.
//!
//! Every save replaces exactly what was read. If somebody was faster it reads again, makes its own
//! changes on top and tries again; if the session is gone by then, it was deleted, and stays so.

use std::fmt;
use std::sync::Arc;

use super::cookie::StoreId;
use super::error::SessionError;
use super::record::{Change, Loaded, Record};
use super::table::SessionTable;
use super::{cache_only, cached_db};
use crate::cache::Cache;

/// How often a save tries to get in between other requests of the same visitor.
const ATTEMPTS: usize = 20;

/// Where sessions are kept.
#[derive(Clone)]
pub enum SessionEngine {
    /// In the cache, and nowhere else: fast, and gone when the cache is emptied or needs the room.
    /// While it is down, sessions cannot be read or changed; nobody is signed out by that.
    Cache(Cache),
    /// In a table of the program's database, written through the cache: they survive whatever
    /// happens to the cache.
    CachedDb {
        /// What most reads are answered from.
        cache: Cache,
        /// What decides.
        table: Arc<dyn SessionTable>,
    },
}

impl SessionEngine {
    /// The session, if there is one that has not ended.
    pub(super) async fn load(
        &self,
        id: &StoreId,
        now_ms: i64,
    ) -> Result<Option<Loaded>, SessionError> {
        match self {
            Self::Cache(cache) => cache_only::load(cache, id, now_ms).await,
            Self::CachedDb { cache, table } => cached_db::load(cache, &**table, id, now_ms).await,
        }
    }

    /// The session as it is now, whatever a cache remembers.
    pub(super) async fn reload(
        &self,
        id: &StoreId,
        now_ms: i64,
    ) -> Result<Option<Loaded>, SessionError> {
        match self {
            Self::Cache(cache) => cache_only::load(cache, id, now_ms).await,
            Self::CachedDb { table, .. } => cached_db::reload(&**table, id, now_ms).await,
        }
    }

    /// Stores a new session under an id that nobody has been told yet.
    pub(super) async fn create(
        &self,
        id: &StoreId,
        record: Record,
        now_ms: i64,
    ) -> Result<Loaded, SessionError> {
        match self {
            Self::Cache(cache) => cache_only::create(cache, id, record, now_ms).await,
            Self::CachedDb { cache, table } => {
                cached_db::create(cache, &**table, id, record, now_ms).await
            }
        }
    }

    /// Makes `changes` to the session and gives it a new end. False: it was deleted meanwhile.
    pub(super) async fn save(
        &self,
        id: &StoreId,
        loaded: &mut Loaded,
        changes: &[Change],
        expires_ms: i64,
        now_ms: i64,
    ) -> Result<bool, SessionError> {
        for _ in 0..ATTEMPTS {
            let next = loaded.record.next(changes, expires_ms);
            if self.replace(id, loaded, next, now_ms).await? {
                return Ok(true);
            }
            match self.reload(id, now_ms).await? {
                Some(fresh) => *loaded = fresh,
                None => return Ok(false),
            }
            if changes.is_empty() {
                // It was to be renewed only, and whoever was faster has done that.
                return Ok(true);
            }
        }
        Err(SessionError::Contended)
    }

    /// Removes the session for good. An error: it is not certain that it is gone.
    pub(super) async fn delete(&self, id: &StoreId) -> Result<(), SessionError> {
        match self {
            Self::Cache(cache) => cache_only::delete(cache, id).await,
            Self::CachedDb { cache, table } => cached_db::delete(cache, &**table, id).await,
        }
    }

    /// Replaces what was loaded by `next`; false if it is not there any more as it was.
    async fn replace(
        &self,
        id: &StoreId,
        loaded: &mut Loaded,
        next: Record,
        now_ms: i64,
    ) -> Result<bool, SessionError> {
        match self {
            Self::Cache(_) => Ok(cache_only::replace(loaded, next, now_ms).await),
            Self::CachedDb { cache, table } => {
                cached_db::replace(cache, &**table, id, loaded, next, now_ms).await
            }
        }
    }
}

impl fmt::Debug for SessionEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cache(cache) => f.debug_tuple("Cache").field(cache).finish(),
            Self::CachedDb { cache, .. } => {
                f.debug_struct("CachedDb").field("cache", cache).finish_non_exhaustive()
            }
        }
    }
}
