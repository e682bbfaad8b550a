//! What is stored under a page's key: the page, or the headers that it varies on.
//!
//! The layout is text, much like HTTP's own: a first line, a line for each header, an empty line,
//! and the body. It is read without copying anything but the header map. Bytes that do not read as
//! that are a miss.
//!
//! ```text
//! page 200 1793000000 3f21 99ac        status, when (Unix seconds), versions of the tags
//! content-type: text/html
//!
//! <!DOCTYPE html>…
//! ```
//! ```text
//! variants 5e0c77ab                    a nonce, part of the variants' keys
//! accept-language
//!
//! ```

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, ETAG, HeaderName, HeaderValue, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, StatusCode};

use super::conditional::etag_of;

/// Headers that belong to one answer and not to the page: hop-by-hop ones (RFC 9110, 7.6.1),
/// those that are reckoned anew, and what tells of this request's own work.
const NOT_STORED: [HeaderName; 12] = [
    CONNECTION,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("te"),
    HeaderName::from_static("trailer"),
    HeaderName::from_static("date"),
    HeaderName::from_static("age"),
    HeaderName::from_static("cache-status"),
    HeaderName::from_static("server-timing"),
    HeaderName::from_static("set-cookie"),
];

/// An entry of the page cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Page(Page),
    Variants(Variants),
}

/// A response, ready to be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) status: StatusCode,
    /// Includes `ETag` and `Cache-Control`.
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// When the handler began, in Unix seconds.
    pub(super) made: u64,
    /// The versions of its tags when the handler began.
    pub(super) versions: Vec<u64>,
}

/// The headers that tell a page's variants apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variants {
    /// Part of the variants' keys: with the record gone, they are out of reach.
    pub(super) nonce: String,
    /// In lower case, sorted, each once.
    pub(super) headers: Vec<String>,
}

impl Page {
    /// A page from a response, with the headers that browsers need to ask again cheaply.
    pub(super) fn new(
        status: StatusCode,
        headers: &HeaderMap,
        body: Bytes,
        made: u64,
        versions: Vec<u64>,
    ) -> Self {
        let mut kept = HeaderMap::with_capacity(headers.len() + 2);
        for (name, value) in headers.iter().filter(|(name, _)| !NOT_STORED.contains(name)) {
            kept.append(name.clone(), value.clone());
        }
        if !kept.contains_key(ETAG) {
            kept.insert(ETAG, etag_of(&body));
        }
        if !kept.contains_key(CACHE_CONTROL) {
            kept.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        Self { status, headers: kept, body, made, versions }
    }

    /// The bytes to store.
    pub(super) fn encode(&self) -> Bytes {
        let mut first = format!("page {} {}", self.status.as_u16(), self.made);
        for version in &self.versions {
            // Writing to a String cannot fail.
            let _ = write!(first, " {version:x}");
        }
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 3).sum();
        let mut bytes = BytesMut::with_capacity(first.len() + headers + 2 + self.body.len());
        bytes.put_slice(first.as_bytes());
        bytes.put_u8(b'\n');
        for (name, value) in &self.headers {
            // A header value has no line breaks (http::HeaderValue).
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"] {
                bytes.put_slice(part);
            }
        }
        bytes.put_u8(b'\n');
        bytes.put_slice(&self.body);
        bytes.freeze()
    }
}

impl Variants {
    /// A record with keys of its own.
    pub(super) fn new(headers: impl Iterator<Item = String>) -> Self {
        let mut headers: Vec<_> = headers.collect();
        headers.sort_unstable();
        headers.dedup();
        Self { nonce: crate::random_hex::<8>(), headers }
    }

    /// The bytes to store.
    pub(super) fn encode(&self) -> Bytes {
        let mut text = format!("variants {}\n", self.nonce);
        for name in &self.headers {
            text.push_str(name);
            text.push('\n');
        }
        text.push('\n');
        text.into()
    }
}

