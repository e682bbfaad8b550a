//! The `Host` check: requests for names that the app does not answer to stop here.
//!
//! Cached pages are keyed by host name, and the CSRF check compares `Origin` with it, so a name
//! must be one the operator has allowed. [`Host`] owns the parsing of what a client sent: exactly
//! one well-formed `Host` header, which a target in absolute form must repeat. [`AllowedHosts`] owns
//! the operator's list. Both compare lower-case names without the final dot.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use http::{HeaderMap, Uri, header};

/// The host names the app answers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHosts(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Any,
    Exactly(String),
    /// The domain itself and everything under it.
    Domain(String),
}

impl AllowedHosts {
    /// The machine itself, by its address.
    pub fn loopback() -> AllowedHosts {
        AllowedHosts(vec![Pattern::Exactly("127.0.0.1".to_owned())])
    }

    /// Whether the app answers to a request with these headers.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), HostProblem> {
        match Host::of(headers, uri)? {
            host if self.allows(&host) => Ok(()),
            host => Err(HostProblem::NotAllowed(host)),
        }
    }

    /// Whether the app answers to this host, on any port.
    pub fn allows(&self, host: &Host) -> bool {
        self.0.iter().any(|pattern| match pattern {
            Pattern::Any => true,
            Pattern::Exactly(name) => host.name == *name,
            Pattern::Domain(domain) => host
                .name
                .strip_suffix(domain)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
        })
    }
}

/// The list is not in the notation of `TASKLIST_ALLOWED_HOSTS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidHosts;

impl FromStr for AllowedHosts {
    type Err = InvalidHosts;

    fn from_str(text: &str) -> Result<AllowedHosts, InvalidHosts> {
        let patterns = text.split(',').map(|entry| pattern(entry.trim()).ok_or(InvalidHosts));
        patterns.collect::<Result<_, _>>().map(AllowedHosts)
    }
}

impl fmt::Display for AllowedHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match pattern {
                Pattern::Any => write!(f, "{comma}*")?,
                Pattern::Exactly(name) => write!(f, "{comma}{name}")?,
                Pattern::Domain(domain) => write!(f, "{comma}.{domain}")?,
            }
        }
        Ok(())
    }
}

fn pattern(entry: &str) -> Option<Pattern> {
    if entry == "*" {
        return Some(Pattern::Any);
    }
    match entry.strip_prefix('.') {
        Some(domain) => domain_name(domain).map(Pattern::Domain),
        None => host_name(entry).map(Pattern::Exactly),
    }
}

/// A request's host, as a name to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    name: String,
    port: Option<u16>,
}

/// Why a request has no usable host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostProblem {
    /// There is no `Host` header.
    Missing,
    /// There are several.
    Several,
    /// It is not a host name with or without a port.
    Malformed,
    /// The request's target names another host than the header.
    Contradiction,
    /// It is none of the allowed ones.
    NotAllowed(Host),
}

impl Host {
    /// The host a request is for.
    pub fn of(headers: &HeaderMap, uri: &Uri) -> Result<Host, HostProblem> {
        let mut values = headers.get_all(header::HOST).iter();
        let value = values.next().ok_or(HostProblem::Missing)?;
        if values.next().is_some() {
            return Err(HostProblem::Several);
        }
        let text = value.to_str().map_err(|_| HostProblem::Malformed)?;
        let host = Host::parse(text).ok_or(HostProblem::Malformed)?;
        match uri.authority() {
            Some(target) if Host::parse(target.as_str()).as_ref() != Some(&host) => {
                Err(HostProblem::Contradiction)
            }
            _ => Ok(host),
        }
    }

    /// The name, lower-case, an IPv6 address in its brackets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, if one was given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    fn parse(text: &str) -> Option<Host> {
        // The colons inside an IPv6 address come before its bracket.
        let after_address = text.rfind(']').map_or(0, |bracket| bracket + 1);
        let (name, port) = match text[after_address..].find(':') {
            Some(colon) => text.split_at(after_address + colon),
            None => (text, ""),
        };
        let port = match port.strip_prefix(':') {
            None | Some("") => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            Some(_) => return None,
        };
        host_name(name).map(|name| Host { name, port })
    }
}

/// A domain name or an address: normalised, or `None`.
fn host_name(text: &str) -> Option<String> {
    match text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().ok().map(|address| format!("[{address}]")),
        None => domain_name(text),
    }
}

fn domain_name(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let valid = text.len() <= 253 && text.split('.').all(label);
    valid.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hosts: &[&[u8]], uri: &str) -> Result<Host, HostProblem> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, http::HeaderValue::from_bytes(host).unwrap());
        }
        Host::of(&headers, &uri.parse().unwrap())
    }

    #[test]
    fn allowed_and_not() {
        let allowed: AllowedHosts =
            "localhost, 127.0.0.1,[0:0::1], .Larder.example.".parse().unwrap();
        assert_eq!(allowed.to_string(), "localhost, 127.0.0.1, [::1], .larder.example");
        let right = [
            "localhost",
            "LOCALHOST:8000",
            "localhost.",
            "localhost.:80",
            "localhost:",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:8000",
            "larder.example",
            "a.b.larder.example:443",
        ];
        for host in right {
            assert!(allowed.allows(&of(&[host.as_bytes()], "/").expect(host)), "{host}");
        }
        for host in ["localhost.evil.example", "evillarder.example", "127.0.0.2", "[::2]", "larder"]
        {
            assert!(!allowed.allows(&of(&[host.as_bytes()], "/").expect(host)), "{host}");
        }
        let any: AllowedHosts = "*".parse().unwrap();
        assert!(any.allows(&of(&[b"whatever.example"], "/").unwrap()));
    }

    #[test]
    fn garbage_is_refused_by_name() {
        let long = "a".repeat(254);
        let garbage: &[&[u8]] = &[
            b"",
            b" ",
            b".",
            b"a..b",
            b"a b",
            b"a/b",
            b"a@b",
            b"user:pw@localhost",
            b"localhost:x",
            b"localhost:65536",
            b"localhost:80:80",
            b"localhost:+80",
            b"[::1",
            b"::1",
            b"[::1]x",
            b"[x]",
            b"]:80",
            b"a,b",
            b"<script>",
            "b\u{fc}cher".as_bytes(),
            b"\xff",
            long.as_bytes(),
        ];
        for host in garbage {
            let text = String::from_utf8_lossy(host);
            assert_eq!(of(&[host], "/"), Err(HostProblem::Malformed), "{text:?}");
        }
        assert_eq!(of(&[], "/"), Err(HostProblem::Missing));
        assert_eq!(of(&[b"localhost", b"localhost"], "/"), Err(HostProblem::Several));
    }

    #[test]
    fn a_target_in_absolute_form_must_agree() {
        assert!(of(&[b"localhost:80"], "http://LOCALHOST:80/").is_ok());
        for target in ["http://evil.example/", "http://localhost:81/", "http://x@localhost:80/"] {
            assert_eq!(of(&[b"localhost:80"], target), Err(HostProblem::Contradiction), "{target}");
        }
    }
}
