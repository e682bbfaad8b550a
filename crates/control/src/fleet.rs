//! The nodes that serve the accounts: what they say of themselves, and how far they are.
//!
//! When a node was last seen is told by the database's clock, so that the clocks of the machines need
//! not agree. A node that is not seen for 15 seconds, or says that it stops, is not waited for; its row
//! stays, because floors must fit its memory when it comes back. One that was not seen for 30 days is
//! forgotten when another starts.

use std::time::Duration;

use tokio::time::Instant;

use crate::accounts::{Accounts, Actor, Changed};
use crate::db::{Tx, execute, known, stored, with_pool, with_tx};
use crate::error::AccountsError;

/// Seconds after which a node that was not seen is not waited for.
const LIVE: u64 = 15;
/// Seconds after which a node that was not seen is forgotten: 30 days.
const FORGOTTEN: u64 = 30 * 24 * 3600;
/// How often [`Accounts::acknowledged`] looks.
const LOOK: Duration = Duration::from_millis(25);

/// A node, as it described itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// Random, kept in the node's data directory.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The addresses that clients should use.
    pub servers: Vec<String>,
    /// The address of its console.
    pub console_url: Option<String>,
    /// Bytes that its store may keep.
    pub memory_bytes: u64,
    /// When it started, in seconds since 1970.
    pub started: u64,
    /// When it was last seen, to 5 seconds, by the database's clock.
    pub seen: u64,
    /// The version of the directory that it obeys.
    pub version: u64,
    /// Whether it was seen within 15 seconds and has not stopped.
    pub is_live: bool,
}

/// How much memory is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Bytes of the smallest node that is known; none: there was none yet.
    pub memory_bytes: Option<u64>,
    /// The floors of all tenants together.
    pub floors: u64,
    /// Bytes that no floor takes; none: no node is known.
    pub free: Option<u64>,
}

/// What a node says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Beat {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) servers: Vec<String>,
    pub(crate) console_url: Option<String>,
    pub(crate) memory_bytes: u64,
    pub(crate) started: u64,
    pub(crate) version: u64,
    pub(crate) is_running: bool,
}

impl Accounts {
    /// All nodes that are known, by name.
    ///
    /// # Errors
    ///
    /// If the database does not answer.
    pub async fn nodes(&self) -> Result<Vec<NodeRecord>, AccountsError> {
        let db = self.db().await?;
        let now = db.clock().await?;
        let sql = "SELECT id, name, servers, console_url, memory_bytes, started, seen, is_running, \
                   version FROM nodes ORDER BY name, id";
        let rows: Vec<NodeRow> = with_pool!(db, |pool| sqlx::query_as(sql).fetch_all(pool).await)?;
        Ok(rows.into_iter().map(|row| row.record(now)).collect())
    }

    /// How much memory is promised, and how much is not.
    ///
    /// # Errors
    ///
    /// If the database does not answer.
    pub async fn capacity(&self) -> Result<Capacity, AccountsError> {
        let mut tx = self.db().await?.begin_read().await?;
        let capacity = capacity(&mut tx).await?;
        tx.commit().await?;
        Ok(capacity)
    }

