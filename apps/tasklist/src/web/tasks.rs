//! The list and its two forms. The list is the same for everybody and touches no session; the
//! forms remember in the visitor's session what they added.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use larder::sessions::Session;

use super::errors::PageError;
use super::forms::{NewTask, RemoveTask};
use super::session;
use super::templates::IndexPage;
use crate::app::App;

/// `GET /`. What browsers are told about keeping it is the page layer's to say, except that a page
/// made of a list that ends must end with it.
pub(super) async fn index(State(app): State<Arc<App>>) -> Result<Response, PageError> {
    let list = app.tasks.all().await?;
    let left = list.time_left();
    let page = IndexPage { tasks: list.tasks };
    let mut response = Html(app.templates.render("index.html", &page).await?).into_response();
    if let Some(left) = left {
        // For the page cache; a browser asks each time.
        let life = format!("max-age=0, s-maxage={}", left.as_secs());
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::try_from(life)?);
    }
    Ok(response)
}

/// `POST /add`.
pub(super) async fn add(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    form: NewTask,
) -> Result<Redirect, PageError> {
    let task = app.tasks.add(form.name).await?;
    session::remember(&session, task.name).await;
    Ok(Redirect::to("/"))
}

/// `POST /remove`.
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    form: RemoveTask,
) -> Result<Redirect, PageError> {
    if app.tasks.remove(form.id).await? {
        Ok(Redirect::to("/"))
    } else {
        Err(PageError::NoSuchTask(form.id))
    }
}
