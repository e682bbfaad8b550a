//! Who a connection is: the tenant whose items it sees, what its credential lets it do, and where this is
//! counted. The one place where rights are looked at.

use std::sync::Arc;

use larder_tenancy::{Capabilities, Grant};

use crate::counters::{Count, Counters};

/// Who a connection is, on one worker. Never changes: another login is another access.
#[derive(Debug)]
pub(crate) struct Access {
    /// In the store.
    pub(crate) tenant: larder_store::Tenant,
    pub(crate) grant: Grant,
    /// Of this tenant, for the one worker that may write them.
    pub(crate) counters: Arc<Counters>,
}

impl Access {
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
