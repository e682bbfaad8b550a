//! What every request passes: hosts, origins, headers, sizes, throttles; and garbage.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::common::{As, Site, by, request};
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Method, Request, header};
use larder_console::{ConsoleSettings, routes};
use proptest::prelude::*;
use serde_json::json;

const ME: &str = "/api/v1/me";

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let site = Site::new().await;
    let operator = &site.everybody.operator;
    let paths =
        ["/", "/sign-in", "/none", "/healthz", "/metrics", ME, "/api/v1/none", "/static/none"];
    for path in paths {
        for who in [&As::Nobody, operator] {
            let answer = site.get(who, path).await;
            let of = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap());
            let csp = of("content-security-policy").unwrap();
            for part in ["default-src 'none'", "frame-ancestors 'none'", "script-src 'self'"] {
                assert!(csp.contains(part), "{path}: {csp}");
            }
            assert!(!csp.contains("unsafe"), "{csp}");
            assert_eq!(of("x-content-type-options"), Some("nosniff"), "{path}");
            assert_eq!(of("x-frame-options"), Some("DENY"), "{path}");
            assert_eq!(of("referrer-policy"), Some("same-origin"), "{path}");
            assert_eq!(of("cross-origin-opener-policy"), Some("same-origin"), "{path}");
            assert_eq!(of("cross-origin-resource-policy"), Some("same-origin"), "{path}");
            if path.starts_with("/api/") {
                assert_eq!(of("cache-control"), Some("private, no-store"), "{path}");
            }
        }
    }
}

#[tokio::test]
async fn nobody_is_sent_to_sign_in_by_pages_and_told_so_by_the_api() {
    let site = Site::new().await;
    let api = site.get(&As::Nobody, ME).await.is(401);
    assert_eq!(api.headers[header::WWW_AUTHENTICATE], "Bearer");
    let page = site.get(&As::Nobody, "/tenants/shop").await.is(303);
    assert_eq!(page.headers[header::LOCATION], "/sign-in?next=%2Ftenants%2Fshop");
}

#[tokio::test]
async fn other_peoples_host_names_are_turned_away() {
    let site = Site::new().await;
    let ask = async |host: Option<&str>, path: &str| {
        let mut request = request(&site.everybody.operator, Method::GET, path);
        request.headers_mut().remove(header::HOST);
        if let Some(host) = host {
            request.headers_mut().insert(header::HOST, host.parse().unwrap());
        }
        site.send(request).await
    };
    for host in ["localhost", "127.0.0.1:8001", "[::1]:8001", "10.0.0.5"] {
        ask(Some(host), ME).await.is(200);
    }
    for host in [None, Some("evil.example"), Some("localhost.evil.example"), Some("a b")] {
        let answer = ask(host, ME).await.is(421);
        assert_eq!(answer.code(), "host");
        // Health checkers come by any name.
        ask(host, "/healthz").await.is(200);
    }
    let public_url = Some("https://cache.example.org".to_owned());
    let site = Site::with(ConsoleSettings { public_url, ..ConsoleSettings::default() }).await;
    let mut request = request(&site.everybody.operator, Method::GET, ME);
    request.headers_mut().insert(header::HOST, "cache.example.org".parse().unwrap());
    site.send(request).await.is(200);
}

