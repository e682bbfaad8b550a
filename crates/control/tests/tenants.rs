//! Tenants and the audit log, one suite over SQLite and PostgreSQL.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use larder_control::{
    Accounts, AccountsError, Actor, CredentialChange, FollowerSettings, NewTenant, TenantChange,
};
use larder_tenancy::{AuthError, Capabilities, Directory, SharedDirectory, TenantId, TenantName};
use support::{BY, Fresh, MIB, grant, labels, may, name, suite, tenant};

suite!(
    a_tenant_is_there_at_once,
    numbers_are_never_given_again,
    names_are_one_tenants,
    sizes_and_labels_are_checked,
    a_tenant_is_changed_and_says_what_was,
    floors_fit_the_smallest_node,
    a_flush_is_counted,
    a_tenant_goes_with_all_it_has,
    every_change_is_in_the_audit_log,
    the_audit_log_keeps_the_newest_and_some_of_every_tenant,
    of_two_processes_one_gets_the_name,
    of_many_processes_none_gets_more_than_there_is,
    versions_are_counted_without_gaps,
);

async fn a_tenant_is_there_at_once(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let mut changed = accounts.changed();
    assert_eq!((accounts.version().await.unwrap(), accounts.tenants().await.unwrap()), (1, vec![]));
    let mut new = NewTenant::new(name("shop"), 25 * MIB);
    new.ceiling = 50 * MIB;
    new.labels = labels(&[("team", "Crème 🍮"), ("env", "prod")]);
    let made = accounts.create_tenant(&BY, new.clone()).await.unwrap();
    let (record, secret) = made.value;
    assert_eq!((made.version, accounts.version().await.unwrap()), (2, 2));
    assert!(changed.has_changed().unwrap() && *changed.borrow_and_update() == 2);
    assert_eq!((record.id, &record.name), (TenantId::new(1), &new.name));
    assert_eq!((record.floor, record.ceiling, record.flushes), (25 * MIB, 50 * MIB, 0));
    assert_eq!((&record.labels, record.created), (&new.labels, fresh.now()));
    assert_eq!(record.primary, secret.username);

    // Another process sees the same.
    let other = fresh.open().await;
    assert_eq!(other.tenant(&new.name).await.unwrap(), record);
    assert_eq!(other.tenants().await.unwrap(), [record]);
    let directory = other.directory().await.unwrap();
    assert_eq!(directory.version(), 2);
    let shop = directory.tenant_named(&new.name).unwrap();
    assert_eq!((shop.limits.floor, shop.limits.ceiling), (25 * MIB, 50 * MIB));
    let grant = grant(&directory, &secret, fresh.now()).unwrap();
    assert!(grant.tenant() == shop.id && grant.allows(Capabilities::ALL));
}

async fn numbers_are_never_given_again(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let first = tenant(&accounts, "first").await.0;
    let second = tenant(&accounts, "second").await.0;
    accounts.remove_tenant(&BY, &second.name).await.unwrap();
    accounts.remove_tenant(&BY, &first.name).await.unwrap();
    accounts.close().await;
    let accounts = fresh.open().await;
    let again = tenant(&accounts, "second").await.0;
    assert!(first.id < second.id && second.id < again.id, "{again:?}");
}