impl Entry {
    /// The entry that `bytes` hold, if they do.
    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let mut lines = Lines { bytes, at: 0 };
        let first = str::from_utf8(&lines.next()?).ok()?.to_owned();
        let mut words = first.split(' ');
        match words.next()? {
            "variants" => {
                let nonce = words.next()?.to_owned();
                let mut headers = Vec::new();
                loop {
                    let line = lines.next()?;
                    if line.is_empty() {
                        return Some(Self::Variants(Variants { nonce, headers }));
                    }
                    headers.push(str::from_utf8(&line).ok()?.to_owned());
                }
            }
            "page" => {
                let status = StatusCode::from_u16(words.next()?.parse().ok()?).ok()?;
                let made = words.next()?.parse().ok()?;
                let versions = words.map(|word| u64::from_str_radix(word, 16).ok());
                let versions = versions.collect::<Option<_>>()?;
                let headers = lines.headers()?;
                let body = bytes.slice(lines.at..);
                Some(Self::Page(Page { status, headers, body, made, versions }))
            }
            _ => None,
        }
    }
}

/// The lines of an entry, as slices of it.
struct Lines<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Lines<'_> {
    fn next(&mut self) -> Option<Bytes> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|&byte| byte == b'\n')?;
        let line = self.bytes.slice(self.at..self.at + len);
        self.at += len + 1;
        Some(line)
    }

    /// Header lines up to the empty one.
    fn headers(&mut self) -> Option<HeaderMap> {
        let mut headers = HeaderMap::with_capacity(8);
        loop {
            let line = self.next()?;
            if line.is_empty() {
                return Some(headers);
            }
            let colon = line.iter().position(|&byte| byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            let value = line.slice(colon + 1..);
            let value = value.slice(value.iter().take_while(|&&byte| byte == b' ').count()..);
            headers.append(name, HeaderValue::from_maybe_shared(value).ok()?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let mut headers = HeaderMap::new();
        headers.append("content-type", HeaderValue::from_static("text/html"));
        headers.append("link", HeaderValue::from_static("a"));
        headers.append("link", HeaderValue::from_static("b: c"));
        headers.append("x-empty", HeaderValue::from_static(""));
        headers.append("x-place", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        headers.append("set-cookie", HeaderValue::from_static("never=kept"));
        headers.append("server-timing", HeaderValue::from_static("total;dur=1"));
        let body = Bytes::from_static(b"<p>\n\nhello");
        Page::new(StatusCode::OK, &headers, body, 1_793_000_000, vec![1, u64::MAX])
    }

    #[test]
    fn a_page_survives_storage_and_its_cookie_does_not() {
        let page = page();
        assert!(!page.headers.contains_key("set-cookie"));
        assert!(!page.headers.contains_key("server-timing"));
        assert_eq!(page.headers.get_all("link").iter().count(), 2);
        assert_eq!(Entry::decode(&page.encode()), Some(Entry::Page(page)));
    }

    #[test]
    fn a_record_survives_storage() {
        for names in [vec![], vec!["cookie".to_owned(), "accept".to_owned(), "cookie".to_owned()]] {
            let record = Variants::new(names.into_iter());
            assert_eq!(Entry::decode(&record.encode()), Some(Entry::Variants(record)));
        }
    }

    #[test]
    fn damaged_bytes_are_a_miss() {
        let whole = page().encode();
        let head_len = whole.windows(2).position(|pair| pair == b"\n\n").unwrap() + 2;
        for cut in 0..head_len {
            assert_eq!(Entry::decode(&whole.slice(..cut)), None, "cut at {cut}");
        }
        for bytes in ["", "\n\n", "page\n\n", "page 99999 1\n\n", "page 200 1\nno colon\n\n"] {
            assert_eq!(Entry::decode(&Bytes::from_static(bytes.as_bytes())), None, "{bytes:?}");
        }
    }
}
