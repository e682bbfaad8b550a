//! Sessions as a browser and a handler see them.

mod session_support;
mod support;

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use larder::client::{Client, Config};
use larder::pages::PageCache;
use larder::sessions::{Secure, Session, SessionError};
use larder::{Backend, Cache, Ttl};
use larder_peers::Memcached;
use session_support::{Answer, Site, reply};
use support::dead_cache;
use tower::{Layer, ServiceExt, service_fn};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn sites() -> [Site; 2] {
    let cache = Cache::in_process(1 << 20);
    [Site::cached_db(&cache), Site::cache_only(&cache)]
}

#[tokio::test]
async fn an_untouched_session_costs_nothing() {
    for site in sites() {
        let cookie = site.begin("user", "ann").await;
        *site.table.down.lock().unwrap() = true;
        for cookie in ["", &cookie] {
            let answer = site.ask(cookie, async |_| Ok("page".to_owned())).await;
            assert_eq!((answer.text.as_str(), answer.headers.len()), ("page", 0));
        }
    }
}

#[tokio::test]
async fn a_read_sets_no_cookie_but_keeps_shared_caches_off() {
    for site in sites() {
        for cookie in ["".to_owned(), site.begin("user", "ann").await] {
            let answer = site
                .ask(&cookie, async |session| {
                    assert!(!session.is_touched());
                    let is_new = session.is_new().await?;
                    assert!(session.is_touched());
                    Ok(is_new.to_string())
                })
                .await;
            assert_eq!(answer.text, cookie.is_empty().to_string());
            assert_eq!(answer.cookie(), None);
            assert_eq!(answer.header("vary"), Some("Cookie"));
            assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
        }
    }
    let site = &sites()[0];
    site.table.rows.lock().unwrap().clear();
    assert_eq!(site.read("", "user").await, "-");
    assert_eq!(site.rows(), 0, "no session for one who only looks");
}

#[tokio::test]
async fn the_cookie_has_all_its_attributes() {
    for site in sites() {
        let answer = site.put("", "user", "ann").await;
        let set = answer.header("set-cookie").unwrap().to_owned();
        let (cookie, attributes) = set.split_once(';').unwrap();
        assert_eq!(attributes, " Path=/; Max-Age=1209600; HttpOnly; SameSite=Lax");
        assert_eq!(cookie.len(), "session=".len() + 64);
        assert_eq!(answer.header("cache-control"), Some("private, no-store"));
        assert_eq!(answer.header("vary"), Some("Cookie"));

        let site = Site {
            layer: site
                .layer
                .clone()
                .cookie_name("__Host-id")
                .unwrap()
                .ttl(Duration::from_secs(60)),
            ..site
        };
        let answer = site.put("", "user", "ann").await;
        let set = answer.header("set-cookie").unwrap();
        assert!(set.starts_with("__Host-id="), "{set}");
        assert!(set.ends_with("; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure"), "{set}");
    }
}

#[tokio::test]
async fn the_cookie_is_secure_behind_tls() {
    let site = &sites()[0];
    let put = async |site: &Site, proto: &str| {
        let request = Request::get("/").header("x-forwarded-proto", proto).body(()).unwrap();
        let answer = site.send(request, async |session| {
            session.insert("user", "ann").await.unwrap();
            reply(StatusCode::OK, String::new())
        });
        answer.await.header("set-cookie").unwrap().ends_with("; Secure")
    };
    assert!(put(site, "https").await);
    assert!(!put(site, "http").await);
    let never = Site { layer: site.layer.clone().secure(Secure::Never), ..site.clone() };
    assert!(!put(&never, "https").await);
    let always = Site { layer: site.layer.clone().secure(Secure::Always), ..site.clone() };
    assert!(put(&always, "http").await);
}

