//! What may be stored, and the names of the reasons why something was not.

use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{AUTHORIZATION, CACHE_CONTROL, EXPIRES, PRAGMA, RANGE, SET_COOKIE, VARY};
use http::{HeaderMap, Method, StatusCode, request, response};

use crate::ttl::Ttl;

/// Why a response was not answered from the cache, or not stored in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum NoCacheReason {
    /// Not GET or HEAD.
    Method,
    /// The request has an `Authorization` header.
    Authorization,
    /// The request asks for a part of the page.
    Range,
    /// The request names no host, or two.
    Host,
    /// HEAD for a page that is not cached: its empty body says nothing about GET's.
    Head,
    /// A status other than 200.
    Status,
    /// The response sets a cookie.
    SetCookie,
    /// The handler looked into the visitor's session, which the request carried.
    Session,
    /// `Cache-Control` says private, no-store, no-cache, or an age of 0; or, without it, there is
    /// an `Expires` or `Pragma` header, which say such things in the older way.
    CacheControl,
    /// `Vary: *`, or a `Vary` that cannot be read.
    Vary,
    /// `Vary` names headers that were not known to tell this page's variants apart; they are now.
    NewVary,
    /// The body is larger than the cache takes.
    TooLarge,
    /// The body is a stream whose length is not known beforehand.
    Stream,
    /// The body broke off, or has trailers.
    Body,
    /// The cache is down.
    Unavailable,
    /// The page was invalidated, or filled by somebody else, while the handler ran.
    Overtaken,
}

impl NoCacheReason {
    const ALL: [Self; 16] = [
        Self::Method,
        Self::Authorization,
        Self::Range,
        Self::Host,
        Self::Head,
        Self::Status,
        Self::SetCookie,
        Self::Session,
        Self::CacheControl,
        Self::Vary,
        Self::NewVary,
        Self::TooLarge,
        Self::Stream,
        Self::Body,
        Self::Unavailable,
        Self::Overtaken,
    ];

    /// A short name, as it stands in `Cache-Status` and in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Authorization => "authorization",
            Self::Range => "range",
            Self::Host => "host",
            Self::Head => "head",
            Self::Status => "status",
            Self::SetCookie => "set-cookie",
            Self::Session => "session",
            Self::CacheControl => "cache-control",
            Self::Vary => "vary",
            Self::NewVary => "new-vary",
            Self::TooLarge => "too-large",
            Self::Stream => "stream",
            Self::Body => "body",
            Self::Unavailable => "cache-unavailable",
            Self::Overtaken => "overtaken",
        }
    }
}

/// How one request was answered. Every response that passed the layer has it as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageOutcome {
    /// From the cache.
    Hit,
    /// By the handler, and stored.
    Stored,
    /// By the handler, and not stored.
    NotStored(NoCacheReason),
    /// By the handler, without a look into the cache.
    Bypassed(NoCacheReason),
}

/// How many requests had which outcome, and why what was not stored was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageCounts {
    /// Answered from the cache.
    pub hits: u64,
    /// Answered by the handler and stored.
    pub stored: u64,
    /// Answered by the handler and not stored, by reason; only reasons that occurred.
    pub not_stored: Vec<(NoCacheReason, u64)>,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    hits: AtomicU64,
    stored: AtomicU64,
    reasons: [AtomicU64; NoCacheReason::ALL.len()],
}

