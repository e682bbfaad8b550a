//! Whole pages: a tower layer that answers from the cache what it has answered before.
//!
//! ```text
//! mod.rs       PageCache: settings, keys, invalidation
//! service.rs   the walk of one request
//! rules.rs     what may be stored, and the named reasons why not
//! entry.rs     what is stored: a page, or the list of headers it varies on
//! body.rs      reading a response within a limit; the body that goes out
//! conditional.rs  ETag, If-None-Match, HEAD
//! ```
//!
//! A page is kept under its host, path and query. A response that says `Vary` leaves a small record
//! there instead, naming the headers, and every combination of their values is an entry of its own;
//! deleting the record makes all of them unreachable. A page is also filed under *tags*: changing
//! a tag makes every page under it stale at once, whatever its host and path.
//!
//! What must stay true: a response with `Set-Cookie`, `private`, `no-store` or `Vary: *`, an error,
//! and anything asked for with `Authorization` is never stored, nor is a page whose handler looked into
//! the visitor's session, whichever of the two layers is the outer one; the versions of the tags and the
//! guard of the entry are taken *before* the handler runs, so a page that was overtaken by a change
//! is never stored or never found.
//!
//! Server and browser are told different things. The server may keep a page for ever because it can
//! invalidate it; a browser cannot be reached, so unless the handler said otherwise it gets
//! `Cache-Control: no-cache` and an `ETag`, and asks again each time for a cheap 304.

mod body;
mod conditional;
mod entry;
mod rules;
mod service;

use std::fmt::{self, Write as _};
use std::sync::Arc;

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, Request, Uri};
use tower_layer::Layer;

use crate::cache::{Cache, tag_key};
use crate::key::{CacheKey, Family};
use crate::ttl::Ttl;

pub use body::PageBody;
pub use rules::{NoCacheReason, PageCounts, PageOutcome};
pub use service::PageService;

use rules::Counters;

/// The largest body that is stored unless told otherwise: 512 KiB, which fits memcached's default
/// item size of 1 MiB with room for headers.
pub const DEFAULT_MAX_BODY: usize = 512 * 1024;

/// A cache of whole responses, and the handle by which they are invalidated. Clones share it.
///
/// ```
/// # use larder::{Cache, Ttl, pages::PageCache};
/// # async fn example(cache: Cache) {
/// let pages = PageCache::new(cache).ttl(Ttl::Never).tag("tasks");
/// let layer = pages.layer(); // Router::layer(layer)
/// // after a change:
/// pages.invalidate_tag("tasks").await;
/// # let _ = layer; }
/// ```
#[derive(Clone, Debug)]
pub struct PageCache(Arc<Settings>);

#[derive(Clone, Debug)]
struct Settings {
    cache: Cache,
    ttl: Ttl,
    tags: Vec<CacheKey>,
    max_body: usize,
    counters: Arc<Counters>,
}

/// The name of a page and all its variants: what to invalidate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageKey(CacheKey);

impl PageCache {
    /// Pages in `cache`, by its default TTL, under no tags.
    #[must_use]
    pub fn new(cache: Cache) -> Self {
        Self(Arc::new(Settings {
            cache,
            ttl: Ttl::Default,
            tags: Vec::new(),
            max_body: DEFAULT_MAX_BODY,
            counters: Arc::default(),
        }))
    }

    /// How long pages are kept. A response's own `s-maxage`, else `max-age`, goes first.
    #[must_use]
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        Arc::make_mut(&mut self.0).ttl = ttl.into();
        self
    }

    /// Files every page of this layer under `tag` as well.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0).tags.push(tag_key(&tag.into()));
        self
    }

    /// The largest body to store, in bytes (default [`DEFAULT_MAX_BODY`]). Larger ones pass
    /// through without being held in memory.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        Arc::make_mut(&mut self.0).max_body = bytes;
        self
    }

    /// The layer that puts this cache in front of a service.
    #[must_use]
    pub fn layer(&self) -> PageLayer {
        PageLayer(self.clone())
    }

    /// The key of the page that `request` asks for; `None` if it names no host.
    pub fn key_of<B>(&self, request: &Request<B>) -> Option<PageKey> {
        let host = host_of(request.headers(), request.uri())?;
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        Some(self.key(host, target))
    }

    /// The key of the page at `host` (with its port, if the browser shows one) and
    /// `path_and_query`.
    #[must_use]
    pub fn key(&self, host: &str, path_and_query: &str) -> PageKey {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        PageKey(CacheKey::reserved(Family::Page).with(LowerCase(host)).with(path).with(query))
    }

    /// Forgets one page, all its variants included.
    pub async fn invalidate(&self, key: &PageKey) {
        self.0.cache.delete(key.0.clone()).await;
    }

    /// Forgets the page at `host` and `path_and_query`, all its variants included.
    pub async fn invalidate_path(&self, host: &str, path_and_query: &str) {
        self.invalidate(&self.key(host, path_and_query)).await;
    }

    /// Forgets every page filed under `tag`, by this or any other layer on the same cache.
    pub async fn invalidate_tag(&self, tag: &str) {
        self.0.cache.invalidate_tags(&[tag]).await;
    }

    /// How requests were answered so far, by outcome.
    #[must_use]
    pub fn counts(&self) -> PageCounts {
        self.0.counters.counts()
    }
}

/// Puts a [`PageCache`] in front of a service.
#[derive(Clone, Debug)]
pub struct PageLayer(PageCache);

impl<S> Layer<S> for PageLayer {
    type Service = PageService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PageService::new(self.0.clone(), inner)
    }
}

/// The one host a request is for; `None` where there is none, more than one, or one in the request
/// line that is not the one in the header.
fn host_of<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let mut hosts = headers.get_all(HOST).iter();
    let header = hosts.next().map(|host| host.to_str());
    if hosts.next().is_some() {
        return None;
    }
    match (header, uri.authority()) {
        (Some(header), None) => header.ok(),
        (None, authority) => authority.map(Authority::as_str),
        (Some(header), Some(authority)) => {
            header.ok().filter(|header| header.eq_ignore_ascii_case(authority.as_str()))
        }
    }
}

/// A text, printed in lower case.
struct LowerCase<'a>(&'a str);

impl fmt::Display for LowerCase<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| f.write_char(c.to_ascii_lowercase()))
    }
}