#[tokio::test]
async fn a_response_with_a_cookie_is_never_public() {
    let site = &sites()[0];
    for (given, vary, expected) in [
        ("public, max-age=60", "Accept", ("private, no-store", 2)),
        ("private, max-age=60", "accept, cookie", ("private, max-age=60", 1)),
        ("no-store", "*", ("no-store", 1)),
    ] {
        let request = Request::get("/").body(()).unwrap();
        let answer = site.send(request, async move |session| {
            session.insert("user", "ann").await.unwrap();
            let mut response = reply(StatusCode::OK, String::new());
            response.headers_mut().insert("cache-control", given.parse().unwrap());
            response.headers_mut().insert("vary", vary.parse().unwrap());
            response
        });
        let answer = answer.await;
        let varies = answer.headers.get_all("vary").iter().count();
        assert_eq!((answer.header("cache-control").unwrap(), varies), expected);
    }
}

#[tokio::test]
async fn a_response_that_looked_into_a_session_is_never_public() {
    let site = &sites()[0];
    let cookie = site.begin("user", "ann").await;
    for (status, given, expected) in [
        (200, "public, max-age=60", "private, no-cache"),
        (200, "no-cache", "private, no-cache"),
        (200, "max-age=60, Private", "max-age=60, Private"),
        (200, "no-store", "no-store"),
        (500, "max-age=60", "private, no-cache"),
    ] {
        let request = Request::get("/").header("cookie", &cookie).body(()).unwrap();
        let answer = site.send(request, async move |session| {
            session.get::<String>("user").await.unwrap();
            let mut response = reply(StatusCode::from_u16(status).unwrap(), String::new());
            response.headers_mut().insert("cache-control", given.parse().unwrap());
            response
        });
        assert_eq!(answer.await.header("cache-control"), Some(expected), "{given}");
    }
}

#[tokio::test]
async fn a_page_cache_outside_keeps_nothing_that_looked_into_a_session() {
    for site in sites() {
        let cookie = site.begin("user", "ann").await;
        let pages = PageCache::new(Cache::in_process(1 << 20)).ttl(Ttl::Never);
        let greet = service_fn(async |request: Request<()>| {
            let session = Session::from_extensions(request.extensions()).unwrap();
            let user: Option<String> = session.get("user").await.unwrap();
            Ok::<_, Infallible>(reply(StatusCode::OK, format!("hello {user:?}")))
        });
        let app = pages.layer().layer(site.layer.layer(greet));
        let visit = async || {
            let request = Request::get("/").header("host", "localhost").header("cookie", &cookie);
            let response = app.clone().oneshot(request.body(()).unwrap()).await.unwrap();
            response.into_body().collect().await.unwrap().to_bytes()
        };
        assert_eq!(visit().await, "hello Some(\"ann\")");
        assert_eq!(visit().await, "hello Some(\"ann\")");
        site.sign_out(&cookie).await;
        assert_eq!(visit().await, "hello None", "nothing of the page is left");
        let counts = pages.counts();
        assert_eq!((counts.hits, counts.stored), (0, 0));
    }
}

#[tokio::test]
async fn only_issued_ids_are_accepted() {
    for site in sites() {
        let forged = format!("session={}", "ab".repeat(32));
        for cookie in [&forged, "session=", "session=1", &format!("session={}", "a".repeat(9000))] {
            assert_eq!(site.read(cookie, "user").await, "-");
            let answer = site.put(cookie, "user", "eve").await;
            let fresh = answer.cookie().unwrap();
            assert_ne!(&fresh, cookie, "a fresh id");
            assert_eq!(site.read(cookie, "user").await, "-");
            assert_eq!(site.read(&fresh, "user").await, "eve");
        }
        let ours = site.begin("user", "ann").await;
        let two = format!("{ours}; {forged}");
        assert_eq!(site.read(&two, "user").await, "-", "which of two cannot be told");
    }
}

#[tokio::test]
async fn sign_in_gives_a_new_id_and_keeps_the_values() {
    for site in sites() {
        let planted = site.begin("cart", "tea").await;
        let answer = site
            .ask(&planted, async |session| {
                session.cycle_id().await?;
                session.insert("user", "ann").await?;
                Ok(String::new())
            })
            .await;
        let own = answer.cookie().unwrap();
        assert_ne!(own, planted);
        assert_eq!(site.read(&own, "user").await, "ann");
        assert_eq!(site.read(&own, "cart").await, "tea");
        assert_eq!(site.read(&planted, "user").await, "-");
        assert_eq!(site.read(&planted, "cart").await, "-");
        let fresh = site.ask("", async |session| {
            session.cycle_id().await?;
            Ok(String::new())
        });
        assert_eq!(fresh.await.cookie(), None, "nothing to protect yet");
    }
}

