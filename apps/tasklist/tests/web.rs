//! The pages and forms through the whole router, on an in-memory SQLite database.
//!
//! Every reply that is not a success must be a page of ours that says what was wrong.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use larder::Cache;
use tasklist::App;
use tasklist::config::Config;
use tasklist::db::Db;
use tasklist::web::{assets, router};
use tower::ServiceExt;

/// Room for every page of a test.
const CACHE_BYTES: usize = 16 << 20;

/// The app and its database.
struct Site {
    app: App,
}

impl Site {
    async fn new() -> Site {
        Site::with(&[]).await
    }

    /// A site whose configuration differs from the default one.
    async fn with(vars: &[(&str, &str)]) -> Site {
        let database = ("DATABASE_URL", "sqlite::memory:");
        let vars = vars.iter().chain([&database]).map(|(name, value)| (name.into(), value.into()));
        let config = Config::from_vars(vars).unwrap();
        let db = Db::connect(&config.database_url).await.unwrap();
        db.migrate().await.unwrap();
        let cache = Cache::in_process(CACHE_BYTES);
        Site { app: App::new(Arc::new(config), db, cache).unwrap() }
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        let response = router(self.app.clone()).oneshot(request).await.unwrap();
        Reply::read(response).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(request("GET", path).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> Reply {
        let form = "application/x-www-form-urlencoded";
        let request = request("POST", path).header(header::CONTENT_TYPE, form);
        self.send(request.body(body.into()).unwrap()).await
    }

    async fn post_from(&self, origin: &str, body: &'static str) -> Reply {
        let form = "application/x-www-form-urlencoded";
        let request = request("POST", "/add").header(header::CONTENT_TYPE, form);
        self.send(request.header(header::ORIGIN, origin).body(body.into()).unwrap()).await
    }
}

fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header(header::HOST, "localhost:8000")
}

/// A reply, read to its end.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: http::HeaderMap,
    text: String,
}

