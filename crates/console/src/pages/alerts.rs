//! Alerts of a cache: what is watched, how it stands, who is told.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use larder_control::{AlertKind, AlertState, Need, TenantRecord, Webhook};
use serde::{Deserialize, Serialize};

use super::confirm::Confirm;
use super::form::{Fields, given};
use super::frame::{Done, Frame, path};
use super::{Asked, after, render, sentence};
use crate::console::App;
use crate::front::{OfTenant, Params, TenantPath, Who};
use crate::problem::Problem;
use crate::routes::Route;
use crate::service::alerts;
use crate::view::{AlertTestView, AlertView};

pub(super) fn routes() -> Vec<Route> {
    let rows = [
        Route::get("/tenants/{t}/alerts", Need::Admin, "What is watched", list),
        Route::post("/tenants/{t}/alerts", Need::Admin, "Watch something", create),
        Route::post("/tenants/{t}/alerts/{id}", Need::Admin, "Switch an alert on or off", switch),
        Route::post("/tenants/{t}/alerts/{id}/test", Need::Admin, "Send a test", test),
        Route::get(
            "/tenants/{t}/alerts/{id}/remove",
            Need::Admin,
            "Asks before an alert is removed",
            ask_remove,
        ),
        Route::post("/tenants/{t}/alerts/{id}/remove", Need::Admin, "Remove an alert", remove),
    ];
    rows.into()
}

/// An alert that fires, in a line.
#[derive(Debug, Serialize)]
pub(super) struct AlertLine {
    words: String,
    since: Option<u64>,
}

/// The alerts of a cache that fire.
pub(super) async fn firing(app: &App, tenant: &TenantRecord) -> Result<Vec<AlertLine>, Problem> {
    let alerts = alerts::list(app, tenant).await?.alerts.into_iter();
    let firing = alerts.filter(|alert| alert.enabled && alert.state.name == "firing");
    Ok(firing.map(|alert| AlertLine { words: words(&alert), since: alert.state.since }).collect())
}

/// How many alerts of each cache fire, by its name.
pub(super) async fn firing_by_cache(app: &App) -> Result<HashMap<String, usize>, Problem> {
    let mut firing = HashMap::new();
    for rule in app.accounts.all_alert_rules().await? {
        if rule.enabled && matches!(app.alerts.state(&rule), AlertState::Firing { .. }) {
            *firing.entry(rule.tenant.to_string()).or_default() += 1;
        }
    }
    Ok(firing)
}

/// What an alert is about.
fn words(alert: &AlertView) -> String {
    let kind = AlertKind::named(alert.kind, alert.threshold);
    let words = kind.map_or_else(|_| alert.kind.to_owned(), |kind| kind.to_string());
    sentence(&words).trim_end_matches('.').to_owned()
}

/// What the page shows.
#[derive(Debug, Serialize)]
struct AlertsPage {
    alerts: Vec<Line>,
    test: Option<AlertTestView>,
    problem: Option<String>,
    typed: Form,
}

/// One alert on the page.
#[derive(Debug, Serialize)]
struct Line {
    words: String,
    /// Where it is told, without what is secret of it.
    told: Option<String>,
    view: AlertView,
}

/// What the form sends, and shows again if it cannot be done.
#[derive(Debug, Serialize, Deserialize)]
struct Form {
    kind: String,
    #[serde(default)]
    threshold: String,
    for_minutes: String,
    #[serde(default)]
    webhook: String,
}

impl Default for Form {
    fn default() -> Self {
        let [threshold, webhook] = [const { String::new() }; 2];
        Self { kind: "hit_rate_below".into(), threshold, for_minutes: "5".into(), webhook }
    }
}

/// What the page says of what was done before it is shown.
#[derive(Default)]
struct Said<'a> {
    done: Option<Done>,
    test: Option<AlertTestView>,
    problem: Option<&'a Problem>,
    typed: Form,
}

