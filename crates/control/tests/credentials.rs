//! Credentials, one suite over SQLite and PostgreSQL.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use larder_control::{AccountsError, Chosen, CredentialChange, NewCredential, Secret};
use larder_tenancy::{AuthError, Capabilities};
use support::{BY, Fresh, grant, may, suite, tenant};

suite!(
    credentials_are_made_and_shown_once,
    a_chosen_password_is_kept_as_argon2id,
    what_a_credential_may_be_is_checked,
    a_credential_is_changed_where_it_is_told,
    rotation_keeps_both_until_the_old_one_is_revoked,
    the_primary_one_stays_and_does_not_expire,
    a_tenant_has_a_hundred_credentials_at_most,
    last_use_is_noted_and_changes_nothing,
    of_two_promotions_one_is_last,
);

async fn credentials_are_made_and_shown_once(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, primary) = tenant(&accounts, "shop").await;
    let new = NewCredential {
        key_prefix: Some("shop:%_".to_owned()),
        expires: Some(fresh.now() + 60),
        note: "Crème 🍮 reader".to_owned(),
        ..may(Capabilities::READ | Capabilities::ADMIN)
    };
    fresh.wait(1);
    let made = accounts.create_credential(&BY, &shop.name, new.clone()).await.unwrap();
    let secret = made.value;
    for secret in [&primary, &secret] {
        assert!((6..=8).contains(&secret.username.len()) && secret.password.len() == 32);
        let text = format!("{}{}", secret.username, secret.password);
        assert!(text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{text}");
        assert!(!format!("{secret:?}").contains(&secret.password));
    }
    let found = accounts.credentials(&shop.name).await.unwrap();
    assert_eq!(found.len(), 2);
    assert!(found[0].is_primary && found[0].username == primary.username);
    let record = &found[1];
    assert_eq!((&record.username, &record.tenant), (&secret.username, &shop.name));
    assert_eq!((record.capabilities, &record.key_prefix), (new.capabilities, &new.key_prefix));
    assert_eq!((record.expires, &record.note), (new.expires, &new.note));
    assert!(!record.is_primary && !record.is_chosen && record.last_used.is_none());
    assert_eq!(record.created, fresh.now());

    let directory = accounts.directory().await.unwrap();
    assert_eq!(directory.version(), made.version);
    let grant_of = |now| grant(&directory, &secret, now);
    let granted = grant_of(fresh.now()).unwrap();
    assert!(granted.allows(new.capabilities) && !granted.allows(Capabilities::WRITE));
    assert!(granted.allows_key(b"shop:%_1") && !granted.allows_key(b"shop:xx1"));
    assert_eq!(grant_of(fresh.now() + 59), Err(AuthError::Expired));
}

async fn a_chosen_password_is_kept_as_argon2id(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, _) = tenant(&accounts, "shop").await;
    let chosen = |username: &str, password: &str| NewCredential {
        chosen: Some(Chosen { username: username.to_owned(), password: password.to_owned() }),
        ..may(Capabilities::USE)
    };
    let new = chosen("ann@example.org", "correct horse 🐎");
    assert!(!format!("{new:?}").contains("horse"));
    let made = accounts.create_credential(&BY, &shop.name, new.clone()).await.unwrap().value;
    assert!(accounts.credentials(&shop.name).await.unwrap()[1].is_chosen);
    let directory = accounts.directory().await.unwrap();
    let digest = &directory.credentials().find(|c| c.digest.is_slow()).unwrap().digest;
    assert!(digest.verify("correct horse 🐎".as_bytes()) && !digest.verify(b"correct horse"));
    assert!(grant(&directory, &made, fresh.now()).is_ok());
    let is = |password| accounts.principal_of_credential("ann@example.org", password);
    assert!(is("correct horse 🐎").await.unwrap().is_some());
    assert!(is("correct horse").await.unwrap().is_none());

    let exists = AccountsError::Exists { what: "username", name: "ann@example.org".to_owned() };
    let (shed, _) = tenant(&accounts, "shed").await;
    for tenant in [&shop.name, &shed.name] {
        let again = accounts.create_credential(&BY, tenant, new.clone()).await;
        assert_eq!(again.unwrap_err(), exists);
    }
    accounts.create_operator(&BY, "bob").await.unwrap();
    let operators =
        accounts.create_credential(&BY, &shop.name, chosen("bob", "x".repeat(12).as_str()));
    assert!(matches!(operators.await.unwrap_err(), AccountsError::Exists { .. }));
    let long = "x".repeat(201);
    for (username, password) in [
        ("ab", "long enough password"),
        ("ann:b", "long enough password"),
        ("ann b", "long enough password"),
        ("änn", "long enough password"),
        ("ann\0", "long enough password"),
        (&long, "long enough password"),
        ("carl", "elevenchars"),
        ("carl", "twelve\nchars"),
        ("carl", &long),
    ] {
        let error = accounts.create_credential(&BY, &shop.name, chosen(username, password)).await;
        let error = error.unwrap_err();
        assert!(matches!(error, AccountsError::Invalid { .. }), "{error}");
        assert!(!error.to_string().contains(password), "{error}");
    }
}

