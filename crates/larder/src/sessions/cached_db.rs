//! Sessions in a table of the program's database, written through the cache.
//!
//! The table decides; the cache answers most reads. What keeps the cache from ever contradicting
//! the table for longer than a change takes:
//!
//! - Before a row is made, changed or deleted, a *busy* mark takes its place in the cache. It voids
//!   every fill that is under way, and whoever sees it reads the table and fills nothing. If the
//!   process dies in the middle, the mark expires by itself.
//! - After the change, the new row replaces exactly that mark. A row is never stored without a
//!   guard: what a slow server carries out late, after a delete, would bring it back. If the mark is not there any more,
//!   somebody else's change, or a fill that may be older, has come in between: the key is deleted,
//!   and the next reader asks the table.
//! - A reader's fill is guarded as everywhere: see [`crate::cache::guard`].
//!
//! A cache that this process cannot reach is told of the deletion before it is read again here.
//! Other processes that can reach it would until then believe what it says.

use serde::{Deserialize, Serialize};

use super::cookie::StoreId;
use super::error::SessionError;
use super::record::{Loaded, Record};
use super::table::SessionTable;
use crate::cache::{Cache, Lookup};
use crate::ttl::Ttl;

/// Longer than any change takes, short enough to forget one that died.
const BUSY: Ttl = Ttl::secs(60);

/// What the cache says about a session.
#[derive(Debug, Serialize, Deserialize)]
enum Cached {
    Row(Record),
    /// Somebody is changing the row; the text names who.
    Busy(String),
}

pub(super) async fn load(
    cache: &Cache,
    table: &dyn SessionTable,
    id: &StoreId,
    now_ms: i64,
) -> Result<Option<Loaded>, SessionError> {
    let guard = match cache.lookup(id.cache_key()).await {
        Lookup::Hit(Cached::Row(record)) => {
            let record = Some(record).filter(|record| !record.has_ended(now_ms));
            return Ok(record.map(|record| Loaded { record, guard: None }));
        }
        Lookup::Miss(guard) => Some(guard),
        Lookup::Hit(Cached::Busy(_)) | Lookup::Unavailable(_) => None,
    };
    let loaded = reload(table, id, now_ms).await?;
    if let (Some(guard), Some(loaded)) = (guard, &loaded) {
        fill(guard, &loaded.record, now_ms).await;
    }
    Ok(loaded)
}

pub(super) async fn reload(
    table: &dyn SessionTable,
    id: &StoreId,
    now_ms: i64,
) -> Result<Option<Loaded>, SessionError> {
    let row = table.load(id.as_str(), now_ms).await.map_err(SessionError::Table)?;
    let Some(row) = row.filter(|row| row.expires_ms > now_ms) else {
        return Ok(None);
    };
    let data = serde_json::from_str(&row.data).map_err(SessionError::Row)?;
    let record = Record { data, version: row.version, expires_ms: row.expires_ms };
    Ok(Some(Loaded { record, guard: None }))
}

pub(super) async fn create(
    cache: &Cache,
    table: &dyn SessionTable,
    id: &StoreId,
    record: Record,
    now_ms: i64,
) -> Result<Loaded, SessionError> {
    let data = json(&record)?;
    // Nobody else knows the id yet, but a plain `set` could reach a slow server after a sign-out's
    // delete, and bring the session back.
    let guard = cache.set_guarded(id.cache_key(), &busy(), BUSY).await;
    let is_new = table.insert(id.as_str(), &data, record.expires_ms).await;
    if !is_new.map_err(SessionError::Table)? {
        return Err(SessionError::Contended);
    }
    fill(guard, &record, now_ms).await;
    Ok(Loaded { record, guard: None })
}

pub(super) async fn replace(
    cache: &Cache,
    table: &dyn SessionTable,
    id: &StoreId,
    loaded: &mut Loaded,
    next: Record,
    now_ms: i64,
) -> Result<bool, SessionError> {
    let data = json(&next)?;
    let guard = cache.set_guarded(id.cache_key(), &busy(), BUSY).await;
    let expected = loaded.record.version;
    let updated = table.update(id.as_str(), &data, next.expires_ms, expected).await;
    if !updated.map_err(SessionError::Table)? {
        return Ok(false);
    }
    if !fill(guard, &next, now_ms).await {
        cache.delete(id.cache_key()).await;
    }
    loaded.record = next;
    Ok(true)
}

pub(super) async fn delete(
    cache: &Cache,
    table: &dyn SessionTable,
    id: &StoreId,
) -> Result<(), SessionError> {
    cache.set(id.cache_key(), &busy(), BUSY).await;
    table.delete(id.as_str()).await.map_err(SessionError::Table)?;
    cache.delete(id.cache_key()).await;
    Ok(())
}

async fn fill(guard: crate::Guard, record: &Record, now_ms: i64) -> bool {
    guard.fill(&Cached::Row(record.clone()), record.ttl(now_ms)).await
}

fn busy() -> Cached {
    Cached::Busy(crate::random_hex::<16>())
}

fn json(record: &Record) -> Result<String, SessionError> {
    serde_json::to_string(&record.data).map_err(SessionError::Row)
}
