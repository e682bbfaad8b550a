//! What all workers share: the store, the directory, the tenants and their counters, and the figures of the
//! node as a whole. Others ask it through [`larder_tenancy::Node`].
//!
//! Nothing here is locked for a request: a worker finds its tenant and counters when a connection is let
//! in, and keeps them.

mod asked;
mod tenants;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use larder_store::{Clock, Stats, Store};
use larder_tenancy::{
    Capabilities, Check, Directory, Grant, Salt, SharedDirectory, TenantId, TenantLimits,
};

pub(crate) use self::tenants::TenantState;
use self::tenants::{Tenants, store_limits};

use crate::access::Access;
use crate::budget::Budget;
use crate::connections::Connections;
use crate::counters::Counted;
use crate::cx::Now;
use crate::exec::auth::Login;
use crate::exec::stats::Detail;
use crate::insight::{Insights, Sample, Trace};
use crate::probe::Probe;
use crate::server::ServerError;
use crate::settings::{Address, Settings};
use crate::stop::Stop;
use crate::tls::{Tls, TlsError};
use crate::verifier::{Verdict, Verifier};
use crate::worker::Inbox;

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) directory: SharedDirectory,
    /// When it was made, in seconds since 1970.
    pub(crate) started: u64,
    /// As `verbosity` last set it.
    pub(crate) verbosity: AtomicU32,
    /// What `stats detail` counts.
    pub(crate) detail: Detail,
    /// Of the node, whoever's connections they were.
    pub(crate) tally: Tally,
    /// Memory of all connections' buffers.
    pub(crate) budget: Arc<Budget>,
    /// The connections of each worker.
    pub(crate) connections: Connections,
    pub(crate) stop: Stop,
    /// What is listened on, once it is.
    pub(crate) listening: OnceLock<Vec<Listening>>,
    /// The TLS configurations in use.
    pub(crate) tls: OnceLock<Vec<Arc<Tls>>>,
    /// Who checks the passwords that take long.
    pub(crate) verifier: Verifier,
    /// The workers, once they are there.
    pub(crate) inboxes: OnceLock<Vec<Arc<Inbox>>>,
    pub(crate) probe: Probe,
    /// What clients do, in a sample.
    pub(crate) insights: Insights,
    tenants: Mutex<Tenants>,
    /// When each credential was last used that was let in, in seconds since 1970.
    used: Mutex<HashMap<Arc<[u8]>, Arc<AtomicU64>>>,
    /// What those count who have not said who they are.
    nobody: TenantState,
    /// What the store had counted at the last `stats reset`.
    before: Mutex<Stats>,
    /// When it was made, by the system's monotonic clock, in milliseconds.
    made: u64,
}

/// Figures of the node that are moved seldom enough for anybody to add to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Connections ever accepted.
    pub(crate) total_connections: AtomicU64,
    /// Connections turned away because there were too many, or no memory for one more of TLS.
    pub(crate) rejected_connections: AtomicU64,
    /// Times that accepting was suspended because the process had no descriptor left.
    pub(crate) listen_disabled: AtomicU64,
    /// For how long altogether, in microseconds.
    pub(crate) listen_disabled_us: AtomicU64,
    /// Whether connections are accepted just now.
    pub(crate) accepting: AtomicBool,
    /// Times that a connection had to wait for its next turn with requests already read.
    pub(crate) conn_yields: AtomicU64,
    /// Connections closed for being idle.
    pub(crate) idle_kicks: AtomicU64,
    /// Connections closed for taking too long with a request, a handshake or a login.
    pub(crate) slow_requests: AtomicU64,
    /// Connections closed for not taking their replies.
    pub(crate) slow_readers: AtomicU64,
    /// Full TLS handshakes.
    pub(crate) ssl_new_sessions: AtomicU64,
    /// TLS handshakes that failed.
    pub(crate) ssl_handshake_errors: AtomicU64,
    /// TLS connections that failed later.
    pub(crate) ssl_proto_errors: AtomicU64,
}

/// A socket that is listened on.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) fd: i32,
    pub(crate) address: Address,
}

