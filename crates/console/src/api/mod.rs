//! The HTTP API: its rows of the table, and the handlers, which read what was asked and call `service`.

mod live;

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{Extensions, HeaderMap, StatusCode, header};
use larder_control::Need;
use serde::Deserialize;

use crate::console::App;
use crate::front::{Body, OfTenant, Params, TenantPath, Who, caller};
use crate::problem::Problem;
use crate::routes::Route;
use crate::service::{account, alerts, credentials, fleet, insight, items, stats, tenants};
use crate::view::{
    AlertTestView, AlertView, AlertsView, AuditView, CredentialView, CredentialsView, DoneView,
    HistoryView, ItemView, KeysView, MeView, NewCredentialView, NewTenantView, NodesView,
    PrefixesView, RecentView, SessionsView, StatsView, TenantRowView, TenantView, TenantsView,
    TokenSecretView, TokensView,
};

/// What a handler answers.
type Answer<T> = Result<Json<T>, Problem>;

/// The same, for what was made.
type Made<T> = Result<(StatusCode, Json<T>), Problem>;

/// The handlers' state.
type Console = State<Arc<App>>;

const KEY: &[(&str, &str)] =
    &[("key", "the key, percent-encoded bytes"), ("key_base64", "or the key in base64")];

/// The rows of the API.
#[rustfmt::skip]
pub(crate) fn routes() -> Vec<Route> {
    use Need::{Admin, Flush, Operator, SignedIn, View};
    vec![
        Route::get("/healthz", None, "Set and get a value; 200 if that works, 503 if not", crate::health::answer),
        Route::get("/metrics", None, "Everything that is counted, for Prometheus: operators, and callers on this machine", crate::metrics::answer),
        Route::get("/api/v1/openapi.json", None, "This document", async || crate::openapi::document()),
        Route::get("/api/v1/me", SignedIn, "Who asks", me).gives("Me"),
        Route::put("/api/v1/me/password", Operator, "Set the password of the operator who asks; other sessions end", set_password).takes("Password").gives("Done"),
        Route::get("/api/v1/sessions", SignedIn, "Browsers signed in as who asks", sessions).gives("Sessions"),
        Route::post("/api/v1/sessions", None, "Sign in with a browser: sets a cookie", sign_in).takes("SignIn").makes("Me"),
        Route::delete("/api/v1/sessions", SignedIn, "End all sessions of who asks but this one", end_others).gives("Done"),
        Route::delete("/api/v1/sessions/{id}", SignedIn, "End a session of who asks", end_session).gives("Done"),
        Route::get("/api/v1/tokens", SignedIn, "Tokens of who asks", tokens).gives("Tokens"),
        Route::post("/api/v1/tokens", Admin, "Make a token that may do what its maker may; shown once", create_token).takes("NewToken").makes("TokenSecret"),
        Route::delete("/api/v1/tokens/{id}", SignedIn, "Revoke a token of who asks", revoke_token).gives("Done"),
        Route::get("/api/v1/nodes", Operator, "The nodes, and more of the one that answers", nodes).gives("Nodes"),
        Route::get("/api/v1/audit", Operator, "Who did what, the latest first", audit).query(PAGE).gives("Audit"),
        Route::get("/api/v1/tenants", Operator, "All caches, with what this node counted of each", list_tenants).gives("Tenants"),
        Route::post("/api/v1/tenants", Operator, "Make a cache and its primary credential; the password is shown once", create_tenant).takes("NewTenant").makes("TenantMade"),
        Route::get("/api/v1/tenants/{t}", View, "One cache, with what this node counted of it", show_tenant).gives("TenantRow"),
        Route::patch("/api/v1/tenants/{t}", Operator, "Resize or relabel a cache; what is absent stays", change_tenant).takes("TenantPatch").gives("Tenant"),
        Route::delete("/api/v1/tenants/{t}", Operator, "Remove a cache with all that is in it", remove_tenant).gives("Done"),
        Route::post("/api/v1/tenants/{t}/flush", Flush, "Make every item of a cache a miss, on every node", flush_tenant).gives("Done"),
        Route::get("/api/v1/tenants/{t}/stats", View, "Counters, hit rates and latencies of this node", show_stats).gives("Stats"),
        Route::get("/api/v1/tenants/{t}/history", View, "A span of the past on this node, in columns", history).query(&[("span", "10m, 3h, 1d, 1w or 3mo; absent: 3h")]).gives("History"),
        Route::get("/api/v1/tenants/{t}/live", View, "Server-sent events: one `Live` a second, as JSON", live::live).streams("Live"),
        Route::get("/api/v1/tenants/{t}/keys", View, "The busiest keys on this node, from a sample", keys).gives("Keys"),
        Route::get("/api/v1/tenants/{t}/prefixes", View, "The busiest prefixes on this node, and why keys were missed", prefixes).gives("Prefixes"),
        Route::get("/api/v1/tenants/{t}/recent", Admin, "The latest commands on this node, from a sample", recent).gives("Recent"),
        Route::get("/api/v1/tenants/{t}/key", Admin, "Look up an item on this node, without counting as a use", look_up).query(KEY).gives("Item"),
        Route::delete("/api/v1/tenants/{t}/key", Admin, "Delete an item on this node; needs the capability write as well", delete_item).query(KEY).gives("Done"),
        Route::get("/api/v1/tenants/{t}/audit", Admin, "Who did what to a cache, the latest first", audit_of_tenant).query(PAGE).gives("Audit"),
        Route::get("/api/v1/tenants/{t}/credentials", Admin, "The credentials of a cache, the primary first", list_credentials).gives("Credentials"),
        Route::post("/api/v1/tenants/{t}/credentials", Admin, "Make a credential; the password is shown once", create_credential).takes("NewCredential").makes("CredentialMade"),
        Route::patch("/api/v1/tenants/{t}/credentials/{u}", Admin, "Change a credential; what is absent stays", change_credential).takes("CredentialPatch").gives("Credential"),
        Route::delete("/api/v1/tenants/{t}/credentials/{u}", Admin, "Revoke a credential; its connections are closed", revoke_credential).gives("Done"),
        Route::post("/api/v1/tenants/{t}/credentials/{u}/promote", Admin, "Make a credential the primary one; the other works on", promote_credential).gives("Done"),
        Route::get("/api/v1/tenants/{t}/alerts", Admin, "The alerts of a cache, and how they stand", list_alerts).gives("Alerts"),
        Route::post("/api/v1/tenants/{t}/alerts", Admin, "Make an alert", create_alert).takes("NewAlert").makes("Alert"),
        Route::get("/api/v1/tenants/{t}/alerts/{id}", Admin, "One alert", show_alert).gives("Alert"),
        Route::patch("/api/v1/tenants/{t}/alerts/{id}", Admin, "Change an alert; what is absent stays", change_alert).takes("AlertPatch").gives("Alert"),
        Route::delete("/api/v1/tenants/{t}/alerts/{id}", Admin, "Remove an alert", remove_alert).gives("Done"),
        Route::post("/api/v1/tenants/{t}/alerts/{id}/test", Admin, "Send a test to an alert's webhook; what the receiver said", test_alert).gives("AlertTest"),
    ]
}

