//! Operators, links, sessions, tokens: one suite over SQLite and PostgreSQL.

mod support;

use larder_control::{
    Accounts, AccountsError, Chosen, CredentialChange, NewCredential, Principal, SignInError,
    session_id,
};
use larder_tenancy::Capabilities;
use support::{BY, Fresh, caller, may, suite, tenant};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const PASSWORD: &str = "correct horse battery";

suite!(
    the_first_start_makes_the_operator,
    of_many_first_starts_one_makes_the_operator,
    a_link_works_once_and_for_fifteen_minutes,
    of_two_who_redeem_a_link_one_gets_in,
    operators_sign_in_with_their_password,
    a_new_password_ends_the_other_sessions,
    credentials_sign_in_with_theirs,
    sessions_end_when_they_are_not_used_or_old,
    a_session_ends_with_what_its_credential_may_do,
    sessions_are_listed_and_ended_by_their_owner,
    there_are_fifty_sessions_at_most,
    tokens_do_what_their_holder_may,
    tokens_end,
    tokens_are_listed_and_revoked_by_their_owner,
    a_credential_is_known_by_its_password,
    operators_come_and_go,
    nothing_of_this_raises_the_version_and_all_is_audited,
    names_that_are_none_are_refused,
);

fn operator(name: &str) -> Principal {
    Principal::Operator { name: name.to_owned() }
}

/// An operator with a password.
async fn ann(accounts: &Accounts) -> Principal {
    accounts.create_operator(&BY, "ann").await.unwrap();
    accounts.set_operator_password(&BY, "ann", PASSWORD, None).await.unwrap();
    operator("ann")
}

async fn the_first_start_makes_the_operator(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let link = accounts.ensure_operator().await.unwrap().unwrap();
    assert_eq!((link.token.len(), link.expires), (64, fresh.now() + 15 * 60));
    assert!(!format!("{link:?}").contains(&link.token));
    assert_eq!(accounts.ensure_operator().await.unwrap(), None);
    assert_eq!(fresh.open().await.ensure_operator().await.unwrap(), None);
    let session = accounts.redeem(&link.token, &caller()).await.unwrap();
    assert_eq!((&session.principal, session.token.len()), (&operator("operator"), 64));
    assert!(!format!("{session:?}").contains(&session.token));
    let found = accounts.principal_of_session(&session.token).await.unwrap();
    assert_eq!(found, Some(operator("operator")));
    let operators = accounts.operators().await.unwrap();
    assert_eq!(operators.len(), 1);
    assert!(!operators[0].has_password && operators[0].created == fresh.now());
}

async fn of_many_first_starts_one_makes_the_operator(fresh: &Fresh) {
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let accounts = fresh.open().await;
        starting.spawn(async move { accounts.ensure_operator().await.unwrap() });
    }
    assert_eq!(starting.join_all().await.into_iter().flatten().count(), 1);
}

async fn a_link_works_once_and_for_fifteen_minutes(fresh: &Fresh) {
    let accounts = fresh.open().await;
    accounts.create_operator(&BY, "ann").await.unwrap();
    let link = || accounts.new_sign_in_link(&BY, "ann");
    let (one, other) = (link().await.unwrap(), link().await.unwrap());
    fresh.wait(15 * 60 - 1);
    assert!(accounts.redeem(&one.token, &caller()).await.is_ok());
    for token in [&*one.token, "", "x", &one.token[1..], &one.token.to_uppercase()] {
        let refused = accounts.redeem(token, &caller()).await.unwrap_err();
        assert_eq!(refused, SignInError::Refused, "{token}");
    }
    fresh.wait(1);
    assert_eq!(accounts.redeem(&other.token, &caller()).await.unwrap_err(), SignInError::Refused);
    let error = accounts.new_sign_in_link(&BY, "bob").await.unwrap_err();
    assert_eq!(error, AccountsError::NotFound { what: "operator", name: "bob".to_owned() });
}

