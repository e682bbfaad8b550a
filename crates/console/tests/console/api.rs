//! What the API does, for those who may ask.

use crate::common::{As, MEMORY, Site, hold_against};
use larder_tenancy::{Command, Figures, Insight, KeyUse, Latency, Missed, PrefixUse, Recent};
use serde_json::{Value, json};

const SHOP: &str = "/api/v1/tenants/shop";

#[tokio::test]
async fn a_cache_is_made_resized_flushed_and_removed() {
    let site = Site::new().await;
    let operator = &site.everybody.operator;
    let body = json!({ "name": "blog", "memory": "25m", "labels": { "team": "web" } });
    let made = site.post(operator, "/api/v1/tenants", body.clone()).await.is(201).json();
    assert_eq!(made["tenant"]["floor"], MEMORY);
    assert_eq!(made["tenant"]["ceiling"], MEMORY);
    let secret = &made["credential"];
    let (user, password) = (text(&secret["username"]), text(&secret["password"]));
    assert_eq!(secret["variables"]["MEMCACHIER_SERVERS"], "127.0.0.1:11211");
    assert_eq!(secret["variables"]["MEMCACHE_PASSWORD"], *password);
    let url = format!("memcached://{user}:{password}@127.0.0.1:11211/");
    assert_eq!(secret["variables"]["LARDER_URL"], url);
    // The credential works at once, and for its own cache only.
    let admin = As::Basic(user, password.clone());
    site.get(&admin, "/api/v1/tenants/blog").await.is(200);
    site.get(&admin, SHOP).await.is(404);

    let again = site.post(operator, "/api/v1/tenants", body).await.is(409);
    assert_eq!(again.code(), "exists");
    assert!(again.message().contains("blog"), "{}", again.message());

    let path = "/api/v1/tenants/blog";
    let changed = site.patch(operator, path, json!({ "ceiling": "30m" })).await.is(200).json();
    assert_eq!((&changed["floor"], &changed["ceiling"]), (&json!(MEMORY), &json!(30 << 20)));
    assert_eq!(changed["labels"], json!({ "team": "web" }), "what is absent stays");
    let changed = site.patch(operator, path, json!({ "labels": {} })).await.is(200).json();
    assert_eq!((&changed["ceiling"], &changed["labels"]), (&json!(30 << 20), &json!({})));

    site.post(&admin, "/api/v1/tenants/blog/flush", json!({})).await.is(200);
    assert_eq!(site.get(&admin, path).await.is(200).json()["flushes"], 1);

    site.delete(operator, path).await.is(200);
    site.get(operator, path).await.is(404);
    site.get(&admin, path).await.is(401);
    // No answer ever has the password again, and neither has the log.
    for path in ["/api/v1/audit", "/api/v1/tenants"] {
        assert!(!site.get(operator, path).await.is(200).body.contains(&password), "{path}");
    }
}

#[tokio::test]
async fn problems_say_what_was_wrong_and_what_would_be_right() {
    let site = Site::new().await;
    let operator = &site.everybody.operator;
    for (body, part) in [
        (json!({ "name": "Big Shop", "memory": "25m" }), "a-z"),
        (json!({ "name": "blog" }), "25m"),
        (json!({ "name": "blog", "memory": "25x" }), "512k"),
        (json!({ "name": "blog", "memory": -1 }), "512k"),
        (json!({ "name": "blog", "memory": "1m", "floor": "1m" }), "not both"),
        (json!({ "name": "blog", "memory": "1m", "colour": "red" }), "colour"),
        (json!({ "memory": "1m" }), "name"),
        (json!({ "name": "blog", "floor": "2m", "ceiling": "1m" }), "ceiling"),
        (json!([]), "NewTenantBody"),
    ] {
        let answer = site.post(operator, "/api/v1/tenants", body.clone()).await.is(400);
        let message = answer.message();
        assert!(message.contains(part) || part == "NewTenantBody", "{body}: {message}");
    }
    let answer = site.get(operator, &format!("{SHOP}/history?span=9y")).await.is(400);
    assert!(answer.message().contains("9y") && answer.message().contains("3mo"));
    let answer = site.get(operator, &format!("{SHOP}/history?spam=1d")).await.is(400);
    assert!(answer.message().contains("spam"), "{}", answer.message());
}

