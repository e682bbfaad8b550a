//! A key with its hash: computed once, and used by all that is done with the key.

use crate::memory::segment::TENANT_BITS;
use crate::tenant::Tenant;

/// A tenant's key with its hash: hashed once, then prefetched, looked up and written under it.
#[derive(Clone, Copy)]
pub struct HashedKey<'k> {
    pub(crate) bytes: &'k [u8],
    pub(crate) hash: u64,
    /// The tenant's [`TenantState::whose`](crate::tenant::TenantState::whose).
    pub(crate) whose: u64,
}

impl<'k> HashedKey<'k> {
    /// The key.
    #[must_use]
    #[inline]
    pub fn key(&self) -> &'k [u8] {
        self.bytes
    }

    /// The number of its tenant in the store.
    #[inline]
    pub(crate) fn tenant(&self) -> u32 {
        (self.whose & ((1 << TENANT_BITS) - 1)) as u32
    }

    /// Its hash in this tenant, for whoever looks at a sample of keys.
    #[must_use]
    #[inline]
    pub fn hash(&self) -> u64 {
        self.hash
    }
}

impl Tenant {
    /// The key with its hash in this tenant. It is of use to this tenant only.
    #[must_use]
    #[inline]
    pub fn hashed<'k>(&self, key: &'k [u8]) -> HashedKey<'k> {
        HashedKey {
            bytes: key,
            hash: self.shared.hash(self.state.id, key),
            whose: self.state.whose,
        }
    }

    /// # Panics
    ///
    /// When the key was hashed for another tenant: its hash here is another one, and what is stored
    /// under a wrong one breaks the index.
    #[inline]
    pub(crate) fn owns(&self, key: HashedKey<'_>) {
        assert!(key.whose == self.state.whose, "a key that was hashed for another tenant");
    }
}

impl std::fmt::Debug for HashedKey<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A length, not contents: keys do not belong in a log.
        write!(f, "HashedKey({} bytes)", self.bytes.len())
    }
}
