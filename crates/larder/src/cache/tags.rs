//! Tags: names whose change makes everything filed under them stale, on any number of servers.
//!
//! A tag is a random version number in the cache. Whatever is filed under it remembers the version
//! it began with, or has it in its key; changing the tag deletes the version, and the next reader
//! makes a new one. Since versions are random, one that was evicted or deleted never comes back,
//! and a delete that failed can be repeated without harm.

use bytes::Bytes;
use larder_client::Client;

use super::Cache;
use super::guard::{Lookup, claim, random_u64};
use super::values::{blob_of, decode, encode};
use super::wire::Fetched;
use crate::envelope::Payload;
use crate::key::{CacheKey, Family, WireKey};

/// The versions of some tags at one moment, in the order they were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TagVersions(Vec<u64>);

impl TagVersions {
    /// The version numbers.
    #[must_use]
    pub fn as_slice(&self) -> &[u64] {
        &self.0
    }
}

/// As text it can be part of a key: the *key-based* expiration of the tutorials, with a version
/// that all processes share.
impl std::fmt::Display for TagVersions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, version) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            write!(f, "{dot}{version:x}")?;
        }
        Ok(())
    }
}

/// A look-up and the versions of its tags, read together.
#[derive(Debug)]
pub(crate) struct Tagged {
    pub(crate) lookup: Lookup<Bytes>,
    pub(crate) versions: Option<TagVersions>,
}

impl Cache {
    /// The present versions of `tags`; `None` when the cache cannot say, and nothing should be
    /// filed under them.
    pub async fn tag_versions<T: AsRef<str>>(&self, tags: &[T]) -> Option<TagVersions> {
        let wires: Vec<_> = tags.iter().map(|tag| self.wire(&tag_key(tag.as_ref()))).collect();
        let read = |_, payload: &Payload| decode(payload);
        let found = self.fetch_or_claim(&wires, read, |_| new_version()).await;
        found.into_iter().map(Fetched::value).collect::<Option<_>>().map(TagVersions)
    }

    /// Makes everything filed under any of `tags` stale, in one round trip.
    pub async fn invalidate_tags<T: AsRef<str>>(&self, tags: &[T]) {
        self.invalidate(&[], tags).await;
    }

    /// Deletes values and changes tags: what a program does after it has changed its database.
    ///
    /// The values go first. A page is filed under a tag and made of values, so a reader who has
    /// seen the tag's new version must not find an old value any more, or it would file a stale
    /// page under the new version. With one server that is one round trip, since a server keeps
    /// the order; with several it is two.
    ///
    /// A server that cannot be reached keeps its old values until the deletes it is owed have been
    /// applied. Other processes that do reach it may meanwhile file stale pages under a new tag:
    /// the tags are therefore changed once more after those deletes. The same holds if this future
    /// is dropped before its end.
    pub async fn invalidate<T: AsRef<str>>(&self, keys: &[CacheKey], tags: &[T]) {
        let values: Vec<_> = keys.iter().map(|key| self.wire(key)).collect();
        let tags: Vec<_> = tags.iter().map(|tag| self.wire(&tag_key(tag.as_ref()))).collect();
        let client = self.backend().client();
        let mut rest = Rest { client, values: &values, tags: &tags };
        let several = client.is_some_and(|client| client.server_count() > 1);
        if several && !values.is_empty() && !tags.is_empty() {
            let removed = self.remove(&values).await;
            rest.tags_after_failed(&removed);
            self.remove(&tags).await;
        } else {
            let all: Vec<_> = values.iter().chain(&tags).cloned().collect();
            let removed = self.remove(&all).await;
            rest.tags_after_failed(&removed);
        }
        rest.client = None;
    }

    /// Looks up bytes together with the tags they are filed under: one round trip for a hit, two
    /// for a miss, however many tags.
    pub(crate) async fn lookup_tagged(&self, key: &CacheKey, tags: &[CacheKey]) -> Tagged {
        let tag_keys = tags.iter().map(|tag| self.wire(tag));
        let wires: Vec<_> = std::iter::once(self.wire(key)).chain(tag_keys).collect();
        let fits = |at, payload: &Payload| match at {
            0 => blob_of(payload).is_some(),
            _ => decode::<u64>(payload).is_some(),
        };
        let read = |at, payload: &Payload| fits(at, payload).then(|| payload.clone());
        let missing = |at| if at == 0 { claim() } else { new_version() };
        let mut found = self.fetch_or_claim(&wires, read, missing).await.into_iter();
        let value = found.next().unwrap_or(Fetched::Unavailable).map(|payload| payload.bytes);
        let versions = found.map(|fetched| decode(&fetched.value()?)).collect::<Option<_>>();
        let wire = wires.into_iter().next().expect("the first wire key is the value's");
        Tagged { lookup: self.answer(wire, value), versions: versions.map(TagVersions) }
    }
}

/// The part of an invalidation that is still to be done; owed if it is given up before its end.
struct Rest<'a> {
    client: Option<&'a Client>,
    values: &'a [WireKey],
    tags: &'a [WireKey],
}

impl Rest<'_> {
    /// Has the tags deleted again once the deletes of these values have been applied.
    fn tags_after(&self, value: &WireKey) {
        if let Some(client) = self.client {
            client.owe_deletes_after(&value.key, self.tags.iter().map(|tag| &tag.key));
        }
    }

    /// `removed` says of each value, in order, whether its delete was confirmed.
    fn tags_after_failed(&self, removed: &[Option<bool>]) {
        let failed = self.values.iter().zip(removed).filter(|(_, removed)| removed.is_none());
        failed.for_each(|(value, _)| self.tags_after(value));
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        let Some(client) = self.client else { return };
        self.values.iter().for_each(|value| self.tags_after(value));
        self.tags.iter().for_each(|tag| client.owe_delete(&tag.key));
    }
}

/// The key that holds the version of `tag`.
pub(crate) fn tag_key(tag: &str) -> CacheKey {
    CacheKey::reserved(Family::Tag).with(tag)
}

fn new_version() -> (Payload, u32) {
    let version = encode(&random_u64()).expect("an integer has a JSON form");
    (version, 0)
}
