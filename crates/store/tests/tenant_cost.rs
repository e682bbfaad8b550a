//! 10,000 tenants are normal: what an empty one costs.

#![allow(unsafe_code, reason = "counts what is allocated")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use larder_store::{Config, Limits, Store, Tenant};

struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does it; this only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const TENANTS: usize = 10_000;

/// One test, so that nothing else allocates meanwhile.
#[test]
fn ten_thousand_tenants_cost_4_kib_each_until_they_store() {
    let store = Store::new(Config::new(64 << 20)).unwrap();
    // The thread's own part.
    store.tenant().get(b"none", |_| ());
    let used = |since: usize| (ALLOCATED.load(Ordering::Relaxed) - since) / TENANTS;
    let before = ALLOCATED.load(Ordering::Relaxed);
    let tenants: Vec<Tenant> = (0..TENANTS).map(|_| store.add_tenant(Limits::NONE)).collect();
    assert!(used(before) <= 4096, "{} bytes each", used(before));
    for tenant in &tenants {
        assert!(tenant.get(b"none", |_| ()).is_none());
        tenant.flush();
        assert!(!tenant.delete(b"none"));
    }
    for tenant in tenants.iter().step_by(100) {
        assert_eq!(tenant.stats().bytes, 0);
    }
    assert!(used(before) <= 4096, "{} bytes each when they have been used", used(before));
    // Of the limit an empty tenant takes nothing.
    assert!(store.stats().bytes < 256 * 1024, "{:?}", store.stats());
    let after = ALLOCATED.load(Ordering::Relaxed);
    for tenant in &tenants {
        store.remove_tenant(tenant);
    }
    drop(tenants);
    let left = ALLOCATED.load(Ordering::Relaxed).saturating_sub(before);
    assert!(left < (after - before) / 4, "{left} bytes left of removed tenants");
    store.validate().unwrap();
}
