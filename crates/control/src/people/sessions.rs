//! Sessions of the console.
//!
//! A session ends 12 hours after it was last used and 7 days after it began; that of a credential also
//! as soon as the credential is revoked, has expired, or may do something else than when it signed in.

use std::fmt;

use super::holder::{self, HolderRow, holder_columns};
use crate::accounts::{Accounts, Actor, Caller, Changed};
use crate::audit;
use crate::change::Change;
use crate::db::{execute, known, stored, with_pool};
use crate::error::AccountsError;
use crate::rights::Principal;
use crate::secrets;

/// Seconds after which a session that is not used ends: 12 hours.
const IDLE: u64 = 12 * 3600;
/// Seconds after which every session ends: 7 days.
const LONGEST: u64 = 7 * 24 * 3600;
/// Seconds to which the last use is known.
const SEEN: u64 = 60;
/// The most sessions of one principal; the one used longest ago makes room.
const MOST: i64 = 50;

/// A session that has begun.
#[derive(Clone, PartialEq, Eq)]
pub struct NewSession {
    /// What goes into the cookie.
    pub token: String,
    /// Who signed in.
    pub principal: Principal,
    /// When it ends at the latest, in seconds since 1970.
    pub expires: u64,
}

impl fmt::Debug for NewSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("NewSession");
        shown.field("principal", &self.principal).field("expires", &self.expires);
        shown.finish_non_exhaustive()
    }
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SessionRecord {
    /// What names it; no secret. [`session_id`] tells that of a cookie.
    pub id: String,
    /// When it began, in seconds since 1970.
    #[sqlx(try_from = "i64")]
    pub created: u64,
    /// When it was last used, to the minute.
    #[sqlx(try_from = "i64")]
    pub seen: u64,
    /// From where it began.
    #[sqlx(rename = "origin")]
    pub from: String,
    /// What the browser said it is.
    pub user_agent: String,
}

/// The id of the session with this cookie.
#[must_use]
pub fn session_id(token: &str) -> String {
    secrets::id(token)
}

impl Accounts {
    /// Who has the session with this cookie; none: nobody, or its time is over. Counts as a use of it.
    ///
    /// # Errors
    ///
    /// Of the database.
    pub async fn principal_of_session(
        &self,
        token: &str,
    ) -> Result<Option<Principal>, AccountsError> {
        let db = self.db().await?;
        let sql = concat!(
            "SELECT s.id, s.created, s.seen, s.credential_changed, ",
            holder_columns!("s"),
            " FROM sessions s LEFT JOIN credentials c ON c.username = s.username ",
            "LEFT JOIN tenants t ON t.id = c.tenant WHERE s.digest = $1"
        );
        let row: Option<SessionRow> = with_pool!(db, |pool| {
            sqlx::query_as(sql).bind(secrets::digest(token)).fetch_optional(pool).await
        })?;
        let now = self.now();
        let Some(row) = row.filter(|row| row.stands(now)) else { return Ok(None) };
        if now.saturating_sub(known(row.seen)) >= SEEN {
            self.note_seen(&row.id, now).await;
        }
        row.holder.principal(now, &db.name)
    }

    /// The sessions of somebody, the last used first.
    ///
    /// # Errors
    ///
    /// Of the database.
    pub async fn sessions(&self, of: &Principal) -> Result<Vec<SessionRecord>, AccountsError> {
        let db = self.db().await?;
        let sql = "SELECT id, created, seen, origin, user_agent FROM sessions \
                   WHERE (operator = $1 OR username = $2) AND seen > $3 AND created > $4 \
                   ORDER BY seen DESC, created DESC, id";
        let (operator, username) = holder::columns(of);
        let now = self.now();
        with_pool!(db, |pool| {
            let query = sqlx::query_as(sql).bind(operator).bind(username);
            let query = query.bind(stored(now.saturating_sub(IDLE)));
            query.bind(stored(now.saturating_sub(LONGEST))).fetch_all(pool).await
        })
    }

    /// Ends a session of `of`.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`], or of the database.
    pub async fn end_session(
        &self,
        by: &Actor,
        of: &Principal,
        id: &str,
    ) -> Result<Changed<()>, AccountsError> {
        let sql = "DELETE FROM sessions WHERE id = $1 AND (operator = $2 OR username = $3)";
        self.delete_of(by, of, id, sql, "session", "session.end").await
    }

