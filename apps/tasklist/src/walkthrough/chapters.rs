//! The chapters, in the tutorials' order. A load counts as slow when it ran the query, and as fast
//! when it did not: that is what the time printed beside it comes from, and unlike a time it is the
//! same on every machine.

use std::time::Duration;

use http::StatusCode;

use super::stage::{Stage, claim};
use super::{Cast, Event};
use crate::config::{Config, QueryCache, SessionEngine};
use crate::visitor::{Page, Visitor};

/// How long a list lives in the chapter on expiration.
const SHORT_TTL: Duration = Duration::from_secs(2);

/// Longer than any chapter.
const LONG_TTL: Duration = Duration::from_secs(3600);

type Audience<'a> = &'a mut dyn FnMut(Event);

pub(super) async fn all(cast: &Cast, audience: Audience<'_>) -> anyhow::Result<()> {
    without_a_cache(cast, audience).await?;
    the_query(cast, audience).await?;
    expiration(cast, audience).await?;
    for (strategy, title, about) in [
        (QueryCache::Delete, "Keep it true: delete", "A change deletes the cached list."),
        (QueryCache::Key, "Keep it true: key", "A change changes the key, in every process."),
        (QueryCache::Update, "Keep it true: update", "A change stores the new list at once."),
    ] {
        audience(Event::Chapter(title, about));
        always_true(cast, strategy, audience).await?;
    }
    fragments(cast, audience).await?;
    whole_pages(cast, audience).await?;
    sessions(cast, audience).await
}

fn only_the_query(strategy: QueryCache, ttl: Duration) -> impl FnOnce(&mut Config) {
    move |config| {
        config.query_cache = strategy;
        config.query_ttl = ttl;
        config.fragment_cache = false;
        config.page_cache = false;
    }
}

/// A page's time, and whether it ran the query.
fn speed(page: &Page) -> String {
    let queries = page.told().queries;
    format!("{:.3} s, {queries} {}", page.took.as_secs_f64(), plural(queries, "query", "queries"))
}

fn counts(page: &Page) -> String {
    let told = page.told();
    format!(
        "{} {}: {} {}, {} {}; {} {}",
        told.gets,
        plural(told.gets, "get", "gets"),
        told.hits,
        plural(told.hits, "hit", "hits"),
        told.misses,
        plural(told.misses, "miss", "misses"),
        told.sets,
        plural(told.sets, "set", "sets"),
    )
}

/// The round trips of a page; in process there are none to make.
fn trips(page: &Page) -> String {
    match page.told().round_trips {
        0 => "none: the cache is in this process".to_owned(),
        1 => "1 round trip".to_owned(),
        many => format!("{many} round trips"),
    }
}

fn plural(count: u64, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

fn shows(page: &Page, name: &str) -> bool {
    page.body.contains(name)
}

fn seen(page: &Page, name: &str) -> &'static str {
    if shows(page, name) { "it is there" } else { "it is not there" }
}

async fn without_a_cache(cast: &Cast, audience: Audience<'_>) -> anyhow::Result<()> {
    audience(Event::Chapter("Without a cache", "Every load runs the slow query."));
    let mut stage = Stage::open(cast, only_the_query(QueryCache::Off, LONG_TTL)).await?;
    for text in ["the first load is slow", "and so is every reload"] {
        let page = stage.list().await?;
        let slow = page.told().queries == 1 && page.took >= cast.slow_query;
        claim(audience, text, speed(&page), slow);
    }
    stage.close().await
}

