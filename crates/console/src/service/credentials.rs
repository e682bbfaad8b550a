//! Credentials of a cache.
//!
//! An administrator who is a credential too hands out no more than it has: no capability that it lacks,
//! neither for more keys nor for longer, and no time beyond its own end.

use larder_control::{
    Chosen, CredentialChange, CredentialRecord, NewCredential, Principal, TenantRecord,
};
use larder_tenancy::Capabilities;
use serde::Deserialize;

use super::{done, tenants, waiting_for};
use crate::console::{App, now};
use crate::front::{Who, body};
use crate::problem::Problem;
use crate::view::{CredentialView, CredentialsView, DoneView, NewCredentialView};

/// A credential to be made.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCredentialBody {
    /// Absent: read, write and flush; without flush if there is a key prefix.
    #[serde(default, deserialize_with = "body::capabilities")]
    pub(crate) capabilities: Option<Capabilities>,
    #[serde(default)]
    pub(crate) key_prefix: Option<String>,
    #[serde(default)]
    pub(crate) expires: Option<u64>,
    #[serde(default)]
    pub(crate) note: String,
    /// With `password`: chosen by a person. Both absent: made at random.
    #[serde(default)]
    pub(crate) username: Option<String>,
    #[serde(default)]
    pub(crate) password: Option<String>,
}

/// What to change of a credential; what is absent stays, `null` takes away.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialPatch {
    #[serde(default, deserialize_with = "body::capabilities")]
    pub(crate) capabilities: Option<Capabilities>,
    #[serde(default, deserialize_with = "body::present")]
    pub(crate) key_prefix: Option<Option<String>>,
    #[serde(default, deserialize_with = "body::present")]
    pub(crate) expires: Option<Option<u64>>,
    #[serde(default)]
    pub(crate) note: Option<String>,
}

impl CredentialPatch {
    /// The capabilities that it gives to a credential: those that it adds, and all of them where they come
    /// to hold for more keys or for longer.
    fn gives(&self, before: &CredentialRecord) -> Capabilities {
        let after = self.capabilities.unwrap_or(before.capabilities);
        let has_more_keys = match (&self.key_prefix, &before.key_prefix) {
            (Some(after), Some(before)) => {
                !after.as_ref().is_some_and(|after| after.starts_with(before))
            }
            _ => false,
        };
        let lasts_longer = match (self.expires, before.expires) {
            (Some(after), Some(before)) => after.is_none_or(|after| after > before),
            _ => false,
        };
        if has_more_keys || lasts_longer { after } else { after - before.capabilities }
    }
}

/// All of a cache.
pub(crate) async fn list(app: &App, tenant: &TenantRecord) -> Result<CredentialsView, Problem> {
    let (now, records) = (now(), app.accounts.credentials(&tenant.name).await?);
    let credentials = records.iter().map(|record| CredentialView::new(record, now)).collect();
    Ok(CredentialsView { credentials })
}

/// Makes one.
pub(crate) async fn create(
    app: &App,
    who: &Who,
    tenant: &TenantRecord,
    body: NewCredentialBody,
) -> Result<NewCredentialView, Problem> {
    let usual = match body.key_prefix {
        None => Capabilities::USE,
        Some(_) => Capabilities::USE - Capabilities::FLUSH,
    };
    let capabilities = body.capabilities.unwrap_or(usual);
    let chosen = match (body.username, body.password) {
        (None, None) => None,
        (Some(username), Some(password)) => Some(Chosen { username, password }),
        _ => {
            let message = "a username that is chosen needs a password that is chosen, and the other way \
                           round; leave both out to have them made";
            return Err(Problem::invalid(message));
        }
    };
    may_hand_out(who, capabilities)?;
    may_last(app, who, tenant, body.expires).await?;
    let NewCredentialBody { key_prefix, expires, note, .. } = body;
    let new = NewCredential { capabilities, key_prefix, expires, note, chosen };
    let made = app.accounts.create_credential(&who.actor(), &tenant.name, new).await?;
    Ok(NewCredentialView {
        credential: tenants::secret_view(app, made.value).await,
        waiting_for: waiting_for(app, made.version).await,
    })
}

/// Changes one.
pub(crate) async fn change(
    app: &App,
    who: &Who,
    tenant: &TenantRecord,
    username: &str,
    patch: CredentialPatch,
) -> Result<CredentialView, Problem> {
    let before = find(app, tenant, username).await?;
    let given = patch.gives(&before);
    if given != Capabilities::NONE {
        may_hand_out(who, given)?;
        may_last(app, who, tenant, patch.expires.unwrap_or(before.expires)).await?;
    }
    let CredentialPatch { capabilities, key_prefix, expires, note } = patch;
    let change = CredentialChange { capabilities, key_prefix, expires, note };
    let name = &tenant.name;
    let changed = app.accounts.change_credential(&who.actor(), name, username, change).await?;
    waiting_for(app, changed.version).await;
    Ok(CredentialView::new(&changed.value, now()))
}

/// Makes one the primary.
pub(crate) async fn promote(
    app: &App,
    who: &Who,
    tenant: &TenantRecord,
    username: &str,
) -> Result<DoneView, Problem> {
    let changed = app.accounts.promote_credential(&who.actor(), &tenant.name, username).await?;
    done(app, changed.version).await
}

/// Removes one; its connections are closed.
pub(crate) async fn revoke(
    app: &App,
    who: &Who,
    tenant: &TenantRecord,
    username: &str,
) -> Result<DoneView, Problem> {
    let changed = app.accounts.revoke_credential(&who.actor(), &tenant.name, username).await?;
    done(app, changed.version).await
}

async fn find(
    app: &App,
    tenant: &TenantRecord,
    username: &str,
) -> Result<CredentialRecord, Problem> {
    let records = app.accounts.credentials(&tenant.name).await?;
    let found = records.into_iter().find(|record| record.username == username);
    found.ok_or_else(|| {
        let message = format!("there is no credential {username:?}");
        Problem::new(http::StatusCode::NOT_FOUND, "not_found", message)
    })
}

fn may_hand_out(who: &Who, wanted: Capabilities) -> Result<(), Problem> {
    let lacking = wanted - who.capabilities();
    if lacking == Capabilities::NONE {
        return Ok(());
    }
    Err(Problem::beyond(format!("you cannot give what you do not have yourself: {lacking}")))
}

/// A credential that has an end makes none that lasts longer.
async fn may_last(
    app: &App,
    who: &Who,
    tenant: &TenantRecord,
    wanted: Option<u64>,
) -> Result<(), Problem> {
    let Principal::Credential { username, .. } = &who.principal else { return Ok(()) };
    match find(app, tenant, username).await?.expires {
        Some(own) if wanted.is_none_or(|wanted| wanted > own) => Err(Problem::beyond(format!(
            "your own credential ends at {own} (seconds since 1970), so \"expires\" must not be later"
        ))),
        _ => Ok(()),
    }
}
