//! Tells receivers of alerts, such as Slack.
//!
//! A cache's administrator says where; so the address is checked: one of this machine or of a private
//! network is refused unless an operator gave it. What is checked is what is connected to, so a name
//! that resolves differently the next moment does not help. No redirects are followed, no proxy is used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use larder_control::Webhook;
use larder_tenancy::TenantName;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tower::Service;

use crate::places::Places;

/// For one exchange, from the name to the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits before a message is sent again.
const AGAIN: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(10), Duration::from_secs(60)];

/// Most messages on their way at once. More are dropped, and that is logged.
const MOST: usize = 64;

/// Most of one cache: its receiver may be one that never answers.
const MOST_OF_TENANT: usize = 16;

/// Most tests on their way at once: people wait for them.
const MOST_TESTS: usize = 4;

/// So much of an answer is read, in bytes.
const MOST_SAID: usize = 1024;

type Poster = Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>;

/// Sends messages.
#[derive(Debug, Clone)]
pub(crate) struct Webhooks {
    public: Poster,
    private: Poster,
    on_their_way: Arc<Places>,
    tests: Arc<Semaphore>,
}

/// What a receiver said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) status: u16,
    /// The beginning of it.
    pub(crate) text: String,
}

impl Webhooks {
    pub(crate) fn new() -> Self {
        Self {
            public: poster(false),
            private: poster(true),
            on_their_way: Places::new(MOST, MOST_OF_TENANT),
            tests: Arc::new(Semaphore::new(MOST_TESTS)),
        }
    }

    /// A place for a test, to be held while it is on its way; none if all are taken.
    pub(crate) fn tests(&self) -> Option<OwnedSemaphorePermit> {
        self.tests.clone().try_acquire_owned().ok()
    }

    /// Sends a message about a tenant in the background, again if that may help.
    pub(crate) fn deliver(
        &self,
        tenant: &TenantName,
        to: Webhook,
        may_be_private: bool,
        text: String,
    ) {
        let Some(place) = self.on_their_way.take(Some(tenant)) else {
            tracing::warn!(%tenant, %to, "a notice is dropped: too many are on their way");
            return;
        };
        let webhooks = self.clone();
        tokio::spawn(async move {
            let _place = place;
            webhooks.insist(&to, may_be_private, &text).await;
        });
    }

    /// Sends a message once.
    ///
    /// # Errors
    ///
    /// Why there was no answer.
    pub(crate) async fn send(
        &self,
        to: &Webhook,
        may_be_private: bool,
        text: &str,
    ) -> Result<Said, String> {
        let exchange = self.exchange(to, may_be_private, text);
        match timeout(PATIENCE, exchange).await {
            Ok(said) => said,
            Err(_) => Err(format!("no answer within {} seconds", PATIENCE.as_secs())),
        }
    }

    async fn insist(&self, to: &Webhook, may_be_private: bool, text: &str) {
        let mut waits = AGAIN.into_iter();
        loop {
            let outcome = self.send(to, may_be_private, text).await;
            let (problem, is_final) = match outcome {
                Ok(said) if said.is_taken() => return,
                Ok(said) => (format!("status {}: {}", said.status, said.text), said.is_final()),
                Err(problem) => (problem, false),
            };
            match waits.next() {
                Some(wait) if !is_final => sleep(wait).await,
                _ => {
                    tracing::warn!(%to, problem, "a notice is not delivered");
                    return;
                }
            }
        }
    }

    async fn exchange(
        &self,
        to: &Webhook,
        may_be_private: bool,
        text: &str,
    ) -> Result<Said, String> {
        let uri: Uri = to.url().parse().map_err(|_| "the URL cannot be used".to_owned())?;
        if !may_be_private {
            check_literal(&uri)?;
        }
        let request = Request::post(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("larder/", env!("CARGO_PKG_VERSION")))
            .body(Full::from(json!({ "text": escaped(text) }).to_string()))
            .map_err(|_| "the URL cannot be used".to_owned())?;
        let poster = if may_be_private { &self.private } else { &self.public };
        let response = poster.request(request).await.map_err(|error| reason(&error))?;
        let status = response.status().as_u16();
        Ok(Said { status, text: beginning(response.into_body()).await })
    }
}

impl Said {
    pub(crate) fn is_taken(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the same message would get the same answer.
    fn is_final(&self) -> bool {
        (300..500).contains(&self.status) && self.status != 429 && self.status != 408
    }
}

/// Refuses a URL whose host is a private address written as such. One that is a name is checked when it
/// is resolved.
///
/// # Errors
///
/// That it is refused, and what would be right.
pub(crate) fn check_literal(uri: &Uri) -> Result<(), String> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) if !is_public(address) => Err(refusal(address)),
        _ => Ok(()),
    }
}