impl Tally {
    /// Counts from 0 again.
    fn reset(&self) {
        for figure in [
            &self.total_connections,
            &self.rejected_connections,
            &self.listen_disabled,
            &self.listen_disabled_us,
            &self.conn_yields,
            &self.idle_kicks,
            &self.slow_requests,
            &self.slow_readers,
        ] {
            figure.store(0, Ordering::Relaxed);
        }
    }
}

impl Node {
    pub(crate) fn new(settings: Settings, directory: SharedDirectory) -> Result<Node, ServerError> {
        let clock = settings.clock.clone();
        let store = Store::new(larder_store::Config {
            max_item_bytes: settings.max_item_bytes,
            evicts: settings.evict,
            clock: clock.clone(),
            ..larder_store::Config::new(settings.memory_bytes)
        })?;
        let buffer_bytes = settings.buffer_bytes.max(2 * settings.max_item_bytes);
        let (workers, salt) = (settings.workers, Salt::random().map_err(no_random_bytes)?);
        let insights = Insights::new(workers, settings.insight);
        let (id, everything) = (TenantId::DEFAULT, store.tenant().clone());
        let shared = TenantState::new(id, everything.clone(), insights.trace(), workers);
        let nobody = TenantState::new(id, everything, Trace::off(), workers);
        let tenants = Tenants::new(shared, &directory.load());
        Ok(Node {
            started: clock.now_ms() / 1000,
            verbosity: AtomicU32::new(settings.verbosity),
            detail: Detail::new(settings.detail, settings.detail_delimiter),
            tally: Tally::default(),
            budget: Arc::new(Budget::new(buffer_bytes)),
            connections: Connections::new(settings.workers),
            stop: Stop::default(),
            listening: OnceLock::new(),
            tls: OnceLock::new(),
            verifier: Verifier::new(salt),
            inboxes: OnceLock::new(),
            probe: Probe::default(),
            insights,
            tenants: Mutex::new(tenants),
            used: Mutex::default(),
            nobody,
            before: Mutex::default(),
            made: monotonic_ms(),
            settings,
            store,
            clock,
            directory,
        })
    }

    /// The node's time.
    #[inline]
    pub(crate) fn now(&self) -> Now {
        Now { unix_ms: self.clock.now_ms() }
    }

    /// How long there has been this node, in milliseconds; not moved by `debugtime`.
    pub(crate) fn age_ms(&self) -> u64 {
        monotonic_ms() - self.made
    }

    /// Reads the files of all listeners' TLS again; what can be read is used.
    ///
    /// # Errors
    ///
    /// The first that cannot be read.
    pub(crate) fn reload_tls(&self) -> Result<(), TlsError> {
        let all = self.tls.get().map_or(&[][..], Vec::as_slice);
        all.iter().map(|tls| tls.reload()).fold(Ok(()), Result::and)
    }

    /// Who holds `grant`, on `worker`.
    pub(crate) fn access(&self, worker: usize, grant: Grant) -> Arc<Access> {
        let used = grant.username().map(|username| self.used(username));
        Arc::new(self.tenant(grant.tenant()).access(worker, grant, used))
    }

    /// Who has not said who they are, on `worker`: may do nothing, and is counted as nobody's.
    pub(crate) fn nobody(&self, worker: usize) -> Arc<Access> {
        let grant = Grant::anonymous(TenantId::DEFAULT, Capabilities::NONE);
        Arc::new(self.nobody.access(worker, grant, None))
    }

    /// Where it is noted when a credential is used.
    fn used(&self, username: &[u8]) -> Arc<AtomicU64> {
        let mut used = lock(&self.used);
        if let Some(used) = used.get(username) {
            return Arc::clone(used);
        }
        Arc::clone(used.entry(username.into()).or_default())
    }

    /// Who `user` is, if the password is right.
    pub(crate) fn login(&self, worker: usize, user: &[u8], password: &[u8], now: Now) -> Login {
        let granted = match self.directory.load().check(user, password, now.unix()) {
            Check::Granted(grant) => Ok(grant),
            Check::Refused(error) => Err(error),
            Check::Slow(check) => match self.verifier.ask(&check) {
                Verdict::Known(is_right) => check.granted(is_right),
                Verdict::Wait => return Login::Waits,
                Verdict::Busy => return Login::Busy,
            },
        };
        let Ok(grant) = granted else { return Login::Refused };
        let access = self.access(worker, grant);
        access.note_used(now.unix());
        Login::In(access)
    }

