//! Whole pages: what is shared, what never is, and what makes it stale.

#[macro_use]
mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use larder::pages::{NoCacheReason, PageCache, PageOutcome, PageService};
use larder::sessions::{Session, SessionEngine, SessionLayer};
use larder::{Activity, Cache, Ttl};
use support::{Kind, Rig, dead_cache};
use tower::{Layer, Service, ServiceExt};

over_every_backend!(
    a_page_is_rendered_once,
    every_variant_has_its_own_entry,
    a_tag_makes_every_page_stale,
    a_path_can_be_invalidated,
    a_page_overtaken_by_a_change_is_not_stored,
    a_cached_page_costs_two_gets,
);

/// An app that counts its renders and answers by the request's path.
type App = PageService<Handler>;

#[derive(Clone)]
struct Handler {
    renders: Arc<AtomicUsize>,
    respond: fn(&Request<()>, usize) -> Response<Full<Bytes>>,
}

impl Service<Request<()>> for Handler {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let render = self.renders.fetch_add(1, Ordering::SeqCst) + 1;
        std::future::ready(Ok((self.respond)(&request, render)))
    }
}

fn app(
    pages: &PageCache,
    respond: fn(&Request<()>, usize) -> Response<Full<Bytes>>,
) -> (App, Arc<AtomicUsize>) {
    let renders = Arc::new(AtomicUsize::new(0));
    (pages.layer().layer(Handler { renders: renders.clone(), respond }), renders)
}

fn plain(_: &Request<()>, render: usize) -> Response<Full<Bytes>> {
    html(format!("render {render}"), &[])
}

fn html(body: String, headers: &[(&str, &str)]) -> Response<Full<Bytes>> {
    let mut response = Response::builder().header("content-type", "text/html");
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::new(body.into())).unwrap()
}

fn get(path: &str) -> Request<()> {
    with(Method::GET, path, &[])
}

fn with(method: Method, path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost:8000");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

async fn ask(app: &App, request: Request<()>) -> (Response<()>, String) {
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, ()), String::from_utf8(body.to_vec()).unwrap())
}

fn outcome(response: &Response<()>) -> PageOutcome {
    *response.extensions().get::<PageOutcome>().unwrap()
}

