//! The operator's pages about the node, and the log of all changes.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use larder_control::Need;
use serde::{Deserialize, Serialize};

use super::figures::Histogram;
use super::frame::Frame;
use super::{format, render, sentence};
use crate::console::App;
use crate::front::{OfTenant, Params, Who};
use crate::problem::Problem;
use crate::routes::Route;
use crate::service::{fleet, tenants};
use crate::view::{AuditView, CapacityView, NodesView};

pub(super) fn routes() -> Vec<Route> {
    let rows = [
        Route::get("/node", Need::Operator, "The node's health, and its siblings", node),
        Route::get("/audit", Need::Operator, "Who did what", audit).query(BEFORE),
        Route::get("/tenants/{t}/audit", Need::Admin, "Who did what to a cache", audit_of)
            .query(BEFORE),
    ];
    rows.into()
}

const BEFORE: &[(&str, &str)] = &[("before", "entries before this one; absent: the latest")];

/// What the page of the node shows.
#[derive(Debug, Serialize)]
struct NodePage {
    nodes: NodesView,
    capacity: CapacityView,
    /// Bytes that caches use beyond their floors.
    lent: u64,
    histogram: Histogram,
    probe: Probe,
}

/// Whether a value could be set and read back.
#[derive(Debug, Serialize)]
struct Probe {
    ok: bool,
    words: String,
}

async fn node(State(app): State<Arc<App>>, who: Who) -> Result<Response, Problem> {
    let nodes = fleet::nodes(&app).await?;
    let list = tenants::list(&app).await?;
    let probe = match crate::health::ask(&app).await {
        Ok(took) => {
            let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            Probe {
                ok: true,
                words: format!("A value was set and read back in {}.", format::nanos(nanos)),
            }
        }
        Err(problem) => Probe { ok: false, words: sentence(&problem) },
    };
    let page = NodePage {
        histogram: Histogram::of(&nodes.this.latency),
        capacity: list.capacity,
        lent: super::tenants::lent(&list),
        nodes,
        probe,
    };
    Ok(render::page(StatusCode::OK, "node.html", &Frame::of(&app, Some(&who), "node"), &page))
}

/// What the log is asked for with.
#[derive(Debug, Deserialize)]
struct Wanted {
    #[serde(default)]
    before: Option<i64>,
}

/// What the log shows.
#[derive(Debug, Serialize)]
struct AuditPage {
    before: Option<i64>,
    /// Its own path.
    path: String,
    log: AuditView,
}

async fn audit(
    State(app): State<Arc<App>>,
    who: Who,
    Params(wanted): Params<Wanted>,
) -> Result<Response, Problem> {
    let log = fleet::audit(&app, None, wanted.before, None).await?;
    let page = AuditPage { before: wanted.before, path: "/audit".to_owned(), log };
    Ok(render::page(StatusCode::OK, "audit.html", &Frame::of(&app, Some(&who), "audit"), &page))
}

async fn audit_of(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    Params(wanted): Params<Wanted>,
) -> Result<Response, Problem> {
    let log = fleet::audit(&app, Some(&tenant), wanted.before, None).await?;
    let path = format!("{}/audit", super::frame::path(&tenant));
    let page = AuditPage { before: wanted.before, path, log };
    let frame = Frame::of_tenant(&app, &who, &tenant, "audit");
    Ok(render::page(StatusCode::OK, "tenant_audit.html", &frame, &page))
}
