//! An event loop: a thread that owns some of the connections, and all they do.
//!
//! Readiness is level-triggered, so nothing is read twice in a turn to see whether there is more: what is
//! left makes the connection ready again. A connection that has requests left which were read already goes
//! to the end of the line, behind those that epoll reports.

use std::sync::{Arc, Mutex};

use arrayvec::ArrayVec;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;

use crate::conn::{AHEAD, Connection, Fate, Means};
use crate::connections::Info;
use crate::cx::CloseReason;
use crate::desk::Desk;
use crate::node::{Node, lock, tick};
use crate::patience::Deadlines;
use crate::session::Session;
use crate::settings::{Address, ProtocolPin};
use crate::slots::{Slots, Token};
use crate::stop::Waker;
use crate::stopwatch::Timed;
use crate::stream::Stream;
use crate::tls::Tls;

/// Events taken at once.
const EVENTS: usize = 256;

/// Events whose connections are read before any of them is answered.
const GROUP: usize = 32;

/// What was read ahead of a connection: how much, or why it ends.
type Read = Option<Result<usize, CloseReason>>;

/// What epoll is told of the waker: no connection's token, for there are never so many.
const WAKE: u64 = u64::MAX;

/// A connection on its way from the listener.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: OwnedFd,
    pub(crate) peer: Address,
    /// None: it is the server's own.
    pub(crate) listener: Option<usize>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) protocol: ProtocolPin,
}

/// Where a worker is given connections.
#[derive(Debug)]
pub(crate) struct Inbox {
    accepted: Mutex<Vec<Accepted>>,
    waker: Arc<Waker>,
}

impl Inbox {
    /// Has the worker look for what there is to do.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    pub(crate) fn push(&self, accepted: Accepted) {
        let mut waiting = lock(&self.accepted);
        waiting.push(accepted);
        // With others it finds this one too.
        let is_first = waiting.len() == 1;
        drop(waiting);
        if is_first {
            self.waker.wake();
        }
    }
}

/// An event loop.
pub(crate) struct Worker {
    node: Arc<Node>,
    index: usize,
    epoll: OwnedFd,
    inbox: Arc<Inbox>,
    slots: Slots<Connection>,
    /// Those that are to have a turn without an event; and those of the round that goes on.
    ready: Vec<Token>,
    round: Vec<Token>,
    desk: Desk,
    receive: Vec<u8>,
    records: Vec<u8>,
    /// What was read ahead, of each event of a group.
    ahead: Vec<u8>,
    deadlines: Deadlines,
    /// When connections were last looked through, and when they are next.
    next_sweep: u64,
    /// Connections ever; the number of the next.
    numbered: u64,
    /// When it was first seen that the server is to stop.
    stopping: Option<u64>,
    /// Those that wait for a password to be verified, and how many were when that was last looked at.
    verifying: Vec<Token>,
    verified: u64,
    /// Of the directory by which connections were last looked through.
    version: u64,
}

