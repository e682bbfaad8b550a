//! TLS: handshakes, versions, client certificates, new certificates without a restart.

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use larder_server::{
    ClientCertificates, Listener, MinVersion, Settings, Tls, TlsError, TlsSettings,
};
use larder_tenancy::Directory;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{HandshakeKind, ProtocolVersion};
use support::tls::{
    TlsStream, any_version, client_config, connect, file, half_a_record, is_served, sealed,
    start_tls, tls_settings,
};
use support::{Client, eventually, hit, set, settings, start_with, value};

/// What a connection of TLS at rest is charged, in bytes.
const AT_REST: usize = 4096;

/// The certificate that the server shows.
fn shown(client: &mut Client<TlsStream>) -> Vec<u8> {
    client.ask(b"mn\r\n", b"MN\r\n");
    client.stream.conn.peer_certificates().unwrap()[0].to_vec()
}

fn certificate(name: &str) -> Vec<u8> {
    CertificateDer::from_pem_file(file(name)).unwrap().to_vec()
}

#[test]
fn requests_over_tls_are_answered() {
    let server = start_tls(tls_settings(), settings());
    for (versions, expected) in [
        (&[&rustls::version::TLS12], ProtocolVersion::TLSv1_2),
        (&[&rustls::version::TLS13], ProtocolVersion::TLSv1_3),
    ] {
        let mut client = connect(&server, client_config(None, versions));
        for len in [1, 5_000, 100_000, 900_000] {
            let value = value("v", len);
            client.ask(&set("v", &value), b"STORED\r\n");
            let one = [hit("v", &value), b"END\r\n".to_vec()].concat();
            client.ask(&b"get v\r\n".repeat(3), &one.repeat(3));
        }
        assert_eq!(client.stream.conn.protocol_version(), Some(expected));
    }
}

#[test]
fn a_slow_reader_over_tls_gets_everything() {
    let server = start_tls(tls_settings(), settings());
    let mut client = connect(&server, any_version(None));
    let value = value("v", 900_000);
    client.ask(&set("v", &value), b"STORED\r\n");
    client.send(&b"get v\r\n".repeat(15));
    std::thread::sleep(Duration::from_millis(100));
    client.expect(&[hit("v", &value), b"END\r\n".to_vec()].concat().repeat(15));
    eventually("buffers are given back", || server.handle.buffer_bytes() == AT_REST);
    drop(client);
    eventually("all is given back", || server.handle.buffer_bytes() == 0);
}

/// A record that is cut anywhere is kept until its end has come, and so is a line that is longer than what
/// is read at once. What both take is given back.
#[test]
fn long_lines_over_tls_are_charged_and_given_back() {
    let server = start_tls(tls_settings(), settings());
    let mut client = connect(&server, any_version(None));
    let keys: Vec<_> = (0..20_000).map(|number| format!("key{number:06}")).collect();
    let line = format!("get {}\r\n", keys.join(" "));
    for piece in [1_000, 16_000, 50_000, 300_000] {
        for chunk in line.as_bytes().chunks(piece) {
            client.send(chunk);
        }
        client.expect(b"END\r\n");
        client.ask(b"mn\r\n", b"MN\r\n");
        assert_eq!(server.handle.buffer_bytes(), AT_REST, "after pieces of {piece}");
    }
}

#[test]
fn half_a_record_is_not_waited_for_for_ever() {
    // Longer than a client of this test is held up in its handshake.
    let deadline = Duration::from_secs(2);
    let server = start_tls(tls_settings(), Settings { request_deadline: deadline, ..settings() });
    let mut quiet = connect(&server, any_version(None));
    quiet.ask(b"mn\r\n", b"MN\r\n");
    // A whole message, though nothing that anybody is told.
    quiet.stream.conn.refresh_traffic_keys().unwrap();
    let update = sealed(&mut quiet, b"");
    assert!(!update.is_empty());
    quiet.stream.sock.write_all(&update).unwrap();
    for version in rustls::ALL_VERSIONS {
        let mut client = connect(&server, client_config(None, &[version]));
        client.ask(b"mn\r\n", b"MN\r\n");
        let half = half_a_record(&mut client, 1000);
        client.stream.sock.write_all(&half).unwrap();
        assert_eq!(client.rest(), b"", "{version:?}");
        eventually("it is given back", || server.handle.connections() == 1);
        assert!(server.handle.buffer_bytes() < 3 * AT_REST);
    }
    // Who owes nothing is left alone.
    quiet.ask(b"mn\r\n", b"MN\r\n");
}

