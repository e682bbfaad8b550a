//! Two processes of the app on one cache and one database: what a visitor changes through one is on
//! the next page of the other, whatever is cached and however; and that holds under load, where
//! fills and invalidations of both processes cross.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use larder_peers::Memcached;
use tasklist::visitor::Visitor;
use tokio::task::JoinSet;

use super::support::{
    App, Database, Kind, Vars, add, is_hit, list, memcached_with_sasl, patient_sasl_url,
    patient_url, remove, shows, until,
};

/// The strategies under which no page is ever old.
const ALWAYS_TRUE: [&str; 4] = ["off", "delete", "key", "update"];

const WRITERS: usize = 4;
const READERS: usize = 3;

/// How many tasks each writer adds.
const ROUNDS: usize = 6;

/// How long a query takes under load, in milliseconds: what it returns is then often old already.
const SLOW_QUERY: &str = "10";

/// Two processes with the same variables.
struct Pair {
    apps: [App; 2],
    _database: Database,
}

impl Pair {
    /// Starts them on a database of their own.
    fn start(database: Database, cache: &str, strategy: &str, vars: &Vars) -> Pair {
        let vars = vars
            .with("DATABASE_URL", &database.url)
            .with("LARDER_URL", cache)
            .with("TASKLIST_QUERY_CACHE", strategy)
            .with("TASKLIST_QUERY_TTL", "1s");
        Pair { apps: [App::start(&vars), App::start(&vars)], _database: database }
    }

    fn visitors(&self) -> [Visitor; 2] {
        [self.apps[0].visitor(), self.apps[1].visitor()]
    }
}

/// Fragments and pages both cached, or neither.
fn all_or_none(switch: &str) -> Vars {
    Vars::default().with("TASKLIST_FRAGMENT_CACHE", switch).with("TASKLIST_PAGE_CACHE", switch)
}

/// Changes through one process, looks through both; then the other way round.
async fn changes_are_on_the_next_page(cache: &str, strategy: &str, switch: &str) {
    let pair = Pair::start(Database::sqlite(), cache, strategy, &all_or_none(switch));
    let mut visitors = pair.visitors();
    for (writer, name) in [(0, "Flour"), (1, "Yeast")] {
        both_show(&mut visitors, name, false).await;
        add(&mut visitors[writer], name).await;
        both_show(&mut visitors, name, true).await;
    }
    for (writer, name) in [(1, "Flour"), (0, "Yeast")] {
        let page = list(&mut visitors[writer]).await;
        remove(&mut visitors[writer], &page, name).await;
        both_show(&mut visitors, name, false).await;
    }
}

/// Looks at the next page of each process, the other one's first and then once more from the cache.
async fn both_show(visitors: &mut [Visitor; 2], name: &str, expected: bool) {
    for index in [1, 0, 1, 0] {
        let page = list(&mut visitors[index]).await;
        assert_eq!(shows(&page, name), expected, "{name} at {index}: {}", page.body);
    }
}

/// Under plain expiration the other process may be late, but not for ever.
async fn changes_come_in_time(cache: &str, switch: &str) {
    let pair = Pair::start(Database::sqlite(), cache, "expiration", &all_or_none(switch));
    let [mut one, mut other] = pair.visitors();
    list(&mut other).await;
    add(&mut one, "Flour").await;
    until("the task is there", async || shows(&list(&mut other).await, "Flour")).await;
    let page = list(&mut other).await;
    remove(&mut one, &page, "Flour").await;
    until("the task is gone", async || !shows(&list(&mut other).await, "Flour")).await;
}

async fn every_strategy(cache: &str) {
    for switch in ["on", "off"] {
        for strategy in ALWAYS_TRUE {
            changes_are_on_the_next_page(cache, strategy, switch).await;
        }
        changes_come_in_time(cache, switch).await;
    }
}

#[tokio::test]
async fn every_strategy_on_memcached() {
    let server = Memcached::plain();
    every_strategy(&patient_url(&[&server])).await;
}

#[tokio::test]
async fn every_strategy_on_memcached_with_sasl() {
    let server = memcached_with_sasl();
    every_strategy(&patient_sasl_url(&server)).await;
}

#[tokio::test]
async fn every_strategy_on_two_servers() {
    let servers = [Memcached::plain(), Memcached::plain()];
    every_strategy(&patient_url(&[&servers[0], &servers[1]])).await;
}

/// Several visitors add and remove through both processes while others only read: after every
/// answer to a change, the next page of either process shows it.
async fn nobody_sees_an_old_page(pair: &Pair) {
    let addrs = [pair.apps[0].addr, pair.apps[1].addr];
    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for index in 0..READERS {
        readers.spawn(read(Visitor::new(addrs[index % 2]), stop.clone()));
    }
    let mut writers = JoinSet::new();
    for index in 0..WRITERS {
        writers.spawn(write(addrs.map(Visitor::new), index));
    }
    writers.join_all().await;
    stop.store(true, Ordering::Relaxed);
    let pages = readers.join_all().await;
    assert!(pages.iter().all(|pages| *pages > 0), "{pages:?}");
    // When all is quiet, the pages are cached again.
    for addr in addrs {
        list(&mut Visitor::new(addr)).await;
        assert!(is_hit(&list(&mut Visitor::new(addr)).await));
    }
}

/// Reads until told to stop, through visitors that never wait; how many pages.
async fn read(mut visitor: Visitor, stop: Arc<AtomicBool>) -> usize {
    let mut pages = 0;
    while !stop.load(Ordering::Relaxed) {
        list(&mut visitor).await;
        pages += 1;
    }
    pages
}

/// Adds through one process and the other in turn, and removes every second task again.
async fn write(mut visitors: [Visitor; 2], writer: usize) {
    for round in 0..ROUNDS {
        let (here, there) = (round % 2, (round + 1) % 2);
        let name = format!("Task {round} of writer {writer}");
        add(&mut visitors[here], &name).await;
        for index in [there, here] {
            let page = list(&mut visitors[index]).await;
            assert!(shows(&page, &name), "{name} is missing: {}", page.body);
        }
        if round % 2 == 0 {
            let page = list(&mut visitors[there]).await;
            remove(&mut visitors[there], &page, &name).await;
            for index in [here, there] {
                let page = list(&mut visitors[index]).await;
                assert!(!shows(&page, &name), "{name} is still there: {}", page.body);
            }
        }
    }
}

async fn under_load(kind: Kind, name: &str, cache: &str) {
    for strategy in ["delete", "key", "update"] {
        let database = Database::new(kind, &format!("{name}_{strategy}"));
        let slow = Vars::default().with("TASKLIST_SLOW_QUERY_MS", SLOW_QUERY);
        nobody_sees_an_old_page(&Pair::start(database, cache, strategy, &slow)).await;
    }
}

#[tokio::test]
async fn under_load_on_one_server() {
    let server = Memcached::plain();
    under_load(Kind::Postgres, "load_one", &patient_url(&[&server])).await;
}

#[tokio::test]
async fn under_load_on_two_servers() {
    let servers = [Memcached::plain(), Memcached::plain()];
    under_load(Kind::Sqlite, "load_two", &patient_url(&[&servers[0], &servers[1]])).await;
}
