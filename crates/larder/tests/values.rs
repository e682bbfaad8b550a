//! Values by key: the same behaviour over every backend.

#[macro_use]
mod support;

use std::time::Duration;

use larder::{CacheKey, Ttl};
use serde::{Deserialize, Serialize};
use support::{Kind, Rig};

over_every_backend!(
    what_is_set_is_got,
    an_empty_list_is_a_value,
    another_type_is_a_miss,
    many_travel_together,
    add_and_replace_ask_first,
    delete_and_contains,
    counters_are_ascii_digits,
    bytes_stay_what_they_are,
    a_ttl_runs_out,
    zero_means_do_not_store,
    touch_gives_a_new_life,
    a_placeholder_is_not_touched_or_counted,
    more_than_thirty_days_is_not_the_past,
    any_text_is_a_key,
    prefixes_and_versions_are_apart,
    clear_empties,
    a_value_too_large_is_not_stored,
    the_check_passes,
);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Task {
    id: i64,
    name: String,
}

fn task(id: i64) -> Task {
    Task { id, name: format!("täsk <{id}>\r\n") }
}

async fn what_is_set_is_got(rig: Rig) {
    let cache = rig.cache;
    assert_eq!(cache.get::<Task>("task").await, None);
    assert!(cache.set("task", &task(7), Ttl::Never).await);
    assert_eq!(cache.get::<Task>("task").await, Some(task(7)));
    assert!(cache.set("task", &task(8), Ttl::Default).await);
    assert_eq!(cache.get::<Task>("task").await, Some(task(8)));
    let figures = cache.figures();
    assert_eq!((figures.gets, figures.hits, figures.misses, figures.sets), (3, 2, 1, 2));
    assert_eq!(figures.errors, 0);
}

async fn an_empty_list_is_a_value(rig: Rig) {
    rig.cache.set("list", &Vec::<Task>::new(), Ttl::Never).await;
    assert_eq!(rig.cache.get::<Vec<Task>>("list").await, Some(vec![]));
    rig.cache.set("nothing", &None::<Task>, Ttl::Never).await;
    assert_eq!(rig.cache.get::<Option<Task>>("nothing").await, Some(None));
}

async fn another_type_is_a_miss(rig: Rig) {
    rig.cache.set("value", &"text", Ttl::Never).await;
    assert_eq!(rig.cache.get::<Task>("value").await, None);
    let figures = rig.cache.figures();
    assert_eq!((figures.gets, figures.hits, figures.misses, figures.undecodable), (1, 0, 1, 1));
}

async fn many_travel_together(rig: Rig) {
    let cache = rig.cache;
    let keys: Vec<_> = (0..250).map(|n| CacheKey::new("n").with(n)).collect();
    let values: Vec<_> = keys.iter().cloned().zip(0_u64..).filter(|(_, n)| n % 2 == 0).collect();
    let before = cache.figures().round_trips;
    assert!(cache.set_many(&values, Ttl::Never).await.into_iter().all(|stored| stored));
    let found = cache.get_many::<u64>(&keys).await;
    for (n, found) in (0_u64..).zip(found) {
        assert_eq!(found, (n % 2 == 0).then_some(n));
    }
    assert_eq!(cache.delete_many(&keys).await, 125);
    let trips = if rig.server.is_some() { 3 } else { 0 };
    assert_eq!(cache.figures().round_trips - before, trips);
}

async fn add_and_replace_ask_first(rig: Rig) {
    let cache = rig.cache;
    assert!(!cache.replace("key", &1, Ttl::Never).await);
    assert!(cache.add("key", &1, Ttl::Never).await);
    assert!(!cache.add("key", &2, Ttl::Never).await);
    assert_eq!(cache.get::<u64>("key").await, Some(1));
    assert!(cache.replace("key", &3, Ttl::Never).await);
    assert_eq!(cache.get::<u64>("key").await, Some(3));
    // A placeholder is not a value: `add` goes through, and the guard is void.
    let guard = cache.lookup::<u64>("computed").await.value_or_guard().unwrap_err();
    assert!(cache.add("computed", &5, Ttl::Never).await);
    assert!(!guard.fill(&6, Ttl::Never).await);
    assert_eq!(cache.get::<u64>("computed").await, Some(5));
}

