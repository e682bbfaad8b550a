//! What clients of TLS can make a server hold is charged to the budget of buffers, and stays under it: half
//! handshakes, half records, replies that nobody reads, and connections that only are there.
//!
//! Others use the server without TLS, and are served throughout. One test at a time: what they look at is the
//! memory of the process.

mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use larder_server::{Listener, Settings, Tls};
use larder_tenancy::Directory;
use rustls::ClientConfig;
use support::tls::{
    TlsStream, any_version, client_config, half_a_record, is_served, secured, tls_settings,
};
use support::{Client, FOREVER, Running, eventually, hit, rss, set, settings, start_with, value};

static ALONE: Mutex<()> = Mutex::new(());

/// A server, and where it speaks TLS.
struct Both {
    plain: Running,
    tls: SocketAddr,
}

impl Both {
    fn start(settings: Settings) -> Both {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let tls = Arc::new(Tls::load(tls_settings()).unwrap());
        let listeners = |plain| vec![plain, Listener::tcp(socket).with_tls(tls)];
        Both { plain: start_with(settings, Directory::open(), listeners), tls: address }
    }

    /// A connection that has not begun to shake hands.
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.tls).unwrap();
        stream.set_read_timeout(Some(FOREVER)).unwrap();
        stream.set_write_timeout(Some(FOREVER)).unwrap();
        stream
    }

    fn secured(&self, config: &Arc<ClientConfig>) -> Client<TlsStream> {
        secured(self.connect(), Arc::clone(config))
    }

    fn buffer_bytes(&self) -> usize {
        self.plain.handle.buffer_bytes()
    }
}

/// Sends as much as the server takes: it may have closed the connection.
fn attack(mut stream: TcpStream, bytes: &[u8]) -> TcpStream {
    let _ = stream.write_all(bytes);
    stream
}

/// The beginning of a handshake message of 60,000 bytes, in whole records.
fn half_a_handshake() -> Vec<u8> {
    let mut message = vec![1, 0, 0xea, 0x60];
    message.resize(45_000, 0);
    let record = |piece: &[u8]| {
        let len = u16::try_from(piece.len()).unwrap().to_be_bytes();
        [&[22, 3, 1][..], &len, piece].concat()
    };
    message.chunks(15_000).flat_map(record).collect()
}

#[test]
fn clients_that_stop_in_the_middle_take_no_more_than_there_is() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = 4 << 20;
    let server = Both::start(Settings {
        buffer_bytes: limit,
        max_connections: 2000,
        request_deadline: FOREVER,
        ..settings()
    });
    let mut polite = server.plain.connect();
    let value = value("big", 900_000);
    polite.ask(&set("big", &value), b"STORED\r\n");
    polite.ask(b"get big\r\n", &[hit("big", &value), b"END\r\n".to_vec()].concat());
    let before = rss();
    let message = half_a_handshake();
    let record = [&[22, 3, 1, 0x40, 0][..], &[0; 16_000]].concat();
    let mut clients: Vec<TcpStream> = Vec::new();
    for (what, bytes) in [("a message", &message[..]), ("a record", &record), ("nothing", &[])] {
        for _ in 0..400 {
            clients.push(attack(server.connect(), bytes));
            assert!(server.buffer_bytes() <= limit, "half of {what}");
        }
        assert!(server.plain.stat("larder_buffer_bytes") <= limit as u64, "half of {what}");
        // Its request is one read: nothing has to be kept for it.
        polite.ask(b"mn\r\n", b"MN\r\n");
    }
    let more = rss().saturating_sub(before);
    assert!(more < 16 << 20, "{more} bytes for half handshakes");
    eventually("the slowest are closed", || server.plain.handle.connections() < clients.len());
    drop(clients);
    eventually("all is given back", || server.buffer_bytes() == 0);
}

#[test]
fn replies_and_records_that_hang_are_charged() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = 4 << 20;
    let server =
        Both::start(Settings { buffer_bytes: limit, request_deadline: FOREVER, ..settings() });
    let mut polite = server.plain.connect();
    let value = value("big", 900_000);
    polite.ask(&set("big", &value), b"STORED\r\n");
    let mut clients = Vec::new();
    for version in rustls::ALL_VERSIONS {
        let config = client_config(None, &[version]);
        for round in 0..40 {
            let mut client = server.secured(&config);
            // Who comes just while others take all there is may be turned away.
            if !is_served(&mut client) {
                continue;
            }
            if round % 2 == 0 {
                let half = half_a_record(&mut client, 16_000);
                clients.push(attack(client.stream.sock, &half));
            } else {
                // Sent and not read.
                let _ = client.stream.write_all(&b"get big\r\n".repeat(50));
                let _ = client.stream.flush();
                clients.push(client.stream.sock);
            }
            assert!(server.buffer_bytes() <= limit);
            assert!(server.plain.stat("larder_buffer_bytes") <= limit as u64);
            polite.ask(b"mn\r\n", b"MN\r\n");
        }
    }
    assert!(clients.len() >= 40, "only {} were served at all", clients.len());
    eventually("the slowest are closed", || server.plain.handle.connections() < clients.len());
    assert!(server.buffer_bytes() > 0);
    drop(clients);
    eventually("all is given back", || server.buffer_bytes() == 0);
}

/// What TLS takes of the budget while nothing is sent leaves enough for those that are there.
#[test]
fn a_connection_of_tls_that_there_is_no_room_for_is_turned_away() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = 256 << 10;
    let server = Both::start(Settings {
        max_item_bytes: 100 << 10,
        buffer_bytes: limit,
        request_deadline: FOREVER,
        ..settings()
    });
    let config = any_version(None);
    let mut clients: Vec<_> = (0..60).map(|_| server.secured(&config)).collect();
    clients.retain_mut(is_served);
    // At rest each is charged 4 KiB, and they have three quarters.
    assert_eq!(server.buffer_bytes(), clients.len() * 4096);
    assert!((40..=48).contains(&clients.len()), "{} are served", clients.len());
    assert_eq!(server.plain.stat("rejected_connections"), 60 - clients.len() as u64);
    // Those that are there can use what is left, and so can a client without TLS.
    let value = value("k", 3_000);
    for client in &mut clients {
        client.ask(&set("k", &value), b"STORED\r\n");
        client.ask(b"get k\r\n", &[hit("k", &value), b"END\r\n".to_vec()].concat());
    }
    let mut plain = server.plain.connect();
    plain.send(&set("k", &value)[..2_000]);
    eventually("a half value is kept", || server.buffer_bytes() > clients.len() * 4096);
    plain.ask(&set("k", &value)[2_000..], b"STORED\r\n");
    let before = clients.len();
    clients.truncate(before / 2);
    eventually("there is room again", || server.buffer_bytes() == clients.len() * 4096);
    assert!(is_served(&mut server.secured(&config)));
}
