//! The task list and the ways of caching it: what the tutorials teach, one arm of a `match` each.
//!
//! Owns the order of things after a change: the database first, then what was cached of it, from
//! the inside out: the list, the row's fragment, and last the pages that show them. Only when all
//! that is acknowledged does the visitor get an answer, so what comes after it is never stale.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use larder::fragments::fragment_key;
use larder::{Cache, CacheKey, Ttl};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::config::QueryCache;
use crate::db::{Db, DbError, Task};
use crate::trace;

/// The tag of every page that shows tasks.
pub const TASKS_TAG: &str = "tasks";

/// The name of the fragment that shows one row; the template says it too.
pub const ROW_FRAGMENT: &str = "task-fragment";

/// The key of the cached list.
const LIST_KEY: &str = "tasks.all";

/// The tag whose version is part of the list's key under [`QueryCache::Key`].
const LIST_VERSION: &str = "tasks.version";

/// How many changes may be under way at once; the rest wait.
const CHANGES: u32 = 1000;

/// The list as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// The tasks, oldest first.
    pub tasks: Vec<Task>,
    /// Under [`QueryCache::Expiration`], when the list ends (Unix milliseconds): what is made of it
    /// must not be shown any longer.
    pub until_ms: Option<u64>,
}

/// The tasks, in the database and in the cache.
#[derive(Debug, Clone)]
pub struct Tasks {
    db: Db,
    cache: Cache,
    strategy: QueryCache,
    ttl: Duration,
    slow_query: Duration,
    /// A permit for each change under way.
    changes: Arc<Semaphore>,
}

impl List {
    /// How long the list may still be shown, if that is limited.
    pub fn time_left(&self) -> Option<Duration> {
        self.until_ms.map(|until| Duration::from_millis(until.saturating_sub(now_ms())))
    }
}

impl Tasks {
    /// The tasks of `db`, cached in `cache` by `strategy`. `ttl` counts under
    /// [`QueryCache::Expiration`] only; `slow_query` is how much slower the query shall seem.
    pub fn new(
        db: Db,
        cache: Cache,
        strategy: QueryCache,
        ttl: Duration,
        slow_query: Duration,
    ) -> Self {
        let changes = Arc::new(Semaphore::new(CHANGES as usize));
        Self { db, cache, strategy, ttl, slow_query, changes }
    }

    /// All tasks.
    pub async fn all(&self) -> Result<List, DbError> {
        let query = || self.query();
        match self.strategy {
            QueryCache::Off => query().await,
            QueryCache::Expiration => self.cache.get_or_compute(LIST_KEY, self.ttl, query).await,
            QueryCache::Delete | QueryCache::Update => {
                self.cache.get_or_compute(LIST_KEY, Ttl::Never, query).await
            }
            QueryCache::Key => match self.cache.tag_versions(&[LIST_VERSION]).await {
                Some(version) => {
                    let key = CacheKey::new(LIST_KEY).with(version);
                    self.cache.get_or_compute(key, Ttl::Never, query).await
                }
                // Without a version there is no key to trust.
                None => query().await,
            },
        }
    }

    /// Adds a task. Once begun it goes on to its end, even if the caller is dropped.
    pub async fn add(&self, name: String) -> Result<Task, DbError> {
        let tasks = self.clone();
        trace::to_the_end(async move {
            let _under_way = tasks.changes.acquire().await;
            let task = tasks.db.add_task(&name).await?;
            tasks.changed(None).await;
            Ok(task)
        })
        .await
    }

    /// Removes a task; whether there was one. Once begun it goes on to its end, even if the caller
    /// is dropped.
    pub async fn remove(&self, id: i64) -> Result<bool, DbError> {
        let tasks = self.clone();
        trace::to_the_end(async move {
            let _under_way = tasks.changes.acquire().await;
            let was_there = tasks.db.remove_task(id).await?;
            if was_there {
                tasks.changed(Some(id)).await;
            }
            Ok(was_there)
        })
        .await
    }

    /// Forgets whatever the caches hold of the tasks: at start, in case the process before this one
    /// ended between a change and its invalidation.
    pub async fn start_afresh(&self) {
        self.cache.invalidate(&[LIST_KEY.into()], &[LIST_VERSION]).await;
        self.cache.invalidate_tags(&[TASKS_TAG]).await;
    }

    /// Waits until no change is under way: a process that ends before its invalidations leaves
    /// stale pages behind.
    pub async fn settle(&self) {
        // The semaphore is never closed.
        let _all = self.changes.acquire_many(CHANGES).await;
    }

    /// Makes the caches follow a change that the database has taken.
    async fn changed(&self, removed: Option<i64>) {
        let mut keys = Vec::new();
        match self.strategy {
            QueryCache::Off | QueryCache::Expiration => {}
            QueryCache::Delete => keys.push(LIST_KEY.into()),
            QueryCache::Key => self.cache.invalidate_tags(&[LIST_VERSION]).await,
            QueryCache::Update => {
                let query = || self.query();
                if let Err(error) = self.cache.refresh(LIST_KEY, Ttl::Never, query).await {
                    // The change is made and the old list is gone; the next page tries again.
                    tracing::warn!(%error, "the list could not be queried after a change");
                }
            }
        }
        // Ids are never used again, so this only frees the space.
        keys.extend(removed.map(|id| fragment_key(ROW_FRAGMENT, &[id.into()])));
        self.cache.invalidate(&keys, &[TASKS_TAG]).await;
    }

    /// The expensive query. As of a query that really is slow, what it returns is as old as its
    /// beginning.
    async fn query(&self) -> Result<List, DbError> {
        let until_ms = (self.strategy == QueryCache::Expiration)
            .then(|| now_ms().saturating_add(self.ttl.as_millis().try_into().unwrap_or(u64::MAX)));
        let tasks = trace::query(async {
            let tasks = self.db.tasks().await;
            if !self.slow_query.is_zero() {
                tokio::time::sleep(self.slow_query).await;
            }
            tasks
        });
        Ok(List { tasks: tasks.await?, until_ms })
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}