async fn the_query(cast: &Cast, audience: Audience<'_>) -> anyhow::Result<()> {
    audience(Event::Chapter("Cache the query", "The first load stores the list."));
    let mut stage = Stage::open(cast, only_the_query(QueryCache::Expiration, LONG_TTL)).await?;
    let first = stage.list().await?;
    let told = first.told();
    let slow = told.queries == 1 && first.took >= cast.slow_query;
    claim(audience, "the first load is slow", speed(&first), slow);
    let stored = told.misses == 1 && told.sets > 0;
    claim(audience, "it counts one get miss, and sets", counts(&first), stored);
    let reload = stage.list().await?;
    claim(audience, "a reload is fast", speed(&reload), reload.told().queries == 0);
    let told = reload.told();
    let hit = (told.gets, told.hits, told.sets) == (1, 1, 0);
    claim(audience, "it counts one get hit", counts(&reload), hit);
    stage.add("Walk: buy flour").await?;
    let stale = stage.list().await?;
    let missing = !shows(&stale, "Walk: buy flour");
    let text = "but a task that was added is not on the page";
    claim(audience, text, seen(&stale, "Walk: buy flour"), missing);
    stage.close().await
}

async fn expiration(cast: &Cast, audience: Audience<'_>) -> anyhow::Result<()> {
    audience(Event::Chapter("Keep it true: expiration", "The list may be a little old."));
    let mut stage = Stage::open(cast, only_the_query(QueryCache::Expiration, SHORT_TTL)).await?;
    stage.list().await?;
    stage.add("Walk: knead dough").await?;
    // memcached's clock ticks once a second.
    tokio::time::sleep(SHORT_TTL + Duration::from_millis(1100)).await;
    let page = stage.list().await?;
    let text = format!("after {} s a task that was added is there", SHORT_TTL.as_secs());
    claim(audience, text, seen(&page, "Walk: knead dough"), shows(&page, "Walk: knead dough"));
    stage.close().await
}

/// The three strategies under which a visitor never sees an old list.
async fn always_true(
    cast: &Cast,
    strategy: QueryCache,
    audience: Audience<'_>,
) -> anyhow::Result<()> {
    let name = format!("Walk: {strategy:?}");
    let mut stage = Stage::open(cast, only_the_query(strategy, LONG_TTL)).await?;
    stage.list().await?;
    stage.add(&name).await?;
    let page = stage.list().await?;
    let text = "a task that was added is on the next page";
    claim(audience, text, seen(&page, &name), shows(&page, &name));
    let (text, queries) = match strategy {
        QueryCache::Update => ("and not even the first load waits for the query", 0),
        _ => ("the first load runs the query again", 1),
    };
    claim(audience, text, speed(&page), page.told().queries == queries);
    let reload = stage.list().await?;
    claim(audience, "a reload is fast", speed(&reload), reload.told().queries == 0);
    let tasks = cast.db.tasks().await?;
    if let Some(task) = tasks.iter().find(|task| task.name == name) {
        let id = task.id.to_string();
        stage.visitor.post("/remove", &[("id", &id)]).await?;
        let page = stage.list().await?;
        let text = "and one that was removed is gone";
        claim(audience, text, seen(&page, &name), !shows(&page, &name));
        let again = stage.visitor.post("/remove", &[("id", &id)]).await?;
        let missing = again.status == StatusCode::NOT_FOUND;
        let text = "removing it twice is a page that says so, not a crash";
        claim(audience, text, again.status.as_str(), missing);
    }
    stage.close().await
}

async fn fragments(cast: &Cast, audience: Audience<'_>) -> anyhow::Result<()> {
    audience(Event::Chapter("Cache fragments", "Each row of the table is cached by itself."));
    let mut stage = Stage::open(cast, |config| {
        config.query_cache = QueryCache::Delete;
        config.fragment_cache = true;
        config.page_cache = false;
    })
    .await?;
    for n in 1..=3 {
        stage.add(&format!("Walk: roll {n}")).await?;
    }
    let tasks = cast.db.tasks().await?.len() as u64;
    stage.list().await?;
    let reload = stage.list().await?;
    let told = reload.told();
    let text = format!("a reload counts one more hit per task ({tasks} tasks)");
    claim(audience, text, counts(&reload), (told.hits, told.misses) == (tasks + 1, 0));
    let limit = 2;
    let text = format!("in at most {limit} round trips, not {}", tasks + 1);
    let measured = trips(&reload);
    claim(audience, text, measured, told.round_trips <= limit);
    stage.add("Walk: one more roll").await?;
    let page = stage.list().await?;
    let told = page.told();
    let text = "after a change only the list and the new row are made again";
    claim(audience, text, counts(&page), (told.hits, told.misses) == (tasks, 2));
    stage.close().await
}

