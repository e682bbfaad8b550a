//! A visitor: a small browser without a screen, for the walkthrough and the tests. It keeps
//! cookies, sends what a browser sends with a form, and does not follow redirects by itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::body::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::net::TcpStream;

/// How long a visitor waits for a page.
const PATIENCE: Duration = Duration::from_secs(60);

/// One visitor of one server.
#[derive(Debug, Clone)]
pub struct Visitor {
    server: SocketAddr,
    cookies: BTreeMap<String, String>,
}

/// A page as the visitor got it.
#[derive(Debug, Clone)]
pub struct Page {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
    /// From asking to the last byte.
    pub took: Duration,
}

/// What a page's headers said about its cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Keys looked up.
    pub gets: u64,
    /// Keys found.
    pub hits: u64,
    /// Keys not found.
    pub misses: u64,
    /// Values written.
    pub sets: u64,
    /// Times the server waited for cache servers.
    pub round_trips: u64,
    /// Queries for the list.
    pub queries: u64,
}

impl Visitor {
    /// A visitor without cookies.
    pub fn new(server: SocketAddr) -> Self {
        let cookies = BTreeMap::new();
        Self { server, cookies }
    }

    /// The same visitor, cookies and all, before another server.
    #[must_use]
    pub fn at(&self, server: SocketAddr) -> Self {
        let cookies = self.cookies.clone();
        Self { server, cookies }
    }

    /// Opens a page.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<Page> {
        self.send(Method::GET, path, &[], Vec::new()).await
    }

    /// Opens a page with some headers of the caller's.
    pub async fn get_with(&mut self, path: &str, extra: &[(&str, &str)]) -> anyhow::Result<Page> {
        self.send(Method::GET, path, extra, Vec::new()).await
    }

    /// Sends a form, as from a page of the same site.
    pub async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> anyhow::Result<Page> {
        let origin = format!("http://{}", self.server);
        self.post_from(&origin, path, form).await
    }

    /// Sends a form from a page of `origin`.
    pub async fn post_from(
        &mut self,
        origin: &str,
        path: &str,
        form: &[(&str, &str)],
    ) -> anyhow::Result<Page> {
        let body = encode_form(form).into_bytes();
        let own = origin == format!("http://{}", self.server);
        let site = if own { "same-origin" } else { "cross-site" };
        let headers = [
            (ORIGIN.as_str(), origin),
            ("sec-fetch-site", site),
            (CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded"),
        ];
        self.send(Method::POST, path, &headers, body).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        extra: &[(&str, &str)],
        body: Vec<u8>,
    ) -> anyhow::Result<Page> {
        let mut request = Request::builder().method(method).uri(path);
        let headers = request.headers_mut().context("a request has headers")?;
        headers.insert(HOST, self.server.to_string().parse()?);
        if !self.cookies.is_empty() {
            headers.insert(COOKIE, self.cookie_header().parse()?);
        }
        for (name, value) in extra {
            headers.insert(http::HeaderName::try_from(*name)?, value.parse()?);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let started = Instant::now();
        let response = tokio::time::timeout(PATIENCE, exchange(self.server, request))
            .await
            .with_context(|| format!("{path}: no answer within {PATIENCE:?}"))?
            .with_context(|| format!("{path} at {}", self.server))?;
        self.keep_cookies(response.headers());
        let (parts, body) = response.into_parts();
        Ok(Page {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
            took: started.elapsed(),
        })
    }

    fn cookie_header(&self) -> String {
        let pairs = self.cookies.iter();
        let pairs: Vec<_> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    fn keep_cookies(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(SET_COOKIE) {
            let mut fields = cookie.to_str().unwrap_or_default().split(';').map(str::trim);
            let Some((name, value)) = fields.next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            if value.is_empty() || fields.any(|field| field.eq_ignore_ascii_case("max-age=0")) {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Page {
    /// Where a redirect leads.
    pub fn location(&self) -> Option<&str> {
        self.headers.get(LOCATION)?.to_str().ok()
    }

    /// A header as text; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The app's own figures, from its member of `Cache-Status`.
    pub fn told(&self) -> Told {
        let statuses = self.headers.get_all("cache-status").iter();
        let members =
            statuses.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
        let mut own = members.filter_map(|member| member.trim().strip_prefix("tasklist;"));
        let own = own.next().unwrap_or_default();
        let number = |name: &str| {
            let fields = own.split(';').filter_map(|field| field.trim().split_once('='));
            let mut named = fields.filter(|(field, _)| *field == name);
            named.next().and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
        };
        Told {
            gets: number("gets"),
            hits: number("hits"),
            misses: number("misses"),
            sets: number("sets"),
            round_trips: number("trips"),
            queries: number("queries"),
        }
    }
}

async fn exchange(
    server: SocketAddr,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<Response<Bytes>> {
    let stream = TokioIo::new(TcpStream::connect(server).await?);
    let (mut sender, connection) = http1::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(parts, body))
}

/// `application/x-www-form-urlencoded`.
fn encode_form(form: &[(&str, &str)]) -> String {
    let mut encoded = String::new();
    for (name, value) in form {
        if !encoded.is_empty() {
            encoded.push('&');
        }
        encoded.extend(utf8_percent_encode(name, NON_ALPHANUMERIC));
        encoded.push('=');
        encoded.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_cache_status() {
        let mut headers = HeaderMap::new();
        headers.append("cache-status", "larder-pages; fwd=uri-miss; stored".parse().unwrap());
        let own = "tasklist; gets=12; hits=10; misses=2; sets=3; trips=1; queries=4";
        headers.append("cache-status", own.parse().unwrap());
        let page =
            Page { status: StatusCode::OK, headers, body: String::new(), took: Duration::ZERO };
        let told = page.told();
        assert_eq!((told.gets, told.hits, told.misses, told.sets), (12, 10, 2, 3));
        assert_eq!((told.round_trips, told.queries), (1, 4));
    }

    #[test]
    fn forms_are_encoded() {
        assert_eq!(encode_form(&[("name", "ä b&c"), ("x", "1")]), "name=%C3%A4%20b%26c&x=1");
    }
}
