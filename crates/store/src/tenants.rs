//! The tenants of a store: who they are, and a look at some of them that writes nothing shared.
//!
//! The list is behind a lock, which whoever adds or removes a tenant takes. A writer who must know who
//! has most looks at a copy of the list, which all threads share and each holds one of: as long as the
//! list has not changed since, that is two loads. So a thread that does nothing any more keeps what
//! removed tenants leave, of the time when it last looked.

use std::sync::Arc;

use crate::epoch::Worker;
use crate::sync::{AtomicU64, Guard, Lock, Ordering};
use crate::tenant::TenantState;

/// All tenants.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    list: Lock<List>,
    /// In the upper half how often the list has changed, in the lower its length.
    state: AtomicU64,
}

#[derive(Debug, Default)]
struct List {
    all: Vec<Arc<TenantState>>,
    /// The same as of the last change, once somebody has asked.
    copy: Option<Arc<[Arc<TenantState>]>>,
}

/// What a thread has seen of the list.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    /// The state of then.
    state: u64,
    tenants: Option<Arc<[Arc<TenantState>]>>,
    /// Where the next sample begins.
    next: usize,
    /// From whom the thread took room last, and whether it stays with him.
    last: Option<usize>,
    stays: bool,
}

/// The tenants as this thread sees them.
pub(crate) struct Seen<'a>(Guard<'a, Sight>);

impl Tenants {
    /// How many there are.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        let [_, count] = halves(self.state.load(Ordering::Acquire));
        count
    }

    /// The list.
    pub(crate) fn all(&self) -> Vec<Arc<TenantState>> {
        self.list.lock().all.clone()
    }

    /// The tenant of this number.
    pub(crate) fn find(&self, id: u32) -> Option<Arc<TenantState>> {
        self.list.lock().all.iter().find(|tenant| tenant.id == id).map(Arc::clone)
    }

    /// One of them, by a number that goes around.
    pub(crate) fn nth(&self, number: u32) -> Option<Arc<TenantState>> {
        let list = self.list.lock();
        list.all.get(number as usize % list.all.len().max(1)).map(Arc::clone)
    }

    pub(crate) fn add(&self, tenant: Arc<TenantState>) {
        self.change(|all| all.push(tenant));
    }

    /// Keeps those that `stays` says yes to.
    pub(crate) fn retain(&self, stays: impl Fn(&TenantState) -> bool) {
        self.change(|all| all.retain(|tenant| stays(tenant)));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<TenantState>>)) {
        let mut list = self.list.lock();
        let before = list.all.len();
        change(&mut list.all);
        if list.all.len() != before {
            list.copy = None;
            let [changes, _] = halves(self.state.load(Ordering::Relaxed));
            let count = u32::try_from(list.all.len()).unwrap_or(u32::MAX);
            let state = u64::from(changes.wrapping_add(1)) << 32 | u64::from(count);
            self.state.store(state, Ordering::Release);
        }
    }

    /// A look at them, for this thread.
    pub(crate) fn seen<'a>(&self, worker: &'a Worker) -> Seen<'a> {
        let mut sight = worker.sight.lock();
        if sight.state != self.state.load(Ordering::Acquire) {
            let mut list = self.list.lock();
            let copy = list.copy.take().unwrap_or_else(|| list.all.as_slice().into());
            list.copy = Some(Arc::clone(&copy));
            sight.state = self.state.load(Ordering::Relaxed);
            sight.tenants = Some(copy);
            sight.last = None;
        }
        // Here, and not while the sight is read: in tests that is a write to all of its lines.
        sight.next = sight.next.wrapping_add(SAMPLE_APART);
        Seen(sight)
    }
}

/// Samples begin so far apart.
const SAMPLE_APART: usize = 61;

impl Seen<'_> {
    /// The numbers of some of them, each time others.
    pub(crate) fn sample(&self, count: usize) -> impl Iterator<Item = usize> {
        let (tenants, first) = (self.all().len(), self.0.next);
        (0..count.min(tenants)).map(move |step| first.wrapping_add(step) % tenants)
    }

    /// The one of a number that this sight has given.
    pub(crate) fn tenant(&self, number: usize) -> &TenantState {
        &self.all()[number]
    }

    /// The number of this one; `None` if the sight is too old, or two came at the same moment.
    pub(crate) fn number_of(&self, tenant: &TenantState) -> Option<usize> {
        self.all().binary_search_by_key(&tenant.id, |other| other.id).ok()
    }

    /// Who gave room last.
    pub(crate) fn last(&self) -> Option<usize> {
        self.0.last
    }

    /// The one this thread stays with.
    pub(crate) fn current(&self) -> Option<usize> {
        self.0.last.filter(|_| self.0.stays)
    }

    pub(crate) fn note_giver(&mut self, number: usize, stays: bool) {
        (self.0.last, self.0.stays) = (Some(number), stays);
    }

    fn all(&self) -> &[Arc<TenantState>] {
        self.0.tenants.as_deref().unwrap_or_default()
    }
}

/// The upper and the lower 32 bits.
#[allow(clippy::cast_possible_truncation, reason = "one half at a time")]
fn halves(word: u64) -> [u32; 2] {
    [(word >> 32) as u32, word as u32]
}