#[tokio::test]
async fn a_credential_is_rotated_by_the_book() {
    let site = Site::new().await;
    let old = &site.everybody.admin;
    let path = format!("{SHOP}/credentials");
    let body = json!({ "capabilities": ["read", "write", "flush", "admin"], "note": "2027" });
    let made = site.post(old, &path, body).await.is(201).json();
    let new = as_of(&made["credential"]);
    let one = |username: &str| format!("{path}/{username}");

    // The primary cannot be revoked before another is promoted.
    let refused = site.delete(old, &one(old.username())).await.is(409);
    assert_eq!(refused.code(), "conflict");
    site.post(old, &format!("{}/promote", one(new.username())), json!({})).await.is(200);
    site.get(old, SHOP).await.is(200);
    let list = site.get(&new, &path).await.is(200).json();
    assert_eq!(list["credentials"][0]["username"], *new.username());
    assert_eq!(list["credentials"][0]["is_primary"], true);
    assert_eq!(list["credentials"][0]["note"], "2027");
    assert!(!list.to_string().contains("password"), "{list}");

    site.delete(&new, &one(old.username())).await.is(200);
    site.get(old, SHOP).await.is(401);
    site.get(&new, SHOP).await.is(200);
}

#[tokio::test]
async fn what_a_patch_does_not_name_stays_as_it_is() {
    let site = Site::new().await;
    let admin = &site.everybody.admin;
    let path = format!("{SHOP}/credentials");
    let expires = 4_000_000_000_u64;
    let body = json!({
        "capabilities": ["read", "write"],
        "key_prefix": "p:",
        "expires": expires,
        "note": "first",
    });
    let made = site.post(admin, &path, body).await.is(201).json();
    let one = format!("{path}/{}", text(&made["credential"]["username"]));

    let view = site.patch(admin, &one, json!({ "note": "second" })).await.is(200).json();
    assert_eq!(view["capabilities"], json!(["read", "write"]));
    assert_eq!(view["key_prefix"], "p:");
    assert_eq!(view["expires"], expires);
    assert_eq!(view["note"], "second");
    let view = site.patch(admin, &one, json!({ "expires": null })).await.is(200).json();
    assert_eq!((&view["expires"], &view["key_prefix"]), (&Value::Null, &json!("p:")));
    let view = site.patch(admin, &one, json!({ "capabilities": ["read"] })).await.is(200).json();
    assert_eq!((&view["capabilities"], &view["key_prefix"]), (&json!(["read"]), &json!("p:")));
    let view = site.patch(admin, &one, json!({ "key_prefix": null })).await.is(200).json();
    assert_eq!((&view["key_prefix"], &view["note"]), (&Value::Null, &json!("second")));
    let view = site.patch(admin, &one, json!({})).await.is(200).json();
    assert_eq!(view["capabilities"], json!(["read"]));

    let refused = site.patch(admin, &one, json!({ "capabilities": ["fly"] })).await.is(400);
    assert!(refused.message().contains("fly"), "{}", refused.message());
    site.patch(admin, &format!("{path}/none"), json!({ "note": "x" })).await.is(404);
}

#[tokio::test]
async fn nobody_hands_out_what_they_do_not_have() {
    let site = Site::new().await;
    let path = format!("{SHOP}/credentials");
    let make = async |who: &As, body: Value| site.post(who, &path, body).await;
    let body = json!({ "capabilities": ["read", "admin"], "expires": 4_000_000_000_u64 });
    let made = make(&site.everybody.admin, body).await.is(201).json();
    let limited = as_of(&made["credential"]);

    // More capabilities, for another or for itself.
    let more = json!({ "capabilities": ["read", "write"], "expires": 3_900_000_000_u64 });
    let refused = make(&limited, more).await.is(403);
    assert!(refused.message().contains("write"), "{}", refused.message());
    let own = format!("{path}/{}", limited.username());
    let all = json!({ "capabilities": ["read", "write", "flush", "admin"] });
    site.patch(&limited, &own, all).await.is(403);
    // What is usual is more than it has.
    make(&limited, json!({ "expires": 3_900_000_000_u64 })).await.is(403);
    // More time.
    make(&limited, json!({ "capabilities": ["read"] })).await.is(403);
    let late = json!({ "capabilities": ["read"], "expires": 4_000_000_001_u64 });
    make(&limited, late).await.is(403);
    site.patch(&limited, &own, json!({ "expires": null })).await.is(403);
    // As much as it has.
    let same = json!({ "capabilities": ["read", "admin"], "expires": 4_000_000_000_u64 });
    make(&limited, same).await.is(201);
    // What another has already may stay.
    let reader = format!("{path}/{}", site.everybody.prefixed.username());
    let less = json!({ "capabilities": ["read", "write"] });
    site.patch(&limited, &reader, less).await.is(200);
    // Deleting an item is a write.
    site.node.store(site.shop, b"k", b"v");
    site.delete(&limited, &format!("{SHOP}/key?key=k")).await.is(403);
    site.delete(&site.everybody.admin, &format!("{SHOP}/key?key=k")).await.is(200);
}

