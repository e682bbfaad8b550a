//! Accepts connections, on a thread of its own, and deals them to the workers: each to the one that has
//! the fewest.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{SendFlags, SocketAddrAny, SocketFlags, acceptfrom_with, sockopt};

use crate::node::{Node, tick};
use crate::settings::{Address, Listener, ListenerSocket};
use crate::stop::Waker;
use crate::worker::{Accepted, Inbox};

/// Accepted from one listener before the others have their turn.
const ACCEPTED_A_TURN: usize = 64;

/// How long accepting is suspended when there is no descriptor left, or the rate is reached, in
/// milliseconds.
const PAUSE_MS: u64 = 10;

/// What epoll is told of the waker.
const WAKE: u64 = u64::MAX;

/// What is said to a connection that is one too many.
const TOO_MANY: &[u8] = b"ERROR Too many open connections\r\n";

/// Accepts connections.
pub(crate) struct Acceptor {
    node: Arc<Node>,
    epoll: OwnedFd,
    waker: Arc<Waker>,
    listeners: Vec<Listener>,
    inboxes: Vec<Arc<Inbox>>,
    rate: Rate,
    /// Since when accepting is suspended, by the node's age.
    suspended: Option<u64>,
}

impl Acceptor {
    pub(crate) fn new(
        node: &Arc<Node>,
        listeners: Vec<Listener>,
        inboxes: Vec<Arc<Inbox>>,
    ) -> rustix::io::Result<Acceptor> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let waker = Arc::new(Waker::new()?);
        epoll::add(&epoll, &*waker, EventData::new_u64(WAKE), EventFlags::IN)?;
        for listener in &listeners {
            prepare(listener)?;
        }
        node.stop.wakes(&waker);
        let rate = Rate::new(node.settings.accepts_per_second, node.age_ms());
        let suspended = None;
        let node = Arc::clone(node);
        let acceptor = Acceptor { node, epoll, waker, listeners, inboxes, rate, suspended };
        acceptor.watch()?;
        Ok(acceptor)
    }

    /// Accepts until the server stops.
    pub(crate) fn run(mut self) -> rustix::io::Result<()> {
        let mut events = Vec::with_capacity(16);
        while !self.node.stop.is_asked() {
            let pause = Timespec { tv_sec: 0, tv_nsec: PAUSE_MS as i64 * 1_000_000 };
            let timeout = self.suspended.is_some().then_some(&pause);
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
            self.resume()?;
            for Event { data, .. } in events.drain(..) {
                match usize::try_from(data.u64()) {
                    Ok(listener) if listener < self.listeners.len() => self.accept(listener)?,
                    _ => self.waker.reset(),
                }
            }
        }
        Ok(())
    }

    /// Has epoll report connections.
    fn watch(&self) -> rustix::io::Result<()> {
        for (number, listener) in self.listeners.iter().enumerate() {
            let data = EventData::new_u64(number as u64);
            epoll::add(&self.epoll, listener.socket.as_fd(), data, EventFlags::IN)?;
        }
        self.node.tally.accepting.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Accepts nothing for a moment: who wants to connect waits in the system's queue.
    fn suspend(&mut self) -> rustix::io::Result<()> {
        if self.suspended.is_none() {
            for listener in &self.listeners {
                epoll::delete(&self.epoll, listener.socket.as_fd())?;
            }
            self.suspended = Some(self.node.age_ms());
            self.node.tally.accepting.store(false, Ordering::Relaxed);
            tick(&self.node.tally.listen_disabled);
        }
        Ok(())
    }

    fn resume(&mut self) -> rustix::io::Result<()> {
        let now = self.node.age_ms();
        let Some(since) = self.suspended.filter(|since| now >= since + PAUSE_MS) else {
            return Ok(());
        };
        self.suspended = None;
        let us = (now - since) * 1000;
        self.node.tally.listen_disabled_us.fetch_add(us, Ordering::Relaxed);
        self.watch()
    }

    /// Accepts what waits at a listener.
    fn accept(&mut self, listener: usize) -> rustix::io::Result<()> {
        for _ in 0..ACCEPTED_A_TURN {
            if self.suspended.is_some() {
                break;
            }
            if !self.rate.allows(self.node.age_ms()) {
                return self.suspend();
            }
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match acceptfrom_with(self.listeners[listener].socket.as_fd(), flags) {
                Ok((socket, peer)) => self.deal(socket, peer, listener),
                Err(Errno::AGAIN) => break,
                // Of a connection that is gone already: nothing that the next shares.
                Err(Errno::CONNABORTED | Errno::INTR | Errno::PROTO | Errno::PERM) => {}
                // Without descriptors or memory, there may be some in a moment; and whatever else is wrong
                // is not to be met again at once.
                Err(_) => return self.suspend(),
            }
        }
        Ok(())
    }

    /// Gives a connection to a worker.
    fn deal(&self, socket: OwnedFd, peer: Option<SocketAddrAny>, listener: usize) {
        let node = &self.node;
        tick(&node.tally.total_connections);
        let Listener { tls, protocol, .. } = &self.listeners[listener];
        let Some(worker) = node.connections.admit(node.settings.max_connections) else {
            tick(&node.tally.rejected_connections);
            if tls.is_none() {
                // If the client does not take it, it sees the end all the same.
                let _ = rustix::net::send(&socket, TOO_MANY, SendFlags::NOSIGNAL);
            }
            return;
        };
        let peer = peer.map_or(Address::Unknown, |peer| match peer.try_into() {
            Ok(peer) => Address::Tcp(peer),
            Err(_) => Address::Unix(String::new()),
        });
        let (tls, protocol) = (tls.clone(), *protocol);
        self.inboxes[worker].push(Accepted {
            socket,
            peer,
            listener: Some(listener),
            tls,
            protocol,
        });
    }
}

