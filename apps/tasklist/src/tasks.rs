//! The task list and the ways of caching it: what the tutorials teach, one arm of a `match` each.
//!
//! Owns the order of things after a change: the database first, then what was cached of it, from
//! the inside out: the list, the row's fragment, and last the pages that show them. Only when all
//! that is acknowledged does the visitor get an answer, so what comes after it is never stale.

use std::time::Duration;

use larder::fragments::fragment_key;
use larder::{Cache, CacheKey, Ttl};

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

/// The tasks, in the database and in the cache.
#[derive(Debug, Clone)]
pub struct Tasks {
    db: Db,
    cache: Cache,
    strategy: QueryCache,
    ttl: Ttl,
    slow_query: Duration,
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
        let ttl = ttl.into();
        Self { db, cache, strategy, ttl, slow_query }
    }

    /// All tasks, oldest first.
    pub async fn all(&self) -> Result<Vec<Task>, DbError> {
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
            let task = tasks.db.add_task(&name).await?;
            tasks.changed(None).await?;
            Ok(task)
        })
        .await
    }

    /// Removes a task; whether there was one. Once begun it goes on to its end, even if the caller
    /// is dropped.
    pub async fn remove(&self, id: i64) -> Result<bool, DbError> {
        let tasks = self.clone();
        trace::to_the_end(async move {
            let was_there = tasks.db.remove_task(id).await?;
            if was_there {
                tasks.changed(Some(id)).await?;
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

    /// Makes the caches follow a change that the database has taken.
    async fn changed(&self, removed: Option<i64>) -> Result<(), DbError> {
        let mut keys = Vec::new();
        let mut updated = Ok(());
        match self.strategy {
            QueryCache::Off | QueryCache::Expiration => {}
            QueryCache::Delete => keys.push(LIST_KEY.into()),
            QueryCache::Key => self.cache.invalidate_tags(&[LIST_VERSION]).await,
            QueryCache::Update => {
                let query = || self.query();
                let list = self.cache.refresh(LIST_KEY, Ttl::Never, query).await;
                // If the query failed the cached list is gone, and the pages must follow.
                updated = list.map(drop);
            }
        }
        // Ids are never used again, so this only frees the space.
        keys.extend(removed.map(|id| fragment_key(ROW_FRAGMENT, &[id.into()])));
        self.cache.invalidate(&keys, &[TASKS_TAG]).await;
        updated
    }

    /// The expensive query.
    async fn query(&self) -> Result<Vec<Task>, DbError> {
        trace::query(async {
            if !self.slow_query.is_zero() {
                tokio::time::sleep(self.slow_query).await;
            }
            self.db.tasks().await
        })
        .await
    }
}
