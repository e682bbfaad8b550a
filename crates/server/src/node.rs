//! What all workers share: the store, the directory, the tenants and their counters, and the figures of the
//! node as a whole. Others ask it through [`larder_tenancy::Node`].
//!
//! Nothing here is locked for a request: a worker finds its tenant and counters when a connection is let
//! in, and keeps them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use larder_store::{Clock, Limits, Stats, Store, StoreError};
use larder_tenancy::{
    AuthError, Capabilities, Directory, Figures, Grant, ItemFacts, SharedDirectory, TenantId,
    TenantLimits,
};

use crate::access::Access;
use crate::budget::Budget;
use crate::connections::Connections;
use crate::counters::{Count, Counted, Counters};
use crate::cx::Now;
use crate::exec::stats::Detail;
use crate::settings::{Address, Settings};
use crate::stop::Stop;
use crate::tls::{Tls, TlsError};

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
    tenants: Mutex<Tenants>,
    /// What those count who have not said who they are.
    nobody: Arc<TenantState>,
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
    /// Connections turned away because there were too many.
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

/// The tenants that anybody has been, as far as `version` of the directory.
#[derive(Debug)]
struct Tenants {
    version: u64,
    all: HashMap<TenantId, Arc<TenantState>>,
}

/// A tenant on this node.
#[derive(Debug)]
pub(crate) struct TenantState {
    pub(crate) store: larder_store::Tenant,
    /// Of each worker, once it has worked for the tenant.
    counters: Box<[OnceLock<Arc<Counters>>]>,
    /// What was counted at the last `stats reset`.
    before: Mutex<(Counted, Stats)>,
}

impl TenantState {
    fn new(store: larder_store::Tenant, workers: usize) -> TenantState {
        let counters = (0..workers).map(|_| OnceLock::new()).collect();
        TenantState { store, counters, before: Mutex::default() }
    }

    /// The counters that `worker` may write.
    fn counters(&self, worker: usize) -> Arc<Counters> {
        Arc::clone(self.counters[worker].get_or_init(Arc::default))
    }

    fn sum(&self) -> Counted {
        let mut sum = Counted::default();
        for counters in self.counters.iter().filter_map(OnceLock::get) {
            counters.add_to(&mut sum);
        }
        sum
    }

    /// What was counted since the last reset.
    pub(crate) fn counted(&self) -> Counted {
        self.sum().since(&lock(&self.before).0)
    }

    /// The store's figures of the tenant: what only grows, since the last reset.
    pub(crate) fn stored(&self) -> Stats {
        since(self.store.stats(), &lock(&self.before).1)
    }

    /// Counts from 0 again, but for connections.
    pub(crate) fn reset(&self) {
        let mut sum = self.sum();
        sum.keep_connections();
        *lock(&self.before) = (sum, self.store.stats());
    }
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
    pub(crate) fn new(settings: Settings, directory: SharedDirectory) -> Result<Node, StoreError> {
        let clock = settings.clock.clone();
        let store = Store::new(larder_store::Config {
            max_item_bytes: settings.max_item_bytes,
            evicts: settings.evict,
            clock: clock.clone(),
            ..larder_store::Config::new(settings.memory_bytes)
        })?;
        let buffer_bytes = settings.buffer_bytes.max(2 * settings.max_item_bytes);
        let shared = TenantState::new(store.tenant().clone(), settings.workers);
        let nobody = TenantState::new(store.tenant().clone(), settings.workers);
        let all = HashMap::from([(TenantId::DEFAULT, Arc::new(shared))]);
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
            tenants: Mutex::new(Tenants { version: 0, all }),
            nobody: Arc::new(nobody),
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
        let state = self.tenant(grant.tenant());
        let counters = state.counters(worker);
        Arc::new(Access { tenant: state.store.clone(), grant, counters })
    }

    /// Who has not said who they are, on `worker`: may do nothing, and is counted as nobody's.
    pub(crate) fn nobody(&self, worker: usize) -> Arc<Access> {
        let grant = Grant::anonymous(TenantId::DEFAULT, Capabilities::NONE);
        let counters = self.nobody.counters(worker);
        Arc::new(Access { tenant: self.nobody.store.clone(), grant, counters })
    }

    /// Who `user` is, if the password is right.
    ///
    /// # Errors
    ///
    /// As [`Directory::authenticate`].
    pub(crate) fn login(
        &self,
        worker: usize,
        user: &[u8],
        password: &[u8],
        now: Now,
    ) -> Result<Arc<Access>, AuthError> {
        let grant = self.directory.load().authenticate(user, password, now.unix())?;
        Ok(self.access(worker, grant))
    }

