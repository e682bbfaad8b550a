//! The directory that nodes follow, read from the database in one transaction.

use larder_tenancy::{Credential, Directory, Tenant, TenantLimits, TenantName};

use crate::accounts::{Accounts, Actor};
use crate::db::{damaged, execute, known, stored, with_tx};
use crate::digest;
use crate::error::AccountsError;
use crate::tenants::tenant_id;

/// The directory, and which database it is of.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) directory: Directory,
    /// Random, made with the database; a backup of it has the same.
    pub(crate) installation: String,
}

impl Accounts {
    /// All tenants and credentials as of now.
    ///
    /// # Errors
    ///
    /// If the database does not answer or contradicts itself.
    pub async fn directory(&self) -> Result<Directory, AccountsError> {
        Ok(self.current().await?.directory)
    }

    /// The directory, and which database it is of.
    pub(crate) async fn current(&self) -> Result<Current, AccountsError> {
        let mut tx = self.db().await?.begin_read().await?;
        let sql = "SELECT version, installation FROM directory WHERE slot = 1";
        let (version, installation): (i64, String) =
            with_tx!(tx, |c| sqlx::query_as(sql).fetch_one(c).await)?;
        let sql = "SELECT id, name, floor_bytes, ceiling_bytes, flushes FROM tenants";
        let tenants: Vec<TenantRow> = with_tx!(tx, |c| sqlx::query_as(sql).fetch_all(c).await)?;
        let sql = "SELECT username, tenant, digest, capabilities, key_prefix, expires \
                   FROM credentials";
        let credentials: Vec<CredentialRow> =
            with_tx!(tx, |c| sqlx::query_as(sql).fetch_all(c).await)?;
        let name = tx.name.clone();
        tx.commit().await?;

        let tenants = tenants.into_iter().map(TenantRow::tenant).collect::<Result<Vec<_>, _>>();
        let credentials =
            credentials.into_iter().map(CredentialRow::credential).collect::<Result<Vec<_>, _>>();
        let built = tenants.and_then(|tenants| {
            Directory::new(known(version), tenants, credentials?, None)
                .map_err(|error| error.to_string())
        });
        let directory = built.map_err(|says| damaged(&name, &says))?;
        Ok(Current { directory, installation })
    }

    /// Raises the version above that of `known`, for a database that was restored from a backup: nodes
    /// obey only what is newer than what they know. What was given out since the backup was made,
    /// numbers of tenants and of flushes, is not given out again.
    pub(crate) async fn outrun(&self, known: &Directory) -> Result<(), AccountsError> {
        let mut change = self.change().await?;
        let Some(lost) = known.version().checked_sub(change.version) else { return Ok(()) };
        let sql = "SELECT next_tenant FROM directory WHERE slot = 1";
        let next: i64 = with_tx!(change.tx, |c| sqlx::query_scalar(sql).fetch_one(c).await)?;
        // No lost change has made more than one tenant.
        let highest = known.tenants().map(|tenant| i64::from(tenant.id.get())).max().unwrap_or(0);
        let next = next.saturating_add(stored(lost)).max(highest + 1);
        let sql = "UPDATE directory SET next_tenant = $1 WHERE slot = 1";
        execute!(change.tx, sqlx::query(sql).bind(next))?;
        for tenant in known.tenants().filter(|tenant| tenant.flushes > 0) {
            let sql = "UPDATE tenants SET flushes = $1 WHERE id = $2 AND flushes < $1";
            let (id, flushes) = (i64::from(tenant.id.get()), stored(tenant.flushes));
            execute!(change.tx, sqlx::query(sql).bind(flushes).bind(id))?;
        }
        let was = std::mem::replace(&mut change.version, known.version());
        let by = Actor { who: "a node".to_owned(), from: "its directory".to_owned() };
        let detail = format!("version {was} → {}: restored from a backup", change.next_version());
        change.commit(&by, None, "directory.restore", &detail).await?;
        Ok(())
    }
}

#[derive(Debug, sqlx::FromRow)]
struct TenantRow {
    id: i64,
    name: String,
    floor_bytes: i64,
    ceiling_bytes: i64,
    flushes: i64,
}

impl TenantRow {
    fn tenant(self) -> Result<Tenant, String> {
        let bad = || format!("tenant {:?}", self.name);
        Ok(Tenant {
            id: tenant_id(self.id).ok_or_else(bad)?,
            name: TenantName::new(&self.name).map_err(|_| bad())?,
            limits: TenantLimits {
                floor: known(self.floor_bytes),
                ceiling: known(self.ceiling_bytes),
            },
            flushes: known(self.flushes),
        })
    }
}

#[derive(Debug, sqlx::FromRow)]
struct CredentialRow {
    username: String,
    tenant: i64,
    digest: String,
    capabilities: String,
    key_prefix: Option<String>,
    expires: Option<i64>,
}

impl CredentialRow {
    fn credential(self) -> Result<Credential, String> {
        let bad = || format!("credential {}", self.username);
        Ok(Credential {
            username: self.username.as_bytes().into(),
            digest: digest::decode(&self.digest).ok_or_else(bad)?,
            tenant: tenant_id(self.tenant).ok_or_else(bad)?,
            capabilities: self.capabilities.parse().map_err(|_| bad())?,
            key_prefix: self.key_prefix.map(|prefix| prefix.into_bytes().into()),
            expires: self.expires.map(known),
        })
    }
}
