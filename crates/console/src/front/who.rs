//! Who asks: a session's cookie, a bearer token, or a credential's username and password.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, OptionalFromRequestParts};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, header};
use larder_control::{Actor, Caller, Need, Principal, session_id};
use larder_tenancy::{Capabilities, TenantName};

use super::hosts::is_loopback;
use crate::console::{App, ConsoleSettings};
use crate::problem::Problem;

/// Somebody who proved who they are.
#[derive(Clone)]
pub(crate) struct Who {
    pub(crate) principal: Principal,
    pub(crate) way: Way,
    pub(crate) caller: Caller,
}

/// How somebody proved it. Holds what is secret, so that a long answer can ask again.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the cookie of a session.
    Session(String),
    /// By a token.
    Token(String),
    /// By a credential's username and password.
    Password(String, String),
}

impl Who {
    /// As the audit log has it.
    pub(crate) fn actor(&self) -> Actor {
        Actor { who: self.principal.who(), from: self.caller.from.clone() }
    }

    /// Whether it may do that.
    pub(crate) fn may(&self, need: Need, tenant: Option<&TenantName>) -> bool {
        self.principal.may(need, tenant)
    }

    /// What it may do with items, and hand out.
    pub(crate) fn capabilities(&self) -> Capabilities {
        match &self.principal {
            Principal::Operator { .. } => Capabilities::ALL,
            Principal::Credential { capabilities, .. } => *capabilities,
        }
    }

    /// Somebody who has just signed in, and has the cookie only when the answer arrives.
    pub(crate) fn begun(principal: Principal, caller: Caller) -> Self {
        Self { principal, way: Way::Session(String::new()), caller }
    }

    /// The id of the session that asks.
    pub(crate) fn session(&self) -> Option<String> {
        match &self.way {
            Way::Session(token) => Some(session_id(token)),
            Way::Token(_) | Way::Password(..) => None,
        }
    }
}

/// Names whoever it is, and nothing of how that was proved.
impl std::fmt::Debug for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Who").field(&self.principal).finish()
    }
}

/// Who asks; none if the request says nothing about it, or has a session's cookie that is over. A token
/// or a password that is wrong is a problem.
pub(super) async fn identify(
    app: &App,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Option<Who>, Problem> {
    let caller = caller(headers, extensions);
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let way = match (given.next(), given.next()) {
        (None, _) => match cookie(headers, &app.settings) {
            Some(token) => Way::Session(token),
            None => return Ok(None),
        },
        (Some(value), None) => authorization(value).ok_or_else(Problem::nobody)?,
        (Some(_), Some(_)) => return Err(Problem::invalid("there are two Authorization headers")),
    };
    let principal = match &way {
        Way::Password(username, _) => {
            let source = peer(extensions).map(|peer| peer.ip());
            app.throttle.admit(source, username)?;
            let principal = principal(app, &way).await?;
            if principal.is_none() {
                app.throttle.failed(source, username);
            }
            principal
        }
        Way::Session(_) | Way::Token(_) => principal(app, &way).await?,
    };
    match (principal, way) {
        (Some(principal), way) => Ok(Some(Who { principal, way, caller })),
        (None, Way::Session(_)) => Ok(None),
        (None, _) => Err(Problem::nobody()),
    }
}

/// Who that is now; none if it is over, or was never right.
pub(crate) async fn principal(app: &App, way: &Way) -> Result<Option<Principal>, Problem> {
    let found = match way {
        Way::Session(token) => app.accounts.principal_of_session(token).await,
        Way::Token(token) => app.accounts.principal_of_token(token).await,
        Way::Password(user, password) => app.accounts.principal_of_credential(user, password).await,
    };
    found.map_err(Problem::from)
}

/// Where a request comes from.
pub(crate) fn caller(headers: &HeaderMap, extensions: &Extensions) -> Caller {
    let from = peer(extensions).map_or_else(|| "unknown".to_owned(), |peer| peer.ip().to_string());
    let user_agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let user_agent = user_agent.unwrap_or_default().chars().take(200).collect();
    Caller { from, user_agent }
}

/// Where a request comes from if a proxy on this machine passed it on: the address that the proxy added to
/// `X-Forwarded-For`, the last. What is before it is what the client said. Nobody else is believed, and
/// the proxy only if the console is told that browsers come by another name than this machine's own.
pub(super) fn passed_on(
    headers: &HeaderMap,
    extensions: &Extensions,
    settings: &ConsoleSettings,
) -> Option<SocketAddr> {
    let is_public = settings.public_url.as_deref().is_some_and(|url| !is_loopback(url));
    if !is_public || !peer(extensions)?.ip().is_loopback() {
        return None;
    }
    let said = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    let address: IpAddr = said.rsplit(',').next()?.trim().parse().ok()?;
    Some(SocketAddr::new(address, 0))
}

/// The other end of the connection, an IPv4 address as such.
pub(crate) fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(SocketAddr::new(canonical(peer.ip()), peer.port()))
}

fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_canonical(),
        IpAddr::V4(_) => address,
    }
}

/// The name of the session's cookie. `__Host-` makes browsers hold it to this host and TLS.
fn cookie_name(settings: &ConsoleSettings) -> &'static str {
    if settings.is_https() { "__Host-larder" } else { "larder" }
}

/// The session's token in the cookies of a request.
pub(crate) fn cookie(headers: &HeaderMap, settings: &ConsoleSettings) -> Option<String> {
    let name = cookie_name(settings);
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs =
        lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(cookie, _)| *cookie == name).map(|(_, token)| token.to_owned())
}

/// The `Set-Cookie` that begins a session, or with an empty `token` ends it.
pub(crate) fn set_cookie(token: &str, seconds: u64, settings: &ConsoleSettings) -> HeaderValue {
    let name = cookie_name(settings);
    let secure = if settings.is_https() { "; Secure" } else { "" };
    let age = if token.is_empty() { 0 } else { seconds };
    let text = format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("larder=; Max-Age=0"))
}

/// What an `Authorization` header says; none if it is neither `Bearer` nor `Basic`, or garbled.
fn authorization(value: &HeaderValue) -> Option<Way> {
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Way::Token(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
    let (user, password) = pair.split_once(':')?;
    Some(Way::Password(user.to_owned(), password.to_owned()))
}

/// For rows that need somebody: the rights check found out who.
impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Who>().cloned().ok_or_else(Problem::nobody)
    }
}

/// For rows that anybody may ask, where who it is matters still.
impl OptionalFromRequestParts<Arc<App>> for Who {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<App>,
    ) -> Result<Option<Self>, Problem> {
        match parts.extensions.get::<Who>() {
            Some(who) => Ok(Some(who.clone())),
            None => identify(app, &parts.headers, &parts.extensions).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorization_is_a_token_or_a_password() {
        let way = |text| authorization(&HeaderValue::from_static(text));
        assert!(way("Bearer lrd_1") == Some(Way::Token("lrd_1".to_owned())));
        assert!(way("bearer lrd_1") == Some(Way::Token("lrd_1".to_owned())));
        let right = Way::Password("user".to_owned(), "pass:word".to_owned());
        assert!(way("Basic dXNlcjpwYXNzOndvcmQ=") == Some(right));
        for garbled in
            ["", "Basic", "Basic ???", "Basic dXNlcg==", "Basic /w==", "Digest x", "lrd_1"]
        {
            assert!(way(garbled).is_none(), "{garbled}");
        }
    }

    #[test]
    fn cookies_are_strict_and_found_again() {
        let plain = ConsoleSettings::default();
        let public_url = Some("https://c.example".to_owned());
        let https = ConsoleSettings { public_url, ..ConsoleSettings::default() };
        for (settings, begin, secure) in
            [(&plain, "larder=", false), (&https, "__Host-larder=", true)]
        {
            let set = set_cookie("token", 60, settings);
            let text = set.to_str().unwrap();
            assert!(text.starts_with(begin), "{text}");
            for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=60"] {
                assert!(text.contains(part), "{text}");
            }
            assert_eq!(text.contains("; Secure"), secure);
            let mut headers = HeaderMap::new();
            let pair = text.split(';').next().unwrap();
            headers.insert(header::COOKIE, format!("a=b; {pair}; c=d").parse().unwrap());
            assert_eq!(cookie(&headers, settings).as_deref(), Some("token"));
        }
        assert!(set_cookie("", 60, &plain).to_str().unwrap().contains("Max-Age=0"));
    }
}
