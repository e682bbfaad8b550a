//! One thread of a load: an epoll loop over connections of its own.
//!
//! A connection is either idle or waits for the replies to its batch. What must stay true: nothing here
//! waits but `epoll_wait`, and an idle connection takes a batch as soon as one is due.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};

use crate::connection::{Broken, Connection, Terms};
use crate::histogram::Histogram;
use crate::pace::Pace;
use crate::stream::Stream;
use crate::tally::Tally;
use crate::work::Work;

/// A server that answers nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// A reply that is missing for so long when a load ends is counted as lost.
const LATE: Duration = Duration::from_secs(1);

/// How long a thread sleeps at most before it looks whether to end.
const NAP: Duration = Duration::from_millis(50);

/// How the threads of a load and whoever conducts them talk.
#[derive(Debug, Default)]
pub(crate) struct Control {
    phase: AtomicU8,
    /// Threads that are connected.
    pub(crate) ready: AtomicU32,
    /// Operations of all threads, for those who watch.
    pub(crate) operations: AtomicU64,
}

impl Control {
    const MEASURE: u8 = 1;
    const STOP: u8 = 2;

    /// What is answered from now on counts.
    pub(crate) fn measure(&self) {
        self.phase.store(Control::MEASURE, Ordering::Relaxed);
    }

    /// The threads end, whatever is unanswered.
    pub(crate) fn stop(&self) {
        self.phase.store(Control::STOP, Ordering::Relaxed);
    }
}

/// A thread's share of a load.
#[derive(Debug)]
pub(crate) struct Worker<'l> {
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    /// Whether a connection is to be told when it can send.
    blocked: Vec<bool>,
    idle: VecDeque<usize>,
    /// Connections that are not lost.
    open: usize,
    work: Work,
    /// There are no more commands.
    exhausted: bool,
    pace: Pace,
    terms: &'l Terms,
    control: &'l Control,
    measuring: bool,
    /// When something was last sent for the first time, or received.
    active: Instant,
    published: u64,
    outcome: Outcome,
}

/// What a thread found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) latency: Histogram,
    /// Batches that were due and could not be sent.
    pub(crate) behind: u64,
}