async fn of_two_who_redeem_a_link_one_gets_in(fresh: &Fresh) {
    let (one, other) = (fresh.open().await, fresh.open().await);
    one.create_operator(&BY, "ann").await.unwrap();
    for _ in 0..5 {
        let link = one.new_sign_in_link(&BY, "ann").await.unwrap();
        let caller = caller();
        let (a, b) =
            tokio::join!(one.redeem(&link.token, &caller), other.redeem(&link.token, &caller));
        assert!(a.is_ok() ^ b.is_ok(), "{a:?} {b:?}");
    }
}

async fn operators_sign_in_with_their_password(fresh: &Fresh) {
    let accounts = fresh.open().await;
    accounts.create_operator(&BY, "ann").await.unwrap();
    let sign_in = async |user: &str, password: &str| {
        accounts.sign_in(user, password, &caller()).await.map(|session| session.principal)
    };
    assert_eq!(sign_in("ann", "").await, Err(SignInError::Refused), "no password yet");
    for short in ["", "elevenchars", "éééééééé", "twelve\tchars"] {
        let error = accounts.set_operator_password(&BY, "ann", short, None).await.unwrap_err();
        assert!(matches!(error, AccountsError::Invalid { what: "password", .. }), "{error}");
    }
    accounts.set_operator_password(&BY, "ann", PASSWORD, None).await.unwrap();
    assert!(accounts.operators().await.unwrap()[0].has_password);
    assert_eq!(sign_in("ann", PASSWORD).await, Ok(operator("ann")));
    for (user, password) in [
        ("ann", "correct horse batterz"),
        ("ann", ""),
        ("Ann", PASSWORD),
        ("bob", PASSWORD),
        ("", ""),
    ] {
        assert_eq!(sign_in(user, password).await, Err(SignInError::Refused), "{user} {password}");
    }
    accounts.set_operator_password(&BY, "ann", "another password", None).await.unwrap();
    assert_eq!(sign_in("ann", PASSWORD).await, Err(SignInError::Refused));
    assert_eq!(sign_in("ann", "another password").await, Ok(operator("ann")));
    let nobody = accounts.set_operator_password(&BY, "bob", PASSWORD, None).await.unwrap_err();
    assert!(matches!(nobody, AccountsError::NotFound { what: "operator", .. }));
}

async fn a_new_password_ends_the_other_sessions(fresh: &Fresh) {
    let accounts = fresh.open().await;
    ann(&accounts).await;
    let begin = async || accounts.sign_in("ann", PASSWORD, &caller()).await.unwrap().token;
    let stands = async |token: &str| accounts.principal_of_session(token).await.unwrap().is_some();
    let (kept, ended) = (begin().await, begin().await);
    let but = session_id(&kept);
    accounts.set_operator_password(&BY, "ann", PASSWORD, Some(&but)).await.unwrap();
    assert!(stands(&kept).await && !stands(&ended).await);
    let told = &accounts.audit(None, None, 1).await.unwrap()[0];
    assert_eq!((&*told.action, &*told.detail), ("operator.password", "ann; sessions ended: 1"));
    accounts.set_operator_password(&BY, "ann", PASSWORD, None).await.unwrap();
    assert!(!stands(&kept).await);
}

async fn credentials_sign_in_with_theirs(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, secret) = tenant(&accounts, "shop").await;
    let session = accounts.sign_in(&secret.username, &secret.password, &caller()).await.unwrap();
    let expected = Principal::Credential {
        username: secret.username.clone(),
        tenant: shop.name.clone(),
        tenant_id: shop.id,
        capabilities: Capabilities::ALL,
        key_prefix: None,
    };
    assert_eq!(session.principal, expected);
    let found = accounts.principal_of_session(&session.token).await.unwrap();
    assert_eq!(found, Some(expected));
    let wrong = accounts.sign_in(&secret.username, PASSWORD, &caller()).await.unwrap_err();
    assert_eq!(wrong, SignInError::Refused);

    let new = NewCredential {
        chosen: Some(Chosen { username: "carl".to_owned(), password: PASSWORD.to_owned() }),
        expires: Some(fresh.now() + 60),
        key_prefix: Some("carl:".to_owned()),
        ..may(Capabilities::READ)
    };
    accounts.create_credential(&BY, &shop.name, new).await.unwrap();
    let session = accounts.sign_in("carl", PASSWORD, &caller()).await.unwrap();
    let Principal::Credential { key_prefix, .. } = session.principal else { unreachable!() };
    assert_eq!(key_prefix.as_deref(), Some("carl:"));
    fresh.wait(60);
    assert_eq!(accounts.principal_of_session(&session.token).await.unwrap(), None);
    let expired = accounts.sign_in("carl", PASSWORD, &caller()).await.unwrap_err();
    assert_eq!(expired, SignInError::Refused);
}