impl AsFd for ListenerSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            ListenerSocket::Tcp(socket) => socket.as_fd(),
            ListenerSocket::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Listener {
    /// The number of its descriptor.
    pub(crate) fn fd(&self) -> i32 {
        self.socket.as_fd().as_raw_fd()
    }
}

/// Sets what accepted sockets have from their listener.
fn prepare(listener: &Listener) -> rustix::io::Result<()> {
    let fd = listener.socket.as_fd();
    rustix::io::ioctl_fionbio(fd, true)?;
    if let ListenerSocket::Tcp(_) = listener.socket {
        // Replies are written whole; waiting to fill a packet would only delay them.
        sockopt::set_tcp_nodelay(fd, true)?;
        sockopt::set_socket_keepalive(fd, true)?;
    }
    Ok(())
}

/// How many connections may be accepted: so many a second, and as many at once after a quiet second.
#[derive(Debug)]
struct Rate {
    /// `None`: any number.
    per_second: Option<u64>,
    /// Thousandths of connections that may be accepted now.
    tokens: u64,
    /// When that was so, in milliseconds.
    at: u64,
}

impl Rate {
    fn new(per_second: Option<u32>, now: u64) -> Rate {
        let per_second = per_second.map(|rate| u64::from(rate.max(1)));
        Rate { per_second, tokens: per_second.unwrap_or(0) * 1000, at: now }
    }

    /// Whether one more may be accepted, which is counted.
    fn allows(&mut self, now: u64) -> bool {
        let Some(per_second) = self.per_second else { return true };
        let earned = (now - self.at).saturating_mul(per_second);
        self.tokens = self.tokens.saturating_add(earned).min(per_second * 1000);
        self.at = now;
        let allows = self.tokens >= 1000;
        if allows {
            self.tokens -= 1000;
        }
        allows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_allows_a_burst_and_then_so_many_a_second() {
        let mut rate = Rate::new(Some(100), 0);
        let mut allowed = |now| (0..1000).filter(|_| rate.allows(now)).count();
        assert_eq!(allowed(0), 100);
        assert_eq!(allowed(0), 0);
        assert_eq!(allowed(10), 1);
        assert_eq!(allowed(500), 49);
        assert_eq!(allowed(100_000), 100, "no more are saved up than a second's");
        assert!(Rate::new(None, 0).allows(0));
    }
}
