//! What every request passes before, and every answer after, the work itself.
//!
//! [`dressed`] owns the order, from the outside in: security headers on every answer, who is behind a
//! proxy, problems made into pages, the host check, the same-origin check, the time that a request may
//! take. The rights of a row are checked by [`rights::enforce`] around its handler.

pub(crate) mod body;
mod headers;
mod hosts;
pub(crate) mod rights;
mod throttle;
mod who;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderValue, Method, StatusCode, header};
use larder_control::percent_encoded;
use tokio::time::timeout;
use tower_http::csrf::{CsrfLayer, ProtectionError};

pub(crate) use self::body::{Body, Params, Size, TenantPath};
pub(crate) use self::hosts::Hosts;
pub(crate) use self::hosts::is_loopback;
pub(crate) use self::rights::OfTenant;
pub(crate) use self::throttle::Throttle;
pub(crate) use self::who::{Way, Who, caller, peer, principal, set_cookie};
use crate::console::App;
use crate::problem::Problem;

/// Whether a path is of the API, so that what goes wrong is told as JSON. The others are pages.
pub(crate) fn is_api(path: &str) -> bool {
    path.starts_with("/api/") || path == "/metrics" || path == "/healthz"
}

/// So long may a request take until its answer begins: most of it is waiting for the client's body.
const PATIENCE: Duration = Duration::from_secs(30);

/// The router behind the front door.
pub(crate) fn dressed(router: Router, app: Arc<App>) -> Router {
    router
        .layer(from_fn(in_time))
        .layer(same_origin(&app))
        .layer(from_fn_with_state(app.clone(), check_host))
        .layer(from_fn_with_state(app.clone(), make_pages))
        .layer(from_fn_with_state(app, find_origin))
        .layer(map_response(headers::secure))
}

/// Requests that change something must not come from another site's page. It holds for all, however
/// they authenticate: programs send none of the headers that it looks at.
fn same_origin(app: &App) -> CsrfLayer<impl Fn(ProtectionError) -> Response + Clone + use<>> {
    let layer = CsrfLayer::new();
    let trusted = app.settings.public_url.as_deref().map(|url| url.trim_end_matches('/'));
    let layer = match trusted.map(|url| layer.clone().add_trusted_origin(url)) {
        Some(Ok(trusting)) => trusting,
        _ => layer,
    };
    layer.with_rejection_response(|_: ProtectionError| {
        let message = "this request came from another site's page; use the console's own pages";
        Problem::new(StatusCode::FORBIDDEN, "cross_site", message).into_response()
    })
}

/// Turns away requests for host names that are not ours: a name that a stranger points at this address
/// would make his page one of our origin. Health checkers and Prometheus come by whatever name they
/// like, and get nothing that a page could use.
async fn check_host(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_for_programs = path == "/healthz" || path == "/metrics";
    if is_for_programs || app.hosts.allow(request.headers(), request.uri()) {
        return next.run(request).await;
    }
    let message = "the console does not answer to this host name; use localhost, its address, or the \
                   URL that it was told is its own (--console-url)";
    Problem::new(StatusCode::MISDIRECTED_REQUEST, "host", message).into_response()
}

/// Finds who is behind a proxy: behind one, all would be throttled as one, and logged as one.
async fn find_origin(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let origin = who::passed_on(request.headers(), request.extensions(), &app.settings);
    if let Some(origin) = origin {
        request.extensions_mut().insert(ConnectInfo(origin));
    }
    next.run(request).await
}

/// Gives up a request whose body dribbles in.
async fn in_time(request: Request, next: Next) -> Response {
    match timeout(PATIENCE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = format!("the request took longer than {} seconds", PATIENCE.as_secs());
            Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", message).into_response()
        }
    }
}

/// Makes a page of a problem where the request was for a page, and a sign-in where nobody is.
async fn make_pages(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if is_api(path) {
        return next.run(request).await;
    }
    let next_page = if request.method() == Method::GET { path.to_owned() } else { "/".to_owned() };
    let response = next.run(request).await;
    let Some(problem) = response.extensions().get::<Problem>() else { return response };
    if problem.code == "unauthorized" {
        let query = percent_encoded(&next_page);
        return Redirect::to(&format!("/sign-in?next={query}")).into_response();
    }
    let who = response.extensions().get::<Who>();
    let mut page = crate::pages::error(&app, who, problem.status, &problem.message);
    *page.status_mut() = problem.status;
    for name in [header::RETRY_AFTER, header::ALLOW] {
        if let Some(value) = response.headers().get(&name) {
            let value: HeaderValue = value.clone();
            page.headers_mut().insert(name, value);
        }
    }
    page
}
