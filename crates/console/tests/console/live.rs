//! The console on a socket: live streams, and how it stops.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::common::{As, Site};
use larder_console::{ConsoleSettings, serve};
use larder_tenancy::Figures;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Long enough for whatever is to happen within seconds on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

const LIVE: &str = "/api/v1/tenants/shop/live";

/// A console that is served.
struct Served {
    site: Site,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<std::io::Result<()>>,
}

impl Served {
    async fn new() -> Self {
        let site = Site::new().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let console = site.console(ConsoleSettings::default());
        let shutdown = async {
            let _ = stopped.await;
        };
        let ended = tokio::spawn(serve(console, listener, shutdown));
        Self { site, address, stop, ended }
    }

    /// Asks for a path and reads the head of the answer.
    async fn open(&self, who: &As, path: &str) -> (String, Lines<BufReader<TcpStream>>) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\r\n\r\n",
            who.line().unwrap_or_default()
        );
        // Who refuses a request need not read all of it: the answer tells.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut lines = BufReader::new(stream).lines();
        let mut head = String::new();
        while let Some(line) = next(&mut lines).await {
            if line.is_empty() {
                break;
            }
            head.push_str(&line.to_ascii_lowercase());
            head.push('\n');
        }
        (head, lines)
    }
}

async fn next(lines: &mut Lines<BufReader<TcpStream>>) -> Option<String> {
    timeout(PATIENCE, lines.next_line()).await.expect("nothing came").unwrap_or_default()
}

/// The next event.
async fn event(lines: &mut Lines<BufReader<TcpStream>>) -> Option<Value> {
    loop {
        let line = next(lines).await?;
        if let Some(data) = line.strip_prefix("data: ") {
            return Some(serde_json::from_str(data).unwrap());
        }
    }
}

#[tokio::test]
async fn events_tell_what_was_counted_since_the_last_one() {
    let served = Served::new().await;
    let (node, shop) = (&served.site.node, served.site.shop);
    node.set(shop, Figures { get_hits: 5, ..Figures::default() });
    let (head, mut lines) = served.open(&served.site.everybody.reader, LIVE).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("no-store"), "{head}");
    let document = served.site.get(&As::Nobody, "/api/v1/openapi.json").await.json();
    let first = event(&mut lines).await.unwrap();
    crate::common::hold_against(&document, "Live", &first);
    assert_eq!(first["figures"]["get_hits"], 5);

    node.set(shop, Figures { get_hits: 8, get_misses: 1, ..Figures::default() });
    let told = loop {
        let told = event(&mut lines).await.unwrap();
        if told["figures"]["get_hits"] == 8 {
            break told;
        }
    };
    assert_eq!((&told["rates"]["get_hits"], &told["rates"]["gets"]), (&json!(3), &json!(4)));
    assert_eq!(told["rates"]["hit_rate"], 0.75);
    let after = event(&mut lines).await.unwrap();
    assert_eq!(after["rates"]["get_hits"], 0);
    assert!(after["at"].as_u64() >= told["at"].as_u64());
}

#[tokio::test]
async fn a_stream_ends_when_its_reader_may_no_longer_see_it() {
    let served = Served::new().await;
    let site = &served.site;
    let (_, mut lines) = served.open(&site.everybody.reader, LIVE).await;
    event(&mut lines).await.unwrap();
    let path = format!("/api/v1/tenants/shop/credentials/{}", site.everybody.reader.username());
    site.delete(&site.everybody.admin, &path).await.is(200);
    while event(&mut lines).await.is_some() {}
    let (head, _) = served.open(&site.everybody.reader, LIVE).await;
    assert!(head.starts_with("http/1.1 401"), "{head}");
}

#[tokio::test]
async fn streams_are_bounded_and_given_back() {
    let served = Served::new().await;
    let who = &served.site.everybody.operator;
    let mut open = Vec::new();
    for n in 0..200 {
        let (head, lines) = served.open(who, LIVE).await;
        assert!(head.starts_with("http/1.1 200"), "{n}: {head}");
        open.push(lines);
    }
    let (head, _) = served.open(who, LIVE).await;
    assert!(head.starts_with("http/1.1 429") && head.contains("retry-after"), "{head}");
    drop(open);
    let again = async {
        loop {
            let (head, _) = served.open(who, LIVE).await;
            if head.starts_with("http/1.1 200") {
                return;
            }
        }
    };
    timeout(PATIENCE, again).await.expect("streams that ended make room");
}

#[tokio::test]
async fn the_console_stops_with_streams_and_idle_connections_open() {
    let served = Served::new().await;
    let (_, mut lines) = served.open(&served.site.everybody.operator, LIVE).await;
    event(&mut lines).await.unwrap();
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    let Served { stop, ended, address, .. } = served;
    stop.send(()).unwrap();
    timeout(PATIENCE, ended).await.expect("it does not stop").unwrap().unwrap();
    while event(&mut lines).await.is_some() {}
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, idle.read_to_end(&mut rest)).await.expect("left open");
    assert!(rest.is_empty());
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_fault_does_not_end_the_history() {
    let served = Served::new().await;
    let (node, shop) = (&served.site.node, served.site.shop);
    node.panics.store(2, SeqCst);
    let counted = async {
        while node.panics.load(SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        node.set(shop, Figures { sets: 1, ..Figures::default() });
        let series = async || {
            let series = served.site.history.series(Some(shop), larder_control::Span::TenMinutes);
            series.await.unwrap().points.len()
        };
        while series().await == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, counted).await.expect("nothing in the history");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let served = Served::new().await;
    let long = As::Bearer("x".repeat(64 * 1024));
    let (head, _) = served.open(&long, "/api/v1/me").await;
    assert!(head.starts_with("http/1.1 431"), "{head}");
}

#[tokio::test]
async fn last_use_reaches_the_history_and_the_peer_is_known() {
    let served = Served::new().await;
    let (node, shop) = (&served.site.node, served.site.shop);
    node.set(shop, Figures { sets: 1, ..Figures::default() });
    // The ticker looks every second, without anybody asking.
    let seen = async {
        loop {
            let series = served.site.history.series(Some(shop), larder_control::Span::TenMinutes);
            if !series.await.unwrap().points.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, seen).await.expect("nothing in the history");
    // A request over the socket comes from 127.0.0.1: the log says so.
    let admin = &served.site.everybody.admin;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let request = format!(
        "POST /api/v1/tenants/shop/flush HTTP/1.1\r\nHost: localhost\r\n{}\r\nConnection: close\r\n\
         Content-Length: 0\r\n\r\n",
        admin.line().unwrap()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let log = served.site.get(admin, "/api/v1/tenants/shop/audit?limit=1").await.is(200).json();
    assert_eq!(log["entries"][0]["from"], "127.0.0.1");
}