const PAGE: &[(&str, &str)] = &[
    ("before", "the `next` of the page before; absent: the latest"),
    ("limit", "entries of a page, 1 to 200; absent: 50"),
];

async fn me(who: Who) -> Json<MeView> {
    Json(account::me(&who))
}

async fn set_password(
    State(app): Console,
    who: Who,
    Body(body): Body<account::PasswordBody>,
) -> Answer<DoneView> {
    account::set_password(&app, &who, &body).await.map(Json)
}

async fn sessions(State(app): Console, who: Who) -> Answer<SessionsView> {
    account::sessions(&app, &who).await.map(Json)
}

async fn sign_in(
    State(app): Console,
    headers: HeaderMap,
    extensions: Extensions,
    Body(body): Body<account::SignInBody>,
) -> Result<Response, Problem> {
    let caller = caller(&headers, &extensions);
    let (cookie, principal) = account::sign_in(&app, &caller, &body.user, &body.password).await?;
    let who = Who::begun(principal, caller);
    let set = [(header::SET_COOKIE, cookie)];
    Ok((StatusCode::CREATED, set, Json(account::me(&who))).into_response())
}

async fn end_others(State(app): Console, who: Who) -> Answer<DoneView> {
    account::end_other_sessions(&app, &who).await.map(Json)
}

