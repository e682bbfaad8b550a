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
fn ten_thousand_tenants_cost_4_kib_each_and_a_segment_once_they_store() {
    let store = Store::new(Config::new(1 << 30)).unwrap();
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
    let empty = store.stats().bytes;
    assert!(empty < 4 << 20, "{:?}", store.stats());
    for tenant in &tenants {
        tenant.set(b"one", b"item", 0, None).unwrap();
        assert!(tenant.get(b"one", |_| ()).is_some());
    }
    // And one with an item a single segment.
    let each = (store.stats().bytes - empty) / TENANTS as u64;
    assert!(each <= 33 * 1024, "{each} bytes each with an item");
    assert!(used(before) <= 4096, "{} bytes each beside that", used(before));
    let after = ALLOCATED.load(Ordering::Relaxed);
    for tenant in &tenants {
        store.remove_tenant(tenant);
    }
    drop(tenants);
    // Their items are taken back by and by; whoever comes next finds that they hold nothing any more.
    while store.maintain(1_000) {}
    drop(store.add_tenant(Limits::NONE));
    let left = ALLOCATED.load(Ordering::Relaxed).saturating_sub(before);
    assert!(left < (after - before) / 4, "{left} bytes left of removed tenants");
    store.validate().unwrap();
}