impl Worker {
    pub(crate) fn new(node: &Arc<Node>, index: usize) -> rustix::io::Result<Worker> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let waker = Arc::new(Waker::new()?);
        epoll::add(&epoll, &*waker, EventData::new_u64(WAKE), EventFlags::IN)?;
        node.stop.wakes(&waker);
        let inbox = Arc::new(Inbox { accepted: Mutex::default(), waker });
        let ms = |duration: std::time::Duration| {
            u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
        };
        let deadlines = Deadlines {
            request_ms: ms(node.settings.request_deadline),
            idle_ms: node.settings.idle_timeout.map(ms),
        };
        Ok(Worker {
            node: Arc::clone(node),
            index,
            epoll,
            inbox,
            slots: Slots::default(),
            ready: Vec::new(),
            round: Vec::new(),
            desk: Desk::new(Arc::clone(node), index),
            receive: Vec::new(),
            records: Vec::new(),
            ahead: vec![0; GROUP * AHEAD],
            deadlines,
            next_sweep: 0,
            numbered: 0,
            stopping: None,
            verifying: Vec::new(),
            verified: 0,
            version: 0,
        })
    }

    pub(crate) fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.inbox)
    }

    /// Serves until the server stops and all clients have their replies, or the deadline for that is over.
    pub(crate) fn run(mut self) -> rustix::io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        while !self.is_done() {
            let timeout = self.timeout();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
            let now = self.node.age_ms();
            for group in events.chunks(GROUP) {
                self.turns(group, now);
            }
            events.clear();
            self.turns_of_ready(now);
            self.sweep(now);
            if self.node.stop.is_asked() && self.stopping.is_none() {
                // The turns may have taken long: clients have the whole deadline from here on.
                let now = self.node.age_ms();
                self.stopping = Some(now);
                self.stop(now);
            }
        }
        for token in self.slots.tokens(|_| true) {
            self.close(token, CloseReason::Shutdown);
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        let deadline = self.node.settings.stop_deadline.as_millis();
        self.stopping.is_some_and(|since| {
            self.slots.len() == 0 || u128::from(self.node.age_ms() - since) >= deadline
        })
    }

    /// How long to wait for events: not at all if somebody is ready, and until the next sweep if there is
    /// anything to look for in it.
    fn timeout(&mut self) -> Option<Timespec> {
        let ms = if !self.ready.is_empty() {
            0
        } else if self.next_sweep < u64::MAX {
            self.next_sweep.saturating_sub(self.node.age_ms()).max(1)
        } else {
            return None;
        };
        let ms = i64::try_from(ms).unwrap_or(i64::MAX);
        Some(Timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 })
    }

    /// Gives those their turn that have events. First all that only want to send requests are read, and
    /// what they ask for is fetched: so a worker waits for memory once, and not once for each.
    fn turns(&mut self, events: &[Event], now: u64) {
        let mut ahead = std::mem::take(&mut self.ahead);
        let mut reads = [const { None }; GROUP];
        let mut timed = Timed::No;
        if events.len() > 1 {
            let buffers = ahead.chunks_exact_mut(AHEAD);
            for ((event, read), buffer) in events.iter().zip(&mut reads).zip(buffers) {
                let connection = self.slots.get_mut(Token::from_bits(event.data.u64()));
                *read = connection.and_then(|it| it.read_ahead(event.flags, buffer));
            }
            timed = self.desk.stopwatch.next(now).read();
            self.fetch(events, &reads, &ahead);
        }
        for ((event, read), buffer) in events.iter().zip(reads).zip(ahead.chunks_exact(AHEAD)) {
            let (token, flags) = (Token::from_bits(event.data.u64()), event.flags);
            match read {
                _ if event.data.u64() == WAKE => {
                    self.inbox.waker.reset();
                    self.take_in(now);
                    self.look_around(now);
                }
                None => self.turn(token, flags, now),
                Some(Err(reason)) => self.close(token, reason),
                Some(Ok(read)) => self.turn_with(token, &buffer[..read], timed, now),
            }
        }
        self.ahead = ahead;
    }

    /// Asks for the memory of what connections want first.
    fn fetch(&mut self, events: &[Event], reads: &[Read; GROUP], ahead: &[u8]) {
        let node = Arc::clone(&self.node);
        let mut keys = ArrayVec::<_, GROUP>::new();
        for ((event, read), buffer) in events.iter().zip(reads).zip(ahead.chunks_exact(AHEAD)) {
            let Some(Ok(read)) = read else { continue };
            let connection = self.slots.get_mut(Token::from_bits(event.data.u64()));
            if let Some(key) = connection.and_then(|it| it.first_key(&buffer[..*read])) {
                node.store.prefetch(key);
                keys.push(key);
            }
        }
        if keys.len() > 1 {
            let reader = node.store.reader();
            keys.into_iter().for_each(|key| reader.prefetch(key));
        }
    }

    /// Gives a connection its turn with what was read ahead.
    fn turn_with(&mut self, token: Token, bytes: &[u8], timed: Timed, now: u64) {
        let Some(connection) = self.slots.get_mut(token) else { return };
        let mut means = Means {
            desk: &mut self.desk,
            receive: &mut self.receive,
            records: &mut self.records,
            now,
            timed,
        };
        let fate = connection.turn_with(bytes, &mut means);
        self.settle(token, fate, now);
    }

    /// Gives their turn to those that need no event. Who becomes ready meanwhile waits for the next round.
    fn turns_of_ready(&mut self, now: u64) {
        let mut round = std::mem::take(&mut self.round);
        std::mem::swap(&mut round, &mut self.ready);
        for token in round.drain(..) {
            if self.slots.get_mut(token).is_some_and(|connection| connection.ready) {
                self.turn(token, EventFlags::empty(), now);
            }
        }
        self.round = round;
    }

    /// Gives a connection its turn.
    fn turn(&mut self, token: Token, events: EventFlags, now: u64) {
        // An event of a connection that is gone finds none; who is ready has a turn of its own.
        let Some(connection) = self.slots.get_mut(token) else { return };
        if connection.ready && !events.is_empty() {
            return;
        }
        let timed = self.desk.stopwatch.next(now);
        let mut means = Means {
            desk: &mut self.desk,
            receive: &mut self.receive,
            records: &mut self.records,
            now,
            timed,
        };
        let fate = connection.turn(events, &mut means);
        self.settle(token, fate, now);
    }

    /// Goes on with a connection after its turn.
    fn settle(&mut self, token: Token, fate: Fate, now: u64) {
        if let Fate::Gone(reason) = fate {
            return self.close(token, reason);
        }
        let Some(connection) = self.slots.get_mut(token) else { return };
        let wants = connection.wants();
        if wants != connection.interest {
            connection.interest = wants;
            let data = EventData::new_u64(token.to_bits());
            if epoll::modify(&self.epoll, connection.socket(), data, wants).is_err() {
                return self.close(token, CloseReason::Socket);
            }
        }
        if connection.ready {
            tick(&self.node.tally.conn_yields);
            self.ready.push(token);
        }
        if connection.is_verifying() {
            self.verifying.push(token);
        }
        if connection.is_watched() {
            self.next_sweep = self.next_sweep.min(now + self.sweep_ms());
        }
    }

    fn close(&mut self, token: Token, reason: CloseReason) {
        let Some(mut connection) = self.slots.remove(token) else { return };
        connection.say_goodbye();
        let tally = &self.node.tally;
        match reason {
            CloseReason::Idle => tick(&tally.idle_kicks),
            CloseReason::SlowRequest => tick(&tally.slow_requests),
            CloseReason::SlowReader => tick(&tally.slow_readers),
            _ => {}
        }
        tracing::debug!(fd = connection.info.fd, ?reason, "connection closed");
        self.node.connections.remove(self.index, connection.number);
        // Closing the descriptor takes it out of epoll.
        drop(connection);
        self.node.connections.release(self.index);
    }

    /// Looks for what else it was woken for: passwords that were verified, and news of the directory, which
    /// concern idle connections, too.
    fn look_around(&mut self, now: u64) {
        let verified = self.node.verifier.done();
        if verified != self.verified {
            self.verified = verified;
            for token in std::mem::take(&mut self.verifying) {
                self.turn(token, EventFlags::empty(), now);
            }
        }
        let version = self.desk.directory.load().version();
        if version != self.version {
            self.version = version;
            self.next_sweep = now;
        }
    }

    /// Takes in the connections that the listener has for this worker.
    fn take_in(&mut self, now: u64) {
        let accepted = std::mem::take(&mut *lock(&self.inbox.accepted));
        for accepted in accepted {
            if self.stopping.is_some() || self.open(accepted, now).is_err() {
                self.node.connections.release(self.index);
            }
        }
    }

    /// Makes a connection of what was accepted. What cannot be one is closed.
    fn open(&mut self, accepted: Accepted, now: u64) -> Result<(), CloseReason> {
        let Accepted { socket, peer, listener, tls, protocol } = accepted;
        let budget = Arc::clone(&self.node.budget);
        let records = tls.map(|tls| tls.records(&budget)).transpose();
        let records = records.inspect_err(|_| {
            tick(&self.node.tally.rejected_connections);
            tracing::debug!(%peer, "no memory for one more TLS connection");
        })?;
        let stream = Stream::new(socket, records, budget);
        let fd = stream.socket().as_raw_fd();
        let info = Arc::new(Info::new(fd, peer, listener, now));
        let session = match listener {
            Some(_) => Session::new(&mut self.desk, protocol, fd),
            None => Session::of_probe(&self.desk, protocol, fd),
        };
        self.numbered += 1;
        let connection = Connection::new(stream, session, Arc::clone(&info), self.numbered);
        if connection.is_watched() || self.deadlines.idle_ms.is_some() {
            self.next_sweep = self.next_sweep.min(now + self.sweep_ms());
        }
        let token = self.slots.insert(Box::new(connection));
        let connection = self.slots.get_mut(token).expect("just put there");
        let data = EventData::new_u64(token.to_bits());
        if epoll::add(&self.epoll, connection.socket(), data, connection.interest).is_err() {
            self.slots.remove(token);
            return Err(CloseReason::Socket);
        }
        self.node.connections.insert(self.index, self.numbered, info);
        Ok(())
    }

    /// How often connections are looked through: a quarter of what is waited for at most.
    fn sweep_ms(&self) -> u64 {
        let shortest = self.deadlines.idle_ms.unwrap_or(u64::MAX).min(self.deadlines.request_ms);
        if self.stopping.is_some() { 10 } else { (shortest / 4).clamp(10, 1000) }
    }

    /// Looks for clients that take too long, if it is time to.
    fn sweep(&mut self, now: u64) {
        if self.node.budget.is_short() {
            self.relieve();
        }
        if now < self.next_sweep {
            return;
        }
        let deadlines = self.deadlines;
        let mut overdue = Vec::new();
        let mut again = deadlines.idle_ms.is_some() && self.slots.len() > 0;
        for (token, connection) in self.slots.iter_mut() {
            let overdue_by = connection.overdue(now, &deadlines);
            match overdue_by.or_else(|| connection.shut_out(&mut self.desk)) {
                Some(reason) => overdue.push((token, reason)),
                None => again |= connection.is_watched(),
            }
        }
        for (token, reason) in overdue {
            self.close(token, reason);
        }
        self.next_sweep = if again { now + self.sweep_ms() } else { u64::MAX };
    }

    /// Closes the slowest clients until there is memory for buffers again.
    fn relieve(&mut self) {
        let mut holders: Vec<_> = self
            .slots
            .iter_mut()
            .filter_map(|(token, connection)| Some((connection.holds_since()?, token)))
            .collect();
        holders.sort_unstable_by_key(|(since, _)| *since);
        for (_, token) in holders {
            if !self.node.budget.is_short() {
                break;
            }
            self.close(token, CloseReason::SlowReader);
        }
    }

    /// Answers what has come, and closes whoever has all its replies.
    fn stop(&mut self, now: u64) {
        self.next_sweep = now;
        for token in self.slots.tokens(|_| true) {
            let Some(connection) = self.slots.get_mut(token) else { continue };
            let mut means = Means {
                desk: &mut self.desk,
                receive: &mut self.receive,
                records: &mut self.records,
                now,
                timed: Timed::No,
            };
            let fate = connection.stop(&mut means);
            self.settle(token, fate, now);
        }
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let connections = self.slots.len();
        f.debug_struct("Worker")
            .field("index", &self.index)
            .field("connections", &connections)
            .finish_non_exhaustive()
    }
}

/// Stops the server if a worker panics: its connections would wait for ever.
pub(crate) struct StopOnPanic(pub(crate) Arc<Node>);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop.ask();
        }
    }
}
