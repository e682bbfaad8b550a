//! The host names that the console answers to.
//!
//! A browser takes a page for one of our origin if it came by a name that points here, whoever owns the
//! name (DNS rebinding). So names are ours only if we were told, or cannot be pointed elsewhere:
//! `localhost`, and addresses written as such.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::uri::Authority;
use http::{HeaderMap, Uri, header};

use crate::console::ConsoleSettings;

/// The host names that the console answers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hosts {
    /// Of the public URL, in lower case.
    public: Option<String>,
}

impl Hosts {
    pub(crate) fn of(settings: &ConsoleSettings) -> Self {
        let url = settings.public_url.as_deref().and_then(|url| url.parse::<Uri>().ok());
        Self { public: url.and_then(|url| url.host().map(normal)) }
    }

    /// Whether a request with these headers is for us, on any port. It must say so exactly once, and
    /// nothing else in its target.
    pub(crate) fn allow(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let mut values = headers.get_all(header::HOST).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        let Some(host) = value.to_str().ok().and_then(host) else { return false };
        let agrees = uri.authority().is_none_or(|target| normal(target.host()) == host);
        agrees && self.is_ours(&host)
    }

    fn is_ours(&self, host: &str) -> bool {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        host == "localhost"
            || host.parse::<Ipv4Addr>().is_ok()
            || inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
            || self.public.as_deref() == Some(host)
    }
}

/// Whether a URL's host is this machine itself.
pub(crate) fn is_loopback(url: &str) -> bool {
    let Some(host) = url.parse::<Uri>().ok().and_then(|url| url.host().map(normal)) else {
        return false;
    };
    let inner = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || inner.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The host of a `Host` header, normal.
fn host(text: &str) -> Option<String> {
    if text.contains('@') {
        return None;
    }
    let authority: Authority = text.parse().ok()?;
    Some(normal(authority.host())).filter(|host| !host.is_empty())
}

/// Lower-case, without the final dot.
fn normal(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(hosts: &[&str], uri: &str, public: Option<&str>) -> bool {
        let public_url = public.map(str::to_owned);
        let ours = Hosts::of(&ConsoleSettings { public_url, ..ConsoleSettings::default() });
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, host.parse().unwrap());
        }
        ours.allow(&headers, &uri.parse().unwrap())
    }

    #[test]
    fn names_that_cannot_be_pointed_here_by_others_are_ours() {
        for host in
            ["localhost", "LOCALHOST:8001", "localhost.", "127.0.0.1:8001", "10.1.2.3", "[::1]:80"]
        {
            assert!(allowed(&[host], "/", None), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "larder", ""]
        {
            assert!(!allowed(&[host], "/", None), "{host}");
        }
    }

    #[test]
    fn the_public_url_adds_its_host() {
        let public = Some("https://Cache.Example.org:8443/");
        assert!(allowed(&["cache.example.org"], "/", public));
        assert!(allowed(&["cache.example.org.:1"], "/", public));
        assert!(!allowed(&["a.cache.example.org"], "/", public));
        assert!(!allowed(&["example.org"], "/", public));
    }

    #[test]
    fn a_host_is_said_once_and_not_contradicted() {
        assert!(!allowed(&[], "/", None));
        assert!(!allowed(&["localhost", "localhost"], "/", None));
        assert!(!allowed(&["user@localhost"], "/", None));
        assert!(!allowed(&["local host"], "/", None));
        assert!(allowed(&["localhost"], "http://localhost/", None));
        assert!(!allowed(&["localhost"], "http://evil.example/", None));
    }

    #[test]
    fn loopback_urls_are_known() {
        for url in ["http://localhost:8001", "http://127.0.0.1", "http://[::1]:8001/"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["https://cache.example.org", "http://10.0.0.1:8001", "nonsense"] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
