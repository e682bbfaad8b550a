//! Servers that freeze, die and come back: every operation ends, nothing stale is served, and the
//! cache works again by itself.
//!
//! The deadline is longer than a busy machine may delay a server that works; where the only server is
//! frozen, time [leaps](leaping) to it.

use std::convert::Infallible;
use std::time::Duration;

use larder::client::{Client, Config, Key, ServerHealth};
use larder::{Backend, Cache, CacheKey, Guard, Lookup, TagVersions, Ttl};
use larder_peers::Memcached;
use tokio::sync::oneshot;
use tokio::time::{pause, resume, sleep, timeout};

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Far beyond all deadlines of one operation: only a hang gets here.
const HANG: Duration = Duration::from_secs(60);

fn config(servers: &[&Memcached]) -> Config {
    let addr = |server: &&Memcached| server.addr().to_string().parse().expect("an address");
    let mut config = Config::new(servers.iter().map(addr).collect());
    config.timeout = DEADLINE;
    config
}

/// Does `work`, which waits for a frozen server: time leaps from deadline to deadline.
async fn leaping<T>(work: impl Future<Output = T>) -> T {
    pause();
    let done = work.await;
    resume();
    done
}

fn cache_with(config: Config) -> Cache {
    let client = Client::new(config).expect("a valid configuration");
    Cache::builder(Backend::memcached(client)).prefix("outage").build().expect("a valid prefix")
}

fn cache_on(server: &Memcached) -> Cache {
    cache_with(config(&[server]))
}

