//! Who may ask for what: every row of the table of routes as everybody, held against a golden table; and
//! every answer held against the OpenAPI document.
//!
//! `UPDATE_GOLDEN=1 cargo test -p larder-console --test console rights` writes the table anew. Read the
//! difference line by line: it is who may do what.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::common::{Answer, As, Site, by, hold_against, name, request};
use axum::body::Body;
use http::{Method, StatusCode, header};
use larder_console::{RouteFacts, routes};
use larder_control::{AlertKind, Caller, NewAlert, NewCredential, NewTenant};
use larder_tenancy::Capabilities;
use serde_json::{Value, json};

const GOLDEN: &str = "tests/console/rights.txt";

const HEAD: &str = "\
# Status of every route as nobody, a stranger (the administrator of another cache), a credential that
# may read, one that may do everything to keys with a prefix, the administrator of the cache, and an
# operator. Made by rights.rs beside it.
#
# nobody stranger reader prefixed admin operator
";

#[tokio::test]
async fn the_golden_table_of_rights() {
    let mut table = HEAD.to_owned();
    let (mut site, mut operator) = site_and_operator().await;
    let document = site.get(&As::Nobody, "/api/v1/openapi.json").await.is(200).json();
    let mut routes = routes();
    routes.sort_by_key(|route| (route.path, route.method.to_string()));
    for route in &routes {
        let mut statuses = Vec::new();
        let who = &site.everybody;
        for who in [&As::Nobody, &who.stranger, &who.reader, &who.prefixed, &who.admin, &operator] {
            let answer = ask(&site, who, route).await;
            if route.path.starts_with("/api/") {
                check_shape(&document, route, &answer);
            }
            statuses.push(answer.status.as_u16().to_string());
        }
        let method = route.method.as_str();
        writeln!(table, "{method:6} {:48} {}", route.path, statuses.join(" ")).unwrap();
        // The cache, or the session, is gone.
        if [("DELETE", "/api/v1/tenants/{t}"), ("POST", "/sign-out")]
            .contains(&(method, route.path))
        {
            (site, operator) = site_and_operator().await;
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let (golden, now): (BTreeSet<_>, BTreeSet<_>) =
        (golden.lines().collect(), table.lines().collect());
    let missing: Vec<_> = golden.difference(&now).collect();
    let new: Vec<_> = now.difference(&golden).collect();
    assert!(missing.is_empty() && new.is_empty(), "golden: {missing:#?}\nnow: {new:#?}");
}

/// A site, and its operator signed in with a browser: a token may not do everything.
async fn site_and_operator() -> (Site, As) {
    let site = Site::new().await;
    let link = site.accounts.new_sign_in_link(&by(), "operator").await.unwrap();
    let session = site.accounts.redeem(&link.token, &Caller::default()).await.unwrap();
    (site, As::Cookie(session.token))
}

/// An answer is of the shape that the document has for it, or a problem.
fn check_shape(document: &Value, route: &RouteFacts, answer: &Answer) {
    if answer.status.is_success() {
        if let Some(shape) = route.shape {
            hold_against(document, shape, &answer.json());
        }
    } else {
        hold_against(document, "Problem", &answer.json());
    }
}

/// Asks for a route as somebody, so that it would succeed if that somebody may.
async fn ask(site: &Site, who: &As, route: &RouteFacts) -> Answer {
    if !route.path.starts_with("/api/") {
        return ask_for_page(site, who, route).await;
    }
    let (path, body) = sample(site, route).await;
    if path.ends_with("/live") {
        // An endless answer: its status is enough.
        use tower::ServiceExt as _;
        let response = site.router.clone().oneshot(request(who, Method::GET, &path)).await.unwrap();
        let (head, body) = response.into_parts();
        if head.status == StatusCode::OK {
            return Answer { status: head.status, headers: head.headers, body: String::new() };
        }
        drop(body);
        return site.get(who, &path).await;
    }
    site.ask(who, route.method.clone(), &path, body).await
}

async fn ask_for_page(site: &Site, who: &As, route: &RouteFacts) -> Answer {
    let path = route.path.replace("{t}", "shop").replace("{file}", "none.css");
    let path = path.replace("{u}", "none").replace("{id}", "0").replace("{token}", &fresh());
    let mut request = request(who, route.method.clone(), &path);
    if route.method != Method::GET {
        let kind = "application/x-www-form-urlencoded".parse().unwrap();
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        *request.body_mut() = Body::empty();
    }
    site.send(request).await
}

/// A path and a body with which a row of the API succeeds, on something made for this one request.
async fn sample(site: &Site, route: &RouteFacts) -> (String, Option<Value>) {
    let path = route.path.replace("{t}", "shop");
    let asked = format!("{} {}", route.method, route.path.trim_start_matches("/api/v1"));
    match asked.as_str() {
        "GET /openapi.json"
        | "GET /me"
        | "GET /sessions"
        | "DELETE /sessions"
        | "GET /tokens"
        | "GET /nodes"
        | "GET /audit"
        | "GET /tenants"
        | "GET /tenants/{t}"
        | "DELETE /tenants/{t}"
        | "POST /tenants/{t}/flush"
        | "GET /tenants/{t}/stats"
        | "GET /tenants/{t}/history"
        | "GET /tenants/{t}/live"
        | "GET /tenants/{t}/keys"
        | "GET /tenants/{t}/prefixes"
        | "GET /tenants/{t}/recent"
        | "GET /tenants/{t}/audit"
        | "GET /tenants/{t}/credentials"
        | "GET /tenants/{t}/alerts" => (path, None),
        "PUT /me/password" => (path, Some(json!({ "password": "correct horse battery" }))),
        // Wrong on purpose: whoever asks is nobody here.
        "POST /sessions" => (path, Some(json!({ "user": fresh(), "password": "wrong" }))),
        "DELETE /sessions/{id}" | "DELETE /tokens/{id}" => (path.replace("{id}", "none"), None),
        "POST /tokens" => (path, Some(json!({ "note": "golden" }))),
        "POST /tenants" => (path, Some(json!({ "name": fresh(), "memory": "1m" }))),
        "PATCH /tenants/{t}" => (path, Some(json!({ "labels": { "a": "b" } }))),
        "GET /tenants/{t}/key" | "DELETE /tenants/{t}/key" => {
            site.node.store(site.shop, b"k", b"v");
            (format!("{path}?key=k"), None)
        }
        "POST /tenants/{t}/credentials" => (path, Some(json!({ "note": "golden" }))),
        "PATCH /tenants/{t}/credentials/{u}" => {
            (path.replace("{u}", &credential(site).await), Some(json!({ "note": "new" })))
        }
        "DELETE /tenants/{t}/credentials/{u}" => {
            (path.replace("{u}", &credential(site).await), None)
        }
        "POST /tenants/{t}/credentials/{u}/promote" => {
            (path.replace("{u}", site.everybody.admin.username()), None)
        }
        "POST /tenants/{t}/alerts" => {
            (path, Some(json!({ "kind": "hit_rate_below", "threshold": 50 })))
        }
        "GET /tenants/{t}/alerts/{id}"
        | "DELETE /tenants/{t}/alerts/{id}"
        | "POST /tenants/{t}/alerts/{id}/test" => (path.replace("{id}", &alert(site).await), None),
        "PATCH /tenants/{t}/alerts/{id}" => {
            (path.replace("{id}", &alert(site).await), Some(json!({ "for_minutes": 7 })))
        }
        other => panic!("{other}: a new row of the API needs a sample here"),
    }
}

/// A name that nothing has yet.
fn fresh() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("fresh-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn credential(site: &Site) -> String {
    let new = NewCredential {
        capabilities: Capabilities::READ,
        key_prefix: None,
        expires: None,
        note: String::new(),
        chosen: None,
    };
    site.accounts.create_credential(&by(), &name("shop"), new).await.unwrap().value.username
}

async fn alert(site: &Site) -> String {
    for rule in site.accounts.alert_rules(&name("shop")).await.unwrap() {
        site.accounts.remove_alert(&by(), &name("shop"), rule.id).await.unwrap();
    }
    let new = NewAlert {
        kind: AlertKind::NeverHits,
        for_minutes: 1,
        webhook: None,
        webhook_private: false,
        enabled: true,
    };
    let made = site.accounts.create_alert(&by(), &name("shop"), new).await.unwrap();
    made.value.id.to_string()
}

#[tokio::test]
async fn the_document_has_the_routes_of_the_api_and_no_others() {
    let site = Site::new().await;
    let document = site.get(&As::Nobody, "/api/v1/openapi.json").await.is(200).json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut there = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            there.insert((method.to_uppercase(), path.clone()));
        }
    }
    let is_api = |route: &RouteFacts| {
        route.path.starts_with("/api/") || ["/metrics", "/healthz"].contains(&route.path)
    };
    let rows = routes().into_iter().filter(is_api);
    let rows: BTreeSet<_> =
        rows.map(|route| (route.method.to_string(), route.path.to_owned())).collect();
    assert_eq!(there, rows);
}

