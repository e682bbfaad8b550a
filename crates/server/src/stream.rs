//! What a connection's bytes go through: the socket, TLS over it if there is any, and what the socket did
//! not take.
//!
//! What is written is sent or kept. What is kept are bytes as the socket takes them, encrypted already where
//! there is TLS: sending them later is the same for all.

use std::io::{self, ErrorKind, IoSlice, Write};
use std::sync::Arc;

use arrayvec::ArrayVec;
use rustix::fd::OwnedFd;
use rustix::net::Shutdown;

use crate::budget::{Budget, Buffer};
use crate::cx::CloseReason;
use crate::node::{Tally, tick};
use crate::output::{Output, Room, pieces};
use crate::records::Records;
use crate::replies::Large;
use crate::socket;

/// Slices written at once.
const SLICES: usize = 128;

/// A socket, with TLS or without.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: OwnedFd,
    records: Option<Box<Records>>,
    /// What the socket did not take.
    unsent: Buffer,
    budget: Arc<Budget>,
    /// Whether the client has said that it sends no more.
    ended: bool,
}

impl Stream {
    pub(crate) fn new(
        socket: OwnedFd,
        records: Option<Box<Records>>,
        budget: Arc<Budget>,
    ) -> Stream {
        Stream { socket, records, unsent: Buffer::default(), budget, ended: false }
    }

    pub(crate) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// What its buffers are charged to.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Whether what the socket reads is what the client says.
    pub(crate) fn is_plain(&self) -> bool {
        self.records.is_none()
    }

    /// Whether the client has said that it sends no more.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.records.as_ref().is_some_and(|records| records.is_handshaking())
    }

    /// Whether the client has something to take, or to end.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.has_unsent() || self.records.as_ref().is_some_and(|records| records.is_unfinished())
    }

    /// What the budget is charged, in bytes.
    pub(crate) fn holds(&self) -> usize {
        self.unsent.holds() + self.records.as_ref().map_or(0, |records| records.holds())
    }

    /// Reads once, behind what is in `bytes`; returns how many bytes came off the socket. `records` is for
    /// what comes encrypted.
    pub(crate) fn read(
        &mut self,
        bytes: &mut Vec<u8>,
        records: &mut Vec<u8>,
        tally: &Tally,
    ) -> Result<usize, CloseReason> {
        let Some(tls) = &mut self.records else {
            return socket::receive(&self.socket, bytes, &mut self.ended);
        };
        records.clear();
        records.extend_from_slice(tls.partial());
        let read = socket::receive(&self.socket, records, &mut self.ended)?;
        let was_handshaking = tls.is_handshaking();
        let opened = tls.open(records, bytes, &mut self.ended, &self.budget);
        let is_new = was_handshaking && !tls.is_handshaking() && !tls.is_resumed();
        // If it failed, this tells the client why.
        let sent = self.send_records();
        if opened == Err(CloseReason::Tls) {
            let later = &tally.ssl_proto_errors;
            tick(if was_handshaking { &tally.ssl_handshake_errors } else { later });
        }
        opened?;
        sent?;
        if is_new {
            tick(&tally.ssl_new_sessions);
        }
        Ok(read)
    }

    /// Reads once what comes as it is, into a buffer of its own; returns how much.
    pub(crate) fn read_into(&mut self, buffer: &mut [u8]) -> Result<usize, CloseReason> {
        socket::receive_into(&self.socket, buffer, &mut self.ended)
    }

    /// Throws away what comes; whether more may.
    pub(crate) fn discard(&mut self, scratch: &mut Vec<u8>) -> bool {
        scratch.clear();
        socket::receive(&self.socket, scratch, &mut self.ended).is_ok() && !self.ended
    }

    /// Sends slices, and keeps what is not taken; returns how many bytes the socket took.
    fn send_or_keep(&mut self, mut slices: &mut [IoSlice<'_>]) -> Result<usize, CloseReason> {
        let Some(tls) = &mut self.records else {
            let mut way = Way::of(&self.socket, &mut self.unsent, &self.budget);
            way.take(slices)?;
            return Ok(way.sent);
        };
        let mut sent = 0;
        while !slices.is_empty() {
            let sealed = tls.seal(slices)?;
            IoSlice::advance_slices(&mut slices, sealed);
            let mut way = Way::of(&self.socket, &mut self.unsent, &self.budget);
            way.take_records(tls)?;
            sent += way.sent;
        }
        Ok(sent)
    }

    /// Sends the records that TLS has made, or keeps them.
    fn send_records(&mut self) -> Result<(), CloseReason> {
        let Some(tls) = &mut self.records else { return Ok(()) };
        Way::of(&self.socket, &mut self.unsent, &self.budget).take_records(tls)
    }

    /// Sends what was kept; returns how much the socket took.
    pub(crate) fn send_unsent(&mut self) -> Result<usize, CloseReason> {
        let mut all = 0;
        while !self.unsent.is_empty() {
            let sent = socket::send(&self.socket, self.unsent.bytes())?;
            if sent == 0 {
                break;
            }
            all += sent;
            self.unsent.consume(&self.budget, sent);
        }
        Ok(all)
    }

    /// Tells a client of TLS that this is the end, and that nothing was cut off; if it is so.
    pub(crate) fn say_goodbye(&mut self) {
        if let Some(tls) = &mut self.records
            && self.unsent.is_empty()
            && !tls.is_handshaking()
        {
            tls.end();
            // Whether the client hears it or not.
            let _ = self.send_records();
        }
    }

    /// Tells the client that nothing follows; whether it could be told.
    pub(crate) fn shut_down(&mut self) -> bool {
        self.say_goodbye();
        rustix::net::shutdown(&self.socket, Shutdown::Write).is_ok()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.unsent.clear(&self.budget);
        if let Some(records) = &mut self.records {
            records.clear(&self.budget);
        }
    }
}

