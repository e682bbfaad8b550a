//! The credentials of a cache: made, changed, promoted, revoked, rotated.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use larder_control::{Need, TenantRecord, percent_encoded};
use larder_tenancy::Capabilities;
use serde::{Deserialize, Serialize};

use super::confirm::Confirm;
use super::connect::Connect;
use super::form::{Fields, given};
use super::frame::{Done, Frame, path};
use super::rotation::Rotation;
use super::tenants::SecretPage;
use super::{Asked, after, format, render, sentence};
use crate::console::{App, now};
use crate::front::{OfTenant, Params, TenantPath, Who};
use crate::problem::Problem;
use crate::routes::Route;
use crate::service::credentials;
use crate::view::CredentialView;

pub(super) fn routes() -> Vec<Route> {
    let rows = [
        Route::get(
            "/tenants/{t}/credentials",
            Need::Admin,
            "The credentials, and how to rotate them",
            list,
        ),
        Route::post(
            "/tenants/{t}/credentials",
            Need::Admin,
            "Make a credential; its password is shown once",
            create,
        ),
        Route::get(
            "/tenants/{t}/credentials/{u}",
            Need::Admin,
            "One credential, to be changed",
            show,
        ),
        Route::post("/tenants/{t}/credentials/{u}", Need::Admin, "Change a credential", change),
        Route::get(
            "/tenants/{t}/credentials/{u}/promote",
            Need::Admin,
            "Asks before a credential becomes the primary",
            ask_promote,
        ),
        Route::post(
            "/tenants/{t}/credentials/{u}/promote",
            Need::Admin,
            "Make a credential the primary",
            promote,
        ),
        Route::get(
            "/tenants/{t}/credentials/{u}/revoke",
            Need::Admin,
            "Asks before a credential is revoked",
            ask_revoke,
        ),
        Route::post(
            "/tenants/{t}/credentials/{u}/revoke",
            Need::Admin,
            "Revoke a credential",
            revoke,
        ),
    ];
    rows.into()
}

/// What the forms send. A box that is not checked is not sent.
#[derive(Debug, Default, Deserialize)]
struct Form {
    #[serde(default)]
    note: String,
    #[serde(default)]
    read: Option<String>,
    #[serde(default)]
    write: Option<String>,
    #[serde(default)]
    flush: Option<String>,
    #[serde(default)]
    admin: Option<String>,
    #[serde(default)]
    key_prefix: String,
    #[serde(default)]
    expires: String,
}

/// What the forms show.
#[derive(Debug, Serialize)]
struct Typed {
    note: String,
    capabilities: Vec<&'static str>,
    key_prefix: String,
    expires: String,
}

impl Form {
    /// What was checked. A credential for some keys cannot flush all of them, as the form says.
    fn capabilities(&self) -> Capabilities {
        let boxes = [
            (&self.read, Capabilities::READ),
            (&self.write, Capabilities::WRITE),
            (&self.flush, Capabilities::FLUSH),
            (&self.admin, Capabilities::ADMIN),
        ];
        let checked = boxes.into_iter().filter(|(checked, _)| checked.is_some());
        let all = checked.fold(Capabilities::NONE, |all, (_, one)| all | one);
        if self.key_prefix().is_some() { all - Capabilities::FLUSH } else { all }
    }

    /// The end of the day that was chosen.
    fn expires(&self) -> Result<Option<u64>, Problem> {
        let Some(day) = given(&self.expires) else { return Ok(None) };
        let day = format::parse_day(day).ok_or_else(|| {
            Problem::invalid(format!("the end {day:?} is no day; write it as 2026-12-31"))
        })?;
        Ok(Some(day + 86_400))
    }

    fn key_prefix(&self) -> Option<String> {
        // Spaces may be meant.
        Some(self.key_prefix.clone()).filter(|prefix| !prefix.is_empty())
    }

    fn into_typed(self) -> Typed {
        let capabilities = self.capabilities().names().collect();
        Typed { note: self.note, capabilities, key_prefix: self.key_prefix, expires: self.expires }
    }
}

impl Typed {
    /// For a new credential.
    fn usual() -> Typed {
        let capabilities = Capabilities::USE.names().collect();
        let [note, key_prefix, expires] = [const { String::new() }; 3];
        Typed { note, capabilities, key_prefix, expires }
    }

    /// What a credential is like.
    fn of(credential: &CredentialView) -> Typed {
        Typed {
            note: credential.note.clone(),
            capabilities: credential.capabilities.clone(),
            key_prefix: credential.key_prefix.clone().unwrap_or_default(),
            expires: last_day(credential),
        }
    }
}