#[tokio::test]
async fn a_change_gives_no_more_keys_and_no_more_time_than_its_maker_has() {
    let site = Site::new().await;
    let path = format!("{SHOP}/credentials");
    let make = async |body: Value| {
        let made = site.post(&site.everybody.admin, &path, body).await.is(201).json();
        as_of(&made["credential"])
    };
    let (soon, late) = (3_900_000_000_u64, 4_000_000_000_u64);
    let no_reader = make(json!({ "capabilities": ["admin"] })).await;
    let brief = make(json!({ "capabilities": ["read", "admin"], "expires": late })).await;
    let scoped =
        make(json!({ "capabilities": ["read"], "key_prefix": "a:", "expires": soon })).await;
    let scoped = format!("{path}/{}", scoped.username());
    let plain = make(json!({ "capabilities": ["read"] })).await;
    let plain = format!("{path}/{}", plain.username());
    // Who may not read makes nobody read more, nor longer.
    for more in [
        json!({ "key_prefix": null }),
        json!({ "key_prefix": "b:" }),
        json!({ "key_prefix": "a" }),
        json!({ "expires": null }),
        json!({ "expires": soon + 1 }),
    ] {
        site.patch(&no_reader, &scoped, more.clone()).await.is(403);
    }
    site.patch(&no_reader, &scoped, json!({ "key_prefix": "a:b", "expires": soon - 1 }))
        .await
        .is(200);
    // Who has an end gives nothing to what has none.
    site.patch(&brief, &plain, json!({ "capabilities": ["read", "admin"] })).await.is(403);
    site.patch(&brief, &scoped, json!({ "capabilities": ["read", "admin"] })).await.is(200);
    site.patch(&brief, &scoped, json!({ "key_prefix": null, "expires": late })).await.is(200);
    site.patch(&brief, &scoped, json!({ "expires": late + 1 })).await.is(403);
    site.patch(&brief, &plain, json!({ "note": "as before" })).await.is(200);
}

#[tokio::test]
async fn chosen_passwords_come_in_pairs_and_are_long() {
    let site = Site::new().await;
    let admin = &site.everybody.admin;
    let path = format!("{SHOP}/credentials");
    site.post(admin, &path, json!({ "username": "deploy" })).await.is(400);
    site.post(admin, &path, json!({ "password": "correct horse battery" })).await.is(400);
    let short = json!({ "username": "deploy", "password": "short" });
    let refused = site.post(admin, &path, short).await.is(400);
    assert!(!refused.body.contains("\"short\""), "{}", refused.body);
    let good = json!({ "username": "deploy", "password": "correct horse battery" });
    site.post(admin, &path, good.clone()).await.is(201);
    site.post(admin, &path, good).await.is(409);
    let deploy = As::Basic("deploy".to_owned(), "correct horse battery".to_owned());
    assert_eq!(site.get(&deploy, "/api/v1/me").await.is(200).json()["name"], "deploy");
}

