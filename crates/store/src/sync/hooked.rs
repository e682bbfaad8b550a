//! Atomics that tell someone about each access before they make it.
//!
//! They have the size and layout of the standard ones: the engine lays them over its own memory.

#[cfg(feature = "lines")]
use std::cell::RefCell;
#[cfg(feature = "lines")]
use std::collections::BTreeMap;
use std::sync::atomic::{self, Ordering};

/// How often each cache line was written, by its number: the address divided by 64.
#[cfg(feature = "lines")]
pub type LineWrites = BTreeMap<usize, u64>;

#[cfg(feature = "lines")]
thread_local! {
    static WRITES: RefCell<Option<LineWrites>> = const { RefCell::new(None) };
}

/// The cache lines this thread writes through the engine's atomics and locks while `work` runs.
#[cfg(feature = "lines")]
pub fn record_writes(work: impl FnOnce()) -> LineWrites {
    WRITES.with(|writes| *writes.borrow_mut() = Some(LineWrites::new()));
    work();
    WRITES.with(|writes| writes.borrow_mut().take()).unwrap_or_default()
}

/// A point at which the scheduler may switch. It is no yield: a scheduler that goes by priorities
/// would let each thread do one access in turn.
fn access() {
    // Tests of single parts run without one.
    #[cfg(feature = "shuttle")]
    if shuttle::current::try_get_current_task().is_some() {
        shuttle::thread::sleep(std::time::Duration::ZERO);
    }
}

/// Notes a write to `addr`, if this thread records.
pub(super) fn wrote(addr: usize) {
    access();
    #[cfg(feature = "lines")]
    WRITES.with(|writes| {
        if let Some(writes) = &mut *writes.borrow_mut() {
            *writes.entry(addr / 64).or_default() += 1;
        }
    });
    #[cfg(not(feature = "lines"))]
    let _ = addr;
}

/// Notes a write to any part of what a lock guards: it counts as one to all of its lines.
#[cfg(feature = "lines")]
pub(super) fn wrote_all<T>(data: &T) {
    let first = std::ptr::from_ref(data).addr();
    (first / 64..(first + size_of::<T>()).div_ceil(64)).for_each(|line| wrote(line * 64));
}

macro_rules! hooked {
    ($($name:ident: $int:ty),*) => {$(
        /// The standard atomic of this name, with a hook before each access.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub(crate) struct $name(atomic::$name);

        #[allow(dead_code, reason = "each type has the same methods, used or not")]
        impl $name {
            pub(crate) const fn new(value: $int) -> Self {
                Self(atomic::$name::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $int {
                access();
                self.0.load(order)
            }

            pub(crate) fn store(&self, value: $int, order: Ordering) {
                self.written();
                self.0.store(value, order);
            }

            pub(crate) fn swap(&self, value: $int, order: Ordering) -> $int {
                self.written();
                self.0.swap(value, order)
            }

            pub(crate) fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                self.written();
                self.0.fetch_add(value, order)
            }

            pub(crate) fn fetch_sub(&self, value: $int, order: Ordering) -> $int {
                self.written();
                self.0.fetch_sub(value, order)
            }

            pub(crate) fn fetch_or(&self, value: $int, order: Ordering) -> $int {
                self.written();
                self.0.fetch_or(value, order)
            }

            pub(crate) fn fetch_and(&self, value: $int, order: Ordering) -> $int {
                self.written();
                self.0.fetch_and(value, order)
            }

            pub(crate) fn compare_exchange(
                &self,
                current: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                self.written();
                self.0.compare_exchange(current, new, success, failure)
            }

            fn written(&self) {
                wrote(std::ptr::from_ref(self).addr());
            }
        }
    )*};
}

hooked!(AtomicU16: u16, AtomicU32: u32, AtomicU64: u64);
