//! A relay in front of a server: on TCP, a unix socket or TLS, changing what the server answers if a test
//! wants that.

#![allow(dead_code, reason = "every test file uses its own part of this")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use larder_load::{Address, Figures, Generator, Server, Tally};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Longer than anything takes on a loaded machine.
pub(crate) const FOREVER: Duration = Duration::from_secs(60);

/// Runs a load in which something happens.
pub(crate) fn run(generator: &Generator, server: &Server) -> Figures {
    run_until(generator, server, |tally| tally.operations() + tally.lost > 0)
}

/// Runs a load until there was enough in one run: a loaded machine may answer nothing in a short one.
pub(crate) fn run_until(
    generator: &Generator,
    server: &Server,
    is_enough: impl Fn(&Tally) -> bool,
) -> Figures {
    let begin = Instant::now();
    loop {
        let figures = generator.run(server, &mut |_| ()).unwrap();
        if is_enough(&figures.tally) {
            return figures;
        }
        assert!(begin.elapsed() < FOREVER, "never enough: {:?}", figures.tally);
    }
}

/// What a relay does to each piece of what the server answers; false: it hangs up.
pub(crate) type Alter = fn(&mut [u8]) -> bool;

pub(crate) fn unaltered(_: &mut [u8]) -> bool {
    true
}

pub(crate) fn at(address: SocketAddr) -> Server {
    Server::at(Address::Tcp(address.ip().to_string(), address.port()))
}

/// A relay on a port of its own.
pub(crate) fn relay(server: SocketAddr, alter: Alter) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            client.set_nonblocking(true).unwrap();
            thread::spawn(move || pass(client, server, alter));
        }
    });
    at(address)
}

/// A relay on a unix socket.
pub(crate) fn unix_relay(server: SocketAddr, path: &Path) -> Server {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            client.set_nonblocking(true).unwrap();
            thread::spawn(move || pass(client, server, unaltered));
        }
    });
    Server::at(Address::Unix(path.to_owned()))
}

/// A relay that speaks TLS and has a certificate for `cache.test`.
pub(crate) fn tls_relay(server: SocketAddr) -> Server {
    let chain = vec![CertificateDer::from_pem_file(certificate("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certificate("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            client.set_nonblocking(true).unwrap();
            let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            thread::spawn(move || pass(StreamOwned::new(tls, client), server, unaltered));
        }
    });
    at(address)
}

/// A file of the client's tests: an authority and a certificate made for tests, their key public.
pub(crate) fn certificate(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../client/tests/tls").join(name)
}

/// Passes bytes on in both directions until one side hangs up.
fn pass(mut client: impl Read + Write, server: SocketAddr, alter: Alter) {
    let mut server = TcpStream::connect(server).unwrap();
    server.set_nonblocking(true).unwrap();
    let mut buffer = [0; 64 << 10];
    loop {
        let Some(asked) = read(&mut client, &mut buffer) else { return };
        if asked > 0 && write(&mut server, &buffer[..asked]).is_err() {
            return;
        }
        let Some(answered) = read(&mut server, &mut buffer) else { return };
        if answered > 0 {
            let go_on = alter(&mut buffer[..answered]);
            if !go_on || write(&mut client, &buffer[..answered]).is_err() {
                return;
            }
        }
        if asked + answered == 0 {
            thread::sleep(Duration::from_micros(100));
        }
    }
}

/// What can be read just now; nothing at the end.
fn read(stream: &mut impl Read, buffer: &mut [u8]) -> Option<usize> {
    match stream.read(buffer) {
        Ok(0) => None,
        Ok(read) => Some(read),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(0),
        Err(_) => None,
    }
}

fn write(stream: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
