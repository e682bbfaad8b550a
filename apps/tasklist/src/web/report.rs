//! What each page cost, told to whoever asked for it and kept for `/caches`.
//!
//! [`Counted`] goes with a request from its arrival to its reply. `Server-Timing` is for
//! people (browsers draw it), `Cache-Status` for programs (RFC 9211; the page layer adds a member of
//! its own before this one). [`History`] keeps the last pages, and no more.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, Uri};
use larder::pages::PageOutcome;

use super::templates::PageReport;
use crate::trace::{Cost, Trace};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// How many pages are remembered.
const REMEMBERED: usize = 30;

/// The longest path that is shown whole, in characters.
const LONGEST_PATH: usize = 60;

/// The last pages of this process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<VecDeque<Visit>>>);

#[derive(Debug)]
struct Visit {
    at: SystemTime,
    method: Method,
    uri: Uri,
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

/// One request, from its arrival to its reply.
#[derive(Debug)]
pub struct Counted {
    trace: Trace,
    started: Instant,
    method: Method,
    uri: Uri,
}

impl Counted {
    /// Begins to count.
    pub fn begin(method: Method, uri: Uri) -> Self {
        Self { trace: Trace::default(), started: Instant::now(), method, uri }
    }

    /// Runs `work` and counts what it does.
    pub async fn scope<F: Future>(&self, work: F) -> F::Output {
        self.trace.scope(work).await
    }

    /// Tells the visitor what the reply cost, and remembers it.
    pub fn end(self, response: &mut Response, history: &History) {
        let (cost, total) = (self.trace.cost(), self.started.elapsed());
        let texts =
            [(SERVER_TIMING, server_timing(&cost, total)), (CACHE_STATUS, cache_status(&cost))];
        for (header, text) in texts {
            if let Ok(value) = HeaderValue::try_from(text) {
                response.headers_mut().append(header, value);
            }
        }
        let status = response.status().as_u16();
        tracing::debug!(
            method = %self.method,
            path = self.uri.path(),
            status,
            micros = micros(total),
            gets = cost.cache.gets,
            hits = cost.cache.hits,
            round_trips = cost.cache.round_trips,
            queries = cost.queries,
            "answered"
        );
        let path = self.uri.path();
        // What nobody asked for by itself would push the pages out of the list.
        if !path.starts_with("/static/") && path != "/healthz" {
            let outcome = response.extensions().get().copied();
            let (method, uri) = (self.method, self.uri);
            let at = SystemTime::now();
            history.add(Visit { at, method, uri, status, outcome, cost, total });
        }
    }
}

impl Visit {
    fn request(&self) -> String {
        let path: String = self.uri.path().chars().take(LONGEST_PATH).collect();
        format!("{} {path}", self.method)
    }

    fn report(&self) -> PageReport {
        PageReport {
            time: clock(self.at),
            request: self.request(),
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
            cache_ms: Milliseconds(self.cost.cache.micros).to_string(),
            total_ms: Milliseconds(micros(self.total)).to_string(),
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
        Milliseconds(cache.micros),
        cost.queries,
        Milliseconds(cost.query_micros),
        Milliseconds(micros(total)),
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

/// Microseconds, printed as milliseconds with two decimals.
struct Milliseconds(u64);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 1000, self.0 % 1000 / 10)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
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
                method: Method::GET,
                uri: format!("/{n}").parse().unwrap(),
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