async fn end_session(State(app): Console, who: Who, path: TenantPath) -> Answer<DoneView> {
    account::end_session(&app, &who, path.get("id")).await.map(Json)
}

async fn tokens(State(app): Console, who: Who) -> Answer<TokensView> {
    account::tokens(&app, &who).await.map(Json)
}

async fn create_token(
    State(app): Console,
    who: Who,
    Body(body): Body<account::NewTokenBody>,
) -> Made<TokenSecretView> {
    let made = account::create_token(&app, &who, body).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

async fn revoke_token(State(app): Console, who: Who, path: TenantPath) -> Answer<DoneView> {
    account::revoke_token(&app, &who, path.get("id")).await.map(Json)
}

async fn nodes(State(app): Console) -> Answer<NodesView> {
    fleet::nodes(&app).await.map(Json)
}

/// Which page of the log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    before: Option<i64>,
    limit: Option<u32>,
}

async fn audit(State(app): Console, Params(page): Params<Page>) -> Answer<AuditView> {
    fleet::audit(&app, None, page.before, page.limit).await.map(Json)
}

async fn audit_of_tenant(
    State(app): Console,
    OfTenant(tenant): OfTenant,
    Params(page): Params<Page>,
) -> Answer<AuditView> {
    fleet::audit(&app, Some(&tenant), page.before, page.limit).await.map(Json)
}

async fn list_tenants(State(app): Console) -> Answer<TenantsView> {
    tenants::list(&app).await.map(Json)
}

async fn create_tenant(
    State(app): Console,
    who: Who,
    Body(body): Body<tenants::NewTenantBody>,
) -> Made<NewTenantView> {
    let made = tenants::create(&app, &who, body).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

async fn show_tenant(State(app): Console, OfTenant(tenant): OfTenant) -> Json<TenantRowView> {
    Json(tenants::show(&app, &tenant))
}

async fn change_tenant(
    State(app): Console,
    who: Who,
    OfTenant(tenant): OfTenant,
    Body(patch): Body<tenants::TenantPatch>,
) -> Answer<TenantView> {
    tenants::change(&app, &who, &tenant, patch).await.map(Json)
}

async fn remove_tenant(
    State(app): Console,
    who: Who,
    OfTenant(tenant): OfTenant,
) -> Answer<DoneView> {
    tenants::remove(&app, &who, &tenant).await.map(Json)
}

async fn flush_tenant(
    State(app): Console,
    who: Who,
    OfTenant(tenant): OfTenant,
) -> Answer<DoneView> {
    tenants::flush(&app, &who, &tenant).await.map(Json)
}

async fn show_stats(State(app): Console, OfTenant(tenant): OfTenant) -> Json<StatsView> {
    Json(stats::stats(&app, &tenant).await)
}

/// Which span of the past.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpanQuery {
    span: Option<String>,
}

async fn history(
    State(app): Console,
    OfTenant(tenant): OfTenant,
    Params(query): Params<SpanQuery>,
) -> Answer<HistoryView> {
    let span = query.span.as_deref().unwrap_or("3h");
    stats::history(&app, &tenant, span).await.map(Json)
}

