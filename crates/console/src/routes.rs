//! The table of everything that can be asked: method, path, what it needs, what it is, who answers.
//!
//! The router, the OpenAPI document and the test of rights all come from this one table, so none of them
//! can know of a path that another does not.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::{Method, StatusCode};
use larder_control::Need;

use crate::console::App;
use crate::front;
use crate::problem::Problem;

/// The largest body of a request, in bytes.
const MOST_BODY: usize = 64 * 1024;

/// One row of the table.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// None: anybody may ask.
    pub(crate) need: Option<Need>,
    pub(crate) summary: &'static str,
    /// The query's parameters, with a word on each.
    pub(crate) query: &'static [(&'static str, &'static str)],
    /// The name of the body's shape.
    pub(crate) body: Option<&'static str>,
    /// The status of success, and the name of the answer's shape.
    pub(crate) reply: (StatusCode, Option<&'static str>),
    /// What the answer is.
    pub(crate) media: &'static str,
    handler: MethodRouter<Arc<App>>,
}

/// What answers are if nothing else is said.
pub(crate) const JSON: &str = "application/json";

/// A constructor of a row for each method.
macro_rules! methods {
    ($($name:ident $method:ident,)*) => {
        $(pub(crate) fn $name<H, T>(
            path: &'static str,
            need: impl Into<Option<Need>>,
            summary: &'static str,
            handler: H,
        ) -> Self
        where
            H: Handler<T, Arc<App>>,
            T: 'static,
        {
            let handler = on(MethodFilter::$method, handler);
            Self::new(Method::$method, path, need.into(), summary, handler)
        })*
    };
}

impl Route {
    methods! { get GET, post POST, put PUT, patch PATCH, delete DELETE, }

    fn new(
        method: Method,
        path: &'static str,
        need: Option<Need>,
        summary: &'static str,
        handler: MethodRouter<Arc<App>>,
    ) -> Self {
        let reply = (StatusCode::OK, None);
        Self { method, path, need, summary, query: &[], body: None, reply, media: JSON, handler }
    }

    /// Parameters of the query, each with a word on it.
    pub(crate) fn query(self, query: &'static [(&'static str, &'static str)]) -> Self {
        Self { query, ..self }
    }

    /// The shape of the body.
    pub(crate) fn takes(self, shape: &'static str) -> Self {
        Self { body: Some(shape), ..self }
    }

    /// The shape of the answer.
    pub(crate) fn gives(self, shape: &'static str) -> Self {
        Self { reply: (self.reply.0, Some(shape)), ..self }
    }

    /// The shape of the answer that says that something was made.
    pub(crate) fn makes(self, shape: &'static str) -> Self {
        Self { reply: (StatusCode::CREATED, Some(shape)), ..self }
    }

    /// The shape of each event, where the answer is a stream of them.
    pub(crate) fn streams(self, shape: &'static str) -> Self {
        Self { media: "text/event-stream", ..self.gives(shape) }
    }

    /// Whether it is of the API.
    pub(crate) fn is_api(&self) -> bool {
        front::is_api(self.path)
    }
}

/// A row of the table, for those who test it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteFacts {
    /// The method.
    pub method: Method,
    /// The path, with `{t}` for the name of a cache.
    pub path: &'static str,
    /// What it needs; none: anybody may ask.
    pub need: Option<Need>,
    /// What it is.
    pub summary: &'static str,
    /// The name of the answer's shape in the OpenAPI document, if it is JSON.
    pub shape: Option<&'static str>,
}

/// Everything that can be asked of the console.
#[must_use]
pub fn routes() -> Vec<RouteFacts> {
    let facts = |route: Route| RouteFacts {
        method: route.method,
        path: route.path,
        need: route.need,
        summary: route.summary,
        shape: route.reply.1.filter(|_| route.media == JSON),
    };
    table().into_iter().map(facts).collect()
}

/// All rows.
pub(crate) fn table() -> Vec<Route> {
    let mut table = crate::api::routes();
    table.extend(crate::pages::routes());
    table
}

/// The table as a service.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for route in table() {
        let handler = match route.need {
            None => route.handler,
            Some(need) => route
                .handler
                .route_layer(from_fn_with_state((app.clone(), need), front::rights::enforce)),
        };
        router = router.route(route.path, handler);
    }
    let router = router
        .fallback(async || {
            Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here")
        })
        .method_not_allowed_fallback(async || {
            let message = "this path does not take that method; `Allow` has those it does";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", message)
        })
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .with_state(app.clone());
    front::dressed(router, app)
}