async fn page(
    app: &App,
    who: &Who,
    tenant: &TenantRecord,
    said: Said<'_>,
) -> Result<Response, Problem> {
    let line = |view: AlertView| Line {
        words: words(&view),
        told: view
            .webhook
            .as_deref()
            .and_then(|url| Webhook::parse(url).ok())
            .map(|url| url.to_string()),
        view,
    };
    let page = AlertsPage {
        alerts: alerts::list(app, tenant).await?.alerts.into_iter().map(line).collect(),
        test: said.test,
        problem: said.problem.map(|problem| sentence(&problem.message)),
        typed: said.typed,
    };
    let status = said.problem.map_or(StatusCode::OK, |problem| problem.status);
    let frame = Frame::of_tenant(app, who, tenant, "alerts").after(said.done);
    Ok(render::page(status, "alerts.html", &frame, &page))
}

async fn list(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    Params(asked): Params<Asked>,
) -> Result<Response, Problem> {
    page(&app, &who, &tenant, Said { done: asked.done, ..Said::default() }).await
}

async fn create(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    Fields(form): Fields<Form>,
) -> Result<Response, Problem> {
    let made = match read(&form) {
        Ok(body) => alerts::create(&app, &who, &tenant, body).await.map(drop),
        Err(problem) => Err(problem),
    };
    match made {
        Ok(()) => Ok(after(Done::Created, &base(&tenant))),
        Err(problem) if problem.status.is_client_error() => {
            let said = Said { problem: Some(&problem), typed: form, ..Said::default() };
            page(&app, &who, &tenant, said).await
        }
        Err(problem) => Err(problem),
    }
}

/// What a form asks for.
fn read(form: &Form) -> Result<alerts::NewAlertBody, Problem> {
    let whole = |what: &str, text: &str| {
        let message = format!("{what} is {text:?}; it must be a whole number");
        text.parse::<u64>().map_err(|_| Problem::invalid(message))
    };
    let threshold = match given(&form.threshold) {
        // It means nothing there, and is often left over from another choice.
        Some(_) if form.kind == "never_hits" => None,
        Some(text) => Some(whole("the number", text)?),
        None => None,
    };
    let for_minutes = whole("the minutes", form.for_minutes.trim())?;
    Ok(alerts::NewAlertBody {
        kind: form.kind.clone(),
        threshold,
        // What is too much is told by who knows the limit.
        for_minutes: u32::try_from(for_minutes).unwrap_or(u32::MAX),
        webhook: given(&form.webhook).map(str::to_owned),
        enabled: true,
    })
}

/// What the switch sends.
#[derive(Debug, Deserialize)]
struct Switch {
    enabled: String,
}

async fn switch(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    path: TenantPath,
    Fields(form): Fields<Switch>,
) -> Result<Response, Problem> {
    let enabled = Some(form.enabled == "yes");
    let patch = alerts::AlertPatch { enabled, ..alerts::AlertPatch::default() };
    alerts::change(&app, &who, &tenant, path.get("id"), patch).await?;
    Ok(after(Done::Saved, &base(&tenant)))
}

/// Answers with the page itself: what the receiver said is of this moment.
async fn test(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    path: TenantPath,
) -> Result<Response, Problem> {
    let test = alerts::test(&app, &tenant, path.get("id")).await?;
    page(&app, &who, &tenant, Said { test: Some(test), ..Said::default() }).await
}

async fn ask_remove(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    path: TenantPath,
) -> Result<Response, Problem> {
    let alert = alerts::show(&app, &tenant, path.get("id")).await?;
    let base = base(&tenant);
    let action = format!("{base}/{}/remove", alert.id);
    let question = Confirm::new("Remove the alert?".to_owned(), action, "Remove it", base)
        .saying([format!("Nobody is told any more: {}.", words(&alert))]);
    Ok(question.page(&Frame::of_tenant(&app, &who, &tenant, "alerts")))
}

async fn remove(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    path: TenantPath,
) -> Result<Response, Problem> {
    alerts::remove(&app, &who, &tenant, path.get("id")).await?;
    Ok(after(Done::Removed, &base(&tenant)))
}

fn base(tenant: &TenantRecord) -> String {
    format!("{}/alerts", path(tenant))
}
