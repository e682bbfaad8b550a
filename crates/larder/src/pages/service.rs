//! The walk of one request: look up, or run the handler and store what it said.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, request};
use http_body::Body;
use http_body_util::{Either, Full};
use sha2::{Digest, Sha256};
use tower_service::Service;

use super::body::{BoxError, HandlerBody, PageBody};
use super::conditional;
use super::entry::{Entry, Page, Variants};
use super::rules::{NoCacheReason, PageOutcome, may_look_up, may_store, vary_names};
use super::{PageCache, PageKey};
use crate::cache::{Guard, Lookup, TagVersions};
use crate::key::CacheKey;
use crate::sessions::Session;
use crate::ttl::Ttl;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// A service with a [`PageCache`] in front of it.
#[derive(Clone, Debug)]
pub struct PageService<S> {
    pages: PageCache,
    inner: S,
}

impl<S> PageService<S> {
    pub(super) fn new(pages: PageCache, inner: S) -> Self {
        Self { pages, inner }
    }
}

impl<S, B, R> Service<Request<B>> for PageService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<PageBody>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let fresh = self.inner.clone();
        // The one that was polled ready is the one to call.
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let pages = self.pages.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let miss = match pages.find(&parts).await {
                Found::Page(page) => {
                    let answer = pages.answer(page, &parts.method, &parts.headers);
                    return Ok(pages.reply(answer, PageOutcome::Hit, "hit"));
                }
                Found::Miss(miss) if parts.method == Method::HEAD => {
                    Err((PageOutcome::NotStored(NoCacheReason::Head), miss.why))
                }
                Found::Miss(miss) => Ok((miss, parts.headers.clone())),
                Found::Nothing(outcome) => Err((outcome, "bypass")),
            };
            // A session layer outside this one marks the response only when it has left here.
            let session = Session::from_extensions(&parts.extensions);
            let response = inner.call(Request::from_parts(parts, body)).await?;
            let response = response.map(HandlerBody::new);
            Ok(match miss {
                Err((outcome, why)) => pages.pass(response, outcome, why),
                Ok((miss, _)) if session.is_some_and(|session| session.is_touched()) => {
                    let outcome = PageOutcome::NotStored(NoCacheReason::Session);
                    pages.pass(response, outcome, miss.why)
                }
                // Boxed, so that a hit does not carry the room for storing a page.
                Ok((miss, asked)) => Box::pin(pages.finish(miss, &asked, response)).await,
            })
        })
    }
}

/// What the cache had for a request.
enum Found {
    Page(Page),
    /// The cache was not asked, or cannot be used.
    Nothing(PageOutcome),
    /// No page: what is needed to store one.
    Miss(Miss),
}

struct Miss {
    key: PageKey,
    /// The guard of the page's own key, unless that holds a list of variants.
    guard: Option<Guard>,
    variants: Option<(Variants, Guard)>,
    versions: TagVersions,
    /// When the handler began, in Unix seconds.
    made: u64,
    /// `Cache-Status`'s word for why the handler had to run (RFC 9211).
    why: &'static str,
}

impl PageCache {
    /// Looks for the page that `request` asks for.
    async fn find(&self, request: &request::Parts) -> Found {
        if let Err(reason) = may_look_up(request) {
            return Found::Nothing(PageOutcome::Bypassed(reason));
        }
        let Some(host) = super::host_of(&request.headers, &request.uri) else {
            return Found::Nothing(PageOutcome::Bypassed(NoCacheReason::Host));
        };
        let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
        let key = self.key(host, target);
        let unavailable = Found::Nothing(PageOutcome::NotStored(NoCacheReason::Unavailable));
        let tagged = self.0.cache.lookup_tagged(&key.0, &self.0.tags).await;
        let Some(versions) = tagged.versions else {
            return unavailable;
        };
        let made = self.0.cache.backend().now();
        let mut miss = Miss { key, guard: None, variants: None, versions, made, why: "uri-miss" };
        match tagged.lookup {
            Lookup::Unavailable(_) => unavailable,
            Lookup::Miss(guard) => {
                miss.guard = Some(guard);
                Found::Miss(miss)
            }
            Lookup::Hit(bytes) => match Entry::decode(&bytes) {
                Some(Entry::Page(page)) if page.versions == miss.versions.as_slice() => {
                    Found::Page(page)
                }
                Some(Entry::Variants(variants)) => {
                    Box::pin(self.find_variant(miss, variants, &request.headers)).await
                }
                _ => {
                    miss.guard = Some(self.0.cache.guard(miss.key.0.clone()).await);
                    miss.why = "stale";
                    Found::Miss(miss)
                }
            },
        }
    }

    async fn find_variant(&self, mut miss: Miss, variants: Variants, request: &HeaderMap) -> Found {
        let key = miss.key.variant(&variants, request);
        let guard = match self.0.cache.lookup_bytes(key.clone()).await {
            Lookup::Unavailable(_) => {
                return Found::Nothing(PageOutcome::NotStored(NoCacheReason::Unavailable));
            }
            Lookup::Miss(guard) => {
                miss.why = "vary-miss";
                guard
            }
            Lookup::Hit(bytes) => match Entry::decode(&bytes) {
                Some(Entry::Page(page)) if page.versions == miss.versions.as_slice() => {
                    return Found::Page(page);
                }
                _ => {
                    miss.why = "stale";
                    self.0.cache.guard(key).await
                }
            },
        };
        miss.variants = Some((variants, guard));
        Found::Miss(miss)
    }