async fn a_page_is_rendered_once(rig: Rig) {
    let pages = PageCache::new(rig.cache.clone()).ttl(Ttl::Never);
    let (app, renders) = app(&pages, plain);
    let (first, body) = ask(&app, get("/?page=1")).await;
    assert_eq!((outcome(&first), body.as_str()), (PageOutcome::Stored, "render 1"));
    assert_eq!(first.headers()["cache-status"], "larder-pages; fwd=uri-miss; stored");
    let (second, body) = ask(&app, get("/?page=1")).await;
    assert_eq!((outcome(&second), body.as_str()), (PageOutcome::Hit, "render 1"));
    assert_eq!(second.headers()["cache-status"], "larder-pages; hit");
    assert_eq!(second.headers()["content-type"], "text/html");
    // Kept for ever here, but a browser must ask each time.
    assert_eq!(second.headers()["cache-control"], "no-cache");

    let etag = second.headers()["etag"].to_str().unwrap();
    let known = [("if-none-match", etag)];
    let (third, body) = ask(&app, with(Method::GET, "/?page=1", &known)).await;
    assert_eq!((third.status(), body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    let (head, body) = ask(&app, with(Method::HEAD, "/?page=1", &[])).await;
    assert_eq!((outcome(&head), body.as_str()), (PageOutcome::Hit, ""));
    assert_eq!(head.headers()["content-length"], "8");
    assert_eq!(renders.load(Ordering::SeqCst), 1);

    let (_, body) = ask(&app, get("/?page=2")).await;
    assert_eq!(body, "render 2", "the query is part of the key");
    let mut elsewhere = get("/?page=1");
    elsewhere.headers_mut().insert("host", "127.0.0.1:8000".parse().unwrap());
    assert_eq!(ask(&app, elsewhere).await.1, "render 3", "and so is the host");
    let counts = pages.counts();
    assert_eq!((counts.hits, counts.stored), (3, 3));
}

async fn every_variant_has_its_own_entry(rig: Rig) {
    fn by_language(request: &Request<()>, render: usize) -> Response<Full<Bytes>> {
        let language = request.headers().get("accept-language");
        let language = language.map_or("none", |value| value.to_str().unwrap());
        html(format!("{language} {render}"), &[("vary", "Accept-Language")])
    }
    let pages = PageCache::new(rig.cache.clone()).tag("tasks");
    let (app, _) = app(&pages, by_language);
    let language = |value| with(Method::GET, "/", &[("accept-language", value)]);
    assert_eq!(ask(&app, language("de")).await.1, "de 1");
    assert_eq!(ask(&app, language("en")).await.1, "en 2");
    assert_eq!(ask(&app, get("/")).await.1, "none 3");
    assert_eq!(ask(&app, language("")).await.1, " 4", "empty is not absent");
    for (request, body) in
        [(language("de"), "de 1"), (language("en"), "en 2"), (get("/"), "none 3")]
    {
        let (response, found) = ask(&app, request).await;
        assert_eq!((outcome(&response), found.as_str()), (PageOutcome::Hit, body));
    }
    // Two header values that read the same when joined are still two.
    let twice = with(Method::GET, "/", &[("accept-language", "a"), ("accept-language", "b")]);
    assert_eq!(ask(&app, language("a, b")).await.1, "a, b 5");
    assert_eq!(ask(&app, twice).await.1, "a 6");
    // Invalidating the page forgets every variant.
    pages.invalidate_path("localhost:8000", "/").await;
    assert_eq!(ask(&app, language("de")).await.1, "de 7");
    assert_eq!(ask(&app, language("en")).await.1, "en 8");
    pages.invalidate_tag("tasks").await;
    assert_eq!(ask(&app, language("de")).await.1, "de 9");
    assert_eq!(ask(&app, language("de")).await.1, "de 9");
}

async fn a_tag_makes_every_page_stale(rig: Rig) {
    let pages = PageCache::new(rig.cache.clone()).tag("tasks");
    let (app, _) = app(&pages, plain);
    let other = PageCache::new(rig.another()).tag("tasks");
    assert_eq!(ask(&app, get("/a")).await.1, "render 1");
    assert_eq!(ask(&app, get("/b")).await.1, "render 2");
    other.invalidate_tag("users").await;
    assert_eq!(ask(&app, get("/a")).await.1, "render 1");
    other.invalidate_tag("tasks").await;
    let (response, body) = ask(&app, get("/a")).await;
    assert_eq!((outcome(&response), body.as_str()), (PageOutcome::Stored, "render 3"));
    assert_eq!(ask(&app, get("/b")).await.1, "render 4");
    assert_eq!(ask(&app, get("/a")).await.1, "render 3");
}

async fn a_path_can_be_invalidated(rig: Rig) {
    let pages = PageCache::new(rig.cache.clone());
    let (app, _) = app(&pages, plain);
    for path in ["/a", "/b", "/c"] {
        ask(&app, get(path)).await;
    }
    pages.invalidate_path("LOCALHOST:8000", "/a").await;
    let learned = pages.key_of(&get("/b")).unwrap();
    pages.invalidate(&learned).await;
    assert_eq!(ask(&app, get("/a")).await.1, "render 4");
    assert_eq!(ask(&app, get("/b")).await.1, "render 5");
    assert_eq!(ask(&app, get("/c")).await.1, "render 3");
}

async fn a_page_overtaken_by_a_change_is_not_stored(rig: Rig) {
    // The handler itself plays the other process that changes things while it renders.
    for by_tag in [true, false] {
        let cache = rig.cache.clone();
        let pages = PageCache::new(cache).tag("tasks");
        let (changing, other) = (Arc::new(AtomicUsize::new(0)), PageCache::new(rig.another()));
        let runs = changing.clone();
        let handler = tower::service_fn(move |_: Request<()>| {
            let (other, runs) = (other.clone(), runs.clone());
            async move {
                let run = runs.fetch_add(1, Ordering::SeqCst);
                if run == 0 && by_tag {
                    other.invalidate_tag("tasks").await;
                } else if run == 0 {
                    other.invalidate_path("localhost:8000", "/x").await;
                }
                Ok::<_, Infallible>(html(format!("run {run}"), &[]))
            }
        });
        let app = pages.layer().layer(handler);
        let mut bodies = Vec::new();
        for _ in 0..3 {
            let body = app.clone().oneshot(get("/x")).await.unwrap().into_body();
            let body = body.collect().await.unwrap().to_bytes();
            bodies.push(String::from_utf8(body.to_vec()).unwrap());
        }
        assert_eq!(bodies, ["run 0", "run 1", "run 1"], "by_tag: {by_tag}");
        pages.invalidate_path("localhost:8000", "/x").await;
    }
}

async fn a_cached_page_costs_two_gets(rig: Rig) {
    let pages = PageCache::new(rig.cache.clone()).tag("tasks");
    let (app, _) = app(&pages, plain);
    ask(&app, get("/")).await;
    let activity = Activity::new();
    activity.scope(ask(&app, get("/"))).await;
    let figures = activity.figures();
    let trips = u64::from(rig.kind != Kind::InProcess);
    assert_eq!((figures.gets, figures.hits, figures.sets), (2, 2, 0), "the page and its tag");
    assert_eq!(figures.round_trips, trips, "both in one round trip");
}

#[tokio::test]
async fn what_must_not_be_shared_is_not() {
    type Respond = fn(&Request<()>, usize) -> Response<Full<Bytes>>;
    let cookie: Respond = |_, n| html(n.to_string(), &[("set-cookie", "id=secret")]);
    let private: Respond = |_, n| html(n.to_string(), &[("cache-control", "private")]);
    let no_store: Respond = |_, n| html(n.to_string(), &[("cache-control", "no-store")]);
    let any: Respond = |_, n| html(n.to_string(), &[("vary", "*")]);
    let error: Respond = |_, n| {
        let mut response = html(n.to_string(), &[]);
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    };
    let large: Respond = |_, n| html(format!("{n}{}", "x".repeat(2000)), &[]);
    let authorization = with(Method::GET, "/", &[("authorization", "Bearer token")]);
    let range = with(Method::GET, "/", &[("range", "bytes=0-1")]);
    let two_hosts = with(Method::GET, "/", &[("host", "evil.example")]);
    let post = with(Method::POST, "/", &[]);
    let head = with(Method::HEAD, "/", &[]);
    let mut two_names = get("http://evil.example/");
    two_names.headers_mut().insert("host", "localhost:8000".parse().unwrap());
    use NoCacheReason as No;
    use PageOutcome::{Bypassed, NotStored};
    let cases: [(Respond, Request<()>, PageOutcome); 12] = [
        (cookie, get("/"), NotStored(No::SetCookie)),
        (private, get("/"), NotStored(No::CacheControl)),
        (no_store, get("/"), NotStored(No::CacheControl)),
        (any, get("/"), NotStored(No::Vary)),
        (error, get("/"), NotStored(No::Status)),
        (large, get("/"), NotStored(No::TooLarge)),
        (plain, authorization, Bypassed(No::Authorization)),
        (plain, range, Bypassed(No::Range)),
        (plain, two_hosts, Bypassed(No::Host)),
        (plain, two_names, Bypassed(No::Host)),
        (plain, post, Bypassed(No::Method)),
        (plain, head, NotStored(No::Head)),
    ];
    for (respond, request, expected) in cases {
        let pages = PageCache::new(Cache::in_process(1 << 20)).max_body(1000);
        let (app, renders) = app(&pages, respond);
        for _ in 0..2 {
            let mut again = Request::new(());
            *again.method_mut() = request.method().clone();
            *again.uri_mut() = request.uri().clone();
            *again.headers_mut() = request.headers().clone();
            let (response, body) = ask(&app, again).await;
            assert_eq!(outcome(&response), expected);
            assert!(!body.is_empty(), "nothing is lost on the way: {expected:?}");
        }
        assert_eq!(renders.load(Ordering::SeqCst), 2, "{expected:?}");
    }
}

#[tokio::test]
async fn a_page_that_varies_on_more_than_was_known_is_not_stored_unguarded() {
    let cache = Cache::in_process(1 << 20);
    let pages = PageCache::new(cache.clone());
    let other = PageCache::new(cache);
    let value = Arc::new(AtomicUsize::new(1));
    let handler = tower::service_fn({
        let (other, value) = (other.clone(), value.clone());
        move |request: Request<()>| {
            let (other, value) = (other.clone(), value.clone());
            async move {
                let read = value.load(Ordering::SeqCst);
                if !request.headers().contains_key("accept") {
                    return Ok::<_, Infallible>(html(
                        format!("value {read}"),
                        &[("vary", "accept")],
                    ));
                }
                if read == 1 {
                    // Somebody changes the value and says so while this one renders.
                    value.store(2, Ordering::SeqCst);
                    other.invalidate_path("localhost:8000", "/").await;
                }
                Ok(html(format!("value {read}"), &[("vary", "accept, cookie")]))
            }
        }
    });
    let ask = async |accept: Option<&str>| {
        let headers: Vec<_> = accept.map(|value| ("accept", value)).into_iter().collect();
        let app = pages.layer().layer(handler.clone());
        let response = app.oneshot(with(Method::GET, "/", &headers)).await.unwrap();
        let outcome = *response.extensions().get::<PageOutcome>().unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (outcome, String::from_utf8(body.to_vec()).unwrap())
    };
    assert_eq!(ask(None).await, (PageOutcome::Stored, "value 1".to_owned()));
    let (outcome, body) = ask(Some("a")).await;
    assert_eq!(
        (outcome, body.as_str()),
        (PageOutcome::NotStored(NoCacheReason::NewVary), "value 1")
    );
    assert_eq!(ask(Some("a")).await, (PageOutcome::Stored, "value 2".to_owned()));
    assert_eq!(ask(Some("a")).await, (PageOutcome::Hit, "value 2".to_owned()));
    assert_eq!(ask(Some("b")).await, (PageOutcome::Stored, "value 2".to_owned()));
    assert_eq!(ask(None).await, (PageOutcome::Stored, "value 2".to_owned()));
}

#[tokio::test]
async fn a_stream_is_not_held_back() {
    let pages = PageCache::new(Cache::in_process(1 << 20));
    let handler = tower::service_fn(async |_: Request<()>| {
        let first = http_body::Frame::data(Bytes::from_static(b"data: 1\n\n"));
        let chunks = Chunks(Some(first));
        Ok::<_, Infallible>(Response::new(chunks))
    });
    let response = pages.layer().layer(handler).oneshot(get("/events")).await.unwrap();
    let outcome = *response.extensions().get::<PageOutcome>().unwrap();
    assert_eq!(outcome, PageOutcome::NotStored(NoCacheReason::Stream));
    let first = response.into_body().frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "data: 1\n\n");
}

/// A body that gives one chunk and then never ends.
struct Chunks(Option<http_body::Frame<Bytes>>);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(frame) => std::task::Poll::Ready(Some(Ok(frame))),
            None => std::task::Poll::Pending,
        }
    }
}

