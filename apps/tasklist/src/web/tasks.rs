//! The list and its two forms. The list is the same for everybody and touches no session; the
//! forms remember in the visitor's session what they added.

use axum::Extension;
use axum::extract::State;
use axum::response::{Html, Redirect};
use larder::sessions::Session;

use super::errors::PageError;
use super::forms::{NewTask, RemoveTask};
use super::session;
use super::templates::IndexPage;
use crate::app::App;

/// `GET /`. What browsers are told about keeping it is the page layer's to say.
pub(super) async fn index(State(app): State<App>) -> Result<Html<String>, PageError> {
    let page = IndexPage { tasks: app.tasks.all().await? };
    Ok(Html(app.templates.render("index.html", &page).await?))
}

/// `POST /add`.
pub(super) async fn add(
    State(app): State<App>,
    Extension(session): Extension<Session>,
    form: NewTask,
) -> Result<Redirect, PageError> {
    let task = app.tasks.add(form.name).await?;
    session::remember(&session, task.name).await;
    Ok(Redirect::to("/"))
}

/// `POST /remove`.
pub(super) async fn remove(
    State(app): State<App>,
    form: RemoveTask,
) -> Result<Redirect, PageError> {
    if app.tasks.remove(form.id).await? {
        Ok(Redirect::to("/"))
    } else {
        Err(PageError::NoSuchTask(form.id))
    }
}
