//! Credentials: made, changed, promoted, revoked.
//!
//! A tenant has several, one of them primary: the one that its applications are configured with.
//! Rotating is: make another, promote it, give it to the applications, revoke the old one, which works
//! until then. So the primary one can neither be revoked nor expire.
//!
//! What must stay true: a username is one credential's, of all tenants; of a password only a digest is
//! kept; a credential with a key prefix may not flush, which would reach beyond its keys.

mod rows;
mod rules;

use std::fmt;
use std::sync::Arc;

use larder_tenancy::{Capabilities, TenantName};

use self::rows::{CredentialRow, select};
use self::rules::{check, check_can_be_primary, check_chosen};
pub(crate) use self::rules::{check_expiry, check_password, invalid};
use crate::accounts::{Accounts, Actor, Changed};
use crate::db::{execute, stored, with_pool, with_tx};
use crate::error::AccountsError;

/// The most credentials of a tenant.
const MOST: i64 = 100;
/// How many last uses are noted in one transaction.
const AT_ONCE: usize = 500;

/// A username and its password, shown once: only a digest of the password is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// What a client says it is.
    pub username: String,
    /// What only it knows.
    pub password: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A credential to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCredential {
    /// What it may do.
    pub capabilities: Capabilities,
    /// The beginning of every key that it may use: 1 to 200 visible ASCII characters; none: all keys.
    /// With one it may not have FLUSH.
    pub key_prefix: Option<String>,
    /// From when on it is refused, in seconds since 1970; none: never.
    pub expires: Option<u64>,
    /// What it is for, in up to 200 bytes.
    pub note: String,
    /// Username and password that a person chose; none: both are made at random.
    pub chosen: Option<Chosen>,
}

/// A username and a password that a person chose.
#[derive(Clone, PartialEq, Eq)]
pub struct Chosen {
    /// 3 to 64 letters, digits and `. _ @ -`.
    pub username: String,
    /// 12 to 200 bytes without control characters.
    pub password: String,
}

impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chosen").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A credential, without what is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialRecord {
    /// What a client says it is.
    pub username: String,
    /// The cache that it opens.
    pub tenant: TenantName,
    /// What it may do there.
    pub capabilities: Capabilities,
    /// The beginning of every key that it may use; none: all keys.
    pub key_prefix: Option<String>,
    /// From when on it is refused, in seconds since 1970; none: never.
    pub expires: Option<u64>,
    /// What it is for.
    pub note: String,
    /// Whether it is the one that applications are configured with.
    pub is_primary: bool,
    /// Whether a person chose its password.
    pub is_chosen: bool,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// When it was last seen to do something; none: never.
    pub last_used: Option<u64>,
}

/// What to change of a credential; what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CredentialChange {
    /// What it may do.
    pub capabilities: Option<Capabilities>,
    /// The beginning of every key that it may use; `Some(None)`: all keys.
    pub key_prefix: Option<Option<String>>,
    /// From when on it is refused; `Some(None)`: never.
    pub expires: Option<Option<u64>>,
    /// What it is for.
    pub note: Option<String>,
}

impl NewCredential {
    /// The first one of a tenant, which may do everything.
    pub(crate) fn primary() -> Self {
        Self {
            capabilities: Capabilities::ALL,
            key_prefix: None,
            expires: None,
            note: String::new(),
            chosen: None,
        }
    }
}

impl Accounts {
    /// The credentials of a tenant: the primary first, then by age.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`] for the tenant, or of the database.
    pub async fn credentials(
        &self,
        tenant: &TenantName,
    ) -> Result<Vec<CredentialRecord>, AccountsError> {
        let db = self.db().await?;
        self.tenant(tenant).await?;
        let sql = select!("WHERE t.name = $1 ORDER BY c.is_primary DESC, c.created, c.username");
        let rows: Vec<CredentialRow> = with_pool!(db, |pool| {
            sqlx::query_as(sql).bind(tenant.as_str()).fetch_all(pool).await
        })?;
        rows.into_iter().map(|row| row.record(&db.name)).collect()
    }

    /// Makes a credential.
    ///
    /// # Errors
    ///
    /// [`AccountsError::Exists`] for a chosen username, [`AccountsError::Invalid`],
    /// [`AccountsError::Conflict`] if the tenant has 100, or of the database.
    pub async fn create_credential(
        &self,
        by: &Actor,
        tenant: &TenantName,
        new: NewCredential,
    ) -> Result<Changed<Secret>, AccountsError> {
        check(new.capabilities, new.key_prefix.as_deref(), &new.note)?;
        check_expiry(new.expires, self.now())?;
        // Before the change begins: it takes long, and others wait for the change to end.
        let chosen = match &new.chosen {
            Some(chosen) => {
                check_chosen(chosen)?;
                Some(self.checks().argon2id(&chosen.password).await?)
            }
            None => None,
        };
        let mut change = self.change().await?;
        let id = change.tenant(tenant).await?.id;
        let sql = "SELECT COUNT(*) FROM credentials WHERE tenant = $1";
        let count: i64 = with_tx!(change.tx, |c| {
            sqlx::query_scalar(sql).bind(i64::from(id.get())).fetch_one(c).await
        })?;
        if count >= MOST {
            let says = format!("tenant {tenant} has {MOST} credentials already; revoke one first");
            return Err(AccountsError::Conflict(says));
        }
        let secret = change.insert_credential(id, &new, chosen).await?;
        let detail = format!(
            "{}; {}",
            secret.username,
            shown(new.capabilities, new.key_prefix.as_deref(), new.expires, &new.note)
        );
        let about = Some((id, tenant));
        let version = change.commit(by, about, "credential.create", &detail).await?;
        Ok(Changed { value: secret, version })
    }