async fn delete_and_contains(rig: Rig) {
    let cache = rig.cache;
    assert!(!cache.delete("key").await);
    cache.set("key", &1, Ttl::Never).await;
    assert!(cache.contains("key").await);
    assert!(cache.delete("key").await);
    assert!(!cache.contains("key").await);
}

async fn counters_are_ascii_digits(rig: Rig) {
    let cache = rig.cache;
    assert_eq!(cache.incr("visits", 1).await, None);
    cache.set("visits", &41_u64, Ttl::Never).await;
    assert_eq!(cache.get_bytes("visits").await.as_deref(), Some(&b"41"[..]));
    assert_eq!(cache.incr("visits", 1).await, Some(42));
    assert_eq!(cache.get::<u64>("visits").await, Some(42));
    assert_eq!(cache.decr("visits", 40).await, Some(2));
    // memcached pads a number that has become shorter with a space.
    assert_eq!(cache.get::<u64>("visits").await, Some(2));
    assert_eq!(cache.decr("visits", 9).await, Some(0));
    cache.set("full", &u64::MAX, Ttl::Never).await;
    assert_eq!(cache.incr("full", 2).await, Some(1));
    cache.set("text", &"words", Ttl::Never).await;
    assert_eq!(cache.incr("text", 1).await, None);
    assert_eq!(cache.incr("a key with spaces", 1).await, None);
}

async fn bytes_stay_what_they_are(rig: Rig) {
    let cache = rig.cache;
    for value in [&b""[..], b"007", b"\0\r\nEND\r\n\xff", b" 12 "] {
        cache.set_bytes("bytes", value, Ttl::Never).await;
        assert_eq!(cache.get_bytes("bytes").await.as_deref(), Some(value));
        cache.set_bytes("bytes under a hashed key", value, Ttl::Never).await;
        assert_eq!(cache.get_bytes("bytes under a hashed key").await.as_deref(), Some(value));
    }
}

async fn a_ttl_runs_out(rig: Rig) {
    rig.cache.set("short", &1, Duration::from_secs(1)).await;
    rig.cache.set("long", &1, Ttl::secs(100)).await;
    rig.cache.set("forever", &1, Ttl::Never).await;
    rig.pass(1).await;
    assert!(!rig.cache.contains("short").await);
    assert!(rig.cache.contains("long").await && rig.cache.contains("forever").await);
}

async fn zero_means_do_not_store(rig: Rig) {
    let cache = rig.cache;
    cache.set("key", &1, Ttl::Never).await;
    assert!(!cache.set("key", &2, Ttl::secs(0)).await);
    assert!(!cache.contains("key").await);
    let computed = cache.get_or_compute("key", Ttl::secs(0), async || Ok::<_, ()>(3)).await;
    assert_eq!(computed, Ok(3));
    assert!(!cache.contains("key").await);
    assert!(!cache.add("key", &1, Ttl::secs(0)).await);
    cache.set("key", &1, Ttl::Never).await;
    assert!(cache.touch("key", Ttl::secs(0)).await);
    assert!(!cache.contains("key").await);
}

async fn touch_gives_a_new_life(rig: Rig) {
    assert!(!rig.cache.touch("key", Ttl::secs(100)).await);
    // By memcached's clock it may live a second less, and be touched late on a busy machine.
    rig.cache.set("key", &1, Ttl::secs(5)).await;
    assert!(rig.cache.touch("key", Ttl::secs(100)).await);
    rig.pass(5).await;
    assert!(rig.cache.contains("key").await);
}

