//! Sockets to listen on.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::{Context, bail};
use nix::sys::stat::{Mode, umask};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Connections that the system holds until they are accepted, unless something else is asked for.
pub(crate) const BACKLOG: i32 = 1024;

/// Addresses that `host:port` stands for.
///
/// # Errors
///
/// If it is none, or the name is unknown.
pub(crate) fn resolve(host: &str, port: u16) -> anyhow::Result<Vec<SocketAddr>> {
    let addresses: Vec<_> = (host, port)
        .to_socket_addrs()
        .with_context(|| format!("{host:?} is no address and no name that is known"))?
        .collect();
    if addresses.is_empty() {
        bail!("{host:?} has no address");
    }
    Ok(addresses)
}

/// Splits `host:port`; an IPv6 address with a port stands in brackets. The port may lack.
///
/// # Errors
///
/// If the port is none, or brackets are left open.
pub(crate) fn split_port(text: &str) -> anyhow::Result<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').context("there is a [ without a ]")?;
        match rest.strip_prefix(':') {
            None if !rest.is_empty() => bail!("after the ] only :PORT may follow"),
            port => (host, port),
        }
    } else {
        match text.rsplit_once(':') {
            // More than one colon: an IPv6 address without brackets, and without a port.
            Some((host, _)) if host.contains(':') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let number = |port: &str| {
        port.parse().with_context(|| format!("{port:?} is no port: 0 to 65535 would be right"))
    };
    Ok((host, port.map(number).transpose()?))
}

/// Listens on a TCP address. An IPv6 address takes only IPv6, so the same port of IPv4 is free.
///
/// # Errors
///
/// The system's, with the address, and what to do if it is in use.
pub(crate) fn tcp(address: SocketAddr, backlog: i32) -> anyhow::Result<TcpListener> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(backlog)?;
        Ok(TcpListener::from(socket))
    };
    bound().map_err(|error| refused(&address, &error))
}

/// Listens on a unix socket, for those whom the bits of `mode` let in. A socket that nobody answers on
/// any more is replaced.
///
/// # Errors
///
/// The system's, with the path, and what to do if it is in use.
pub(crate) fn unix(path: &Path, mode: u32, backlog: i32) -> anyhow::Result<UnixListener> {
    let old = path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket());
    if old {
        if UnixStream::connect(path).is_ok() {
            return Err(refused(&path.display(), &io::ErrorKind::AddrInUse.into()));
        }
        std::fs::remove_file(path).with_context(|| format!("cannot replace {}", path.display()))?;
    }
    let bound = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // The socket must not be open to more users for a moment between bind and chmod.
        let before = umask(Mode::from_bits_truncate(!mode & 0o777));
        let bound = socket.bind(&SockAddr::unix(path)?);
        umask(before);
        bound?;
        socket.listen(backlog)?;
        Ok(UnixListener::from(socket))
    };
    bound().map_err(|error| refused(&path.display(), &error))
}

/// Whether this is the error of a place where somebody else listens.
pub(crate) fn is_busy(error: &anyhow::Error) -> bool {
    error.to_string().contains(BUSY)
}

/// What is said of such a place.
const BUSY: &str = "is in use";

fn refused(place: &dyn fmt::Display, error: &io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "{place} {BUSY}: another server listens there; stop it, or listen somewhere else"
        ),
        io::ErrorKind::PermissionDenied => anyhow::anyhow!(
            "{place}: {error}; ports below 1024 and other users' directories need more rights"
        ),
        io::ErrorKind::AddrNotAvailable => {
            anyhow::anyhow!("{place}: this machine has no such address")
        }
        _ => anyhow::anyhow!("cannot listen on {place}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        for (text, host, port) in [
            ("127.0.0.1:11211", "127.0.0.1", Some(11211)),
            ("localhost", "localhost", None),
            ("[::1]:80", "::1", Some(80)),
            ("[::1]", "::1", None),
            ("::1", "::1", None),
            ("::", "::", None),
        ] {
            assert_eq!(split_port(text).unwrap(), (host, port), "{text}");
        }
        for text in ["a:", "a:x", "a:65536", "a:-1", "[::1", "[::1]80"] {
            assert!(split_port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_busy_port_is_named() {
        let first = tcp("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let address = first.local_addr().unwrap();
        let error = tcp(address, 1).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("in use"), "{error}");
    }

    #[test]
    fn both_families_may_have_one_port() {
        let four = tcp("0.0.0.0:0".parse().unwrap(), 1).unwrap();
        let port = four.local_addr().unwrap().port();
        let six = tcp(SocketAddr::new("::".parse().unwrap(), port), 1);
        let no_ipv6 = |error: &anyhow::Error| !error.to_string().contains("in use");
        assert!(six.as_ref().err().is_none_or(no_ipv6), "{six:?}");
    }

    #[test]
    fn a_unix_socket_has_its_mode_and_replaces_only_a_dead_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let first = unix(&path, 0o640, 1).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        let error = unix(&path, 0o700, 1).unwrap_err().to_string();
        assert!(error.contains("in use"), "{error}");
        drop(first);
        unix(&path, 0o700, 1).unwrap();

        let file = dir.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        assert!(unix(&file, 0o700, 1).is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }
}
