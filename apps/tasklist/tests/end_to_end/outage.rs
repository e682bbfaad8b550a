//! memcached killed and started again, frozen and thawed, in the middle of load: no page fails, no
//! page is wrong, and the caches are used again by themselves.
//!
//! The app has its default deadline here; that is what is tested. Nothing is claimed of a second
//! process: one that still reaches a server cannot know what another one owes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use larder_peers::Memcached;
use tasklist::visitor::Visitor;
use tokio::task::JoinSet;

use super::support::{
    App, Database, HOST, Vars, add, is_hit, list, memcached_with_sasl, remove, shows, until,
};

const READERS: usize = 2;
const WRITERS: usize = 2;

/// How much must go well in each phase.
const PAGES: usize = 40;
const CHANGES: usize = 10;

/// Visitors who read and write until they are told to stop, and check every answer.
struct Load {
    visitors: JoinSet<()>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    stop: AtomicBool,
    pages: AtomicUsize,
    changes: AtomicUsize,
}

impl Load {
    fn on(app: &App) -> Load {
        let (mut visitors, counts) = (JoinSet::new(), Arc::new(Counts::default()));
        for _ in 0..READERS {
            visitors.spawn(read(app.visitor(), counts.clone()));
        }
        for writer in 0..WRITERS {
            visitors.spawn(write(app.visitor(), writer, counts.clone()));
        }
        Load { visitors, counts }
    }

    /// Returns when enough more pages and changes went well.
    async fn goes_on(&mut self) {
        let now = || {
            let (pages, changes) = (&self.counts.pages, &self.counts.changes);
            (pages.load(Ordering::Relaxed), changes.load(Ordering::Relaxed))
        };
        let (pages, changes) = now();
        let visitors = &mut self.visitors;
        until("the load goes on", async || {
            // A visitor who has seen something wrong has ended, in a panic that goes on here.
            assert!(visitors.try_join_next().is_none_or(|ended| ended.is_ok()), "see above");
            now().0 >= pages + PAGES && now().1 >= changes + CHANGES
        })
        .await;
    }

    async fn end(self) {
        self.counts.stop.store(true, Ordering::Relaxed);
        self.visitors.join_all().await;
    }
}

/// Reads as browsers do: with the ETag of the page they have.
async fn read(mut visitor: Visitor, counts: Arc<Counts>) {
    let mut etag = String::new();
    while !counts.stop.load(Ordering::Relaxed) {
        let page = visitor.get_with("/", &[HOST, ("if-none-match", &etag)]).await.unwrap();
        match page.status.as_u16() {
            200 => etag = page.header("etag").to_owned(),
            304 => assert_eq!(page.header("etag"), etag),
            other => panic!("GET / answered {other}: {}", page.body),
        }
        counts.pages.fetch_add(1, Ordering::Relaxed);
    }
}

/// Adds a task and removes it, and looks at the next page each time.
async fn write(mut visitor: Visitor, writer: usize, counts: Arc<Counts>) {
    let mut round = 0;
    while !counts.stop.load(Ordering::Relaxed) {
        round += 1;
        let name = format!("Task {round} of writer {writer}");
        add(&mut visitor, &name).await;
        let page = list(&mut visitor).await;
        assert!(shows(&page, &name), "{name} is missing: {}", page.body);
        remove(&mut visitor, &page, &name).await;
        let page = list(&mut visitor).await;
        assert!(!shows(&page, &name), "{name} is still there: {}", page.body);
        counts.changes.fetch_add(2, Ordering::Relaxed);
    }
}

async fn becomes_visible(app: &App) {
    let mut visitor = app.visitor();
    until("a page says that the cache is not used", async || {
        list(&mut visitor).await.header("cache-status").ends_with("detail=cache-unavailable")
    })
    .await;
}

async fn recovers(app: &App) {
    let mut visitor = app.visitor();
    until("a page comes from the cache again", async || is_hit(&list(&mut visitor).await)).await;
}

async fn no_page_fails_and_none_is_wrong(mut server: Memcached, cache: &Vars) {
    let database = Database::sqlite();
    let app = App::start(&cache.with("DATABASE_URL", &database.url));
    add(&mut app.visitor(), "Always there").await;
    let mut load = Load::on(&app);
    load.goes_on().await;
    recovers(&app).await;

    server.kill();
    becomes_visible(&app).await;
    load.goes_on().await;
    server.restart();
    recovers(&app).await;
    load.goes_on().await;

    server.freeze();
    becomes_visible(&app).await;
    load.goes_on().await;
    server.thaw();
    recovers(&app).await;
    load.goes_on().await;

    load.end().await;
    let page = list(&mut app.visitor()).await;
    assert!(shows(&page, "Always there") && !shows(&page, "Task"), "{}", page.body);
    assert_eq!(database.open().await.task_count().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_memcached() {
    let server = Memcached::plain();
    let cache = Vars::default().with("MEMCACHIER_SERVERS", server.addr().to_string());
    no_page_fails_and_none_is_wrong(server, &cache).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_memcached_with_sasl() {
    let server = memcached_with_sasl();
    let cache = Vars::default().with_memcachier(&server);
    no_page_fails_and_none_is_wrong(server, &cache).await;
}

/// A change that the server was not even sent, since it was left alone just then: it holds the old
/// page all the while, and nobody may see that afterwards.
#[tokio::test]
async fn of_a_server_that_was_not_told() {
    let (server, database) = (Memcached::plain(), Database::sqlite());
    let vars = Vars::default().with("MEMCACHIER_SERVERS", server.addr().to_string());
    let app = App::start(&vars.with("DATABASE_URL", &database.url));
    let mut visitor = app.visitor();
    for round in 0..4 {
        let name = format!("Task {round}");
        recovers(&app).await;
        server.freeze();
        becomes_visible(&app).await;
        // By now the server has failed twice, and is not asked.
        list(&mut visitor).await;
        add(&mut visitor, &name).await;
        server.thaw();
        until("the server is asked again", async || {
            let page = list(&mut visitor).await;
            assert!(shows(&page, &name), "{name} is missing: {}", page.body);
            is_hit(&page)
        })
        .await;
    }
}

/// One of two servers is down: what lies on the other is still cached, and nothing is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_server_of_two() {
    let (mut server, other) = (Memcached::plain(), Memcached::plain());
    let addrs = format!("{},{}", server.addr(), other.addr());
    let database = Database::sqlite();
    let vars = Vars::default().with("MEMCACHIER_SERVERS", addrs);
    let app = App::start(&vars.with("DATABASE_URL", &database.url));
    let mut load = Load::on(&app);
    load.goes_on().await;
    server.kill();
    load.goes_on().await;
    server.restart();
    load.goes_on().await;
    recovers(&app).await;
    load.end().await;
}