async fn sessions_end_when_they_are_not_used_or_old(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let ann = ann(&accounts).await;
    let begin = async || accounts.sign_in("ann", PASSWORD, &caller()).await.unwrap().token;
    let stands = async |token: &str| accounts.principal_of_session(token).await.unwrap().is_some();
    let idle = begin().await;
    fresh.wait(12 * HOUR - 1);
    assert!(stands(&idle).await);
    fresh.wait(12 * HOUR - 1);
    assert!(stands(&idle).await, "a use goes on counting");
    fresh.wait(12 * HOUR);
    assert!(!stands(&idle).await);
    assert_eq!(accounts.sessions(&ann).await.unwrap(), []);

    let used = begin().await;
    for _ in 0..27 {
        fresh.wait(6 * HOUR);
        assert!(stands(&used).await);
    }
    fresh.wait(6 * HOUR);
    assert!(!stands(&used).await, "after seven days");
    for token in ["", "x", "\0", &used[1..]] {
        assert!(!stands(token).await);
    }
    // The last use is known to the minute, and a look within it writes nothing.
    let token = begin().await;
    let seen = async || accounts.sessions(&ann).await.unwrap()[0].seen;
    let began = fresh.now();
    fresh.wait(59);
    assert!(stands(&token).await);
    assert_eq!(seen().await, began);
    fresh.wait(1);
    assert!(stands(&token).await);
    assert_eq!(seen().await, began + 60);
}

async fn a_session_ends_with_what_its_credential_may_do(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, _) = tenant(&accounts, "shop").await;
    let name = &shop.name;
    let made = accounts.create_credential(&BY, name, may(Capabilities::ALL)).await.unwrap();
    let secret = made.value;
    let begin = async || {
        accounts.sign_in(&secret.username, &secret.password, &caller()).await.unwrap().token
    };
    let stands = async |token: &str| accounts.principal_of_session(token).await.unwrap().is_some();
    let change = async |wanted| {
        accounts.change_credential(&BY, name, &secret.username, wanted).await.unwrap()
    };
    let token = begin().await;
    let note = CredentialChange { note: Some("x".to_owned()), ..CredentialChange::default() };
    change(note).await;
    accounts.promote_credential(&BY, name, &secret.username).await.unwrap();
    accounts.flush_tenant(&BY, name).await.unwrap();
    assert!(stands(&token).await);
    let less = Some(Capabilities::READ);
    change(CredentialChange { capabilities: less, ..CredentialChange::default() }).await;
    assert!(!stands(&token).await);

    let token = begin().await;
    accounts.remove_tenant(&BY, name).await.unwrap();
    assert!(!stands(&token).await);
    // Nor is one of a credential that is revoked that of another with its name.
    let (_, _) = tenant(&accounts, "shop").await;
    let chosen = NewCredential {
        chosen: Some(Chosen { username: "carl".to_owned(), password: PASSWORD.to_owned() }),
        ..may(Capabilities::ALL)
    };
    accounts.create_credential(&BY, name, chosen.clone()).await.unwrap();
    let token = accounts.sign_in("carl", PASSWORD, &caller()).await.unwrap().token;
    accounts.revoke_credential(&BY, name, "carl").await.unwrap();
    assert!(!stands(&token).await);
    accounts.create_credential(&BY, name, chosen).await.unwrap();
    assert!(!stands(&token).await);
}