/// Where bytes go: to the socket, and what that does not take to the unsent.
struct Way<'s> {
    socket: &'s OwnedFd,
    unsent: &'s mut Buffer,
    budget: &'s Budget,
    /// Bytes that the socket took.
    sent: usize,
    failed: Option<CloseReason>,
}

impl<'s> Way<'s> {
    fn of(socket: &'s OwnedFd, unsent: &'s mut Buffer, budget: &'s Budget) -> Way<'s> {
        Way { socket, unsent, budget, sent: 0, failed: None }
    }

    /// Takes all of `slices`.
    fn take(&mut self, mut slices: &mut [IoSlice<'_>]) -> Result<(), CloseReason> {
        if self.unsent.is_empty() {
            let sent = socket::send_slices(self.socket, slices)?;
            self.sent += sent;
            IoSlice::advance_slices(&mut slices, sent);
        }
        for kept in slices {
            let kept = self.unsent.append(self.budget, kept);
            kept.map_err(|_| CloseReason::SlowReader)?;
        }
        Ok(())
    }

    /// Takes all records that TLS has made.
    fn take_records(&mut self, tls: &mut Records) -> Result<(), CloseReason> {
        let taken = tls.take(self);
        taken.map_err(|_| self.failed.unwrap_or(CloseReason::Tls))
    }
}

/// As rustls writes to it.
impl Write for Way<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut slices = ArrayVec::<_, SLICES>::from_iter(slices.iter().copied().take(SLICES));
        let len = slices.iter().map(|slice| slice.len()).sum();
        self.take(&mut slices).map(|()| len).map_err(|reason| {
            self.failed = Some(reason);
            ErrorKind::Other.into()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where a session's replies go.
pub(crate) struct Sink<'c> {
    stream: &'c mut Stream,
    written: usize,
    failed: Option<CloseReason>,
}

impl<'c> Sink<'c> {
    pub(crate) fn new(stream: &'c mut Stream) -> Sink<'c> {
        Sink { stream, written: 0, failed: None }
    }

    /// How many bytes were written; or why the connection is of no use any more.
    pub(crate) fn finish(self) -> Result<usize, CloseReason> {
        self.failed.map_or(Ok(self.written), Err)
    }

    fn put(&mut self, slices: &mut [IoSlice<'_>]) {
        if self.failed.is_some() || slices.is_empty() {
            return;
        }
        match self.stream.send_or_keep(slices) {
            Ok(sent) => self.written += sent,
            Err(reason) => self.failed = Some(reason),
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
                self.put(&mut slices);
                slices.clear();
            }
        });
        self.put(&mut slices);
        let is_free = self.failed.is_none() && !self.stream.has_unsent();
        if is_free { Room::Free } else { Room::Full }
    }
}
