//! Who a connection is: the tenant whose items it sees, what its credential lets it do, and where this is
//! counted. The one place where rights are looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_store::prefetch;
use larder_tenancy::{Capabilities, Grant};

use crate::counters::{Count, Counters};
use crate::insight::Trace;

/// Who a connection is, on one worker. Never changes: another login is another access.
///
/// Every request reads all of it, so it is one cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Access {
    /// In the store.
    pub(crate) tenant: larder_store::Tenant,
    pub(crate) grant: Grant,
    /// Of this tenant, for the one worker that may write them.
    pub(crate) counters: Arc<Counters>,
    /// How much of what the tenant asks for is looked at.
    pub(crate) trace: Arc<Trace>,
    /// When the credential was last used, in seconds since 1970; none: there is no credential.
    pub(crate) used: Option<Arc<AtomicU64>>,
}

impl Access {
    /// Has what every request reads and counts fetched. A hint, for when others are worked for meanwhile.
    #[inline]
    pub(crate) fn prefetch(&self) {
        self.tenant.prefetch();
        prefetch(&*self.counters);
        prefetch(&*self.trace);
        if let Some(used) = &self.used {
            prefetch(&**used);
        }
    }

    /// Notes that the credential is used at this second. It is written once a second at most, whoever
    /// else uses it.
    #[inline]
    pub(crate) fn note_used(&self, unix: u64) {
        if let Some(used) = &self.used
            && used.load(Ordering::Relaxed) != unix
        {
            used.store(unix, Ordering::Relaxed);
        }
    }

    /// Whether the credential lets its holder do this. A refusal is counted.
    #[inline]
    pub(crate) fn may(&self, wanted: Capabilities) -> bool {
        let may = self.grant.allows(wanted);
        if !may {
            self.counters.add(Count::Denied, 1);
        }
        may
    }

    /// Whether the credential lets its holder touch this key. A refusal is counted.
    #[inline]
    pub(crate) fn may_use(&self, key: &[u8]) -> bool {
        let may = self.grant.allows_key(key);
        if !may {
            self.counters.add(Count::Denied, 1);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::Access;

    #[test]
    fn it_is_one_line() {
        assert_eq!(size_of::<Access>(), 64);
    }
}
