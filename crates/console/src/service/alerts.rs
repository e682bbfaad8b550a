//! Alerts of a cache.

use http::StatusCode;
use larder_control::{
    AlertChange, AlertKind, AlertRule, AlertState, NewAlert, TenantRecord, Webhook,
};
use serde::Deserialize;

use super::waiting_for;
use crate::console::{App, now};
use crate::front::{Who, body};
use crate::problem::Problem;
use crate::view::{AlertStateView, AlertTestView, AlertView, AlertsView, DoneView};
use crate::{ticker, webhook};

/// An alert to be made.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAlertBody {
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) threshold: Option<u64>,
    #[serde(default = "five")]
    pub(crate) for_minutes: u32,
    #[serde(default)]
    pub(crate) webhook: Option<String>,
    #[serde(default = "yes")]
    pub(crate) enabled: bool,
}

/// What to change of an alert; what is absent stays, `null` takes the webhook away.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AlertPatch {
    #[serde(default)]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) threshold: Option<u64>,
    #[serde(default)]
    pub(crate) for_minutes: Option<u32>,
    #[serde(default, deserialize_with = "body::present")]
    pub(crate) webhook: Option<Option<String>>,
    #[serde(default)]
    pub(crate) enabled: Option<bool>,
}

fn five() -> u32 {
    5
}

fn yes() -> bool {
    true
}

/// All of a cache.
pub(crate) async fn list(app: &App, tenant: &TenantRecord) -> Result<AlertsView, Problem> {
    let rules = app.accounts.alert_rules(&tenant.name).await?;
    Ok(AlertsView { alerts: rules.into_iter().map(|rule| view(app, rule)).collect() })
}

/// One.
pub(crate) async fn show(app: &App, tenant: &TenantRecord, id: &str) -> Result<AlertView, Problem> {
    find(app, tenant, id).await.map(|rule| view(app, rule))
}

/// Makes one.
pub(crate) async fn create(
    app: &App,
    who: &Who,
    tenant: &TenantRecord,
    body: NewAlertBody,
) -> Result<AlertView, Problem> {
    let new = NewAlert {
        kind: AlertKind::named(&body.kind, body.threshold)?,
        for_minutes: body.for_minutes,
        webhook: body.webhook.map(|url| checked(who, &url)).transpose()?,
        webhook_private: who.principal.is_operator(),
        enabled: body.enabled,
    };
    let made = app.accounts.create_alert(&who.actor(), &tenant.name, new).await?;
    Ok(view(app, made.value))
}

/// Changes one.
pub(crate) async fn change(
    app: &App,
    who: &Who,
    tenant: &TenantRecord,
    id: &str,
    patch: AlertPatch,
) -> Result<AlertView, Problem> {
    let rule = find(app, tenant, id).await?;
    let kind = match (&patch.kind, patch.threshold) {
        (None, None) => None,
        (None, threshold) => Some(AlertKind::named(rule.kind.name(), threshold)?),
        // The same kind keeps its threshold; another has none that would do.
        (Some(name), None) if name == rule.kind.name() => Some(rule.kind),
        (Some(name), threshold) => Some(AlertKind::named(name, threshold)?),
    };
    let webhook = match patch.webhook {
        Some(Some(url)) => Some(Some(checked(who, &url)?)),
        Some(None) => Some(None),
        None => None,
    };
    let webhook_private = webhook.is_some().then(|| who.principal.is_operator());
    let AlertPatch { for_minutes, enabled, .. } = patch;
    let change = AlertChange { kind, for_minutes, webhook, webhook_private, enabled };
    let changed = app.accounts.change_alert(&who.actor(), &tenant.name, rule.id, change).await?;
    Ok(view(app, changed.value))
}

/// Removes one.
pub(crate) async fn remove(
    app: &App,
    who: &Who,
    tenant: &TenantRecord,
    id: &str,
) -> Result<DoneView, Problem> {
    let rule = find(app, tenant, id).await?;
    let changed = app.accounts.remove_alert(&who.actor(), &tenant.name, rule.id).await?;
    Ok(DoneView { waiting_for: waiting_for(app, changed.version).await })
}

/// Sends a test to the webhook of one; what the receiver said.
pub(crate) async fn test(
    app: &App,
    tenant: &TenantRecord,
    id: &str,
) -> Result<AlertTestView, Problem> {
    let rule = find(app, tenant, id).await?;
    let Some(webhook) = &rule.webhook else {
        let message = "this alert has no webhook: give it one first";
        return Err(Problem::new(StatusCode::CONFLICT, "conflict", message));
    };
    let _permit = app.webhooks.tests().ok_or_else(|| {
        Problem::too_many("too many tests are on their way: try again in a few seconds", 5)
    })?;
    let text = ticker::text(app, &app.alerts.test(now(), &rule));
    Ok(match app.webhooks.send(webhook, rule.webhook_private, &text).await {
        Ok(said) => {
            AlertTestView { delivered: said.is_taken(), status: Some(said.status), said: said.text }
        }
        Err(problem) => AlertTestView { delivered: false, status: None, said: problem },
    })
}

fn view(app: &App, rule: AlertRule) -> AlertView {
    let state = match app.alerts.state(&rule) {
        AlertState::Ok => AlertStateView { name: "ok", since: None },
        AlertState::Pending { since } => AlertStateView { name: "pending", since: Some(since) },
        AlertState::Firing { since } => AlertStateView { name: "firing", since: Some(since) },
    };
    AlertView {
        id: rule.id,
        kind: rule.kind.name(),
        threshold: rule.kind.threshold(),
        for_minutes: rule.for_minutes,
        webhook: rule.webhook.map(|webhook| webhook.url().to_owned()),
        enabled: rule.enabled,
        state,
    }
}

async fn find(app: &App, tenant: &TenantRecord, id: &str) -> Result<AlertRule, Problem> {
    let rules = app.accounts.alert_rules(&tenant.name).await?;
    let wanted = id.parse::<i64>().ok();
    rules.into_iter().find(|rule| Some(rule.id) == wanted).ok_or_else(|| {
        let message = format!("there is no alert {id:?}");
        Problem::new(StatusCode::NOT_FOUND, "not_found", message)
    })
}

/// A webhook that who asks may set.
fn checked(who: &Who, url: &str) -> Result<Webhook, Problem> {
    let webhook = Webhook::parse(url)?;
    if !who.principal.is_operator() {
        let uri = url.parse().map_err(|_| Problem::invalid("the webhook's URL cannot be used"))?;
        webhook::check_literal(&uri).map_err(Problem::invalid)?;
    }
    Ok(webhook)
}