async fn names_are_one_tenants(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (record, _) = tenant(&accounts, "shop").await;
    let version = accounts.version().await.unwrap();
    let again = accounts.create_tenant(&BY, NewTenant::new(name("shop"), MIB)).await;
    let exists = AccountsError::Exists { what: "tenant", name: "shop".to_owned() };
    assert_eq!(again.unwrap_err(), exists);
    assert_eq!(accounts.version().await.unwrap(), version, "a refusal is no change");
    let not_found = AccountsError::NotFound { what: "tenant", name: "shed".to_owned() };
    let shed = name("shed");
    assert_eq!(accounts.tenant(&shed).await.unwrap_err(), not_found);
    assert_eq!(accounts.remove_tenant(&BY, &shed).await.unwrap_err(), not_found);
    assert_eq!(accounts.flush_tenant(&BY, &shed).await.unwrap_err(), not_found);
    assert_eq!(accounts.credentials(&shed).await.unwrap_err(), not_found);
    let change = TenantChange::default();
    assert_eq!(accounts.change_tenant(&BY, &shed, change).await.unwrap_err(), not_found);
    let created = accounts.create_credential(&BY, &shed, may(Capabilities::READ)).await;
    assert_eq!(created.unwrap_err(), not_found);
    assert_eq!(accounts.tenants().await.unwrap(), [record]);
    for text in ["b", "a-1", "a_1", "a1", "9", "a"] {
        tenant(&accounts, text).await;
    }
    let names: Vec<_> =
        accounts.tenants().await.unwrap().into_iter().map(|t| t.name.to_string()).collect();
    assert_eq!(names, ["9", "a", "a-1", "a1", "a_1", "b", "shop"], "by bytes on every database");
}

async fn sizes_and_labels_are_checked(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let sizes = [
        (0, 0, "memory"),
        (MIB, MIB - 1, "memory"),
        (MIB, (16 << 40) + 1, "memory"),
        (u64::MAX, u64::MAX, "memory"),
        (2 * MIB, MIB, "floor"),
        (u64::MAX, MIB, "floor"),
    ];
    for (floor, ceiling, says) in sizes {
        let new = NewTenant { floor, ceiling, ..NewTenant::new(name("shop"), 0) };
        let error = accounts.create_tenant(&BY, new).await.unwrap_err();
        assert!(matches!(&error, AccountsError::Invalid { what, .. } if *what == says), "{error}");
    }
    let many: BTreeMap<_, _> = (0..17).map(|n| (format!("l{n}"), String::new())).collect();
    let long = "x".repeat(201);
    for bad in [
        labels(&[("", "x")]),
        labels(&[("Team", "x")]),
        labels(&[("a=b", "x")]),
        labels(&[("team", "a\nb")]),
        labels(&[("team", "a\0b")]),
        labels(&[("team", &long)]),
        many,
    ] {
        let mut new = NewTenant::new(name("shop"), MIB);
        new.labels = bad;
        let error = accounts.create_tenant(&BY, new).await.unwrap_err();
        assert!(matches!(&error, AccountsError::Invalid { .. }), "{error}");
    }
    assert_eq!((accounts.version().await.unwrap(), accounts.tenants().await.unwrap()), (1, vec![]));
    let least = NewTenant { floor: 0, ..NewTenant::new(name("least"), MIB) };
    let most = NewTenant::new(name("most"), 16 << 40);
    for new in [least, most] {
        accounts.create_tenant(&BY, new.clone()).await.unwrap();
        assert_eq!(accounts.tenant(&new.name).await.unwrap().ceiling, new.ceiling);
    }
}

async fn a_tenant_is_changed_and_says_what_was(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (record, _) = tenant(&accounts, "shop").await;
    let change = |floor, ceiling| TenantChange { floor, ceiling, labels: None };
    let error = accounts.change_tenant(&BY, &record.name, change(Some(26 * MIB), None)).await;
    assert!(error.unwrap_err().to_string().contains("above the ceiling of 26214400 bytes"));
    let error = accounts.change_tenant(&BY, &record.name, change(None, Some(24 * MIB))).await;
    assert!(matches!(error.unwrap_err(), AccountsError::Invalid { what: "floor", .. }));

    let wanted = TenantChange { labels: Some(labels(&[("env", "prod")])), ..change(None, None) };
    let changed = accounts.change_tenant(&BY, &record.name, wanted.clone()).await.unwrap();
    assert_eq!((changed.version, changed.value.floor), (3, record.floor));
    let again = accounts.change_tenant(&BY, &record.name, wanted).await.unwrap();
    assert_eq!(again, changed, "what changes nothing is no change");
    let resized = change(Some(10 * MIB), Some(1536 * MIB + 1));
    let changed = accounts.change_tenant(&BY, &record.name, resized).await.unwrap().value;
    assert_eq!(accounts.tenant(&record.name).await.unwrap(), changed);
    let details: Vec<_> =
        accounts.audit(None, None, 2).await.unwrap().into_iter().map(|e| e.detail).collect();
    let resized = "floor 25 MiB → 10 MiB; ceiling 25 MiB → 1610612737 bytes";
    assert_eq!(details, [resized, "labels none → env=\"prod\""]);
}