    /// What the node knows of a tenant; made if it is new.
    pub(crate) fn tenant(&self, id: TenantId) -> Arc<TenantState> {
        let mut tenants = lock(&self.tenants);
        if let Some(state) = tenants.all.get(&id) {
            return Arc::clone(state);
        }
        let limits = self.directory.load().tenant(id).map_or(TenantLimits::NONE, |t| t.limits);
        let store = self.store.add_tenant(store_limits(limits));
        let state = Arc::new(TenantState::new(store, self.settings.workers));
        tenants.all.insert(id, Arc::clone(&state));
        state
    }

    /// The same if anybody has been this tenant.
    fn existing_tenant(&self, id: TenantId) -> Option<Arc<TenantState>> {
        lock(&self.tenants).all.get(&id).cloned()
    }

    fn all_tenants(&self) -> Vec<Arc<TenantState>> {
        lock(&self.tenants).all.values().cloned().collect()
    }

    /// Makes the store follow a directory: changed limits, tenants that are gone.
    pub(crate) fn follow(&self, directory: &Directory) {
        let mut tenants = lock(&self.tenants);
        if directory.version() <= tenants.version {
            return;
        }
        tenants.version = directory.version();
        tenants.all.retain(|id, state| match directory.tenant(*id) {
            Some(tenant) => {
                state.store.set_limits(store_limits(tenant.limits));
                true
            }
            // The shared tenant is the store's own.
            None if *id == TenantId::DEFAULT => true,
            None => {
                self.store.remove_tenant(&state.store);
                false
            }
        });
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

impl larder_tenancy::Node for Node {
    fn figures(&self, tenant: Option<TenantId>) -> Figures {
        match tenant {
            None => figures(&self.counted(), &self.stored()),
            Some(id) => self
                .existing_tenant(id)
                .map_or_else(Figures::default, |state| figures(&state.counted(), &state.stored())),
        }
    }

    fn flush(&self, tenant: TenantId) {
        if let Some(state) = self.existing_tenant(tenant) {
            state.store.flush();
        }
    }

    fn look_up(&self, tenant: TenantId, key: &[u8]) -> Option<ItemFacts> {
        let state = self.existing_tenant(tenant)?;
        let reader = self.store.reader();
        let item = reader.peek(&state.store, state.store.hashed(key))?;
        Some(ItemFacts {
            value_bytes: item.value().len() as u64,
            bytes: item.stored_bytes() as u64,
            flags: item.flags(),
            cas: item.cas(),
            ttl: item.ttl(),
            idle: item.idle(),
            fetched: item.fetched(),
        })
    }
}

/// Counts as others are told of them.
fn figures(counted: &Counted, stats: &Stats) -> Figures {
    let sum = |counts: &[Count]| counts.iter().map(|count| counted.get(*count)).sum();
    Figures {
        get_hits: counted.get(Count::GetHits),
        get_misses: counted.get(Count::GetMisses),
        get_expired: stats.expired_misses,
        get_flushed: stats.flushed_misses,
        sets: counted.get(Count::CmdSet),
        deletes: sum(&[Count::DeleteHits, Count::DeleteMisses]),
        counts: sum(&[Count::IncrHits, Count::IncrMisses, Count::DecrHits, Count::DecrMisses]),
        touches: sum(&[Count::TouchHits, Count::TouchMisses]),
        flushes: counted.get(Count::CmdFlush),
        items: stats.items,
        bytes: stats.bytes,
        limit_bytes: stats.max_bytes,
        evictions: stats.evictions,
        evicted_unread: stats.evicted_unread,
        expired_unread: stats.expired_unread,
        connections: counted.get(Count::Opened).saturating_sub(counted.get(Count::Closed)),
        total_connections: counted.get(Count::Opened),
        auth_commands: counted.get(Count::AuthCmds),
        auth_errors: counted.get(Count::AuthErrors),
        denied: counted.get(Count::Denied),
        bytes_read: counted.get(Count::BytesRead),
        bytes_written: counted.get(Count::BytesWritten),
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

/// The limits of a tenant as the store has them.
fn store_limits(limits: TenantLimits) -> Limits {
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Limits { floor_bytes: bytes(limits.floor), ceiling_bytes: bytes(limits.ceiling) }
}

/// The coarse one, which needs no system call.
fn monotonic_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    seconds.unwrap_or(0) * 1000 + nanos.unwrap_or(0) / 1_000_000
}

/// Locks; what the lock guards is whole after every statement, so a panic elsewhere is no matter.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds one to a figure.
pub(crate) fn tick(figure: &AtomicU64) {
    figure.fetch_add(1, Ordering::Relaxed);
}
