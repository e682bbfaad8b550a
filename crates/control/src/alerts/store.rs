//! Rules in the accounts database.
//!
//! They are no part of what nodes obey: a change of one is audited like any other and does not raise the
//! directory's version.

use larder_tenancy::{TenantId, TenantName};

use super::rule::{AlertChange, AlertKind, AlertRule, NewAlert};
use super::webhook::Webhook;
use crate::accounts::{Accounts, Actor, Changed};
use crate::change::Change;
use crate::db::{damaged, execute, known, stored, with_pool, with_tx};
use crate::error::AccountsError;
use crate::tenants::tenant_id;

macro_rules! select {
    ($end:literal) => {
        concat!(
            "SELECT a.id, a.tenant, t.name, a.kind, a.threshold, a.for_minutes, a.webhook, \
             a.webhook_private, a.enabled FROM alerts a JOIN tenants t ON t.id = a.tenant ",
            $end
        )
    };
}

impl Accounts {
    /// The rules of a tenant, the oldest first.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`], or of the database.
    pub async fn alert_rules(&self, tenant: &TenantName) -> Result<Vec<AlertRule>, AccountsError> {
        let tenant = self.tenant(tenant).await?;
        let db = self.db().await?;
        let rows: Vec<AlertRow> = with_pool!(db, |pool| {
            let query = sqlx::query_as(select!("WHERE a.tenant = $1 ORDER BY a.id"));
            query.bind(i64::from(tenant.id.get())).fetch_all(pool).await
        })?;
        rows.into_iter().map(|row| row.rule(&db.name)).collect()
    }

    /// The rules of all tenants that are enabled.
    ///
    /// # Errors
    ///
    /// If the database does not answer.
    pub async fn all_alert_rules(&self) -> Result<Vec<AlertRule>, AccountsError> {
        let db = self.db().await?;
        let rows: Vec<AlertRow> = with_pool!(db, |pool| {
            sqlx::query_as(select!("WHERE a.enabled = 1 ORDER BY a.id")).fetch_all(pool).await
        })?;
        rows.into_iter().map(|row| row.rule(&db.name)).collect()
    }

    /// Makes a rule.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`] for the tenant, [`AccountsError::Invalid`],
    /// [`AccountsError::Conflict`] if it has [`AlertRule::MOST_PER_TENANT`], or of the database.
    pub async fn create_alert(
        &self,
        by: &Actor,
        tenant: &TenantName,
        new: NewAlert,
    ) -> Result<Changed<AlertRule>, AccountsError> {
        check(new.kind, new.for_minutes)?;
        let mut change = self.change().await?;
        let tenant_id = change.tenant(tenant).await?.id;
        change.check_count(tenant, tenant_id).await?;
        let NewAlert { kind, for_minutes, webhook, webhook_private, enabled } = new;
        let sql = "INSERT INTO alerts (tenant, kind, threshold, for_minutes, webhook, \
                   webhook_private, enabled, created) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id";
        let id: i64 = with_tx!(change.tx, |connection| {
            let query = sqlx::query_scalar(sql).bind(i64::from(tenant_id.get()));
            let query = query.bind(kind.name()).bind(kind.threshold().map(stored));
            let query = query.bind(i64::from(for_minutes));
            let query = query.bind(webhook.as_ref().map(Webhook::url));
            let query = query.bind(i64::from(webhook_private)).bind(i64::from(enabled));
            query.bind(stored(change.now)).fetch_one(connection).await
        })?;
        let tenant = tenant.clone();
        let rule = AlertRule {
            id,
            tenant,
            tenant_id,
            kind,
            for_minutes,
            webhook,
            webhook_private,
            enabled,
        };
        let about = Some((tenant_id, &rule.tenant));
        let version = change.commit_quietly(by, about, "alert.create", &shown(&rule)).await?;
        Ok(Changed { value: rule, version })
    }

    /// Changes a rule of a tenant.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`] for the tenant or the rule, [`AccountsError::Invalid`], or of the
    /// database.
    pub async fn change_alert(
        &self,
        by: &Actor,
        tenant: &TenantName,
        id: i64,
        wanted: AlertChange,
    ) -> Result<Changed<AlertRule>, AccountsError> {
        let mut change = self.change().await?;
        let before = change.alert(tenant, id).await?;
        let after = AlertRule {
            kind: wanted.kind.unwrap_or(before.kind),
            for_minutes: wanted.for_minutes.unwrap_or(before.for_minutes),
            webhook: wanted.webhook.unwrap_or_else(|| before.webhook.clone()),
            webhook_private: wanted.webhook_private.unwrap_or(before.webhook_private),
            enabled: wanted.enabled.unwrap_or(before.enabled),
            ..before.clone()
        };
        check(after.kind, after.for_minutes)?;
        if after == before {
            return Ok(Changed { value: after, version: change.version });
        }
        let sql = "UPDATE alerts SET kind = $1, threshold = $2, for_minutes = $3, webhook = $4, \
                   webhook_private = $5, enabled = $6 WHERE id = $7";
        execute!(change.tx, {
            let query = sqlx::query(sql).bind(after.kind.name());
            let query = query.bind(after.kind.threshold().map(stored));
            let query = query.bind(i64::from(after.for_minutes));
            let query = query.bind(after.webhook.as_ref().map(Webhook::url));
            let query = query.bind(i64::from(after.webhook_private));
            query.bind(i64::from(after.enabled)).bind(id)
        })?;
        let detail = format!("{}; before: {}", shown(&after), shown(&before));
        let about = Some((after.tenant_id, tenant));
        let version = change.commit_quietly(by, about, "alert.change", &detail).await?;
        Ok(Changed { value: after, version })
    }

