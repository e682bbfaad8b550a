//! The app put together: what every handler shares, made from a configuration, a database and a
//! cache.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use larder::pages::PageCache;
use larder::sessions::{Secure, SessionEngine as Engine, SessionLayer};
use larder::{Cache, Ttl};

use crate::config::{Config, SecureCookies, SessionEngine};
use crate::db::Db;
use crate::tasks::{TASKS_TAG, Tasks};
use crate::web::report::History;
use crate::web::templates::Templates;

/// How often sessions that have ended are removed from the database.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// What the handlers share; clones are cheap.
#[derive(Debug, Clone)]
pub struct App {
    /// The configuration.
    pub config: Arc<Config>,
    /// The database, migrated.
    pub db: Db,
    /// The cache.
    pub cache: Cache,
    /// The tasks and their cached list.
    pub tasks: Tasks,
    /// The templates and their fragments.
    pub templates: Templates,
    /// The cached pages.
    pub pages: PageCache,
    /// The last pages.
    pub history: History,
    /// The cache once more for each use, counted apart.
    pub uses: Uses,
}

/// One cache, counted by what it is used for.
#[derive(Debug, Clone)]
pub struct Uses {
    /// The list of tasks.
    pub query: Cache,
    /// Rows.
    pub fragments: Cache,
    /// Pages and tags.
    pub pages: Cache,
    /// Sessions.
    pub sessions: Cache,
}

impl App {
    /// Connects to the database and brings it up to date, then puts the app together, with an empty
    /// corner of `cache` that belongs to this database.
    ///
    /// # Errors
    /// If the database cannot be reached or migrated.
    pub async fn open(config: Config, cache: Cache) -> anyhow::Result<Self> {
        let db = migrated(&config).await?;
        let cache = cache.with_prefix(&prefix(&db).await?)?;
        let app = Self::new(Arc::new(config), db, cache)?;
        app.tasks.start_afresh().await;
        Ok(app)
    }

    /// Puts an app together.
    ///
    /// # Errors
    /// If a template is wrong.
    pub fn new(config: Arc<Config>, db: Db, cache: Cache) -> anyhow::Result<Self> {
        let uses = Uses {
            query: cache.with_own_figures(),
            fragments: cache.with_own_figures(),
            pages: cache.with_own_figures(),
            sessions: cache.with_own_figures(),
        };
        let fragments = config.fragment_cache.then(|| uses.fragments.clone());
        let strategy = config.query_cache;
        Ok(Self {
            tasks: Tasks::new(
                db.clone(),
                uses.query.clone(),
                strategy,
                config.query_ttl,
                config.slow_query,
            ),
            templates: Templates::new(fragments)?,
            pages: PageCache::new(uses.pages.clone()).ttl(Ttl::Never).tag(TASKS_TAG),
            history: History::default(),
            config,
            db,
            cache,
            uses,
        })
    }

    /// The layer that gives requests their session.
    pub(crate) fn sessions(&self) -> SessionLayer {
        let cache = self.uses.sessions.clone();
        let engine = match self.config.session_engine {
            SessionEngine::Cache => Engine::Cache(cache),
            SessionEngine::CachedDb => Engine::CachedDb { cache, table: Arc::new(self.db.clone()) },
        };
        let secure = match self.config.secure_cookies {
            SecureCookies::On => Secure::Always,
            SecureCookies::Off => Secure::Never,
            SecureCookies::Auto => Secure::FromForwardedProto,
        };
        SessionLayer::new(engine).ttl(self.config.session_ttl).secure(secure)
    }

    /// Removes sessions that have ended from the database, for as long as it is polled.
    pub(crate) async fn sweep_sessions(&self, now_ms: impl Fn() -> i64) {
        loop {
            match self.db.session_sweep(now_ms()).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "removed sessions that had ended"),
                Err(error) => tracing::warn!(%error, "could not remove sessions that have ended"),
            }
            tokio::time::sleep(SWEEP_EVERY).await;
        }
    }
}

/// The database, connected and up to date.
///
/// # Errors
/// If it cannot be reached or migrated.
pub async fn migrated(config: &Config) -> anyhow::Result<Db> {
    let db = Db::connect(&config.database_url).await?;
    db.migrate().await.context("migrating the database")?;
    tracing::info!(database = %config.database_url, kind = db.kind(), "the database is up to date");
    Ok(db)
}

/// What the cache keys of this database begin with: a cache that two databases share, or that
/// outlives one, never serves the one's rows as the other's.
///
/// # Errors
/// If the database does not answer.
pub async fn prefix(db: &Db) -> anyhow::Result<String> {
    Ok(format!("tasklist-{}", db.installation().await?))
}