/// A node with this much memory, known to the accounts.
async fn node(fresh: &Fresh, accounts: &Accounts, dir: &str, memory_bytes: u64) {
    let data = larder_control::DataDir::open(&fresh.dir.path().join(dir)).unwrap();
    let settings = FollowerSettings {
        directory: SharedDirectory::new(Directory::default()),
        name: dir.to_owned(),
        servers: vec!["127.0.0.1:11211".to_owned()],
        console_url: None,
        memory_bytes,
        started: fresh.now(),
    };
    larder_control::Follower::start(accounts.clone(), data, settings).await.unwrap().stop().await;
}

async fn floors_fit_the_smallest_node(fresh: &Fresh) {
    let accounts = fresh.open().await;
    tenant(&accounts, "early").await;
    let capacity = accounts.capacity().await.unwrap();
    assert_eq!((capacity.memory_bytes, capacity.floors, capacity.free), (None, 25 * MIB, None));
    node(fresh, &accounts, "large", 200 * MIB).await;
    node(fresh, &accounts, "small", 64 * MIB).await;
    let capacity = accounts.capacity().await.unwrap();
    assert_eq!((capacity.memory_bytes, capacity.free), (Some(64 * MIB), Some(39 * MIB)));

    let new =
        |floor: u64, ceiling: u64| NewTenant { floor, ceiling, ..NewTenant::new(name("late"), 0) };
    let error = accounts.create_tenant(&BY, new(39 * MIB + 1, 40 * MIB)).await.unwrap_err();
    let (free, memory) = (39 * MIB, 64 * MIB);
    assert_eq!(error, AccountsError::NoRoom { asked: 39 * MIB + 1, free, memory });
    assert!(error.to_string().contains("40894464 of the 67108864 bytes"), "{error}");
    // What is not guaranteed needs no room.
    accounts.create_tenant(&BY, new(39 * MIB, 16 << 40)).await.unwrap();

    let early = name("early");
    let floor = |floor| TenantChange { floor: Some(floor), ..TenantChange::default() };
    let larger = TenantChange { ceiling: Some(30 * MIB), ..floor(26 * MIB) };
    let error = accounts.change_tenant(&BY, &early, larger).await.unwrap_err();
    assert_eq!(error, AccountsError::NoRoom { asked: 26 * MIB, free: 25 * MIB, memory });
    // A node that is too small for what is promised: less is right, more is not.
    node(fresh, &accounts, "tiny", 10 * MIB).await;
    assert_eq!(accounts.capacity().await.unwrap().free, Some(0));
    accounts.change_tenant(&BY, &early, floor(20 * MIB)).await.unwrap();
    let error = accounts.change_tenant(&BY, &early, floor(21 * MIB)).await.unwrap_err();
    assert_eq!(error, AccountsError::NoRoom { asked: 21 * MIB, free: 0, memory: 10 * MIB });

    let nodes = accounts.nodes().await.unwrap();
    let tiny = nodes.iter().find(|node| node.name == "tiny").unwrap();
    accounts.forget_node(&BY, &tiny.id).await.unwrap();
    accounts.change_tenant(&BY, &early, floor(21 * MIB)).await.unwrap();
    let error = accounts.forget_node(&BY, &tiny.id).await.unwrap_err();
    assert!(matches!(error, AccountsError::NotFound { what: "node", .. }));
}