#[tokio::test]
async fn a_response_may_set_its_own_life() {
    let clock = larder::store::Clock::manual(1_800_000_000_000);
    let mut config = larder::store::Config::new(1 << 20);
    config.clock = clock.clone();
    let cache = Cache::builder(larder::Backend::store(config)).build().unwrap();
    let pages = PageCache::new(cache).ttl(Ttl::secs(100));
    let (short, _) = app(&pages, |_, n| html(n.to_string(), &[("cache-control", "max-age=10")]));
    let (long, _) = app(&pages, plain);
    ask(&short, get("/short")).await;
    ask(&long, get("/long")).await;
    clock.advance(std::time::Duration::from_secs(11));
    assert_eq!(ask(&short, get("/short")).await.1, "2");
    assert_eq!(ask(&long, get("/long")).await.1, "render 1");
}

#[tokio::test]
async fn a_dead_cache_still_serves_every_page() {
    let pages = PageCache::new(dead_cache()).tag("tasks");
    let (app, _) = app(&pages, plain);
    for n in 1..=3 {
        let (response, body) = ask(&app, get("/")).await;
        assert_eq!(outcome(&response), PageOutcome::NotStored(NoCacheReason::Unavailable));
        assert_eq!(body, format!("render {n}"));
    }
}

#[tokio::test]
async fn a_page_that_looked_into_a_session_is_not_shared() {
    let cache = Cache::in_process(1 << 20);
    let handler = tower::service_fn(async |request: Request<()>| {
        let session = Session::from_extensions(request.extensions()).expect("a session layer");
        let visits = session.update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1).await;
        Ok::<_, Infallible>(html(format!("visit {}", visits.expect("a session")), &[]))
    });
    // Either may be the outer layer, and the outer one alone sees the whole response.
    for sessions_outside in [true, false] {
        let pages = PageCache::new(cache.clone());
        let sessions = SessionLayer::new(SessionEngine::Cache(cache.clone()));
        for _ in 0..2 {
            let outcome = if sessions_outside {
                let app = sessions.layer(pages.layer().layer(handler));
                let response = app.oneshot(get("/me")).await.expect("an answer");
                assert!(response.headers().contains_key("set-cookie"));
                *response.extensions().get::<PageOutcome>().expect("an outcome")
            } else {
                let app = pages.layer().layer(sessions.layer(handler));
                let response = app.oneshot(get("/me")).await.expect("an answer");
                assert!(response.headers().contains_key("set-cookie"));
                *response.extensions().get::<PageOutcome>().expect("an outcome")
            };
            let reason =
                if sessions_outside { NoCacheReason::Session } else { NoCacheReason::SetCookie };
            assert_eq!(outcome, PageOutcome::NotStored(reason));
        }
    }
}
