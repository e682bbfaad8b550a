//! Sessions in the cache and nowhere else.
//!
//! What was read comes with a guard; a save is a `cas` against it, so it can neither undo another
//! request's save nor bring back what was deleted or evicted.

use super::cookie::StoreId;
use super::error::SessionError;
use super::record::{Loaded, Record};
use crate::cache::Cache;
use crate::cache::guard::Found;

pub(super) async fn load(
    cache: &Cache,
    id: &StoreId,
    now_ms: i64,
) -> Result<Option<Loaded>, SessionError> {
    match cache.find::<Record>(id.cache_key()).await {
        Found::Value(record, _) if record.has_ended(now_ms) => Ok(None),
        Found::Value(record, guard) => Ok(Some(Loaded { record, guard: Some(guard) })),
        Found::Nothing => Ok(None),
        Found::Unavailable => Err(SessionError::Unavailable),
    }
}

pub(super) async fn create(
    cache: &Cache,
    id: &StoreId,
    record: Record,
    now_ms: i64,
) -> Result<Loaded, SessionError> {
    if !cache.add(id.cache_key(), &record, record.ttl(now_ms)).await {
        return Err(SessionError::Unavailable);
    }
    Ok(Loaded { record, guard: None })
}

pub(super) async fn replace(loaded: &mut Loaded, next: Record, now_ms: i64) -> bool {
    // Without a guard what was read is not known to be there still: it is read again.
    let Some(guard) = loaded.guard.take() else { return false };
    let stored = guard.fill(&next, next.ttl(now_ms)).await;
    if stored {
        loaded.record = next;
    }
    stored
}

/// An error if the cache did not confirm it. The delete is owed then: this process does it before it
/// reads that server again.
pub(super) async fn delete(cache: &Cache, id: &StoreId) -> Result<(), SessionError> {
    let confirmed = cache.delete_confirmed(id.cache_key()).await;
    if confirmed { Ok(()) } else { Err(SessionError::Unavailable) }
}
