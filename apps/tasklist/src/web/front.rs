//! The front door: what happens to every request, in this order. Count; check the host; run the
//! rest of the app; give errors a page; add the security headers; tell what it cost.
//!
//! One layer and not six: a layer is cloned and boxed for every request.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::errors::{self, PageError};
use super::headers;
use super::report::Counted;
use crate::app::App;

/// The layer.
pub(super) async fn front(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let counted = Counted::begin(method.clone(), request.uri().clone());
    let work = async {
        let response = match app.config.allowed_hosts.check(request.headers(), request.uri()) {
            Ok(()) => next.run(request).await,
            Err(problem) => PageError::Host(problem).into_response(),
        };
        errors::render(&app.templates, &method, response).await
    };
    let mut response = counted.scope(work).await;
    headers::secure(&mut response);
    counted.end(&mut response, &app.history);
    response
}
