//! Session ids, and the cookie they travel in.

use std::fmt;
use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue, Uri};
use sha2::{Digest, Sha256};

use crate::key::{CacheKey, Family};

/// How many random bytes an id has.
const ID_BYTES: usize = 32;

/// Whether browsers send the cookie over TLS only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secure {
    /// Over TLS only.
    Always,
    /// Over plain HTTP too.
    Never,
    /// Over TLS only, if the request that set it came so: by its own scheme, or as a proxy in front
    /// says in `X-Forwarded-Proto`. A visitor who forges that header only affects their own cookie.
    #[default]
    FromForwardedProto,
}

/// A name that no cookie can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("session cookie name {0:?}: use letters, digits, '-' and '_', such as \"session\"")]
pub struct InvalidCookieName(pub String);

/// What the session's cookie is like, for one request.
#[derive(Clone, Debug)]
pub(super) struct CookieStyle {
    pub(super) name: String,
    pub(super) secure: Secure,
}

/// A session's secret name.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SessionId(String);

/// What cache and table know a session by: the SHA-256 of its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoreId(String);

impl SessionId {
    pub(super) fn random() -> Self {
        Self(crate::random_hex::<ID_BYTES>())
    }

    /// The id in the request's cookies. One that could not be ours is none, and so are two: which
    /// of them is this site's own cannot be told.
    pub(super) fn from_cookies(cookies: &[HeaderValue], name: &str) -> Option<Self> {
        let mut values = cookies
            .iter()
            .flat_map(|header| header.as_bytes().split(|&byte| byte == b';'))
            .filter_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        let value = values.next()?;
        let is_ours = value.len() == 2 * ID_BYTES
            && value.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_ours || values.next().is_some() {
            return None;
        }
        String::from_utf8(value.to_vec()).ok().map(Self)
    }

    pub(super) fn stored_as(&self) -> StoreId {
        StoreId(hex::encode(Sha256::digest(&self.0)))
    }
}

/// The id itself opens a session, so it is never shown.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

impl StoreId {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Where caches keep the session.
    pub(super) fn cache_key(&self) -> CacheKey {
        CacheKey::reserved(Family::Session).with(self.as_str())
    }
}

impl CookieStyle {
    pub(super) fn named(self, name: &str) -> Result<Self, InvalidCookieName> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || !name.bytes().all(is_plain) {
            return Err(InvalidCookieName(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), ..self })
    }

    /// The value of `Set-Cookie` that gives a visitor `id`, or takes it away.
    pub(super) fn header(&self, id: Option<&SessionId>, life: Duration, tls: bool) -> HeaderValue {
        let (id, seconds) = id.map_or(("", 0), |id| (id.0.as_str(), life.as_secs()));
        let name = &self.name;
        let secure = if self.is_secure(tls) { "; Secure" } else { "" };
        let text =
            format!("{name}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        let mut value = HeaderValue::from_str(&text).expect("a checked name and hex digits");
        value.set_sensitive(true);
        value
    }

    fn is_secure(&self, tls: bool) -> bool {
        // Browsers refuse these prefixes on any other cookie.
        let demanded = self.name.starts_with("__Host-") || self.name.starts_with("__Secure-");
        demanded
            || match self.secure {
                Secure::Always => true,
                Secure::Never => false,
                Secure::FromForwardedProto => tls,
            }
    }
}

/// The request's `Cookie` headers; HTTP/2 may send several.
pub(super) fn cookies(headers: &HeaderMap) -> Vec<HeaderValue> {
    headers.get_all(COOKIE).iter().cloned().collect()
}

/// Whether the request came over TLS, as far as can be told.
pub(super) fn came_by_tls(headers: &HeaderMap, uri: &Uri) -> bool {
    let forwarded = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    // Of several proxies, the first is the one the visitor talked to.
    let nearest = forwarded.and_then(|list| list.split(',').next()).map(str::trim);
    nearest.or(uri.scheme_str()).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn parsed(cookies: &[&str]) -> Option<String> {
        let cookies: Vec<_> =
            cookies.iter().map(|text| HeaderValue::from_str(text).unwrap()).collect();
        SessionId::from_cookies(&cookies, "session").map(|id| id.0)
    }

    #[test]
    fn only_one_cookie_of_our_own_form_counts() {
        let ours = format!("session={ID}");
        assert_eq!(parsed(&[&ours]).as_deref(), Some(ID));
        assert_eq!(parsed(&["a=b", &format!("x=1;  {ours} ; y=2")]).as_deref(), Some(ID));
        let long = format!("session={}", "a".repeat(100_000));
        for cookies in [
            &["a=b"][..],
            &[&ours, &ours],
            &[&format!("{ours}; {ours}")],
            &[&format!("{ours}; session=")],
            &["session="],
            &["session"],
            &[&long],
            &[&format!("session={}", ID.to_uppercase())],
            &[&format!("session=\"{ID}\"")],
            &[&format!("{ours}0")],
            &[&format!("xsession={ID}")],
            &[&format!("session2={ID}")],
            &["\u{ff}session=\u{ff}"],
        ] {
            assert_eq!(parsed(cookies), None, "{cookies:?}");
        }
    }

    #[test]
    fn ids_are_random_and_stored_as_digests() {
        let (one, two) = (SessionId::random(), SessionId::random());
        assert_ne!(one, two);
        assert_eq!(one.0.len(), 64);
        assert_eq!(one.stored_as().as_str().len(), 64);
        assert_ne!(one.stored_as().as_str(), one.0);
        assert!(!format!("{one:?}").contains(&one.0));
    }

    #[test]
    fn the_cookie_is_secure_where_it_should_be() {
        let style = |name: &str, secure| CookieStyle { name: name.to_owned(), secure };
        let cases = [
            (style("s", Secure::Always), false, true),
            (style("s", Secure::Never), true, false),
            (style("s", Secure::FromForwardedProto), true, true),
            (style("s", Secure::FromForwardedProto), false, false),
            (style("__Host-s", Secure::Never), false, true),
        ];
        for (style, tls, expected) in cases {
            let header = style.header(None, Duration::ZERO, tls);
            assert_eq!(header.to_str().unwrap().contains("; Secure"), expected, "{style:?}");
        }
        for (proto, uri, expected) in [
            (Some("https"), "/", true),
            (Some("HTTPS, http"), "/", true),
            (Some("http, https"), "/", false),
            (Some("http"), "https://a/", false),
            (None, "https://a/", true),
            (None, "/", false),
        ] {
            let headers = proto.map(|proto| ("x-forwarded-proto", proto));
            let headers = headers
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
            let headers: HeaderMap = headers.into_iter().collect();
            assert_eq!(came_by_tls(&headers, &uri.parse().unwrap()), expected, "{proto:?} {uri}");
        }
    }

    #[test]
    fn a_name_that_could_break_the_header_is_refused() {
        let style = CookieStyle { name: "session".to_owned(), secure: Secure::Never };
        assert!(style.clone().named("__Host-id").is_ok());
        for name in ["", "a b", "a=b", "a;b", "ä", "a\r\nb"] {
            assert!(style.clone().named(name).is_err(), "{name:?}");
        }
    }
}
