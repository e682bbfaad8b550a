//! Signing in: by link, or with a name and a password.

use larder_tenancy::Digest;

use super::holder::{self, HolderRow, credential_columns};
use super::sessions::NewSession;
use crate::accounts::{Accounts, Caller};
use crate::change::Change;
use crate::db::{stored, with_pool, with_tx};
use crate::digest;
use crate::error::{AccountsError, SignInError};
use crate::rights::Principal;
use crate::secrets;

impl Accounts {
    /// Signs in who has the token of a link.
    ///
    /// # Errors
    ///
    /// [`SignInError::Refused`] for one that is unknown, used or too old, or of the database.
    pub async fn redeem(&self, token: &str, caller: &Caller) -> Result<NewSession, SignInError> {
        if !self.is_link(token).await? {
            tracing::debug!(from = caller.from, "a sign-in link was refused");
            return Err(SignInError::Refused);
        }
        let mut change = self.change().await?;
        // Deleted and looked at in one statement: of two who come at once, one finds it.
        let sql = "DELETE FROM links WHERE digest = $1 AND expires > $2 RETURNING operator";
        let operator: Option<String> = with_tx!(change.tx, |c| {
            let query = sqlx::query_scalar(sql).bind(secrets::digest(token));
            query.bind(stored(change.now)).fetch_optional(c).await
        })?;
        let Some(name) = operator else { return Err(SignInError::Refused) };
        let principal = Principal::Operator { name };
        Ok(change.begin_session(principal, None, caller, "by link").await?)
    }

    /// Whether a link has this token now. Only looks: those who guess must not make changes wait.
    async fn is_link(&self, token: &str) -> Result<bool, AccountsError> {
        let db = self.db().await?;
        let sql = "SELECT COUNT(*) FROM links WHERE digest = $1 AND expires > $2";
        let count: i64 = with_pool!(db, |pool| {
            let query = sqlx::query_scalar(sql).bind(secrets::digest(token));
            query.bind(stored(self.now())).fetch_one(pool).await
        })?;
        Ok(count > 0)
    }

    /// Signs in an operator by name, or a credential by username. Whoever is refused has been checked
    /// for as long as an operator.
    ///
    /// # Errors
    ///
    /// [`SignInError::Refused`], [`SignInError::Busy`], or of the database.
    pub async fn sign_in(
        &self,
        user: &str,
        password: &str,
        caller: &Caller,
    ) -> Result<NewSession, SignInError> {
        let found = self.find(user).await?;
        let verified = match found.as_ref().and_then(|found| found.digest.clone()) {
            Some(digest) if !digest.is_slow() && digest.verify(password.as_bytes()) => true,
            Some(digest) if digest.is_slow() => self.verify(Some(digest), password).await?,
            _ => self.verify(None, password).await?,
        };
        match found.filter(|_| verified) {
            Some(found) => self.let_in(found, caller).await,
            None => Err(refused(caller)),
        }
    }

    /// Begins the session of somebody whose password was right. Checking that takes long: who was removed
    /// meanwhile, or has another password by now, is refused.
    async fn let_in(&self, found: Found, caller: &Caller) -> Result<NewSession, SignInError> {
        let mut change = self.change().await?;
        if !change.has(&found).await? {
            return Err(refused(caller));
        }
        let Found { principal, changed, .. } = found;
        Ok(change.begin_session(principal, changed, caller, "by password").await?)
    }

    /// Who has this username and password, as HTTP Basic sends them; none: nobody.
    ///
    /// # Errors
    ///
    /// Of the database; [`AccountsError::Unavailable`] too when too many passwords are being checked.
    pub async fn principal_of_credential(
        &self,
        username: &str,
        password: &str,
    ) -> Result<Option<Principal>, AccountsError> {
        let Some(found) = self.find_credential(username).await? else { return Ok(None) };
        let verified = match found.digest {
            Some(digest) if digest.is_slow() => {
                self.checks().verify(Some(digest), password).await?
            }
            Some(digest) => digest.verify(password.as_bytes()),
            None => false,
        };
        Ok(verified.then_some(found.principal))
    }

    async fn verify(&self, digest: Option<Digest>, password: &str) -> Result<bool, SignInError> {
        self.checks().verify(digest, password).await.map_err(|_| SignInError::Busy)
    }

    async fn find(&self, user: &str) -> Result<Option<Found>, AccountsError> {
        if user.contains('\0') {
            return Ok(None);
        }
        let db = self.db().await?;
        let sql = "SELECT password FROM operators WHERE name = $1";
        let password: Option<Option<String>> = with_pool!(db, |pool| {
            sqlx::query_scalar(sql).bind(user).fetch_optional(pool).await
        })?;
        match password {
            Some(password) => Ok(Some(Found {
                principal: Principal::Operator { name: user.to_owned() },
                digest: password.and_then(|password| digest::decode(&password)),
                changed: None,
            })),
            None => self.find_credential(user).await,
        }
    }