async fn a_flush_is_counted(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, _) = tenant(&accounts, "shop").await;
    tenant(&accounts, "shed").await;
    for count in 1..=3 {
        let version = accounts.flush_tenant(&BY, &shop.name).await.unwrap().version;
        let directory = accounts.directory().await.unwrap();
        assert_eq!(directory.version(), version);
        let flushes: Vec<_> = directory.tenants().map(|tenant| tenant.flushes).collect();
        assert_eq!(flushes, [count, 0]);
    }
    assert_eq!(accounts.tenant(&shop.name).await.unwrap().flushes, 3);
}

async fn a_tenant_goes_with_all_it_has(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, primary) = tenant(&accounts, "shop").await;
    let (_, kept) = tenant(&accounts, "shed").await;
    let more = accounts.create_credential(&BY, &shop.name, may(Capabilities::READ)).await;
    let more = more.unwrap().value;
    accounts.remove_tenant(&BY, &shop.name).await.unwrap();
    let directory = accounts.directory().await.unwrap();
    assert_eq!(directory.tenants().count(), 1);
    for gone in [primary, more] {
        assert_eq!(grant(&directory, &gone, fresh.now()), Err(AuthError::Refused));
        let found = accounts.principal_of_credential(&gone.username, &gone.password).await;
        assert_eq!(found.unwrap(), None);
    }
    assert!(grant(&directory, &kept, fresh.now()).is_ok());
}

async fn every_change_is_in_the_audit_log(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, primary) = tenant(&accounts, "shop").await;
    let (shed, _) = tenant(&accounts, "shed").await;
    fresh.wait(5);
    let by = Actor { who: "credential \0\u{7}15f38e".to_owned(), from: "::1".to_owned() };
    let floor = TenantChange { floor: Some(MIB), ..TenantChange::default() };
    accounts.change_tenant(&by, &shop.name, floor).await.unwrap();
    accounts.flush_tenant(&by, &shop.name).await.unwrap();
    let secret = accounts.create_credential(&by, &shop.name, may(Capabilities::USE)).await;
    let secret = secret.unwrap().value;
    let wanted = CredentialChange { note: Some("x".to_owned()), ..CredentialChange::default() };
    accounts.change_credential(&by, &shop.name, &secret.username, wanted).await.unwrap();
    accounts.promote_credential(&by, &shop.name, &secret.username).await.unwrap();
    accounts.revoke_credential(&by, &shop.name, &primary.username).await.unwrap();
    accounts.note(&by, Some(&shop.name), "item.delete", "key a").await.unwrap();
    accounts.remove_tenant(&by, &shop.name).await.unwrap();

    let entries = accounts.audit(Some(&shop.name), None, 100).await.unwrap();
    let actions: Vec<_> = entries.iter().map(|entry| &*entry.action).collect();
    let expected = [
        "tenant.remove",
        "item.delete",
        "credential.revoke",
        "credential.promote",
        "credential.change",
        "credential.create",
        "tenant.flush",
        "tenant.change",
        "tenant.create",
    ];
    assert_eq!(actions, expected);
    for entry in &entries[..8] {
        assert_eq!((&*entry.who, &*entry.from), ("credential 15f38e", "::1"));
        assert_eq!((entry.at, entry.tenant.as_deref()), (fresh.now(), Some("shop")));
        assert!(!entry.detail.contains(&secret.password) && !entry.detail.contains("sha256"));
    }
    let promoted = format!("primary {} → {}", primary.username, secret.username);
    assert_eq!(entries[3].detail, promoted);
    assert!(entries[4].detail.contains("read,write,flush → read,write,flush note \"x\""));

    // Pages, and all tenants together.
    let page = accounts.audit(Some(&shop.name), Some(entries[3].id), 2).await.unwrap();
    assert_eq!(page, entries[4..6]);
    assert_eq!(accounts.audit(None, None, 100).await.unwrap().len(), 10);
    assert_eq!(accounts.audit(None, None, 0).await.unwrap(), []);
    assert_eq!(accounts.audit(Some(&shed.name), None, 9).await.unwrap().len(), 1);
    // Who gets the name next does not see what was.
    tenant(&accounts, "shop").await;
    let entries = accounts.audit(Some(&shop.name), None, 100).await.unwrap();
    assert_eq!(entries.len(), 1);
}

