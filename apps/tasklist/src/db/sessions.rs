//! The permanent store of visitors' sessions, for the write-through session engine.
//!
//! A row is named by a digest of the cookie's secret, never by the secret. Every update names the
//! version it has read: the loser of a race is told so and reads again, and since an update never
//! creates a row, a request still running cannot bring a deleted session back. Times are
//! milliseconds since 1970-01-01 UTC, given by the caller: this module reads no clock.

use larder::sessions::SessionRow;

use super::{Db, DbError, with_pool};

impl Db {
    /// The session, unless there is none or it has ended by `now_ms`.
    pub async fn session_load(&self, id: &str, now_ms: i64) -> Result<Option<SessionRow>, DbError> {
        let sql =
            self.sql("SELECT data, version, expires FROM sessions WHERE id = $1 AND expires > $2");
        Ok(with_pool!(self, |pool| {
            sqlx::query_as(sql).bind(id).bind(now_ms).fetch_optional(pool).await?
        })
        .map(|(data, version, expires_ms)| SessionRow { data, version, expires_ms }))
    }

    /// Stores a new session as version 1; false, with nothing changed, if the id exists.
    pub async fn session_insert(
        &self,
        id: &str,
        data: &str,
        expires_ms: i64,
    ) -> Result<bool, DbError> {
        let sql =
            self.sql("INSERT INTO sessions (id, data, version, expires) VALUES ($1, $2, 1, $3)");
        let inserted = with_pool!(self, |pool| {
            sqlx::query(sql).bind(id).bind(data).bind(expires_ms).execute(pool).await.map(|_| ())
        });
        match inserted {
            Ok(()) => Ok(true),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces a session that is still at `expected_version`, which it raises by one; false, with
    /// nothing changed, if the session is gone or another request has updated it.
    pub async fn session_update(
        &self,
        id: &str,
        data: &str,
        expires_ms: i64,
        expected_version: i64,
    ) -> Result<bool, DbError> {
        let sql = self.sql(
            "UPDATE sessions SET data = $1, expires = $2, version = version + 1 \
             WHERE id = $3 AND version = $4",
        );
        let updated = with_pool!(self, |pool| {
            let query = sqlx::query(sql).bind(data).bind(expires_ms).bind(id);
            query.bind(expected_version).execute(pool).await?.rows_affected()
        });
        Ok(updated == 1)
    }

    /// Deletes a session; false if there was none.
    pub async fn session_delete(&self, id: &str) -> Result<bool, DbError> {
        let sql = self.sql("DELETE FROM sessions WHERE id = $1");
        let deleted = with_pool!(self, |pool| {
            sqlx::query(sql).bind(id).execute(pool).await?.rows_affected()
        });
        Ok(deleted == 1)
    }

    /// Deletes the sessions that have ended by `now_ms`; how many there were.
    pub async fn session_sweep(&self, now_ms: i64) -> Result<u64, DbError> {
        let sql = self.sql("DELETE FROM sessions WHERE expires <= $1");
        Ok(with_pool!(self, |pool| {
            sqlx::query(sql).bind(now_ms).execute(pool).await?.rows_affected()
        }))
    }
}
