//! A load from its beginning to its end: threads are started and conducted, and what they found is added
//! up.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::auth;
use crate::connection::Terms;
use crate::cpu;
use crate::data::Data;
use crate::histogram::Histogram;
use crate::load::Load;
use crate::pace::{Arrivals, Pace};
use crate::server::Server;
use crate::stream::{Stream, TlsConfig};
use crate::tally::Tally;
use crate::work::{self, Work};
use crate::worker::{Control, Outcome, Worker};

/// How often whoever watches is told.
const TICK: Duration = Duration::from_millis(100);

/// Files that are open beside the connections.
const OTHER_FILES: u64 = 64;

/// Why a load could not be run. What goes wrong while it runs is counted instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A number of the load is out of its range.
    #[error("{0}")]
    Load(String),
    /// A server cannot be reached, or does not want us.
    #[error("{address}: {reason}")]
    Server {
        /// Where it is.
        address: String,
        /// What it said, or did not.
        reason: String,
    },
    /// A file of the TLS settings is missing or wrong.
    #[error("TLS: {0}")]
    Tls(String),
    /// The machine refuses something.
    #[error("{0}: {1}")]
    System(String, io::Error),
}

/// How far a load is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// What happens just now.
    pub step: Step,
    /// How much of it is done, from 0 to 1.
    pub share: f64,
    /// Operations of this step so far.
    pub operations: u64,
}

/// What a load does one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Connections are made, and logins.
    Connect,
    /// Every key is stored once.
    Fill,
    /// Load that does not count yet.
    WarmUp,
    /// Load that counts.
    Measure,
}

/// What a load found.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// How long was measured.
    pub seconds: f64,
    /// Operations and errors.
    pub tally: Tally,
    /// From when a command was due until its last byte was there.
    pub latency: Histogram,
    /// CPU time of the server's process, if it is known.
    pub server_cpu: Option<Duration>,
    /// CPU time of this process, if it is known.
    pub generator_cpu: Option<Duration>,
    /// Commands of the open loop that were due and could not be sent before the end.
    pub behind: u64,
}

#[expect(clippy::cast_precision_loss, reason = "less than 2^53 of anything")]
impl Figures {
    /// Keys read or written per second.
    #[must_use]
    pub fn operations_per_second(&self) -> f64 {
        self.tally.operations() as f64 / self.seconds
    }

    /// CPU time of the server in microseconds per operation, or NaN where it is not known.
    #[must_use]
    pub fn cpu_micros(&self) -> f64 {
        let micros = self.server_cpu.map_or(f64::NAN, |cpu| cpu.as_secs_f64() * 1e6);
        micros / self.tally.operations() as f64
    }

    /// The latency that this share of commands does not exceed, in microseconds.
    #[must_use]
    pub fn latency_micros(&self, share: f64) -> f64 {
        self.latency.quantile(share) as f64 / 1e3
    }

    /// Cores' worth of CPU time that this process used, or NaN where it is not known.
    #[must_use]
    pub fn generator_cores(&self) -> f64 {
        self.generator_cpu.map_or(f64::NAN, |cpu| cpu.as_secs_f64() / self.seconds)
    }
}

/// A load made ready: it can be run against any number of servers, one at a time.
#[derive(Debug)]
pub struct Generator {
    load: Load,
    terms: Terms,
    chosen: Option<Arc<[u32]>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    Fill,
    Measure,
}

impl Generator {
    /// Checks the load and chooses its keys.
    ///
    /// # Errors
    ///
    /// When a number is out of its range, or this process may not open so many connections.
    pub fn new(load: Load) -> Result<Generator, Error> {
        load.check().map_err(Error::Load)?;
        allow_files(u64::from(load.connections) + OTHER_FILES)?;
        let data = Data::new(load.key_size, load.values);
        let terms = Terms { data, protocol: load.protocol, ttl: load.ttl };
        let chosen = work::choose(&load);
        Ok(Generator { load, terms, chosen })
    }