    /// Changes a credential.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`], [`AccountsError::Invalid`], [`AccountsError::Conflict`] for an expiry
    /// of the primary one, or of the database.
    pub async fn change_credential(
        &self,
        by: &Actor,
        tenant: &TenantName,
        username: &str,
        wanted: CredentialChange,
    ) -> Result<Changed<CredentialRecord>, AccountsError> {
        let mut change = self.change().await?;
        let (id, before) = change.credential(tenant, username).await?;
        let mut after = before.clone();
        after.capabilities = wanted.capabilities.unwrap_or(before.capabilities);
        after.key_prefix = wanted.key_prefix.unwrap_or_else(|| before.key_prefix.clone());
        after.expires = wanted.expires.unwrap_or(before.expires);
        after.note = wanted.note.unwrap_or_else(|| before.note.clone());
        if after == before {
            return Ok(Changed { value: before, version: change.version });
        }
        check(after.capabilities, after.key_prefix.as_deref(), &after.note)?;
        if after.expires != before.expires {
            check_expiry(after.expires, change.now)?;
            check_can_be_primary(after.is_primary, &after)?;
        }
        change.update_credential(&before, &after).await?;
        let detail = format!("{username}; {} → {}", before.shown(), after.shown());
        let about = Some((id, tenant));
        let version = change.commit(by, about, "credential.change", &detail).await?;
        Ok(Changed { value: after, version })
    }

    /// Makes a credential the tenant's primary one; the one that was goes on working. Does nothing if
    /// it is already.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`], [`AccountsError::Conflict`] for one that expires, or of the
    /// database.
    pub async fn promote_credential(
        &self,
        by: &Actor,
        tenant: &TenantName,
        username: &str,
    ) -> Result<Changed<()>, AccountsError> {
        let mut change = self.change().await?;
        let (id, credential) = change.credential(tenant, username).await?;
        if credential.is_primary {
            return Ok(Changed { value: (), version: change.version });
        }
        check_can_be_primary(true, &credential)?;
        let before = change.tenant(tenant).await?.primary;
        // Two statements, because no two may be primary even for a moment.
        let sql = "UPDATE credentials SET is_primary = 0 WHERE username = $1";
        execute!(change.tx, sqlx::query(sql).bind(&before))?;
        let sql = "UPDATE credentials SET is_primary = 1 WHERE username = $1";
        execute!(change.tx, sqlx::query(sql).bind(username))?;
        let detail = format!("primary {before} → {username}");
        let about = Some((id, tenant));
        let version = change.commit(by, about, "credential.promote", &detail).await?;
        Ok(Changed { value: (), version })
    }

    /// Removes a credential; its connections are closed.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`], [`AccountsError::Conflict`] for the primary one, or of the
    /// database.
    pub async fn revoke_credential(
        &self,
        by: &Actor,
        tenant: &TenantName,
        username: &str,
    ) -> Result<Changed<()>, AccountsError> {
        let mut change = self.change().await?;
        let (id, credential) = change.credential(tenant, username).await?;
        if credential.is_primary {
            return Err(AccountsError::Conflict(format!(
                "{username} is the primary credential of tenant {tenant}: promote another first"
            )));
        }
        let sql = "DELETE FROM credentials WHERE username = $1";
        execute!(change.tx, sqlx::query(sql).bind(username))?;
        let detail = format!("{username}; {}", credential.shown());
        let about = Some((id, tenant));
        let version = change.commit(by, about, "credential.revoke", &detail).await?;
        Ok(Changed { value: (), version })
    }

    /// Notes when credentials were last seen, as a node tells. Not a change: no version, no audit.
    ///
    /// # Errors
    ///
    /// If the database does not answer.
    pub async fn note_last_used(&self, seen: &[(Arc<[u8]>, u64)]) -> Result<(), AccountsError> {
        let named = |(username, at): &(Arc<[u8]>, u64)| {
            let username = std::str::from_utf8(username).ok()?.to_owned();
            (!username.contains('\0')).then_some((username, *at))
        };
        let seen: Vec<_> = seen.iter().filter_map(named).collect();
        let sql = "UPDATE credentials SET last_used = $1 \
                   WHERE username = $2 AND (last_used IS NULL OR last_used < $1)";
        // In turn with changes, which hold several rows, too; not all at once, so that they get theirs.
        for seen in seen.chunks(AT_ONCE) {
            let mut change = self.change().await?;
            for (username, at) in seen {
                execute!(change.tx, sqlx::query(sql).bind(stored(*at)).bind(username))?;
            }
            change.tx.commit().await?;
        }
        Ok(())
    }
}

impl CredentialRecord {
    fn shown(&self) -> String {
        shown(self.capabilities, self.key_prefix.as_deref(), self.expires, &self.note)
    }
}

fn shown(
    capabilities: Capabilities,
    key_prefix: Option<&str>,
    expires: Option<u64>,
    note: &str,
) -> String {
    let mut parts = vec![capabilities.to_string()];
    parts.extend(key_prefix.map(|prefix| format!("keys {prefix}*")));
    parts.extend(expires.map(|expires| format!("until {expires}")));
    parts.extend((!note.is_empty()).then(|| format!("note {note:?}")));
    parts.join(" ")
}
