//! Fills and invalidations: a value read before a change is never served after it.

#[macro_use]
mod support;

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use larder::client::Key;
use larder::{Cache, CacheKey, Lookup, Ttl};
use support::{Kind, Rig, dead_cache};
use tokio::sync::{Barrier, oneshot};
use tokio::task::JoinHandle;

over_every_backend!(
    a_fill_that_was_overtaken_is_refused,
    two_programs_share_one_guard,
    an_exclusive_guard_voids_the_others,
    what_cannot_be_read_is_claimed_like_nothing,
    a_hit_needs_no_computation,
    one_computation_for_all_who_miss,
    a_latecomer_after_an_invalidation_computes_anew,
    a_failed_computation_is_not_stored,
    a_panicking_leader_frees_its_waiters,
    a_cancelled_leader_frees_its_waiters,
    refresh_leaves_the_last_writers_value,
    tags_make_everything_under_them_stale,
    many_look_ups_cost_one_round_trip,
);

async fn a_fill_that_was_overtaken_is_refused(rig: Rig) {
    let cache = rig.cache;
    let guard = cache.lookup::<u64>("key").await.value_or_guard().unwrap_err();
    cache.delete("key").await;
    assert!(!guard.fill(&1, Ttl::Never).await, "deleted while it was computed");
    assert_eq!(cache.get::<u64>("key").await, None);

    let guard = cache.lookup::<u64>("key").await.value_or_guard().unwrap_err();
    cache.delete("key").await;
    let newer = cache.lookup::<u64>("key").await.value_or_guard().unwrap_err();
    assert!(newer.fill(&2, Ttl::Never).await);
    assert!(!guard.fill(&1, Ttl::Never).await, "and filled with something newer");
    assert_eq!(cache.get::<u64>("key").await, Some(2));
    assert_eq!(cache.figures().refused_fills, 2);

    let guard = cache.lookup::<u64>("flushed").await.value_or_guard().unwrap_err();
    cache.clear().await;
    assert!(!guard.fill(&1, Ttl::Never).await);
}

async fn two_programs_share_one_guard(rig: Rig) {
    let (here, there) = (rig.cache.clone(), rig.another());
    let first = here.lookup::<u64>("key").await.value_or_guard().unwrap_err();
    let second = there.lookup::<u64>("key").await.value_or_guard().unwrap_err();
    assert!(second.fill(&2, Ttl::Never).await);
    assert!(!first.fill(&1, Ttl::Never).await, "the first fill stands");
    assert_eq!(here.get::<u64>("key").await, Some(2));

    let first = here.lookup::<u64>("other").await.value_or_guard().unwrap_err();
    there.delete("other").await;
    assert!(!first.fill(&1, Ttl::Never).await, "the other program's delete counts");
}

async fn an_exclusive_guard_voids_the_others(rig: Rig) {
    let cache = rig.cache;
    cache.set("key", &1, Ttl::Never).await;
    let first = cache.guard("key").await;
    assert_eq!(cache.get::<u64>("key").await, None, "the old value is gone at once");
    let second = cache.guard("key").await;
    assert!(!first.fill(&2, Ttl::Never).await);
    assert!(second.fill(&3, Ttl::Never).await);
    assert_eq!(cache.get::<u64>("key").await, Some(3));
}

async fn what_cannot_be_read_is_claimed_like_nothing(rig: Rig) {
    let (cache, other) = (rig.cache.clone(), rig.another());
    other.set("key", &"text", Ttl::Never).await;
    let guard = cache.lookup::<u64>("key").await.value_or_guard().unwrap_err();
    assert_eq!(other.get::<String>("key").await, None, "a placeholder has replaced it");
    assert!(guard.fill(&1, Ttl::Never).await);

    other.set("key", &"text", Ttl::Never).await;
    let guard = cache.lookup::<u64>("key").await.value_or_guard().unwrap_err();
    other.set("key", &"text", Ttl::Never).await;
    assert!(!guard.fill(&2, Ttl::Never).await, "the same value, but written since");

    let computed = cache.get_or_compute("key", Ttl::Never, async || Ok::<_, Infallible>(3)).await;
    assert_eq!(computed, Ok(3));
    assert_eq!(other.get::<u64>("key").await, Some(3));

    // Another program's item, in a format of its own.
    let Some(client) = cache.backend().client() else { return };
    client.set(&Key::new("foreign").unwrap(), "?", 0xdead, 0).await.unwrap();
    let guard = cache.lookup::<u64>(CacheKey::verbatim("foreign").unwrap()).await;
    assert!(guard.value_or_guard().unwrap_err().fill(&4, Ttl::Never).await);
    assert_eq!(cache.get::<u64>(CacheKey::verbatim("foreign").unwrap()).await, Some(4));
}

