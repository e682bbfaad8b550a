//! Where records end, and that what rustls holds is never more than what is charged for it: its allocations
//! are counted, whatever a client sends.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::Begun::{Part, Whole, Wrong};
use super::*;
use crate::tls::{ClientCertificates, Tls, TlsSettings};

/// Keys and state of a connection, in bytes: what is not charged.
const STATE: usize = 3 << 10;

#[test]
fn a_record_is_whole_when_all_its_bytes_are_there() {
    let record = [&[23, 3, 3, 0, 3][..], b"abc", b"next"].concat();
    for len in 0..8 {
        assert_eq!(Begun::of(&record[..len]), Part, "{len}");
    }
    for len in 8..record.len() {
        assert_eq!(Begun::of(&record[..len]), Whole(8), "{len}");
    }
    assert_eq!(Begun::of(&[21, 3, 1, 0, 0]), Whole(5));
    assert_eq!(Begun::of(&[23, 3, 3, 0x48, 0]), Part);
}

#[test]
fn what_is_no_record_is_known_by_its_first_bytes() {
    for bytes in [&b"g"[..], b"GET / HTTP/1.1\r\n", &[0x80], &[22, 2], &[22, 3, 1, 0x48, 1]] {
        assert_eq!(Begun::of(bytes), Wrong, "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_connection_at_rest_is_charged_what_it_holds() {
    for version in rustls::ALL_VERSIONS {
        let mut server = Server::new(1 << 20);
        let mut client = client(version);
        server.shake_hands(&mut client);
        assert_eq!(server.budget.used(), ROOM, "{version:?}");
        // Also after a record that did not fit into that.
        for len in [1, 5_000, 16_384, 60_000, 3] {
            let text = vec![b'x'; len];
            client.writer().write_all(&text).unwrap();
            let sent = sent_by(&mut client);
            server.receive(&sent).unwrap();
            assert_eq!(server.plain.len(), text.len());
            server.plain.clear();
            assert_eq!(server.budget.used(), ROOM, "{version:?} after {len} bytes");
        }
    }
}

#[test]
fn a_record_that_has_not_come_whole_is_charged() {
    for version in rustls::ALL_VERSIONS {
        let mut server = Server::new(1 << 20);
        let mut client = client(version);
        server.shake_hands(&mut client);
        client.writer().write_all(&[b'x'; 40_000]).unwrap();
        let sent = sent_by(&mut client);
        for piece in sent.chunks(777) {
            server.receive(piece).unwrap();
            assert!(server.records.is_unfinished() == (server.plain.len() < 40_000));
        }
        assert_eq!(server.budget.used(), ROOM);
    }
}

#[test]
fn the_certificates_of_a_client_are_charged() {
    let of_a_client = CertificateDer::from_pem_file(file("client.pem")).unwrap().len();
    for version in rustls::ALL_VERSIONS {
        let tls = TlsSettings {
            client_ca: Some(file("ca.pem")),
            client_certificates: ClientCertificates::Request,
            ..settings()
        };
        for (name, charged) in [(None, ROOM), (Some("client"), ROOM + of_a_client)] {
            let mut server = Server::with(tls.clone(), 1 << 20);
            server.shake_hands(&mut client_with(version, name));
            assert_eq!(server.budget.used(), charged, "{version:?}, {name:?}");
        }
    }
}

/// The first message of a handshake, which says that it is 60,000 bytes long, in records of all sizes.
#[test]
fn a_handshake_message_of_many_records_is_charged_and_limited() {
    for len in [1, 2, 3, 4, 100, 4000, 4096, 5000, 16_384] {
        let mut server = Server::new(1 << 20);
        let mut message = vec![1, 0, 0xea, 0x60];
        message.resize(4 + 59_999, 0);
        let mut most = 0;
        for piece in message.chunks(len) {
            let len = u16::try_from(piece.len()).unwrap().to_be_bytes();
            let record = [&[22, 3, 1, len[0], len[1]][..], piece].concat();
            if server.receive(&record).is_err() {
                break;
            }
            assert!(server.records.is_unfinished());
            most = most.max(server.budget.used());
        }
        // With its headers, and twice: no more than rustls has taken of it.
        assert!((80 << 10..150 << 10).contains(&most), "{most} bytes in records of {len}");
    }
}

#[test]
fn what_the_budget_has_no_room_for_ends_the_connection() {
    let budget = Budget::new(4 * ROOM);
    let tls = Tls::load(settings()).unwrap();
    let mut all: Vec<_> = (0..3).map(|_| tls.records(&budget).unwrap()).collect();
    assert_eq!(tls.records(&budget).unwrap_err(), CloseReason::SlowRequest);
    let half = [&[22, 3, 1, 0x40, 0][..], &[0; 5000]].concat();
    let opened = all[0].open(&half, &mut Vec::new(), &mut false, &budget);
    assert_eq!(opened, Err(CloseReason::SlowRequest));
    all.iter_mut().for_each(|records| records.clear(&budget));
    assert_eq!(budget.used(), 0);
}

/// The server's end, and what it has allocated.
struct Server {
    records: Box<Records>,
    budget: Budget,
    plain: Vec<u8>,
    allocated: i64,
}

impl Server {
    fn new(budget: usize) -> Server {
        Server::with(settings(), budget)
    }

    fn with(settings: TlsSettings, budget: usize) -> Server {
        let (tls, budget) = (Tls::load(settings).unwrap(), Budget::new(budget));
        let mut records = None;
        let counted = allocation_counter::measure(|| records = Some(tls.records(&budget).unwrap()));
        let plain = Vec::with_capacity(1 << 20);
        Server { records: records.unwrap(), budget, plain, allocated: counted.bytes_current }
    }

    /// Has it read what came; the allocations are those that are charged, and its state.
    fn receive(&mut self, came: &[u8]) -> Result<(), CloseReason> {
        let all = [self.records.partial(), came].concat();
        let mut result = Ok(());
        let counted = allocation_counter::measure(|| {
            result = self.records.open(&all, &mut self.plain, &mut false, &self.budget);
        });
        self.allocated += counted.bytes_current;
        let held = usize::try_from(self.allocated).unwrap();
        if result.is_ok() {
            // What is to be sent is taken away after this.
            let unsent = if self.records.tls.wants_write() { 4096 } else { 0 };
            let charged = self.budget.used();
            assert!(held <= charged + STATE + unsent, "{held} bytes are held, {charged} charged");
        }
        result
    }

    fn shake_hands(&mut self, client: &mut ClientConnection) {
        while client.is_handshaking() || self.records.is_handshaking() {
            let sent = sent_by(client);
            self.receive(&sent).unwrap();
            let mut answer = Vec::with_capacity(16 << 10);
            let counted = allocation_counter::measure(|| self.records.take(&mut answer).unwrap());
            self.allocated += counted.bytes_current;
            client.read_tls(&mut &answer[..]).unwrap();
            client.process_new_packets().unwrap();
        }
    }
}

fn file(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

fn settings() -> TlsSettings {
    TlsSettings::new(file("server.pem"), file("server.key"))
}

fn client(version: &'static SupportedProtocolVersion) -> ClientConnection {
    client_with(version, None)
}

/// One that shows a certificate, if there is a name of one.
fn client_with(version: &'static SupportedProtocolVersion, name: Option<&str>) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[version]).unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match name {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let pem = |kind: &str| file(&format!("{name}.{kind}"));
            let chain = vec![CertificateDer::from_pem_file(pem("pem")).unwrap()];
            let key = PrivateKeyDer::from_pem_file(pem("key")).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    ClientConnection::new(Arc::new(config), ServerName::try_from("cache.test").unwrap()).unwrap()
}

fn sent_by(client: &mut ClientConnection) -> Vec<u8> {
    let mut sent = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut sent).unwrap();
    }
    sent
}
