//! Tenants: made, resized, flushed, removed.
//!
//! What must stay true: a name is one tenant's, a number is given once and never again, a floor is at
//! most its ceiling, and no floor is raised beyond what the smallest node has.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use larder_tenancy::{TenantId, TenantName};

use crate::accounts::{Accounts, Actor, Changed};
use crate::change::Change;
use crate::credentials::{NewCredential, Secret};
use crate::db::{Tx, damaged, execute, known, stored, with_pool, with_tx};
use crate::error::AccountsError;
use crate::fleet;

/// The least that a tenant may be let reach: 1 MiB, the largest item of a server as it comes.
const LEAST: u64 = 1 << 20;
/// The most: 16 TiB.
const MOST: u64 = 16 << 40;
/// The most labels of a tenant.
const MOST_LABELS: usize = 16;

/// A tenant to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTenant {
    /// Its name, which no other has.
    pub name: TenantName,
    /// Bytes that it is guaranteed on each node.
    pub floor: u64,
    /// Bytes that it may reach on each node, from 1 MiB to 16 TiB; at least the floor.
    pub ceiling: u64,
    /// What an operator files it under: at most 16; names of 1 to 63 of `a`-`z`, `0`-`9`, `-`, `_`,
    /// values of up to 200 bytes.
    pub labels: BTreeMap<String, String>,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRecord {
    /// Its number, never given to another.
    pub id: TenantId,
    /// Its name.
    pub name: TenantName,
    /// Bytes that it is guaranteed on each node.
    pub floor: u64,
    /// Bytes that it may reach on each node.
    pub ceiling: u64,
    /// What an operator files it under.
    pub labels: BTreeMap<String, String>,
    /// How often it was flushed through its account.
    pub flushes: u64,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The username of its primary credential.
    pub primary: String,
}

/// What to change of a tenant; what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TenantChange {
    /// Bytes that it is guaranteed on each node.
    pub floor: Option<u64>,
    /// Bytes that it may reach on each node.
    pub ceiling: Option<u64>,
    /// All labels.
    pub labels: Option<BTreeMap<String, String>>,
}

impl NewTenant {
    /// A tenant that has `memory` bytes: guaranteed, and no more.
    #[must_use]
    pub fn new(name: TenantName, memory: u64) -> Self {
        Self { name, floor: memory, ceiling: memory, labels: BTreeMap::new() }
    }
}

const SELECT: &str = "SELECT t.id, t.name, t.floor_bytes, t.ceiling_bytes, t.labels, t.flushes, \
    t.created, c.username FROM tenants t \
    LEFT JOIN credentials c ON c.tenant = t.id AND c.is_primary = 1 ORDER BY t.name";
const SELECT_ONE: &str = "SELECT t.id, t.name, t.floor_bytes, t.ceiling_bytes, t.labels, t.flushes, \
    t.created, c.username FROM tenants t \
    LEFT JOIN credentials c ON c.tenant = t.id AND c.is_primary = 1 WHERE t.name = $1";

