//! The dashboard without JavaScript: pages are asked for, forms are filled in and sent as a browser sends
//! them, and what comes back is looked at.

mod common;

use std::sync::Arc;

use axum::body::Body;
use common::{Answer, As, MEMORY, Site, by, name, request};
use http::{Method, StatusCode, header};
use larder_console::ConsoleSettings;
use larder_control::NewTenant;
use larder_tenancy::{Capabilities, Command, Figures, Insight, KeyUse, Missed, PrefixUse, Recent};

/// Sends a form as a browser does.
async fn send(site: &Site, who: &As, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut request = request(who, Method::POST, path);
    let kind = "application/x-www-form-urlencoded".parse().unwrap();
    request.headers_mut().insert(header::CONTENT_TYPE, kind);
    let pairs: Vec<_> =
        fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    *request.body_mut() = Body::from(pairs.join("&"));
    read(site.send(request).await)
}

/// With its slashes as a browser reads them.
fn read(answer: Answer) -> Answer {
    Answer { body: answer.body.replace("&#x2f;", "/"), ..answer }
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A page; checked to be one that stands by itself.
async fn page(site: &Site, who: &As, path: &str) -> String {
    let answer = read(site.get(who, path).await.is(200));
    assert_eq!(answer.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(answer.body.contains("<main id=\"content\""), "{}", answer.body);
    assert!(!answer.body.contains(" style="), "the policy forbids it: {path}");
    answer.body
}

/// Where an answer sends the browser.
fn goes_to(answer: &Answer) -> &str {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
    answer.headers[header::LOCATION].to_str().unwrap()
}

/// The text between two marks.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from} in {text}"));
    rest.split_once(to).unwrap().0
}

#[tokio::test]
async fn everybody_is_sent_to_where_they_belong() {
    let site = Site::new().await;
    let who = &site.everybody;
    let nobody = site.get(&As::Nobody, "/tenants/shop/keys").await;
    assert_eq!(goes_to(&nobody), "/sign-in?next=%2Ftenants%2Fshop%2Fkeys");
    assert_eq!(goes_to(&site.get(&who.admin, "/").await), "/tenants/shop");
    assert_eq!(goes_to(&site.get(&who.prefixed, "/").await), "/account");
    assert!(page(&site, &who.operator, "/").await.contains("<h1>Caches</h1>"));
    let strange = site.get(&who.stranger, "/tenants/shop").await.is(404);
    let absent = site.get(&who.stranger, "/tenants/nothing").await.is(404);
    let same = |answer: &Answer| between(&answer.body, "<main", "</main>").to_owned();
    assert_eq!(same(&strange), same(&absent), "whether it exists is a secret");
    assert!(strange.body.contains("There is no such cache."));
}

#[tokio::test]
async fn signing_in_and_out_needs_no_script() {
    let site = Site::new().await;
    let As::Basic(user, password) = &site.everybody.admin else { panic!() };
    let form = page(&site, &As::Nobody, "/sign-in?next=%2Ftenants%2Fshop%2Fkeys").await;
    assert!(form.contains("name=\"next\" value=\"/tenants/shop/keys\""), "{form}");

    let wrong = [("user", &**user), ("password", "x"), ("next", "/")];
    let refused = send(&site, &As::Nobody, "/sign-in", &wrong).await.is(401);
    assert!(refused.body.contains("role=\"alert\"") && refused.body.contains(user.as_str()));
    assert!(!refused.body.contains("value=\"x\""), "a password is not shown again");

    let right = [("user", &**user), ("password", password), ("next", "//evil.example")];
    let signed_in = send(&site, &As::Nobody, "/sign-in", &right).await;
    assert_eq!(goes_to(&signed_in), "/");
    let cookie = signed_in.headers[header::SET_COOKIE].to_str().unwrap();
    let cookie = As::Cookie(between(cookie, "larder=", ";").to_owned());
    assert_eq!(goes_to(&site.get(&cookie, "/sign-in").await), "/");
    assert!(page(&site, &cookie, "/tenants/shop").await.contains("get hits"));

    assert_eq!(goes_to(&send(&site, &cookie, "/sign-out", &[]).await), "/sign-in");
    assert!(goes_to(&site.get(&cookie, "/tenants/shop").await).starts_with("/sign-in"));
}

#[tokio::test]
async fn looking_at_a_link_does_not_use_it_up() {
    let site = Site::new().await;
    let link = site.accounts.new_sign_in_link(&by(), "operator").await.unwrap();
    let path = format!("/sign-in/{}", link.token);
    for _ in 0..3 {
        assert!(page(&site, &As::Nobody, &path).await.contains("method=\"post\""));
    }
    let signed_in = send(&site, &As::Nobody, &path, &[]).await;
    assert_eq!(goes_to(&signed_in), "/");
    assert!(signed_in.headers.contains_key(header::SET_COOKIE));
    let again = send(&site, &As::Nobody, &path, &[]).await.is(401);
    assert!(again.body.contains("larder sign-in"), "{}", again.body);
}

#[tokio::test]
async fn a_cache_is_made_and_its_password_is_shown_once() {
    let site = Site::new().await;
    let operator = &site.everybody.operator;
    let fields = [("name", "new-one"), ("memory", "64m"), ("ceiling", "")];
    let made = send(&site, operator, "/tenants", &fields).await.is(201);
    assert_eq!(made.headers[header::CACHE_CONTROL], "private, no-store");
    let password = between(&made.body, "id=\"secret-password\">", "<");
    assert_eq!(password.len(), 32, "{password}");
    assert!(made.body.contains(&format!("export MEMCACHIER_PASSWORD={password}")), "{}", made.body);
    assert!(made.body.contains("export MEMCACHIER_SERVERS=127.0.0.1:11211"));
    assert_eq!(made.body.matches("LARDER_URL=memcached://").count(), 2, "variables and Heroku");

    let user = between(&made.body, "id=\"secret-username\">", "<");
    let its_own = As::Basic(user.to_owned(), password.to_owned());
    let overview = page(&site, &its_own, "/tenants/new-one").await;
    assert!(overview.contains("Nobody has used this cache"), "the empty state teaches");
    assert!(!overview.contains(password));

    let again = send(&site, operator, "/tenants", &fields).await.is(409);
    assert!(again.body.contains("new-one") && again.body.contains("aria-invalid"));
    for (fields, what) in [
        ([("name", "Big Name"), ("memory", "64m")], "Big Name"),
        ([("name", "x"), ("memory", "much")], "much"),
    ] {
        let refused = send(&site, operator, "/tenants", &fields).await.is(400);
        assert!(between(&refused.body, "id=\"problem\"", "</div>").contains(what));
        assert!(refused.body.contains(&format!("value=\"{what}\"")), "what was typed is kept");
    }
    send(&site, &site.everybody.admin, "/tenants", &fields).await.is(403);
}

#[tokio::test]
async fn a_flush_asks_first() {
    let site = Site::new().await;
    let who = &site.everybody;
    let overview = page(&site, &who.admin, "/tenants/shop").await;
    assert!(overview.contains("href=\"/tenants/shop/flush\""));
    let question = page(&site, &who.admin, "/tenants/shop/flush").await;
    assert!(question.contains("Flush shop?") && question.contains("method=\"post\""));
    let flushes = async || site.accounts.tenant(&name("shop")).await.unwrap().flushes;
    assert_eq!(flushes().await, 0, "a question is no answer");
    let done = send(&site, &who.admin, "/tenants/shop/flush", &[]).await;
    assert_eq!(goes_to(&done), "/tenants/shop?done=flushed");
    assert_eq!(flushes().await, 1);
    assert!(page(&site, &who.admin, "/tenants/shop?done=flushed").await.contains("Flushed:"));
    let reader = page(&site, &who.reader, "/tenants/shop").await;
    assert!(!reader.contains("/flush"), "who may not is not offered it");
    send(&site, &who.reader, "/tenants/shop/flush", &[]).await.is(403);
}

#[tokio::test]
async fn a_credential_is_made_changed_promoted_and_revoked() {
    let site = Site::new().await;
    let admin = &site.everybody.admin;
    let base = "/tenants/shop/credentials";
    let fields = [
        ("note", "web <1>"),
        ("read", "yes"),
        ("write", "yes"),
        ("key_prefix", ""),
        ("expires", "2099-12-31"),
    ];
    let made = send(&site, admin, base, &fields).await.is(201);
    let user = between(&made.body, "id=\"secret-username\">", "<").to_owned();
    let find = async || {
        let all = site.accounts.credentials(&name("shop")).await.unwrap();
        all.into_iter().find(|one| one.username == user)
    };
    let record = find().await.unwrap();
    assert_eq!((&*record.note, record.expires), ("web <1>", Some(4_102_444_800)));
    let list = page(&site, admin, base).await;
    assert!(list.contains("web &lt;1&gt;") && list.contains("may read, write"), "{list}");

    let one = format!("{base}/{user}");
    let form = page(&site, admin, &one).await;
    assert!(form.contains("value=\"2099-12-31\""), "{form}");
    let fields =
        [("note", "reader"), ("read", "yes"), ("key_prefix", "a:"), ("expires", "2099-12-31")];
    assert_eq!(goes_to(&send(&site, admin, &one, &fields).await), format!("{base}?done=saved"));
    let changed = find().await.unwrap();
    assert_eq!((changed.key_prefix.as_deref(), changed.expires), (Some("a:"), record.expires));
    let scoped =
        [("read", "yes"), ("flush", "yes"), ("key_prefix", "a:"), ("expires", "2099-12-31")];
    send(&site, admin, &one, &scoped).await;
    let changed = find().await.unwrap();
    assert!(!changed.capabilities.contains(Capabilities::FLUSH), "of some keys only");
    let wrong = [("note", ""), ("read", "yes"), ("expires", "tomorrow")];
    let refused = send(&site, admin, &one, &wrong).await;
    assert!(
        refused.status.is_client_error() && refused.body.contains("id=\"problem\""),
        "{refused:?}"
    );
    assert_eq!(find().await, Some(changed), "what is refused changes nothing");

    let plain =
        [("note", ""), ("read", "yes"), ("write", "yes"), ("flush", "yes"), ("admin", "yes")];
    send(&site, admin, &one, &plain).await;
    page(&site, admin, &format!("{one}/promote")).await;
    let promoted = send(&site, admin, &format!("{one}/promote"), &[]).await;
    assert_eq!(goes_to(&promoted), format!("{base}?done=promoted"));
    assert!(find().await.unwrap().is_primary);
    let primary = send(&site, admin, &format!("{one}/revoke"), &[]).await.is(409);
    assert!(primary.body.contains("id=\"problem\""), "{}", primary.body);

    let old = admin.username();
    let question = page(&site, admin, &format!("{base}/{old}/revoke")).await;
    assert!(question.contains("No use of it was noted"), "{question}");
    let operator = &site.everybody.operator;
    let revoked = send(&site, operator, &format!("{base}/{old}/revoke"), &[]).await;
    assert_eq!(goes_to(&revoked), format!("{base}?done=revoked"));
    assert!(goes_to(&site.get(admin, base).await).starts_with("/sign-in"), "it opens nothing");
}

#[tokio::test]
async fn an_item_is_looked_up_and_deleted() {
    let site =
        Site::with(ConsoleSettings { show_values: true, ..ConsoleSettings::default() }).await;
    let admin = &site.everybody.admin;
    site.node.store(site.shop, b"task:1", b"<b>milk</b>");
    site.node.store(site.shop, b"\xff\n", b"\x80");
    let found = page(&site, admin, "/tenants/shop/key?key=task%3A1").await;
    assert!(found.contains("11 bytes") && found.contains("&lt;b&gt;milk&lt;"), "{found}");
    let bytes = page(&site, admin, "/tenants/shop/key?key_base64=%2Fwo%3D").await;
    assert!(bytes.contains("class=\"bytes\">\u{fffd}\\n<") && bytes.contains("gA=="), "{bytes}");
    let missing = site.get(admin, "/tenants/shop/key?key=x").await.is(404);
    assert!(missing.body.contains("Not there."));
    site.get(admin, "/tenants/shop/key?key=%zz").await.is(400);

    let question = page(&site, admin, "/tenants/shop/key/delete?key_base64=%2Fwo%3D").await;
    let key = between(&question, "name=\"key_base64\" value=\"", "\"");
    assert_eq!(site.node.items.lock().unwrap().len(), 2);
    let deleted = send(&site, admin, "/tenants/shop/key/delete", &[("key_base64", key)]).await;
    assert_eq!(goes_to(&deleted), "/tenants/shop/keys?done=deleted");
    assert_eq!(site.node.items.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn alerts_are_made_switched_and_removed() {
    let site = Site::new().await;
    let admin = &site.everybody.admin;
    let base = "/tenants/shop/alerts";
    assert!(page(&site, admin, base).await.contains("Nothing is watched yet."));
    let hook = "https://hooks.example.com/services/SECRET";
    let fields =
        [("kind", "hit_rate_below"), ("threshold", "80"), ("for_minutes", "5"), ("webhook", hook)];
    assert_eq!(goes_to(&send(&site, admin, base, &fields).await), format!("{base}?done=created"));
    let list = page(&site, admin, base).await;
    assert!(list.contains("Hit rate below 80 %"), "{list}");
    assert!(list.contains("hooks.example.com") && !list.contains("SECRET"), "{list}");
    for (threshold, minutes) in [("200", "5"), ("x", "5"), ("80", "0"), ("80", "9999999999")] {
        let fields = [("kind", "memory_above"), ("threshold", threshold), ("for_minutes", minutes)];
        let refused = send(&site, admin, base, &fields).await.is(400);
        assert!(refused.body.contains("id=\"problem\""));
        assert!(refused.body.contains(&format!("value=\"{minutes}\"")), "what was typed is kept");
    }
    let id = between(&list, "id=\"alert-", "\"");
    send(&site, admin, &format!("{base}/{id}"), &[("enabled", "no")]).await;
    assert!(page(&site, admin, base).await.contains(">off<"));
    page(&site, admin, &format!("{base}/{id}/remove")).await;
    let removed = send(&site, admin, &format!("{base}/{id}/remove"), &[]).await;
    assert_eq!(goes_to(&removed), format!("{base}?done=removed"));
    assert!(site.accounts.alert_rules(&name("shop")).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cache_is_resized_relabelled_and_removed() {
    let site = Site::new().await;
    let operator = &site.everybody.operator;
    let settings = "/tenants/shop/settings";
    assert!(page(&site, operator, settings).await.contains("value=\"25m\""));
    let fields = [("memory", "32m"), ("ceiling", "1g"), ("labels", "team=web, stage=test")];
    assert_eq!(
        goes_to(&send(&site, operator, settings, &fields).await),
        format!("{settings}?done=saved")
    );
    let tenant = site.accounts.tenant(&name("shop")).await.unwrap();
    assert_eq!((tenant.floor, tenant.ceiling), (32 << 20, 1 << 30));
    let shown = page(&site, operator, settings).await;
    assert!(shown.contains("value=\"stage=test, team=web\"") && shown.contains("team: web"));
    let wrong = [("memory", "1g"), ("ceiling", "32m"), ("labels", "")];
    send(&site, operator, settings, &wrong).await.is(400);

    let remove = "/tenants/shop/remove";
    send(&site, operator, remove, &[("typed", "shoop")]).await.is(400);
    assert!(site.accounts.tenant(&name("shop")).await.is_ok());
    let removed = send(&site, operator, remove, &[("typed", "shop")]).await;
    assert_eq!(goes_to(&removed), "/?done=removed");
    assert!(site.accounts.tenant(&name("shop")).await.is_err());
}

#[tokio::test]
async fn ones_own_account() {
    let site = Site::new().await;
    let operator = &site.everybody.operator;
    let link = site.accounts.new_sign_in_link(&by(), "operator").await.unwrap();
    let signed_in = send(&site, &As::Nobody, &format!("/sign-in/{}", link.token), &[]).await;
    let cookie = signed_in.headers[header::SET_COOKIE].to_str().unwrap();
    let cookie = As::Cookie(between(cookie, "larder=", ";").to_owned());

    let fields = [("note", "Prometheus"), ("expires", "")];
    let made = send(&site, &cookie, "/account/tokens", &fields).await.is(200);
    let token = between(&made.body, "id=\"token-text\">", "<").to_owned();
    assert!(token.starts_with("lrd_"), "{token}");
    let account = page(&site, &cookie, "/account").await;
    assert!(account.contains("Prometheus") && !account.contains(&token), "shown once");
    assert!(account.contains("this one"), "{account}");
    send(&site, operator, "/account/tokens", &fields).await.is(403);

    let uneven = [("password", "correct horse battery"), ("again", "other")];
    send(&site, &cookie, "/account/password", &uneven).await.is(400);
    send(&site, &cookie, "/account/password", &[("password", "short"), ("again", "short")])
        .await
        .is(400);
    let good = [("password", "correct horse battery"), ("again", "correct horse battery")];
    let set = send(&site, &cookie, "/account/password", &good).await;
    assert_eq!(goes_to(&set), "/account?done=password");
    let fields = [("user", "operator"), ("password", "correct horse battery"), ("next", "/audit")];
    let signed_in = send(&site, &As::Nobody, "/sign-in", &fields).await;
    assert_eq!(goes_to(&signed_in), "/audit");
}

/// Keys and patterns are whatever clients make of them.
#[tokio::test]
async fn hostile_keys_are_harmless() {
    let site = Site::new().await;
    let evil = "<script>alert(1)</script>\u{202e}\"'&";
    *site.node.insight.lock().unwrap() = Insight {
        since: 1_700_000_000,
        share: 0.01,
        keys: vec![KeyUse { key: evil.as_bytes().into(), hits: 7, ..KeyUse::default() }],
        prefixes: vec![PrefixUse {
            pattern: evil.into(),
            sets: 9,
            misses: 3,
            missed: Missed { never_set: 2, evicted: 1, ..Missed::default() },
            never_hits: true,
            ..PrefixUse::default()
        }],
        missed: Missed { never_set: 2, evicted: 1, ..Missed::default() },
        recent: vec![Recent {
            unix_ms: 1_700_000_000_123,
            command: Command::Get,
            key: Arc::<[u8]>::from(evil.as_bytes()).to_vec().into(),
            found: false,
            bytes: 0,
        }],
    };
    for path in ["", "/keys", "/prefixes", "/recent"] {
        let page = page(&site, &site.everybody.admin, &format!("/tenants/shop{path}")).await;
        assert!(page.contains("&lt;script&gt;alert(1)"), "{path}: {page}");
        assert!(!page.contains("<script>") && !page.contains('\u{202e}'), "{path}: {page}");
    }
    let keys = page(&site, &site.everybody.admin, "/tenants/shop/keys").await;
    assert!(keys.contains("One request in 100"), "{keys}");
    let prefixes = page(&site, &site.everybody.admin, "/tenants/shop/prefixes").await;
    assert!(prefixes.contains("Never a hit"), "{prefixes}");
    assert!(
        prefixes.contains("<rect class=\"why-never_set\" x=\"0.0\" width=\"666.7\""),
        "{prefixes}"
    );
}

/// Every page in every state it can be in without anything counted, and with very much.
#[tokio::test]
async fn every_page_is_complete_when_empty_and_when_full() {
    let site = Site::new().await;
    let pages = [
        "/",
        "/node",
        "/audit",
        "/account",
        "/tenants/shop",
        "/tenants/shop/keys",
        "/tenants/shop/prefixes",
        "/tenants/shop/recent",
        "/tenants/shop/history",
        "/tenants/shop/credentials",
        "/tenants/shop/alerts",
        "/tenants/shop/audit",
        "/tenants/shop/settings",
        "/tenants/shop?span=3mo",
        "/tenants/shop/history?span=1w",
    ];
    for path in pages {
        page(&site, &site.everybody.operator, path).await;
    }
    let mut figures = Figures::default();
    let names: Vec<_> = figures.fields().map(|(name, ..)| name).collect();
    for name in names {
        *figures.named_mut(name).unwrap() = u64::MAX / 4;
    }
    site.node.set(site.shop, figures);
    for path in pages {
        page(&site, &site.everybody.operator, path).await;
    }
    let overview = page(&site, &site.everybody.operator, "/tenants/shop").await;
    assert_eq!(
        between(
            &overview,
            "id=\"get-hits\" data-live=\"figures.get_hits\" data-as=\"count\">",
            "<"
        ),
        "4,611,686,018,427,387,903"
    );
}

#[tokio::test]
async fn many_caches_have_several_pages() {
    let site = Site::new().await;
    for number in 0..60 {
        let new = NewTenant::new(name(&format!("tenant-{number:02}")), MEMORY / 10);
        site.accounts.create_tenant(&by(), new).await.unwrap();
    }
    let operator = &site.everybody.operator;
    let first = page(&site, operator, "/").await;
    assert!(first.contains("62 caches") && first.contains("page 1 of 2"));
    assert!(first.contains("href=\"/?page=2\"") && !first.contains("tenant-59"));
    assert!(page(&site, operator, "/?page=2").await.contains("tenant-59"));
    assert!(page(&site, operator, "/?page=99").await.contains("page 2 of 2"));
}

#[tokio::test]
async fn files_are_kept_by_browsers_and_errors_are_pages() {
    let site = Site::new().await;
    let form = page(&site, &As::Nobody, "/sign-in").await;
    let files: Vec<_> = form.split('"').filter(|part| part.starts_with("/static/")).collect();
    assert_eq!(files.len(), 4, "{form}");
    for path in files {
        let file = site.get(&As::Nobody, path).await.is(200);
        assert!(
            file.headers[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"),
            "{path}"
        );
    }
    let lost = site.get(&As::Nobody, "/nowhere").await.is(404);
    assert!(lost.body.contains("<h1 id=\"error-title\">Not found</h1>"), "{}", lost.body);
    let wrong = site.post(&site.everybody.operator, "/audit", serde_json::json!({})).await.is(405);
    assert!(wrong.body.contains("<main"), "{}", wrong.body);
    site.get(&site.everybody.operator, "/tenants/shop?done=anything").await.is(400);
}
