//! The tutorials' story, played over HTTP against freshly started apps: each claim with the figure
//! that was measured. `tasklist walkthrough` prints it, and the tests hold it over every database
//! and cache.
//!
//! The chapters own the claims; this file owns the stage they are played on. Every chapter starts
//! an app of its own on a free port, with its own configuration and an empty corner of the cache,
//! over the one database. Tasks that were there stay; those added are removed at the end.

mod chapters;
mod stage;

use std::time::Duration;

use larder::Cache;

use crate::config::Config;
use crate::db::Db;
use crate::tasks::Tasks;

/// One claim of the story and what became of it.
#[derive(Debug, Clone)]
pub struct Claim {
    /// What is claimed.
    pub text: String,
    /// What was measured.
    pub measured: String,
    /// Whether it holds.
    pub holds: bool,
}

/// Told as the story goes on.
#[derive(Debug, Clone)]
pub enum Event {
    /// A chapter begins: its title, and what it shows.
    Chapter(&'static str, &'static str),
    /// A claim was tested.
    Claim(Claim),
}

/// What the story is played with.
#[derive(Debug, Clone)]
pub struct Cast {
    /// The database, migrated.
    pub db: Db,
    /// The cache; chapters use prefixes of their own.
    pub cache: Cache,
    /// The configuration that chapters change.
    pub config: Config,
    /// How slow the query pretends to be.
    pub slow_query: Duration,
}

/// Plays the story and tells it to `audience`.
///
/// # Errors
/// If an app cannot be started or does not answer. A claim that does not hold is no error.
pub async fn play(cast: &Cast, audience: &mut dyn FnMut(Event)) -> anyhow::Result<()> {
    let before = cast.db.tasks().await?;
    let played = chapters::all(cast, audience).await;
    // Whatever happened, leave the list as it was.
    for task in cast.db.tasks().await? {
        if !before.contains(&task) {
            cast.db.remove_task(task.id).await?;
        }
    }
    // An app that runs on the same database must not show them either.
    let (strategy, ttl) = (cast.config.query_cache, cast.config.query_ttl);
    let tasks = Tasks::new(cast.db.clone(), cast.cache.clone(), strategy, ttl, Duration::ZERO);
    tasks.start_afresh().await;
    played
}