impl Accounts {
    /// Makes a tenant and its primary credential, which may do everything.
    ///
    /// # Errors
    ///
    /// [`AccountsError::Exists`], [`AccountsError::NoRoom`], [`AccountsError::Invalid`], or of the
    /// database.
    pub async fn create_tenant(
        &self,
        by: &Actor,
        new: NewTenant,
    ) -> Result<Changed<(TenantRecord, Secret)>, AccountsError> {
        check_sizes(new.floor, new.ceiling)?;
        check_labels(&new.labels)?;
        let mut change = self.change().await?;
        if one(&mut change.tx, &new.name).await?.is_some() {
            return Err(AccountsError::Exists { what: "tenant", name: new.name.to_string() });
        }
        check_room(&mut change.tx, 0, new.floor).await?;
        let id = change.next_tenant().await?;
        let sql = "INSERT INTO tenants (id, name, floor_bytes, ceiling_bytes, labels, created) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        execute!(change.tx, {
            let query = sqlx::query(sql).bind(i64::from(id.get())).bind(new.name.as_str());
            let query = query.bind(stored(new.floor)).bind(stored(new.ceiling));
            query.bind(as_json(&new.labels)).bind(stored(change.now))
        })?;
        let secret = change.insert_credential(id, &NewCredential::primary(), None).await?;
        let record = TenantRecord {
            id,
            name: new.name,
            floor: new.floor,
            ceiling: new.ceiling,
            labels: new.labels,
            flushes: 0,
            created: change.now,
            primary: secret.username.clone(),
        };
        let mut detail = sizes(record.floor, record.ceiling);
        let _ = write!(detail, "; labels {}; primary {}", shown(&record.labels), record.primary);
        let about = Some((id, &record.name));
        let version = change.commit(by, about, "tenant.create", &detail).await?;
        Ok(Changed { value: (record, secret), version })
    }

    /// All tenants, by name.
    ///
    /// # Errors
    ///
    /// If the database does not answer.
    pub async fn tenants(&self) -> Result<Vec<TenantRecord>, AccountsError> {
        let db = self.db().await?;
        let rows: Vec<TenantRow> =
            with_pool!(db, |pool| sqlx::query_as(SELECT).fetch_all(pool).await)?;
        rows.into_iter().map(|row| row.record(&db.name)).collect()
    }

    /// The tenant of this name.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`], or of the database.
    pub async fn tenant(&self, name: &TenantName) -> Result<TenantRecord, AccountsError> {
        let db = self.db().await?;
        let row: Option<TenantRow> = with_pool!(db, |pool| {
            sqlx::query_as(SELECT_ONE).bind(name.as_str()).fetch_optional(pool).await
        })?;
        row.ok_or_else(|| not_found(name))?.record(&db.name)
    }

    /// Changes a tenant.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`], [`AccountsError::NoRoom`], [`AccountsError::Invalid`], or of the
    /// database.
    pub async fn change_tenant(
        &self,
        by: &Actor,
        name: &TenantName,
        wanted: TenantChange,
    ) -> Result<Changed<TenantRecord>, AccountsError> {
        let mut change = self.change().await?;
        let before = change.tenant(name).await?;
        let mut after = before.clone();
        after.floor = wanted.floor.unwrap_or(before.floor);
        after.ceiling = wanted.ceiling.unwrap_or(before.ceiling);
        after.labels = wanted.labels.unwrap_or_else(|| before.labels.clone());
        if after == before {
            return Ok(Changed { value: before, version: change.version });
        }
        check_sizes(after.floor, after.ceiling)?;
        check_labels(&after.labels)?;
        check_room(&mut change.tx, before.floor, after.floor).await?;
        let sql = "UPDATE tenants SET floor_bytes = $1, ceiling_bytes = $2, labels = $3 \
                   WHERE id = $4";
        execute!(change.tx, {
            let query = sqlx::query(sql).bind(stored(after.floor)).bind(stored(after.ceiling));
            query.bind(as_json(&after.labels)).bind(i64::from(after.id.get()))
        })?;
        let detail = difference(&before, &after);
        let about = Some((after.id, &after.name));
        let version = change.commit(by, about, "tenant.change", &detail).await?;
        Ok(Changed { value: after, version })
    }

    /// Removes a tenant with its credentials; its connections are closed and its items are gone.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`], or of the database.
    pub async fn remove_tenant(
        &self,
        by: &Actor,
        name: &TenantName,
    ) -> Result<Changed<()>, AccountsError> {
        let mut change = self.change().await?;
        let tenant = change.tenant(name).await?;
        let sql = "DELETE FROM tenants WHERE id = $1";
        execute!(change.tx, { sqlx::query(sql).bind(i64::from(tenant.id.get())) })?;
        let detail = sizes(tenant.floor, tenant.ceiling);
        let about = Some((tenant.id, name));
        let version = change.commit(by, about, "tenant.remove", &detail).await?;
        Ok(Changed { value: (), version })
    }

    /// Makes every item of a tenant a miss, on every node.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`], or of the database.
    pub async fn flush_tenant(
        &self,
        by: &Actor,
        name: &TenantName,
    ) -> Result<Changed<()>, AccountsError> {
        let mut change = self.change().await?;
        let tenant = change.tenant(name).await?;
        let sql = "UPDATE tenants SET flushes = flushes + 1 WHERE id = $1";
        execute!(change.tx, { sqlx::query(sql).bind(i64::from(tenant.id.get())) })?;
        let about = Some((tenant.id, name));
        let version = change.commit(by, about, "tenant.flush", "").await?;
        Ok(Changed { value: (), version })
    }
}

impl Change {
    /// The tenant of this name, as this change finds it.
    pub(crate) async fn tenant(
        &mut self,
        name: &TenantName,
    ) -> Result<TenantRecord, AccountsError> {
        one(&mut self.tx, name).await?.ok_or_else(|| not_found(name))
    }

    /// A number for a tenant that no tenant ever had.
    async fn next_tenant(&mut self) -> Result<TenantId, AccountsError> {
        let sql = "UPDATE directory SET next_tenant = next_tenant + 1 WHERE slot = 1 \
                   RETURNING next_tenant - 1";
        let id: i64 = with_tx!(self.tx, |c| sqlx::query_scalar(sql).fetch_one(c).await)?;
        let id = u32::try_from(id).ok().filter(|id| *id > 0);
        id.map(TenantId::new).ok_or_else(|| {
            AccountsError::Conflict("all numbers for tenants have been given".to_owned())
        })
    }
}

/// A row of the table, with the primary credential's username.
#[derive(Debug, sqlx::FromRow)]
struct TenantRow {
    id: i64,
    name: String,
    floor_bytes: i64,
    ceiling_bytes: i64,
    labels: String,
    flushes: i64,
    created: i64,
    username: Option<String>,
}

