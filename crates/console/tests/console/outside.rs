//! What talks to other machines: health checkers, Prometheus, receivers of alerts.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use crate::common::{Answer, As, Site, request};
use axum::extract::ConnectInfo;
use http::{Method, StatusCode, header};
use larder_console::ConsoleSettings;
use larder_tenancy::{Figures, Latency, TenantId};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const SHOP: &str = "/api/v1/tenants/shop";

#[tokio::test]
async fn health_is_that_of_the_node_and_asked_at_most_once_a_second() {
    let site = Site::new().await;
    let answer = site.get(&As::Nobody, "/healthz").await.is(200).json();
    assert_eq!((&answer["status"], &answer["ms"]), (&json!("ok"), &json!(0.25)));
    for _ in 0..100 {
        site.get(&As::Nobody, "/healthz").await.is(200);
    }
    let probes = *site.node.probes.lock().unwrap();
    assert!(probes < 50, "{probes} probes for 101 requests");

    let site = Site::new().await;
    *site.node.sick.lock().unwrap() = Some("worker 1 did not answer".to_owned());
    let answer = site.get(&As::Nobody, "/healthz").await.is(503).json();
    assert_eq!(answer["reason"], "worker 1 did not answer");
}

#[tokio::test]
async fn metrics_have_every_figure_with_bounded_labels() {
    let site = Site::new().await;
    let operator = &site.everybody.operator;
    let figures = Figures { get_hits: 7, bytes: 9, connections: 2, ..Figures::default() };
    site.node.set(site.shop, figures);
    // Of a cache that the accounts do not know any more.
    site.node.set(TenantId::new(4_000_000), Figures { get_hits: 1, ..Figures::default() });
    let mut latency = Latency::default();
    latency.add(Latency::bucket(500), 2);
    latency.add(Latency::bucket(3_000_000_000), 1);
    *site.node.latency.lock().unwrap() = latency;
    let answer = site.get(operator, "/metrics").await.is(200);
    assert!(answer.headers[header::CONTENT_TYPE].to_str().unwrap().contains("openmetrics-text"));
    for line in [
        "larder_tenant_get_hits_total{tenant=\"shop\"} 7",
        "larder_tenant_get_hits_total{tenant=\"_other\"} 1",
        "larder_tenant_bytes{tenant=\"shop\"} 9.0",
        "larder_node_get_hits_total 8",
        "larder_node_connections 2.0",
        "larder_node_request_seconds_count 3",
        "larder_node_request_seconds_bucket{le=\"+Inf\"} 3",
        "larder_tenant_request_seconds_count{tenant=\"shop\"} 3",
        "larder_node_rejected_connections_total 4",
        "# EOF",
    ] {
        assert!(answer.body.lines().any(|there| there == line), "{line}\n{}", answer.body);
    }
    for (name, _, is_level) in Figures::default().fields() {
        let end = if is_level { " gauge" } else { " counter" };
        let renamed = match name {
            "total_connections" => "connections_opened",
            "expired" => "expired_items",
            name => name,
        };
        let line = format!("# TYPE larder_tenant_{renamed}{end}");
        assert!(answer.body.lines().any(|there| there == line), "{line}");
    }
}

#[tokio::test]
async fn metrics_of_many_caches_are_summed() {
    let site = Site::new().await;
    for n in 0..1500 {
        let name = crate::common::name(&format!("c{n}"));
        let new = larder_control::NewTenant::new(name, 1 << 20);
        let made = site.accounts.create_tenant(&crate::common::by(), new).await.unwrap();
        let bytes = 10_000 - n;
        site.node.set(made.value.0.id, Figures { sets: 1, bytes, ..Figures::default() });
    }
    let answer = site.get(&site.everybody.operator, "/metrics").await.is(200);
    let samples = answer.body.lines().filter(|line| line.starts_with("larder_tenant_sets_total{"));
    assert_eq!(samples.count(), 1001);
    // The largest have a label of their own.
    assert!(answer.body.contains("larder_tenant_sets_total{tenant=\"c0\"} 1"));
    assert!(!answer.body.contains("tenant=\"c1499\""));
    assert!(answer.body.contains("larder_tenant_sets_total{tenant=\"_other\"} 500"));
}

#[tokio::test]
async fn metrics_are_for_operators_and_for_this_machine() {
    let ask = async |site: &Site, peer: [u8; 4], headers: &[(&str, &str)]| {
        let mut request = request(&As::Nobody, Method::GET, "/metrics");
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((peer, 5000))));
        for (name, value) in headers {
            let name: header::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        site.send(request).await
    };
    let site = Site::new().await;
    ask(&site, [127, 0, 0, 1], &[]).await.is(200);
    ask(&site, [10, 0, 0, 1], &[]).await.is(401);
    // A proxy on this machine brings others.
    for name in ["x-forwarded-for", "forwarded", "via", "x-real-ip"] {
        ask(&site, [127, 0, 0, 1], &[(name, "10.0.0.1")]).await.is(401);
    }
    // A page whose name was made to point here is of this machine as well.
    ask(&site, [127, 0, 0, 1], &[("host", "evil.example")]).await.is(401);
    site.get(&site.everybody.admin, "/metrics").await.is(403);
    let public_url = Some("https://cache.example.org".to_owned());
    let site = Site::with(ConsoleSettings { public_url, ..ConsoleSettings::default() }).await;
    ask(&site, [127, 0, 0, 1], &[]).await.is(401);
    site.get(&site.everybody.operator, "/metrics").await.is(200);
}

