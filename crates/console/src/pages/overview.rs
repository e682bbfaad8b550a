//! A cache at a glance, its history, and its flush.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use larder_control::{Need, TenantRecord};
use larder_tenancy::TenantId;
use serde::Serialize;

use super::alerts::AlertLine;
use super::axis::Past;
use super::chart::Charts;
use super::confirm::Confirm;
use super::connect::Connect;
use super::figures::Histogram;
use super::frame::{Done, Frame, path};
use super::{Asked, after, render};
use crate::console::App;
use crate::front::{OfTenant, Params, Who};
use crate::problem::Problem;
use crate::routes::Route;
use crate::service::{insight, stats, tenants};
use crate::view::{HistoryView, StatsView};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/tenants/{t}", Need::View, "A cache at a glance, live", overview),
        Route::get("/tenants/{t}/history", Need::View, "A cache over time", history),
        Route::get("/tenants/{t}/flush", Need::Flush, "Asks before a flush", ask_flush),
        Route::post("/tenants/{t}/flush", Need::Flush, "Flush a cache", flush),
    ]
}

/// What the overview shows.
#[derive(Debug, Serialize)]
struct OverviewPage {
    stats: StatsView,
    /// What happened a second, of late.
    rates: Rates,
    p50_ns: Option<u64>,
    p99_ns: Option<u64>,
    /// Bytes that the cache may have.
    limit: u64,
    charts: Charts,
    histogram: Histogram,
    /// Prefixes that are stored and never found.
    never_hits: Vec<String>,
    firing: Vec<AlertLine>,
    connect: Connect,
}

/// What happened a second, over the last ten.
#[derive(Debug, Default, Serialize)]
pub(super) struct Rates {
    get_hits: f64,
    get_misses: f64,
    sets: f64,
    pub(super) gets: f64,
    total_connections: f64,
    bytes_read: f64,
    bytes_written: f64,
}

impl Rates {
    /// Of the end of a history.
    #[allow(clippy::cast_precision_loss, reason = "a rate needs no more digits")]
    fn of(history: &HistoryView, now: u64) -> Rates {
        let late = |at: &&u64| **at + 11 >= now;
        let points = history.at.iter().rev().take_while(late).count();
        let from = history.at.len() - points;
        let seconds = history.seconds.iter().skip(from).sum::<u64>().max(1) as f64;
        let rate = |name| {
            let values = history.series.get(name).into_iter().flatten().skip(from);
            values.flatten().sum::<f64>() / seconds
        };
        Rates {
            get_hits: rate("get_hits"),
            get_misses: rate("get_misses"),
            sets: rate("sets"),
            gets: rate("gets"),
            total_connections: rate("total_connections"),
            bytes_read: rate("bytes_read"),
            bytes_written: rate("bytes_written"),
        }
    }
}

/// What happened a second to a cache, of late; nothing if that is not known.
pub(super) async fn of_late(app: &App, tenant: TenantId) -> Rates {
    match stats::history_of(app, tenant, "10m").await {
        Ok(history) => Rates::of(&history, crate::console::now()),
        Err(_) => Rates::default(),
    }
}

async fn overview(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    Params(asked): Params<Asked>,
) -> Result<Response, Problem> {
    let frame = Frame::of_tenant(&app, &who, &tenant, "").after(asked.done);
    let past = Past::named(asked.span.as_deref());
    let stats = stats::stats(&app, &tenant).await;
    let recent = stats::history(&app, &tenant, "10m").await?;
    let history = match past.name {
        "10m" => recent.clone(),
        name => stats::history(&app, &tenant, name).await?,
    };
    let prefixes = insight::prefixes(&app, &tenant).prefixes.into_iter();
    let never_hits = prefixes.filter(|prefix| prefix.never_hits).take(3);
    let figures = &stats.figures.0;
    let page = OverviewPage {
        rates: Rates::of(&recent, frame.now),
        p50_ns: last(&recent, "p50_ns"),
        p99_ns: last(&recent, "p99_ns"),
        limit: if figures.limit_bytes > 0 { figures.limit_bytes } else { tenant.ceiling },
        charts: Charts::overview(&history, past, frame.now),
        histogram: Histogram::of(&stats.latency),
        never_hits: never_hits.map(|prefix| prefix.pattern).collect(),
        firing: super::alerts::firing(&app, &tenant).await?,
        connect: Connect::without(&app, &tenant).await,
        stats,
    };
    Ok(render::page(StatusCode::OK, "overview.html", &frame, &page))
}

/// The last value of a series, if it is known.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "never negative")]
fn last(history: &HistoryView, name: &str) -> Option<u64> {
    history.series.get(name)?.last().copied().flatten().map(|value| value as u64)
}

/// What the page of the history shows.
#[derive(Debug, Serialize)]
struct HistoryPage {
    charts: Charts,
}

async fn history(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    Params(asked): Params<Asked>,
) -> Result<Response, Problem> {
    let frame = Frame::of_tenant(&app, &who, &tenant, "history");
    let past = Past::named(asked.span.as_deref().or(Some("3h")));
    let history = stats::history(&app, &tenant, past.name).await?;
    let page = HistoryPage { charts: Charts::history(&history, past, frame.now) };
    Ok(render::page(StatusCode::OK, "history.html", &frame, &page))
}

fn flush_question(tenant: &TenantRecord) -> Confirm {
    let (name, base) = (&tenant.name, path(tenant));
    Confirm::new(format!("Flush {name}?"), format!("{base}/flush"), "Flush all items", base).saying([
        "Every item in it becomes a miss, on every node, at once. There is no way back.",
        "The application makes everything anew as it is asked for, so it may be slow for a while. The \
         counters go on.",
    ])
}

async fn ask_flush(State(app): State<Arc<App>>, who: Who, OfTenant(tenant): OfTenant) -> Response {
    flush_question(&tenant).page(&Frame::of_tenant(&app, &who, &tenant, ""))
}

async fn flush(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
) -> Result<Response, Problem> {
    tenants::flush(&app, &who, &tenant).await?;
    Ok(after(Done::Flushed, &path(&tenant)))
}