async fn sessions_are_listed_and_ended_by_their_owner(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let ann = ann(&accounts).await;
    let (_, secret) = tenant(&accounts, "shop").await;
    let other = accounts.sign_in(&secret.username, &secret.password, &caller()).await.unwrap();
    let odd = larder_control::Caller {
        from: "::1".to_owned(),
        user_agent: format!("a\0\u{1b}[2J{}", "é".repeat(5000)),
    };
    let mut tokens = Vec::new();
    for from in [&caller(), &odd, &caller()] {
        tokens.push(accounts.sign_in("ann", PASSWORD, from).await.unwrap().token);
        fresh.wait(1);
    }
    let listed = accounts.sessions(&ann).await.unwrap();
    let ids: Vec<_> = listed.iter().map(|session| session.id.clone()).collect();
    let expected: Vec<_> = tokens.iter().rev().map(|token| session_id(token)).collect();
    assert_eq!(ids, expected);
    assert_eq!((&*listed[0].from, &*listed[0].user_agent), ("192.0.2.7", "Firefox"));
    assert!(listed[1].user_agent.starts_with("a[2Jé") && listed[1].user_agent.len() < 5000);

    // Not those of somebody else.
    let theirs = session_id(&other.token);
    for (of, id) in [(&ann, &*theirs), (&other.principal, &*ids[0]), (&ann, ""), (&ann, "\0")] {
        let error = accounts.end_session(&BY, of, id).await.unwrap_err();
        assert!(matches!(error, AccountsError::NotFound { what: "session", .. }), "{error}");
    }
    accounts.end_session(&BY, &ann, &ids[1]).await.unwrap();
    let stands = async |token: &str| accounts.principal_of_session(token).await.unwrap().is_some();
    assert!(stands(&tokens[0]).await && !stands(&tokens[1]).await && stands(&tokens[2]).await);
    let ended = accounts.end_other_sessions(&BY, &ann, Some(&ids[0])).await.unwrap().value;
    assert_eq!(ended, 1);
    assert!(!stands(&tokens[0]).await && stands(&tokens[2]).await && stands(&other.token).await);
    assert_eq!(accounts.end_other_sessions(&BY, &ann, None).await.unwrap().value, 1);
    assert_eq!(accounts.end_other_sessions(&BY, &ann, None).await.unwrap().value, 0);
}

async fn there_are_fifty_sessions_at_most(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (_, secret) = tenant(&accounts, "shop").await;
    let caller = caller();
    let begin = || accounts.sign_in(&secret.username, &secret.password, &caller);
    let first = begin().await.unwrap();
    fresh.wait(1);
    let mut last = first.clone();
    for _ in 0..50 {
        last = begin().await.unwrap();
    }
    assert_eq!(accounts.sessions(&first.principal).await.unwrap().len(), 50);
    assert_eq!(accounts.principal_of_session(&first.token).await.unwrap(), None);
    assert!(accounts.principal_of_session(&last.token).await.unwrap().is_some());
}

async fn tokens_do_what_their_holder_may(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let ann = ann(&accounts).await;
    let (shop, _) = tenant(&accounts, "shop").await;
    let made = accounts.create_credential(&BY, &shop.name, may(Capabilities::ALL)).await.unwrap();
    let Some(credential) =
        accounts.principal_of_credential(&made.value.username, &made.value.password).await.unwrap()
    else {
        unreachable!()
    };
    let mut tokens = Vec::new();
    for of in [&ann, &credential] {
        let token = accounts.create_token(&BY, of, "ci", None).await.unwrap().value;
        assert!(token.starts_with("lrd_") && token.len() == 68, "{token}");
        assert_eq!(accounts.principal_of_token(&token).await.unwrap().as_ref(), Some(of));
        tokens.push(token);
    }
    // What the credential may do now, not when the token was made.
    let less = Some(Capabilities::READ);
    let wanted = CredentialChange { capabilities: less, ..CredentialChange::default() };
    let user = &made.value.username;
    accounts.change_credential(&BY, &shop.name, user, wanted).await.unwrap();
    let found = accounts.principal_of_token(&tokens[1]).await.unwrap();
    let Some(Principal::Credential { capabilities, .. }) = found else { panic!("{found:?}") };
    assert_eq!(capabilities, Capabilities::READ);
    accounts.revoke_credential(&BY, &shop.name, user).await.unwrap();
    assert_eq!(accounts.principal_of_token(&tokens[1]).await.unwrap(), None);
    assert!(accounts.principal_of_token(&tokens[0]).await.unwrap().is_some());
    let gone = accounts.create_token(&BY, &credential, "late", None).await.unwrap_err();
    assert!(matches!(gone, AccountsError::NotFound { .. }), "{gone}");
    for token in ["", "lrd_", "lrd_\0", &tokens[0][4..], &tokens[0].to_uppercase()] {
        assert_eq!(accounts.principal_of_token(token).await.unwrap(), None, "{token}");
    }
}