impl Reply {
    async fn read(response: Response) -> Reply {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Reply { status: parts.status, headers: parts.headers, text }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn cache_status(&self) -> impl Iterator<Item = &str> {
        self.headers.get_all("cache-status").iter().map(|value| value.to_str().unwrap())
    }

    /// Checks that this is an error page of ours.
    fn is_error_page(&self, status: u16, says: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(self.header("cache-control"), "no-store");
        assert!(self.text.contains(&format!("Error {status}")), "{}", self.text);
        assert!(self.text.contains(says), "{says:?} is not in {}", self.text);
        assert!(self.text.contains(r#"<a href="/">"#), "{}", self.text);
    }
}

#[tokio::test]
async fn the_story() {
    let site = Site::new().await;
    assert!(site.get("/").await.text.contains("Nothing on the shelf"));
    let added = site.post("/add", "name=Buy+%3Cb%3Eflour%3C%2Fb%3E+%26+eggs").await;
    assert_eq!((added.status, added.header("location")), (StatusCode::SEE_OTHER, "/"));

    let list = site.get("/").await;
    assert_eq!(list.status, StatusCode::OK);
    assert_eq!(list.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(list.header("cache-control"), "no-cache");
    assert!(list.header("set-cookie").is_empty());
    assert!(list.text.contains("Buy &lt;b&gt;flour&lt;&#x2f;b&gt; &amp; eggs"), "{}", list.text);
    assert!(!list.text.contains("<b>"));

    let id = site.app.db.tasks().await.unwrap()[0].id;
    let removed = site.post("/remove", format!("id={id}")).await;
    assert_eq!((removed.status, removed.header("location")), (StatusCode::SEE_OTHER, "/"));
    let again = site.post("/remove", format!("id={id}")).await;
    again.is_error_page(404, &format!("There is no task with the id {id}"));
    assert!(site.get("/").await.text.contains("Nothing on the shelf"));
}

#[tokio::test]
async fn refused_forms_say_why_and_keep_what_was_typed() {
    let site = Site::new().await;
    let long = "x".repeat(201);
    for (path, body, status, says) in [
        ("/add", String::new(), 422, "lacks its field &quot;name&quot;"),
        ("/add", "name=++".into(), 422, "The name is empty."),
        ("/add", format!("name={long}"), 422, "The name has 201 characters; 200 is the most."),
        ("/add", "name=two%0Alines".into(), 422, "control character in it (U+000A)"),
        ("/add", "name=%ff".into(), 400, "not valid percent-encoded UTF-8"),
        ("/add", "name=a&name=b".into(), 422, "more than once"),
        ("/add", format!("name={}", "x".repeat(16 * 1024)), 413, "larger than 16 KiB"),
        ("/remove", String::new(), 422, "lacks its field &quot;id&quot;"),
        ("/remove", "id=one%3Cb%3E".into(), 422, "one&lt;b&gt;"),
        ("/remove", format!("id={}", "9".repeat(1000)), 422, "999…"),
        ("/remove", "id=1".into(), 404, "There is no task with the id 1"),
    ] {
        site.post(path, body).await.is_error_page(status, says);
    }
    let kept = site.post("/add", format!("name=%22%3E{long}")).await;
    assert!(kept.text.contains(&format!(r#"value="&quot;&gt;{long}""#)), "{}", kept.text);
    assert_eq!(site.app.db.task_count().await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_not_a_form() {
    let site = Site::new().await;
    let bare = request("POST", "/add").body(Body::from("name=a")).unwrap();
    site.send(bare).await.is_error_page(415, "no Content-Type");
    for kind in ["text/plain", "multipart/form-data; boundary=x", "application/json"] {
        let post = request("POST", "/add").header(header::CONTENT_TYPE, kind);
        let reply = site.send(post.body(Body::from("name=a")).unwrap()).await;
        reply.is_error_page(415, "application&#x2f;x-www-form-urlencoded");
    }
    let charset = "Application/X-WWW-Form-Urlencoded; charset=UTF-8";
    let post = request("POST", "/add").header(header::CONTENT_TYPE, charset);
    let reply = site.send(post.body(Body::from("name=a")).unwrap()).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn no_such_page_and_wrong_methods() {
    let site = Site::new().await;
    site.get("/nowhere").await.is_error_page(404, "Nothing is at this address.");
    site.get("/static/other.css").await.is_error_page(404, "Nothing is at this address.");
    let get = site.get("/add").await;
    get.is_error_page(405, "does not take GET requests");
    assert_eq!(get.header("allow"), "POST");
    site.post("/", "").await.is_error_page(405, "does not take POST requests");
}

#[tokio::test]
async fn posts_from_other_sites_are_refused() {
    let site = Site::new().await;
    for (name, value, status) in [
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "same-origin", 303),
        ("origin", "http://localhost:8000", 303),
    ] {
        let post = request("POST", "/add")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(name, value);
        let reply = site.send(post.body(Body::from("name=a")).unwrap()).await;
        assert_eq!(reply.status, status, "{name}: {value}");
        if status == 403 {
            reply.is_error_page(403, "not part of this site");
        }
    }
    assert_eq!(site.app.db.task_count().await.unwrap(), 2);
}

#[tokio::test]
async fn hosts_are_checked() {
    let site = Site::new().await;
    let with = async |host: &str| {
        let request = Request::builder().uri("/").header(header::HOST, host);
        site.send(request.body(Body::empty()).unwrap()).await
    };
    assert_eq!(with("127.0.0.1:9").await.status, StatusCode::OK);
    let other = with("Evil.example").await;
    other.is_error_page(400, "add evil.example to the variable TASKLIST_ALLOWED_HOSTS");
    with("<script>").await.is_error_page(400, "Host header is not a host name");
    let bare = Request::builder().uri("/").body(Body::empty()).unwrap();
    site.send(bare).await.is_error_page(400, "has no Host header");
    // A health checker knows the machine's address only.
    let health = Request::builder().uri("/healthz").header(header::HOST, "10.1.2.3");
    let health = site.send(health.body(Body::empty()).unwrap()).await;
    assert_eq!((health.status, health.text.as_str()), (StatusCode::OK, "ok\n"));
}

#[tokio::test]
async fn a_dead_database_is_a_page_without_details() {
    let site = Site::new().await;
    site.app.db.close().await;
    let reply = site.get("/").await;
    reply.is_error_page(500, "Something went wrong on our side");
    for word in ["pool", "Pool", "sqlx", "sqlite"] {
        assert!(!reply.text.contains(word), "{word}");
    }
    assert_eq!(site.get("/healthz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(site.get(&assets::style_path()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_stylesheet_is_kept_under_its_own_name_only() {
    let site = Site::new().await;
    let path = assets::style_path();
    assert!(site.get("/").await.text.contains(&format!(r#"href="{path}""#)));
    let style = site.get(&path).await;
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    assert_eq!(style.header("cache-control"), "public, max-age=31536000, immutable");
    let older = site.get("/static/style.0123456789abcdef.css").await;
    assert_eq!((older.text == style.text, older.header("cache-control")), (true, "no-cache"));
}

#[tokio::test]
async fn security_headers_are_on_every_reply() {
    let site = Site::new().await;
    for path in ["/", "/nowhere", "/healthz", &assets::style_path()] {
        let reply = site.get(path).await;
        assert!(reply.header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("referrer-policy"), "same-origin", "{path}");
        assert!(!reply.text.contains("<script"), "{path}");
        assert!(!reply.text.contains(" style=") && !reply.text.contains("<style"), "{path}");
    }
}

#[tokio::test]
async fn nothing_outside_is_loaded() {
    for (name, source) in tasklist::web::templates::SOURCES {
        // The name of the SVG namespace; nothing is fetched from there.
        let source = source.replace("http://www.w3.org/2000/svg", "");
        assert!(!source.contains("http:") && !source.contains("https:"), "{name}");
        assert!(!source.contains("|safe") && !source.contains("autoescape"), "{name}");
    }
    assert!(!assets::STYLE.contains("url(") && !assets::STYLE.contains("@import"));
}

#[tokio::test]
async fn every_reply_says_what_the_caches_did() {
    let site = Site::new().await;
    let replies = [
        site.get("/").await,
        site.get("/me").await,
        site.get("/caches").await,
        site.get("/nowhere").await,
        site.get("/healthz").await,
        site.get(&assets::style_path()).await,
        site.post("/add", "name=a").await,
        site.post("/add", "name=").await,
        site.post("/remove", "id=1").await,
        site.send(request("GET", "/add").body(Body::empty()).unwrap()).await,
        site.send(Request::get("/").body(Body::empty()).unwrap()).await,
        site.post_from("https://evil.example", "name=a").await,
    ];
    for reply in replies {
        assert!(reply.header("server-timing").starts_with("cache;desc="), "{reply:?}");
        let own = reply.cache_status().find(|status| status.starts_with("tasklist; gets="));
        assert!(own.is_some_and(|own| own.contains("; queries=")), "{reply:?}");
    }
}

#[tokio::test]
async fn the_list_is_kept_for_all_and_belongs_to_nobody() {
    let site = Site::new().await;
    site.post("/add", "name=a").await;
    let first = site.get("/").await;
    assert_eq!(first.cache_status().next(), Some("larder-pages; fwd=uri-miss; stored"));
    let me = site.get("/me").await;
    let session = me.header("set-cookie").split(';').next().unwrap();
    for cookie in [session, "session=made-up", "theme=dark; lang=de"] {
        let request = request("GET", "/").header(header::COOKIE, cookie);
        let page = site.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(page.cache_status().next(), Some("larder-pages; hit"), "{cookie}");
        assert_eq!((&page.text, page.header("etag")), (&first.text, first.header("etag")));
        assert!(!page.headers.contains_key("set-cookie") && !page.headers.contains_key("vary"));
    }
}

#[tokio::test]
async fn a_visitors_own_page_is_kept_nowhere() {
    let site = Site::new().await;
    let first = site.get("/me").await;
    let cookie = first.header("set-cookie").to_owned();
    for word in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    let session = cookie.split(';').next().unwrap();
    for visits in 2..5 {
        let request = request("GET", "/me").header(header::COOKIE, session);
        let page = site.send(request.body(Body::empty()).unwrap()).await;
        assert!(page.text.contains(&format!("<dd>{visits}</dd>")), "{}", page.text);
        assert_eq!(page.header("cache-control"), "private, no-store");
        assert!(page.cache_status().all(|status| !status.starts_with("larder-pages")));
    }
    assert_eq!(site.get("/caches").await.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_browser_that_has_the_list_is_told_so_until_it_changes() {
    let site = Site::new().await;
    let etag = site.get("/").await.header("etag").to_owned();
    let known = async || {
        let request = request("GET", "/").header(header::IF_NONE_MATCH, &etag);
        site.send(request.body(Body::empty()).unwrap()).await
    };
    let reply = known().await;
    assert_eq!((reply.status, reply.header("etag")), (StatusCode::NOT_MODIFIED, &*etag));
    assert_eq!((reply.header("cache-control"), &*reply.text), ("no-cache", ""));
    site.post("/add", "name=a").await;
    let changed = known().await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_ne!(changed.header("etag"), etag);
}

#[tokio::test]
async fn head_is_the_page_without_its_body() {
    for switch in ["on", "off"] {
        let site = Site::with(&[("TASKLIST_PAGE_CACHE", switch)]).await;
        let head = async || site.send(request("HEAD", "/").body(Body::empty()).unwrap()).await;
        let before = head().await;
        assert_eq!((before.status, &*before.text), (StatusCode::OK, ""));
        let page = site.get("/").await;
        let after = head().await;
        assert_eq!((after.status, &*after.text), (StatusCode::OK, ""));
        for name in ["content-type", "content-length", "etag", "cache-control"] {
            assert_eq!(after.header(name), page.header(name), "{name}, page cache {switch}");
        }
    }
}

#[tokio::test]
async fn the_settings_in_force_are_shown() {
    let site = Site::with(&[
        ("TASKLIST_QUERY_CACHE", "expiration"),
        ("TASKLIST_QUERY_TTL", "90s"),
        ("TASKLIST_PAGE_CACHE", "off"),
    ])
    .await;
    let page = site.get("/caches").await.text;
    for setting in ["<dd>expiration</dd>", "<dd>90s</dd>", "<dd>off</dd>"] {
        assert!(page.contains(setting), "{setting}: {page}");
    }
}