/// Each read ends in the middle of a record, but what came before it were whole requests.
#[test]
fn the_deadline_for_a_record_begins_with_the_record() {
    let deadline = Duration::from_secs(2);
    let server = start_tls(tls_settings(), Settings { request_deadline: deadline, ..settings() });
    let mut client = connect(&server, any_version(None));
    client.ask(b"mn\r\n", b"MN\r\n");
    let mut rest = Vec::new();
    for _ in 0..15 {
        let record = sealed(&mut client, b"mn\r\n");
        let (begin, end) = record.split_at(record.len() / 2);
        client.stream.sock.write_all(&[&rest, begin].concat()).unwrap();
        if !rest.is_empty() {
            client.expect(b"MN\r\n");
        }
        rest = end.to_vec();
        std::thread::sleep(deadline / 10);
    }
    client.stream.sock.write_all(&rest).unwrap();
    client.expect(b"MN\r\n");
    client.ask(b"mn\r\n", b"MN\r\n");
}

#[test]
fn the_oldest_version_is_kept_to() {
    let settings_13 = TlsSettings { min_version: MinVersion::Tls13, ..tls_settings() };
    let server = start_tls(settings_13, settings());
    assert!(!is_served(&mut connect(&server, client_config(None, &[&rustls::version::TLS12]))));
    assert!(is_served(&mut connect(&server, client_config(None, &[&rustls::version::TLS13]))));
}

#[test]
fn client_certificates_are_asked_for_as_set() {
    for (asked, without, stranger) in [
        (ClientCertificates::None, true, true),
        (ClientCertificates::Request, true, false),
        (ClientCertificates::Require, false, false),
    ] {
        let tls = TlsSettings {
            client_ca: Some(file("ca.pem")),
            client_certificates: asked,
            ..tls_settings()
        };
        let server = start_tls(tls, settings());
        assert!(is_served(&mut connect(&server, any_version(Some("client")))), "{asked:?}");
        assert_eq!(is_served(&mut connect(&server, any_version(None))), without, "{asked:?}");
        assert_eq!(
            is_served(&mut connect(&server, any_version(Some("stranger")))),
            stranger,
            "{asked:?}"
        );
    }
}