    /// There is another directory: it is followed, and the workers look whom it still lets in.
    pub(crate) fn directory_changed(&self) {
        self.follow(&self.directory.load());
        self.wake_workers();
    }

    /// Has all workers look for what there is to do.
    pub(crate) fn wake_workers(&self) {
        for inbox in self.inboxes.get().into_iter().flatten() {
            inbox.wake();
        }
    }

    /// What the node knows of a tenant; made if it is new.
    pub(crate) fn tenant(&self, id: TenantId) -> Arc<TenantState> {
        let mut tenants = lock(&self.tenants);
        if let Some(state) = tenants.get(id) {
            return Arc::clone(state);
        }
        let directory = self.directory.load();
        let entry = directory.tenant(id);
        let limits = entry.map_or(TenantLimits::NONE, |tenant| tenant.limits);
        let store = self.store.add_tenant(store_limits(limits));
        let trace = self.insights.trace();
        let state = Arc::new(TenantState::new(id, store, trace, self.settings.workers));
        tenants.insert(Arc::clone(&state), entry);
        state
    }

    /// The same if anybody has been this tenant.
    pub(crate) fn existing_tenant(&self, id: TenantId) -> Option<Arc<TenantState>> {
        lock(&self.tenants).get(id).cloned()
    }

    pub(crate) fn all_tenants(&self) -> Vec<Arc<TenantState>> {
        lock(&self.tenants).all().cloned().collect()
    }

    /// Makes the store follow a directory: changed limits, flushes, tenants that are gone.
    pub(crate) fn follow(&self, directory: &Directory) {
        let now = self.now().unix_ms;
        let followed = lock(&self.tenants).follow(directory, &self.store, |state| {
            self.insights.take(None, Sample::flush(state.id, now), b"");
        });
        if followed {
            lock(&self.used).retain(|username, _| directory.credential(username).is_some());
        }
    }

    /// The store's figures: what only grows, since the last reset.
    pub(crate) fn stored(&self) -> Stats {
        since(self.store.stats(), &lock(&self.before))
    }

    /// Counts from 0 again, for all tenants, but for connections that are open.
    pub(crate) fn reset(&self) {
        for state in self.all_tenants() {
            state.reset();
        }
        self.nobody.reset();
        *lock(&self.before) = self.store.stats();
        self.tally.reset();
    }

    /// What everybody has counted since the last reset.
    pub(crate) fn counted(&self) -> Counted {
        let mut sum = Counted::default();
        for state in self.all_tenants() {
            sum.add(&state.counted());
        }
        sum.add(&self.nobody.counted());
        sum
    }
}

/// The store's figures: levels as they are, and what only grows since `before`.
fn since(now: Stats, before: &Stats) -> Stats {
    Stats {
        hits: now.hits.saturating_sub(before.hits),
        misses: now.misses.saturating_sub(before.misses),
        expired_misses: now.expired_misses.saturating_sub(before.expired_misses),
        flushed_misses: now.flushed_misses.saturating_sub(before.flushed_misses),
        sets: now.sets.saturating_sub(before.sets),
        evictions: now.evictions.saturating_sub(before.evictions),
        evicted_unread: now.evicted_unread.saturating_sub(before.evicted_unread),
        expired: now.expired.saturating_sub(before.expired),
        expired_unread: now.expired_unread.saturating_sub(before.expired_unread),
        deleted: now.deleted.saturating_sub(before.deleted),
        flushed: now.flushed.saturating_sub(before.flushed),
        replaced: now.replaced.saturating_sub(before.replaced),
        relocated: now.relocated.saturating_sub(before.relocated),
        ..now
    }
}

/// The coarse one, which needs no system call.
fn monotonic_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    seconds.unwrap_or(0) * 1000 + nanos.unwrap_or(0) / 1_000_000
}

fn no_random_bytes(error: impl std::fmt::Display) -> std::io::Error {
    std::io::Error::other(format!("no random bytes: {error}"))
}

/// Locks; what the lock guards is whole after every statement, so a panic elsewhere is no matter.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds one to a figure.
pub(crate) fn tick(figure: &AtomicU64) {
    figure.fetch_add(1, Ordering::Relaxed);
}