#[tokio::test]
async fn other_sites_cannot_make_a_browser_change_anything() {
    let site = Site::new().await;
    let As::Basic(user, password) = &site.everybody.admin else { unreachable!() };
    let session = site.sign_in(user, password).await.unwrap();
    let post = async |who: &As, headers: &[(&str, &str)]| {
        let mut request = request(who, Method::POST, "/api/v1/tenants/shop/flush");
        for (name, value) in headers {
            let name: header::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        site.send(request).await
    };
    for headers in [
        &[("sec-fetch-site", "same-origin")][..],
        &[("origin", "http://localhost:8001")],
        // No browser.
        &[],
    ] {
        post(&session, headers).await.is(200);
    }
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site"), ("origin", "http://localhost:9999")],
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://localhost:9999")],
        &[("origin", "https://localhost.evil.example")],
    ] {
        // However it authenticates: a browser may know a password, too.
        for who in [&session, &site.everybody.admin, &site.everybody.operator] {
            assert_eq!(post(who, headers).await.is(403).code(), "cross_site", "{headers:?}");
        }
    }
    // A form of another site cannot send JSON.
    let mut form = request(&session, Method::POST, "/api/v1/tenants/shop/credentials");
    form.headers_mut().insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
    *form.body_mut() = Body::from("{}");
    site.send(form).await.is(415);
    // Nor does it sign anybody in.
    let mut sign_in = request(&As::Nobody, Method::POST, "/api/v1/sessions");
    sign_in.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
    site.send(sign_in).await.is(403);
}

#[tokio::test]
async fn the_public_url_is_our_origin_behind_a_proxy() {
    let public_url = Some("https://cache.example.org/".to_owned());
    let site = Site::with(ConsoleSettings { public_url, ..ConsoleSettings::default() }).await;
    let As::Basic(user, password) = &site.everybody.admin else { unreachable!() };
    let body = json!({ "user": user, "password": password });
    let answer = site.post(&As::Nobody, "/api/v1/sessions", body).await.is(201);
    let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("__Host-larder="), "{cookie}");
    for part in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let mut request = request(&As::Nobody, Method::POST, "/api/v1/tenants/shop/flush");
    let pair = cookie.split(';').next().unwrap();
    request.headers_mut().insert(header::COOKIE, pair.parse().unwrap());
    request.headers_mut().insert(header::ORIGIN, "https://cache.example.org".parse().unwrap());
    site.send(request).await.is(200);
}

/// Somebody who guesses.
fn guess(n: u8) -> As {
    As::Basic(format!("guess-{n}"), "wrong".to_owned())
}

/// Does it all again for as long as the machine was too busy for it to show anything.
async fn when_quick(shown: impl AsyncFn() -> Option<()>) {
    for _ in 0..60 {
        if shown().await.is_some() {
            return;
        }
    }
    panic!("this machine is never quick");
}

/// Whether who guessed once too often at `last` has to wait still: it is a second at first.
fn must_wait(last: Instant) -> Option<()> {
    (last.elapsed() < Duration::from_secs(1)).then_some(())
}

#[tokio::test]
async fn guessing_passwords_is_slowed_down_and_tells_nothing() {
    when_quick(async || {
        let site = Site::new().await;
        let As::Basic(user, password) = &site.everybody.admin else { unreachable!() };
        // A user who is there and one who is not are refused in the same words.
        let wrong = site.sign_in(user, "wrong").await.unwrap_err().is(401);
        let unknown = site.sign_in("nobody-here", "wrong").await.unwrap_err().is(401);
        assert_eq!((wrong.headers, wrong.body), (unknown.headers, unknown.body));
        assert!(wrong.status == unknown.status);
        for _ in 0..3 {
            site.sign_in(user, "wrong").await.unwrap_err().is(401);
        }
        let last = Instant::now();
        site.get(&As::Basic(user.clone(), "wrong".to_owned()), ME).await.is(401);
        let signed_in = site.sign_in(user, password).await;
        // The same for those who come by HTTP Basic.
        let asked = site.get(&site.everybody.admin, ME).await;
        must_wait(last)?;
        let slowed = signed_in.unwrap_err().is(429);
        assert!(slowed.headers.contains_key(header::RETRY_AFTER));
        assert_eq!(slowed.code(), "too_many");
        asked.is(429);
        // Others are not held up yet, but that address would be soon.
        let As::Basic(other, password) = &site.everybody.reader else { unreachable!() };
        site.sign_in(other, password).await.unwrap();
        let mut last = Instant::now();
        for n in 0..4 {
            last = Instant::now();
            site.get(&guess(n), ME).await.is(401);
        }
        let signed_in = site.sign_in(other, password).await;
        must_wait(last)?;
        signed_in.unwrap_err().is(429);
        // A session or a token is no guess.
        site.get(&site.everybody.operator, ME).await.is(200);
        Some(())
    })
    .await;
}