    async fn find_credential(&self, username: &str) -> Result<Option<Found>, AccountsError> {
        if username.contains('\0') {
            return Ok(None);
        }
        let db = self.db().await?;
        let sql = concat!(
            "SELECT c.digest, NULL AS operator, c.username, ",
            credential_columns!(),
            " FROM credentials c JOIN tenants t ON t.id = c.tenant WHERE c.username = $1"
        );
        let row: Option<CredentialRow> = with_pool!(db, |pool| {
            sqlx::query_as(sql).bind(username).fetch_optional(pool).await
        })?;
        let Some(row) = row else { return Ok(None) };
        let changed = row.holder.changed;
        let principal = row.holder.principal(self.now(), &db.name)?;
        let digest = digest::decode(&row.digest);
        Ok(principal.map(|principal| Found { principal, digest, changed }))
    }
}

impl Change {
    /// Whether somebody is still there, with the password that was found.
    async fn has(&mut self, found: &Found) -> Result<bool, AccountsError> {
        let sql = match found.principal {
            Principal::Operator { .. } => {
                "SELECT COUNT(*) FROM operators WHERE name = $1 AND password = $2"
            }
            Principal::Credential { .. } => {
                "SELECT COUNT(*) FROM credentials WHERE username = $1 AND digest = $2"
            }
        };
        let (operator, username) = holder::columns(&found.principal);
        let count: i64 = with_tx!(self.tx, |c| {
            let query = sqlx::query_scalar(sql).bind(operator.or(username));
            query.bind(found.digest.as_ref().and_then(digest::encode)).fetch_one(c).await
        })?;
        Ok(count > 0)
    }
}

/// A refusal, logged without the name: people type passwords into the wrong field.
fn refused(caller: &Caller) -> SignInError {
    tracing::warn!(from = caller.from, "a sign-in was refused");
    SignInError::Refused
}

/// Somebody who might be signing in.
struct Found {
    principal: Principal,
    /// None: there is no password.
    digest: Option<Digest>,
    /// The version of the directory that changed the credential.
    changed: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct CredentialRow {
    digest: String,
    #[sqlx(flatten)]
    holder: HolderRow,
}

#[cfg(test)]
mod tests {
    use larder_tenancy::{Capabilities, TenantName};

    use super::*;
    use crate::accounts::Actor;
    use crate::credentials::{Chosen, NewCredential};
    use crate::tenants::NewTenant;
    use crate::url::AccountsUrl;

    /// What happens between the check of a password and the session counts.
    #[tokio::test]
    async fn who_is_removed_while_a_password_is_checked_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let url = AccountsUrl::file(&dir.path().join("accounts.db"));
        let accounts = Accounts::open(&url).await.unwrap();
        let by = Actor { who: "test".to_owned(), from: "test".to_owned() };
        let caller = Caller::default();
        accounts.create_operator(&by, "ann").await.unwrap();
        accounts.set_operator_password(&by, "ann", "the first password", None).await.unwrap();
        let found = async |user: &str| accounts.find(user).await.unwrap().unwrap();

        let ann = found("ann").await;
        let password = "the second password";
        accounts.set_operator_password(&by, "ann", password, None).await.unwrap();
        assert_eq!(accounts.let_in(ann, &caller).await, Err(SignInError::Refused));
        assert!(accounts.let_in(found("ann").await, &caller).await.is_ok());

        let shop = TenantName::new("shop").unwrap();
        accounts.create_tenant(&by, NewTenant::new(shop.clone(), 1 << 20)).await.unwrap();
        let chosen = Chosen { username: "bob".to_owned(), password: password.to_owned() };
        let new = NewCredential {
            capabilities: Capabilities::READ,
            chosen: Some(chosen),
            ..NewCredential::primary()
        };
        accounts.create_credential(&by, &shop, new).await.unwrap();
        let bob = found("bob").await;
        accounts.revoke_credential(&by, &shop, "bob").await.unwrap();
        assert_eq!(accounts.let_in(bob, &caller).await, Err(SignInError::Refused));
    }

    #[tokio::test]
    async fn a_flood_of_passwords_is_turned_away_and_not_queued() {
        let dir = tempfile::tempdir().unwrap();
        let url = AccountsUrl::file(&dir.path().join("accounts.db"));
        let accounts = Accounts::open(&url).await.unwrap();
        let by = Actor { who: "test".to_owned(), from: "test".to_owned() };
        let password = "correct horse battery";
        accounts.create_operator(&by, "ann").await.unwrap();
        accounts.set_operator_password(&by, "ann", password, None).await.unwrap();
        let sign_in = async |user: &str, password: &str| {
            accounts.sign_in(user, password, &Caller::default()).await.map(|_| ())
        };
        let flood = accounts.checks().flood();
        // Who is unknown waits in the same queue: the time it takes tells nothing.
        for (user, password) in [("ann", password), ("ann", "wrong"), ("nobody", "wrong")] {
            assert_eq!(sign_in(user, password).await, Err(SignInError::Busy), "{user}");
        }
        // And it is over when it is over.
        drop(flood);
        for user in ["ann", "nobody"] {
            assert_eq!(sign_in(user, "wrong").await, Err(SignInError::Refused), "{user}");
        }
        assert_eq!(sign_in("ann", password).await, Ok(()));
    }
}
