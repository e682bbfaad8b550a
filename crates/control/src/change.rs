//! A change of the accounts: one transaction, which also raises the version and writes the audit row.
//!
//! A [`Change`] holds the lock on the row of table `directory` from its beginning to its end, on
//! PostgreSQL by `FOR UPDATE`, on SQLite by the lock on the whole file. So changes come one after the
//! other, whichever process makes them: what a change looks up (is the name free, is there room) is
//! still true when it commits, and versions are committed in the order of their numbers.

use larder_tenancy::{TenantId, TenantName};

use crate::accounts::{Accounts, Actor};
use crate::audit;
use crate::db::{Tx, execute, known, stored, with_tx};
use crate::error::AccountsError;

/// A change that is being made. Undone unless it is committed.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) tx: Tx,
    /// When it began, in seconds since 1970.
    pub(crate) now: u64,
    /// The directory's version before it.
    pub(crate) version: u64,
    accounts: Accounts,
}

/// What a change is about, for the audit log.
pub(crate) type About<'a> = Option<(TenantId, &'a TenantName)>;

impl Accounts {
    /// Begins a change, when all earlier ones have ended.
    pub(crate) async fn change(&self) -> Result<Change, AccountsError> {
        let mut tx = self.db().await?.begin_write().await?;
        let sql = if tx.is_postgres() {
            "SELECT version FROM directory WHERE slot = 1 FOR UPDATE"
        } else {
            "SELECT version FROM directory WHERE slot = 1"
        };
        let version: i64 = with_tx!(tx, |c| sqlx::query_scalar(sql).fetch_one(c).await)?;
        Ok(Change { tx, now: self.now(), version: known(version), accounts: self.clone() })
    }
}

impl Change {
    /// The version that the directory has when this is committed.
    pub(crate) fn next_version(&self) -> u64 {
        self.version + 1
    }

    /// Commits a change of the directory; its version then.
    pub(crate) async fn commit(
        mut self,
        by: &Actor,
        about: About<'_>,
        action: &str,
        detail: &str,
    ) -> Result<u64, AccountsError> {
        let version = self.next_version();
        let sql = "UPDATE directory SET version = $1 WHERE slot = 1";
        execute!(self.tx, sqlx::query(sql).bind(stored(version)))?;
        audit::write(&mut self.tx, self.now, by, about, action, detail).await?;
        self.tx.commit().await?;
        self.accounts.announce(version);
        Ok(version)
    }

    /// Commits a change that no node needs to know of, such as a session; the directory's version,
    /// which stays.
    pub(crate) async fn commit_quietly(
        mut self,
        by: &Actor,
        about: About<'_>,
        action: &str,
        detail: &str,
    ) -> Result<u64, AccountsError> {
        audit::write(&mut self.tx, self.now, by, about, action, detail).await?;
        self.tx.commit().await?;
        Ok(self.version)
    }
}