async fn a_hit_needs_no_computation(rig: Rig) {
    let runs = Cell::new(0);
    let compute = async || {
        runs.set(runs.get() + 1);
        Ok::<_, Infallible>(Vec::<u64>::new())
    };
    for _ in 0..3 {
        assert_eq!(rig.cache.get_or_compute("list", Ttl::Never, compute).await, Ok(vec![]));
    }
    assert_eq!(runs.get(), 1, "an empty list is a value");
}

async fn one_computation_for_all_who_miss(rig: Rig) {
    let runs = Arc::new(AtomicUsize::new(0));
    let start = Arc::new(Barrier::new(50));
    let tasks = (0..50).map(|_| {
        let (cache, runs, start) = (rig.cache.clone(), runs.clone(), start.clone());
        tokio::spawn(async move {
            start.wait().await;
            let compute = async || {
                runs.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok::<_, Infallible>("value".to_owned())
            };
            cache.get_or_compute("key", Ttl::Never, compute).await
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap(), Ok("value".to_owned()));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

async fn a_latecomer_after_an_invalidation_computes_anew(rig: Rig) {
    let (started, wait_for_start) = oneshot::channel();
    let (go_on, wait_to_go_on) = oneshot::channel::<()>();
    let cache = rig.cache.clone();
    let slow = tokio::spawn(async move {
        let compute = async move || {
            started.send(()).unwrap();
            wait_to_go_on.await.unwrap();
            Ok::<_, Infallible>("old".to_owned())
        };
        cache.get_or_compute("key", Ttl::Never, compute).await
    });
    wait_for_start.await.unwrap();
    // By another program, so nothing in this process has been told.
    rig.another().delete("key").await;
    let compute = async || Ok::<_, Infallible>("new".to_owned());
    let late = rig.cache.get_or_compute("key", Ttl::Never, compute).await;
    assert_eq!(late, Ok("new".to_owned()), "asked after the change, so must see it");
    go_on.send(()).unwrap();
    assert_eq!(slow.await.unwrap(), Ok("old".to_owned()), "asked before the change");
    assert_eq!(rig.cache.get::<String>("key").await, Some("new".to_owned()));
}

async fn a_failed_computation_is_not_stored(rig: Rig) {
    let failed = rig.cache.get_or_compute("key", Ttl::Never, async || Err::<u64, _>("no")).await;
    assert_eq!(failed, Err("no"));
    let again = rig.cache.get_or_compute("key", Ttl::Never, async || Ok::<_, ()>(2_u64)).await;
    assert_eq!(again, Ok(2));
    assert_eq!(rig.cache.get::<u64>("key").await, Some(2));
}

/// Starts a leader that hangs until told to end, and a waiter behind it.
async fn leader_and_waiter(rig: &Rig) -> (JoinHandle<()>, oneshot::Sender<()>, JoinHandle<u64>) {
    let (started, wait_for_start) = oneshot::channel();
    let (end, wait_for_end) = oneshot::channel::<()>();
    let cache = rig.cache.clone();
    let leader = tokio::spawn(async move {
        let compute = async move || {
            started.send(()).unwrap();
            wait_for_end.await.unwrap();
            panic!("the database exploded");
            #[allow(unreachable_code, reason = "gives the closure its type")]
            Ok::<u64, Infallible>(0)
        };
        let _ = cache.get_or_compute("key", Ttl::Never, compute).await;
    });
    wait_for_start.await.unwrap();
    let cache = rig.cache.clone();
    let waiter = tokio::spawn(async move {
        let compute = async || Ok::<_, Infallible>(2_u64);
        cache.get_or_compute("key", Ttl::Never, compute).await.unwrap()
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiter.is_finished(), "it waits for the leader");
    (leader, end, waiter)
}

async fn a_panicking_leader_frees_its_waiters(rig: Rig) {
    let (leader, end, waiter) = leader_and_waiter(&rig).await;
    end.send(()).unwrap();
    assert!(leader.await.unwrap_err().is_panic());
    assert_eq!(waiter.await.unwrap(), 2);
}

async fn a_cancelled_leader_frees_its_waiters(rig: Rig) {
    let (leader, _end, waiter) = leader_and_waiter(&rig).await;
    leader.abort();
    assert_eq!(waiter.await.unwrap(), 2);
    assert_eq!(rig.cache.get::<u64>("key").await, Some(2));
}

async fn refresh_leaves_the_last_writers_value(rig: Rig) {
    let (cache, other) = (rig.cache.clone(), rig.another());
    let (started, wait_for_start) = oneshot::channel();
    let (go_on, wait_to_go_on) = oneshot::channel::<()>();
    let slow = tokio::spawn(async move {
        let compute = async move || {
            started.send(()).unwrap();
            wait_to_go_on.await.unwrap();
            Ok::<_, Infallible>("older")
        };
        cache.refresh("key", Ttl::Never, compute).await.map(drop)
    });
    wait_for_start.await.unwrap();
    let newer = other.refresh("key", Ttl::Never, async || Ok::<_, Infallible>("newer")).await;
    assert_eq!(newer, Ok("newer"));
    go_on.send(()).unwrap();
    slow.await.unwrap().unwrap();
    assert_eq!(rig.cache.get::<String>("key").await.as_deref(), Some("newer"));
}

async fn tags_make_everything_under_them_stale(rig: Rig) {
    let (cache, other) = (rig.cache.clone(), rig.another());
    let before = cache.tag_versions(&["tasks", "users"]).await.unwrap();
    assert_eq!(other.tag_versions(&["tasks", "users"]).await.unwrap(), before);
    let key = CacheKey::new("tasks.all").with(&before);
    cache.set(&key, &1, Ttl::Never).await;
    other.invalidate_tags(&["tasks"]).await;
    let after = cache.tag_versions(&["tasks", "users"]).await.unwrap();
    assert_ne!(after.as_slice()[0], before.as_slice()[0]);
    assert_eq!(after.as_slice()[1], before.as_slice()[1]);
    assert_eq!(cache.get::<u64>(CacheKey::new("tasks.all").with(&after)).await, None);
    // A tag lives in its own room: a program's key cannot touch it.
    cache.delete(CacheKey::new("t").with("tasks")).await;
    assert_eq!(cache.tag_versions(&["tasks", "users"]).await.unwrap(), after);
}

async fn many_look_ups_cost_one_round_trip(rig: Rig) {
    let cache = rig.cache;
    let keys: Vec<_> = (0..20).map(|n| CacheKey::new("part").with(n)).collect();
    let trips = |n| if rig.kind == Kind::InProcess { 0 } else { n };
    let start = cache.figures();
    let found = cache.lookup_bytes_many(&keys).await;
    assert_eq!(cache.figures().round_trips - start.round_trips, trips(2), "look, then guard");
    let fills = found.into_iter().enumerate().map(|(n, lookup)| {
        let guard = lookup.value_or_guard().unwrap_err();
        (guard, n.to_string().into(), Ttl::Never)
    });
    assert_eq!(larder::Guard::fill_bytes_many(fills.collect()).await, 20);
    assert_eq!(cache.figures().round_trips - start.round_trips, trips(4), "look again, then write");
    let found = cache.lookup_bytes_many(&keys).await;
    assert!(found.iter().all(|lookup| matches!(lookup, Lookup::Hit(_))));
    let end = cache.figures();
    assert_eq!(end.round_trips - start.round_trips, trips(5));
    assert_eq!((end.gets, end.hits, end.misses), (40, 20, 20));
}

#[tokio::test]
async fn a_dead_cache_is_a_miss_and_computes() {
    let cache = dead_cache();
    assert_eq!(cache.get::<u64>("key").await, None);
    assert!(!cache.set("key", &1, Ttl::Never).await);
    let computed = cache.get_or_compute("key", Ttl::Never, async || Ok::<_, ()>(2_u64)).await;
    assert_eq!(computed, Ok(2));
    assert!(matches!(cache.lookup::<u64>("key").await, Lookup::Unavailable(_)));
    assert_eq!(cache.tag_versions(&["tag"]).await, None);
    assert!(cache.figures().errors > 0, "and everybody can see it");
    assert!(cache.check().await.is_err());
}

/// A computation of "key" that has read 1 and does not end before it is told to.
async fn slow_one(cache: &Cache) -> (JoinHandle<u64>, oneshot::Sender<()>) {
    let (started, wait_for_start) = oneshot::channel();
    let (end, wait_for_end) = oneshot::channel::<()>();
    let cache = cache.clone();
    let slow = tokio::spawn(async move {
        let compute = async move || {
            started.send(()).unwrap();
            wait_for_end.await.unwrap();
            Ok::<_, Infallible>(1_u64)
        };
        cache.get_or_compute("key", Ttl::Never, compute).await.unwrap()
    });
    wait_for_start.await.unwrap();
    (slow, end)
}

#[tokio::test]
async fn with_the_cache_down_nobody_gets_what_was_read_before_they_asked() {
    let cache = dead_cache();
    let (slow, end) = slow_one(&cache).await;
    // Another process changes the value; nothing can tell this one.
    let runs = Arc::new(AtomicUsize::new(0));
    let late = (0..20).map(|_| {
        let (cache, runs) = (cache.clone(), runs.clone());
        tokio::spawn(async move {
            let compute = async || {
                runs.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok::<_, Infallible>(2)
            };
            cache.get_or_compute("key", Ttl::Never, compute).await.unwrap()
        })
    });
    let late: Vec<_> = late.collect();
    while cache.figures().gets < 21 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // All have asked the cache.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(runs.load(Ordering::SeqCst), 0, "one computation at a time");
    end.send(()).unwrap();
    assert_eq!(slow.await.unwrap(), 1);
    for late in late {
        assert_eq!(late.await.unwrap(), 2);
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1, "and one for all who waited");
}

#[tokio::test]
async fn after_a_write_nobody_waits_for_what_was_under_way() {
    for write in ["set", "set_many", "add", "replace"] {
        let cache = dead_cache();
        let (slow, end) = slow_one(&cache).await;
        match write {
            "set" => drop(cache.set("key", &2, Ttl::Never).await),
            "set_many" => drop(cache.set_many(&[(CacheKey::new("key"), 2)], Ttl::Never).await),
            "add" => drop(cache.add("key", &2, Ttl::Never).await),
            _ => drop(cache.replace("key", &2, Ttl::Never).await),
        }
        let compute = async || Ok::<_, Infallible>(2_u64);
        let late = cache.get_or_compute("key", Ttl::Never, compute);
        let late = tokio::time::timeout(Duration::from_secs(20), late).await;
        assert_eq!(late.expect("no wait"), Ok(2), "{write}");
        end.send(()).unwrap();
        assert_eq!(slow.await.unwrap(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn computations_that_need_each_other_end() {
    let cache = Cache::in_process(1 << 20);
    let nested = async |outer: &'static str, inner: &'static str| {
        let compute = async || {
            tokio::time::sleep(Duration::from_millis(50)).await;
            cache.get_or_compute(inner, Ttl::Never, async || Ok::<_, Infallible>(1_u64)).await
        };
        cache.get_or_compute(outer, Ttl::Never, compute).await
    };
    let all = async { tokio::join!(nested("a", "b"), nested("b", "a"), nested("c", "c")) };
    let all = tokio::time::timeout(Duration::from_secs(120), all).await;
    assert_eq!(all.expect("an end"), (Ok(1), Ok(1), Ok(1)));
}
