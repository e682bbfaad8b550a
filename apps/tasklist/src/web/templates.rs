//! The HTML templates, embedded in the binary, and what each is rendered with.
//!
//! All names end in `.html`, so minijinja escapes every value; no template uses `safe`. An undefined
//! name is an error, not an empty string. The list's template shows nothing that belongs to one
//! visitor, because its pages and rows are cached for all.

use std::sync::Arc;

use larder::Cache;
use larder::fragments::{self, Fragments};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value};
use serde::Serialize;

use super::assets;
use crate::db::Task;

/// Name and text of every template.
pub const SOURCES: &[(&str, &str)] = &[
    ("layout.html", include_str!("templates/layout.html")),
    ("index.html", include_str!("templates/index.html")),
    ("me.html", include_str!("templates/me.html")),
    ("caches.html", include_str!("templates/caches.html")),
    ("error.html", include_str!("templates/error.html")),
];

/// The templates, parsed, with the cache of their fragments; clones share them.
#[derive(Debug, Clone)]
pub struct Templates {
    environment: Arc<Environment<'static>>,
    fragments: Fragments,
}

impl Templates {
    /// Parses [`SOURCES`]. Fragments are kept in `cache`; without one, they always run.
    pub fn new(cache: Option<Cache>) -> Result<Templates, minijinja::Error> {
        let fragments = Fragments::new(cache.unwrap_or_else(Cache::null));
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
        environment.set_syntax(syntax);
        // Ours, and of characters that mean nothing in HTML.
        let style_path = Value::from_safe_string(assets::style_path());
        environment.add_global("style_path", style_path);
        fragments.install(&mut environment);
        for (name, source) in SOURCES {
            fragments::add_template(&mut environment, name, source)?;
        }
        let environment = Arc::new(environment);
        Ok(Templates { environment, fragments })
    }

    /// Renders one page.
    pub async fn render<V: Serialize>(
        &self,
        name: &str,
        values: &V,
    ) -> Result<String, minijinja::Error> {
        let values = Value::from(Serde(values));
        self.fragments.render(&self.environment, name, values).await
    }
}

/// What `index.html` shows.
#[derive(Debug, Serialize)]
pub struct IndexPage {
    /// The tasks, oldest first.
    pub tasks: Vec<Task>,
}

/// What `me.html` shows.
#[derive(Debug, Serialize)]
pub struct MePage {
    /// How often this visitor has looked at this page.
    pub visits: u64,
    /// The names of the tasks they added, oldest first.
    pub added: Vec<String>,
    /// Where sessions are kept, as `TASKLIST_SESSION_ENGINE` calls it.
    pub engine: &'static str,
    /// How long the session lives after its last use, such as "14 days".
    pub lifetime: String,
}

/// What `caches.html` shows.
#[derive(Debug, Serialize)]
pub struct CachesPage {
    /// The cache in use: "in this process", or the servers.
    pub cache: String,
    /// The settings in force.
    pub settings: Vec<Setting>,
    /// The totals since the process started.
    pub totals: Vec<Total>,
    /// The latest pages, newest first.
    pub pages: Vec<PageReport>,
}

/// One setting in force.
#[derive(Debug, Serialize)]
pub struct Setting {
    /// The variable's name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

/// One line of totals: a kind of cached thing.
#[derive(Debug, Serialize)]
pub struct Total {
    /// "Pages", "Fragments", "Query", "Sessions".
    pub what: &'static str,
    /// Keys asked for.
    pub gets: u64,
    /// Of these, found.
    pub hits: u64,
    /// Of these, not found.
    pub misses: u64,
    /// Values stored.
    pub sets: u64,
    /// Operations that failed and counted as misses.
    pub errors: u64,
    /// Values that were there but could not be read.
    pub unreadable: u64,
    /// Stores that were refused because the value had been changed meanwhile.
    pub refused: u64,
    /// Much is asked for and nothing is ever found: something is wrong.
    pub never_hits: bool,
}

/// What the caches did for one page.
#[derive(Debug, Serialize)]
pub struct PageReport {
    /// When, such as "14:03:21".
    pub time: String,
    /// Method and path.
    pub request: String,
    /// The status of the reply.
    pub status: u16,
    /// What the page cache did: "hit", "miss, stored", "not asked".
    pub page: String,
    /// Keys asked for.
    pub gets: u64,
    /// Of these, found.
    pub hits: u64,
    /// Of these, not found.
    pub misses: u64,
    /// Round trips to the cache servers.
    pub round_trips: u64,
    /// Queries for the list.
    pub queries: u64,
    /// Milliseconds spent waiting for the cache, such as "0.41".
    pub cache_ms: String,
    /// Milliseconds in all.
    pub total_ms: String,
}