async fn guard_of(cache: &Cache, key: &str) -> Guard {
    cache.lookup::<String>(key).await.value_or_guard().expect_err("no value")
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
    leaping(async {
        for n in 0..50_u64 {
            let compute = async || Ok::<_, ()>(n);
            let computed = timeout(HANG, cache.get_or_compute("key", Ttl::Never, compute)).await;
            assert_eq!(computed.expect("no hang"), Ok(n), "the page has its value all the same");
        }
    })
    .await;
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
    let guard = leaping(async {
        cache.delete("deleted").await;
        cache.set("replaced", &"new", Ttl::Never).await;
        let guard = cache.guard("guarded").await;
        cache.invalidate_tags(&["tag"]).await;
        guard
    })
    .await;
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
    leaping(cache.delete("key")).await;
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

/// A server that restarts gives the same CAS numbers again.
#[tokio::test]
async fn a_guard_from_before_a_restart_stores_nothing() {
    let mut server = Memcached::plain();
    for round in 0..9 {
        server.restart();
        let (here, there) = (cache_on(&server), cache_on(&server));
        let old = guard_of(&here, "key").await;
        server.restart();
        there.delete("key").await;
        let newer = guard_of(&there, "key").await;
        let expected = match round % 3 {
            0 => {
                assert!(!old.fill("old", Ttl::Never).await, "the other program computes");
                assert!(newer.fill("new", Ttl::Never).await);
                Some("new")
            }
            1 => {
                assert!(newer.fill("new", Ttl::Never).await);
                assert!(!old.fill("old", Ttl::Never).await, "the other program has filled it");
                Some("new")
            }
            _ => {
                there.delete("key").await;
                assert!(!old.fill("old", Ttl::Never).await, "the other program has deleted it");
                None
            }
        };
        assert_eq!(there.get::<String>("key").await.as_deref(), expected);
        assert_eq!(here.figures().refused_fills, 1);
    }
}

#[tokio::test]
async fn a_computation_from_before_a_restart_is_neither_stored_nor_shared() {
    let mut server = Memcached::plain();
    for _ in 0..3 {
        server.restart();
        let (here, there) = (cache_on(&server), cache_on(&server));
        let (started, wait_for_start) = oneshot::channel();
        let (end, wait_for_end) = oneshot::channel::<()>();
        let slow = tokio::spawn({
            let here = here.clone();
            async move {
                let compute = async move || {
                    started.send(()).expect("the test waits");
                    wait_for_end.await.expect("the test says when");
                    Ok::<_, Infallible>("old".to_owned())
                };
                here.get_or_compute("key", Ttl::Never, compute).await
            }
        });
        wait_for_start.await.expect("it starts");
        server.restart();
        there.delete("key").await;
        let newer = guard_of(&there, "key").await;
        let compute = async || Ok::<_, Infallible>("new".to_owned());
        let late = timeout(HANG, here.get_or_compute("key", Ttl::Never, compute)).await;
        assert_eq!(late.expect("no wait"), Ok("new".to_owned()));
        end.send(()).expect("it waits");
        assert_eq!(slow.await.expect("no panic"), Ok("old".to_owned()), "it asked before");
        newer.fill("new", Ttl::Never).await;
        assert_eq!(there.get::<String>("key").await.as_deref(), Some("new"));
    }
}

/// Two servers, a value on the first and a tag on the second, and the tag's version.
struct Apart {
    first: Memcached,
    cache: Cache,
    value: CacheKey,
    tag: String,
    before: TagVersions,
    _second: Memcached,
}

impl Apart {
    async fn new() -> Self {
        let (first, second) = (Memcached::plain(), Memcached::plain());
        let mut config = config(&[&first, &second]);
        // It is waited for in earnest: one of the two servers answers, and that takes real time.
        config.timeout = DEADLINE / 2;
        let cache = cache_with(config);
        let client = cache.backend().client().expect("on servers");
        assert_eq!(client.server_count(), 2);
        let is_on = |wire: String, server: &Memcached| {
            let key = Key::new(wire).expect("a plain key");
            client.server_of(&key).to_string() == server.addr().to_string()
        };
        let (mut values, mut tags) = (10..99, 10..99);
        let value = values.find(|n| is_on(format!("outage:1:2:{n}"), &first));
        let tag = tags.find(|n| is_on(format!("outage:1:t:2:{n}"), &second));
        let value = CacheKey::new(value.expect("one of many"));
        let tag = tag.expect("one of many").to_string();
        let before = cache.tag_versions(&[&tag]).await.expect("a version");
        Self { first, cache, value, tag, before, _second: second }
    }

    async fn version(&self) -> TagVersions {
        eventually("a version", async || self.cache.tag_versions(&[&self.tag]).await).await
    }
}

#[tokio::test]
async fn a_cancelled_invalidation_still_changes_its_tags() {
    let apart = Apart::new().await;
    apart.first.freeze();
    let (values, tags) = ([apart.value.clone()], [&apart.tag]);
    let invalidation = apart.cache.invalidate(&values, &tags);
    assert!(timeout(Duration::from_millis(20), invalidation).await.is_err());
    assert_ne!(apart.version().await, apart.before);
}

#[tokio::test]
async fn tags_change_again_once_a_failed_delete_is_done() {
    let apart = Apart::new().await;
    apart.first.freeze();
    apart.cache.invalidate(std::slice::from_ref(&apart.value), &[&apart.tag]).await;
    let meanwhile = apart.version().await;
    assert_ne!(meanwhile, apart.before, "at once");
    // A reader elsewhere, who reaches the first server, may now file the old value under this.
    assert_eq!(apart.version().await, meanwhile);
    apart.first.thaw();
    eventually("another version", async || (apart.version().await != meanwhile).then_some(()))
        .await;
}

#[tokio::test]
async fn a_clear_that_failed_is_done_before_the_next_read() {
    let server = Memcached::plain();
    let cache = cache_on(&server);
    until_stored(&cache).await;
    assert!(cache.set("key", &"old", Ttl::Never).await);
    server.freeze();
    assert!(!leaping(cache.clear()).await);
    assert!(health(&cache).flush_owed);
    server.thaw();
    eventually("an answer", async || match cache.lookup::<String>("key").await {
        Lookup::Miss(_) => Some(()),
        Lookup::Unavailable(_) => None,
        Lookup::Hit(value) => panic!("{value:?} is from before"),
    })
    .await;
    assert!(!health(&cache).flush_owed);
}
