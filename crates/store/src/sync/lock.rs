//! A mutual exclusion lock that is never poisoned.
//!
//! A panic under one of the engine's locks can only come from a fault of the engine itself, and the
//! next operation is no worse off for meeting it than for meeting a poisoned lock.

use std::ops::{Deref, DerefMut};
#[cfg(not(feature = "shuttle"))]
use std::sync as imp;
use std::sync::PoisonError;
use std::sync::TryLockError;

#[cfg(feature = "shuttle")]
use shuttle::sync as imp;

/// Data behind a lock.
#[derive(Debug, Default)]
pub(crate) struct Lock<T>(imp::Mutex<T>);

/// The right to the data until it is dropped.
#[derive(Debug)]
pub(crate) struct Guard<'a, T>(imp::MutexGuard<'a, T>);

impl<T> Lock<T> {
    pub(crate) fn new(data: T) -> Lock<T> {
        Lock(imp::Mutex::new(data))
    }

    /// Waits for the lock.
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.written();
        Guard(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The lock, if nobody has it.
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.written();
        match self.0.try_lock() {
            Ok(guard) => Some(Guard(guard)),
            Err(TryLockError::Poisoned(poisoned)) => Some(Guard(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Tells the recorder of written lines, in builds that have one.
    fn written(&self) {
        #[cfg(feature = "lines")]
        super::hooked::wrote(std::ptr::from_ref(self).addr());
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        #[cfg(feature = "lines")]
        super::hooked::wrote_all(&*self.0);
        &mut self.0
    }
}