#[tokio::test]
async fn strangers_lock_out_neither_those_behind_the_same_proxy_nor_who_has_a_link() {
    when_quick(strangers_lock_out_nobody).await;
}

async fn strangers_lock_out_nobody() -> Option<()> {
    let public_url = Some("https://cache.example.org".to_owned());
    let site = Site::with(ConsoleSettings { public_url, ..ConsoleSettings::default() }).await;
    let As::Basic(user, password) = &site.everybody.admin else { unreachable!() };
    let came = |peer: [u8; 4], forwarded: &str, mut request: Request<Body>| {
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((peer, 4711))));
        request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
        site.send(request)
    };
    let sign_in = async |peer: [u8; 4], forwarded: &str| {
        let mut request = request(&As::Nobody, Method::POST, "/api/v1/sessions");
        let kind = "application/json".parse().unwrap();
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        *request.body_mut() = Body::from(json!({ "user": user, "password": password }).to_string());
        came(peer, forwarded, request).await
    };
    const PROXY: [u8; 4] = [127, 0, 0, 1];
    let mut last = Instant::now();
    for n in 0..10 {
        last = Instant::now();
        // Whatever the client says before the proxy adds where it comes from.
        let forwarded = format!("10.0.0.{n}, 203.0.113.9");
        came(PROXY, &forwarded, request(&guess(n), Method::GET, ME)).await.is(401);
    }
    let slowed = sign_in(PROXY, "203.0.113.9").await;
    must_wait(last)?;
    slowed.is(429);
    sign_in(PROXY, "203.0.113.10").await.is(201);
    let log = site.accounts.audit(None, None, 1).await.unwrap();
    assert_eq!((&*log[0].action, &*log[0].from), ("session.begin", "203.0.113.10"));
    // Nobody else is believed.
    const STRANGER: [u8; 4] = [192, 0, 2, 8];
    for n in 0..10 {
        last = Instant::now();
        let forwarded = format!("10.0.1.{n}");
        came(STRANGER, &forwarded, request(&guess(n), Method::GET, ME)).await.is(401);
    }
    let slowed = sign_in(STRANGER, "10.0.1.99").await;
    must_wait(last)?;
    slowed.is(429);

    // A link gets in from wherever it is opened.
    let link = site.accounts.new_sign_in_link(&by(), "operator").await.unwrap();
    let redeem = async |token: &str| {
        let request = request(&As::Nobody, Method::POST, &format!("/sign-in/{token}"));
        came(STRANGER, "10.0.1.99", request).await
    };
    for n in 0..20 {
        redeem(&format!("{n:064x}")).await.is(401);
    }
    redeem(&link.token).await.is(303);
    redeem(&link.token).await.is(401);
    Some(())
}

#[tokio::test]
async fn what_is_too_large_or_no_json_is_refused() {
    let site = Site::new().await;
    let send = async |kind: &str, body: Vec<u8>| {
        let mut request = request(&site.everybody.operator, Method::POST, "/api/v1/tenants");
        request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
        *request.body_mut() = Body::from(body);
        site.send(request).await
    };
    send("application/json", vec![b' '; 64 * 1024 + 1]).await.is(413);
    let deep = "[".repeat(60_000);
    for body in ["", "{", "null", "\"x\"", "{\"name\":\"a\",\"name\":\"b\"}", "\u{feff}{}", &deep] {
        send("application/json", body.into()).await.is(400);
    }
    send("application/json", vec![0xff, 0xfe]).await.is(400);
    send("application/json; charset=utf-8", b"{}".to_vec()).await.is(400);
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        send(kind, b"{}".to_vec()).await.is(415);
    }
}

