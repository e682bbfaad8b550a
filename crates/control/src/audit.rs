//! Who changed what, when, from where.
//!
//! Each row is written in the transaction of the change that it tells of. The newest 100,000 are kept,
//! and some, of one tenant at most 10,000 of them: at a change a minute those of ten weeks, in some
//! 20 MiB. Who may act for one tenant only, however often, does not push out what the others did.
//! Refused sign-ins are logged and not kept here, or a stranger could.

use larder_tenancy::TenantName;

use crate::accounts::{Accounts, Actor};
use crate::change::About;
use crate::db::{Tx, execute, stored, with_pool, with_tx};
use crate::error::AccountsError;

/// How many are kept.
const KEPT: i64 = 100_000;
/// How many of one tenant.
const KEPT_OF_TENANT: i64 = 10_000;
/// How many are written before those that are too many are dropped.
const BETWEEN: i64 = 100;
/// The most that are given at once.
const MOST: u32 = 1000;
/// The longest text of each kind, in characters.
const LONGEST: usize = 2000;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct AuditEntry {
    /// Rises with time.
    pub id: i64,
    /// When, in seconds since 1970.
    #[sqlx(try_from = "i64")]
    pub at: u64,
    /// Who, as [`Actor`](crate::Actor) has it.
    pub who: String,
    /// From where.
    #[sqlx(rename = "origin")]
    pub from: String,
    /// The tenant that it was about; none: the fleet, an operator.
    pub tenant: Option<String>,
    /// What was done, such as `tenant.create`.
    pub action: String,
    /// To what, from what, to what. Nothing secret.
    pub detail: String,
}

impl Accounts {
    /// Adds what was done elsewhere than in the accounts, such as a key deleted through the console.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`] for the tenant, or of the database.
    pub async fn note(
        &self,
        by: &Actor,
        tenant: Option<&TenantName>,
        action: &str,
        detail: &str,
    ) -> Result<(), AccountsError> {
        let mut change = self.change().await?;
        let about = match tenant {
            Some(name) => Some((change.tenant(name).await?.id, name)),
            None => None,
        };
        change.commit_quietly(by, about, action, detail).await?;
        Ok(())
    }

    /// The changes of one tenant, or of all, the newest first: those with an id below `before`, `most`
    /// of them and never more than 1000. Of a tenant that is gone, too; but those who are given the name
    /// of one that is gone do not see what was before them.
    ///
    /// # Errors
    ///
    /// If the database does not answer.
    pub async fn audit(
        &self,
        tenant: Option<&TenantName>,
        before: Option<i64>,
        most: u32,
    ) -> Result<Vec<AuditEntry>, AccountsError> {
        let db = self.db().await?;
        let (before, most) = (before.unwrap_or(i64::MAX), i64::from(most.min(MOST)));
        let Some(tenant) = tenant else {
            let sql = "SELECT * FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2";
            return with_pool!(db, |pool| {
                sqlx::query_as(sql).bind(before).bind(most).fetch_all(pool).await
            });
        };
        let sql = "SELECT a.* FROM audit a LEFT JOIN tenants t ON t.name = a.tenant \
                   WHERE a.tenant = $1 AND (t.id IS NULL OR t.id = a.tenant_id) AND a.id < $2 \
                   ORDER BY a.id DESC LIMIT $3";
        with_pool!(db, |pool| {
            let query = sqlx::query_as(sql).bind(tenant.as_str());
            query.bind(before).bind(most).fetch_all(pool).await
        })
    }
}

/// Adds a row, and now and then drops the oldest beyond those that are kept.
pub(crate) async fn write(
    tx: &mut Tx,
    at: u64,
    by: &Actor,
    about: About<'_>,
    action: &str,
    detail: &str,
) -> Result<(), AccountsError> {
    let (tenant_id, tenant) = about.unzip();
    let sql = "INSERT INTO audit (at, who, origin, tenant_id, tenant, action, detail) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id";
    let id: i64 = with_tx!(*tx, |c| {
        let query = sqlx::query_scalar(sql).bind(stored(at));
        let query = query.bind(printable(&by.who)).bind(printable(&by.from));
        let query = query.bind(tenant_id.map(|id| i64::from(id.get())));
        let query = query.bind(tenant.map(TenantName::as_str));
        query.bind(action).bind(printable(detail)).fetch_one(c).await
    })?;
    if id % BETWEEN == 0 { drop_old(tx).await } else { Ok(()) }
}

/// Drops what is too old: of the tenants that have too much, and then of all. Counted by rows, as the
/// numbers of those that are gone are gone too.
async fn drop_old(tx: &mut Tx) -> Result<(), AccountsError> {
    let sql =
        "SELECT tenant FROM audit WHERE tenant IS NOT NULL GROUP BY tenant HAVING COUNT(*) > $1";
    let tenants: Vec<String> =
        with_tx!(*tx, |c| sqlx::query_scalar(sql).bind(KEPT_OF_TENANT).fetch_all(c).await)?;
    let sql = "DELETE FROM audit WHERE tenant = $1 AND id <= (SELECT id FROM audit \
               WHERE tenant = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";
    for tenant in tenants {
        execute!(*tx, sqlx::query(sql).bind(&tenant).bind(KEPT_OF_TENANT))?;
    }
    let sql =
        "DELETE FROM audit WHERE id <= (SELECT id FROM audit ORDER BY id DESC LIMIT 1 OFFSET $1)";
    execute!(*tx, sqlx::query(sql).bind(KEPT))?;
    Ok(())
}

/// The text, cut to what is kept and without what a terminal or PostgreSQL would not bear.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}
