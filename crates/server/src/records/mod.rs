//! TLS as one connection speaks it: records in, records out, and what of them is kept.
//!
//! What TLS keeps between two turns is charged to the budget, so it cannot exceed it either:
//!
//! - A record that has not come whole is kept here. The library gets whole records, one at a time.
//! - What was decrypted is taken from the library at once, and so is what was encrypted: what the socket
//!   does not take of it waits with the connection's unsent bytes.
//! - A handshake message may be spread over records, and then the library has to keep them: 64 KiB at most,
//!   then it gives up (rustls' limit). Its buffer has room for [`ROOM`] bytes more than are in it, and may
//!   have grown to twice that. Charged are all records since it is known to have held nothing.
//! - While there is nothing in it that buffer is [`ROOM`] bytes large, which is charged from the beginning.
//! - A client's certificates are charged for as long as the connection is open.
//!
//! What does not depend on what the client does is not charged, as with any connection: some 2 KiB of keys
//! and state.

use std::io::{self, BufRead, ErrorKind, IoSlice, Read, Write};

use rustls::{HandshakeKind, ServerConnection};

use crate::budget::{Budget, Buffer, Charge, NoBudget};
use crate::cx::CloseReason;

/// Encrypted at once at most, in bytes.
const SEALED: usize = 64 * 1024;

/// As much as rustls has room for before it reads anything, in bytes.
const ROOM: usize = 4096;

/// Type, version and length of a record, in bytes.
const HEADER: usize = 5;

/// The longest record without its header, in bytes (RFC 5246, section 6.2.3; RFC 8446 has a smaller one).
const LONGEST: usize = (1 << 14) + 2048;

/// The TLS of a connection. Its owner calls [`clear`](Self::clear) before it drops it.
#[derive(Debug)]
pub(crate) struct Records {
    tls: ServerConnection,
    /// The beginning of a record.
    partial: Buffer,
    /// Bytes of records that rustls may still hold something of.
    pending: usize,
    /// Of the client, in bytes.
    certificates: usize,
    /// For what rustls holds.
    charge: Charge,
}

impl Records {
    /// Of a new connection.
    pub(crate) fn new(mut tls: ServerConnection, budget: &Budget) -> Result<Records, CloseReason> {
        let charge = Charge::new(budget, ROOM).map_err(|NoBudget| CloseReason::SlowRequest)?;
        tls.set_buffer_limit(Some(SEALED));
        let partial = Buffer::default();
        Ok(Records { tls, partial, pending: 0, certificates: 0, charge })
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Whether the connection goes on with an earlier one's session.
    pub(crate) fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// What was read and not used: to be put before what comes.
    pub(crate) fn partial(&self) -> &[u8] {
        self.partial.bytes()
    }

    /// Whether something has begun that the client has to end: the handshake, a record, or a message of
    /// several that are longer than any message of a few words, as a client may send now and then.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.is_handshaking() || !self.partial.is_empty() || self.pending > ROOM
    }

    /// What the budget is charged, in bytes.
    pub(crate) fn holds(&self) -> usize {
        self.partial.holds() + self.held_by_tls()
    }

    fn held_by_tls(&self) -> usize {
        let room = if self.pending > 0 { 2 * (self.pending + ROOM) } else { ROOM };
        room + self.certificates
    }

    /// Takes apart what was [kept](Self::partial) and what came behind it, appends what it says to `plain`,
    /// and keeps what has no end yet. `ended` if the client has said that nothing follows.
    pub(crate) fn open(
        &mut self,
        mut bytes: &[u8],
        plain: &mut Vec<u8>,
        ended: &mut bool,
        budget: &Budget,
    ) -> Result<(), CloseReason> {
        let mut is_large = false;
        loop {
            let record = match Begun::of(bytes) {
                Begun::Part => break,
                Begun::Whole(len) => &bytes[..len],
                Begun::Wrong => {
                    // Has rustls tell the client what it thinks of it.
                    let _ = self.feed(bytes, plain);
                    return Err(CloseReason::Tls);
                }
            };
            bytes = &bytes[record.len()..];
            is_large = record.len() > ROOM;
            if self.feed(record, plain).map_err(|_| CloseReason::Tls)? {
                *ended = true;
                bytes = &[];
            }
        }
        if is_large && self.pending == 0 {
            // What has grown for a large record is made small again before rustls reads.
            let _ = self.tls.read_tls(&mut Nothing);
        }
        let kept = self.partial.replace(budget, bytes);
        let charged = kept.and_then(|()| self.charge.set(budget, self.held_by_tls()));
        charged.map_err(|NoBudget| CloseReason::SlowRequest)
    }

    /// Has rustls look at one record; whether it was the client's last.
    fn feed(&mut self, mut record: &[u8], plain: &mut Vec<u8>) -> Result<bool, rustls::Error> {
        let was_handshaking = self.is_handshaking();
        let before = plain.len();
        self.pending += record.len();
        let mut is_last = false;
        while !record.is_empty() {
            match self.tls.read_tls(&mut record) {
                Ok(0) => break,
                Ok(_) => is_last |= self.tls.process_new_packets()?.peer_has_closed(),
                Err(error) => return Err(rustls::Error::General(error.to_string())),
            }
        }
        let mut reader = self.tls.reader();
        while let Ok(chunk @ [_, ..]) = reader.fill_buf() {
            plain.extend_from_slice(chunk);
            let taken = chunk.len();
            reader.consume(taken);
        }
        let has_shaken_hands = was_handshaking && !self.is_handshaking();
        if has_shaken_hands {
            let certificates = self.tls.peer_certificates().unwrap_or_default();
            self.certificates = certificates.iter().map(|certificate| certificate.len()).sum();
        }
        if has_shaken_hands || plain.len() > before {
            // rustls refuses data between the pieces of a message, and a handshake that ends within a
            // record: so there is nothing left.
            self.pending = 0;
        }
        Ok(is_last)
    }

    /// Encrypts as much as goes at once; returns how much. The records have to be [taken](Self::take).
    pub(crate) fn seal(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, CloseReason> {
        let sealed = self.tls.writer().write_vectored(slices).map_err(|_| CloseReason::Tls)?;
        if sealed == 0 && !self.tls.wants_write() { Err(CloseReason::Tls) } else { Ok(sealed) }
    }

    /// Has `to` take all that was encrypted.
    pub(crate) fn take(&mut self, to: &mut impl Write) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(to)?;
        }
        Ok(())
    }

    /// Makes the record that says that this is the end, and that nothing was cut off.
    pub(crate) fn end(&mut self) {
        self.tls.send_close_notify();
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self, budget: &Budget) {
        self.partial.clear(budget);
        self.charge.clear(budget);
    }
}

/// What some bytes begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    /// A record of so many bytes.
    Whole(usize),
    /// A record that goes on, or nothing.
    Part,
    /// No record.
    Wrong,
}

impl Begun {
    fn of(bytes: &[u8]) -> Begun {
        // The types there are, and any 3.x: versions are agreed on elsewhere.
        let has_type = bytes.first().is_none_or(|kind| (20..=24).contains(kind));
        let has_version = bytes.get(1).is_none_or(|major| *major == 3);
        if !has_type || !has_version {
            return Begun::Wrong;
        }
        let &[_, _, _, high, low, ref rest @ ..] = bytes else { return Begun::Part };
        match usize::from(u16::from_be_bytes([high, low])) {
            len if len > LONGEST => Begun::Wrong,
            len if len <= rest.len() => Begun::Whole(HEADER + len),
            _ => Begun::Part,
        }
    }
}

/// Nothing to read now.
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }
}

#[cfg(test)]
mod tests;
