//! What each page cost, told to whoever asked for it and kept for `/caches`.
//!
//! [`report`] is the outermost layer: it counts for everything within. `Server-Timing` is for
//! people (browsers draw it), `Cache-Status` for programs (RFC 9211; the page layer adds a member of
//! its own before this one). [`History`] keeps the last pages, and no more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue};
use larder::pages::PageOutcome;

use super::templates::PageReport;
use crate::trace::{Cost, Trace};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// How many pages are remembered.
const REMEMBERED: usize = 30;

/// The longest path that is remembered whole, in characters.
const LONGEST_PATH: usize = 60;

/// The last pages of this process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<VecDeque<Visit>>>);

#[derive(Debug)]
struct Visit {
    at: SystemTime,
    request: String,
    status: u16,
    outcome: Option<PageOutcome>,
    cost: Cost,
    total: Duration,
}

impl History {
    /// The pages, newest first.
    pub fn reports(&self) -> Vec<PageReport> {
        self.lock().iter().map(Visit::report).collect()
    }

    fn add(&self, visit: Visit) {
        let mut visits = self.lock();
        visits.truncate(REMEMBERED - 1);
        visits.push_front(visit);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Visit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The layer that counts, tells and remembers.
pub async fn report(State(history): State<History>, request: Request, next: Next) -> Response {
    let trace = Trace::default();
    let started = Instant::now();
    let path: String = request.uri().path().chars().take(LONGEST_PATH).collect();
    let name = format!("{} {path}", request.method());
    let mut response = trace.scope(next.run(request)).await;
    let (cost, total) = (trace.cost(), started.elapsed());
    let headers = response.headers_mut();
    for (header, text) in
        [(SERVER_TIMING, server_timing(&cost, total)), (CACHE_STATUS, cache_status(&cost))]
    {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.append(header, value);
        }
    }
    let status = response.status().as_u16();
    let micros = u64::try_from(total.as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(
        request = name,
        status,
        micros,
        gets = cost.cache.gets,
        hits = cost.cache.hits,
        round_trips = cost.cache.round_trips,
        queries = cost.queries,
        "answered"
    );
    if !path.starts_with("/static/") {
        history.add(Visit {
            at: SystemTime::now(),
            request: name,
            status,
            outcome: response.extensions().get().copied(),
            cost,
            total,
        });
    }
    response
}

impl Visit {
    fn report(&self) -> PageReport {
        PageReport {
            time: clock(self.at),
            request: self.request.clone(),
            status: self.status,
            page: match self.outcome {
                None => "not asked".to_owned(),
                Some(PageOutcome::Hit) => "hit".to_owned(),
                Some(PageOutcome::Stored) => "miss, stored".to_owned(),
                Some(PageOutcome::NotStored(reason)) => {
                    format!("miss, not stored: {}", reason.name())
                }
                Some(PageOutcome::Bypassed(reason)) => format!("not asked: {}", reason.name()),
            },
            gets: self.cost.cache.gets,
            hits: self.cost.cache.hits,
            misses: self.cost.cache.misses,
            round_trips: self.cost.cache.round_trips,
            queries: self.cost.queries,
            cache_ms: milliseconds(self.cost.cache.micros),
            total_ms: milliseconds(u64::try_from(self.total.as_micros()).unwrap_or(u64::MAX)),
        }
    }
}

fn server_timing(cost: &Cost, total: Duration) -> String {
    let cache = &cost.cache;
    format!(
        "cache;desc=\"{} gets, {} hits, {} misses, {} round trips\";dur={}, \
         db;desc=\"{} queries\";dur={}, total;dur={}",
        cache.gets,
        cache.hits,
        cache.misses,
        cache.round_trips,
        milliseconds(cache.micros),
        cost.queries,
        milliseconds(cost.query_micros),
        milliseconds(u64::try_from(total.as_micros()).unwrap_or(u64::MAX)),
    )
}

fn cache_status(cost: &Cost) -> String {
    let cache = &cost.cache;
    format!(
        "tasklist; gets={}; hits={}; misses={}; sets={}; errors={}; trips={}; queries={}",
        cache.gets,
        cache.hits,
        cache.misses,
        cache.sets,
        cache.errors,
        cache.round_trips,
        cost.queries,
    )
}

/// Milliseconds with two decimals.
fn milliseconds(micros: u64) -> String {
    format!("{}.{:02}", micros / 1000, micros % 1000 / 10)
}

/// The time of day in UTC.
fn clock(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_pages_are_kept() {
        let history = History::default();
        for n in 0..100 {
            history.add(Visit {
                at: UNIX_EPOCH + Duration::from_secs(3 * 86_400 + 3661),
                request: format!("GET /{n}"),
                status: 200,
                outcome: Some(PageOutcome::Hit),
                cost: Cost::default(),
                total: Duration::from_micros(1234),
            });
        }
        let reports = history.reports();
        assert_eq!(reports.len(), REMEMBERED);
        assert_eq!(reports[0].request, "GET /99");
        assert_eq!((reports[0].time.as_str(), reports[0].total_ms.as_str()), ("01:01:01", "1.23"));
    }
}