async fn what_a_credential_may_be_is_checked(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, _) = tenant(&accounts, "shop").await;
    let read = may(Capabilities::READ);
    let prefix = |text: &str| NewCredential { key_prefix: Some(text.to_owned()), ..read.clone() };
    let note = |text: &str| NewCredential { note: text.to_owned(), ..read.clone() };
    let expires = |at| NewCredential { expires: Some(at), ..read.clone() };
    let flush = NewCredential { capabilities: Capabilities::USE, ..prefix("shop:") };
    let cases = [
        (prefix(""), "key prefix"),
        (prefix("a b"), "key prefix"),
        (prefix("a\r\nb"), "key prefix"),
        (prefix("é"), "key prefix"),
        (prefix(&"x".repeat(201)), "key prefix"),
        (note("a\0b"), "note"),
        (note(&"é".repeat(101)), "note"),
        (expires(0), "expiry"),
        (expires(fresh.now()), "expiry"),
        (expires(u64::MAX), "expiry"),
        (flush, "capabilities"),
    ];
    for (new, says) in cases {
        let error = accounts.create_credential(&BY, &shop.name, new).await.unwrap_err();
        assert!(matches!(&error, AccountsError::Invalid { what, .. } if *what == says), "{error}");
    }
    assert_eq!(accounts.credentials(&shop.name).await.unwrap().len(), 1);
    for new in [prefix(&"~".repeat(200)), expires(fresh.now() + 1), may(Capabilities::NONE)] {
        accounts.create_credential(&BY, &shop.name, new).await.unwrap();
    }
}

async fn a_credential_is_changed_where_it_is_told(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, _) = tenant(&accounts, "shop").await;
    let new = NewCredential { note: "n".to_owned(), ..may(Capabilities::USE) };
    let secret = accounts.create_credential(&BY, &shop.name, new).await.unwrap().value;
    let change = |wanted| accounts.change_credential(&BY, &shop.name, &secret.username, wanted);
    let before = accounts.credentials(&shop.name).await.unwrap().pop().unwrap();
    let nothing = change(CredentialChange::default()).await.unwrap();
    assert_eq!((nothing.value, nothing.version), (before.clone(), 3));

    let prefix = || CredentialChange {
        key_prefix: Some(Some("a:".to_owned())),
        ..CredentialChange::default()
    };
    let error = change(prefix()).await.unwrap_err().to_string();
    assert!(error.contains("leave out `flush` or the prefix"), "{error}");
    let read = Capabilities::READ;
    let scoped = change(CredentialChange { capabilities: Some(read), ..prefix() }).await.unwrap();
    let expected = larder_control::CredentialRecord {
        capabilities: read,
        key_prefix: Some("a:".to_owned()),
        ..before.clone()
    };
    assert_eq!((scoped.value, scoped.version), (expected, 4));
    let expires = |at| CredentialChange { expires: Some(at), ..CredentialChange::default() };
    assert!(change(expires(Some(fresh.now()))).await.is_err());
    change(expires(Some(fresh.now() + 9))).await.unwrap();
    fresh.wait(10);
    // What has expired can still be noted, and brought back.
    let note = CredentialChange { note: Some("old".to_owned()), ..CredentialChange::default() };
    change(note).await.unwrap();
    change(expires(None)).await.unwrap();
    let all = CredentialChange {
        capabilities: Some(Capabilities::USE),
        key_prefix: Some(None),
        note: Some("n".to_owned()),
        ..CredentialChange::default()
    };
    assert_eq!(change(all).await.unwrap().value, before);

    // Not through another tenant, nor by a name that is none.
    let (shed, _) = tenant(&accounts, "shed").await;
    for (tenant, username) in [
        (&shed.name, &*secret.username),
        (&shop.name, "nobody"),
        (&shop.name, "\0"),
        (&shop.name, ""),
    ] {
        let wanted = CredentialChange { note: Some("x".to_owned()), ..CredentialChange::default() };
        let changed = accounts.change_credential(&BY, tenant, username, wanted).await;
        let not_found = |what: &str| what == "credential";
        assert!(matches!(changed, Err(AccountsError::NotFound { what, .. }) if not_found(what)));
        let revoked = accounts.revoke_credential(&BY, tenant, username).await;
        assert!(matches!(revoked, Err(AccountsError::NotFound { .. })));
        let promoted = accounts.promote_credential(&BY, tenant, username).await;
        assert!(matches!(promoted, Err(AccountsError::NotFound { .. })));
    }
}