/// What a stranger is told of a cache must not depend on whether it exists: not in a single byte.
#[tokio::test]
async fn a_cache_of_others_and_one_that_is_not_there_are_the_same() {
    let site = Site::new().await;
    for route in routes().iter().filter(|route| route.path.contains("{t}")) {
        let ask = async |who: &As, tenant: &str| {
            let path = route.path.replace("{t}", tenant).replace("{u}", "x").replace("{id}", "1");
            let mut answer = site.ask(who, route.method.clone(), &path, None).await;
            // Every page says what time it is.
            if let Some((head, rest)) = answer.body.split_once("data-now=\"") {
                let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
                answer.body = format!("{head}{after}");
            }
            answer
        };
        let stranger = &site.everybody.stranger;
        let of_others = ask(stranger, "shop").await;
        assert_eq!(of_others.status, StatusCode::NOT_FOUND, "{} {}", route.method, route.path);
        for none in ["none", "SHOP", "shop%2F", "shop%00", "%F0%9F%A6%80", &"x".repeat(64)] {
            let of_none = ask(stranger, none).await;
            assert_eq!(of_none, of_others, "{} {} {none}", route.method, route.path);
        }
        if route.path.starts_with("/api/") {
            let to_operator = ask(&site.everybody.operator, "none").await;
            assert_eq!(to_operator, of_others, "{} {}", route.method, route.path);
        }
    }
}

/// A cache that is removed and made again is another: nothing of the old one opens it.
#[tokio::test]
async fn a_cache_made_again_is_no_longer_that_of_the_old_credentials() {
    let site = Site::new().await;
    let admin = &site.everybody.admin;
    site.get(admin, "/api/v1/tenants/shop").await.is(200);
    site.delete(&site.everybody.operator, "/api/v1/tenants/shop").await.is(200);
    site.get(admin, "/api/v1/tenants/shop").await.is(401);
    let again = NewTenant::new(name("shop"), crate::common::MEMORY);
    site.accounts.create_tenant(&by(), again).await.unwrap();
    site.get(admin, "/api/v1/tenants/shop").await.is(401);
}