async fn whole_pages(cast: &Cast, audience: Audience<'_>) -> anyhow::Result<()> {
    let about = "Fragments and the list inside a cached page: the default.";
    audience(Event::Chapter("Cache whole pages", about));
    let mut stage = Stage::open(cast, |config| {
        config.query_cache = QueryCache::Delete;
        config.fragment_cache = true;
        config.page_cache = true;
    })
    .await?;
    let first = stage.list().await?;
    let status = first.header("cache-status");
    claim(audience, "the first load stores the page", status, status.ends_with("stored"));
    let reload = stage.list().await?;
    let told = reload.told();
    let text = "a cached page costs two gets: the page, and the version of its tag";
    let two = (told.gets, told.hits, told.sets, told.queries) == (2, 2, 0, 0);
    claim(audience, text, counts(&reload), two);
    claim(audience, "both in one round trip", trips(&reload), told.round_trips <= 1);
    let etag = reload.header("etag").to_owned();
    let known = stage.visitor.get_with("/", &[("if-none-match", &etag)]).await?;
    let text = "a browser that has the page is told so";
    claim(audience, text, known.status.as_str(), known.status == StatusCode::NOT_MODIFIED);
    stage.add("Walk: Russian doll").await?;
    let page = stage.list().await?;
    let text = "a task that was added is on the next page";
    claim(audience, text, seen(&page, "Walk: Russian doll"), shows(&page, "Walk: Russian doll"));
    let old_rows = cast.db.tasks().await?.len() as u64 - 1;
    let text = format!("whose {old_rows} other rows came from the cache");
    claim(audience, text, counts(&page), page.told().hits >= old_rows);
    let mut stranger = Visitor::new(stage.addr);
    let form = [("name", "Walk: intruder")];
    let crossed = stranger.post_from("http://evil.example", "/add", &form).await?;
    let text = "a form from another site is refused, though pages carry no token";
    claim(audience, text, crossed.status.as_str(), crossed.status == StatusCode::FORBIDDEN);
    stage.close().await
}

async fn sessions(cast: &Cast, audience: Audience<'_>) -> anyhow::Result<()> {
    let about = "Written through to the database, read from the cache.";
    audience(Event::Chapter("Sessions", about));
    let cached_db = |config: &mut Config| config.session_engine = SessionEngine::CachedDb;
    let mut stage = Stage::open(cast, cached_db).await?;
    stage.visitor.get("/me").await?;
    stage.add("Walk: mine").await?;
    let page = stage.visitor.get("/me").await?;
    let text = "a visitor's page remembers what they added";
    claim(audience, text, seen(&page, "Walk: mine"), shows(&page, "Walk: mine"));
    let cookie_free = stage.list().await?;
    let text = "while the list is the same for all: no cookie is set on it";
    let none = !cookie_free.headers.contains_key("set-cookie");
    claim(audience, text, if none { "none" } else { "a cookie" }, none);
    // In another corner of the cache nothing is known: as after a flush, but nobody else's is lost.
    let visitor = stage.visitor.clone();
    stage.close().await?;
    let mut stage = Stage::open(cast, cached_db).await?;
    stage.visitor = visitor.at(stage.addr);
    let page = stage.visitor.get("/me").await?;
    let text = "a session survives the loss of the whole cache";
    claim(audience, text, seen(&page, "Walk: mine"), shows(&page, "Walk: mine"));
    let before = stage.visitor.clone();
    stage.visitor.post("/sign-out", &[]).await?;
    let page = before.at(stage.addr).get("/me").await?;
    let text = "and after signing out it is gone, even for who kept the cookie";
    claim(audience, text, seen(&page, "Walk: mine"), !shows(&page, "Walk: mine"));
    stage.close().await
}
