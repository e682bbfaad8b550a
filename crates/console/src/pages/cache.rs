//! What belongs to a cache beside its items: its size and labels, its log of changes, its removal.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use larder_control::{Need, TenantRecord};
use serde::{Deserialize, Serialize};

use super::confirm::Confirm;
use super::form::{Fields, given};
use super::frame::{Done, Frame, path};
use super::tenants::size;
use super::{Asked, after, render, sentence};
use crate::console::App;
use crate::front::{OfTenant, Params, Who};
use crate::problem::Problem;
use crate::routes::Route;
use crate::service::tenants;

pub(super) fn routes() -> Vec<Route> {
    let rows = [
        Route::get(
            "/tenants/{t}/settings",
            Need::Operator,
            "A cache's memory and labels",
            settings,
        ),
        Route::post("/tenants/{t}/settings", Need::Operator, "Resize or relabel a cache", save),
        Route::get(
            "/tenants/{t}/remove",
            Need::Operator,
            "Asks before a cache is removed",
            ask_remove,
        ),
        Route::post("/tenants/{t}/remove", Need::Operator, "Remove a cache", remove),
    ];
    rows.into()
}

/// What the form sends, and shows.
#[derive(Debug, Serialize, Deserialize)]
struct Form {
    memory: String,
    #[serde(default)]
    ceiling: String,
    #[serde(default)]
    labels: String,
}

impl Form {
    /// What a cache is like.
    fn of(tenant: &TenantRecord) -> Form {
        let labels = tenant.labels.iter().map(|(name, value)| format!("{name}={value}"));
        let ceiling = (tenant.ceiling != tenant.floor).then(|| exact(tenant.ceiling));
        Form {
            memory: exact(tenant.floor),
            ceiling: ceiling.unwrap_or_default(),
            labels: labels.collect::<Vec<_>>().join(", "),
        }
    }

    fn patch(&self) -> Result<tenants::TenantPatch, Problem> {
        let floor = size("memory", &self.memory)?;
        let ceiling = match given(&self.ceiling) {
            Some(text) => size("ceiling", text)?,
            None => floor,
        };
        let labels = Some(self.labels()?);
        Ok(tenants::TenantPatch {
            memory: None,
            floor: Some(floor),
            ceiling: Some(ceiling),
            labels,
        })
    }

    /// `name=value`, separated by commas.
    fn labels(&self) -> Result<BTreeMap<String, String>, Problem> {
        let parts = self.labels.split(',').filter_map(given);
        let pair = |part: &str| {
            let message = format!("the label {part:?} has no value: write name=value");
            let (name, value) = part.split_once('=').ok_or_else(|| Problem::invalid(message))?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        };
        parts.map(pair).collect()
    }
}

/// Bytes in the largest unit that has no fraction, as it is typed: `25m`.
fn exact(bytes: u64) -> String {
    let units = [(30, 'g'), (20, 'm'), (10, 'k')];
    let unit = units.into_iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    unit.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

/// What the page shows.
#[derive(Debug, Serialize)]
struct SettingsPage {
    /// Bytes that could be promised still.
    free: Option<u64>,
    problem: Option<String>,
    typed: Form,
}

async fn page(
    app: &App,
    frame: Frame,
    typed: Form,
    problem: Option<&Problem>,
) -> Result<Response, Problem> {
    let page = SettingsPage {
        free: app.accounts.capacity().await?.free,
        problem: problem.map(|problem| sentence(&problem.message)),
        typed,
    };
    let status = problem.map_or(StatusCode::OK, |problem| problem.status);
    Ok(render::page(status, "settings.html", &frame, &page))
}

async fn settings(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    Params(asked): Params<Asked>,
) -> Result<Response, Problem> {
    let frame = Frame::of_tenant(&app, &who, &tenant, "settings").after(asked.done);
    page(&app, frame, Form::of(&tenant), None).await
}

async fn save(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    Fields(form): Fields<Form>,
) -> Result<Response, Problem> {
    let saved = match form.patch() {
        Ok(patch) => tenants::change(&app, &who, &tenant, patch).await.map(drop),
        Err(problem) => Err(problem),
    };
    match saved {
        Ok(()) => Ok(after(Done::Saved, &format!("{}/settings", path(&tenant)))),
        Err(problem) if problem.status.is_client_error() => {
            let frame = Frame::of_tenant(&app, &who, &tenant, "settings");
            page(&app, frame, form, Some(&problem)).await
        }
        Err(problem) => Err(problem),
    }
}

fn remove_question(tenant: &TenantRecord) -> Confirm {
    let (name, base) = (&tenant.name, path(tenant));
    let (action, back) = (format!("{base}/remove"), format!("{base}/settings"));
    let question = Confirm::new(format!("Remove {name}?"), action, "Remove the cache", back);
    Confirm { typed: Some(name.to_string()), ..question }.saying([
        "Its items, its credentials and its alerts are gone, on every node, at once, and its connections \
         are closed. There is no way back.",
    ])
}

async fn ask_remove(State(app): State<Arc<App>>, who: Who, OfTenant(tenant): OfTenant) -> Response {
    remove_question(&tenant).page(&Frame::of_tenant(&app, &who, &tenant, "settings"))
}

/// What the question sends.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    typed: String,
}

async fn remove(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    Fields(answer): Fields<Answer>,
) -> Result<Response, Problem> {
    if answer.typed.trim() != tenant.name.as_str() {
        let message =
            format!("{:?} was typed, not {}: nothing was removed", answer.typed, tenant.name);
        let frame = Frame::of_tenant(&app, &who, &tenant, "settings");
        return Ok(remove_question(&tenant).again(&frame, &Problem::invalid(message)));
    }
    tenants::remove(&app, &who, &tenant).await?;
    Ok(after(Done::Removed, "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_typed_back_as_they_are() {
        for (bytes, text) in
            [(26_214_400, "25m"), (1 << 30, "1g"), (1536, "1536"), (1_048_577, "1048577"), (0, "0")]
        {
            assert_eq!(exact(bytes), text);
            assert_eq!(size("memory", text).unwrap().0, bytes);
        }
    }

    #[test]
    fn labels_are_pairs() {
        let form = |labels: &str| Form {
            memory: "1m".into(),
            ceiling: String::new(),
            labels: labels.into(),
        };
        let labels = form(" team = web, stage=a=b ,, ").labels().unwrap();
        let pairs: Vec<_> = labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(pairs, [("stage", "a=b"), ("team", "web")]);
        assert!(form("team").labels().unwrap_err().message.contains("name=value"));
        let patch = form("").patch().unwrap();
        assert_eq!((patch.floor, patch.ceiling), (Some(crate::front::Size(1 << 20)), patch.floor));
    }
}
