//! Where notices are posted.

use std::fmt;

use super::rule::AlertError;

/// Where notices are posted: an `http` or `https` URL. Its path often is the secret by which the other
/// side knows us, so only [`Webhook::url`] has it; what is displayed stops at the host.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    url: Box<str>,
    /// Bytes up to the end of host and port.
    origin: usize,
}

impl Webhook {
    /// The longest URL in bytes.
    pub const MAX_LEN: usize = 2048;

    /// Checks a URL. Whether its host exists, and where it is, is for who posts to find out.
    ///
    /// # Errors
    ///
    /// What is wrong with it. The URL is not repeated.
    pub fn parse(url: &str) -> Result<Self, AlertError> {
        let wrong = |what| Err(AlertError::Webhook(what));
        if url.len() > Self::MAX_LEN {
            return wrong("is too long");
        }
        if !url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return wrong("has a space, a backslash or a character that is not ASCII");
        }
        let scheme = match url.split_once("://") {
            Some(("http" | "https", _)) => url.find("://").map_or(0, |at| at + 3),
            _ => return wrong("does not begin with https:// or http://"),
        };
        let rest = &url[scheme..];
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let place = &rest[..end];
        if place.contains('@') {
            return wrong("has a user or a password in it");
        }
        if !is_place(place) {
            return wrong("has no valid host and port");
        }
        Ok(Self { url: url.into(), origin: scheme + end })
    }

    /// All of it. Not for logs.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/…", &self.url[..self.origin])
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({self})")
    }
}

/// Whether this is a host, with a port or without.
fn is_place(place: &str) -> bool {
    if let Some(rest) = place.strip_prefix('[') {
        let Some((host, port)) = rest.split_once(']') else { return false };
        let port = if port.is_empty() { Some(None) } else { port.strip_prefix(':').map(Some) };
        return host.parse::<std::net::Ipv6Addr>().is_ok()
            && port.is_some_and(|port| port.is_none_or(is_port));
    }
    let (host, port) = match place.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    };
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_host = !host.is_empty() && host.len() <= 253 && host.bytes().all(good);
    is_host && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_is_displayed() {
        for (url, shown) in [
            ("https://hooks.slack.com/services/T0/B0/secret", "https://hooks.slack.com/…"),
            ("http://10.0.0.7:8065/hooks/secret", "http://10.0.0.7:8065/…"),
            ("http://[::1]:80?secret", "http://[::1]:80/…"),
            ("http://[fe80::1]/secret@x", "http://[fe80::1]/…"),
            ("http://localhost#secret", "http://localhost/…"),
        ] {
            let webhook = Webhook::parse(url).unwrap();
            assert_eq!((webhook.url(), webhook.to_string().as_str()), (url, shown));
            assert!(!format!("{webhook:?}").contains("secret"));
        }
    }

    #[test]
    fn what_is_no_url_of_a_webhook_is_refused_without_repeating_it() {
        let long = format!("https://host/{}", "secret".repeat(400));
        for (url, says) in [
            ("", "does not begin"),
            ("hooks.slack.com/secret", "does not begin with https://"),
            ("ftp://host/secret", "does not begin"),
            ("file:///etc/secret", "does not begin"),
            ("javascript:secret", "does not begin"),
            ("https://", "no valid host"),
            ("https:///secret", "no valid host"),
            ("https://user:secret@host/", "a user or a password"),
            ("https://host:0/secret", "no valid host and port"),
            ("https://host:65536/secret", "no valid host and port"),
            ("https://host:/secret", "no valid host and port"),
            ("https://host:+80/secret", "no valid host and port"),
            ("https://[::1/secret", "no valid host"),
            ("https://[::1]x/secret", "no valid host"),
            ("https://host\\@secret/", "a backslash"),
            ("https://a b/secret", "a space"),
            ("https://host/secret\r\nHost: x", "a space"),
            ("https://hóst/secret", "not ASCII"),
            (&long, "too long"),
        ] {
            let error = Webhook::parse(url).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("secret"), "{url}: {error}");
        }
    }
}
