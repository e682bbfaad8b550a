//! Whose a session or a token is.

use larder_tenancy::{TenantId, TenantName};

use crate::db::{damaged, known};
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
