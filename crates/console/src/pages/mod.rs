//! The dashboard: pages made on the server, complete without JavaScript and live with it.
//!
//! Each module has the handlers of some pages: it asks `service` for views, puts them into a template and
//! answers. A form is posted to a page's path; what it does is done by the same functions of `service` as
//! in the API, then the browser is sent on to a page that says so. Only what is shown once, a password or
//! a token, is in the answer to its own form.
//!
//! What must stay true: every value in a page is escaped; no page needs anything that is not ours; nothing
//! secret is in a URL; what cannot be taken back asks first, on a page of its own.

mod account;
mod alerts;
mod assets;
mod axis;
mod cache;
mod chart;
mod confirm;
mod connect;
mod credentials;
mod figures;
mod form;
mod format;
mod frame;
mod insight;
mod item;
mod node;
mod overview;
mod render;
mod rotation;
mod sign_in;
mod tenants;

use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use self::frame::{Done, Frame, in_words};
use crate::console::App;
use crate::front::Who;
use crate::routes::Route;

/// The rows of all pages.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes =
        vec![Route::get("/static/{file}", None, "A stylesheet, script or icon", assets::serve)];
    routes.extend(sign_in::routes());
    routes.extend(tenants::routes());
    routes.extend(overview::routes());
    routes.extend(insight::routes());
    routes.extend(item::routes());
    routes.extend(credentials::routes());
    routes.extend(alerts::routes());
    routes.extend(cache::routes());
    routes.extend(node::routes());
    routes.extend(account::routes());
    routes
}

/// A page that tells what went wrong.
pub(crate) fn error(app: &App, who: Option<&Who>, status: StatusCode, message: &str) -> Response {
    #[derive(Serialize)]
    struct ErrorPage<'a> {
        status: u16,
        title: &'static str,
        message: String,
        remedy: &'a str,
    }
    let (title, remedy) = in_words(status);
    let page = ErrorPage { status: status.as_u16(), title, message: sentence(message), remedy };
    render::page(status, "error.html", &Frame::of(app, who, ""), &page)
}

/// A message as a sentence: errors begin small and end without a stop.
fn sentence(message: &str) -> String {
    let mut characters = message.chars();
    let Some(first) = characters.next() else { return String::new() };
    let stop = if message.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{}{stop}", first.to_uppercase(), characters.as_str())
}

/// What pages are asked for with.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    /// What was done just now.
    #[serde(default)]
    done: Option<Done>,
    /// The span of the charts.
    #[serde(default)]
    span: Option<String>,
}

/// Sends the browser to a page, after something was done.
fn after(done: Done, path: &str) -> Response {
    Redirect::to(&format!("{path}?done={}", done.name())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_sentences() {
        assert_eq!(sentence("there is no such cache"), "There is no such cache.");
        assert_eq!(sentence("Really?"), "Really?");
        assert_eq!(sentence("ärgerlich"), "Ärgerlich.");
        assert_eq!(sentence(""), "");
    }
}