async fn tokens_end(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let ann = ann(&accounts).await;
    for (note, expires) in [("past", Some(fresh.now())), ("a\0b", None), (&*"x".repeat(201), None)]
    {
        let error = accounts.create_token(&BY, &ann, note, expires).await.unwrap_err();
        assert!(matches!(error, AccountsError::Invalid { .. }), "{error}");
    }
    let expires = Some(fresh.now() + DAY);
    let token = accounts.create_token(&BY, &ann, "ci", expires).await.unwrap().value;
    let stands = async || accounts.principal_of_token(&token).await.unwrap().is_some();
    let used = async || accounts.tokens(&ann).await.unwrap()[0].last_used;
    assert_eq!(used().await, None);
    assert!(stands().await);
    let first = fresh.now();
    assert_eq!(used().await, Some(first));
    fresh.wait(59);
    assert!(stands().await);
    assert_eq!(used().await, Some(first));
    fresh.wait(DAY - 60);
    assert!(stands().await);
    assert_eq!(used().await, Some(fresh.now()));
    fresh.wait(1);
    assert!(!stands().await);
    for _ in 1..100 {
        accounts.create_token(&BY, &ann, "", None).await.unwrap();
    }
    let error = accounts.create_token(&BY, &ann, "", None).await.unwrap_err();
    assert!(matches!(error, AccountsError::Conflict(_)), "{error}");
}

async fn tokens_are_listed_and_revoked_by_their_owner(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let ann = ann(&accounts).await;
    let (_, secret) = tenant(&accounts, "shop").await;
    let found = accounts.principal_of_credential(&secret.username, &secret.password).await;
    let credential = found.unwrap().unwrap();
    let token = accounts.create_token(&BY, &ann, "ci", None).await.unwrap().value;
    let listed = accounts.tokens(&ann).await.unwrap();
    assert_eq!((listed.len(), &*listed[0].note, listed[0].created), (1, "ci", fresh.now()));
    assert!(!token.contains(&listed[0].id));
    assert_eq!(accounts.tokens(&credential).await.unwrap(), []);
    for (of, id) in [(&credential, &*listed[0].id), (&ann, ""), (&ann, "\0"), (&ann, &*token)] {
        let error = accounts.revoke_token(&BY, of, id).await.unwrap_err();
        assert!(matches!(error, AccountsError::NotFound { what: "token", .. }), "{error}");
    }
    accounts.revoke_token(&BY, &ann, &listed[0].id).await.unwrap();
    assert_eq!(accounts.principal_of_token(&token).await.unwrap(), None);
}

async fn a_credential_is_known_by_its_password(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (shop, secret) = tenant(&accounts, "shop").await;
    let is = |user: &str, password: &str| {
        let (user, password) = (user.to_owned(), password.to_owned());
        let accounts = accounts.clone();
        async move { accounts.principal_of_credential(&user, &password).await.unwrap() }
    };
    let Some(Principal::Credential { tenant, .. }) = is(&secret.username, &secret.password).await
    else {
        panic!("not known");
    };
    assert_eq!(tenant, shop.name);
    assert_eq!(is(&secret.username, "").await, None);
    assert_eq!(is("nobody", &secret.password).await, None);
    assert_eq!(is("\0", "\0").await, None);
    ann(&accounts).await;
    assert_eq!(is("ann", PASSWORD).await, None, "an operator is no credential");
}