async fn a_placeholder_is_not_touched_or_counted(rig: Rig) {
    let guard = async || rig.cache.lookup::<u64>("key").await.value_or_guard().unwrap_err();
    let first = guard().await;
    assert!(!rig.cache.touch("key", Ttl::Never).await);
    assert_eq!(rig.cache.incr("key", 1).await, None);
    assert!(first.fill(&1, Ttl::Never).await, "the guard is as good as before");
    rig.cache.delete("key").await;
    let second = guard().await;
    assert!(!rig.cache.touch("key", Ttl::Never).await);
    if rig.kind == Kind::InProcess {
        rig.pass(60).await;
        assert!(!second.fill(&2, Ttl::Never).await, "it does not live for ever");
    }
}

async fn more_than_thirty_days_is_not_the_past(rig: Rig) {
    for days in [30, 31, 365, 36_500] {
        rig.cache.set("key", &days, Ttl::secs(days * 86_400)).await;
        assert_eq!(rig.cache.get::<u64>("key").await, Some(days), "{days} days");
    }
}

async fn any_text_is_a_key(rig: Rig) {
    let cache = rig.cache;
    let long = "x".repeat(70_000);
    let keys = ["", " ", "a b", "k\r\nset x 0 0 1\r\n1", "ключ", "\0", long.as_str()];
    for (n, key) in keys.iter().enumerate() {
        assert!(cache.set(*key, &n, Ttl::Never).await, "{key:?}");
    }
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(cache.get::<usize>(*key).await, Some(n), "{key:?}");
    }
    assert_eq!(cache.get::<usize>("x").await, None);
    assert_eq!(cache.figures().errors, 0);
}

async fn prefixes_and_versions_are_apart(rig: Rig) {
    let other = rig.cache.with_prefix("other").unwrap();
    let newer = larder::Cache::builder(rig.cache.backend().clone())
        .prefix("suite")
        .version(2)
        .build()
        .unwrap();
    rig.cache.set("key", &1, Ttl::Never).await;
    assert_eq!(other.get::<u64>("key").await, None);
    assert_eq!(newer.get::<u64>("key").await, None);
    // A verbatim key is the same for everybody.
    let shared = CacheKey::verbatim("shared").unwrap();
    rig.cache.set(&shared, &2, Ttl::Never).await;
    assert_eq!(other.get::<u64>(&shared).await, Some(2));
}

async fn clear_empties(rig: Rig) {
    rig.cache.set("key", &1, Ttl::Never).await;
    assert!(rig.cache.clear().await);
    assert!(!rig.cache.contains("key").await);
    assert!(rig.cache.set("key", &2, Ttl::Never).await);
    assert_eq!(rig.cache.get::<u64>("key").await, Some(2));
}

async fn a_value_too_large_is_not_stored(rig: Rig) {
    let cache = rig.cache;
    cache.set_bytes("big", vec![b'x'; 1000], Ttl::Never).await;
    assert!(!cache.set_bytes("big", vec![b'x'; 9 * 1024 * 1024], Ttl::Never).await);
    // What it was to replace is stale, so it must not come back.
    assert_eq!(cache.get_bytes("big").await, None);
    assert!(cache.set_bytes("big", vec![b'x'; 900_000], Ttl::Never).await);
    assert_eq!(cache.get_bytes("big").await.map(|bytes| bytes.len()), Some(900_000));
}

async fn the_check_passes(rig: Rig) {
    let checked = rig.cache.check().await.unwrap();
    assert_eq!(checked.len(), 1, "{checked:?}");
}

#[tokio::test]
async fn the_null_cache_forgets_everything() {
    let cache = larder::Cache::null();
    assert!(!cache.set("key", &1, Ttl::Never).await);
    assert_eq!(cache.get::<u64>("key").await, None);
    let computed = cache.get_or_compute("key", Ttl::Never, async || Ok::<_, ()>(3)).await;
    assert_eq!(computed, Ok(3));
    assert_eq!(cache.tag_versions(&["tag"]).await, None);
}