impl Counters {
    pub(super) fn count(&self, outcome: PageOutcome) {
        let counter = match outcome {
            PageOutcome::Hit => &self.hits,
            PageOutcome::Stored => &self.stored,
            PageOutcome::NotStored(reason) | PageOutcome::Bypassed(reason) => {
                &self.reasons[reason as usize]
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> PageCounts {
        let reasons = NoCacheReason::ALL.iter().zip(&self.reasons);
        PageCounts {
            hits: self.hits.load(Ordering::Relaxed),
            stored: self.stored.load(Ordering::Relaxed),
            not_stored: reasons
                .map(|(&reason, count)| (reason, count.load(Ordering::Relaxed)))
                .filter(|&(_, count)| count > 0)
                .collect(),
        }
    }
}

/// Whether the cache may be asked for this request at all.
pub(super) fn may_look_up(request: &request::Parts) -> Result<(), NoCacheReason> {
    if request.method != Method::GET && request.method != Method::HEAD {
        Err(NoCacheReason::Method)
    } else if request.headers.contains_key(AUTHORIZATION) {
        Err(NoCacheReason::Authorization)
    } else if request.headers.contains_key(RANGE) {
        Err(NoCacheReason::Range)
    } else {
        Ok(())
    }
}

/// Whether the response to a GET may be stored, going by its head; and for how long.
pub(super) fn may_store(response: &response::Parts, ttl: Ttl) -> Result<Ttl, NoCacheReason> {
    if response.status != StatusCode::OK {
        Err(NoCacheReason::Status)
    } else if response.headers.contains_key(SET_COOKIE) {
        Err(NoCacheReason::SetCookie)
    } else {
        life(&response.headers, ttl)
    }
}

/// The life that `Cache-Control` gives to a shared cache, or `ttl`.
fn life(headers: &HeaderMap, ttl: Ttl) -> Result<Ttl, NoCacheReason> {
    let (mut max_age, mut s_maxage) = (None, None);
    for value in headers.get_all(CACHE_CONTROL) {
        let value = value.to_str().map_err(|_| NoCacheReason::CacheControl)?;
        for directive in value.split(',') {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "private" | "no-store" | "no-cache" => return Err(NoCacheReason::CacheControl),
                "max-age" => max_age = Some(seconds(argument)?),
                "s-maxage" => s_maxage = Some(seconds(argument)?),
                _ => {}
            }
        }
    }
    let old_style = headers.contains_key(EXPIRES) || headers.contains_key(PRAGMA);
    match s_maxage.or(max_age) {
        None if old_style => Err(NoCacheReason::CacheControl),
        None => Ok(ttl),
        Some(0) => Err(NoCacheReason::CacheControl),
        Some(age) => Ok(Ttl::secs(age)),
    }
}

/// An age that cannot be read is a stale one (RFC 9111, 4.2.1).
fn seconds(argument: &str) -> Result<u64, NoCacheReason> {
    argument.trim().trim_matches('"').parse().map_err(|_| NoCacheReason::CacheControl)
}

/// The headers that a response varies on: in lower case, sorted, each once.
pub(super) fn vary_names(headers: &HeaderMap) -> Result<Vec<String>, NoCacheReason> {
    let mut names = Vec::new();
    for value in headers.get_all(VARY) {
        let value = value.to_str().map_err(|_| NoCacheReason::Vary)?;
        let listed = value.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.extend(listed.map(str::to_ascii_lowercase));
    }
    if names.iter().any(|name| http::HeaderName::try_from(name).is_err() || name == "*") {
        return Err(NoCacheReason::Vary);
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&str, &str)]) -> response::Parts {
        let mut response = http::Response::builder();
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_response_decides() {
        use NoCacheReason as No;
        let layer = Ttl::secs(9);
        type Case<'a> = (&'a [(&'a str, &'a str)], Result<Ttl, No>);
        let cases: [Case<'_>; 13] = [
            (&[], Ok(layer)),
            (&[("cache-control", "public")], Ok(layer)),
            (&[("cache-control", "max-age=60")], Ok(Ttl::secs(60))),
            (&[("cache-control", "max-age=60, s-maxage=5")], Ok(Ttl::secs(5))),
            (&[("cache-control", "max-age=0")], Err(No::CacheControl)),
            (&[("cache-control", "max-age=soon")], Err(No::CacheControl)),
            (&[("cache-control", "public"), ("cache-control", "Private")], Err(No::CacheControl)),
            (&[("cache-control", "no-store")], Err(No::CacheControl)),
            (&[("cache-control", "private=\"x\"")], Err(No::CacheControl)),
            (&[("expires", "Thu, 01 Jan 1970 00:00:00 GMT")], Err(No::CacheControl)),
            (&[("pragma", "no-cache")], Err(No::CacheControl)),
            (&[("expires", "0"), ("cache-control", "max-age=5")], Ok(Ttl::secs(5))),
            (&[("set-cookie", "a=b")], Err(No::SetCookie)),
        ];
        for (headers, expected) in cases {
            assert_eq!(may_store(&head(headers), layer), expected, "{headers:?}");
        }
    }

    #[test]
    fn vary_lists_are_normalised() {
        let names = |headers| vary_names(&head(headers).headers);
        let expected = vec!["accept".to_owned(), "cookie".to_owned()];
        assert_eq!(names(&[("vary", "Cookie, ACCEPT"), ("vary", "cookie")]), Ok(expected));
        assert_eq!(names(&[]), Ok(vec![]));
        assert_eq!(names(&[("vary", "accept, *")]), Err(NoCacheReason::Vary));
        assert_eq!(names(&[("vary", "not a header")]), Err(NoCacheReason::Vary));
    }
}
