//! TLS: the server's certificate is checked against the given authority and name.
//!
//! `tls/` holds an authority and a certificate for `cache.test`, made for this test; its key is
//! public and protects nothing.

mod support;

use std::path::PathBuf;
use std::sync::Arc;

use larder_client::{Client, ConfigError, Error, Protocol, ServerAddr, TlsConfig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use support::{Fake, PROTOCOLS, key};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

/// Puts TLS in front of the fake server.
async fn terminate(fake: &Fake) -> ServerAddr {
    let certificates = vec![CertificateDer::from_pem_file(file("server.pem")).unwrap()];
    let private = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, private)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let inner = fake.addr;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut outer) = acceptor.accept(stream).await else {
                    return;
                };
                let mut inner = TcpStream::connect(inner).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
            });
        }
    });
    addr.into()
}

async fn client(fake: &Fake, tls: TlsConfig, protocol: Protocol) -> Client {
    let mut config = fake.config(protocol);
    config.servers = vec![terminate(fake).await];
    config.tls = Some(tls);
    Client::new(config).unwrap()
}

fn trusted() -> TlsConfig {
    TlsConfig { ca_file: Some(file("ca.pem")), server_name: Some("cache.test".to_owned()) }
}

#[tokio::test]
async fn a_trusted_server_is_used_and_its_connection_kept() {
    for protocol in PROTOCOLS {
        let fake = Fake::start().await;
        let client = client(&fake, trusted(), protocol).await;
        client.set(&key("a"), vec![b'x'; 300_000], 3, 0).await.unwrap();
        for _ in 0..3 {
            assert_eq!(client.get(&key("a")).await.unwrap().unwrap().value.len(), 300_000);
        }
        assert_eq!(fake.connections(), 1, "{protocol:?}");
    }
}

#[tokio::test]
async fn another_name_or_authority_is_refused() {
    let fake = Fake::start().await;
    let wrong_name = TlsConfig { server_name: Some("other.test".to_owned()), ..trusted() };
    // The address itself is the name that is expected by default.
    let default_name = TlsConfig { server_name: None, ..trusted() };
    let public_authorities = TlsConfig { ca_file: None, ..trusted() };
    for tls in [wrong_name, default_name, public_authorities] {
        let client = client(&fake, tls, Protocol::Meta).await;
        let error = client.get(&key("a")).await.unwrap_err();
        assert!(matches!(error, Error::Connect { .. }), "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
    assert_eq!(fake.connections(), 0);
}

#[test]
fn unusable_settings_are_named() {
    let client = |tls| {
        let mut config = larder_client::Config::new(vec!["cache.test".parse().unwrap()]);
        config.tls = Some(tls);
        Client::new(config).unwrap_err()
    };
    for path in ["missing.pem", "server.key"] {
        let error = client(TlsConfig { ca_file: Some(file(path)), server_name: None });
        assert!(matches!(error, ConfigError::Tls { setting: "tls_ca", .. }), "{error}");
        assert!(error.to_string().contains(path), "{error}");
    }
    let error = client(TlsConfig { ca_file: None, server_name: Some("not a name".to_owned()) });
    assert!(matches!(error, ConfigError::Tls { setting: "tls_name", .. }), "{error}");
}