impl TenantRow {
    fn record(self, database: &str) -> Result<TenantRecord, AccountsError> {
        let bad = |what: &str| damaged(database, &format!("{what} of tenant {:?}", self.name));
        Ok(TenantRecord {
            id: tenant_id(self.id).ok_or_else(|| bad("the number"))?,
            name: TenantName::new(&self.name).map_err(|_| bad("the name"))?,
            floor: known(self.floor_bytes),
            ceiling: known(self.ceiling_bytes),
            labels: serde_json::from_str(&self.labels).map_err(|_| bad("the labels"))?,
            flushes: known(self.flushes),
            created: known(self.created),
            primary: self.username.clone().ok_or_else(|| bad("the primary credential"))?,
        })
    }
}

async fn one(tx: &mut Tx, name: &TenantName) -> Result<Option<TenantRecord>, AccountsError> {
    let row: Option<TenantRow> = with_tx!(*tx, |c| {
        sqlx::query_as(SELECT_ONE).bind(name.as_str()).fetch_optional(c).await
    })?;
    row.map(|row| row.record(&tx.name)).transpose()
}

/// A number as the database keeps it.
pub(crate) fn tenant_id(id: i64) -> Option<TenantId> {
    u32::try_from(id).ok().map(TenantId::new)
}

pub(crate) fn not_found(name: &TenantName) -> AccountsError {
    AccountsError::NotFound { what: "tenant", name: name.to_string() }
}

/// Refuses to raise a floor from `before` to `floor` bytes beyond what the smallest node has. Lowering
/// one is always right.
async fn check_room(tx: &mut Tx, before: u64, floor: u64) -> Result<(), AccountsError> {
    if floor <= before {
        return Ok(());
    }
    let capacity = fleet::capacity(tx).await?;
    let Some(memory) = capacity.memory_bytes else { return Ok(()) };
    let free = memory.saturating_sub(capacity.floors.saturating_sub(before));
    if floor > free {
        return Err(AccountsError::NoRoom { asked: floor, free, memory });
    }
    Ok(())
}

fn check_sizes(floor: u64, ceiling: u64) -> Result<(), AccountsError> {
    let invalid = |what, bytes: u64, wanted: &str| AccountsError::Invalid {
        what,
        value: bytes.to_string(),
        wanted: wanted.to_owned(),
    };
    if !(LEAST..=MOST).contains(&ceiling) {
        let wanted = "a tenant may reach 1048576 bytes (1 MiB) at least and 16 TiB at most";
        return Err(invalid("memory", ceiling, wanted));
    }
    if floor > ceiling {
        let wanted = format!("it is above the ceiling of {ceiling} bytes; raise that too");
        return Err(invalid("floor", floor, &wanted));
    }
    Ok(())
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), AccountsError> {
    let invalid = |what, value: &str, wanted: &str| {
        Err(AccountsError::Invalid { what, value: value.to_owned(), wanted: wanted.to_owned() })
    };
    if labels.len() > MOST_LABELS {
        return invalid("number of labels", &labels.len().to_string(), "16 at most");
    }
    for (name, value) in labels {
        // The same letters as for a tenant: they fit a metric's label and a line of a terminal.
        if TenantName::new(name).is_err() {
            let wanted = "1 to 63 of a-z, 0-9, '-' and '_', the first a letter or a digit";
            return invalid("label", name, wanted);
        }
        if value.len() > 200 || value.chars().any(char::is_control) {
            return invalid("value of a label", value, "200 bytes at most, no control characters");
        }
    }
    Ok(())
}

fn as_json(labels: &BTreeMap<String, String>) -> String {
    serde_json::to_string(labels).unwrap_or_else(|_| "{}".to_owned())
}

/// What is different, from what to what.
fn difference(before: &TenantRecord, after: &TenantRecord) -> String {
    let mut parts = Vec::new();
    if before.floor != after.floor {
        parts.push(format!("floor {} → {}", size(before.floor), size(after.floor)));
    }
    if before.ceiling != after.ceiling {
        parts.push(format!("ceiling {} → {}", size(before.ceiling), size(after.ceiling)));
    }
    if before.labels != after.labels {
        parts.push(format!("labels {} → {}", shown(&before.labels), shown(&after.labels)));
    }
    parts.join("; ")
}

fn sizes(floor: u64, ceiling: u64) -> String {
    format!("floor {}; ceiling {}", size(floor), size(ceiling))
}

fn shown(labels: &BTreeMap<String, String>) -> String {
    if labels.is_empty() {
        return "none".to_owned();
    }
    let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    pairs.join(",")
}

/// A number of bytes in the largest unit that has no fraction.
fn size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (shift, unit) in units {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{} {unit}", bytes >> shift);
        }
    }
    format!("{bytes} bytes")
}
