//! Operators, who run the fleet, and the links that sign them in.

use std::fmt;

use crate::accounts::{Accounts, Actor, Changed};
use crate::change::Change;
use crate::credentials::{check_password, invalid};
use crate::db::{execute, known, stored, with_pool, with_tx};
use crate::digest;
use crate::error::AccountsError;
use crate::secrets;

/// The operator of a new installation.
const FIRST: &str = "operator";
/// Seconds for which a sign-in link works.
const LINK: u64 = 15 * 60;

/// Somebody who runs the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorRecord {
    /// The name.
    pub name: String,
    /// Whether there is a password; without one only a sign-in link lets the operator in.
    pub has_password: bool,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

/// A way in that works once.
#[derive(Clone, PartialEq, Eq)]
pub struct SignInLink {
    /// What goes into the link.
    pub token: String,
    /// Until when it works, in seconds since 1970.
    pub expires: u64,
}

impl fmt::Debug for SignInLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInLink").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Accounts {
    /// Makes the operator `operator` and a link to sign in, if there is no operator yet.
    ///
    /// # Errors
    ///
    /// Of the database.
    pub async fn ensure_operator(&self) -> Result<Option<SignInLink>, AccountsError> {
        if !self.operators().await?.is_empty() {
            return Ok(None);
        }
        let mut change = self.change().await?;
        let sql = "SELECT COUNT(*) FROM operators";
        let count: i64 = with_tx!(change.tx, |c| sqlx::query_scalar(sql).fetch_one(c).await)?;
        if count > 0 {
            return Ok(None);
        }
        change.insert_operator(FIRST).await?;
        let link = change.insert_link(FIRST).await?;
        let by = Actor { who: "larder".to_owned(), from: "its first start".to_owned() };
        change.commit_quietly(&by, None, "operator.create", FIRST).await?;
        Ok(Some(link))
    }

    /// All operators, by name.
    ///
    /// # Errors
    ///
    /// Of the database.
    pub async fn operators(&self) -> Result<Vec<OperatorRecord>, AccountsError> {
        let db = self.db().await?;
        let sql = "SELECT name, password, created FROM operators ORDER BY name";
        let rows: Vec<(String, Option<String>, i64)> =
            with_pool!(db, |pool| sqlx::query_as(sql).fetch_all(pool).await)?;
        let record = |(name, password, created): (_, Option<String>, _)| OperatorRecord {
            name,
            has_password: password.is_some(),
            created: known(created),
        };
        Ok(rows.into_iter().map(record).collect())
    }

    /// Makes an operator, who has no password yet.
    ///
    /// # Errors
    ///
    /// [`AccountsError::Exists`], [`AccountsError::Invalid`], or of the database.
    pub async fn create_operator(
        &self,
        by: &Actor,
        name: &str,
    ) -> Result<Changed<()>, AccountsError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(good) {
            return Err(invalid("operator", name, "1 to 64 letters, digits and . _ @ -"));
        }
        let mut change = self.change().await?;
        if change.is_taken(name).await? {
            return Err(AccountsError::Exists { what: "user", name: name.to_owned() });
        }
        change.insert_operator(name).await?;
        let version = change.commit_quietly(by, None, "operator.create", name).await?;
        Ok(Changed { value: (), version })
    }

    /// Removes an operator with the sessions and tokens.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`], [`AccountsError::Conflict`] for the last one, or of the database.
    pub async fn remove_operator(
        &self,
        by: &Actor,
        name: &str,
    ) -> Result<Changed<()>, AccountsError> {
        let mut change = self.change().await?;
        change.check_operator(name).await?;
        let sql = "DELETE FROM operators WHERE name = $1 AND (SELECT COUNT(*) FROM operators) > 1";
        let removed = execute!(change.tx, { sqlx::query(sql).bind(name) })?;
        if removed == 0 {
            let says = format!("{name} is the only operator: make another first");
            return Err(AccountsError::Conflict(says));
        }
        let version = change.commit_quietly(by, None, "operator.remove", name).await?;
        Ok(Changed { value: (), version })
    }

    /// Makes a link that signs an operator in, once, within 15 minutes.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`], or of the database.
    pub async fn new_sign_in_link(
        &self,
        by: &Actor,
        operator: &str,
    ) -> Result<SignInLink, AccountsError> {
        let mut change = self.change().await?;
        change.check_operator(operator).await?;
        let sql = "DELETE FROM links WHERE expires <= $1";
        let now = stored(change.now);
        execute!(change.tx, sqlx::query(sql).bind(now))?;
        let link = change.insert_link(operator).await?;
        change.commit_quietly(by, None, "operator.link", operator).await?;
        Ok(link)
    }

    /// Sets the password of an operator, and ends the operator's sessions but the one with the id `but`:
    /// whoever changes a password may do so because another knows it. Tokens stay.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`], [`AccountsError::Invalid`] for one that is shorter than 12
    /// characters, or of the database.
    pub async fn set_operator_password(
        &self,
        by: &Actor,
        operator: &str,
        password: &str,
        but: Option<&str>,
    ) -> Result<Changed<()>, AccountsError> {
        check_password(password)?;
        let digest = self.checks().argon2id(password).await?;
        let mut change = self.change().await?;
        change.check_operator(operator).await?;
        let sql = "UPDATE operators SET password = $1 WHERE name = $2";
        execute!(change.tx, { sqlx::query(sql).bind(digest::encode(&digest)).bind(operator) })?;
        let ended = change.end_sessions(Some(operator), None, but).await?;
        let detail = match ended {
            0 => operator.to_owned(),
            _ => format!("{operator}; sessions ended: {ended}"),
        };
        let version = change.commit_quietly(by, None, "operator.password", &detail).await?;
        Ok(Changed { value: (), version })
    }
}

impl Change {
    async fn insert_operator(&mut self, name: &str) -> Result<(), AccountsError> {
        let sql = "INSERT INTO operators (name, created) VALUES ($1, $2)";
        let now = stored(self.now);
        execute!(self.tx, sqlx::query(sql).bind(name).bind(now))?;
        Ok(())
    }

    async fn insert_link(&mut self, operator: &str) -> Result<SignInLink, AccountsError> {
        let link = SignInLink { token: secrets::random_hex::<32>()?, expires: self.now + LINK };
        let sql = "INSERT INTO links (digest, operator, expires) VALUES ($1, $2, $3)";
        execute!(self.tx, {
            let query = sqlx::query(sql).bind(secrets::digest(&link.token)).bind(operator);
            query.bind(stored(link.expires))
        })?;
        Ok(link)
    }

    async fn check_operator(&mut self, name: &str) -> Result<(), AccountsError> {
        let sql = "SELECT COUNT(*) FROM operators WHERE name = $1";
        let name_or_none = (!name.contains('\0')).then_some(name);
        let count: i64 = with_tx!(self.tx, |c| {
            sqlx::query_scalar(sql).bind(name_or_none).fetch_one(c).await
        })?;
        match count {
            0 => Err(AccountsError::NotFound { what: "operator", name: name.to_owned() }),
            _ => Ok(()),
        }
    }
}
