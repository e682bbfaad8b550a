//! A connection: what its bytes go through, and a session. Here is when it reads, writes, and ends.
//!
//! A turn is one read and one write. What was read lies in the worker's buffer; only what was not used of it
//! is kept, in a buffer of the connection's own, which exists while there is something to keep. What the
//! socket does not take of the replies is copied to another (`stream`), and nothing is read until the client
//! has taken it. So a reference into the store never outlives a turn, as it would if large values were
//! pinned until a slow reader has them: the copy is of one batch's replies at most.
//!
//! Both buffers are charged to the node's budget, and so is what TLS keeps (`records`). A connection that
//! cannot be charged is closed; a worker closes the slowest readers before it comes to that.

use std::sync::Arc;

use larder_store::{HashedKey, prefetch};
use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;

use crate::budget::{Buffer, NoBudget};
use crate::connections::{Info, Waiting};
use crate::counters::Count;
use crate::cx::CloseReason;
use crate::desk::Desk;
use crate::patience::{Deadlines, LINGER_MS, Patience};
use crate::session::{Next, Session, Turn, Wanted};
use crate::socket::READ;
use crate::stopwatch::Timed;
use crate::stream::{Sink, Stream};

/// What was kept of the input is put before what is read next, in the worker's buffer, up to this; what is
/// more stays where it is and has it read behind.
const CARRY: usize = 16 * 1024;

/// Read ahead at once, in bytes.
pub(crate) const AHEAD: usize = 2048;

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    session: Session,
    /// What was read and not used.
    input: Buffer,
    pub(crate) info: Arc<Info>,
    /// In the table of connections.
    pub(crate) number: u64,
    phase: Phase,
    /// Whether the server stops.
    stopping: bool,
    /// Whether it waits for its password to be verified, and is not listened to meanwhile.
    verifying: bool,
    /// Whether more was last read than is read ahead.
    reads_much: bool,
    patience: Patience,
    /// What epoll was asked to tell.
    pub(crate) interest: EventFlags,
    /// Whether it is to have another turn without an event.
    pub(crate) ready: bool,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// In the middle of it, or in the handshake.
    Open,
    /// It is closed when the replies are sent.
    Closing(CloseReason),
    /// Everything is sent; what the client still sends is thrown away, so that it does not lose the last
    /// replies to a reset.
    Lingering(CloseReason),
}

/// What a worker gives a connection for a turn.
pub(crate) struct Means<'w> {
    pub(crate) desk: &'w mut Desk,
    /// For reading the socket into.
    pub(crate) receive: &'w mut Vec<u8>,
    /// For reading TLS records into.
    pub(crate) records: &'w mut Vec<u8>,
    /// By the worker's clock, in milliseconds.
    pub(crate) now: u64,
    pub(crate) timed: Timed,
}

/// Whether a connection stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Stays,
    Gone(CloseReason),
}

/// What came of a turn: how much the client sent or took.
type Moved = usize;

impl Connection {
    pub(crate) fn new(
        stream: Stream,
        session: Session,
        info: Arc<Info>,
        number: u64,
    ) -> Connection {
        let mut connection = Connection {
            stream,
            session,
            input: Buffer::default(),
            info,
            number,
            phase: Phase::Open,
            stopping: false,
            verifying: false,
            reads_much: false,
            patience: Patience::default(),
            interest: EventFlags::IN,
            ready: false,
        };
        // For the handshake, or the login.
        connection.note_waiting(0, connection.info.last_active());
        connection
    }

    /// Reads, answers and writes, once each.
    pub(crate) fn turn(&mut self, events: EventFlags, means: &mut Means<'_>) -> Fate {
        let mut moved = 0;
        let fate = self.advance(events, means, &mut moved);
        if fate == Fate::Stays {
            self.note_waiting(moved, means.now);
        }
        fate
    }

