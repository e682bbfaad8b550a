//! The CPU time of processes of this machine, and which process listens at an address.
//!
//! All from `/proc`: what cannot be read there is not known, and that is no error.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use crate::server::Address;

/// Clock ticks per second in `/proc/PID/stat`: the kernel's user interface fixes them at 100.
const TICKS_PER_SECOND: u64 = 100;

/// The CPU time all threads of a process have used, user and system.
///
/// From `schedstat` (exact to a few milliseconds for a thread that runs just now), or where the kernel has
/// none, from `stat` (exact to 10 ms). Threads that ended before are only in the latter.
#[must_use]
pub fn used(pid: u32) -> Option<Duration> {
    scheduled(pid).or_else(|| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        ticks(&stat).map(|ticks| Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    })
}

fn scheduled(pid: u32) -> Option<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let line = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        nanos += line.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    (nanos > 0).then(|| Duration::from_nanos(nanos))
}

/// The ticks in user and system mode of a `stat` line: see proc(5).
fn ticks(stat: &str) -> Option<u64> {
    // The second field, the command's name, is in parentheses and may contain anything.
    let fields = stat.rsplit_once(')')?.1;
    let mut times = fields.split_whitespace().skip(11).map(|ticks| ticks.parse::<u64>().ok());
    Some(times.next()?? + times.next()??)
}

/// The process that listens at an address of this machine, if this process may know.
#[must_use]
pub fn listener(address: &Address) -> Option<u32> {
    let inode = match address {
        Address::Tcp(host, port) => (host.as_str(), *port)
            .to_socket_addrs()
            .ok()?
            .filter(|address| is_local(address.ip()))
            .find_map(tcp_inode)?,
        Address::Unix(path) => {
            let path = fs::canonicalize(path).ok()?;
            unix_inode(&fs::read_to_string("/proc/net/unix").ok()?, &path)?
        }
    };
    owner(&inode)
}

/// Only an address of this machine can be bound.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || TcpListener::bind((ip, 0)).is_ok()
}

fn tcp_inode(address: SocketAddr) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    tables.iter().find_map(|table| listening(&fs::read_to_string(table).ok()?, address))
}

/// The inode of the socket in a table of `/proc/net` that listens at an address or at all of them.
fn listening(table: &str, wanted: SocketAddr) -> Option<String> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (&local, &state, &inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let (ip, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let ip = parse_ip(ip)?.to_canonical();
        let here = ip == wanted.ip().to_canonical() || ip.is_unspecified();
        (state == LISTEN && port == wanted.port() && here).then(|| inode.to_owned())
    })
}

/// An address as the kernel writes it: words of 32 bits, each in the order of this machine.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    if hex.len() == 8 {
        return word(0).map(|bytes| Ipv4Addr::from(bytes).into());
    }
    let words = [word(0)?, word(8)?, word(16)?, word(24)?];
    let bytes: [u8; 16] = words.concat().try_into().ok()?;
    Some(Ipv6Addr::from(bytes).into())
}

/// The inode of the socket at a path that accepts connections.
fn unix_inode(table: &str, wanted: &Path) -> Option<String> {
    /// The flag of sockets that listen.
    const ACCEPTS: &str = "00010000";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (&flags, &inode, &path) = (fields.get(3)?, fields.get(6)?, fields.get(7)?);
        let same = fs::canonicalize(path).is_ok_and(|path| path == wanted);
        (flags == ACCEPTS && same).then(|| inode.to_owned())
    })
}

/// The process that has a socket open.
fn owner(inode: &str) -> Option<u32> {
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.find(|pid| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
        targets.any(|target| target.as_os_str() == wanted.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn this_process_uses_time() {
        let before = used(std::process::id()).unwrap();
        let mut sum = 0u64;
        let mut random = crate::random::Random::new(1);
        while used(std::process::id()).unwrap() < before + Duration::from_millis(20) {
            sum = (0..100_000).fold(sum, |sum, _| sum ^ random.bits());
        }
        assert_ne!(sum, 0);
        assert!(used(u32::MAX).is_none());
    }

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "1 (a) b (c) S 0 1 1 0 -1 4 1 2 3 4 250 50 0 0 20 0 1 0";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("1 (a) S 1"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn listeners_are_found() {
        let this = Some(std::process::id());
        for ip in ["127.0.0.1", "0.0.0.0", "::1", "::"] {
            let Ok(listener_at) = TcpListener::bind((ip, 0)) else {
                continue;
            };
            let port = listener_at.local_addr().unwrap().port();
            let host = if ip.contains(':') { "::1" } else { "127.0.0.1" };
            assert_eq!(listener(&Address::Tcp(host.into(), port)), this, "{ip}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener(&Address::Unix(path)), this);
        assert_eq!(listener(&Address::Unix("/no/such/socket".into())), None);
        // A documentation address is no machine's own.
        assert_eq!(listener(&Address::Tcp("192.0.2.1".into(), 1)), None);
    }

    #[test]
    fn tables_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:2BCB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n\
            1: 0100007F:2BCC 0100007F:1000 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n";
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if cfg!(target_endian = "little") {
            assert_eq!(listening(table, at(0x2bcb)).as_deref(), Some("4711"));
        }
        assert_eq!(listening(table, at(0x2bcc)), None, "it is connected, it does not listen");
        assert_eq!(listening("garbage\nmore garbage\n", at(1)), None);
    }
}
