//! The tower layer: a [`Session`] into each request, its cookie onto the response.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use tower_layer::Layer;
use tower_service::Service;

use super::cookie::{CookieStyle, InvalidCookieName, Secure, came_by_tls, cookies};
use super::engine::SessionEngine;
use super::failures::Failures;
use super::session::{CookieChange, Session};
use crate::store::Clock;

/// How long a session lives after its last use: 14 days.
pub const DEFAULT_TTL: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// A session that is only read is renewed when this part of its TTL has passed.
const RENEW_AFTER: u32 = 10;

/// `Cache-Control` of a response whose handler looked into the session. `Vary: Cookie` is not enough:
/// a shared cache would show the page to the same cookie after it was signed out. The visitor's own
/// browser may go back to it, but asks before it shows it anew.
const LOOKED: &str = "private, no-cache";

/// `Cache-Control` of a response with a session's cookie, which nobody is to keep.
const SETS_COOKIE: &str = "private, no-store";

/// What the visitor is told when their changes could not be saved.
const NOT_SAVED: &[u8] = b"Your changes could not be saved. Please try again in a moment.\n";

/// The body of a response that passed the layer: its own, or the notice that nothing was saved.
pub type SessionBody<B> = Either<Full<Bytes>, B>;

/// Gives every request its visitor's [`Session`], as an extension.
///
/// ```
/// # use larder::{Cache, sessions::{SessionEngine, SessionLayer}};
/// # fn example(cache: Cache) {
/// let layer = SessionLayer::new(SessionEngine::Cache(cache)); // Router::layer(layer)
/// # let _ = layer; }
/// ```
#[derive(Clone, Debug)]
pub struct SessionLayer(Settings);

/// What a layer and the sessions of its requests share.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) engine: SessionEngine,
    pub(super) cookie: CookieStyle,
    ttl: Duration,
    clock: Clock,
    failures: Arc<Failures>,
}

impl SessionLayer {
    /// Sessions kept by `engine` for [`DEFAULT_TTL`], in a cookie called `session`.
    #[must_use]
    pub fn new(engine: SessionEngine) -> Self {
        let cookie = CookieStyle { name: "session".to_owned(), secure: Secure::default() };
        let (clock, failures) = (Clock::system(), Arc::new(Failures::new()));
        Self(Settings { engine, cookie, ttl: DEFAULT_TTL, clock, failures })
    }

    /// How long a session lives after its last use, in whole seconds.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.0.ttl = ttl;
        self
    }

    /// Whether browsers send the cookie over TLS only (default
    /// [`Secure::FromForwardedProto`]).
    #[must_use]
    pub fn secure(mut self, secure: Secure) -> Self {
        self.0.cookie.secure = secure;
        self
    }

    /// The cookie's name. With the prefix `__Host-` or `__Secure-` it is always secure.
    ///
    /// # Errors
    /// If `name` is empty or has anything but ASCII letters, digits, `-` and `_`.
    pub fn cookie_name(mut self, name: &str) -> Result<Self, InvalidCookieName> {
        self.0.cookie = self.0.cookie.named(name)?;
        Ok(self)
    }

    /// Where the time is read (default: the system's).
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.0.clock = clock;
        self
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService { settings: Arc::new(self.0.clone()), inner }
    }
}

/// A service whose requests have sessions: see [`SessionLayer`].
#[derive(Clone, Debug)]
pub struct SessionService<S> {
    settings: Arc<Settings>,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for SessionService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send,
    R: Send,
{
    type Response = Response<SessionBody<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let settings = self.settings.clone();
        let tls = came_by_tls(request.headers(), request.uri());
        let session = Session::new(settings.clone(), cookies(request.headers()));
        request.extensions_mut().insert(session.clone());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            Ok(settings.finish(&session, tls, response).await)
        })
    }
}

impl Settings {
    pub(super) fn now_ms(&self) -> i64 {
        i64::try_from(self.clock.now_ms()).unwrap_or(i64::MAX)
    }

    /// When a session that is used now ends.
    pub(super) fn end(&self, now_ms: i64) -> i64 {
        now_ms.saturating_add(i64::try_from(self.ttl.as_millis()).unwrap_or(i64::MAX))
    }

    /// Whether a session that ends at `expires_ms` is to be renewed.
    pub(super) fn is_due(&self, expires_ms: i64, now_ms: i64) -> bool {
        let part = i64::try_from((self.ttl / RENEW_AFTER).as_millis()).unwrap_or(i64::MAX);
        self.end(now_ms).saturating_sub(expires_ms) > part
    }

    /// Saves what the handler changed, and says on the response what caches and the browser are to
    /// know.
    async fn finish<B>(
        &self,
        session: &Session,
        tls: bool,
        mut response: Response<B>,
    ) -> Response<SessionBody<B>> {
        if !session.is_touched() {
            return response.map(Either::Right);
        }
        if !response.status().is_server_error()
            && let Err(error) = session.save().await
        {
            self.failures.report(&error, self.now_ms());
            return not_saved();
        }
        let headers = response.headers_mut();
        vary_by_cookie(headers);
        let id = match session.cookie().await {
            CookieChange::None => {
                keep_private(headers, LOOKED);
                return response.map(Either::Right);
            }
            CookieChange::Set(id) => Some(id),
            CookieChange::Expire => None,
        };
        headers.append(SET_COOKIE, self.cookie.header(id.as_ref(), self.ttl, tls));
        keep_private(headers, SETS_COOKIE);
        response.map(Either::Right)
    }
}

fn not_saved<B>() -> Response<SessionBody<B>> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from_static(NOT_SAVED))));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

fn vary_by_cookie(headers: &mut HeaderMap) {
    if !lists(headers, VARY, &["cookie", "*"]) {
        headers.append(VARY, HeaderValue::from_static("Cookie"));
    }
}

/// Keeps shared caches off a response, whatever the handler thought. One that says itself that it is
/// private, and how the browser may keep it, is left alone.
fn keep_private(headers: &mut HeaderMap, otherwise: &'static str) {
    if !lists(headers, CACHE_CONTROL, &["no-store", "private"]) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(otherwise));
    }
}

/// Whether a header's comma-separated values have one of `words`.
fn lists(headers: &HeaderMap, name: http::HeaderName, words: &[&str]) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| words.iter().any(|word| item.trim().eq_ignore_ascii_case(word)))
}