    /// Reads into `buffer`, if requests are all that can be there: then what they ask for can be fetched
    /// while others read theirs. What was read has to be [taken](Self::turn_with) next.
    pub(crate) fn read_ahead(
        &mut self,
        events: EventFlags,
        buffer: &mut [u8],
    ) -> Option<Result<usize, CloseReason>> {
        let reads = events == EventFlags::IN
            && self.phase == Phase::Open
            && !self.ready
            && !self.verifying
            && !self.reads_much
            && self.stream.is_plain()
            && self.input.is_empty()
            && !self.stream.has_unsent();
        reads.then(|| {
            // While the socket is read, what says who the connection is comes; then what that refers to.
            let access = self.session.access();
            prefetch(access);
            let read = self.stream.read_into(buffer);
            access.prefetch();
            read
        })
    }

    /// The key that the first request of what was read is about.
    pub(crate) fn first_key<'b>(&self, bytes: &'b [u8]) -> Option<HashedKey<'b>> {
        self.session.first_key(bytes)
    }

    /// A turn with what was read ahead.
    pub(crate) fn turn_with(&mut self, bytes: &[u8], means: &mut Means<'_>) -> Fate {
        let mut moved = bytes.len();
        self.note_read(bytes.len());
        self.reads_much = bytes.len() == AHEAD;
        let fate = match self.process(bytes, means, &mut moved) {
            Err(reason) => Fate::Gone(reason),
            Ok(turn) => match self.input.replace(self.stream.budget(), &bytes[turn.used..]) {
                Ok(()) => self.after(turn, true, means.now),
                Err(NoBudget) => Fate::Gone(CloseReason::SlowRequest),
            },
        };
        if fate == Fate::Stays {
            self.note_waiting(moved, means.now);
        }
        fate
    }

    /// The server stops: what has come is answered, then it is closed.
    pub(crate) fn stop(&mut self, means: &mut Means<'_>) -> Fate {
        self.stopping = true;
        if self.stream.is_handshaking() || self.verifying {
            return Fate::Gone(CloseReason::Shutdown);
        }
        self.turn(EventFlags::IN, means)
    }

    fn advance(&mut self, events: EventFlags, means: &mut Means<'_>, moved: &mut Moved) -> Fate {
        // What was read already comes before what can be read now.
        let mut reads = !std::mem::take(&mut self.ready)
            && events.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR);
        if self.stream.has_unsent() {
            if let Err(reason) = self.send_unsent(moved) {
                return Fate::Gone(reason);
            }
            if self.stream.has_unsent() {
                return Fate::Stays;
            }
            reads = self.stream.is_handshaking();
        }
        match self.phase {
            // It is not over: all that epoll can tell is that the client is gone.
            Phase::Open if self.verifying && !events.is_empty() => {
                let is_gone = events.intersects(EventFlags::HUP | EventFlags::ERR);
                if is_gone { Fate::Gone(CloseReason::Hangup) } else { Fate::Stays }
            }
            Phase::Open => self.work(reads, means, moved),
            Phase::Closing(reason) => self.close(reason, means.now),
            Phase::Lingering(reason) => self.discard(reason, means),
        }
    }

    /// Has the session process what was kept, and what can be read if `reads`.
    fn work(&mut self, reads: bool, means: &mut Means<'_>, moved: &mut Moved) -> Fate {
        let mut input = std::mem::take(&mut self.input);
        let worked = if input.bytes().len() <= CARRY {
            self.work_in_front(&mut input, reads, means, moved)
        } else {
            self.work_behind(&mut input, reads, means, moved)
        };
        self.input = input;
        match worked {
            Err(reason) => Fate::Gone(reason),
            Ok(turn) => self.after(turn, *moved > 0, means.now),
        }
    }

    /// Puts what was kept into the worker's buffer, before what comes.
    fn work_in_front(
        &mut self,
        input: &mut Buffer,
        reads: bool,
        means: &mut Means<'_>,
        moved: &mut Moved,
    ) -> Result<Turn, CloseReason> {
        let mut receive = std::mem::take(means.receive);
        receive.clear();
        receive.extend_from_slice(input.bytes());
        let worked = self.fill_and_process(&mut receive, 0, reads, means, moved);
        let worked = worked.and_then(|turn| {
            let kept = input.replace(self.stream.budget(), &receive[turn.used..]);
            kept.map(|()| turn).map_err(|NoBudget| CloseReason::SlowRequest)
        });
        *means.receive = receive;
        worked
    }

    /// Reads what comes behind what was kept.
    fn work_behind(
        &mut self,
        input: &mut Buffer,
        reads: bool,
        means: &mut Means<'_>,
        moved: &mut Moved,
    ) -> Result<Turn, CloseReason> {
        if reads {
            let room = input.reserve(self.stream.budget(), READ);
            room.map_err(|NoBudget| CloseReason::SlowRequest)?;
        }
        let done = input.done();
        let worked = self.fill_and_process(input.vec(), done, reads, means, moved);
        // A TLS record may have been waiting for its end.
        let accounted = input.account(self.stream.budget());
        let turn = worked?;
        input.consume(self.stream.budget(), turn.used);
        accounted.map(|()| turn).map_err(|NoBudget| CloseReason::SlowRequest)
    }

    /// Reads once, behind what is in `bytes`, and has the session process what is there after the first
    /// `done`.
    fn fill_and_process(
        &mut self,
        bytes: &mut Vec<u8>,
        done: usize,
        reads: bool,
        means: &mut Means<'_>,
        moved: &mut Moved,
    ) -> Result<Turn, CloseReason> {
        if reads {
            let read = self.stream.read(bytes, means.records, &means.desk.node.tally)?;
            *moved += read;
            self.note_read(read);
            self.reads_much = read >= AHEAD;
        }
        self.process(&bytes[done..], means, moved)
    }

    /// Has the session process bytes.
    fn process(
        &mut self,
        bytes: &[u8],
        means: &mut Means<'_>,
        moved: &mut Moved,
    ) -> Result<Turn, CloseReason> {
        let timed = means.timed.read();
        let mut sink = Sink::new(&mut self.stream);
        let turn = self.session.process(bytes, means.desk, &mut sink);
        let written = sink.finish()?;
        *moved += written;
        let counters = &self.session.access().counters;
        counters.add(Count::BytesWritten, written as u64);
        if turn.used > 0 {
            timed.answered(&counters.times);
        }
        Ok(turn)
    }

    /// Notes that the client has sent something.
    fn note_read(&mut self, read: usize) {
        if read > 0 {
            self.session.access().counters.add(Count::BytesRead, read as u64);
        }
    }

    /// Goes on as the session says. `moved`: whether the client sent or took anything.
    fn after(&mut self, turn: Turn, moved: bool, now: u64) -> Fate {
        let waiting = match turn.next {
            _ if self.stream.has_unsent() => Waiting::Write,
            Next::Room | Next::Turn | Next::Read(Wanted::Request) => Waiting::Request,
            Next::Verdict | Next::Read(Wanted::Login | Wanted::Rest) => Waiting::Rest,
            Next::Read(Wanted::Value) => Waiting::Value,
            Next::Read(Wanted::Swallowed) => Waiting::Swallow,
            Next::Close(_) => Waiting::Closing,
        };
        // After whole requests; or after some, and there is more.
        let goes_on = waiting == Waiting::Request || !self.input.is_empty();
        let is_new = (turn.used > 0 && goes_on) || waiting != self.info.waiting();
        if is_new && !self.session.must_log_in() {
            // It waits for something else than before.
            self.patience = Patience::default();
        }
        self.info.set_waiting(waiting);
        self.verifying = turn.next == Next::Verdict;
        match turn.next {
            Next::Close(reason) => self.finish(reason, now),
            Next::Turn => self.again(),
            // There is room again already.
            Next::Room if !self.stream.has_unsent() => self.again(),
            Next::Room | Next::Verdict => Fate::Stays,
            Next::Read(_) if self.stream.has_ended() => self.finish(CloseReason::Hangup, now),
            // An idle client has nothing to lose, and need not be waited for.
            Next::Read(Wanted::Request) if self.stopping && !moved => {
                Fate::Gone(CloseReason::Shutdown)
            }
            Next::Read(_) if self.stopping => self.finish(CloseReason::Shutdown, now),
            Next::Read(_) => Fate::Stays,
        }
    }

    fn again(&mut self) -> Fate {
        self.ready = true;
        Fate::Stays
    }

    /// Closes it, when its replies are sent.
    fn finish(&mut self, reason: CloseReason, now: u64) -> Fate {
        self.phase = Phase::Closing(reason);
        if self.stream.has_unsent() { Fate::Stays } else { self.close(reason, now) }
    }

    /// Everything is sent.
    fn close(&mut self, reason: CloseReason, now: u64) -> Fate {
        let is_told = self.stream.shut_down();
        // Closing a socket that has something to read, or gets something later, resets the connection, and
        // that may cost the client replies that it has not read yet.
        let lingers = matches!(
            reason,
            CloseReason::Quit
                | CloseReason::Protocol
                | CloseReason::Unauthenticated
                | CloseReason::Revoked
                | CloseReason::Shutdown
        );
        if !lingers || self.stream.has_ended() || !is_told {
            return Fate::Gone(reason);
        }
        self.phase = Phase::Lingering(reason);
        self.info.set_waiting(Waiting::Closing);
        self.input.clear(self.stream.budget());
        self.patience.begin(now);
        Fate::Stays
    }

    /// Tells the client that this is the end, if it is told anything.
    pub(crate) fn say_goodbye(&mut self) {
        self.stream.say_goodbye();
    }

    /// Throws away what comes after the end.
    fn discard(&mut self, reason: CloseReason, means: &mut Means<'_>) -> Fate {
        if self.stream.discard(means.receive) { Fate::Stays } else { Fate::Gone(reason) }
    }

    /// Sends what was kept.
    fn send_unsent(&mut self, moved: &mut Moved) -> Result<(), CloseReason> {
        let sent = self.stream.send_unsent()?;
        *moved += sent;
        self.session.access().counters.add(Count::BytesWritten, sent as u64);
        Ok(())
    }

    /// Notes since when the client is waited for.
    fn note_waiting(&mut self, moved: Moved, now: u64) {
        if matches!(self.phase, Phase::Lingering(_)) {
            return;
        }
        let waits = self.stream.is_unfinished()
            || !self.input.is_empty()
            || self.session.must_log_in()
            || self.info.waiting() != Waiting::Request;
        if moved > 0 {
            self.info.set_active(now);
        }
        match waits {
            false => self.patience = Patience::default(),
            // Who has to log in has one deadline, whatever it sends.
            true if self.session.must_log_in() => self.patience.go_on(0, now),
            true => self.patience.go_on(moved, now),
        }
    }

    /// Why it is to be closed if nothing comes; at `now`, in milliseconds.
    pub(crate) fn overdue(&self, now: u64, deadlines: &Deadlines) -> Option<CloseReason> {
        let waited = self.patience.waited(now);
        if let Phase::Lingering(reason) = self.phase {
            return (waited >= LINGER_MS).then_some(reason);
        }
        if waited >= deadlines.request_ms {
            let reads = self.stream.has_unsent();
            let reason = if reads { CloseReason::SlowReader } else { CloseReason::SlowRequest };
            return Some(reason);
        }
        // Who is being answered is not idle.
        let is_idle = self.info.waiting() == Waiting::Request && !self.ready;
        let idle = now.saturating_sub(self.info.last_active());
        let overdue = deadlines.idle_ms.is_some_and(|most| is_idle && idle >= most);
        overdue.then_some(CloseReason::Idle)
    }

    /// Since when it holds memory because its client is slow.
    pub(crate) fn holds_since(&self) -> Option<u64> {
        let holds = self.stream.holds() + self.input.holds() + self.session.holds();
        if holds > 0 { self.patience.since() } else { None }
    }

    /// Whether it has to be looked at now and then: because its client is waited for, or may be shut out.
    pub(crate) fn is_watched(&self) -> bool {
        self.patience.since().is_some() || self.session.has_credential()
    }

    /// Whether it waits for its password to be verified.
    pub(crate) fn is_verifying(&self) -> bool {
        self.verifying
    }

    /// Why it is to be closed, if the directory does not let it in any more.
    pub(crate) fn shut_out(&mut self, desk: &mut Desk) -> Option<CloseReason> {
        self.session.follow_directory(desk)
    }

    /// What epoll is to tell of it.
    pub(crate) fn wants(&self) -> EventFlags {
        match self.stream.has_unsent() {
            true => EventFlags::OUT,
            false if self.verifying => EventFlags::empty(),
            false => EventFlags::IN,
        }
    }

    pub(crate) fn socket(&self) -> &OwnedFd {
        self.stream.socket()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.input.clear(self.stream.budget());
        self.session.end();
    }
}