async fn rotation_keeps_both_until_the_old_one_is_revoked(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, old) = tenant(&accounts, "shop").await;
    let works = async |secret: &Secret| {
        grant(&accounts.directory().await.unwrap(), secret, fresh.now()).is_ok()
    };
    let new = accounts.create_credential(&BY, &shop.name, may(Capabilities::USE)).await.unwrap();
    let new = new.value;
    assert!(works(&old).await && works(&new).await);
    let revoked = accounts.revoke_credential(&BY, &shop.name, &old.username).await.unwrap_err();
    assert!(revoked.to_string().contains("promote another first"), "{revoked}");
    let promoted = accounts.promote_credential(&BY, &shop.name, &new.username).await.unwrap();
    let again = accounts.promote_credential(&BY, &shop.name, &new.username).await.unwrap();
    assert_eq!(promoted, again, "the second time is no change");
    assert_eq!(accounts.tenant(&shop.name).await.unwrap().primary, new.username);
    assert!(works(&old).await && works(&new).await);
    accounts.revoke_credential(&BY, &shop.name, &old.username).await.unwrap();
    assert!(!works(&old).await && works(&new).await);
    assert!(accounts.revoke_credential(&BY, &shop.name, &old.username).await.is_err());
}

async fn the_primary_one_stays_and_does_not_expire(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, primary) = tenant(&accounts, "shop").await;
    let later = Some(fresh.now() + 60);
    let wanted = CredentialChange { expires: Some(later), ..CredentialChange::default() };
    let error = accounts.change_credential(&BY, &shop.name, &primary.username, wanted).await;
    assert!(matches!(error.unwrap_err(), AccountsError::Conflict(_)));
    let new = NewCredential { expires: later, ..may(Capabilities::USE) };
    let short = accounts.create_credential(&BY, &shop.name, new).await.unwrap().value;
    let error = accounts.promote_credential(&BY, &shop.name, &short.username).await.unwrap_err();
    assert!(error.to_string().contains("remove the expiry"), "{error}");
    let still = accounts.credentials(&shop.name).await.unwrap();
    assert_eq!(still.iter().filter(|credential| credential.is_primary).count(), 1);
}

async fn a_tenant_has_a_hundred_credentials_at_most(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, _) = tenant(&accounts, "shop").await;
    let new = || accounts.create_credential(&BY, &shop.name, may(Capabilities::READ));
    let mut names = BTreeSet::new();
    for _ in 1..100 {
        names.insert(new().await.unwrap().value.username);
    }
    assert_eq!(names.len(), 99);
    let error = new().await.unwrap_err();
    assert!(matches!(&error, AccountsError::Conflict(says) if says.contains("100")), "{error}");
}

async fn last_use_is_noted_and_changes_nothing(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, secret) = tenant(&accounts, "shop").await;
    let version = accounts.version().await.unwrap();
    let audit = accounts.audit(None, None, 100).await.unwrap();
    let user: Arc<[u8]> = secret.username.as_bytes().into();
    let odd: [Arc<[u8]>; 3] = [(*b"nobody").into(), (*b"\xff").into(), (*b"a\0b").into()];
    let mut seen: Vec<_> = odd.into_iter().map(|user| (user, 7)).collect();
    let last = async || accounts.credentials(&shop.name).await.unwrap()[0].last_used;
    accounts.note_last_used(&seen).await.unwrap();
    accounts.note_last_used(&[]).await.unwrap();
    assert_eq!(last().await, None);
    for (at, expected) in [(100, 100), (99, 100), (101, 101)] {
        seen.push((user.clone(), at));
        accounts.note_last_used(&seen).await.unwrap();
        assert_eq!(last().await, Some(expected), "news that come late change nothing");
    }
    // Of many at once, while others change things.
    let many: Vec<_> = (0..1200).map(|n| (format!("{n:08x}").into_bytes().into(), 1)).collect();
    let (noted, changed) = tokio::join!(
        accounts.note_last_used(&many),
        accounts.promote_credential(&BY, &shop.name, &secret.username),
    );
    noted.unwrap();
    changed.unwrap();
    assert_eq!(accounts.version().await.unwrap(), version);
    assert_eq!(accounts.audit(None, None, 100).await.unwrap(), audit);
}

async fn of_two_promotions_one_is_last(fresh: &Fresh) {
    let (one, other) = (fresh.open().await, fresh.open().await);
    let (shop, primary) = tenant(&one, "shop").await;
    let new = one.create_credential(&BY, &shop.name, may(Capabilities::USE)).await.unwrap().value;
    for _ in 0..10 {
        let (a, b) = tokio::join!(
            one.promote_credential(&BY, &shop.name, &primary.username),
            other.promote_credential(&BY, &shop.name, &new.username),
        );
        let (a, b) = (a.unwrap().version, b.unwrap().version);
        let last = if a > b { &primary } else { &new };
        assert_eq!(one.tenant(&shop.name).await.unwrap().primary, last.username, "{a} {b}");
        let found = one.credentials(&shop.name).await.unwrap();
        assert_eq!(found.iter().filter(|credential| credential.is_primary).count(), 1);
        assert!(found[0].is_primary);
    }
}