#[tokio::test]
async fn a_new_id_brings_nothing_of_a_deleted_session_back() {
    for site in sites() {
        let cookie = site.begin("cart", "tea").await;
        let other = (site.clone(), cookie.clone());
        let answer = site.ask(&cookie, async move |session| {
            session.cycle_id().await?;
            session.insert("user", "ann").await?;
            other.0.sign_out(&other.1).await;
            Ok(String::new())
        });
        let own = answer.await.cookie().unwrap();
        assert_eq!(site.read(&own, "user").await, "ann");
        assert_eq!(site.read(&own, "cart").await, "-");
    }
}

#[tokio::test]
async fn sign_out_ends_the_session_and_the_cookie() {
    for site in sites() {
        let cookie = site.begin("user", "ann").await;
        let answer = site.sign_out(&cookie).await;
        let set = answer.header("set-cookie").unwrap();
        assert_eq!(set, "session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
        assert_eq!(site.read(&cookie, "user").await, "-", "the old cookie is worth nothing");
        assert_eq!(site.rows(), 0);
        assert_eq!(site.sign_out("").await.cookie(), None);

        // What comes after belongs to a new session.
        let cookie = site.begin("user", "ann").await;
        let answer = site.ask(&cookie, async |session| {
            session.insert("gone", "yes").await?;
            session.destroy().await?;
            assert_eq!(session.get::<String>("user").await?, None);
            session.insert("notice", "Good bye.").await?;
            Ok(String::new())
        });
        let next = answer.await.cookie().unwrap();
        assert_ne!(next, cookie);
        assert_eq!(site.read(&next, "notice").await, "Good bye.");
        assert_eq!(site.read(&next, "gone").await, "-");
    }
}

#[tokio::test]
async fn values_are_typed() {
    for site in sites() {
        let answer = site.ask("", async |session| {
            session.insert("list", &vec![1, 2]).await?;
            session.insert("gone", &1).await?;
            session.remove("gone").await?;
            assert_eq!(session.get::<Vec<u8>>("list").await?, Some(vec![1, 2]));
            assert_eq!(session.get::<u8>("gone").await?, None);
            let wrong = session.get::<String>("list").await.unwrap_err();
            assert!(matches!(&wrong, SessionError::Value { key, .. } if key == "list"));
            let n = session.update("n", |n: Option<u8>| n.map_or(40, |n| n + 1)).await?;
            let m = session.update("n", |n: Option<u8>| n.map_or(40, |n| n + 1)).await?;
            Ok(format!("{n} {m}"))
        });
        let answer = answer.await;
        assert_eq!(answer.text, "40 41");
        let cookie = answer.cookie().unwrap();
        let again = site.ask(&cookie, async |session| {
            Ok(format!(
                "{:?} {:?}",
                session.get::<u8>("n").await?,
                session.get::<u8>("gone").await?
            ))
        });
        assert_eq!(again.await.text, "Some(41) None");
    }
}

#[tokio::test]
async fn writing_the_same_value_again_is_no_change() {
    let site = &sites()[0];
    let cookie = site.begin("user", "ann").await;
    assert_eq!(site.put(&cookie, "user", "ann").await.cookie(), None);
    assert_eq!(site.table.rows.lock().unwrap().values().next().unwrap().version, 1);
    assert_eq!(site.put(&cookie, "user", "bob").await.cookie(), Some(cookie));
}

#[tokio::test]
async fn nothing_secret_is_stored() {
    let site = &sites()[0];
    let cookie = site.begin("user", "ann").await;
    let id = cookie.strip_prefix("session=").unwrap();
    let rows = format!("{:?}", site.table.rows.lock().unwrap());
    assert!(rows.contains("ann") && !rows.contains(id));
}

#[tokio::test]
async fn a_failed_request_saves_nothing() {
    for site in sites() {
        let request = Request::get("/").body(()).unwrap();
        let answer = site.send(request, async |session| {
            session.insert("user", "ann").await.unwrap();
            reply(StatusCode::INTERNAL_SERVER_ERROR, String::new())
        });
        let answer = answer.await;
        assert_eq!((answer.cookie(), site.rows()), (None, 0));
        assert_eq!(answer.header("vary"), Some("Cookie"));

        let request = Request::get("/").body(()).unwrap();
        let answer = site.send(request, async |session| {
            session.insert("user", "ann").await.unwrap();
            session.save().await.unwrap();
            session.insert("late", "yes").await.unwrap();
            reply(StatusCode::INTERNAL_SERVER_ERROR, String::new())
        });
        let cookie = answer.await.cookie().expect("it was saved before");
        assert_eq!(site.read(&cookie, "user").await, "ann");
        assert_eq!(site.read(&cookie, "late").await, "-");
    }
}

/// A site whose cache and sessions go by one clock.
fn site_with_a_clock(cached_db: bool) -> Site {
    let site = sites().into_iter().next().unwrap();
    let mut config = larder::store::Config::new(1 << 20);
    config.clock = site.clock.clone();
    let cache = Cache::builder(Backend::store(config)).build().unwrap();
    let other = if cached_db { Site::cached_db(&cache) } else { Site::cache_only(&cache) };
    Site { layer: other.layer.clone().clock(site.clock.clone()), clock: site.clock, ..other }
}

#[tokio::test]
async fn sessions_end() {
    for cached_db in [true, false] {
        let site = site_with_a_clock(cached_db);
        let cookie = site.begin("user", "ann").await;
        site.clock.advance(14 * DAY - Duration::from_millis(1));
        let kept = site.ask(&cookie, async |session| Ok(session.is_new().await?.to_string()));
        assert_eq!(kept.await.text, "false");
        site.clock.advance(14 * DAY);
        assert_eq!(site.read(&cookie, "user").await, "-");
        let fresh = site.put(&cookie, "user", "ann").await.cookie().unwrap();
        assert_ne!(fresh, cookie);
    }
    // Its end is in the row and in the cached copy: no clock of a cache's decides.
    let site = &sites()[0];
    let cookie = site.begin("user", "ann").await;
    site.clock.advance(14 * DAY);
    assert_eq!(site.read(&cookie, "user").await, "-");
}

#[tokio::test]
async fn use_renews_a_session_now_and_then() {
    for cached_db in [true, false] {
        let site = site_with_a_clock(cached_db);
        let cookie = site.begin("user", "ann").await;
        let version = || site.table.rows.lock().unwrap().values().next().map(|row| row.version);
        let touch = async || -> Answer {
            site.ask(&cookie, async |session| Ok(session.is_new().await?.to_string())).await
        };
        site.clock.advance(DAY);
        assert_eq!(touch().await.cookie(), None, "not with every read");
        site.clock.advance(DAY / 2);
        assert_eq!(touch().await.cookie().as_ref(), Some(&cookie));
        assert_eq!(touch().await.cookie(), None);
        assert_eq!(version(), cached_db.then_some(2));
        for _ in 0..5 {
            site.clock.advance(10 * DAY);
            assert_eq!(touch().await.text, "false", "as long as they come");
        }
    }
}

#[tokio::test]
async fn with_a_table_no_cache_is_needed() {
    for cache in [dead_cache(), Cache::null()] {
        let site = Site::cached_db(&cache);
        let cookie = site.begin("user", "ann").await;
        assert_eq!(site.read(&cookie, "user").await, "ann");
        assert_eq!(site.put(&cookie, "cart", "tea").await.cookie().as_ref(), Some(&cookie));
        assert_eq!(site.read(&cookie, "cart").await, "tea");
        site.sign_out(&cookie).await;
        assert_eq!(site.read(&cookie, "user").await, "-");
    }
}

#[tokio::test]
async fn with_a_table_a_session_survives_an_emptied_cache() {
    let cache = Cache::in_process(1 << 20);
    let site = Site::cached_db(&cache);
    let cookie = site.begin("user", "ann").await;
    cache.clear().await;
    assert_eq!(site.read(&cookie, "user").await, "ann");
    cache.clear().await;
    assert_eq!(site.put(&cookie, "cart", "tea").await.status, 200);
    cache.clear().await;
    assert_eq!(site.read(&cookie, "cart").await, "tea");
}

/// The cache comes back with what it knew before; that must not be believed.
#[tokio::test]
async fn with_a_table_a_frozen_cache_loses_and_keeps_nothing() {
    let server = Memcached::plain();
    let config = Config::new(vec![server.addr().to_string().parse().unwrap()]);
    let backend = Backend::memcached(Client::new(config).unwrap());
    let site = Site::cached_db(&Cache::builder(backend).build().unwrap());
    let kept = site.begin("user", "ann").await;
    let left = site.begin("user", "bob").await;
    server.freeze();
    assert_eq!(site.put(&kept, "cart", "tea").await.status, 200);
    site.sign_out(&left).await;
    assert_eq!(site.read(&kept, "cart").await, "tea");
    server.thaw();
    for _ in 0..50 {
        assert_eq!(site.read(&kept, "cart").await, "tea");
        assert_eq!(site.read(&left, "user").await, "-");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_database_outage_is_an_error_and_never_a_new_session() {
    let cache = Cache::in_process(1 << 20);
    let site = Site::cached_db(&cache);
    let cookie = site.begin("user", "ann").await;
    *site.table.down.lock().unwrap() = true;

    assert_eq!(site.read(&cookie, "user").await, "ann", "the cache has it");
    let answer = site.put(&cookie, "cart", "tea").await;
    assert_eq!((answer.status.as_u16(), answer.cookie()), (503, None));
    assert!(answer.text.contains("could not be saved"), "{}", answer.text);
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    cache.clear().await;
    let answer = site.put(&cookie, "cart", "tea").await;
    assert_eq!((answer.status.as_u16(), answer.cookie()), (503, None));
    assert!(answer.text.contains("the database is down"), "{}", answer.text);
    let answer = site.sign_out(&cookie).await;
    assert_eq!((answer.status.as_u16(), answer.cookie()), (503, None), "not signed out");

    *site.table.down.lock().unwrap() = false;
    assert_eq!(site.read(&cookie, "user").await, "ann");
    assert_eq!(site.read(&cookie, "cart").await, "-");
}

#[tokio::test]
async fn a_renewal_that_fails_is_no_error() {
    let site = site_with_a_clock(true);
    let cookie = site.begin("user", "ann").await;
    site.clock.advance(7 * DAY);
    *site.table.down.lock().unwrap() = true;
    let answer = site.ask(&cookie, async |session| Ok(session.is_new().await?.to_string())).await;
    assert_eq!((answer.text.as_str(), answer.cookie()), ("false", None));
}

#[tokio::test]
async fn without_its_cache_a_session_is_unavailable_and_not_lost() {
    let site = Site::cache_only(&dead_cache());
    let cookie = format!("session={}", "ab".repeat(32));
    for cookie in [cookie.as_str(), ""] {
        let answer = site.put(cookie, "cart", "tea").await;
        assert_eq!((answer.status.as_u16(), answer.cookie()), (503, None));
    }
    let answer = site.ask(&cookie, async |session| {
        let error = session.get::<String>("user").await.unwrap_err();
        assert!(matches!(error, SessionError::Unavailable));
        Ok("page without a session".to_owned())
    });
    let answer = answer.await;
    assert_eq!((answer.status.as_u16(), answer.cookie()), (200, None), "the cookie stays");
}

#[tokio::test]
async fn a_row_that_is_no_session_is_an_error() {
    let cache = Cache::null();
    let site = Site::cached_db(&cache);
    let cookie = site.begin("user", "ann").await;
    site.table.rows.lock().unwrap().values_mut().for_each(|row| row.data = "[1".to_owned());
    let answer = site.put(&cookie, "user", "bob").await;
    assert_eq!((answer.status.as_u16(), answer.cookie()), (503, None));
}
