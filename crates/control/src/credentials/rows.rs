//! The table of credentials: its rows, and what a change does to them.

use larder_tenancy::{Digest, Salt, TenantId, TenantName};

use super::{Chosen, CredentialRecord, NewCredential, Secret};
use crate::change::Change;
use crate::db::{damaged, execute, known, stored, with_tx};
use crate::digest;
use crate::error::AccountsError;
use crate::secrets;

/// Attempts at a username of 6 hex digits before one of 8 is tried.
const SHORT_ATTEMPTS: u32 = 4;
const ATTEMPTS: u32 = 12;

/// The columns of [`CredentialRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT c.username, t.name AS tenant, c.digest, c.capabilities, c.key_prefix, c.expires, ",
            "c.note, c.is_primary, c.created, c.last_used FROM credentials c ",
            "JOIN tenants t ON t.id = c.tenant ",
            $rest
        )
    };
}

pub(super) use select;

impl Change {
    /// Makes a credential, the first of a tenant its primary one.
    pub(crate) async fn insert_credential(
        &mut self,
        tenant: TenantId,
        new: &NewCredential,
        chosen: Option<Digest>,
    ) -> Result<Secret, AccountsError> {
        let (secret, digest) = match (&new.chosen, chosen) {
            (Some(chosen), Some(digest)) => (self.chosen_secret(chosen).await?, digest),
            _ => self.random_secret().await?,
        };
        let sql = "INSERT INTO credentials (username, tenant, digest, capabilities, key_prefix, \
                   expires, note, created, changed, is_primary) \
                   SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, \
                   CASE WHEN EXISTS (SELECT 1 FROM credentials WHERE tenant = $2) THEN 0 ELSE 1 END";
        let changed = stored(self.next_version());
        execute!(self.tx, {
            let query = sqlx::query(sql).bind(&secret.username).bind(i64::from(tenant.get()));
            let query = query.bind(digest::encode(&digest)).bind(new.capabilities.to_string());
            let query = query.bind(&new.key_prefix).bind(new.expires.map(stored)).bind(&new.note);
            query.bind(stored(self.now)).bind(changed)
        })?;
        Ok(secret)
    }

    async fn chosen_secret(&mut self, chosen: &Chosen) -> Result<Secret, AccountsError> {
        let Chosen { username, password } = chosen.clone();
        if self.is_taken(&username).await? {
            return Err(AccountsError::Exists { what: "username", name: username });
        }
        Ok(Secret { username, password })
    }

    async fn random_secret(&mut self) -> Result<(Secret, Digest), AccountsError> {
        let username = self.free_username().await?;
        let password = secrets::random_hex::<16>()?;
        let salt = Salt::random().map_err(secrets::no_randomness)?;
        let digest = Digest::sha256(salt, password.as_bytes());
        Ok((Secret { username, password }, digest))
    }

    /// The credential of this tenant with this username, and the tenant's number.
    pub(super) async fn credential(
        &mut self,
        tenant: &TenantName,
        username: &str,
    ) -> Result<(TenantId, CredentialRecord), AccountsError> {
        let id = self.tenant(tenant).await?.id;
        let not_found =
            || AccountsError::NotFound { what: "credential", name: username.to_owned() };
        if username.contains('\0') {
            return Err(not_found());
        }
        let sql = select!("WHERE t.name = $1 AND c.username = $2");
        let row: Option<CredentialRow> = with_tx!(self.tx, |c| {
            let query = sqlx::query_as(sql).bind(tenant.as_str()).bind(username);
            query.fetch_optional(c).await
        })?;
        Ok((id, row.ok_or_else(not_found)?.record(&self.tx.name)?))
    }

    pub(super) async fn update_credential(
        &mut self,
        before: &CredentialRecord,
        after: &CredentialRecord,
    ) -> Result<(), AccountsError> {
        let sql = "UPDATE credentials SET capabilities = $1, key_prefix = $2, expires = $3, \
                   note = $4, changed = CASE WHEN $5 = 0 THEN changed ELSE $5 END \
                   WHERE username = $6";
        // Sessions end when what the credential may do has changed; its note says nothing of that.
        let only_noted = CredentialRecord { note: after.note.clone(), ..before.clone() } == *after;
        let changed = if only_noted { 0 } else { stored(self.next_version()) };
        execute!(self.tx, {
            let query = sqlx::query(sql).bind(after.capabilities.to_string());
            let query = query.bind(&after.key_prefix).bind(after.expires.map(stored));
            let query = query.bind(&after.note).bind(changed);
            query.bind(&after.username)
        })?;
        Ok(())
    }

    /// Whether somebody signs in under this name, be it a credential or an operator.
    pub(crate) async fn is_taken(&mut self, username: &str) -> Result<bool, AccountsError> {
        let sql = "SELECT COUNT(*) FROM (SELECT username FROM credentials WHERE username = $1 \
                   UNION ALL SELECT name FROM operators WHERE name = $1) taken";
        let count: i64 =
            with_tx!(self.tx, |c| sqlx::query_scalar(sql).bind(username).fetch_one(c).await)?;
        Ok(count > 0)
    }

    async fn free_username(&mut self) -> Result<String, AccountsError> {
        for attempt in 0..ATTEMPTS {
            let username = match attempt {
                0..SHORT_ATTEMPTS => secrets::random_hex::<3>()?,
                _ => secrets::random_hex::<4>()?,
            };
            if !self.is_taken(&username).await? {
                return Ok(username);
            }
        }
        Err(AccountsError::Conflict("no free username was found; try again".to_owned()))
    }
}

/// A row of the table, with the tenant's name.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct CredentialRow {
    username: String,
    tenant: String,
    digest: String,
    capabilities: String,
    key_prefix: Option<String>,
    expires: Option<i64>,
    note: String,
    is_primary: i64,
    created: i64,
    last_used: Option<i64>,
}

impl CredentialRow {
    pub(super) fn record(self, database: &str) -> Result<CredentialRecord, AccountsError> {
        let bad =
            |what: &str| damaged(database, &format!("{what} of credential {}", self.username));
        Ok(CredentialRecord {
            tenant: TenantName::new(&self.tenant).map_err(|_| bad("the tenant"))?,
            capabilities: self.capabilities.parse().map_err(|_| bad("the capabilities"))?,
            is_chosen: digest::decode(&self.digest).ok_or_else(|| bad("the digest"))?.is_slow(),
            username: self.username,
            key_prefix: self.key_prefix,
            expires: self.expires.map(known),
            note: self.note,
            is_primary: self.is_primary != 0,
            created: known(self.created),
            last_used: self.last_used.map(known),
        })
    }
}
