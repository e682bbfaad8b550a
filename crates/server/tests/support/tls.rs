//! A server that speaks TLS, and clients that do.
//!
//! `tls/` beside this folder holds an authority, certificates for `cache.test` and for clients, made for these
//! tests; their keys are public and protect nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder_server::{Settings, Tls, TlsSettings};
use larder_tenancy::Directory;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{Client, Running, start_with};

pub(crate) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

pub(crate) fn tls_settings() -> TlsSettings {
    TlsSettings::new(file("server.pem"), file("server.key"))
}

pub(crate) fn start_tls(tls: TlsSettings, settings: Settings) -> Running {
    let tls = Arc::new(Tls::load(tls).unwrap());
    start_with(settings, Directory::open(), |listener| vec![listener.with_tls(tls)])
}

/// What a client shows, and which versions it speaks.
pub(crate) fn client_config(
    certificate: Option<&str>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match certificate {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain = vec![CertificateDer::from_pem_file(file(&format!("{name}.pem"))).unwrap()];
            let key = PrivateKeyDer::from_pem_file(file(&format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    })
}

pub(crate) fn any_version(certificate: Option<&str>) -> Arc<ClientConfig> {
    client_config(certificate, rustls::ALL_VERSIONS)
}

pub(crate) fn connect(server: &Running, config: Arc<ClientConfig>) -> Client<TlsStream> {
    secured(server.connect().stream, config)
}

/// A client that shakes hands when it first sends or reads.
pub(crate) fn secured(stream: TcpStream, config: Arc<ClientConfig>) -> Client<TlsStream> {
    let name = ServerName::try_from("cache.test").unwrap();
    let connection = ClientConnection::new(config, name).unwrap();
    Client { stream: StreamOwned::new(connection, stream) }
}

/// Whether a client gets an answer.
pub(crate) fn is_served(client: &mut Client<TlsStream>) -> bool {
    let mut reply = [0; 4];
    client.stream.write_all(b"mn\r\n").is_ok()
        && client.stream.read_exact(&mut reply).is_ok()
        && reply == *b"MN\r\n"
}

/// A record of `len` bytes without its last byte, by a client that has shaken hands.
pub(crate) fn half_a_record(client: &mut Client<TlsStream>, len: usize) -> Vec<u8> {
    let mut record = sealed(client, &vec![b'x'; len]);
    record.pop();
    record
}

/// What the client would send for these bytes; it has shaken hands.
pub(crate) fn sealed(client: &mut Client<TlsStream>, bytes: &[u8]) -> Vec<u8> {
    let connection = &mut client.stream.conn;
    connection.writer().write_all(bytes).unwrap();
    let mut records = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut records).unwrap();
    }
    records
}
