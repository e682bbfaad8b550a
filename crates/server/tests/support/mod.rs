//! A server of its own for a test, and clients that say what they expect.

#![allow(dead_code)] // Each test file uses some of it.

pub(crate) mod tls;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use larder_server::{Handle, Listener, Server, ServerError, Settings};
use larder_tenancy::{
    Capabilities, Credential, Digest, Directory, Salt, SharedDirectory, Tenant, TenantId,
    TenantName,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Longer than anything takes on a loaded machine: who waits so long waits for ever.
pub(crate) const FOREVER: Duration = Duration::from_secs(60);

/// A running server; stopped when dropped.
pub(crate) struct Running {
    pub(crate) handle: Handle,
    pub(crate) address: SocketAddr,
    pub(crate) directory: SharedDirectory,
    thread: Option<JoinHandle<Result<(), ServerError>>>,
}

/// Small and quick: two workers.
pub(crate) fn settings() -> Settings {
    Settings { workers: 2, ..Settings::new(64 << 20) }
}

/// A server that anybody may use, on TCP.
pub(crate) fn start(settings: Settings) -> Running {
    start_with(settings, Directory::open(), |listener| vec![listener])
}

/// A server whose listeners `listeners` makes of a TCP one.
pub(crate) fn start_with(
    settings: Settings,
    directory: Directory,
    listeners: impl FnOnce(Listener) -> Vec<Listener>,
) -> Running {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    descriptors();
    // Storms of connections have to wait somewhere.
    rustix::net::listen(&socket, 4096).unwrap();
    let directory = SharedDirectory::new(directory);
    let server = Server::new(settings, directory.clone()).unwrap();
    let handle = server.handle();
    let listeners = listeners(Listener::tcp(socket));
    let thread = Some(std::thread::spawn(move || server.run(listeners)));
    Running { handle, address, directory, thread }
}

impl Running {
    pub(crate) fn connect(&self) -> Client<TcpStream> {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(FOREVER)).unwrap();
        stream.set_write_timeout(Some(FOREVER)).unwrap();
        Client { stream }
    }

    /// A connection of a user whose password is `secret`.
    pub(crate) fn log_in(&self, user: &str) -> Client<TcpStream> {
        let mut client = self.connect();
        let line = format!("set auth 0 0 {}\r\n{user} secret\r\n", user.len() + 7);
        client.ask(line.as_bytes(), b"STORED\r\n");
        client
    }

    /// Stops it; returns what `run` returned.
    pub(crate) fn stop(mut self) -> Result<(), ServerError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), ServerError> {
        self.handle.stop();
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap())
    }

    /// A figure of `stats`, as anybody sees it.
    pub(crate) fn stat(&self, name: &str) -> u64 {
        self.connect().stat(name)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let result = self.end();
        if !std::thread::panicking() {
            result.unwrap();
        }
    }
}

/// A client over any stream.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads exactly `expected`.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &[u8]) {
        let mut got = vec![0; expected.len()];
        let mut filled = 0;
        while filled < got.len() {
            match self.stream.read(&mut got[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error} after {filled} of {} bytes", got.len()),
            }
        }
        let (got, expected) = (shown(&got[..filled]), shown(expected));
        assert_eq!(got, expected);
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, request: &[u8], expected: &[u8]) {
        self.send(request);
        self.expect(expected);
    }

    /// Reads a line, without its ending.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            let read = self.stream.read_exact(&mut byte);
            assert!(read.is_ok(), "{read:?} after {}", shown(&line));
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    /// A figure of `stats`.
    #[track_caller]
    pub(crate) fn stat(&mut self, name: &str) -> u64 {
        self.send(b"stats\r\n");
        let prefix = format!("STAT {name} ");
        let mut found = None;
        loop {
            let line = self.line();
            if line == "END" {
                return found.unwrap_or_else(|| panic!("no stat {name}"));
            }
            if let Some(value) = line.strip_prefix(&prefix) {
                found = Some(value.parse().unwrap());
            }
        }
    }

    /// Reads until the server closes the connection; returns what came before. A reset counts as closed.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return rest,
                Ok(read) => rest.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return rest,
                Err(error) => panic!("{error} after {:?}", shown(&rest)),
            }
        }
    }
}

/// A tenant without limits; its name is its number's.
pub(crate) fn tenant(id: u32) -> Tenant {
    let name = TenantName::new(&format!("tenant{id}")).unwrap();
    Tenant { id: TenantId::new(id), name, ..Tenant::shared() }
}

/// A user of a tenant, whose password is `secret`.
pub(crate) fn user(name: &str, tenant: u32, capabilities: Capabilities) -> Credential {
    Credential {
        username: name.as_bytes().into(),
        digest: Digest::sha256(Salt::from_bytes([7; 16]), b"secret"),
        tenant: TenantId::new(tenant),
        capabilities,
        key_prefix: None,
        expires: None,
    }
}

pub(crate) fn directory(
    version: u64,
    tenants: impl IntoIterator<Item = Tenant>,
    users: impl IntoIterator<Item = Credential>,
) -> Directory {
    Directory::new(version, tenants, users, None).unwrap()
}

/// Bytes for a message: short, and readable as far as they are.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let start = bytes[..bytes.len().min(300)].escape_ascii().to_string();
    format!("{} bytes: {start}", bytes.len())
}

/// A value of its own for a key: of `len` bytes, and different from any other's.
pub(crate) fn value(key: &str, len: usize) -> Vec<u8> {
    let seed = format!("<{key}:{len}>");
    seed.bytes().cycle().take(len).collect()
}

pub(crate) fn set(key: &str, value: &[u8]) -> Vec<u8> {
    let head = format!("set {key} 0 0 {}\r\n", value.len());
    [head.as_bytes(), value, b"\r\n"].concat()
}

/// What a hit answers, without the END.
pub(crate) fn hit(key: &str, value: &[u8]) -> Vec<u8> {
    let head = format!("VALUE {key} 0 {}\r\n", value.len());
    [head.as_bytes(), value, b"\r\n"].concat()
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < FOREVER, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How many descriptors this process may have: as many as the system lets it, up to what tests need. Both
/// ends of all connections are in it, so the usual 1024 are not enough.
pub(crate) fn descriptors() -> usize {
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = most.min(1 << 16).max(now);
    setrlimit(Resource::RLIMIT_NOFILE, wanted, most).unwrap();
    usize::try_from(wanted).unwrap()
}

/// The memory of this process, in bytes.
pub(crate) fn rss() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap() * 1024
}
