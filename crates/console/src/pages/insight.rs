//! What clients do with a cache: its busiest keys and prefixes, and the latest commands.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use larder_control::Need;

use super::frame::Frame;
use super::{Asked, render};
use crate::console::App;
use crate::front::{OfTenant, Params, Who};
use crate::routes::Route;
use crate::service::insight;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/tenants/{t}/keys", Need::View, "The busiest keys", keys),
        Route::get(
            "/tenants/{t}/prefixes",
            Need::View,
            "The busiest prefixes, and why keys were missed",
            prefixes,
        ),
        Route::get("/tenants/{t}/recent", Need::Admin, "The latest commands", recent),
    ]
}

async fn keys(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    Params(asked): Params<Asked>,
) -> Response {
    let frame = Frame::of_tenant(&app, &who, &tenant, "keys").after(asked.done);
    render::page(StatusCode::OK, "keys.html", &frame, &insight::keys(&app, &tenant))
}

async fn prefixes(State(app): State<Arc<App>>, who: Who, OfTenant(tenant): OfTenant) -> Response {
    let frame = Frame::of_tenant(&app, &who, &tenant, "prefixes");
    render::page(StatusCode::OK, "prefixes.html", &frame, &insight::prefixes(&app, &tenant))
}

async fn recent(State(app): State<Arc<App>>, who: Who, OfTenant(tenant): OfTenant) -> Response {
    let frame = Frame::of_tenant(&app, &who, &tenant, "recent");
    render::page(StatusCode::OK, "recent.html", &frame, &insight::recent(&app, &tenant))
}
