//! One connection: its batch, what is still to be sent of it, and what has arrived.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Instant;

use crate::batch::Batch;
use crate::data::Data;
use crate::histogram::Histogram;
use crate::protocol::Protocol;
use crate::stream::Stream;
use crate::tally::Tally;
use crate::work::Work;

/// The buffer of a connection at first; it grows with the replies.
const BUFFER: usize = 16 << 10;

/// What is the same for all connections of a load.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) data: Data,
    pub(crate) protocol: Protocol,
    pub(crate) ttl: u32,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    batch: Batch,
    /// When the batch was due.
    since: Instant,
    /// When it was begun.
    begun: Instant,
    input: Vec<u8>,
    /// What has arrived and is not read: `input[start..end]`.
    start: usize,
    end: usize,
    output: Vec<u8>,
    sent: usize,
}

impl Connection {
    pub(crate) fn new(stream: Stream) -> Connection {
        let (input, output) = (vec![0; BUFFER], Vec::new());
        let (batch, now) = (Batch::default(), Instant::now());
        Connection {
            stream,
            batch,
            since: now,
            begun: now,
            input,
            start: 0,
            end: 0,
            output,
            sent: 0,
        }
    }

    /// Takes the next commands, which were due at `since`, and prepares to send them; whether there were
    /// any.
    pub(crate) fn begin(
        &mut self,
        work: &mut Work,
        since: Instant,
        now: Instant,
        terms: &Terms,
    ) -> bool {
        self.batch.clear();
        work.next(&mut self.batch);
        self.output.clear();
        self.sent = 0;
        (self.since, self.begun) = (since, now);
        self.batch.write(terms.protocol, terms.ttl, &terms.data, &mut self.output);
        !self.batch.is_done()
    }

    /// Whether everything that was sent is answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.batch.is_done()
    }

    /// Since when it has waited for replies; nothing if it does not.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        (!self.is_idle()).then_some(self.begun)
    }

    /// Sends what the socket takes; whether that was all.
    pub(crate) fn send(&mut self) -> io::Result<bool> {
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(sent) => self.sent += sent,
                Err(error) if is_later(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        while self.stream.owes() {
            match self.stream.flush() {
                Err(error) if is_later(&error) => return Ok(false),
                result => result?,
            }
        }
        Ok(true)
    }

    /// Takes what has arrived, and checks the replies in it.
    ///
    /// # Errors
    ///
    /// When the connection has ended, or holds what is no reply. The latter is already counted.
    pub(crate) fn receive(
        &mut self,
        terms: &Terms,
        tally: &mut Tally,
        latency: &mut Histogram,
    ) -> Result<(), Broken> {
        loop {
            self.make_room();
            match self.stream.read(&mut self.input[self.end..]) {
                Ok(0) => return Err(Broken::Ended(ErrorKind::UnexpectedEof.into())),
                Ok(read) => self.end += read,
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(Broken::Ended(error)),
            }
            let nanos = self.since.elapsed().as_nanos();
            let before = tally.commands;
            let arrived = &self.input[self.start..self.end];
            let answer = self.batch.answer(arrived, terms.protocol, &terms.data, tally);
            self.start += answer.map_err(|_| Broken::Counted)?;
            let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
            latency.add_many(nanos, tally.commands - before);
            if !self.stream.may_hold_bytes() {
                return Ok(());
            }
        }
    }

    /// Makes sure that there is space behind what has arrived.
    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.input.len() {
            if self.start == 0 {
                self.input.resize(2 * self.end, 0);
            } else {
                self.input.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
        }
    }
}

/// Why a connection is of no more use.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The server closed it, or the network did.
    Ended(io::Error),
    /// What arrived is no reply; the batch has counted that.
    Counted,
}

/// Whether to try again when the socket is ready.
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
