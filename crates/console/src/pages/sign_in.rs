//! Signing in, by a password or by a link that works once, and out.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::{Extensions, HeaderMap, StatusCode, header};
use larder_control::Need;
use serde::{Deserialize, Serialize};

use super::form::Fields;
use super::frame::Frame;
use super::{render, sentence};
use crate::console::App;
use crate::front::{Params, TenantPath, Who, caller};
use crate::problem::Problem;
use crate::routes::Route;
use crate::service::account;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/sign-in", None, "The page to sign in", show),
        Route::post("/sign-in", None, "Sign in by a name and a password", sign_in),
        Route::get("/sign-in/{token}", None, "The page of a sign-in link", show_link),
        Route::post("/sign-in/{token}", None, "Sign in by a link", redeem),
        Route::post("/sign-out", Need::SignedIn, "Sign out", sign_out),
    ]
}

/// What the sign-in is asked for with.
#[derive(Debug, Default, Deserialize)]
struct Wanted {
    #[serde(default)]
    next: String,
}

/// What its form sends.
#[derive(Deserialize)]
struct Form {
    user: String,
    password: String,
    #[serde(default)]
    next: String,
}

/// What its page shows.
#[derive(Debug, Serialize)]
struct Page<'a> {
    problem: Option<String>,
    user: &'a str,
    next: &'a str,
}

async fn show(
    State(app): State<Arc<App>>,
    who: Option<Who>,
    Params(wanted): Params<Wanted>,
) -> Response {
    let next = safe(&wanted.next);
    if who.is_some() {
        return Redirect::to(next).into_response();
    }
    let page = Page { problem: None, user: "", next };
    render::page(StatusCode::OK, "sign_in.html", &Frame::of(&app, None, "sign-in"), &page)
}

async fn sign_in(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    extensions: Extensions,
    Fields(form): Fields<Form>,
) -> Response {
    let caller = caller(&headers, &extensions);
    let next = safe(&form.next);
    match account::sign_in(&app, &caller, form.user.trim(), &form.password).await {
        Ok((cookie, _)) => ([(header::SET_COOKIE, cookie)], Redirect::to(next)).into_response(),
        Err(problem) => {
            let page = Page { problem: Some(sentence(&problem.message)), user: &form.user, next };
            let frame = Frame::of(&app, None, "sign-in");
            refused(&problem, render::page(problem.status, "sign_in.html", &frame, &page))
        }
    }
}

/// What the page of a link shows.
#[derive(Debug, Serialize)]
struct LinkPage<'a> {
    problem: Option<String>,
    token: &'a str,
}

/// Only looks: previews of links and scanners of mail must not use it up.
async fn show_link(State(app): State<Arc<App>>, path: TenantPath) -> Response {
    let page = LinkPage { problem: None, token: path.get("token") };
    render::page(StatusCode::OK, "sign_in_link.html", &Frame::of(&app, None, "sign-in"), &page)
}

async fn redeem(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    extensions: Extensions,
    path: TenantPath,
) -> Response {
    let caller = caller(&headers, &extensions);
    match account::redeem(&app, &caller, path.get("token")).await {
        Ok((cookie, _)) => ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response(),
        Err(problem) => {
            let page =
                LinkPage { problem: Some(sentence(&problem.message)), token: path.get("token") };
            let frame = Frame::of(&app, None, "sign-in");
            refused(&problem, render::page(problem.status, "sign_in_link.html", &frame, &page))
        }
    }
}

async fn sign_out(State(app): State<Arc<App>>, who: Who) -> Result<Response, Problem> {
    let cookie = account::sign_out(&app, &who).await?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/sign-in")).into_response())
}

/// The page, with the time to wait if there is one.
fn refused(problem: &Problem, mut page: Response) -> Response {
    if let Some(seconds) = problem.retry_after {
        page.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    page
}

/// Where to go after the sign-in: a path of ours, or the beginning. What begins with `//` or `/\` is
/// another host to a browser.
fn safe(next: &str) -> &str {
    let is_ours = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && !next.chars().any(char::is_control)
        && next.is_ascii();
    if is_ours { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::safe;

    #[test]
    fn the_way_on_stays_here() {
        for path in ["/", "/tenants/shop", "/audit?before=3"] {
            assert_eq!(safe(path), path);
        }
        for elsewhere in
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "x", "/a\nb", "/ä"]
        {
            assert_eq!(safe(elsewhere), "/", "{elsewhere:?}");
        }
    }
}