    /// Waits until all live nodes obey `version` of the directory, at most `patience`. The nodes that
    /// then do not; empty if all do.
    ///
    /// # Errors
    ///
    /// If the database does not answer.
    pub async fn acknowledged(
        &self,
        version: u64,
        patience: Duration,
    ) -> Result<Vec<NodeRecord>, AccountsError> {
        let deadline = Instant::now() + patience;
        loop {
            let mut behind = self.nodes().await?;
            behind.retain(|node| node.is_live && node.version < version);
            if behind.is_empty() || Instant::now() >= deadline {
                return Ok(behind);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Forgets a node that is gone for good, so that its memory bounds the floors no longer.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`], [`AccountsError::Conflict`] if it is live, or of the database.
    pub async fn forget_node(&self, by: &Actor, id: &str) -> Result<Changed<()>, AccountsError> {
        let found = self.nodes().await?.into_iter().find(|node| node.id == id);
        let Some(node) = found else {
            return Err(AccountsError::NotFound { what: "node", name: id.to_owned() });
        };
        if node.is_live {
            let says = format!("node {} ({id}) is running: stop it first", node.name);
            return Err(AccountsError::Conflict(says));
        }
        let mut change = self.change().await?;
        // Unless it has come back in between.
        let sql = "DELETE FROM nodes WHERE id = $1 AND seen = $2";
        execute!(change.tx, { sqlx::query(sql).bind(id).bind(stored(node.seen)) })?;
        let version = change.commit_quietly(by, None, "node.forget", &node.name).await?;
        Ok(Changed { value: (), version })
    }

    /// Notes what a node says of itself, and that it was seen now.
    pub(crate) async fn beat(&self, beat: &Beat) -> Result<(), AccountsError> {
        let db = self.db().await?;
        let now = db.clock().await?;
        let sql = "INSERT INTO nodes (id, name, servers, console_url, memory_bytes, started, seen, \
                   is_running, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
                   ON CONFLICT (id) DO UPDATE SET name = excluded.name, servers = excluded.servers, \
                   console_url = excluded.console_url, memory_bytes = excluded.memory_bytes, \
                   started = excluded.started, seen = excluded.seen, \
                   is_running = excluded.is_running, version = excluded.version";
        let servers = serde_json::to_string(&beat.servers).unwrap_or_else(|_| "[]".to_owned());
        with_pool!(db, |pool| {
            let query = sqlx::query(sql).bind(&beat.id).bind(&beat.name).bind(&servers);
            let query = query.bind(&beat.console_url).bind(stored(beat.memory_bytes));
            let query = query.bind(stored(beat.started)).bind(stored(now));
            let query = query.bind(i64::from(beat.is_running)).bind(stored(beat.version));
            query.execute(pool).await.map(|_| ())
        })
    }

    /// Forgets the nodes that were not seen for long.
    pub(crate) async fn forget_old_nodes(&self) -> Result<(), AccountsError> {
        let db = self.db().await?;
        let oldest = db.clock().await?.saturating_sub(FORGOTTEN);
        let sql = "DELETE FROM nodes WHERE seen < $1";
        with_pool!(db, |pool| {
            sqlx::query(sql).bind(stored(oldest)).execute(pool).await.map(|_| ())
        })
    }
}

/// How much memory is promised, as a transaction sees it.
pub(crate) async fn capacity(tx: &mut Tx) -> Result<Capacity, AccountsError> {
    let sql = "SELECT (SELECT MIN(memory_bytes) FROM nodes), \
               (SELECT CAST(COALESCE(SUM(floor_bytes), 0) AS BIGINT) FROM tenants)";
    let (memory, floors): (Option<i64>, i64) =
        with_tx!(*tx, |c| sqlx::query_as(sql).fetch_one(c).await)?;
    let (memory_bytes, floors) = (memory.map(known), known(floors));
    let free = memory_bytes.map(|memory| memory.saturating_sub(floors));
    Ok(Capacity { memory_bytes, floors, free })
}

#[derive(Debug, sqlx::FromRow)]
struct NodeRow {
    id: String,
    name: String,
    servers: String,
    console_url: Option<String>,
    memory_bytes: i64,
    started: i64,
    seen: i64,
    is_running: i64,
    version: i64,
}

impl NodeRow {
    fn record(self, now: u64) -> NodeRecord {
        let seen = known(self.seen);
        NodeRecord {
            id: self.id,
            name: self.name,
            // What a node says of itself is shown and nothing more: no reason to fail.
            servers: serde_json::from_str(&self.servers).unwrap_or_default(),
            console_url: self.console_url,
            memory_bytes: known(self.memory_bytes),
            started: known(self.started),
            seen,
            version: known(self.version),
            is_live: self.is_running != 0 && now.saturating_sub(seen) < LIVE,
        }
    }
}