#[test]
fn new_certificates_are_for_new_connections() {
    let directory = std::env::temp_dir().join(format!("larder-tls-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let install = |name: &str| {
        for kind in ["pem", "key"] {
            let to = directory.join(format!("current.{kind}"));
            std::fs::copy(file(&format!("{name}.{kind}")), to).unwrap();
        }
    };
    install("server");
    let current = (directory.join("current.pem"), directory.join("current.key"));
    let server = start_tls(TlsSettings::new(current.0, current.1), settings());
    let mut old = connect(&server, any_version(None));
    assert_eq!(shown(&mut old), certificate("server.pem"));
    install("second");
    server.handle.reload_certificates().unwrap();
    let mut new = connect(&server, any_version(None));
    assert_eq!(shown(&mut new), certificate("second.pem"));
    assert_eq!(shown(&mut old), certificate("server.pem"));
    // A file that is wrong changes nothing, and is named.
    std::fs::write(directory.join("current.pem"), "no certificate").unwrap();
    let error = server.handle.reload_certificates().unwrap_err().to_string();
    assert!(error.contains("current.pem"), "{error}");
    assert_eq!(shown(&mut connect(&server, any_version(None))), certificate("second.pem"));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn sessions_are_resumed_only_if_that_is_set() {
    for (resumption, expected) in [(true, HandshakeKind::Resumed), (false, HandshakeKind::Full)] {
        for version in rustls::ALL_VERSIONS {
            let server = start_tls(TlsSettings { resumption, ..tls_settings() }, settings());
            let config = client_config(None, &[version]);
            let mut first = connect(&server, Arc::clone(&config));
            first.ask(b"mn\r\nmn\r\n", b"MN\r\nMN\r\n");
            let mut second = connect(&server, config);
            second.ask(b"mn\r\n", b"MN\r\n");
            let kind = second.stream.conn.handshake_kind();
            assert_eq!(kind, Some(expected), "{version:?}");
        }
    }
}

#[test]
fn who_does_not_speak_tls_is_closed() {
    let deadline = Duration::from_millis(300);
    let server = start_tls(tls_settings(), Settings { request_deadline: deadline, ..settings() });
    let mut plain = server.connect();
    plain.send(b"get a\r\n");
    // What TLS says about it, and then the end.
    assert!(plain.rest().len() < 100);
    let mut silent = server.connect();
    assert_eq!(silent.rest(), b"");
    let mut half = server.connect();
    half.send(&[0x16, 0x03, 0x01, 0x02, 0x00]);
    assert_eq!(half.rest(), b"");
    // A client that is held up in its handshake may be closed for it, too.
    eventually("others are served", || is_served(&mut connect(&server, any_version(None))));
}

/// A client that was cut off gets an error; one that was closed in order reads to the end.
#[test]
fn the_end_of_a_connection_is_said() {
    let idle_timeout = Some(Duration::from_secs(2));
    let server = start_tls(tls_settings(), Settings { idle_timeout, ..settings() });
    for last in [&b"quit\r\n"[..], b""] {
        let mut client = connect(&server, any_version(None));
        client.ask(b"mn\r\n", b"MN\r\n");
        client.send(last);
        assert_eq!(client.rest(), b"", "after {}", last.escape_ascii());
    }
    let mut client = connect(&server, any_version(None));
    client.ask(b"mn\r\n", b"MN\r\n");
    server.stop().unwrap();
    assert_eq!(client.rest(), b"", "after a stop");
}

/// A client that has said `quit` may say that it is the end of TLS, too, before it has read everything: what
/// the socket gets then must not cost it what it was sent.
#[test]
fn who_quits_gets_all_replies() {
    let value = value("v", 900_000);
    let reply = [hit("v", &value), b"END\r\n".to_vec()].concat();
    for version in rustls::ALL_VERSIONS {
        let server = start_tls(tls_settings(), settings());
        for count in [4, 9, 15] {
            let mut client = connect(&server, client_config(None, &[version]));
            client.ask(&set("v", &value), b"STORED\r\n");
            let asked = [b"get v\r\n".repeat(count), b"quit\r\n".to_vec()].concat();
            let asked = sealed(&mut client, &asked);
            client.stream.sock.write_all(&asked).unwrap();
            assert_eq!(client.stream.sock.peek(&mut [0]).unwrap(), 1, "it answers");
            client.stream.conn.send_close_notify();
            let end = sealed(&mut client, b"");
            client.stream.sock.write_all(&end).unwrap();
            assert!(client.rest() == reply.repeat(count), "{version:?} {count}");
        }
    }
}

#[test]
fn files_that_are_wrong_are_named() {
    let load = |settings: TlsSettings| Tls::load(settings).map(|_| ()).unwrap_err();
    let missing = load(TlsSettings::new("/nowhere.pem", file("server.key")));
    assert!(matches!(&missing, TlsError::File { path, .. } if path == Path::new("/nowhere.pem")));
    assert!(missing.to_string().contains("/nowhere.pem"), "{missing}");
    let swapped = load(TlsSettings::new(file("server.key"), file("server.key")));
    assert!(swapped.to_string().contains("certificate"), "{swapped}");
    let no_key = load(TlsSettings::new(file("server.pem"), file("ca.pem")));
    assert!(no_key.to_string().contains("private key"), "{no_key}");
    let mismatch = load(TlsSettings::new(file("server.pem"), file("second.key")));
    assert!(matches!(mismatch, TlsError::Pair { .. }), "{mismatch}");
    let shown = mismatch.to_string();
    assert!(shown.contains("server.pem") && shown.contains("second.key"), "{shown}");
    let no_ca = TlsSettings { client_certificates: ClientCertificates::Require, ..tls_settings() };
    assert!(matches!(load(no_ca), TlsError::NoClientCa));
}

#[test]
fn a_listener_without_tls_stands_beside_one_with() {
    let tls = Arc::new(Tls::load(tls_settings()).unwrap());
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = other.local_addr().unwrap();
    let listeners = |listener: Listener| vec![listener.with_tls(tls), Listener::tcp(other)];
    let server = start_with(settings(), Directory::open(), listeners);
    connect(&server, any_version(None)).ask(&set("k", b"v"), b"STORED\r\n");
    let mut client = Client { stream: TcpStream::connect(plain).unwrap() };
    client.ask(b"get k\r\n", &[hit("k", b"v"), b"END\r\n".to_vec()].concat());
}
