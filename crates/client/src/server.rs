//! One server: its pool, its breaker, its debts, and the walk of one group of commands through
//! them.
//!
//! What must stay true: no command is sent while deletes are owed; whatever happens to a group
//! (failure, deadline, its task cancelled), every delete, plain set and flush in it that was not
//! answered is owed before anyone learns of the failure.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use larder_proto::{Command, Item, Key, RefusalKind, Reply, StoreMode};
use tokio::time::{Instant, timeout_at};

use crate::breaker::{Admission, Breaker};
use crate::config::Config;
use crate::connection::{Broken, Connection, End, Target};
use crate::debts::{Debts, MAX_OWED_DELETES, Owed};
use crate::error::{Error, Stage};
use crate::health::ServerHealth;
use crate::pool::Pool;
use crate::settler;

/// Owed deletes are sent in pipelines of this many; each that completes is progress that a deadline
/// does not undo.
const SETTLE_CHUNK: usize = 1000;

/// One server of the fleet.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) target: Target,
    pool: Pool,
    breaker: Mutex<Breaker>,
    debts: Debts,
    /// Held by the one task that is paying debts.
    settling: tokio::sync::Mutex<()>,
    failures: AtomicU64,
    /// It has been logged that the server refuses to apply what it is owed.
    told_refusal: AtomicBool,
    pub(crate) settler: settler::State,
}

/// What became of one group of commands.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// One for each command, in order.
    pub(crate) replies: Vec<Result<Reply, Error>>,
    /// Exchanges it took, owed deletes and retries included.
    pub(crate) round_trips: u32,
}

impl Server {
    pub(crate) fn new(target: Target, config: &Config) -> Self {
        Self {
            target,
            pool: Pool::new(config.max_connections),
            breaker: Mutex::new(Breaker::new(
                config.failure_limit,
                config.retry_min,
                config.retry_max,
            )),
            debts: Debts::default(),
            settling: tokio::sync::Mutex::default(),
            failures: AtomicU64::new(0),
            told_refusal: AtomicBool::new(false),
            settler: settler::State::new(config.retry_min, config.retry_max),
        }
    }