/// The dashboard asks for nothing that is not there.
#[tokio::test]
async fn the_grafana_dashboard_has_only_metrics_that_exist() {
    let site = Site::new().await;
    site.node.set(site.shop, Figures { get_hits: 1, ..Figures::default() });
    let exposition = site.get(&site.everybody.operator, "/metrics").await.is(200).body;
    let there: BTreeSet<&str> = exposition
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/grafana.json");
    let text = std::fs::read_to_string(path).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut asked = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap();
            let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            asked.extend(words.filter(|word| word.starts_with("larder_")));
        }
    }
    assert!(asked.len() >= 10, "{asked:?}");
    let missing: Vec<_> = asked.difference(&there).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Takes one request and answers it; what was sent.
async fn receiver(answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        let mut buffer = [0; 4096];
        while !received.ends_with(b"}") {
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the request is cut short");
            received.extend_from_slice(&buffer[..count]);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(received).unwrap()
    });
    (address, received)
}

async fn test_alert(site: &Site, who: &As, url: &str) -> Answer {
    let path = format!("{SHOP}/alerts");
    let body = json!({ "kind": "hit_rate_below", "threshold": 50, "webhook": url });
    let made = site.post(who, &path, body).await;
    if made.status != StatusCode::CREATED {
        return made;
    }
    site.post(who, &format!("{path}/{}/test", made.json()["id"]), json!({})).await
}

#[tokio::test]
async fn a_test_says_what_the_receiver_said() {
    let site = Site::new().await;
    let operator = &site.everybody.operator;
    for (answer, delivered, status, said) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true, 200, "ok"),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\nno_service",
            false,
            404,
            "no_service",
        ),
        // Not followed.
        (
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            false,
            302,
            "",
        ),
    ] {
        let (address, received) = receiver(answer).await;
        let url = format!("http://{address}/services/T0/B0/secret");
        let told = test_alert(&site, operator, &url).await.is(200).json();
        assert_eq!(told, json!({ "delivered": delivered, "status": status, "said": said }));
        let request = received.await.unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /services/T0/B0/secret HTTP/1.1"), "{head}");
        assert!(head.to_ascii_lowercase().contains("content-type: application/json"), "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert!(body["text"].as_str().unwrap().contains("shop"), "{body}");
    }
    // Nobody there.
    let told = test_alert(&site, operator, "http://127.0.0.1:1/").await.is(200).json();
    assert_eq!((&told["delivered"], &told["status"]), (&json!(false), &Value::Null));
    assert!(!told["said"].as_str().unwrap().is_empty());
}

/// A cache's administrator must not reach what only this machine or its network can.
#[tokio::test]
async fn administrators_of_caches_cannot_reach_private_addresses() {
    let site = Site::new().await;
    let admin = &site.everybody.admin;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:127.0.0.1]"] {
        let answer = test_alert(&site, admin, &format!("http://{host}:{port}/")).await.is(400);
        assert!(answer.message().contains("public"), "{}", answer.message());
    }
    // Names are looked at when they are resolved: these are this machine, too.
    for host in ["localhost", "2130706433", "0x7f.1"] {
        let told = test_alert(&site, admin, &format!("http://{host}:{port}/")).await;
        if told.status == StatusCode::OK {
            assert_eq!(told.json()["status"], Value::Null, "{host}: {}", told.body);
        } else {
            assert_eq!(told.status, StatusCode::BAD_REQUEST, "{host}: {}", told.body);
        }
    }
    let connected = std::pin::pin!(listener.accept());
    tokio::select! {
        biased;
        _ = connected => panic!("somebody connected"),
        () = std::future::ready(()) => {}
    }
    // What an operator allowed stays allowed, until somebody else says where.
    let made = site
        .post(
            &site.everybody.operator,
            &format!("{SHOP}/alerts"),
            json!({ "kind": "never_hits", "webhook": "http://127.0.0.1:1/" }),
        )
        .await
        .is(201)
        .json();
    let one = format!("{SHOP}/alerts/{}", made["id"]);
    site.patch(admin, &one, json!({ "for_minutes": 9 })).await.is(200);
    site.patch(admin, &one, json!({ "webhook": "http://localhost:1/" })).await.is(200);
    let told = site.post(admin, &format!("{one}/test"), json!({})).await.is(200).json();
    assert!(told["said"].as_str().unwrap().contains("public"), "{told}");
}
