//! Tags: names whose change makes everything filed under them stale, on any number of servers.
//!
//! A tag is a random version number in the cache. Whatever is filed under it remembers the version
//! it began with, or has it in its key; changing the tag deletes the version, and the next reader
//! makes a new one. Since versions are random, one that was evicted or deleted never comes back,
//! and a delete that failed can be repeated without harm.

use bytes::Bytes;

use super::Cache;
use super::guard::{Lookup, PLACEHOLDER_SECONDS, Probe, placeholder, random_u64, token};
use super::values::{blob_of, decode, encode};
use super::wire::Fetched;
use crate::envelope::Payload;
use crate::key::{CacheKey, Family};

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
        let found = self.fetch_or_add(&wires, |_| new_version()).await;
        versions(found)
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
    pub async fn invalidate<T: AsRef<str>>(&self, keys: &[CacheKey], tags: &[T]) {
        let values: Vec<_> = keys.iter().map(|key| self.wire(key)).collect();
        let tags = tags.iter().map(|tag| self.wire(&tag_key(tag.as_ref())));
        let servers = self.backend().client().map_or(1, |client| client.health().len());
        if servers > 1 && !values.is_empty() {
            self.remove(&values).await;
            self.remove(&tags.collect::<Vec<_>>()).await;
        } else {
            self.remove(&values.into_iter().chain(tags).collect::<Vec<_>>()).await;
        }
    }

    /// Looks up bytes together with the tags they are filed under: one round trip for a hit, two
    /// for a miss, however many tags.
    pub(crate) async fn lookup_tagged(&self, key: &CacheKey, tags: &[String]) -> Tagged {
        let tag_keys = tags.iter().map(|tag| self.wire(&tag_key(tag)));
        let wires: Vec<_> = std::iter::once(self.wire(key)).chain(tag_keys).collect();
        let token = token();
        let mut found = self
            .fetch_or_add(&wires, |index| match index {
                0 => (placeholder(token.clone()), PLACEHOLDER_SECONDS),
                _ => new_version(),
            })
            .await
            .into_iter();
        let probe = found.next().map_or(Probe::Unavailable, Probe::from);
        let wire = wires.into_iter().next().expect("the first wire key is the value's");
        Tagged { lookup: self.answer(wire, probe, blob_of), versions: versions(found) }
    }
}

fn tag_key(tag: &str) -> CacheKey {
    CacheKey::reserved(Family::Tag).with(tag)
}

fn new_version() -> (Payload, u32) {
    let version = encode(&random_u64()).expect("an integer has a JSON form");
    (version, 0)
}

fn versions(found: impl IntoIterator<Item = Fetched>) -> Option<TagVersions> {
    let version = |fetched| match fetched {
        Fetched::Hit { payload, .. } => decode::<u64>(&payload),
        _ => None,
    };
    found.into_iter().map(version).collect::<Option<Vec<_>>>().map(TagVersions)
}