async fn operators_come_and_go(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let ann = ann(&accounts).await;
    let session = accounts.sign_in("ann", PASSWORD, &caller()).await.unwrap();
    let token = accounts.create_token(&BY, &ann, "", None).await.unwrap().value;
    let only = accounts.remove_operator(&BY, "ann").await.unwrap_err();
    assert!(only.to_string().contains("make another first"), "{only}");
    let (shop, _) = tenant(&accounts, "shop").await;
    let new = NewCredential {
        chosen: Some(Chosen { username: "carl".to_owned(), password: PASSWORD.to_owned() }),
        ..may(Capabilities::ALL)
    };
    accounts.create_credential(&BY, &shop.name, new).await.unwrap();
    for taken in ["ann", "carl"] {
        let error = accounts.create_operator(&BY, taken).await.unwrap_err();
        assert!(matches!(error, AccountsError::Exists { what: "user", .. }), "{error}");
    }
    for bad in ["", "a b", "a:b", "\0", "ä", &"x".repeat(65)] {
        let error = accounts.create_operator(&BY, bad).await.unwrap_err();
        assert!(matches!(error, AccountsError::Invalid { what: "operator", .. }), "{error}");
    }
    accounts.create_operator(&BY, "bob").await.unwrap();
    let link = accounts.new_sign_in_link(&BY, "ann").await.unwrap();
    accounts.remove_operator(&BY, "ann").await.unwrap();
    assert_eq!(accounts.principal_of_session(&session.token).await.unwrap(), None);
    assert_eq!(accounts.principal_of_token(&token).await.unwrap(), None);
    let late = accounts.redeem(&link.token, &caller()).await.unwrap_err();
    assert_eq!(late, SignInError::Refused);
    let names: Vec<_> = accounts.operators().await.unwrap().into_iter().map(|o| o.name).collect();
    assert_eq!(names, ["bob"]);
}

async fn nothing_of_this_raises_the_version_and_all_is_audited(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let ann = ann(&accounts).await;
    let link = accounts.new_sign_in_link(&BY, "ann").await.unwrap();
    let session = accounts.redeem(&link.token, &caller()).await.unwrap();
    let token = accounts.create_token(&BY, &ann, "ci", None).await.unwrap();
    let id = accounts.tokens(&ann).await.unwrap()[0].id.clone();
    accounts.revoke_token(&BY, &ann, &id).await.unwrap();
    accounts.end_session(&BY, &ann, &session_id(&session.token)).await.unwrap();
    assert_eq!((token.version, accounts.version().await.unwrap()), (1, 1));
    let entries = accounts.audit(None, None, 100).await.unwrap();
    let actions: Vec<_> = entries.iter().rev().map(|entry| &*entry.action).collect();
    let expected = [
        "operator.create",
        "operator.password",
        "operator.link",
        "session.begin",
        "token.create",
        "token.revoke",
        "session.end",
    ];
    assert_eq!(actions, expected);
    let all = format!("{entries:?}");
    for secret in [&*session.token, &*link.token, &*token.value, PASSWORD, "argon2"] {
        assert!(!all.contains(secret), "{secret}");
    }
    let begun = &entries[3];
    assert_eq!((&*begun.who, &*begun.from), ("operator ann", "192.0.2.7"));
}

async fn names_that_are_none_are_refused(fresh: &Fresh) {
    let accounts = fresh.open().await;
    ann(&accounts).await;
    let long = "x".repeat(100_000);
    for user in ["\0", "ann\0", "' OR 1=1 --", "\u{feff}ann", &long] {
        let refused = accounts.sign_in(user, PASSWORD, &caller()).await.unwrap_err();
        assert_eq!(refused, SignInError::Refused);
        let refused = accounts.sign_in("ann", user, &caller()).await.unwrap_err();
        assert_eq!(refused, SignInError::Refused);
        assert!(accounts.set_operator_password(&BY, user, PASSWORD, None).await.is_err());
        assert!(accounts.new_sign_in_link(&BY, user).await.is_err());
        assert!(accounts.remove_operator(&BY, user).await.is_err());
        assert!(accounts.forget_node(&BY, user).await.is_err());
    }
}
