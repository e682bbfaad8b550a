//! Reading and writing a socket, with or without TLS over it. Nothing here waits.

use std::io::{self, BufRead, IoSlice, Write};

use arrayvec::ArrayVec;
use rustix::buffer::spare_capacity;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use rustls::ServerConnection;

use crate::budget::{Budget, Buffer};
use crate::cx::CloseReason;
use crate::output::{Output, Room, pieces};
use crate::replies::Large;

/// Read at once, in bytes.
pub(crate) const READ: usize = 64 * 1024;

/// Slices written at once.
const SLICES: usize = 128;

/// Reads once, behind what is in `bytes`; returns how much, 0 if nothing has come. `ended` if nothing more
/// will.
pub(crate) fn receive(
    socket: &OwnedFd,
    bytes: &mut Vec<u8>,
    ended: &mut bool,
) -> Result<usize, CloseReason> {
    bytes.reserve(READ);
    received(rustix::net::recv(socket, spare_capacity(bytes), RecvFlags::empty()), ended)
}

/// The same into a buffer of its own.
pub(crate) fn receive_into(
    socket: &OwnedFd,
    buffer: &mut [u8],
    ended: &mut bool,
) -> Result<usize, CloseReason> {
    received(rustix::net::recv(socket, buffer, RecvFlags::empty()), ended)
}

fn received(
    result: rustix::io::Result<(usize, usize)>,
    ended: &mut bool,
) -> Result<usize, CloseReason> {
    let (read, _) = match result {
        Ok(read) => read,
        Err(error) => return refused(error),
    };
    *ended |= read == 0;
    Ok(read)
}

/// Writes once; returns how much, 0 if the socket takes nothing now.
pub(crate) fn send(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, CloseReason> {
    rustix::net::send(socket, bytes, SendFlags::NOSIGNAL).or_else(refused)
}

/// The same for many slices at once.
fn send_slices(socket: &OwnedFd, slices: &[IoSlice<'_>]) -> Result<usize, CloseReason> {
    if let [bytes] = slices {
        return send(socket, bytes);
    }
    let mut nothing = SendAncillaryBuffer::default();
    rustix::net::sendmsg(socket, slices, &mut nothing, SendFlags::NOSIGNAL).or_else(refused)
}

fn refused(error: Errno) -> Result<usize, CloseReason> {
    match error {
        Errno::AGAIN | Errno::INTR => Ok(0),
        Errno::CONNRESET | Errno::PIPE => Err(CloseReason::Hangup),
        _ => Err(CloseReason::Socket),
    }
}

/// Takes apart what was read, and appends what it says to `plain`. `ended` if the client has said that
/// nothing follows.
pub(crate) fn open_records(
    tls: &mut ServerConnection,
    mut records: &[u8],
    plain: &mut Vec<u8>,
    ended: &mut bool,
) -> Result<(), rustls::Error> {
    while !records.is_empty() {
        let taken = tls.read_tls(&mut records);
        let state = tls.process_new_packets()?;
        *ended |= state.peer_has_closed();
        let mut reader = tls.reader();
        while let Ok(chunk @ [_, ..]) = reader.fill_buf() {
            plain.extend_from_slice(chunk);
            let taken = chunk.len();
            reader.consume(taken);
        }
        match taken {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return Err(rustls::Error::General(error.to_string())),
        }
    }
    Ok(())
}

/// Encrypts and writes as much as the socket takes; returns how much was encrypted.
pub(crate) fn seal(
    socket: &OwnedFd,
    tls: &mut ServerConnection,
    slices: &[IoSlice<'_>],
) -> Result<usize, CloseReason> {
    let mut slices = ArrayVec::<_, SLICES>::from_iter(slices.iter().copied());
    let mut rest = &mut slices[..];
    let mut sealed = 0;
    while !rest.is_empty() {
        // Some, as far as the limit for what is not written goes.
        let taken = tls.writer().write_vectored(rest).map_err(|_| CloseReason::Tls)?;
        sealed += taken;
        IoSlice::advance_slices(&mut rest, taken);
        send_records(socket, tls)?;
        if taken == 0 || tls.wants_write() {
            break;
        }
    }
    Ok(sealed)
}

/// Writes what is encrypted, as far as the socket takes it.
pub(crate) fn send_records(
    socket: &OwnedFd,
    tls: &mut ServerConnection,
) -> Result<(), CloseReason> {
    while tls.wants_write() {
        match tls.write_tls(&mut Records(socket)) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(_) => return Err(CloseReason::Hangup),
        }
    }
    Ok(())
}

/// A socket as rustls writes to it.
struct Records<'s>(&'s OwnedFd);

impl Write for Records<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut nothing = SendAncillaryBuffer::default();
        Ok(rustix::net::sendmsg(self.0, slices, &mut nothing, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where a session's replies go: to the socket, and what that does not take to a buffer.
pub(crate) struct Sink<'c> {
    socket: &'c OwnedFd,
    tls: Option<&'c mut ServerConnection>,
    unsent: &'c mut Buffer,
    budget: &'c Budget,
    written: usize,
    failed: Option<CloseReason>,
}

impl<'c> Sink<'c> {
    pub(crate) fn new(
        socket: &'c OwnedFd,
        tls: Option<&'c mut ServerConnection>,
        unsent: &'c mut Buffer,
        budget: &'c Budget,
    ) -> Sink<'c> {
        Sink { socket, tls, unsent, budget, written: 0, failed: None }
    }

    /// How many bytes were written; or why the connection is of no use any more.
    pub(crate) fn finish(self) -> Result<usize, CloseReason> {
        self.failed.map_or(Ok(self.written), Err)
    }

    /// Sends slices, and keeps what is not taken.
    fn send_or_keep(&mut self, mut slices: &mut [IoSlice<'_>]) {
        if self.failed.is_some() || slices.is_empty() {
            return;
        }
        let sent = match &mut self.tls {
            _ if !self.unsent.is_empty() => Ok(0),
            None => send_slices(self.socket, slices),
            Some(tls) => seal(self.socket, tls, slices),
        };
        match sent {
            Ok(sent) => {
                self.written += sent;
                IoSlice::advance_slices(&mut slices, sent);
            }
            Err(reason) => return self.failed = Some(reason),
        }
        for kept in slices {
            if self.unsent.append(self.budget, kept).is_err() {
                self.failed = Some(CloseReason::SlowReader);
            }
        }
    }
}

impl Output for Sink<'_> {
    fn send(&mut self, bytes: &[u8], large: &[Large<'_>]) -> Room {
        let mut slices = ArrayVec::<_, SLICES>::new();
        pieces(bytes, large, |piece| {
            if !piece.is_empty() {
                slices.push(IoSlice::new(piece));
            }
            if slices.is_full() {
                self.send_or_keep(&mut slices);
                slices.clear();
            }
        });
        self.send_or_keep(&mut slices);
        let is_free = self.failed.is_none()
            && self.unsent.is_empty()
            && !self.tls.as_ref().is_some_and(|tls| tls.wants_write());
        if is_free { Room::Free } else { Room::Full }
    }
}