fn refusal(address: IpAddr) -> String {
    format!(
        "{address} is not a public address; only an operator may set a webhook to a private one"
    )
}

fn poster(may_be_private: bool) -> Poster {
    let mut http = HttpConnector::new_with_resolver(Resolver { may_be_private });
    http.enforce_http(false);
    http.set_connect_timeout(Some(PATIENCE));
    let https = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1();
    Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(https.wrap_connector(http))
}

/// Resolves names, and drops the addresses that may not be connected to.
#[derive(Debug, Clone)]
struct Resolver {
    may_be_private: bool,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let may_be_private = self.may_be_private;
        Box::pin(async move {
            let all: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let (allowed, refused): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|address| may_be_private || is_public(address.ip()));
            match (allowed.is_empty(), refused.first()) {
                (true, Some(address)) => Err(std::io::Error::other(refusal(address.ip()))),
                _ => Ok(allowed.into_iter()),
            }
        })
    }
}

/// Whether an address is one of the public internet (the special-purpose registries of RFC 6890 and
/// after are not). An IPv6 address that leads to an IPv4 one counts as that.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => is_public_v4(v4),
            None => is_public_v6(v6),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Only 2000::/3 is given out to the public; of that not Teredo and the like (2001::/23),
    // documentation (2001:db8::/32, 3fff::/20).
    let [a, b, ..] = address.segments();
    let is_global = a & 0xe000 == 0x2000;
    let is_special = (a == 0x2001 && (b < 0x200 || b == 0xdb8)) || (a == 0x3fff && b < 0x1000);
    is_global && !is_special
}

/// The IPv4 address that an IPv6 one stands for: mapped, NAT64, or 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => of(g, h),
        (0x2002, high, low, ..) => of(high, low),
        _ => None,
    }
}

/// The beginning of an answer, as one line of text.
async fn beginning(mut body: Incoming) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < MOST_SAID {
        let Some(Ok(frame)) = body.frame().await else { break };
        bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
    }
    bytes.truncate(MOST_SAID);
    let text = String::from_utf8_lossy(&bytes);
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(200).collect::<String>().trim().to_owned()
}

/// What went wrong, at the bottom of it: the errors above only say that something did.
fn reason(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// Text as Slack wants it: `&`, `<` and `>` mean something there.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn private_addresses_are_known_in_every_form() {
        for address in [
            "127.0.0.1",
            "127.255.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.2.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "::7f00:1",
            "3fff::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::1",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn literals_in_urls_are_checked() {
        for url in ["http://127.0.0.1/x", "http://[::1]:80/", "https://169.254.169.254/latest"] {
            assert!(check_literal(&url.parse().unwrap()).is_err(), "{url}");
        }
        for url in ["https://hooks.example/x", "http://1.1.1.1/"] {
            assert!(check_literal(&url.parse().unwrap()).is_ok(), "{url}");
        }
    }

    #[test]
    fn answers_that_will_not_change_are_final() {
        let said = |status| Said { status, text: String::new() };
        assert!(said(204).is_taken());
        for status in [301, 400, 404, 410] {
            assert!(said(status).is_final() && !said(status).is_taken(), "{status}");
        }
        for status in [408, 429, 500, 503] {
            assert!(!said(status).is_final(), "{status}");
        }
    }

    /// A receiver that is busy at first is told again.
    #[tokio::test]
    async fn a_message_is_sent_again_until_it_is_taken() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let webhooks = Webhooks::new();
        let shop = TenantName::new("shop").unwrap();
        webhooks.deliver(&shop, Webhook::parse(&url).unwrap(), true, "hello".to_owned());
        for answer in ["503 Service Unavailable", "200 OK"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut received = Vec::new();
            while !received.ends_with(b"{\"text\":\"hello\"}") {
                assert!(stream.read_buf(&mut received).await.unwrap() > 0);
            }
            let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        // Taken: all places are free again, and nothing more is sent.
        webhooks.on_their_way.all_free(u32::try_from(MOST).unwrap()).await;
        let more = std::pin::pin!(listener.accept());
        tokio::select! {
            biased;
            _ = more => panic!("it was sent a third time"),
            () = std::future::ready(()) => {}
        }
    }

    #[test]
    fn what_slack_would_read_as_markup_is_escaped() {
        assert_eq!(escaped("a<b> & <!channel>"), "a&lt;b&gt; &amp; &lt;!channel&gt;");
    }
}
