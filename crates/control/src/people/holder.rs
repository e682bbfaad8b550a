//! Whose a session or a token is.

use larder_tenancy::{TenantId, TenantName};

use crate::accounts::{Accounts, Actor, Changed};
use crate::db::{damaged, execute, known};
use crate::error::AccountsError;
use crate::rights::Principal;
use crate::tenants::tenant_id;

/// The columns of [`HolderRow`], of a table that has `operator` and `username`.
macro_rules! holder_columns {
    ($of:literal) => {
        concat!(
            $of,
            ".operator, ",
            $of,
            ".username, ",
            $crate::people::holder::credential_columns!()
        )
    };
}
pub(crate) use holder_columns;

/// Those of the credential and its tenant.
macro_rules! credential_columns {
    () => {
        "c.capabilities, c.key_prefix, c.expires AS credential_expires, c.changed, \
         t.id AS tenant_id, t.name AS tenant"
    };
}
pub(crate) use credential_columns;

/// An operator, or a credential with its tenant.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct HolderRow {
    operator: Option<String>,
    username: Option<String>,
    capabilities: Option<String>,
    key_prefix: Option<String>,
    credential_expires: Option<i64>,
    /// The version of the directory that changed what the credential may do.
    pub(crate) changed: Option<i64>,
    tenant_id: Option<i64>,
    tenant: Option<String>,
}

impl HolderRow {
    /// Who it is; none for a credential whose time is over.
    pub(crate) fn principal(
        self,
        now: u64,
        database: &str,
    ) -> Result<Option<Principal>, AccountsError> {
        if let Some(name) = self.operator {
            return Ok(Some(Principal::Operator { name }));
        }
        if self.credential_expires.is_some_and(|expires| now >= known(expires)) {
            return Ok(None);
        }
        let principal = self.credential();
        principal.map(Some).ok_or_else(|| damaged(database, "a credential without its tenant"))
    }

    fn credential(self) -> Option<Principal> {
        Some(Principal::Credential {
            username: self.username?,
            tenant: TenantName::new(&self.tenant?).ok()?,
            tenant_id: tenant_id(self.tenant_id?)?,
            capabilities: self.capabilities?.parse().ok()?,
            key_prefix: self.key_prefix,
        })
    }
}

/// As the tables of sessions and tokens have it: the operator, or the credential's username.
pub(crate) fn columns(principal: &Principal) -> (Option<&str>, Option<&str>) {
    match principal {
        Principal::Operator { name } => (Some(name), None),
        Principal::Credential { username, .. } => (None, Some(username)),
    }
}

/// The tenant that something of `principal` is about, for the audit log.
pub(crate) fn about(principal: &Principal) -> Option<(TenantId, &TenantName)> {
    match principal {
        Principal::Operator { .. } => None,
        Principal::Credential { tenant, tenant_id, .. } => Some((*tenant_id, tenant)),
    }
}

impl Accounts {
    /// Deletes what `of` has under `id`, a session or a token, by `sql` with the id and the two
    /// [`columns`] as its parameters; `what` it is in an error, and `action` in the audit log.
    pub(super) async fn delete_of(
        &self,
        by: &Actor,
        of: &Principal,
        id: &str,
        sql: &'static str,
        what: &'static str,
        action: &'static str,
    ) -> Result<Changed<()>, AccountsError> {
        let mut change = self.change().await?;
        let (operator, username) = columns(of);
        let id_or_none = (!id.contains('\0')).then_some(id);
        let deleted =
            execute!(change.tx, sqlx::query(sql).bind(id_or_none).bind(operator).bind(username))?;
        if deleted == 0 {
            return Err(AccountsError::NotFound { what, name: id.to_owned() });
        }
        let detail = format!("{id} of {}", of.who());
        let version = change.commit_quietly(by, about(of), action, &detail).await?;
        Ok(Changed { value: (), version })
    }
}