/// The last day on which a credential is valid, as a date field has it; empty if it is for good.
fn last_day(credential: &CredentialView) -> String {
    let day = |expires: u64| format::iso(expires.saturating_sub(1))[..10].to_owned();
    credential.expires.map(day).unwrap_or_default()
}

/// What the page shows.
#[derive(Debug, Serialize)]
struct ListPage {
    credentials: Vec<CredentialView>,
    rotation: Rotation,
    problem: Option<String>,
    typed: Typed,
}

async fn page(
    app: &App,
    who: &Who,
    tenant: &TenantRecord,
    done: Option<Done>,
    typed: Typed,
    problem: Option<&Problem>,
) -> Result<Response, Problem> {
    let credentials = credentials::list(app, tenant).await?.credentials;
    let page = ListPage {
        rotation: Rotation::of(&credentials, now()),
        credentials,
        problem: problem.map(|problem| sentence(&problem.message)),
        typed,
    };
    let status = problem.map_or(StatusCode::OK, |problem| problem.status);
    let frame = Frame::of_tenant(app, who, tenant, "credentials").after(done);
    Ok(render::page(status, "credentials.html", &frame, &page))
}

async fn list(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    Params(asked): Params<Asked>,
) -> Result<Response, Problem> {
    page(&app, &who, &tenant, asked.done, Typed::usual(), None).await
}

async fn create(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    Fields(form): Fields<Form>,
) -> Result<Response, Problem> {
    match make(&app, &who, &tenant, &form).await {
        Ok(response) => Ok(response),
        Err(problem) if problem.status.is_client_error() => {
            page(&app, &who, &tenant, None, form.into_typed(), Some(&problem)).await
        }
        Err(problem) => Err(problem),
    }
}

async fn make(
    app: &App,
    who: &Who,
    tenant: &TenantRecord,
    form: &Form,
) -> Result<Response, Problem> {
    let body = credentials::NewCredentialBody {
        capabilities: Some(form.capabilities()),
        key_prefix: form.key_prefix(),
        expires: form.expires()?,
        note: form.note.trim().to_owned(),
        username: None,
        password: None,
    };
    let made = credentials::create(app, who, tenant, body).await?;
    let page = SecretPage {
        title: "A new credential".to_owned(),
        connect: Connect::with(&made.credential),
        secret: made.credential,
        waiting_for: made.waiting_for,
        back: base(tenant),
    };
    let frame = Frame::of_tenant(app, who, tenant, "credentials");
    Ok(render::page(StatusCode::CREATED, "secret.html", &frame, &page))
}

/// What the page of one shows.
#[derive(Debug, Serialize)]
struct OnePage {
    credential: CredentialView,
    problem: Option<String>,
    typed: Typed,
}

async fn show(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    path: TenantPath,
) -> Result<Response, Problem> {
    let credential = find(&app, &tenant, path.get("u")).await?;
    let page = OnePage { typed: Typed::of(&credential), credential, problem: None };
    let frame = Frame::of_tenant(&app, &who, &tenant, "credentials");
    Ok(render::page(StatusCode::OK, "credential.html", &frame, &page))
}

async fn change(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    path: TenantPath,
    Fields(form): Fields<Form>,
) -> Result<Response, Problem> {
    let credential = find(&app, &tenant, path.get("u")).await?;
    let changed = match patch(&credential, &form) {
        Ok(patch) => credentials::change(&app, &who, &tenant, &credential.username, patch).await,
        Err(problem) => Err(problem),
    };
    match changed {
        Ok(_) => Ok(after(Done::Saved, &base(&tenant))),
        Err(problem) if problem.status.is_client_error() => {
            let message = Some(sentence(&problem.message));
            let page = OnePage { credential, problem: message, typed: form.into_typed() };
            let frame = Frame::of_tenant(&app, &who, &tenant, "credentials");
            Ok(render::page(problem.status, "credential.html", &frame, &page))
        }
        Err(problem) => Err(problem),
    }
}

/// What a form changes. An end that shows the same day stays, to the second.
fn patch(before: &CredentialView, form: &Form) -> Result<credentials::CredentialPatch, Problem> {
    let expires = match form.expires.trim() == last_day(before) {
        true => None,
        false => Some(form.expires()?),
    };
    Ok(credentials::CredentialPatch {
        capabilities: Some(form.capabilities()),
        key_prefix: Some(form.key_prefix()).filter(|prefix| *prefix != before.key_prefix),
        expires,
        note: Some(form.note.trim().to_owned()),
    })
}