    /// Carries out `commands`, in order, within the deadline. With no commands it only pays debts.
    pub(crate) async fn run(self: &Arc<Self>, commands: Vec<Command>) -> Outcome {
        let mut group = Group::new(self, commands);
        let deadline = Instant::now() + self.target.timeout;
        let permit = match self.admit() {
            Ok(permit) => permit,
            Err(error) => return group.finish(Err(error)),
        };
        let result = match timeout_at(deadline, self.attempt(&mut group)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout {
                server: self.target.addr.clone(),
                limit: self.target.timeout,
                stage: group.stage,
            }),
        };
        if result.is_err() || group.round_trips > 0 {
            permit.report(result.as_ref().err());
        }
        group.finish(result)
    }

    /// Records that `keys` must be deleted before anything is read here again.
    pub(crate) fn owe<'a>(self: &Arc<Self>, keys: impl IntoIterator<Item = &'a Key>) {
        if self.debts.add(keys) {
            tracing::warn!(
                server = %self.target.addr,
                "more than {MAX_OWED_DELETES} deletes are owed; the whole server will be flushed"
            );
        }
        if !self.debts.is_empty() {
            settler::start(self);
        }
    }

    /// Records that everything must be deleted before anything is read here again.
    fn owe_flush(self: &Arc<Self>) {
        self.debts.add_flush();
        settler::start(self);
    }

    /// Owes the delete of `key` to `server` once nothing is owed here any more.
    pub(crate) fn owe_later(&self, server: &Arc<Self>, key: &Key) {
        if !self.debts.add_later(key, &Arc::downgrade(server)) {
            server.owe([key]);
        }
    }

    /// Whether any delete or flush is owed.
    pub(crate) fn has_debts(&self) -> bool {
        !self.debts.is_empty()
    }

    pub(crate) fn health(&self) -> ServerHealth {
        let (owed_deletes, flush_owed) = self.debts.figures();
        let (connections_in_use, connections_idle) = self.pool.figures();
        let breaker = self.breaker();
        ServerHealth {
            addr: self.target.addr.clone(),
            up: breaker.is_closed(),
            failures_in_a_row: breaker.failures_in_a_row(),
            failures: self.failures.load(Ordering::Relaxed),
            owed_deletes,
            flush_owed,
            connections_in_use,
            connections_idle,
        }
    }

    /// Gets a connection and converses; once more on a fresh connection if a reused one turns out
    /// to have been closed by the server, and repeating does no harm.
    async fn attempt(&self, group: &mut Group<'_>) -> Result<(), Error> {
        group.stage = Stage::FreeConnection;
        let (mut lease, mut idle) = self.pool.lease().await;
        loop {
            group.stage = Stage::Connecting;
            let reused = idle.is_some();
            let mut connection = match idle.take() {
                Some(connection) => connection,
                None => Connection::open(&self.target).await?,
            };
            match self.converse(&mut connection, group).await {
                Ok(End::InSync) => {
                    lease.give_back(connection);
                    return Ok(());
                }
                Ok(End::Close) => return Ok(()),
                Err(broken) if reused && broken.before_reply && group.may_repeat() => {
                    lease.start_afresh();
                }
                Err(broken) => return Err(broken.error),
            }
        }
    }

    /// Pays debts, then sends the group.
    async fn converse(
        &self,
        connection: &mut Connection,
        group: &mut Group<'_>,
    ) -> Result<End, Broken> {
        if !self.debts.is_empty() {
            self.settle(connection, group).await?;
        }
        if group.commands.is_empty() {
            return Ok(End::InSync);
        }
        group.stage = Stage::Exchange;
        group.sent = true;
        group.round_trips += 1;
        connection.exchange(&self.target, &group.commands, &mut group.replies).await
    }

    /// Applies all owed deletes, or fails. Others that arrive meanwhile wait for the result.
    async fn settle(
        &self,
        connection: &mut Connection,
        group: &mut Group<'_>,
    ) -> Result<(), Broken> {
        group.stage = Stage::OwedDeletes;
        let _turn = self.settling.lock().await;
        loop {
            let owed = self.debts.next(SETTLE_CHUNK);
            let commands = match &owed {
                Owed::Nothing => {
                    self.told_refusal.store(false, Ordering::Relaxed);
                    return Ok(());
                }
                Owed::Flush(_) => vec![Command::FlushAll],
                Owed::Deletes(deletes) => {
                    deletes.iter().map(|(key, _)| Command::Delete { key: key.clone() }).collect()
                }
            };
            group.stage = Stage::Exchange;
            group.round_trips += 1;
            let mut replies = Vec::with_capacity(commands.len());
            let end = connection.exchange(&self.target, &commands, &mut replies).await;
            self.pay(&owed, replies)?;
            if end? == End::Close {
                return Err(self.distrusted("the connection was closed while applying them"));
            }
        }
    }

    /// Strikes out what the server confirmed. A refused delete stays owed: better no cache than a
    /// stale one.
    fn pay(&self, owed: &Owed, replies: Vec<Result<Reply, Error>>) -> Result<(), Broken> {
        for (index, reply) in replies.into_iter().enumerate() {
            if let Err(error) = reply {
                if !self.told_refusal.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        server = %self.target.addr, %error,
                        "cache server refuses owed deletes; not used until it applies them"
                    );
                }
                return Err(self.distrusted(&error.to_string()));
            }
            match owed {
                Owed::Nothing => {}
                Owed::Flush(stamp) => self.debts.flush_paid(*stamp),
                Owed::Deletes(deletes) => {
                    if let Some((key, stamp)) = deletes.get(index) {
                        self.debts.delete_paid(key, *stamp);
                    }
                }
            }
        }
        for (key, server) in self.debts.take_later() {
            if let Some(server) = server.upgrade() {
                server.owe([&key]);
            }
        }
        Ok(())
    }

    fn distrusted(&self, reason: &str) -> Broken {
        let reason = format!("deletes are owed to it and could not be applied: {reason}");
        let error = Error::Unavailable { server: self.target.addr.clone(), reason };
        Broken { error, before_reply: false }
    }

    fn admit(&self) -> Result<Permit<'_>, Error> {
        let probe = match self.breaker().admit(Instant::now()) {
            Admission::Normal => false,
            Admission::Probe => true,
            Admission::Refused(reason) => {
                return Err(Error::Unavailable { server: self.target.addr.clone(), reason });
            }
        };
        Ok(Permit { server: self, probe, reported: false })
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to use the server. Dropped without a report (its task was cancelled) it tells the breaker
/// nothing, except that a probe may start anew.
struct Permit<'a> {
    server: &'a Server,
    probe: bool,
    reported: bool,
}

