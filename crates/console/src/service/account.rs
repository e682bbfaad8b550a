//! Who asks: signing in and out, sessions, tokens, passwords.

use std::net::IpAddr;

use http::{HeaderValue, StatusCode};
use larder_control::{Caller, NewSession, Principal, SignInError};
use serde::Deserialize;

use crate::console::{App, now};
use crate::front::{Way, Who, set_cookie};
use crate::problem::Problem;
use crate::view::{
    DoneView, MeView, SessionView, SessionsView, TokenSecretView, TokenView, TokensView,
};

/// Somebody who wants to sign in.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignInBody {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// A token to be made.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTokenBody {
    #[serde(default)]
    pub(crate) note: String,
    #[serde(default)]
    pub(crate) expires: Option<u64>,
}

/// A password to be set.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordBody {
    pub(crate) password: String,
}

/// Who asks.
pub(crate) fn me(who: &Who) -> MeView {
    let capabilities = who.capabilities().names().collect();
    match &who.principal {
        Principal::Operator { name } => MeView {
            kind: "operator",
            name: name.clone(),
            tenant: None,
            capabilities,
            key_prefix: None,
        },
        Principal::Credential { username, tenant, key_prefix, .. } => MeView {
            kind: "credential",
            name: username.clone(),
            tenant: Some(tenant.to_string()),
            capabilities,
            key_prefix: key_prefix.clone(),
        },
    }
}

/// Begins a session for an operator or a credential: its `Set-Cookie`, and whose it is. Those who guess
/// have to wait.
pub(crate) async fn sign_in(
    app: &App,
    caller: &Caller,
    user: &str,
    password: &str,
) -> Result<(HeaderValue, Principal), Problem> {
    let source: Option<IpAddr> = caller.from.parse().ok();
    app.throttle.attempt(source, user)?;
    let session = app.accounts.sign_in(user, password, caller).await;
    match &session {
        Ok(_) => app.throttle.succeeded(source, user),
        Err(SignInError::Refused) => {}
        // What failed for another reason is no guess.
        Err(_) => app.throttle.undo(source, user),
    }
    Ok(begun(app, session?))
}

/// Begins a session for who has a sign-in link's token. Nobody guesses 256 random bits, so nobody has to
/// wait: whatever strangers do, an operator can get in.
pub(crate) async fn redeem(
    app: &App,
    caller: &Caller,
    token: &str,
) -> Result<(HeaderValue, Principal), Problem> {
    Ok(begun(app, app.accounts.redeem(token, caller).await?))
}

fn begun(app: &App, session: NewSession) -> (HeaderValue, Principal) {
    let seconds = session.expires.saturating_sub(now());
    (set_cookie(&session.token, seconds, &app.settings), session.principal)
}

/// Ends the session that asks: the `Set-Cookie` that forgets it.
pub(crate) async fn sign_out(app: &App, who: &Who) -> Result<HeaderValue, Problem> {
    if let Some(id) = who.session() {
        app.accounts.end_session(&who.actor(), &who.principal, &id).await?;
    }
    Ok(set_cookie("", 0, &app.settings))
}

/// All sessions of who asks.
pub(crate) async fn sessions(app: &App, who: &Who) -> Result<SessionsView, Problem> {
    let current = who.session();
    let sessions = app.accounts.sessions(&who.principal).await?.into_iter();
    let view = sessions.map(|session| SessionView {
        is_current: current.as_ref() == Some(&session.id),
        id: session.id,
        created: session.created,
        seen: session.seen,
        from: session.from,
        user_agent: session.user_agent,
    });
    Ok(SessionsView { sessions: view.collect() })
}

/// Ends one of them.
pub(crate) async fn end_session(app: &App, who: &Who, id: &str) -> Result<DoneView, Problem> {
    app.accounts.end_session(&who.actor(), &who.principal, id).await?;
    Ok(DoneView { waiting_for: Vec::new() })
}

/// Ends all of them but the one that asks.
pub(crate) async fn end_other_sessions(app: &App, who: &Who) -> Result<DoneView, Problem> {
    let current = who.session();
    let (by, of) = (who.actor(), &who.principal);
    app.accounts.end_other_sessions(&by, of, current.as_deref()).await?;
    Ok(DoneView { waiting_for: Vec::new() })
}

/// All tokens of who asks.
pub(crate) async fn tokens(app: &App, who: &Who) -> Result<TokensView, Problem> {
    let tokens = app.accounts.tokens(&who.principal).await?.into_iter();
    let view = tokens.map(|token| TokenView {
        id: token.id,
        note: token.note,
        created: token.created,
        expires: token.expires,
        last_used: token.last_used,
    });
    Ok(TokensView { tokens: view.collect() })
}

/// Makes a token that may do what its maker may. A token makes none: one that leaked would outlive its
/// own end.
pub(crate) async fn create_token(
    app: &App,
    who: &Who,
    body: NewTokenBody,
) -> Result<TokenSecretView, Problem> {
    if matches!(who.way, Way::Token(_)) {
        let message = "a token cannot make tokens: sign in, or use a username and password";
        return Err(Problem::beyond(message));
    }
    let (by, of) = (who.actor(), &who.principal);
    let made = app.accounts.create_token(&by, of, &body.note, body.expires).await?;
    Ok(TokenSecretView { token: made.value })
}

/// Ends a token of who asks.
pub(crate) async fn revoke_token(app: &App, who: &Who, id: &str) -> Result<DoneView, Problem> {
    app.accounts.revoke_token(&who.actor(), &who.principal, id).await?;
    Ok(DoneView { waiting_for: Vec::new() })
}

/// Sets the password of the operator who asks, and ends the other sessions: somebody who changes a
/// password may do so because another knows it.
pub(crate) async fn set_password(
    app: &App,
    who: &Who,
    body: &PasswordBody,
) -> Result<DoneView, Problem> {
    let Principal::Operator { name } = &who.principal else {
        let message = "a credential's password does not change: make another one and revoke this";
        return Err(Problem::new(StatusCode::CONFLICT, "conflict", message));
    };
    if matches!(who.way, Way::Token(_)) {
        return Err(Problem::beyond("a token cannot set a password: sign in"));
    }
    let (by, current) = (who.actor(), who.session());
    app.accounts.set_operator_password(&by, name, &body.password, current.as_deref()).await?;
    Ok(DoneView { waiting_for: Vec::new() })
}
