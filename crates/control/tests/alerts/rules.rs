//! Rules in the accounts database, one suite over SQLite and PostgreSQL.

use larder_control::{
    Accounts, AccountsError, AlertChange, AlertKind, AlertRule, NewAlert, Webhook,
};

use crate::support::{BY, Fresh, name, suite, tenant};

suite!(
    a_rule_is_kept_as_it_is_made,
    a_rule_is_changed_where_it_is_told,
    a_rule_is_its_tenants_only,
    what_cannot_be_is_refused,
    a_tenant_has_twenty_rules_at_most,
    rules_go_with_their_tenant_and_numbers_do_not_come_back,
    changes_are_audited_without_the_secret_and_are_no_new_version,
);

const SECRET: &str = "https://hooks.slack.com/services/T0/B0/secret";

fn new(kind: AlertKind) -> NewAlert {
    NewAlert {
        kind,
        for_minutes: 5,
        webhook: Some(Webhook::parse(SECRET).unwrap()),
        webhook_private: false,
        enabled: true,
    }
}

async fn made(accounts: &Accounts, tenant: &str, kind: AlertKind) -> AlertRule {
    accounts.create_alert(&BY, &name(tenant), new(kind)).await.unwrap().value
}

async fn a_rule_is_kept_as_it_is_made(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, _) = tenant(&accounts, "shop").await;
    let mut expected = Vec::new();
    for kind in [
        AlertKind::HitRateBelow(80),
        AlertKind::MemoryAbove(99),
        AlertKind::EvictionsAbove(AlertKind::MOST_EVICTIONS),
        AlertKind::NeverHits,
    ] {
        let rule = made(&accounts, "shop", kind).await;
        assert_eq!((rule.kind, &rule.tenant, rule.tenant_id), (kind, &shop.name, shop.id));
        assert_eq!(rule.webhook.as_ref().unwrap().url(), SECRET);
        expected.push(rule);
    }
    let bare = NewAlert {
        kind: AlertKind::NeverHits,
        for_minutes: 1440,
        webhook: None,
        webhook_private: true,
        enabled: false,
    };
    let bare = accounts.create_alert(&BY, &shop.name, bare).await.unwrap().value;
    assert_eq!(accounts.all_alert_rules().await.unwrap(), expected, "those that are enabled");
    assert!(bare.webhook.is_none() && bare.webhook_private && !bare.enabled);
    expected.push(bare);
    assert_eq!(fresh.open().await.alert_rules(&shop.name).await.unwrap(), expected);
}

async fn a_rule_is_changed_where_it_is_told(fresh: &Fresh) {
    let accounts = fresh.open().await;
    tenant(&accounts, "shop").await;
    let rule = made(&accounts, "shop", AlertKind::HitRateBelow(80)).await;
    let change = |wanted| accounts.change_alert(&BY, &rule.tenant, rule.id, wanted);
    let changed = change(AlertChange { for_minutes: Some(9), ..AlertChange::default() }).await;
    let expected = AlertRule { for_minutes: 9, ..rule.clone() };
    assert_eq!(changed.unwrap().value, expected);
    let wanted = AlertChange {
        kind: Some(AlertKind::NeverHits),
        webhook: Some(None),
        webhook_private: Some(true),
        enabled: Some(false),
        for_minutes: None,
    };
    let expected = AlertRule {
        kind: AlertKind::NeverHits,
        webhook: None,
        webhook_private: true,
        enabled: false,
        ..expected
    };
    assert_eq!(change(wanted).await.unwrap().value, expected);
    let audited = accounts.audit(None, None, 10).await.unwrap().len();
    assert_eq!(change(AlertChange::default()).await.unwrap().value, expected);
    assert_eq!(accounts.audit(None, None, 10).await.unwrap().len(), audited, "nothing changed");
    assert_eq!(accounts.alert_rules(&rule.tenant).await.unwrap(), [expected]);
}

async fn a_rule_is_its_tenants_only(fresh: &Fresh) {
    let accounts = fresh.open().await;
    tenant(&accounts, "shop").await;
    tenant(&accounts, "other").await;
    let rule = made(&accounts, "shop", AlertKind::NeverHits).await;
    let other = name("other");
    assert_eq!(accounts.alert_rules(&other).await.unwrap(), []);
    let none = |what: &'static str, name: &str| AccountsError::NotFound { what, name: name.into() };
    let id = rule.id.to_string();
    let change = accounts.change_alert(&BY, &other, rule.id, AlertChange::default()).await;
    assert_eq!(change.unwrap_err(), none("alert", &id));
    let remove = accounts.remove_alert(&BY, &other, rule.id).await;
    assert_eq!(remove.unwrap_err(), none("alert", &id));
    let nobody = name("nobody");
    assert_eq!(accounts.alert_rules(&nobody).await.unwrap_err(), none("tenant", "nobody"));
    let create = accounts.create_alert(&BY, &nobody, new(AlertKind::NeverHits)).await;
    assert_eq!(create.unwrap_err(), none("tenant", "nobody"));
    accounts.remove_alert(&BY, &rule.tenant, rule.id).await.unwrap();
    let again = accounts.remove_alert(&BY, &rule.tenant, rule.id).await;
    assert_eq!(again.unwrap_err(), none("alert", &id));
}

