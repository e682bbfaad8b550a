//! Reading and writing a socket. Nothing here waits.

use std::io::IoSlice;

use rustix::buffer::spare_capacity;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use crate::cx::CloseReason;

/// Read at once, in bytes.
pub(crate) const READ: usize = 64 * 1024;

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
pub(crate) fn send_slices(socket: &OwnedFd, slices: &[IoSlice<'_>]) -> Result<usize, CloseReason> {
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
