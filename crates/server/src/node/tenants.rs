//! The tenants that anybody has been on this node: what the store knows them by, what was counted, and how
//! all of it follows the directory.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};

use larder_store::{Limits, Stats, Store};
use larder_tenancy::{Directory, Grant, Latency, Tenant, TenantId, TenantLimits};

use super::lock;
use crate::access::Access;
use crate::counters::{Counted, Counters};
use crate::insight::Trace;

/// The tenants that anybody has been, as far as `version` of the directory.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    version: u64,
    all: HashMap<TenantId, Followed>,
    /// Those that were removed and still have connections.
    leaving: Vec<Arc<TenantState>>,
    gone: Gone,
}

/// What those tenants had counted that are gone.
#[derive(Debug, Clone, Default)]
pub(super) struct Gone {
    pub(super) counted: Counted,
    pub(super) times: Latency,
}

/// A tenant, and what was done of what the directory says of it.
#[derive(Debug)]
struct Followed {
    state: Arc<TenantState>,
    limits: TenantLimits,
    flushes: u64,
}

/// A tenant on this node.
#[derive(Debug)]
pub(crate) struct TenantState {
    pub(crate) id: TenantId,
    pub(crate) store: larder_store::Tenant,
    /// How much of what it asks for is looked at.
    pub(crate) trace: Arc<Trace>,
    /// Of each worker, once it has worked for the tenant.
    counters: Box<[OnceLock<Arc<Counters>>]>,
    /// What was counted at the last `stats reset`.
    before: Mutex<(Counted, Stats)>,
}

impl TenantState {
    pub(crate) fn new(
        id: TenantId,
        store: larder_store::Tenant,
        trace: Trace,
        workers: usize,
    ) -> TenantState {
        let counters = (0..workers).map(|_| OnceLock::new()).collect();
        TenantState { id, store, trace: Arc::new(trace), counters, before: Mutex::default() }
    }

    /// Who holds `grant`, on `worker`; when the credential was last used is in `used`.
    pub(crate) fn access(
        &self,
        worker: usize,
        grant: Grant,
        used: Option<Arc<AtomicU64>>,
    ) -> Access {
        let (tenant, counters) = (self.store.clone(), self.counters(worker));
        Access { tenant, grant, counters, trace: Arc::clone(&self.trace), used }
    }

    /// The counters that `worker` may write.
    fn counters(&self, worker: usize) -> Arc<Counters> {
        Arc::clone(self.counters[worker].get_or_init(Arc::default))
    }

    /// What was counted ever.
    pub(super) fn sum(&self) -> Counted {
        let mut sum = Counted::default();
        for counters in self.counters.iter().filter_map(OnceLock::get) {
            counters.add_to(&mut sum);
        }
        sum
    }

    /// Keys that were ever asked for, stored, changed or deleted.
    pub(crate) fn asked(&self) -> u64 {
        self.counters.iter().filter_map(OnceLock::get).map(|counters| counters.asked()).sum()
    }

    /// How long its requests took.
    pub(super) fn times(&self, sum: &mut Latency) {
        for counters in self.counters.iter().filter_map(OnceLock::get) {
            counters.times.add_to(sum);
        }
    }

    /// What was counted since the last reset.
    pub(crate) fn counted(&self) -> Counted {
        self.sum().since(&lock(&self.before).0)
    }

    /// The store's figures of the tenant: what only grows, since the last reset.
    pub(crate) fn stored(&self) -> Stats {
        super::since(self.store.stats(), &lock(&self.before).1)
    }

    /// Counts from 0 again, but for connections.
    pub(crate) fn reset(&self) {
        let mut sum = self.sum();
        sum.keep_connections();
        *lock(&self.before) = (sum, self.store.stats());
    }

    /// Whether no connection counts here any more.
    fn is_left(&self) -> bool {
        self.counters.iter().filter_map(OnceLock::get).all(|it| Arc::strong_count(it) == 1)
    }
}

impl Tenants {
    /// Of a node with nobody in it; `shared` is the tenant that the store has from the start.
    pub(super) fn new(shared: TenantState, directory: &Directory) -> Tenants {
        let mut tenants = Tenants::default();
        let entry = directory.tenant(shared.id);
        if let Some(tenant) = entry {
            shared.store.set_limits(store_limits(tenant.limits));
        }
        tenants.insert(Arc::new(shared), entry);
        tenants
    }

    pub(super) fn get(&self, id: TenantId) -> Option<&Arc<TenantState>> {
        self.all.get(&id).map(|followed| &followed.state)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<TenantState>> {
        self.all.values().map(|followed| &followed.state)
    }

    /// Takes in a tenant of which `directory` says this. What was flushed before is no matter.
    pub(super) fn insert(&mut self, state: Arc<TenantState>, entry: Option<&Tenant>) {
        let (limits, flushes) = said(entry);
        self.all.insert(state.id, Followed { state, limits, flushes });
    }

    /// Makes the store follow a directory: changed limits, flushes, tenants that are gone. Those that were
    /// flushed go to `flushed`. Returns whether it was news.
    pub(super) fn follow(
        &mut self,
        directory: &Directory,
        store: &Store,
        mut flushed: impl FnMut(&TenantState),
    ) -> bool {
        if directory.version() <= self.version {
            return false;
        }
        self.version = directory.version();
        let leaving = &mut self.leaving;
        self.all.retain(|id, followed| {
            let entry = directory.tenant(*id);
            // The shared tenant is the store's own.
            if entry.is_none() && *id != TenantId::DEFAULT {
                store.remove_tenant(&followed.state.store);
                leaving.push(Arc::clone(&followed.state));
                return false;
            }
            if followed.follow(said(entry)) {
                flushed(&followed.state);
            }
            true
        });
        self.bury();
        true
    }

    /// All that there are and have been: those that count, and what those had counted that are gone.
    pub(super) fn ever(&mut self) -> (Vec<Arc<TenantState>>, Gone) {
        self.bury();
        (self.all().chain(&self.leaving).cloned().collect(), self.gone.clone())
    }

    /// Lets go of those that were removed and have no connections any more, but not of what they counted:
    /// the node's figures only grow.
    fn bury(&mut self) {
        let gone = &mut self.gone;
        self.leaving.retain(|state| {
            let stays = !state.is_left();
            if !stays {
                gone.counted.add(&state.sum());
                state.times(&mut gone.times);
            }
            stays
        });
    }
}

impl Followed {
    /// Does what the directory says now; whether that was a flush.
    fn follow(&mut self, (limits, flushes): (TenantLimits, u64)) -> bool {
        if limits != self.limits {
            self.limits = limits;
            self.state.store.set_limits(store_limits(limits));
        }
        let flushed = flushes > self.flushes;
        if flushed {
            self.flushes = flushes;
            self.state.store.flush();
        }
        flushed
    }
}

/// The limits and flushes of a tenant that may not be in the directory.
fn said(entry: Option<&Tenant>) -> (TenantLimits, u64) {
    entry.map_or((TenantLimits::NONE, 0), |tenant| (tenant.limits, tenant.flushes))
}

/// The limits of a tenant as the store has them.
pub(super) fn store_limits(limits: TenantLimits) -> Limits {
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Limits { floor_bytes: bytes(limits.floor), ceiling_bytes: bytes(limits.ceiling) }
}
