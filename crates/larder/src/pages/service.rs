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
            let (method, headers) = (parts.method.clone(), parts.headers.clone());
            let found = pages.find(&parts).await;
            if let Found::Page(page) = &found {
                return Ok(pages.reply(page, &method, &headers, PageOutcome::Hit, "hit"));
            }
            // A session layer outside this one marks the response only when it has left here.
            let session = Session::from_extensions(&parts.extensions);
            let request = Request::from_parts(parts, body);
            let response = inner.call(request).await?.map(HandlerBody::new);
            let found = match (found, session) {
                (Found::Miss(miss), Some(session)) if session.is_touched() => {
                    return Ok(pages.pass(
                        response,
                        PageOutcome::NotStored(NoCacheReason::Session),
                        miss.why,
                    ));
                }
                (found, _) => found,
            };
            Ok(pages.finish(found, &method, &headers, response).await)
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
        let key = self.key(&host, target);
        let unavailable = Found::Nothing(PageOutcome::NotStored(NoCacheReason::Unavailable));
        let tagged = self.cache.lookup_tagged(&key.0, &self.tags).await;
        let Some(versions) = tagged.versions else {
            return unavailable;
        };
        let mut miss = Miss { key, guard: None, variants: None, versions, why: "uri-miss" };
        match tagged.lookup {
            Lookup::Unavailable(_) => unavailable,
            Lookup::Miss(guard) => {
                miss.guard = Some(guard);
                Found::Miss(miss)
            }
            Lookup::Hit(bytes) => match Entry::decode(&bytes) {
                Some(Entry::Page(page)) if page.versions == miss.versions.to_string() => {
                    Found::Page(page)
                }
                Some(Entry::Variants(variants)) => {
                    self.find_variant(miss, variants, &request.headers).await
                }
                _ => {
                    miss.guard = Some(self.cache.guard(miss.key.0.clone()).await);
                    miss.why = "stale";
                    Found::Miss(miss)
                }
            },
        }
    }

    async fn find_variant(&self, mut miss: Miss, variants: Variants, request: &HeaderMap) -> Found {
        let key = miss.key.variant(&variants, request);
        let guard = match self.cache.lookup_bytes(key.clone()).await {
            Lookup::Unavailable(_) => {
                return Found::Nothing(PageOutcome::NotStored(NoCacheReason::Unavailable));
            }
            Lookup::Miss(guard) => {
                miss.why = "vary-miss";
                guard
            }
            Lookup::Hit(bytes) => match Entry::decode(&bytes) {
                Some(Entry::Page(page)) if page.versions == miss.versions.to_string() => {
                    return Found::Page(page);
                }
                _ => {
                    miss.why = "stale";
                    self.cache.guard(key).await
                }
            },
        };
        miss.variants = Some((variants, guard));
        Found::Miss(miss)
    }

    /// Stores the handler's response if it may be, and sends it.
    async fn finish(
        &self,
        found: Found,
        method: &Method,
        request: &HeaderMap,
        response: Response<HandlerBody>,
    ) -> Response<PageBody> {
        let miss = match found {
            Found::Miss(miss) if method == Method::GET => miss,
            Found::Miss(miss) => {
                let outcome = PageOutcome::NotStored(NoCacheReason::Head);
                return self.pass(response, outcome, miss.why);
            }
            Found::Nothing(outcome) => return self.pass(response, outcome, "bypass"),
            Found::Page(_) => unreachable!("a page that was found has been sent"),
        };
        let why = miss.why;
        let not = PageOutcome::NotStored;
        let (parts, body) = response.into_parts();
        let checked =
            may_store(&parts, self.ttl).and_then(|ttl| Ok((ttl, vary_names(&parts.headers)?)));
        let (ttl, vary) = match checked {
            Ok(checked) => checked,
            Err(reason) => {
                return self.pass(Response::from_parts(parts, body), not(reason), why);
            }
        };
        let body = match body.collect(self.max_body).await {
            Ok(body) => body,
            Err((body, reason)) => {
                return self.pass(Response::from_parts(parts, body), not(reason), why);
            }
        };
        let page = Page::new(parts.status, &parts.headers, body, miss.versions.to_string());
        let outcome = match self.store(miss, &page, vary, request, ttl).await {
            Ok(()) => PageOutcome::Stored,
            Err(reason) => not(reason),
        };
        let mut response = self.reply(&page, method, request, outcome, why);
        response.extensions_mut().extend(parts.extensions);
        response
    }

    async fn store(
        &self,
        miss: Miss,
        page: &Page,
        vary: Vec<String>,
        request: &HeaderMap,
        ttl: crate::Ttl,
    ) -> Result<(), NoCacheReason> {
        let bytes = Entry::Page(page.clone()).encode()?;
        let guard = match (miss.guard, miss.variants) {
            (Some(guard), _) if vary.is_empty() => guard,
            (_, Some((variants, guard)))
                if vary.iter().all(|name| variants.headers.contains(name)) =>
            {
                guard
            }
            // The page varies on more than was known: a new record, and so new keys.
            (guard, known) => {
                let guard = match guard {
                    Some(guard) => guard,
                    None => self.cache.guard(miss.key.0.clone()).await,
                };
                let mut headers = vary;
                headers.extend(known.into_iter().flat_map(|(variants, _)| variants.headers));
                headers.sort_unstable();
                headers.dedup();
                let variants = Variants { nonce: crate::random_hex::<8>(), headers };
                let key = miss.key.variant(&variants, request);
                let record = Entry::Variants(variants).encode()?;
                if !guard.fill_bytes(record, ttl).await {
                    return Err(NoCacheReason::Overtaken);
                }
                self.cache.guard(key).await
            }
        };
        match guard.fill_bytes(bytes, ttl).await {
            true => Ok(()),
            false => Err(NoCacheReason::Overtaken),
        }
    }

    /// Sends a page, as the request wants it.
    fn reply(
        &self,
        page: &Page,
        method: &Method,
        request: &HeaderMap,
        outcome: PageOutcome,
        why: &str,
    ) -> Response<PageBody> {
        let response = conditional::answer(page, method, request);
        self.mark(response.map(|body| Either::Left(Full::new(body))), outcome, why)
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
        self.counters.count(outcome);
        let status = match outcome {
            PageOutcome::Hit => "larder-pages; hit".to_owned(),
            PageOutcome::Stored => format!("larder-pages; fwd={why}; stored"),
            PageOutcome::NotStored(reason) | PageOutcome::Bypassed(reason) => {
                format!("larder-pages; fwd={why}; detail={}", reason.name())
            }
        };
        if let Ok(status) = HeaderValue::try_from(status) {
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
