//! API tokens, for programs: `lrd_` and 64 hex digits. A token may do what its holder may.

use super::holder::{self, HolderRow, holder_columns};
use crate::accounts::{Accounts, Actor, Changed};
use crate::credentials::{check_expiry, invalid};
use crate::db::{execute, known, stored, with_pool, with_tx};
use crate::error::AccountsError;
use crate::rights::Principal;
use crate::secrets;

/// What every token begins with, so that scanners for leaked secrets know it.
const PREFIX: &str = "lrd_";
/// The most tokens of one principal.
const MOST: i64 = 100;
/// Seconds to which the last use is known.
const SEEN: u64 = 60;

/// An API token, without what is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// What names it; no secret.
    pub id: String,
    /// What it is for.
    pub note: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// From when on it is refused; none: never.
    pub expires: Option<u64>,
    /// When it was last used, to the minute; none: never.
    pub last_used: Option<u64>,
}

impl Accounts {
    /// Makes an API token that may do what `of` may; it is shown once.
    ///
    /// # Errors
    ///
    /// [`AccountsError::Invalid`], [`AccountsError::Conflict`] if there are 100 already,
    /// [`AccountsError::NotFound`] if `of` is gone, or of the database.
    pub async fn create_token(
        &self,
        by: &Actor,
        of: &Principal,
        note: &str,
        expires: Option<u64>,
    ) -> Result<Changed<String>, AccountsError> {
        if note.len() > 200 || note.chars().any(char::is_control) {
            return Err(invalid("note", note, "200 bytes at most, no control characters"));
        }
        let mut change = self.change().await?;
        check_expiry(expires, change.now)?;
        let (operator, username) = holder::columns(of);
        if !change.is_taken(operator.or(username).unwrap_or_default()).await? {
            return Err(AccountsError::NotFound { what: "user", name: of.who() });
        }
        let sql = "SELECT COUNT(*) FROM tokens WHERE operator = $1 OR username = $2";
        let count: i64 = with_tx!(change.tx, |c| {
            sqlx::query_scalar(sql).bind(operator).bind(username).fetch_one(c).await
        })?;
        if count >= MOST {
            let says = format!("{} has {MOST} tokens already; revoke one first", of.who());
            return Err(AccountsError::Conflict(says));
        }
        let token = format!("{PREFIX}{}", secrets::random_hex::<32>()?);
        let id = secrets::id(&token);
        let sql = "INSERT INTO tokens (id, digest, operator, username, note, created, expires) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        execute!(change.tx, {
            let query = sqlx::query(sql).bind(&id).bind(secrets::digest(&token));
            let query = query.bind(operator).bind(username).bind(note);
            query.bind(stored(change.now)).bind(expires.map(stored))
        })?;
        let detail = format!("{id} of {}; note {note:?}", of.who());
        let version = change.commit_quietly(by, holder::about(of), "token.create", &detail).await?;
        Ok(Changed { value: token, version })
    }

    /// The tokens of somebody, by age.
    ///
    /// # Errors
    ///
    /// Of the database.
    pub async fn tokens(&self, of: &Principal) -> Result<Vec<TokenRecord>, AccountsError> {
        let db = self.db().await?;
        let sql = "SELECT id, note, created, expires, last_used FROM tokens \
                   WHERE operator = $1 OR username = $2 ORDER BY created, id";
        let (operator, username) = holder::columns(of);
        let rows: Vec<ListedRow> = with_pool!(db, |pool| {
            sqlx::query_as(sql).bind(operator).bind(username).fetch_all(pool).await
        })?;
        Ok(rows.into_iter().map(ListedRow::record).collect())
    }

    /// Ends a token of `of`.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`], or of the database.
    pub async fn revoke_token(
        &self,
        by: &Actor,
        of: &Principal,
        id: &str,
    ) -> Result<Changed<()>, AccountsError> {
        let sql = "DELETE FROM tokens WHERE id = $1 AND (operator = $2 OR username = $3)";
        self.delete_of(by, of, id, sql, "token", "token.revoke").await
    }

    /// Who has this token; none: nobody, or its time is over. Counts as a use of it.
    ///
    /// # Errors
    ///
    /// Of the database.
    pub async fn principal_of_token(
        &self,
        token: &str,
    ) -> Result<Option<Principal>, AccountsError> {
        if !token.starts_with(PREFIX) {
            return Ok(None);
        }
        let db = self.db().await?;
        let sql = concat!(
            "SELECT k.id, k.expires, k.last_used, ",
            holder_columns!("k"),
            " FROM tokens k LEFT JOIN credentials c ON c.username = k.username ",
            "LEFT JOIN tenants t ON t.id = c.tenant WHERE k.digest = $1"
        );
        let row: Option<TokenRow> = with_pool!(db, |pool| {
            sqlx::query_as(sql).bind(secrets::digest(token)).fetch_optional(pool).await
        })?;
        let now = self.now();
        let stands = |row: &TokenRow| row.expires.is_none_or(|expires| now < known(expires));
        let Some(row) = row.filter(stands) else { return Ok(None) };
        if row.last_used.is_none_or(|used| now.saturating_sub(known(used)) >= SEEN) {
            let sql = "UPDATE tokens SET last_used = $1 WHERE id = $2";
            let noted = with_pool!(db, |pool| {
                sqlx::query(sql).bind(stored(now)).bind(&row.id).execute(pool).await.map(|_| ())
            });
            if let Err(error) = noted {
                tracing::debug!(%error, "the use of a token was not noted");
            }
        }
        row.holder.principal(now, &db.name)
    }
}

#[derive(Debug, sqlx::FromRow)]
struct TokenRow {
    id: String,
    expires: Option<i64>,
    last_used: Option<i64>,
    #[sqlx(flatten)]
    holder: HolderRow,
}

#[derive(Debug, sqlx::FromRow)]
struct ListedRow {
    id: String,
    note: String,
    created: i64,
    expires: Option<i64>,
    last_used: Option<i64>,
}

impl ListedRow {
    fn record(self) -> TokenRecord {
        TokenRecord {
            id: self.id,
            note: self.note,
            created: known(self.created),
            expires: self.expires.map(known),
            last_used: self.last_used.map(known),
        }
    }
}
