//! The pages and forms over HTTP.
//!
//! [`router`] owns the order of things, from the outside in: the front door (`front.rs`), the CSRF
//! check, then for the list the page cache, and for the pages that know their visitor the session.
//! `/healthz` is outside of them, because health checkers call a machine by its address.

pub mod assets;
mod caches;
pub mod errors;
pub mod forms;
mod front;
pub mod headers;
pub mod host;
pub mod report;
mod session;
mod tasks;
pub mod templates;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use http::{Method, StatusCode, Uri, header};
use tower::Layer;
use tower_http::csrf::CsrfLayer;

use self::report::Counted;
use crate::app::App;

/// The app as a service.
pub fn router(app: App) -> Router {
    // What a layer or a route carries is cloned for every request.
    let app = Arc::new(app);
    let with_session = Router::new()
        .route("/me", get(session::me))
        .route("/sign-out", post(session::sign_out))
        .route("/add", post(tasks::add))
        .route_layer(app.sessions());
    let pages = Router::new()
        .route("/", index(&app))
        .route("/remove", post(tasks::remove))
        .route("/caches", get(caches::caches))
        .route("/static/{file}", get(assets::serve))
        .merge(with_session)
        .fallback(async || StatusCode::NOT_FOUND)
        .layer(CsrfLayer::new())
        .with_state(app.clone());
    let front = from_fn_with_state(app.clone(), front::front);
    Router::new()
        .route("/healthz", get(health))
        .with_state(app)
        .fallback_service(front.layer(pages))
}

fn index(app: &App) -> MethodRouter<Arc<App>> {
    let index = get(tasks::index);
    if app.config.page_cache { index.layer(app.pages.layer()) } else { index }
}

/// Whether the app can do its work: it needs the database, and can do without the cache.
async fn health(State(app): State<Arc<App>>, method: Method, uri: Uri) -> Response {
    let counted = Counted::begin(method, uri);
    let (status, text) = match app.db.ping().await {
        Ok(()) => (StatusCode::OK, "ok\n"),
        Err(error) => {
            tracing::warn!(%error, "the health check failed");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n")
        }
    };
    let mut response = (status, [(header::CACHE_CONTROL, "no-store")], text).into_response();
    headers::secure(&mut response);
    counted.end(&mut response, &app.history);
    response
}
