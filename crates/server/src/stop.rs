//! The signal to stop, and who is to be woken by it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::node::lock;

/// Whether the server is to stop. Once it is, it stays so.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    asked: AtomicBool,
    wakers: Mutex<Vec<Arc<Waker>>>,
}

impl Stop {
    /// Asks everybody to stop.
    pub(crate) fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
        for waker in &*lock(&self.wakers) {
            waker.wake();
        }
    }

    #[inline]
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Has a loop woken when it is to stop; at once if it should have by now.
    pub(crate) fn wakes(&self, waker: &Arc<Waker>) {
        lock(&self.wakers).push(Arc::clone(waker));
        if self.is_asked() {
            waker.wake();
        }
    }
}

/// Wakes an event loop that waits.
#[derive(Debug)]
pub(crate) struct Waker(OwnedFd);

impl Waker {
    pub(crate) fn new() -> rustix::io::Result<Waker> {
        eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map(Waker)
    }

    pub(crate) fn wake(&self) {
        // It fails only if it was woken 2^64 times already.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Forgets that it was woken.
    pub(crate) fn reset(&self) {
        // It fails only if nobody woke it.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