#[tokio::test]
async fn tokens_are_shown_once_and_revoked() {
    let site = Site::new().await;
    let admin = &site.everybody.admin;
    let body = json!({ "note": "deploy hook", "expires": 4_000_000_000_u64 });
    let token = text(&site.post(admin, "/api/v1/tokens", body).await.is(201).json()["token"]);
    assert!(token.starts_with("lrd_"), "{token}");
    let bearer = As::Bearer(token.clone());
    let me = site.get(&bearer, "/api/v1/me").await.is(200).json();
    assert_eq!((&me["kind"], &me["tenant"]), (&json!("credential"), &json!("shop")));
    // A token cannot outlive itself.
    site.post(&bearer, "/api/v1/tokens", json!({})).await.is(403);

    let list = site.get(admin, "/api/v1/tokens").await.is(200);
    assert!(!list.body.contains(&token));
    let id = text(&list.json()["tokens"][0]["id"]);
    // Those of others are not there.
    site.delete(&site.everybody.stranger, &format!("/api/v1/tokens/{id}")).await.is(404);
    site.delete(admin, &format!("/api/v1/tokens/{id}")).await.is(200);
    site.get(&bearer, "/api/v1/me").await.is(401);
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let site = Site::new().await;
    let As::Basic(user, password) = &site.everybody.admin else { unreachable!() };
    let one = site.sign_in(user, password).await.unwrap();
    let two = site.sign_in(user, password).await.unwrap();
    let list = site.get(&one, "/api/v1/sessions").await.is(200).json();
    let sessions = list["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions.iter().filter(|session| session["is_current"] == true).count(), 1);
    assert_eq!(sessions[0]["from"], "192.0.2.7");

    let other = sessions.iter().find(|session| session["is_current"] == false).unwrap();
    let path = format!("/api/v1/sessions/{}", text(&other["id"]));
    site.delete(&site.everybody.stranger, &path).await.is(404);
    site.delete(&one, &path).await.is(200);
    site.get(&two, "/api/v1/me").await.is(401);
    let three = site.sign_in(user, password).await.unwrap();
    site.delete(&three, "/api/v1/sessions").await.is(200);
    site.get(&one, "/api/v1/me").await.is(401);
    site.get(&three, "/api/v1/me").await.is(200);
}

#[tokio::test]
async fn a_session_ends_with_its_credential() {
    let site = Site::new().await;
    let admin = &site.everybody.admin;
    let As::Basic(user, password) = &site.everybody.reader else { unreachable!() };
    let session = site.sign_in(user, password).await.unwrap();
    site.get(&session, SHOP).await.is(200);
    site.delete(admin, &format!("{SHOP}/credentials/{user}")).await.is(200);
    site.get(&session, SHOP).await.is(401);
    site.get(&As::Cookie("garbage".to_owned()), SHOP).await.is(401);
}

#[tokio::test]
async fn an_operator_sets_a_password_and_signs_in_with_it() {
    let site = Site::new().await;
    let link = site.accounts.new_sign_in_link(&crate::common::by(), "operator").await.unwrap();
    let session = site.accounts.redeem(&link.token, &larder_control::Caller::default()).await;
    let session = As::Cookie(session.unwrap().token);
    let path = "/api/v1/me/password";
    let put = async |who: &As, password: &str| {
        site.ask(who, http::Method::PUT, path, Some(json!({ "password": password }))).await
    };
    put(&session, "short").await.is(400);
    // A token that leaked must not become a password.
    put(&site.everybody.operator, "correct horse battery").await.is(403);
    put(&session, "correct horse battery").await.is(200);
    let other = site.sign_in("operator", "correct horse battery").await.unwrap();
    assert_eq!(site.get(&other, "/api/v1/me").await.is(200).json()["kind"], "operator");
    put(&other, "another horse battery").await.is(200);
    site.get(&session, "/api/v1/me").await.is(401);
    assert!(site.sign_in("operator", "correct horse battery").await.is_err());
}

#[tokio::test]
async fn figures_latencies_and_history_are_what_the_node_says() {
    let site = Site::new().await;
    let admin = &site.everybody.admin;
    site.node.set(site.shop, figures(8, 2));
    let mut latency = Latency::default();
    latency.add(Latency::bucket(1000), 99);
    latency.add(Latency::bucket(1_000_000), 1);
    *site.node.latency.lock().unwrap() = latency;
    let stats = site.get(admin, &format!("{SHOP}/stats")).await.is(200).json();
    assert_eq!((&stats["figures"]["get_hits"], &stats["figures"]["gets"]), (&json!(8), &json!(10)));
    assert_eq!(stats["figures"]["hit_rate"], 0.8);
    assert_eq!(stats["memory_used"], 0.5);
    assert_eq!(stats["latency"]["count"], 100);
    assert!(stats["latency"]["p50_ns"].as_u64().unwrap() <= 1300);
    // Another cache has its own.
    let other = site.get(&site.everybody.stranger, "/api/v1/tenants/other/stats").await.is(200);
    assert_eq!(other.json()["figures"]["get_hits"], 0);

    site.history.sample(1_800_000_000, &*site.node).await;
    site.node.set(site.shop, figures(18, 2));
    site.history.sample(1_800_000_001, &*site.node).await;
    let history = site.get(admin, &format!("{SHOP}/history?span=10m")).await.is(200).json();
    assert_eq!((&history["span"], &history["step"]), (&json!("10m"), &json!(1)));
    let points = history["at"].as_array().unwrap().len();
    assert!(points > 0, "{history}");
    for (name, column) in history["series"].as_object().unwrap() {
        assert_eq!(column.as_array().unwrap().len(), points, "{name}");
    }
    let hits = history["series"]["get_hits"].as_array().unwrap();
    assert!(hits.iter().any(|count| *count == json!(10.0)), "{history}");
}

fn figures(get_hits: u64, get_misses: u64) -> Figures {
    let (bytes, limit_bytes) = (MEMORY / 2, MEMORY);
    Figures { get_hits, get_misses, bytes, limit_bytes, ..Figures::default() }
}

#[tokio::test]
async fn insight_is_shown_with_every_byte_of_a_key() {
    let site = Site::new().await;
    let missed = Missed { never_set: 1, evicted: 2, ..Missed::default() };
    *site.node.insight.lock().unwrap() = Insight {
        since: 1_700_000_000,
        share: 0.5,
        keys: vec![
            KeyUse { key: (*b"task:1").into(), hits: 3, ..KeyUse::default() },
            KeyUse { key: (*b"\xff\x00").into(), ..KeyUse::default() },
        ],
        prefixes: vec![PrefixUse {
            pattern: "task:*".into(),
            missed,
            never_hits: true,
            ..PrefixUse::default()
        }],
        missed,
        recent: vec![Recent {
            unix_ms: 1_700_000_000_123,
            command: Command::Get,
            key: (*b"task:1").into(),
            found: true,
            bytes: 5,
        }],
    };
    let document = site.get(&As::Nobody, "/api/v1/openapi.json").await.is(200).json();
    let admin = &site.everybody.admin;
    let of = async |path: &str, shape: &str| {
        let json = site.get(admin, &format!("{SHOP}/{path}")).await.is(200).json();
        hold_against(&document, shape, &json);
        json
    };
    let keys = of("keys", "Keys").await;
    assert_eq!(keys["keys"][0]["key"], "task:1");
    assert_eq!(keys["keys"][0]["key_base64"], Value::Null);
    assert_eq!(keys["keys"][1]["key_base64"], "/wA=");
    let prefixes = of("prefixes", "Prefixes").await;
    assert_eq!(prefixes["prefixes"][0]["pattern"], "task:*");
    assert_eq!(prefixes["missed"]["evicted"], 2);
    let recent = of("recent", "Recent").await;
    assert_eq!(recent["commands"][0]["command"], "get");
    assert_eq!(recent["commands"][0]["unix_ms"], 1_700_000_000_123_u64);
}

#[tokio::test]
async fn an_item_is_looked_up_and_its_value_shown_only_if_the_operator_lets() {
    let settings = larder_console::ConsoleSettings { show_values: true, ..Default::default() };
    for (settings, may_see) in [(settings, true), (Default::default(), false)] {
        let site = Site::with(settings).await;
        site.node.store(site.shop, b"a key", "wärme".repeat(1000).as_bytes());
        site.node.store(site.shop, b"\xff", b"\x80");
        let admin = &site.everybody.admin;
        let look = async |key: &str| site.get(admin, &format!("{SHOP}/key?key={key}")).await;
        let item = look("a%20key").await.is(200).json();
        assert_eq!((&item["key"], &item["value_bytes"]), (&json!("a key"), &json!(6000)));
        assert_eq!((&item["ttl_seconds"], &item["cas"]), (&json!(60.0), &json!(42)));
        assert_eq!(item["value"].is_object(), may_see);
        let bytes = look("%ff").await.is(200).json();
        assert_eq!(bytes["key_base64"], "/w==");
        if may_see {
            assert_eq!(item["value"]["is_cut"], true);
            assert!(text(&item["value"]["text"]).len() <= 4096);
            assert_eq!(bytes["value"]["base64"], "gA==");
            // Who manages a cache but may not read its items sees none either.
            let body = json!({ "capabilities": ["admin"] });
            let made = site.post(admin, &format!("{SHOP}/credentials"), body).await.is(201).json();
            let blind = as_of(&made["credential"]);
            let item = site.get(&blind, &format!("{SHOP}/key?key=%ff")).await.is(200).json();
            assert_eq!(item["value"], Value::Null);
        }
        assert_eq!(look("none").await.is(404).code(), "no_item");
        look("").await.is(400);

        site.delete(admin, &format!("{SHOP}/key?key=%ff")).await.is(200);
        look("%ff").await.is(404);
        let log = site.get(admin, &format!("{SHOP}/audit?limit=1")).await.is(200).json();
        assert_eq!(log["entries"][0]["action"], "item.delete");
        assert_eq!(log["entries"][0]["from"], "192.0.2.7");
    }
}

#[tokio::test]
async fn the_log_is_read_page_by_page() {
    let site = Site::new().await;
    let operator = &site.everybody.operator;
    for n in 0..7 {
        let body = json!({ "labels": { "n": n.to_string() } });
        site.patch(operator, SHOP, body).await.is(200);
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/audit?limit=3".to_owned();
    loop {
        let page = site.get(operator, &path).await.is(200).json();
        let entries = page["entries"].as_array().unwrap();
        assert!(!entries.is_empty() && entries.len() <= 3);
        seen.extend(entries.iter().map(|entry| entry["id"].as_i64().unwrap()));
        let Some(next) = page["next"].as_i64() else { break };
        path = format!("/api/v1/audit?limit=3&before={next}");
    }
    assert!(seen.len() > 9 && seen.is_sorted_by(|a, b| a > b), "{seen:?}");
    for limit in ["0", "201", "x", "-1"] {
        site.get(operator, &format!("/api/v1/audit?limit={limit}")).await.is(400);
    }
    // A cache's own log has nothing of others.
    let own =
        site.get(&site.everybody.stranger, "/api/v1/tenants/other/audit").await.is(200).json();
    for entry in own["entries"].as_array().unwrap() {
        assert_eq!(entry["tenant"], "other");
    }
}

#[tokio::test]
async fn alerts_are_made_changed_and_removed() {
    let site = Site::new().await;
    let admin = &site.everybody.admin;
    let path = format!("{SHOP}/alerts");
    let body = json!({
        "kind": "hit_rate_below",
        "threshold": 80,
        "webhook": "https://hooks.example/secret",
    });
    let made = site.post(admin, &path, body).await.is(201).json();
    assert_eq!((&made["for_minutes"], &made["enabled"]), (&json!(5), &json!(true)));
    assert_eq!(made["state"], json!({ "name": "ok", "since": null }));
    let one = format!("{path}/{}", made["id"]);
    let changed = site.patch(admin, &one, json!({ "threshold": 50 })).await.is(200).json();
    assert_eq!((&changed["kind"], &changed["threshold"]), (&json!("hit_rate_below"), &json!(50)));
    assert_eq!(changed["webhook"], "https://hooks.example/secret");
    let changed = site.patch(admin, &one, json!({ "webhook": null })).await.is(200).json();
    assert_eq!((&changed["webhook"], &changed["threshold"]), (&Value::Null, &json!(50)));
    let changed = site.patch(admin, &one, json!({ "kind": "never_hits" })).await.is(200).json();
    assert_eq!(changed["threshold"], Value::Null);
    for wrong in [
        json!({ "kind": "memory_above" }),
        json!({ "kind": "memory_above", "threshold": 101 }),
        json!({ "kind": "bad" }),
        json!({ "kind": "never_hits", "webhook": "ftp://x" }),
        json!({ "kind": "never_hits", "for_minutes": 0 }),
    ] {
        site.post(admin, &path, wrong.clone()).await.is(400);
    }
    // Of another cache there is no such alert.
    let elsewhere = format!("/api/v1/tenants/other/alerts/{}", made["id"]);
    site.get(&site.everybody.stranger, &elsewhere).await.is(404);
    site.delete(&site.everybody.stranger, &elsewhere).await.is(404);
    site.delete(admin, &one).await.is(200);
    site.get(admin, &one).await.is(404);
}

#[tokio::test]
async fn while_the_accounts_cannot_be_asked_the_console_says_so_and_nothing_of_them() {
    let site = Site::new().await;
    site.accounts.close().await;
    let answer = site.get(&site.everybody.operator, "/api/v1/tenants").await.is(503);
    assert_eq!(answer.code(), "unavailable");
    let dir = site.dir.path().to_str().unwrap();
    assert!(!answer.body.contains(dir), "{}", answer.body);
    site.get(&As::Nobody, "/healthz").await.is(200);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn as_of(secret: &Value) -> As {
    As::Basic(text(&secret["username"]), text(&secret["password"]))
}