impl<'l> Worker<'l> {
    /// A thread with these connections, all idle.
    pub(crate) fn new(
        streams: Vec<Stream>,
        work: Work,
        pace: Pace,
        terms: &'l Terms,
        control: &'l Control,
    ) -> io::Result<Worker<'l>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, stream) in streams.iter().enumerate() {
            stream.set_nonblocking()?;
            epoll::add(&epoll, stream, EventData::new_u64(index as u64), EventFlags::IN)?;
        }
        let open = streams.len();
        let connections = streams.into_iter().map(|stream| Some(Connection::new(stream))).collect();
        Ok(Worker {
            epoll,
            connections,
            blocked: vec![false; open],
            idle: (0..open).collect(),
            open,
            work,
            exhausted: false,
            pace,
            terms,
            control,
            measuring: false,
            active: Instant::now(),
            published: 0,
            outcome: Outcome::default(),
        })
    }

    /// Works until there is nothing more to do or it is told to stop.
    pub(crate) fn run(mut self) -> io::Result<Outcome> {
        let mut events = Vec::with_capacity(self.open.clamp(1, 1024));
        let mut now = Instant::now();
        while self.goes_on() {
            now = Instant::now();
            self.start_due(now);
            if self.open == 0 || (self.exhausted && self.idle.len() == self.open) {
                break;
            }
            let timeout = self.timeout(now);
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Err(rustix::io::Errno::INTR) => {}
                result => drop(result?),
            }
            for event in &events {
                let index = usize::try_from(event.data.u64()).expect("what was registered");
                self.turn(index, event.flags);
            }
            self.publish();
        }
        Ok(self.finish(now))
    }

    /// Follows the phase; whether to go on.
    fn goes_on(&mut self) -> bool {
        match self.control.phase.load(Ordering::Relaxed) {
            Control::STOP => return false,
            Control::MEASURE if !self.measuring => {
                self.measuring = true;
                self.outcome.tally.restart();
                self.outcome.latency = Histogram::default();
                self.published = self.outcome.tally.operations();
            }
            _ => {}
        }
        let waiting = self.open - self.idle.len();
        if waiting > 0 && self.active.elapsed() > PATIENCE {
            let tally = &mut self.outcome.tally;
            tally.lost += waiting as u64;
            tally.note(|| format!("no reply for {} seconds", PATIENCE.as_secs()));
            self.connections.clear();
            return false;
        }
        true
    }

    /// Gives idle connections the batches that are due.
    fn start_due(&mut self, now: Instant) {
        while !self.exhausted
            && !self.idle.is_empty()
            && let Some(since) = self.pace.take(now)
            && let Some(index) = self.idle.pop_front()
        {
            self.begin(index, since, now);
        }
    }

    /// How long to sleep: not at all if the next batch is due sooner than the system could wake us.
    fn timeout(&self, now: Instant) -> Timespec {
        let nap = match self.pace.wait(now) {
            Some(wait) if !self.idle.is_empty() => wait.min(NAP),
            _ => NAP,
        };
        let whole = Duration::from_millis(u64::from(nap.subsec_millis()));
        Timespec { tv_sec: 0, tv_nsec: i64::from(whole.subsec_nanos()) }
    }

    /// One connection is ready.
    fn turn(&mut self, index: usize, flags: EventFlags) {
        self.active = Instant::now();
        if flags.contains(EventFlags::OUT) {
            self.send(index);
        }
        let Some(connection) = &mut self.connections[index] else {
            return;
        };
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            let Outcome { tally, latency, .. } = &mut self.outcome;
            let was_idle = connection.is_idle();
            match connection.receive(self.terms, tally, latency) {
                Err(broken) => return self.lose(index, was_idle, broken),
                Ok(()) if was_idle || !connection.is_idle() => return,
                Ok(()) => {}
            }
            self.free(index);
        }
    }

    /// A connection has nothing to do: what is next?
    fn free(&mut self, index: usize) {
        let now = Instant::now();
        // Those that have been idle for longer go first.
        let waits = self.exhausted || !self.idle.is_empty();
        let due = if waits { None } else { self.pace.take(now) };
        match due {
            Some(since) => self.begin(index, since, now),
            None => self.idle.push_back(index),
        }
    }

    fn begin(&mut self, index: usize, since: Instant, now: Instant) {
        let Some(connection) = &mut self.connections[index] else {
            return;
        };
        self.active = now;
        if connection.begin(&mut self.work, since, now, self.terms) {
            self.send(index);
        } else {
            self.exhausted = true;
            self.idle.push_back(index);
        }
    }

    fn send(&mut self, index: usize) {
        let Some(connection) = &mut self.connections[index] else {
            return;
        };
        let sent = connection.send().and_then(|all| {
            if all == self.blocked[index] {
                let writes = if all { EventFlags::empty() } else { EventFlags::OUT };
                let data = EventData::new_u64(index as u64);
                epoll::modify(&self.epoll, &connection.stream, data, EventFlags::IN | writes)?;
                self.blocked[index] = !all;
            }
            Ok(())
        });
        if let Err(error) = sent {
            self.lose(index, false, Broken::Ended(error));
        }
    }

    #[cold]
    fn lose(&mut self, index: usize, was_idle: bool, broken: Broken) {
        if let Broken::Ended(error) = broken {
            self.outcome.tally.lost += 1;
            self.outcome.tally.note(|| format!("a connection ended: {error}"));
        }
        if was_idle {
            self.idle.retain(|&idle| idle != index);
        }
        // Dropping it takes it out of the epoll set, too.
        self.connections[index] = None;
        self.open -= 1;
    }

    fn publish(&mut self) {
        let operations = self.outcome.tally.operations();
        self.control.operations.fetch_add(operations - self.published, Ordering::Relaxed);
        self.published = operations;
    }

    /// Replies were last looked for at `looked`, or after that: what has come or was due since then is not
    /// missing, should this thread have been held up.
    fn finish(mut self, looked: Instant) -> Outcome {
        self.outcome.behind = self.pace.behind(looked);
        for since in self.connections.iter().flatten().filter_map(Connection::waiting_since) {
            let age = looked.saturating_duration_since(since);
            if age > LATE {
                self.outcome.tally.lost += 1;
                self.outcome
                    .tally
                    .note(|| format!("no reply for {:.1} seconds", age.as_secs_f64()));
            }
        }
        self.outcome
    }
}