    /// Ends all sessions of `of` but the one with the id `but`; how many there were.
    ///
    /// # Errors
    ///
    /// Of the database.
    pub async fn end_other_sessions(
        &self,
        by: &Actor,
        of: &Principal,
        but: Option<&str>,
    ) -> Result<Changed<u64>, AccountsError> {
        let mut change = self.change().await?;
        let (operator, username) = holder::columns(of);
        let ended = change.end_sessions(operator, username, but).await?;
        if ended == 0 {
            return Ok(Changed { value: 0, version: change.version });
        }
        let detail = format!("{ended} of {}", of.who());
        let version = change.commit_quietly(by, holder::about(of), "session.end", &detail).await?;
        Ok(Changed { value: ended, version })
    }

    /// Notes that a session was used. One that is not noted is no reason to refuse its user.
    async fn note_seen(&self, id: &str, now: u64) {
        let Ok(db) = self.db().await else { return };
        let sql = "UPDATE sessions SET seen = $1 WHERE id = $2 AND seen < $1";
        let noted = with_pool!(db, |pool| {
            sqlx::query(sql).bind(stored(now)).bind(id).execute(pool).await.map(|_| ())
        });
        if let Err(error) = noted {
            tracing::debug!(%error, "the use of a session was not noted");
        }
    }
}

impl Change {
    /// Begins a session, after those that have ended and those that are too many are gone.
    pub(crate) async fn begin_session(
        mut self,
        principal: Principal,
        credential_changed: Option<i64>,
        caller: &Caller,
        how: &str,
    ) -> Result<NewSession, AccountsError> {
        let token = secrets::random_hex::<32>()?;
        let (operator, username) = holder::columns(&principal);
        self.make_room(operator, username).await?;
        let sql = "INSERT INTO sessions (id, digest, operator, username, credential_changed, \
                   created, seen, origin, user_agent) VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8)";
        execute!(self.tx, {
            let query = sqlx::query(sql).bind(secrets::id(&token)).bind(secrets::digest(&token));
            let query = query.bind(operator).bind(username).bind(credential_changed);
            let query = query.bind(stored(self.now)).bind(audit::printable(&caller.from));
            query.bind(audit::printable(&caller.user_agent))
        })?;
        let expires = self.now + LONGEST;
        let by = Actor { who: principal.who(), from: caller.from.clone() };
        self.commit_quietly(&by, holder::about(&principal), "session.begin", how).await?;
        Ok(NewSession { token, principal, expires })
    }

    /// Ends all sessions of somebody but the one with the id `but`; how many there were.
    pub(super) async fn end_sessions(
        &mut self,
        operator: Option<&str>,
        username: Option<&str>,
        but: Option<&str>,
    ) -> Result<u64, AccountsError> {
        let sql = "DELETE FROM sessions WHERE (operator = $1 OR username = $2) AND id <> $3";
        let but = but.filter(|but| !but.contains('\0')).unwrap_or_default();
        execute!(self.tx, sqlx::query(sql).bind(operator).bind(username).bind(but))
    }

    async fn make_room(
        &mut self,
        operator: Option<&str>,
        username: Option<&str>,
    ) -> Result<(), AccountsError> {
        let sql = "DELETE FROM sessions WHERE seen <= $1 OR created <= $2";
        execute!(self.tx, {
            let query = sqlx::query(sql).bind(stored(self.now.saturating_sub(IDLE)));
            query.bind(stored(self.now.saturating_sub(LONGEST)))
        })?;
        let sql = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions \
                   WHERE operator = $1 OR username = $2 ORDER BY seen DESC, id \
                   LIMIT 1000 OFFSET $3)";
        execute!(self.tx, {
            let query = sqlx::query(sql).bind(operator).bind(username);
            query.bind(MOST - 1)
        })?;
        Ok(())
    }
}

#[derive(Debug, sqlx::FromRow)]
struct SessionRow {
    id: String,
    created: i64,
    seen: i64,
    /// What `changed` of the credential was at the sign-in.
    credential_changed: Option<i64>,
    #[sqlx(flatten)]
    holder: HolderRow,
}

impl SessionRow {
    fn stands(&self, now: u64) -> bool {
        self.credential_changed == self.holder.changed
            && now < known(self.seen).saturating_add(IDLE)
            && now < known(self.created).saturating_add(LONGEST)
    }
}