    /// Stores the handler's response to a GET if it may be, and sends it.
    async fn finish(
        &self,
        miss: Miss,
        request: &HeaderMap,
        response: Response<HandlerBody>,
    ) -> Response<PageBody> {
        let (why, not) = (miss.why, PageOutcome::NotStored);
        let (parts, body) = response.into_parts();
        let checked =
            may_store(&parts, self.0.ttl).and_then(|ttl| Ok((ttl, vary_names(&parts.headers)?)));
        let (ttl, vary) = match checked {
            Ok(checked) => checked,
            Err(reason) => {
                return self.pass(Response::from_parts(parts, body), not(reason), why);
            }
        };
        let body = match body.collect(self.0.max_body).await {
            Ok(body) => body,
            Err((body, reason)) => {
                return self.pass(Response::from_parts(parts, body), not(reason), why);
            }
        };
        let versions = miss.versions.as_slice().to_vec();
        let page = Page::new(parts.status, &parts.headers, body, miss.made, versions);
        let stored = self.store(miss, page.encode(), vary, request, ttl).await;
        let outcome = stored.map_or_else(not, |()| PageOutcome::Stored);
        let answer = self.answer(page, &Method::GET, request);
        let mut response = self.reply(answer, outcome, why);
        response.extensions_mut().extend(parts.extensions);
        response
    }

    /// Stores an encoded page where this request would look for it.
    async fn store(
        &self,
        miss: Miss,
        entry: Bytes,
        vary: Vec<String>,
        request: &HeaderMap,
        ttl: Ttl,
    ) -> Result<(), NoCacheReason> {
        let guard = match (miss.guard, miss.variants) {
            (Some(guard), _) if vary.is_empty() => guard,
            (Some(guard), _) => {
                let variants = Variants::new(vary.into_iter());
                let key = miss.key.variant(&variants, request);
                if !guard.fill_bytes(variants.encode(), ttl).await {
                    return Err(NoCacheReason::Overtaken);
                }
                // Nobody knew this key before the record was there, and nobody finds it once the
                // record is gone.
                self.0.cache.guard(key).await
            }
            (None, Some((known, guard)))
                if vary.iter().all(|name| known.headers.contains(name)) =>
            {
                guard
            }
            // The record's guard was not held while the handler ran, so the page may be stale by
            // now. The record holds no page; with it the next request knows where to look.
            (None, known) => {
                let known = known.map(|(known, _)| known.headers).unwrap_or_default();
                let variants = Variants::new(vary.into_iter().chain(known));
                let guard = self.0.cache.guard(miss.key.0).await;
                guard.fill_bytes(variants.encode(), ttl).await;
                return Err(NoCacheReason::NewVary);
            }
        };
        let stored = guard.fill_bytes(entry, ttl).await;
        if stored { Ok(()) } else { Err(NoCacheReason::Overtaken) }
    }

    fn answer(&self, page: Page, method: &Method, request: &HeaderMap) -> Response<Bytes> {
        conditional::answer(page, method, request, self.0.cache.backend().now())
    }

    /// Sends a page, or what is said in its place.
    fn reply(
        &self,
        answer: Response<Bytes>,
        outcome: PageOutcome,
        why: &str,
    ) -> Response<PageBody> {
        self.mark(answer.map(|body| Either::Left(Full::new(body))), outcome, why)
    }

    /// Sends a handler's response untouched.
    fn pass(
        &self,
        response: Response<HandlerBody>,
        outcome: PageOutcome,
        why: &str,
    ) -> Response<PageBody> {
        self.mark(response.map(Either::Right), outcome, why)
    }

    /// Counts the outcome and writes it into `Cache-Status` (RFC 9211).
    fn mark(
        &self,
        mut response: Response<PageBody>,
        outcome: PageOutcome,
        why: &str,
    ) -> Response<PageBody> {
        self.0.counters.count(outcome);
        let status = match outcome {
            PageOutcome::Hit => Ok(HeaderValue::from_static("larder-pages; hit")),
            PageOutcome::Stored => format!("larder-pages; fwd={why}; stored").try_into(),
            PageOutcome::NotStored(reason) | PageOutcome::Bypassed(reason) => {
                format!("larder-pages; fwd={why}; detail={}", reason.name()).try_into()
            }
        };
        if let Ok(status) = status {
            response.headers_mut().append(CACHE_STATUS, status);
        }
        response.extensions_mut().insert(outcome);
        response
    }
}

impl PageKey {
    /// The key of the variant that `request`'s headers choose. A header that is absent differs
    /// from one that is empty, and one sent twice from one sent once.
    fn variant(&self, variants: &Variants, request: &HeaderMap) -> CacheKey {
        let mut key = self.0.clone().with("variant").with(&variants.nonce);
        for name in &variants.headers {
            let values: Vec<_> = request.get_all(name).iter().collect();
            key = key.with(name).with(values.len());
            for value in values {
                // Digests: a cookie's secret must not stand in a cache in the clear.
                key = key.with(hex::encode(Sha256::digest(value)));
            }
        }
        key
    }
}
