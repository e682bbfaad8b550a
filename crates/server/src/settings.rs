//! How a server is set up, and what it listens on. The caller binds sockets and makes TLS; nothing here
//! reads a file or an environment.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use larder_store::Clock;

use crate::tls::Tls;

/// How a [`Server`](crate::Server) is set up. [`Settings::new`] has what a good server would have;
/// change what should differ.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The limit for everything the store keeps, in bytes.
    pub memory_bytes: usize,
    /// The largest item, key and value together, in bytes; the store may allow less: at most an eighth of
    /// its memory.
    pub max_item_bytes: usize,
    /// Event loops, each a thread; at least 1.
    pub workers: usize,
    /// Connections open at once; one more is told so and closed.
    pub max_connections: usize,
    /// A connection that sends nothing for so long is closed; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// How long a command may take to come whole, a TLS handshake to end, a client to authenticate, and
    /// a reader that takes none of its replies to take some.
    pub request_deadline: Duration,
    /// How long a stopping server waits for clients to take their replies.
    pub stop_deadline: Duration,
    /// Requests of one connection that are answered before others have their turn; at least 1.
    pub requests_per_turn: u32,
    /// Connections accepted in a second, and as many at once after a quiet second; more wait in the
    /// system's queue. `None`: any number.
    pub accepts_per_second: Option<u32>,
    /// The limit for all connections' half commands and unsent replies, and for what TLS keeps, in bytes: 4
    /// KiB for each of its connections, more in a handshake. Beyond it the slowest reader is closed. Idle TLS
    /// connections get three quarters of it at most, then one more of them is refused. It is at least twice
    /// `max_item_bytes`, whatever is said here.
    pub buffer_bytes: usize,
    /// Whether items are evicted when memory is full; if not, storing fails.
    pub evict: bool,
    /// Whether CAS numbers are given out and compared; if not, they are shown as 0.
    pub cas: bool,
    /// Whether clients may flush everything.
    pub allow_flush: bool,
    /// Whether clients may stop the server by `shutdown`.
    pub allow_shutdown: bool,
    /// Whether clients may list keys.
    pub allow_dumps: bool,
    /// Ends the prefix by which `stats detail` sorts keys.
    pub detail_delimiter: u8,
    /// Whether `stats detail` counts from the start.
    pub detail: bool,
    /// As `verbosity` shows and sets it.
    pub verbosity: u32,
    /// Whether `debugtime` is accepted, which moves the server's clock. For tests only.
    pub debug_commands: bool,
    /// Whether it is looked at what clients do, in a sample: busy keys, and why keys are missed.
    pub insight: bool,
    /// Where the server's time comes from.
    pub clock: Clock,
    /// Further lines of `stats settings`: what the command line said of things that mean nothing here.
    pub shown: Vec<(String, String)>,
    /// Answers every `get` with a constant, to measure what the loop alone costs.
    #[doc(hidden)]
    pub floor: bool,
}

impl Settings {
    /// Memory as given, items up to 1 MiB, a worker per CPU, 1024 connections.
    #[must_use]
    pub fn new(memory_bytes: usize) -> Settings {
        Settings {
            memory_bytes,
            max_item_bytes: 1 << 20,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            max_connections: 1024,
            idle_timeout: None,
            request_deadline: Duration::from_secs(60),
            stop_deadline: Duration::from_secs(5),
            requests_per_turn: 1024,
            accepts_per_second: Some(20_000),
            buffer_bytes: 64 << 20,
            evict: true,
            cas: true,
            allow_flush: true,
            allow_shutdown: false,
            allow_dumps: true,
            detail_delimiter: b':',
            detail: false,
            verbosity: 0,
            debug_commands: false,
            insight: true,
            clock: Clock::system(),
            shown: Vec::new(),
            floor: false,
        }
    }
}

/// A socket to accept connections from, bound by the caller, and how they are spoken to.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: ListenerSocket,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) protocol: ProtocolPin,
}

/// A bound socket.
#[derive(Debug)]
pub(crate) enum ListenerSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Of a TCP socket.
    #[must_use]
    pub fn tcp(socket: TcpListener) -> Listener {
        Listener {
            socket: ListenerSocket::Tcp(socket),
            tls: None,
            protocol: ProtocolPin::Negotiated,
        }
    }

    /// Of a unix socket. Removing its path is the caller's affair.
    #[must_use]
    pub fn unix(socket: UnixListener) -> Listener {
        Listener {
            socket: ListenerSocket::Unix(socket),
            tls: None,
            protocol: ProtocolPin::Negotiated,
        }
    }

    /// Connections begin with a TLS handshake. Listeners may share one `tls`.
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<Tls>) -> Listener {
        self.tls = Some(tls);
        self
    }

    /// Connections speak only this protocol.
    #[must_use]
    pub fn with_protocol(mut self, protocol: ProtocolPin) -> Listener {
        self.protocol = protocol;
        self
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Address {
        match &self.socket {
            ListenerSocket::Tcp(socket) => {
                socket.local_addr().map_or(Address::Unknown, Address::Tcp)
            }
            ListenerSocket::Unix(socket) => {
                let address = socket.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                Address::Unix(path.map_or(String::new(), |path| path.display().to_string()))
            }
        }
    }
}

/// Which protocol connections of a listener speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProtocolPin {
    /// Binary if the first byte says so, else text and meta.
    #[default]
    Negotiated,
    /// Text and meta.
    Text,
    /// Binary: a connection that begins with anything else is closed.
    Binary,
}

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Address and port.
    Tcp(SocketAddr),
    /// The path of a unix socket; empty for the client's end.
    Unix(String),
    /// The system did not tell.
    Unknown,
}

/// `127.0.0.1:11211`, `unix:/run/larder.sock`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{path}"),
            Address::Unknown => f.write_str("unknown"),
        }
    }
}
