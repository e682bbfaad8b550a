//! `GET /caches`: the settings in force, the running totals, and what the last pages cost.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::header::CACHE_CONTROL;
use larder::{Cache, Figures};

use super::errors::PageError;
use super::templates::{CachesPage, Setting, Total};
use crate::app::App;
use crate::config::QueryCache;

/// This many look-ups without a single hit are a mistake and no accident.
const SUSPICIOUS: u64 = 50;

/// The handler.
pub(super) async fn caches(State(app): State<Arc<App>>) -> Result<Response, PageError> {
    let uses = &app.uses;
    let page = CachesPage {
        cache: app.cache.backend().describe(),
        settings: settings(&app),
        totals: vec![
            total("Pages and tags", &uses.pages),
            total("Rows (fragments)", &uses.fragments),
            total("List (query)", &uses.query),
            total("Sessions", &uses.sessions),
        ],
        pages: app.history.reports(),
    };
    let html = app.templates.render("caches.html", &page).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Html(html)).into_response())
}

fn total(what: &'static str, cache: &Cache) -> Total {
    let figures = cache.figures();
    Total {
        what,
        gets: figures.gets,
        hits: figures.hits,
        misses: figures.misses,
        sets: figures.sets,
        errors: figures.errors,
        unreadable: figures.undecodable,
        refused: figures.refused_fills,
        never_hits: never_hits(&figures),
    }
}

/// Whether a cache is asked and asked and never has anything.
fn never_hits(figures: &Figures) -> bool {
    figures.gets >= SUSPICIOUS && figures.hits == 0
}

fn settings(app: &App) -> Vec<Setting> {
    let config = &app.config;
    let switch = |on: bool| if on { "on" } else { "off" }.to_owned();
    let mut settings = vec![
        Setting { name: "TASKLIST_PAGE_CACHE", value: switch(config.page_cache) },
        Setting { name: "TASKLIST_FRAGMENT_CACHE", value: switch(config.fragment_cache) },
        Setting { name: "TASKLIST_QUERY_CACHE", value: config.query_cache.as_str().to_owned() },
    ];
    if config.query_cache == QueryCache::Expiration {
        let value = format!("{}s", config.query_ttl.as_secs());
        settings.push(Setting { name: "TASKLIST_QUERY_TTL", value });
    }
    settings.extend([
        Setting {
            name: "TASKLIST_SLOW_QUERY_MS",
            value: config.slow_query.as_millis().to_string(),
        },
        Setting {
            name: "TASKLIST_SESSION_ENGINE",
            value: config.session_engine.as_str().to_owned(),
        },
    ]);
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cache_that_never_hits_is_noticed() {
        let (good, useless) = (Cache::in_process(1 << 20), Cache::in_process(1 << 20));
        good.set("key", &1, larder::Ttl::Never).await;
        for n in 0..SUSPICIOUS {
            // What is stored and what is asked for differ: the mistake that nobody sees.
            useless.set(format!("stored {n}"), &n, larder::Ttl::Never).await;
            useless.get::<u64>(format!("asked {n}")).await;
            good.get::<u64>("key").await;
        }
        assert!(total("", &useless).never_hits);
        assert!(!total("", &good).never_hits);
        assert!(!total("", &Cache::in_process(1 << 20)).never_hits, "nothing asked, nothing wrong");
    }
}