    /// Removes a rule of a tenant.
    ///
    /// # Errors
    ///
    /// [`AccountsError::NotFound`] for the tenant or the rule, or of the database.
    pub async fn remove_alert(
        &self,
        by: &Actor,
        tenant: &TenantName,
        id: i64,
    ) -> Result<Changed<()>, AccountsError> {
        let mut change = self.change().await?;
        let rule = change.alert(tenant, id).await?;
        execute!(change.tx, sqlx::query("DELETE FROM alerts WHERE id = $1").bind(id))?;
        let about = Some((rule.tenant_id, tenant));
        let version = change.commit_quietly(by, about, "alert.remove", &shown(&rule)).await?;
        Ok(Changed { value: (), version })
    }
}

impl Change {
    /// The rule of this number, if it is this tenant's.
    async fn alert(&mut self, tenant: &TenantName, id: i64) -> Result<AlertRule, AccountsError> {
        let tenant = self.tenant(tenant).await?;
        let row: Option<AlertRow> = with_tx!(self.tx, |connection| {
            let query = sqlx::query_as(select!("WHERE a.id = $1 AND a.tenant = $2")).bind(id);
            query.bind(i64::from(tenant.id.get())).fetch_optional(connection).await
        })?;
        let none = || AccountsError::NotFound { what: "alert", name: id.to_string() };
        row.ok_or_else(none)?.rule(&self.tx.name)
    }

    async fn check_count(
        &mut self,
        tenant: &TenantName,
        tenant_id: TenantId,
    ) -> Result<(), AccountsError> {
        let sql = "SELECT count(*) FROM alerts WHERE tenant = $1";
        let count: i64 = with_tx!(self.tx, |connection| {
            sqlx::query_scalar(sql).bind(i64::from(tenant_id.get())).fetch_one(connection).await
        })?;
        let most = AlertRule::MOST_PER_TENANT;
        if known(count) >= most as u64 {
            return Err(AccountsError::Conflict(format!(
                "tenant {tenant} has {most} alerts, the most there can be: remove one first"
            )));
        }
        Ok(())
    }
}

/// A row of the table, with the tenant's name.
#[derive(Debug, sqlx::FromRow)]
struct AlertRow {
    id: i64,
    tenant: i64,
    name: String,
    kind: String,
    threshold: Option<i64>,
    for_minutes: i64,
    webhook: Option<String>,
    webhook_private: i64,
    enabled: i64,
}

impl AlertRow {
    fn rule(self, database: &str) -> Result<AlertRule, AccountsError> {
        let id = self.id;
        let bad = |what: &str| damaged(database, &format!("{what} of alert {id}"));
        let webhook = self.webhook.as_deref().map(Webhook::parse).transpose();
        Ok(AlertRule {
            id,
            tenant: TenantName::new(&self.name).map_err(|_| bad("the tenant"))?,
            tenant_id: tenant_id(self.tenant).ok_or_else(|| bad("the tenant"))?,
            kind: AlertKind::named(&self.kind, self.threshold.map(known))
                .map_err(|_| bad("the kind"))?,
            for_minutes: u32::try_from(self.for_minutes).map_err(|_| bad("the time"))?,
            webhook: webhook.map_err(|_| bad("the webhook"))?,
            webhook_private: self.webhook_private != 0,
            enabled: self.enabled != 0,
        })
    }
}

/// Refuses what no rule can ask for.
fn check(kind: AlertKind, for_minutes: u32) -> Result<(), AccountsError> {
    if let Err(error) = AlertKind::named(kind.name(), kind.threshold()) {
        let value = kind.threshold().map_or_else(String::new, |threshold| threshold.to_string());
        return Err(AccountsError::Invalid { what: "alert", value, wanted: error.to_string() });
    }
    if !(1..=AlertRule::MOST_MINUTES).contains(&for_minutes) {
        return Err(AccountsError::Invalid {
            what: "for_minutes",
            value: for_minutes.to_string(),
            wanted: format!("1 to {} minutes", AlertRule::MOST_MINUTES),
        });
    }
    Ok(())
}

/// A rule, for the audit log.
fn shown(rule: &AlertRule) -> String {
    let AlertRule { id, kind, for_minutes, webhook, enabled, .. } = rule;
    let webhook = webhook.as_ref().map_or_else(|| "no webhook".to_owned(), Webhook::to_string);
    let enabled = if *enabled { "enabled" } else { "disabled" };
    format!("alert {id}: {kind}, for {for_minutes} min, {webhook}, {enabled}")
}