async fn of_two_processes_one_gets_the_name(fresh: &Fresh) {
    let (one, other) = (fresh.open().await, fresh.open().await);
    for round in 0..10 {
        let new = NewTenant::new(name(&format!("shop{round}")), MIB);
        let (a, b) =
            tokio::join!(one.create_tenant(&BY, new.clone()), other.create_tenant(&BY, new));
        let (won, lost) = if a.is_ok() { (a, b) } else { (b, a) };
        assert!(won.is_ok(), "{won:?}");
        assert!(matches!(lost, Err(AccountsError::Exists { .. })), "{lost:?}");
    }
    assert_eq!(one.tenants().await.unwrap().len(), 10);
    assert_eq!(one.version().await.unwrap(), 11);
}

async fn of_many_processes_none_gets_more_than_there_is(fresh: &Fresh) {
    let accounts = fresh.open().await;
    node(fresh, &accounts, "node", 10 * MIB).await;
    let mut racing = tokio::task::JoinSet::new();
    for process in 0..4 {
        let accounts = fresh.open().await;
        racing.spawn(async move {
            let mut won = 0;
            for round in 0..5 {
                let new = NewTenant::new(name(&format!("t{process}-{round}")), MIB);
                match accounts.create_tenant(&BY, new).await {
                    Ok(_) => won += 1,
                    Err(AccountsError::NoRoom { free: 0, .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            won
        });
    }
    assert_eq!(racing.join_all().await.into_iter().sum::<u32>(), 10);
    let capacity = accounts.capacity().await.unwrap();
    assert_eq!((capacity.floors, capacity.free), (10 * MIB, Some(0)));
}

async fn versions_are_counted_without_gaps(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, _) = tenant(&accounts, "shop").await;
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (accounts, shop) = (fresh.open().await, shop.name.clone());
        racing.spawn(async move {
            let mut versions = Vec::new();
            for _ in 0..10 {
                let version = accounts.flush_tenant(&BY, &shop).await.unwrap().version;
                // What is acknowledged is there for everybody, and nothing newer is missing below it.
                let directory = accounts.directory().await.unwrap();
                let flushes = directory.tenants().next().unwrap().flushes;
                assert!(directory.version() >= version);
                assert_eq!(flushes, directory.version() - 2);
                versions.push(version);
            }
            versions
        });
    }
    let versions: BTreeSet<_> = racing.join_all().await.into_iter().flatten().collect();
    assert!(versions.into_iter().eq(3..33));
}

async fn the_audit_log_keeps_the_newest_and_some_of_every_tenant(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, _) = tenant(&accounts, "shop").await;
    let (busy, _) = tenant(&accounts, "busy").await;
    // One tenant is busy without end; then there are more changes of all than are kept.
    let fill = async |tenant: &str, count: u32| {
        let numbers = format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})"
        );
        let insert = "INSERT INTO audit (at, who, origin, tenant, action, detail)";
        fresh
            .execute(&format!("{insert} {numbers} SELECT 1, 'w', 'o', {tenant}, 'a', 'd' FROM n"))
            .await;
    };
    let count = async |tenant: Option<&TenantName>| {
        let (mut count, mut before) = (0, None);
        loop {
            let page = accounts.audit(tenant, before, 1000).await.unwrap();
            let Some(last) = page.last() else { return count };
            (count, before) = (count + page.len(), Some(last.id));
        }
    };
    let flush = async || {
        for _ in 0..100 {
            accounts.flush_tenant(&BY, &busy.name).await.unwrap();
        }
    };
    fill("'busy'", 150_000).await;
    flush().await;
    let all = count(None).await;
    assert!((10_001..10_101).contains(&all), "{all}");
    assert_eq!(count(Some(&shop.name)).await, 1, "the oldest of all is still there");

    fill("NULL", 100_000).await;
    flush().await;
    let all = count(None).await;
    assert!((100_000..100_100).contains(&all), "{all}");
    assert_eq!(count(Some(&shop.name)).await, 0, "older than all that are kept");
}
