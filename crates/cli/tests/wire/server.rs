//! The servers that scripts run against: ours, and stock memcached.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use larder_peers::{Memcached, Program, Running, free_address};
use tempfile::TempDir;

use crate::script::{ServerFlags, Version, parse_version};

/// Which server, and for ours, how it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    LarderTcp,
    LarderUnix,
    Stock,
}

/// A running server; ends when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: Address,
    _process: Peer,
    _files: TempDir,
}

/// Held to keep it running.
#[derive(Debug)]
enum Peer {
    Larder { _running: Running },
    Stock { _memcached: Memcached },
}

#[derive(Debug)]
enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Server {
    /// Starts a server and waits until it accepts connections.
    pub(crate) fn start(target: Target, wanted: &ServerFlags) -> Server {
        let files = tempfile::tempdir().expect("a scratch directory");
        // Stock memcached runs as a user of its own.
        readable(files.path());
        let flags = flags(wanted, &files);
        match (target, &wanted.account) {
            (Target::Stock, None) => {
                let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
                Server::of_stock(Memcached::with_args(&flags), files)
            }
            (Target::Stock, Some((name, password))) => {
                Server::of_stock(Memcached::sasl(name, password), files)
            }
            (_, account) => {
                let account = account.as_ref().map(|(name, password)| format!("{name}:{password}"));
                Server::of_larder(target, &flags, account.as_deref(), files)
            }
        }
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> io::Result<Stream> {
        self.address.connect()
    }

    fn of_stock(memcached: Memcached, files: TempDir) -> Server {
        let address = Address::Tcp(memcached.addr());
        Server { address, _process: Peer::Stock { _memcached: memcached }, _files: files }
    }

    fn of_larder(
        target: Target,
        flags: &[String],
        account: Option<&str>,
        files: TempDir,
    ) -> Server {
        let mut program = Program::new(env!("CARGO_BIN_EXE_larder"))
            .args(["memcached", "-u", "root"])
            .args(flags);
        program = program.envs([("LARDER_DEBUG_COMMANDS", "1")]);
        if let Some(account) = account {
            let path = files.path().join("accounts");
            std::fs::write(&path, format!("{account}\n")).expect("a scratch file");
            program = program.envs([("MEMCACHED_SASL_PWDB", path)]);
        }
        let (program, address) = if target == Target::LarderUnix {
            let path = files.path().join("socket");
            (program.args(["-s"]).args([&path]), Address::Unix(path))
        } else {
            let address = free_address();
            let port = address.port().to_string();
            (program.args(["-l", "127.0.0.1", "-p", &port]), Address::Tcp(address))
        };
        let running = program.start();
        let patience = Instant::now() + Duration::from_secs(60);
        while let Err(error) = address.connect() {
            let output = running.output();
            assert!(Instant::now() < patience, "{address:?}: {error}\n{flags:?}\n{output}");
            std::thread::sleep(Duration::from_millis(5));
        }
        Server { address, _process: Peer::Larder { _running: running }, _files: files }
    }
}

impl Address {
    fn connect(&self) -> io::Result<Stream> {
        const LIMIT: Option<Duration> = Some(Duration::from_secs(60));
        match self {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_write_timeout(LIMIT)?;
                Ok(Stream::Tcp(stream))
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_write_timeout(LIMIT)?;
                Ok(Stream::Unix(stream))
            }
        }
    }
}

impl Stream {
    /// Sends everything.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }

    /// Appends what comes next to `got`; how many bytes: 0 at the end of the connection, `None` if
    /// nothing came in time.
    pub(crate) fn receive(&mut self, limit: Duration, got: &mut Vec<u8>) -> Option<usize> {
        let mut buffer = [0; 65536];
        let limit = limit.max(Duration::from_millis(1));
        let read = match self {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(limit)).and_then(|()| stream.read(&mut buffer))
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(limit)).and_then(|()| stream.read(&mut buffer))
            }
        };
        match read {
            Ok(length) => {
                got.extend(&buffer[..length]);
                Some(length)
            }
            Err(error) if is_timeout(&error) => None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.receive(limit, got),
            // A reset: the server has closed before it read everything.
            Err(_) => Some(0),
        }
    }
}

/// The version of the stock memcached that is installed.
pub(crate) fn stock_version() -> Version {
    let text = Memcached::version();
    parse_version(&text).unwrap_or_else(|error| panic!("memcached -V: {error}"))
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The flags with paths for the names of files, and the files.
fn flags(wanted: &ServerFlags, directory: &TempDir) -> Vec<String> {
    let mut flags = wanted.flags.clone();
    for (name, content) in &wanted.files {
        let path = directory.path().join(name);
        std::fs::write(&path, content).expect("a scratch file");
        for flag in &mut flags {
            *flag = flag.replace(&format!("{{{name}}}"), &path.display().to_string());
        }
    }
    flags
}

fn readable(directory: &Path) {
    let everyone = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory, everyone).expect("our own directory");
}