#[tokio::test]
async fn wrong_methods_and_paths_are_named() {
    let site = Site::new().await;
    let operator = &site.everybody.operator;
    let answer = site.post(operator, ME, json!({})).await.is(405);
    assert_eq!(answer.code(), "method");
    assert!(answer.headers[header::ALLOW].to_str().unwrap().contains("GET"));
    assert_eq!(site.get(operator, "/api/v1/none").await.is(404).code(), "not_found");
    for path in ["/api/v1/tenants/%ff", "/api/v1/tenants/shop/alerts/%ff"] {
        site.get(&As::Nobody, path).await.is(401);
    }
    assert_eq!(site.get(operator, "/api/v1/tenants/%ff").await.is(404).code(), "not_found");
    for garbled in ["Basic", "Bearer", "Basic !!!", "Digest x", "Bearer lrd_none"] {
        let mut request = request(&As::Nobody, Method::GET, ME);
        request.headers_mut().insert(header::AUTHORIZATION, garbled.parse().unwrap());
        site.send(request).await.is(401);
    }
    let mut two = request(operator, Method::GET, ME);
    two.headers_mut().append(header::AUTHORIZATION, "Bearer x".parse().unwrap());
    site.send(two).await.is(400);
}

/// Whatever is sent by whoever, it is no fault of ours.
#[test]
fn garbage_is_never_our_fault() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let site = runtime.block_on(Site::new());
    let rows = routes();
    let piece = prop_oneof![
        Just("shop".to_owned()),
        Just("0".to_owned()),
        "[ -~]{0,12}".prop_map(|text| text.replace(['/', '?', '#', ' '], "%")),
        "%[0-9a-fA-F]{2}",
        "\\PC{0,6}".prop_map(|text| text.bytes().map(|byte| format!("%{byte:02x}")).collect()),
    ];
    let json = prop_oneof![
        any::<Vec<u8>>(),
        "[ -~]{0,80}".prop_map(String::into_bytes),
        arb_json().prop_map(|json| json.to_string().into_bytes()),
    ];
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) };
    let input = (0..rows.len(), piece.clone(), piece.clone(), piece, json);
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let outcome = runner.run(&input, |(row, tenant, other, query, body)| {
        let row = &rows[row];
        if row.path.ends_with("/live")
            || (row.method == Method::DELETE && row.path.ends_with("{t}"))
        {
            return Ok(());
        }
        let path = row.path.replace("{t}", &tenant).replace("{u}", &other).replace("{id}", &other);
        let path = path.replace("{file}", &other).replace("{token}", &other);
        let Ok(uri) = format!("{path}?{query}").parse::<http::Uri>() else { return Ok(()) };
        let mut request = request(&site.everybody.operator, row.method.clone(), "/");
        *request.uri_mut() = uri;
        let kind = if row.path.starts_with("/api/") {
            "application/json"
        } else {
            "application/x-www-form-urlencoded"
        };
        request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
        *request.body_mut() = Body::from(body);
        let answer = runtime.block_on(site.send(request));
        prop_assert!(answer.status.as_u16() < 500, "{} {path}?{query}: {answer:?}", row.method);
        Ok(())
    });
    outcome.unwrap();
}

/// JSON with the names that bodies have, and values that they have not.
fn arb_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|it| json!(it)),
        any::<i64>().prop_map(|it| json!(it)),
        any::<u64>().prop_map(|it| json!(it)),
        any::<f64>().prop_map(|it| json!(it)),
        "\\PC{0,20}".prop_map(|it| json!(it)),
        Just(json!("25m")),
        Just(json!(["read"])),
        Just(json!({ "a": "b" })),
    ];
    let names = prop::sample::select(vec![
        "name",
        "memory",
        "floor",
        "ceiling",
        "labels",
        "capabilities",
        "key_prefix",
        "expires",
        "note",
        "username",
        "password",
        "user",
        "kind",
        "threshold",
        "for_minutes",
        "webhook",
        "enabled",
    ]);
    prop::collection::btree_map(names, leaf, 0..6).prop_map(|map| json!(map))
}