    /// The load.
    #[must_use]
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// Stores every key once.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses the login.
    pub fn fill(
        &self,
        server: &Server,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Figures, Error> {
        self.execute(Job::Fill, server, progress)
    }

    /// Runs the load, and measures.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses the login.
    pub fn run(
        &self,
        server: &Server,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Figures, Error> {
        self.execute(Job::Measure, server, progress)
    }

    fn execute(
        &self,
        job: Job,
        server: &Server,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Figures, Error> {
        let (config, control) = (server.tls_config()?, Control::default());
        if job == Job::Fill {
            // All of it counts, from the first key on.
            control.measure();
        }
        thread::scope(|scope| {
            let start = |index| {
                let (config, control) = (&config, &control);
                scope.spawn(move || self.work(job, index, server, config, control))
            };
            let threads: Vec<_> = (0..self.load.threads).map(start).collect();
            let conductor = Conductor { threads: &threads, control: &control, progress };
            let mut figures = conductor.conduct(job, self, server);
            control.stop();
            for thread in threads {
                let outcome = thread.join().expect("a thread of the load does not panic")?;
                figures.tally.merge(&outcome.tally);
                figures.latency.merge(&outcome.latency);
                figures.behind += outcome.behind * u64::from(self.load.pipeline);
            }
            Ok(figures)
        })
    }

    /// What a thread does.
    fn work(
        &self,
        job: Job,
        index: u32,
        server: &Server,
        config: &TlsConfig,
        control: &Control,
    ) -> Result<Outcome, Error> {
        let Load { threads, connections, .. } = self.load;
        self.pin(index)?;
        let own = connections / threads + u32::from(index < connections % threads);
        let mut streams = Vec::with_capacity(own as usize);
        for _ in 0..own {
            let mut stream = Stream::connect(server, config)?;
            if let Some(login) = &server.login {
                auth::log_in(&mut stream, login).map_err(|reason| server.refused(&reason))?;
            }
            streams.push(stream);
        }
        let (work, pace) = match job {
            Job::Fill => (Work::fill(self.load.keys, index, threads), Pace::Closed),
            Job::Measure => {
                (Work::mixed(&self.load, self.chosen.as_ref(), index), self.pace(index))
            }
        };
        let failed = |error| Error::System("epoll".to_owned(), error);
        let worker = Worker::new(streams, work, pace, &self.terms, control).map_err(failed)?;
        control.ready.fetch_add(1, Ordering::Relaxed);
        worker.run().map_err(failed)
    }

    fn pace(&self, index: u32) -> Pace {
        let Load { threads, pipeline, seed, .. } = self.load;
        let Some(rate) = self.load.rate else {
            return Pace::Closed;
        };
        let batch = self.load.operations_per_command() * f64::from(pipeline);
        let rate = rate / f64::from(threads) / batch;
        Pace::Open(Arrivals::new(rate, Instant::now(), seed ^ u64::from(!index)))
    }

    fn pin(&self, index: u32) -> Result<(), Error> {
        let cores = &self.load.cores;
        if cores.is_empty() {
            return Ok(());
        }
        let core = cores[index as usize % cores.len()];
        let failed = |error: io::Error| Error::System(format!("cannot use core {core}"), error);
        if core >= CpuSet::MAX_CPU {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        }
        let mut set = CpuSet::new();
        set.set(core);
        sched_setaffinity(None, &set).map_err(|error| failed(error.into()))
    }
}

/// Tells the threads what to do when, and those who watch how far they are.
struct Conductor<'c, 's> {
    threads: &'c [ScopedJoinHandle<'s, Result<Outcome, Error>>],
    control: &'c Control,
    progress: &'c mut dyn FnMut(Progress),
}

impl Conductor<'_, '_> {
    /// From connecting to the end; the times of the figures.
    fn conduct(mut self, job: Job, generator: &Generator, server: &Server) -> Figures {
        let load = &generator.load;
        let ready = |ready: u32| ready == load.threads;
        (self.progress)(Progress { step: Step::Connect, share: 0.0, operations: 0 });
        while !ready(self.control.ready.load(Ordering::Relaxed)) {
            if self.threads.iter().any(ScopedJoinHandle::is_finished) {
                return Figures::default();
            }
            thread::sleep(Duration::from_millis(1));
        }
        if job == Job::Measure {
            self.pass(Step::WarmUp, load.warmup);
        }
        self.control.measure();
        let clocks =
            || (Instant::now(), server.pid.and_then(cpu::used), cpu::used(std::process::id()));
        let (start, server_before, own_before) = clocks();
        match job {
            Job::Fill => self.fill(load.keys),
            Job::Measure => self.pass(Step::Measure, load.duration),
        }
        let (end, server_after, own_after) = clocks();
        let spent = |after: Option<Duration>, before: Option<Duration>| {
            after.zip(before).and_then(|(after, before)| after.checked_sub(before))
        };
        Figures {
            seconds: end.duration_since(start).as_secs_f64(),
            server_cpu: spent(server_after, server_before),
            generator_cpu: spent(own_after, own_before),
            ..Figures::default()
        }
    }

    /// Lets time pass.
    fn pass(&mut self, step: Step, time: Duration) {
        let (start, operations) = (Instant::now(), self.control.operations.load(Ordering::Relaxed));
        while !time.is_zero() && !self.all_finished() {
            let passed = start.elapsed();
            self.tell(step, passed.as_secs_f64() / time.as_secs_f64(), operations);
            match time.checked_sub(passed) {
                Some(rest) if !rest.is_zero() => thread::sleep(rest.min(TICK)),
                _ => break,
            }
        }
    }

    /// Waits until every key is stored.
    fn fill(&mut self, keys: u32) {
        let operations = self.control.operations.load(Ordering::Relaxed);
        let mut naps = 0;
        while !self.all_finished() {
            if naps % 50 == 0 {
                let done = self.control.operations.load(Ordering::Relaxed) - operations;
                #[expect(clippy::cast_precision_loss, reason = "at most 10^8 keys")]
                self.tell(Step::Fill, done as f64 / f64::from(keys), operations);
            }
            naps += 1;
            thread::sleep(TICK / 50);
        }
    }

    fn all_finished(&self) -> bool {
        self.threads.iter().all(ScopedJoinHandle::is_finished)
    }

    fn tell(&mut self, step: Step, share: f64, before: u64) {
        let operations = self.control.operations.load(Ordering::Relaxed) - before;
        (self.progress)(Progress { step, share: share.clamp(0.0, 1.0), operations });
    }
}

/// Makes sure that this process may have so many files open.
///
/// # Errors
///
/// When the system forbids it.
pub fn allow_files(files: u64) -> Result<(), Error> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= files) {
        return Ok(());
    }
    let allowed = limit.maximum.unwrap_or(u64::MAX);
    if allowed < files {
        return Err(Error::Load(format!(
            "connections: this process would have {files} files open and may have {allowed}; \
             raise the limit (ulimit -n) or ask for fewer"
        )));
    }
    let raised = Rlimit { current: Some(files), maximum: limit.maximum };
    let failed =
        |error: rustix::io::Errno| Error::System("limit of open files".into(), error.into());
    setrlimit(Resource::Nofile, raised).map_err(failed)
}
