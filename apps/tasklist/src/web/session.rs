//! `GET /me`: this visitor's session, and signing out, which deletes it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::header::CACHE_CONTROL;
use larder::sessions::Session;

use super::errors::PageError;
use super::templates::MePage;
use crate::app::App;

const VISITS: &str = "visits";
const ADDED: &str = "added";

/// How many of a visitor's tasks are remembered; older ones are forgotten first.
const REMEMBERED: usize = 50;

/// `GET /me`.
pub(super) async fn me(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
) -> Result<Response, PageError> {
    let visits = session.update(VISITS, |visits: Option<u64>| visits.unwrap_or(0) + 1).await?;
    let page = MePage {
        visits,
        added: session.get(ADDED).await?.unwrap_or_default(),
        engine: app.config.session_engine.as_str(),
        lifetime: in_words(app.config.session_ttl.as_secs()),
    };
    let html = app.templates.render("me.html", &page).await?;
    Ok(([(CACHE_CONTROL, "private, no-store")], Html(html)).into_response())
}

/// `POST /sign-out`.
pub(super) async fn sign_out(
    Extension(session): Extension<Session>,
) -> Result<Redirect, PageError> {
    session.destroy().await?;
    Ok(Redirect::to("/"))
}

/// Notes a task that this visitor added. It is in the list by now; a session that cannot be
/// reached must not make that look like a failure.
pub(super) async fn remember(session: &Session, name: String) {
    let note = move |added: Option<Vec<String>>| {
        let mut added = added.unwrap_or_default();
        added.push(name.clone());
        let surplus = added.len().saturating_sub(REMEMBERED);
        added.drain(..surplus);
        added
    };
    let noted = async {
        session.update(ADDED, note).await?;
        session.save().await
    };
    if let Err(error) = noted.await {
        session.discard_changes().await;
        tracing::debug!(%error, "a visitor's task is in the list but not in their session");
    }
}

/// A duration as people say it: "14 days", "90 minutes".
fn in_words(seconds: u64) -> String {
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let (length, unit) = units
        .into_iter()
        .find(|(length, _)| seconds.is_multiple_of(*length))
        .unwrap_or((1, "second"));
    let count = seconds / length;
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn durations_in_words() {
        let said = [86_400, 14 * 86_400, 7200, 90 * 60, 61].map(in_words);
        assert_eq!(said, ["1 day", "14 days", "2 hours", "90 minutes", "61 seconds"]);
    }
}