async fn keys(State(app): Console, OfTenant(tenant): OfTenant) -> Json<KeysView> {
    Json(insight::keys(&app, &tenant))
}

async fn prefixes(State(app): Console, OfTenant(tenant): OfTenant) -> Json<PrefixesView> {
    Json(insight::prefixes(&app, &tenant))
}

async fn recent(State(app): Console, OfTenant(tenant): OfTenant) -> Json<RecentView> {
    Json(insight::recent(&app, &tenant))
}

async fn look_up(
    State(app): Console,
    who: Who,
    OfTenant(tenant): OfTenant,
    RawQuery(query): RawQuery,
) -> Answer<ItemView> {
    let key = items::key_of(query.as_deref().unwrap_or_default())?;
    items::look_up(&app, &who, &tenant, &key).map(Json)
}

async fn delete_item(
    State(app): Console,
    who: Who,
    OfTenant(tenant): OfTenant,
    RawQuery(query): RawQuery,
) -> Answer<DoneView> {
    let key = items::key_of(query.as_deref().unwrap_or_default())?;
    items::delete(&app, &who, &tenant, &key).await.map(Json)
}

async fn list_credentials(
    State(app): Console,
    OfTenant(tenant): OfTenant,
) -> Answer<CredentialsView> {
    credentials::list(&app, &tenant).await.map(Json)
}

async fn create_credential(
    State(app): Console,
    who: Who,
    OfTenant(tenant): OfTenant,
    Body(body): Body<credentials::NewCredentialBody>,
) -> Made<NewCredentialView> {
    let made = credentials::create(&app, &who, &tenant, body).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

async fn change_credential(
    State(app): Console,
    who: Who,
    OfTenant(tenant): OfTenant,
    path: TenantPath,
    Body(patch): Body<credentials::CredentialPatch>,
) -> Answer<CredentialView> {
    credentials::change(&app, &who, &tenant, path.get("u"), patch).await.map(Json)
}

async fn revoke_credential(
    State(app): Console,
    who: Who,
    OfTenant(tenant): OfTenant,
    path: TenantPath,
) -> Answer<DoneView> {
    credentials::revoke(&app, &who, &tenant, path.get("u")).await.map(Json)
}

async fn promote_credential(
    State(app): Console,
    who: Who,
    OfTenant(tenant): OfTenant,
    path: TenantPath,
) -> Answer<DoneView> {
    credentials::promote(&app, &who, &tenant, path.get("u")).await.map(Json)
}

async fn list_alerts(State(app): Console, OfTenant(tenant): OfTenant) -> Answer<AlertsView> {
    alerts::list(&app, &tenant).await.map(Json)
}

async fn create_alert(
    State(app): Console,
    who: Who,
    OfTenant(tenant): OfTenant,
    Body(body): Body<alerts::NewAlertBody>,
) -> Made<AlertView> {
    let made = alerts::create(&app, &who, &tenant, body).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

async fn show_alert(
    State(app): Console,
    OfTenant(tenant): OfTenant,
    path: TenantPath,
) -> Answer<AlertView> {
    alerts::show(&app, &tenant, path.get("id")).await.map(Json)
}

async fn change_alert(
    State(app): Console,
    who: Who,
    OfTenant(tenant): OfTenant,
    path: TenantPath,
    Body(patch): Body<alerts::AlertPatch>,
) -> Answer<AlertView> {
    alerts::change(&app, &who, &tenant, path.get("id"), patch).await.map(Json)
}

async fn remove_alert(
    State(app): Console,
    who: Who,
    OfTenant(tenant): OfTenant,
    path: TenantPath,
) -> Answer<DoneView> {
    alerts::remove(&app, &who, &tenant, path.get("id")).await.map(Json)
}

async fn test_alert(
    State(app): Console,
    OfTenant(tenant): OfTenant,
    path: TenantPath,
) -> Answer<AlertTestView> {
    alerts::test(&app, &tenant, path.get("id")).await.map(Json)
}
