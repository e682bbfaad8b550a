//! Where a server is: TCP host and port, or a Unix socket; and its weight on the ring.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// memcached's registered port, used when none is given.
pub const DEFAULT_PORT: u16 = 11211;

/// The address of one cache server and its weight.
///
/// Written `host`, `host:port`, `[::1]:port`, `/path/to.sock` or `unix:/path/to.sock`, each
/// optionally followed by `*weight` (`cache1:11211*2`). The port defaults to [`DEFAULT_PORT`], the
/// weight to 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerAddr {
    endpoint: Endpoint,
    weight: u32,
}

/// What to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// TCP to a host name or IP address (without brackets) and port.
    Tcp {
        /// The host as it was written; the rings hash it as such.
        host: String,
        /// The port, from 1.
        port: u16,
    },
    /// A Unix stream socket.
    Unix(PathBuf),
}

impl ServerAddr {
    /// A server reached over TCP, weight 1. `host` is a name or an IP address without brackets.
    #[must_use]
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self { endpoint: Endpoint::Tcp { host: host.into(), port }, weight: 1 }
    }

    /// A server reached over a Unix socket, weight 1.
    #[must_use]
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self { endpoint: Endpoint::Unix(path.as_ref().to_path_buf()), weight: 1 }
    }

    /// The same server with another weight, its share of the keys relative to the others; 0 counts
    /// as 1.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight.max(1);
        self
    }

    /// What to connect to.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The weight on the ring, 1 or more.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight
    }
}

impl From<SocketAddr> for ServerAddr {
    fn from(addr: SocketAddr) -> Self {
        Self::tcp(addr.ip().to_string(), addr.port())
    }
}

impl FromStr for ServerAddr {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        let error = |reason| AddrError { value: text.to_owned(), reason };
        let (place, weight) = match text.rsplit_once('*') {
            None => (text, 1),
            Some((place, digits)) => {
                let weight = digits.parse::<u32>().ok().filter(|&weight| weight > 0);
                (place, weight.ok_or_else(|| error("the weight after * is not a number from 1"))?)
            }
        };
        let endpoint = if let Some(path) = place.strip_prefix("unix:") {
            unix(path)
        } else if place.starts_with('/') {
            unix(place)
        } else {
            tcp(place)
        };
        Ok(Self { endpoint: endpoint.map_err(error)?, weight })
    }
}

impl fmt::Display for ServerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            Endpoint::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}")?,
            Endpoint::Tcp { host, port } => write!(f, "{host}:{port}")?,
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display())?,
        }
        if self.weight != 1 {
            write!(f, "*{}", self.weight)?;
        }
        Ok(())
    }
}

/// A server address that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{value:?} is no server address: {reason}; \
     write host, host:port, [ipv6]:port or /path/to.sock, optionally followed by *weight"
)]
pub struct AddrError {
    value: String,
    reason: &'static str,
}

/// Reads a list of servers as in `MEMCACHIER_SERVERS`: separated by commas, semicolons or white
/// space, each as [`ServerAddr`] reads it.
///
/// # Errors
///
/// [`AddrError`] for the first address that cannot be read, or when there is none at all.
pub fn parse_servers(list: &str) -> Result<Vec<ServerAddr>, AddrError> {
    let servers = list
        .split(|c: char| c == ',' || c == ';' || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .map(str::parse)
        .collect::<Result<Vec<ServerAddr>, _>>()?;
    if servers.is_empty() {
        return Err(AddrError { value: list.to_owned(), reason: "it names no server" });
    }
    Ok(servers)
}

fn unix(path: &str) -> Result<Endpoint, &'static str> {
    if !path.starts_with('/') {
        return Err("the path of a Unix socket begins with /");
    }
    Ok(Endpoint::Unix(PathBuf::from(path)))
}

fn tcp(place: &str) -> Result<Endpoint, &'static str> {
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("the bracket [ is not closed")?;
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("what is in the brackets is no IPv6 address");
        }
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err("only :port may follow the bracket ]"),
        }
    } else {
        match place.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("an IPv6 address is written in brackets");
            }
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        }
    };
    if host.is_empty() {
        return Err("the host is missing");
    }
    // A host with an @ or a / is a URL or holds credentials, which do not belong here.
    if host.contains(|c: char| c.is_whitespace() || c.is_control() || "@/?#*,;".contains(c)) {
        return Err("the host holds a character that no host name has");
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(digits) => digits
            .parse::<u16>()
            .ok()
            .filter(|&port| port > 0)
            .ok_or("the port is not a number from 1 to 65535")?,
    };
    Ok(Endpoint::Tcp { host: host.to_owned(), port })
}
