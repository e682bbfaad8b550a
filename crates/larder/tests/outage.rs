//! Servers that freeze, die and come back: every operation ends, nothing stale is served, and the
//! cache works again by itself.

use std::time::Duration;

use larder::client::{Client, Config, ServerHealth};
use larder::{Backend, Cache, Lookup, Ttl};
use larder_peers::Memcached;
use tokio::time::{sleep, timeout};

/// Far beyond any deadline of the cache: only a hang gets here.
const HANG: Duration = Duration::from_secs(30);

fn cache_on(server: &Memcached) -> Cache {
    let addr = server.addr().to_string().parse().expect("an address");
    let client = Client::new(Config::new(vec![addr])).expect("a valid configuration");
    Cache::builder(Backend::memcached(client)).prefix("outage").build().expect("a valid prefix")
}

fn health(cache: &Cache) -> ServerHealth {
    cache.backend().client().expect("on servers").health().remove(0)
}

/// Repeats `look` until it gives something.
async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let found = timeout(HANG, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

async fn until_stored(cache: &Cache) {
    eventually("a set that is stored", async || {
        cache.set("probe", &1, Ttl::Never).await.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_frozen_server_is_a_miss_and_then_left_alone() {
    let server = Memcached::plain();
    let cache = cache_on(&server);
    until_stored(&cache).await;
    server.freeze();
    for n in 0..50_u64 {
        let compute = async || Ok::<_, ()>(n);
        let computed = timeout(HANG, cache.get_or_compute("key", Ttl::Never, compute)).await;
        assert_eq!(computed.expect("no hang"), Ok(n), "the page has its value all the same");
    }
    assert!(!health(&cache).up);
    // Two failures and now and then a probe waited for the server; the rest did not.
    assert!(health(&cache).failures < 25, "{:?}", health(&cache));
    assert!(cache.figures().errors >= 50);
    server.thaw();
    until_stored(&cache).await;
    assert_eq!(cache.get_or_compute("key", Ttl::Never, async || Ok::<_, ()>(7)).await, Ok(7));
    assert_eq!(cache.get::<u64>("key").await, Some(7));
    assert!(health(&cache).up);
}

#[tokio::test]
async fn an_invalidation_that_failed_is_done_before_the_next_read() {
    let server = Memcached::plain();
    let cache = cache_on(&server);
    until_stored(&cache).await;
    assert!(cache.set("deleted", &"old", Ttl::Never).await);
    assert!(cache.set("replaced", &"old", Ttl::Never).await);
    assert!(cache.set("guarded", &"old", Ttl::Never).await);
    let tag = cache.tag_versions(&["tag"]).await.expect("a version");
    server.freeze();
    cache.delete("deleted").await;
    cache.set("replaced", &"new", Ttl::Never).await;
    let guard = cache.guard("guarded").await;
    cache.invalidate_tags(&["tag"]).await;
    server.thaw();
    // From the first answer on, nothing of the old is seen.
    let versions = eventually("an answer", async || cache.tag_versions(&["tag"]).await).await;
    assert_ne!(versions, tag);
    for key in ["deleted", "replaced", "guarded"] {
        match cache.lookup::<String>(key).await {
            Lookup::Hit(value) => assert_eq!((key, value.as_str()), ("replaced", "new")),
            Lookup::Miss(_) => {}
            Lookup::Unavailable(_) => panic!("the server answers"),
        }
    }
    assert!(!guard.fill(&"older", Ttl::Never).await);
    assert_eq!(health(&cache).owed_deletes, 0);
}

#[tokio::test]
async fn another_program_is_not_left_with_the_old_value() {
    let server = Memcached::plain();
    let (cache, other) = (cache_on(&server), cache_on(&server));
    until_stored(&cache).await;
    assert!(cache.set("key", &"old", Ttl::Never).await);
    server.freeze();
    cache.delete("key").await;
    server.thaw();
    // Nothing more is asked of `cache`: it pays its debt in the background.
    eventually("the delete", async || match other.lookup::<String>("key").await {
        Lookup::Miss(_) => Some(()),
        Lookup::Hit(_) | Lookup::Unavailable(_) => None,
    })
    .await;
}

#[tokio::test]
async fn a_restarted_server_is_used_again_without_a_failed_value() {
    let mut server = Memcached::plain();
    let cache = cache_on(&server);
    until_stored(&cache).await;
    let load = tokio::spawn({
        let cache = cache.clone();
        async move {
            for n in 0..2000_u64 {
                let key = n % 10;
                let compute = async || Ok::<_, ()>(key * 7);
                let value = timeout(HANG, cache.get_or_compute(key, Ttl::Never, compute)).await;
                assert_eq!(value.expect("no hang"), Ok(key * 7));
                tokio::task::yield_now().await;
            }
        }
    });
    for _ in 0..3 {
        sleep(Duration::from_millis(30)).await;
        server.kill();
        sleep(Duration::from_millis(30)).await;
        server.restart();
    }
    load.await.expect("every value was right");
    until_stored(&cache).await;
    let before = cache.figures();
    assert!(cache.set("key", &1, Ttl::Never).await && cache.contains("key").await);
    assert_eq!(cache.figures().hits - before.hits, 1);
}