fn promote_question(tenant: &TenantRecord, username: &str) -> Confirm {
    let base = base(tenant);
    let action = format!("{base}/{}/promote", percent_encoded(username));
    let question = Confirm::new(format!("Promote {username}?"), action, "Promote it", base);
    Confirm { is_dangerous: false, ..question }.saying([
        "It becomes the primary: the one whose variables new deployments are given.",
        "The one before goes on working until you revoke it. No connection is closed.",
    ])
}

async fn ask_promote(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    path: TenantPath,
) -> Result<Response, Problem> {
    let credential = find(&app, &tenant, path.get("u")).await?;
    let frame = Frame::of_tenant(&app, &who, &tenant, "credentials");
    Ok(promote_question(&tenant, &credential.username).page(&frame))
}

async fn promote(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    path: TenantPath,
) -> Result<Response, Problem> {
    let username = path.get("u");
    match credentials::promote(&app, &who, &tenant, username).await {
        Ok(_) => Ok(after(Done::Promoted, &base(&tenant))),
        Err(problem) if problem.status == StatusCode::CONFLICT => {
            let frame = Frame::of_tenant(&app, &who, &tenant, "credentials");
            Ok(promote_question(&tenant, username).again(&frame, &problem))
        }
        Err(problem) => Err(problem),
    }
}

fn revoke_question(tenant: &TenantRecord, username: &str, words: String) -> Confirm {
    let base = base(tenant);
    let action = format!("{base}/{}/revoke", percent_encoded(username));
    Confirm::new(format!("Revoke {username}?"), action, "Revoke it", base).saying([
        "It opens nothing any more, and its connections are closed, on every node, at once. There is no \
         way back."
            .to_owned(),
        words,
    ])
}

async fn ask_revoke(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    path: TenantPath,
) -> Result<Response, Problem> {
    let credential = find(&app, &tenant, path.get("u")).await?;
    let words = match credential.last_used {
        Some(at) => format!("It was last used {}, {}.", format::ago(at, now()), format::utc(at)),
        None => "No use of it was noted, which is done once a minute.".to_owned(),
    };
    let frame = Frame::of_tenant(&app, &who, &tenant, "credentials");
    Ok(revoke_question(&tenant, &credential.username, words).page(&frame))
}

async fn revoke(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    path: TenantPath,
) -> Result<Response, Problem> {
    let username = path.get("u");
    match credentials::revoke(&app, &who, &tenant, username).await {
        Ok(_) => Ok(after(Done::Revoked, &base(&tenant))),
        Err(problem) if problem.status == StatusCode::CONFLICT => {
            let frame = Frame::of_tenant(&app, &who, &tenant, "credentials");
            Ok(revoke_question(&tenant, username, String::new()).again(&frame, &problem))
        }
        Err(problem) => Err(problem),
    }
}

async fn find(app: &App, tenant: &TenantRecord, username: &str) -> Result<CredentialView, Problem> {
    let all = credentials::list(app, tenant).await?.credentials;
    all.into_iter().find(|one| one.username == username).ok_or_else(|| {
        let message = format!("there is no credential {username:?}");
        Problem::new(StatusCode::NOT_FOUND, "not_found", message)
    })
}

fn base(tenant: &TenantRecord) -> String {
    format!("{}/credentials", path(tenant))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(expires: Option<u64>) -> CredentialView {
        CredentialView {
            username: "a".to_owned(),
            capabilities: vec!["read"],
            is_primary: false,
            key_prefix: None,
            expires,
            has_expired: false,
            note: String::new(),
            is_chosen: false,
            created: 1,
            last_used: None,
        }
    }

    #[test]
    fn an_end_that_was_not_touched_stays() {
        let before = credential(Some(1_795_332_901));
        let form = Form { expires: "2026-11-22".to_owned(), ..Form::default() };
        assert_eq!(patch(&before, &form).unwrap().expires, None);
        let form = Form { expires: "2026-11-23".to_owned(), ..Form::default() };
        assert_eq!(patch(&before, &form).unwrap().expires, Some(Some(1_795_478_400)));
        assert_eq!(patch(&before, &Form::default()).unwrap().expires, Some(None));
        let form = Form { expires: "tomorrow".to_owned(), ..Form::default() };
        assert!(patch(&before, &form).unwrap_err().message.contains("tomorrow"));
    }
}