impl Permit<'_> {
    /// Tells the breaker how it went; logs when that opens or closes it.
    fn report(mut self, error: Option<&Error>) {
        let server = self.server;
        let addr = &server.target.addr;
        match error {
            Some(error) if error.counts_as_failure() => {
                self.reported = true;
                server.failures.fetch_add(1, Ordering::Relaxed);
                server.pool.purge();
                let reason = error.to_string();
                if server.breaker().fail(Instant::now(), self.probe, reason) {
                    tracing::warn!(server = %addr, %error, "cache server left alone after failures");
                }
            }
            // The wait for our own other requests says nothing about the server.
            Some(Error::Timeout { .. }) => {}
            Some(_) | None => {
                self.reported = true;
                if server.breaker().succeed() {
                    tracing::info!(server = %addr, "cache server in use again");
                }
            }
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.probe && !self.reported {
            self.server.breaker().abandon_probe();
        }
    }
}

/// The commands of one run and how far they came. Dropped before its end, it owes what was not
/// answered.
struct Group<'a> {
    server: &'a Arc<Server>,
    commands: Vec<Command>,
    replies: Vec<Result<Reply, Error>>,
    round_trips: u32,
    stage: Stage,
    /// Bytes of the commands may have reached the server.
    sent: bool,
    finished: bool,
}

impl<'a> Group<'a> {
    fn new(server: &'a Arc<Server>, commands: Vec<Command>) -> Self {
        let replies = Vec::with_capacity(commands.len());
        let (round_trips, stage) = (0, Stage::FreeConnection);
        Self { server, commands, replies, round_trips, stage, sent: false, finished: false }
    }

    /// Whether sending everything (again) does what sending it once does.
    fn may_repeat(&self) -> bool {
        self.replies.is_empty() && (!self.sent || self.commands.iter().all(is_repeatable))
    }

    /// Settles the accounts and hands out the replies; commands without one get the error.
    fn finish(mut self, result: Result<(), Error>) -> Outcome {
        self.distrust_owed_hits();
        self.owe_unanswered();
        self.finished = true;
        let mut replies = std::mem::take(&mut self.replies);
        let error = result.err().unwrap_or_else(|| Error::Io {
            server: self.server.target.addr.clone(),
            reason: "closed because of an earlier command of this batch".to_owned(),
        });
        replies.resize_with(self.commands.len(), || Err(error.clone()));
        Outcome { replies, round_trips: self.round_trips }
    }

    /// A delete may have become owed while these replies were under way: a hit on its key could be
    /// the very value it should remove.
    fn distrust_owed_hits(&mut self) {
        let server = self.server;
        if server.debts.is_empty() {
            return;
        }
        for (command, reply) in self.commands.iter().zip(&mut self.replies) {
            if let (Command::Get { key }, Ok(Reply::Item(Some(Item { .. })))) = (command, &*reply)
                && server.debts.covers(key)
            {
                *reply = Err(server.distrusted("it became owed during this read").error);
            }
        }
    }

    /// Owes the delete of every key whose removal or replacement was not confirmed, and a flush
    /// that was not answered.
    fn owe_unanswered(&self) {
        let unconfirmed = self.commands.iter().enumerate().filter(|(index, command)| {
            self.replies.get(*index).is_none_or(|reply| leaves_old(command, reply))
        });
        let mut owed = Vec::new();
        for (_, command) in unconfirmed {
            match command {
                Command::FlushAll => self.server.owe_flush(),
                _ => owed.extend(invalidated_key(command)),
            }
        }
        if !owed.is_empty() {
            self.server.owe(owed);
        }
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.owe_unanswered();
        }
    }
}

/// The key whose old value must not be read after this command.
fn invalidated_key(command: &Command) -> Option<&Key> {
    match command {
        Command::Delete { key } | Command::Store { mode: StoreMode::Set, key, .. } => Some(key),
        _ => None,
    }
}

/// Whether an answered set may have left the old value in place: a server that had no room for the
/// new one. Any other refusal is the caller's to deal with.
fn leaves_old(command: &Command, reply: &Result<Reply, Error>) -> bool {
    let no_room = match reply {
        Err(Error::TooLarge { .. }) => true,
        Err(Error::Server { refusal, .. }) => refusal.kind == RefusalKind::OutOfMemory,
        _ => false,
    };
    no_room && matches!(command, Command::Store { mode: StoreMode::Set, .. })
}

fn is_repeatable(command: &Command) -> bool {
    match command {
        Command::Get { .. } | Command::Touch { .. } | Command::Delete { .. } | Command::Version => {
            true
        }
        Command::Store { mode, .. } => *mode == StoreMode::Set,
        Command::Arith { .. } | Command::FlushAll => false,
    }
}
