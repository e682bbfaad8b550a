//! One's own account: browsers that are signed in, tokens, the password.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use larder_control::{Need, Principal};
use serde::{Deserialize, Serialize};

use super::form::{Fields, given};
use super::frame::{Done, Frame};
use super::{Asked, after, format, render, sentence};
use crate::console::App;
use crate::front::{Params, TenantPath, Who};
use crate::problem::Problem;
use crate::routes::Route;
use crate::service::account;
use crate::view::{SessionView, TokenView};

pub(super) fn routes() -> Vec<Route> {
    let rows = [
        Route::get("/account", Need::SignedIn, "One's own account", show),
        Route::post(
            "/account/sessions/end-others",
            Need::SignedIn,
            "Sign out all other browsers",
            end_others,
        ),
        Route::post("/account/sessions/{id}/end", Need::SignedIn, "Sign out a browser", end),
        Route::post("/account/tokens", Need::Admin, "Make a token; it is shown once", create_token),
        Route::post("/account/tokens/{id}/revoke", Need::SignedIn, "Revoke a token", revoke_token),
        Route::post("/account/password", Need::Operator, "Set one's own password", set_password),
    ];
    rows.into()
}

/// What the page shows.
#[derive(Serialize)]
struct AccountPage {
    sessions: Vec<SessionView>,
    tokens: Vec<TokenView>,
    may_have_tokens: bool,
    /// A token that was made just now.
    token: Option<String>,
    problem: Option<String>,
}

/// What the page says of what was done before it is shown.
#[derive(Default)]
struct Said {
    done: Option<Done>,
    token: Option<String>,
    problem: Option<Problem>,
}

async fn page(app: &App, who: &Who, said: Said) -> Result<Response, Problem> {
    let own = match &who.principal {
        Principal::Operator { .. } => None,
        Principal::Credential { tenant, .. } => Some(tenant),
    };
    let status = said.problem.as_ref().map_or(StatusCode::OK, |problem| problem.status);
    let page = AccountPage {
        sessions: account::sessions(app, who).await?.sessions,
        tokens: account::tokens(app, who).await?.tokens,
        may_have_tokens: who.may(Need::Admin, own),
        token: said.token,
        problem: said.problem.map(|problem| sentence(&problem.message)),
    };
    let frame = Frame::of(app, Some(who), "account").after(said.done);
    Ok(render::page(status, "account.html", &frame, &page))
}

/// The page again with what went wrong, if that was the reader's part.
async fn again(app: &App, who: &Who, problem: Problem) -> Result<Response, Problem> {
    if !problem.status.is_client_error() {
        return Err(problem);
    }
    page(app, who, Said { problem: Some(problem), ..Said::default() }).await
}

async fn show(
    State(app): State<Arc<App>>,
    who: Who,
    Params(asked): Params<Asked>,
) -> Result<Response, Problem> {
    page(&app, &who, Said { done: asked.done, ..Said::default() }).await
}

async fn end(State(app): State<Arc<App>>, who: Who, path: TenantPath) -> Result<Response, Problem> {
    account::end_session(&app, &who, path.get("id")).await?;
    Ok(after(Done::Ended, "/account"))
}

async fn end_others(State(app): State<Arc<App>>, who: Who) -> Result<Response, Problem> {
    account::end_other_sessions(&app, &who).await?;
    Ok(after(Done::Ended, "/account"))
}

/// What the form of a token sends.
#[derive(Debug, Deserialize)]
struct TokenForm {
    note: String,
    #[serde(default)]
    expires: String,
}

async fn create_token(
    State(app): State<Arc<App>>,
    who: Who,
    Fields(form): Fields<TokenForm>,
) -> Result<Response, Problem> {
    let expires = match given(&form.expires) {
        None => None,
        Some(day) => match format::parse_day(day) {
            Some(start) => Some(start + 86_400),
            None => {
                let message = format!("the end {day:?} is no day; write it as 2026-12-31");
                return again(&app, &who, Problem::invalid(message)).await;
            }
        },
    };
    let body = account::NewTokenBody { note: form.note.trim().to_owned(), expires };
    match account::create_token(&app, &who, body).await {
        Ok(made) => page(&app, &who, Said { token: Some(made.token), ..Said::default() }).await,
        Err(problem) => again(&app, &who, problem).await,
    }
}

async fn revoke_token(
    State(app): State<Arc<App>>,
    who: Who,
    path: TenantPath,
) -> Result<Response, Problem> {
    account::revoke_token(&app, &who, path.get("id")).await?;
    Ok(after(Done::Revoked, "/account"))
}

/// What the form of the password sends.
#[derive(Deserialize)]
struct PasswordForm {
    password: String,
    again: String,
}

async fn set_password(
    State(app): State<Arc<App>>,
    who: Who,
    Fields(form): Fields<PasswordForm>,
) -> Result<Response, Problem> {
    if form.password != form.again {
        let message = "the two passwords are not the same: nothing was changed";
        return again(&app, &who, Problem::invalid(message)).await;
    }
    let body = account::PasswordBody { password: form.password };
    match account::set_password(&app, &who, &body).await {
        Ok(_) => Ok(after(Done::Password, "/account")),
        Err(problem) => again(&app, &who, problem).await,
    }
}
