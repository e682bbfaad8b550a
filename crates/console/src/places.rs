//! Places that all share, such as those for live streams: no tenant takes all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use larder_tenancy::TenantName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places that all share.
#[derive(Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    /// Most of one tenant.
    each: usize,
    /// How many each has that has some.
    taken: Mutex<HashMap<TenantName, usize>>,
}

/// A place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    tenant: Option<TenantName>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(all: usize, each: usize) -> Arc<Self> {
        let all = Arc::new(Semaphore::new(all));
        Arc::new(Self { all, each, taken: Mutex::default() })
    }

    /// A place for a tenant, or for an operator if there is none; none if all that it may have are taken.
    pub(crate) fn take(self: &Arc<Self>, tenant: Option<&TenantName>) -> Option<Place> {
        let permit = self.all.clone().try_acquire_owned().ok()?;
        if let Some(tenant) = tenant {
            let mut taken = self.taken();
            let own = taken.get(tenant).copied().unwrap_or_default();
            if own >= self.each {
                return None;
            }
            taken.insert(tenant.clone(), own + 1);
        }
        Some(Place { places: self.clone(), tenant: tenant.cloned(), _permit: permit })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<TenantName, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all are free.
    #[cfg(test)]
    pub(crate) async fn all_free(&self, all: u32) {
        drop(self.all.acquire_many(all).await);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(tenant) = &self.tenant else { return };
        let mut taken = self.places.taken();
        match taken.get_mut(tenant) {
            Some(own @ 2..) => *own -= 1,
            _ => _ = taken.remove(tenant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_its_share_and_leaves_the_rest() {
        let [shop, other] = ["shop", "other"].map(|name| TenantName::new(name).unwrap());
        let places = Places::new(5, 2);
        let mut held = vec![places.take(Some(&shop)).unwrap(), places.take(Some(&shop)).unwrap()];
        assert!(places.take(Some(&shop)).is_none());
        held.push(places.take(Some(&other)).unwrap());
        held.extend([places.take(None).unwrap(), places.take(None).unwrap()]);
        assert!(
            places.take(None).is_none() && places.take(Some(&other)).is_none(),
            "all are taken"
        );
        held.remove(0);
        held.push(places.take(Some(&shop)).unwrap());
        drop(held);
        assert!(places.taken().is_empty() && places.all.available_permits() == 5);
    }
}
