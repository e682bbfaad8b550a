//! The operator's first page: all caches, and the form that makes one.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use larder_control::{Need, Principal, percent_encoded};
use larder_tenancy::TenantId;
use serde::{Deserialize, Serialize};

use super::connect::Connect;
use super::form::{Fields, given};
use super::frame::{Done, Frame};
use super::{figures, render, sentence};
use crate::console::App;
use crate::front::{Params, Size, Who};
use crate::problem::Problem;
use crate::routes::Route;
use crate::service::{fleet, stats, tenants};
use crate::view::{
    CapacityView, FiguresView, HitRateView, NodeFactsView, SecretView, TenantRowView, TenantsView,
};

/// Caches of one page of the list.
const PAGE: usize = 50;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/", Need::SignedIn, "All caches, or one's own", first),
        Route::post("/tenants", Need::Operator, "Make a cache; its password is shown once", create),
    ]
}

/// What the list is asked for with.
#[derive(Debug, Default, Deserialize)]
struct Wanted {
    #[serde(default)]
    done: Option<Done>,
    /// From 1.
    #[serde(default)]
    page: Option<usize>,
}

/// What the form sends, and shows again if it cannot be done.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Form {
    name: String,
    memory: String,
    #[serde(default)]
    ceiling: String,
}

/// What the list shows.
#[derive(Debug, Serialize)]
struct ListPage {
    /// How many there are.
    caches: usize,
    capacity: CapacityView,
    total: FiguresView,
    rows: Vec<Row>,
    number: usize,
    pages: usize,
    node: NodeFactsView,
    total_rate: HitRateView,
    /// Bytes that caches use beyond their floors.
    lent: u64,
    problem: Option<String>,
    typed: Form,
}

/// One cache in the list.
#[derive(Debug, Serialize)]
struct Row {
    tenant: TenantRowView,
    /// Bytes that it may have now.
    limit: u64,
    /// The share of them that is in use.
    used: f64,
    /// Of the last hour.
    hit_rate: HitRateView,
    /// Keys asked for a second, of late.
    gets: f64,
    /// Alerts that fire.
    firing: usize,
}

async fn first(
    State(app): State<Arc<App>>,
    who: Who,
    Params(wanted): Params<Wanted>,
) -> Result<Response, Problem> {
    match &who.principal {
        Principal::Operator { .. } => list(&app, &who, &wanted, Form::default(), None).await,
        Principal::Credential { tenant, .. } if who.may(Need::View, Some(tenant)) => {
            let path = format!("/tenants/{}", percent_encoded(tenant.as_str()));
            Ok(Redirect::to(&path).into_response())
        }
        Principal::Credential { .. } => Ok(Redirect::to("/account").into_response()),
    }
}

async fn list(
    app: &App,
    who: &Who,
    wanted: &Wanted,
    typed: Form,
    problem: Option<&Problem>,
) -> Result<Response, Problem> {
    let list = tenants::list(app).await?;
    let firing = super::alerts::firing_by_cache(app).await?;
    let pages = list.tenants.len().div_ceil(PAGE).max(1);
    let number = wanted.page.unwrap_or(1).clamp(1, pages);
    let mut rows = Vec::with_capacity(PAGE);
    for tenant in list.tenants.iter().skip((number - 1) * PAGE).take(PAGE) {
        let firing = firing.get(&tenant.tenant.name).copied().unwrap_or_default();
        rows.push(row(app, tenant.clone(), firing).await);
    }
    let total = &list.total.0;
    let page = ListPage {
        caches: list.tenants.len(),
        capacity: list.capacity,
        total: list.total,
        rows,
        number,
        pages,
        node: fleet::nodes(app).await?.this,
        total_rate: figures::hit_rate(total.get_hits, total.get_misses),
        lent: lent(&list),
        problem: problem.map(|problem| sentence(&problem.message)),
        typed,
    };
    let status = problem.map_or(StatusCode::OK, |problem| problem.status);
    let frame = Frame::of(app, Some(who), "tenants").after(wanted.done);
    Ok(render::page(status, "tenants.html", &frame, &page))
}

#[allow(clippy::cast_precision_loss, reason = "a share needs no more digits")]
async fn row(app: &App, tenant: TenantRowView, firing: usize) -> Row {
    let id = TenantId::new(tenant.tenant.id);
    let counted = &tenant.figures.0;
    let limit = if counted.limit_bytes > 0 { counted.limit_bytes } else { tenant.tenant.ceiling };
    let rates = stats::hit_rates(app, id).await;
    let late = super::overview::of_late(app, id).await;
    Row {
        limit,
        used: if limit > 0 { counted.bytes as f64 / limit as f64 } else { 0.0 },
        hit_rate: rates.hour,
        gets: late.gets,
        firing,
        tenant,
    }
}

/// Bytes that caches use beyond what they are promised.
pub(super) fn lent(list: &TenantsView) -> u64 {
    let beyond = |row: &TenantRowView| row.figures.0.bytes.saturating_sub(row.tenant.floor);
    list.tenants.iter().map(beyond).sum()
}

/// What the page of a new password shows.
#[derive(Debug, Serialize)]
pub(super) struct SecretPage {
    pub(super) title: String,
    pub(super) secret: SecretView,
    pub(super) waiting_for: Vec<String>,
    pub(super) connect: Connect,
    pub(super) back: String,
}

async fn create(
    State(app): State<Arc<App>>,
    who: Who,
    Fields(form): Fields<Form>,
) -> Result<Response, Problem> {
    match make(&app, &who, &form).await {
        Ok(response) => Ok(response),
        Err(problem) if problem.status.is_client_error() => {
            list(&app, &who, &Wanted::default(), form, Some(&problem)).await
        }
        Err(problem) => Err(problem),
    }
}

async fn make(app: &App, who: &Who, form: &Form) -> Result<Response, Problem> {
    let floor = size("memory", &form.memory)?;
    let ceiling = match given(&form.ceiling) {
        Some(text) => size("ceiling", text)?,
        None => floor,
    };
    let body = tenants::NewTenantBody {
        name: form.name.trim().to_owned(),
        memory: None,
        floor: Some(floor),
        ceiling: Some(ceiling),
        labels: std::collections::BTreeMap::new(),
    };
    let made = tenants::create(app, who, body).await?;
    let name = larder_tenancy::TenantName::new(&made.tenant.name)
        .map_err(|_| Problem::no_such_tenant())?;
    let tenant = app.accounts.tenant(&name).await?;
    let page = SecretPage {
        title: format!("{name} is ready"),
        connect: Connect::with(&made.credential),
        secret: made.credential,
        waiting_for: made.waiting_for,
        back: super::frame::path(&tenant),
    };
    let frame = Frame::of_tenant(app, who, &tenant, "");
    Ok(render::page(StatusCode::CREATED, "secret.html", &frame, &page))
}

/// A size that somebody typed.
pub(super) fn size(what: &str, text: &str) -> Result<Size, Problem> {
    Size::parse(text).ok_or_else(|| {
        let message = format!(
            "the {what} {text:?} is no size: write a whole number with a unit, such as 64m or 1g"
        );
        Problem::invalid(message)
    })
}
