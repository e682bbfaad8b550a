//! What is stored under a page's key: the page, or the headers that it varies on.
//!
//! The layout is a length (`u32`, big-endian), that many bytes of JSON, and the body. Bytes that do
//! not read as that are a miss.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, ETAG, HeaderName, HeaderValue, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::conditional::etag_of;
use super::rules::NoCacheReason;

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
    /// The versions of its tags when the handler began, as text.
    pub(super) versions: String,
}

/// The headers that tell a page's variants apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Variants {
    /// Part of the variants' keys: with the record gone, they are out of reach.
    pub(super) nonce: String,
    /// In lower case, sorted.
    pub(super) headers: Vec<String>,
}

#[derive(Serialize, Deserialize)]
enum Head {
    Page { status: u16, headers: Vec<(String, String)>, versions: String },
    Variants(Variants),
}

impl Page {
    /// A page from a response, with the headers that browsers need to ask again cheaply.
    pub(super) fn new(
        status: StatusCode,
        headers: &HeaderMap,
        body: Bytes,
        versions: String,
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
        Self { status, headers: kept, body, versions }
    }
}

impl Entry {
    /// The bytes to store.
    pub(super) fn encode(&self) -> Result<Bytes, NoCacheReason> {
        let (head, body) = match self {
            Self::Variants(variants) => (Head::Variants(variants.clone()), &Bytes::new()),
            Self::Page(page) => {
                let headers = page.headers.iter().map(|(name, value)| {
                    Ok((name.as_str().to_owned(), value.to_str()?.to_owned()))
                });
                let headers: Result<_, http::header::ToStrError> = headers.collect();
                let head = Head::Page {
                    status: page.status.as_u16(),
                    headers: headers.map_err(|_| NoCacheReason::Header)?,
                    versions: page.versions.clone(),
                };
                (head, &page.body)
            }
        };
        let head = serde_json::to_vec(&head).map_err(|_| NoCacheReason::Header)?;
        let len = u32::try_from(head.len()).map_err(|_| NoCacheReason::TooLarge)?;
        let mut bytes = BytesMut::with_capacity(4 + head.len() + body.len());
        bytes.put_u32(len);
        bytes.put_slice(&head);
        bytes.put_slice(body);
        Ok(bytes.freeze())
    }

    /// The entry that `bytes` hold, if they do.
    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let head = serde_json::from_slice(rest.get(..len)?).ok()?;
        match head {
            Head::Variants(variants) => Some(Self::Variants(variants)),
            Head::Page { status, headers, versions } => {
                let mut map = HeaderMap::with_capacity(headers.len());
                for (name, value) in headers {
                    let name = HeaderName::try_from(name).ok()?;
                    map.append(name, HeaderValue::try_from(value).ok()?);
                }
                let status = StatusCode::from_u16(status).ok()?;
                let body = bytes.slice(4 + len..);
                Some(Self::Page(Page { status, headers: map, body, versions }))
            }
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
        headers.append("link", HeaderValue::from_static("b"));
        headers.append("set-cookie", HeaderValue::from_static("never=kept"));
        headers.append("server-timing", HeaderValue::from_static("total;dur=1"));
        Page::new(StatusCode::OK, &headers, Bytes::from_static(b"<p>hello"), "a.b".to_owned())
    }

    #[test]
    fn a_page_survives_storage_and_its_cookie_does_not() {
        let page = page();
        assert!(!page.headers.contains_key("set-cookie"));
        assert!(!page.headers.contains_key("server-timing"));
        assert_eq!(page.headers.get_all("link").iter().count(), 2);
        let entry = Entry::Page(page);
        assert_eq!(Entry::decode(&entry.encode().unwrap()), Some(entry));
    }

    #[test]
    fn damaged_bytes_are_a_miss() {
        let whole = Entry::Page(page()).encode().unwrap();
        let head_len = 4 + u32::from_be_bytes(whole[..4].try_into().unwrap()) as usize;
        for cut in 0..head_len {
            assert_eq!(Entry::decode(&whole.slice(..cut)), None, "cut at {cut}");
        }
        assert_eq!(Entry::decode(&Bytes::from_static(b"\xff\xff\xff\xff{}")), None);
    }
}
