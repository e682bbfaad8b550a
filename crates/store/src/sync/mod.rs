//! Every name of synchronisation the engine uses, and nothing else: atomics, locks, per-thread
//! values.
//!
//! Plain builds get the standard library's types. Two features put [`hooked`] wrappers of the same
//! size in their place, so that the code under test is the code that ships:
//!
//! - `shuttle`: every access is a point at which the shuttle scheduler may switch threads;
//! - `lines`: every write is recorded with its cache line, for the test that counts which shared
//!   lines an operation writes.

#[cfg(any(feature = "shuttle", feature = "lines"))]
mod hooked;
mod lock;
mod per_thread;

#[cfg(any(feature = "shuttle", feature = "lines"))]
pub(crate) use hooked::{AtomicU16, AtomicU32, AtomicU64};
#[cfg(feature = "lines")]
pub use hooked::{LineWrites, record_writes};
pub(crate) use lock::{Guard, Lock};
pub(crate) use per_thread::PerThread;
#[cfg(not(any(feature = "shuttle", feature = "lines")))]
pub(crate) use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};
pub(crate) use std::sync::atomic::{Ordering, fence};

/// Lets another thread run: what a spinning lock does when its holder may have been descheduled.
pub(crate) fn yield_now() {
    #[cfg(feature = "shuttle")]
    shuttle::thread::yield_now();
    #[cfg(not(feature = "shuttle"))]
    std::thread::yield_now();
}

/// Waits a moment for others: for what they do in passing first, then lets them run. `turn` counts the
/// calls.
pub(crate) fn wait(turn: usize) {
    if cfg!(feature = "shuttle") {
        // No time passes there: the others get the more turns the longer this one has waited.
        (0..=turn).for_each(|_| yield_now());
    } else if turn < SPINS {
        (0..64).for_each(|_| std::hint::spin_loop());
    } else {
        yield_now();
    }
}

/// Waits without letting others run.
const SPINS: usize = 8;