async fn what_cannot_be_is_refused(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, _) = tenant(&accounts, "shop").await;
    let rule = made(&accounts, "shop", AlertKind::NeverHits).await;
    for (kind, for_minutes, says) in [
        (AlertKind::HitRateBelow(0), 5, "threshold from 1 to 100, not 0"),
        (AlertKind::HitRateBelow(101), 5, "threshold from 1 to 100, not 101"),
        (AlertKind::MemoryAbove(100), 5, "threshold from 1 to 99, not 100"),
        (AlertKind::EvictionsAbove(0), 5, "threshold from 1 to 1000000000, not 0"),
        (AlertKind::EvictionsAbove(u64::MAX), 5, "threshold from 1 to 1000000000"),
        (AlertKind::NeverHits, 0, "for_minutes \"0\" is not valid: 1 to 1440 minutes"),
        (AlertKind::NeverHits, 1441, "for_minutes \"1441\" is not valid"),
    ] {
        let wanted = NewAlert { for_minutes, ..new(kind) };
        let create = accounts.create_alert(&BY, &shop.name, wanted).await.unwrap_err();
        let wanted = AlertChange {
            kind: Some(kind),
            for_minutes: Some(for_minutes),
            ..AlertChange::default()
        };
        let change = accounts.change_alert(&BY, &shop.name, rule.id, wanted).await.unwrap_err();
        assert_eq!(create, change);
        assert!(matches!(create, AccountsError::Invalid { .. }));
        assert!(create.to_string().contains(says), "{create}");
    }
    assert_eq!(accounts.alert_rules(&shop.name).await.unwrap(), [rule]);
}

async fn a_tenant_has_twenty_rules_at_most(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, _) = tenant(&accounts, "shop").await;
    tenant(&accounts, "other").await;
    for _ in 0..AlertRule::MOST_PER_TENANT {
        made(&accounts, "shop", AlertKind::NeverHits).await;
    }
    let one_more = accounts.create_alert(&BY, &shop.name, new(AlertKind::NeverHits)).await;
    let error = one_more.unwrap_err();
    assert!(matches!(&error, AccountsError::Conflict(_)), "{error:?}");
    assert!(error.to_string().contains("tenant shop has 20 alerts"), "{error}");
    made(&accounts, "other", AlertKind::NeverHits).await;
}

async fn rules_go_with_their_tenant_and_numbers_do_not_come_back(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, _) = tenant(&accounts, "shop").await;
    let first = made(&accounts, "shop", AlertKind::NeverHits).await;
    accounts.remove_tenant(&BY, &shop.name).await.unwrap();
    assert_eq!(accounts.all_alert_rules().await.unwrap(), []);
    tenant(&accounts, "shop").await;
    assert_eq!(accounts.alert_rules(&shop.name).await.unwrap(), []);
    let second = made(&accounts, "shop", AlertKind::NeverHits).await;
    assert!(second.id > first.id && second.tenant_id != first.tenant_id);
}

async fn changes_are_audited_without_the_secret_and_are_no_new_version(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, _) = tenant(&accounts, "shop").await;
    let version = accounts.version().await.unwrap();
    let made = accounts.create_alert(&BY, &shop.name, new(AlertKind::HitRateBelow(80))).await;
    let made = made.unwrap();
    let wanted = AlertChange { for_minutes: Some(9), ..AlertChange::default() };
    let id = made.value.id;
    let changed = accounts.change_alert(&BY, &shop.name, id, wanted).await.unwrap();
    let removed = accounts.remove_alert(&BY, &shop.name, id).await.unwrap();
    assert_eq!([made.version, changed.version, removed.version], [version; 3]);
    assert_eq!(accounts.version().await.unwrap(), version);
    let entries = accounts.audit(Some(&shop.name), None, 3).await.unwrap();
    let actions: Vec<_> = entries.iter().map(|entry| &*entry.action).collect();
    assert_eq!(actions, ["alert.remove", "alert.change", "alert.create"]);
    let five =
        format!("alert {id}: hit rate below 80 %, for 5 min, https://hooks.slack.com/…, enabled");
    let nine = five.replace("5 min", "9 min");
    assert_eq!(entries[2].detail, five);
    assert_eq!(entries[1].detail, format!("{nine}; before: {five}"));
    assert_eq!(entries[0].detail, nine);
    assert!(entries.iter().all(|entry| entry.who == BY.who && entry.from == BY.from));
}
