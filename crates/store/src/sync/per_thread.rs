//! One value per thread and store.

/// A value for every thread that asks for one; others may look at all of them.
///
/// A thread that ends leaves its value to a later thread: values are never dropped before the whole.
#[cfg(not(feature = "shuttle"))]
#[derive(Debug)]
pub(crate) struct PerThread<T: Send + Sync>(thread_local::ThreadLocal<T>);

#[cfg(not(feature = "shuttle"))]
impl<T: Send + Sync> PerThread<T> {
    pub(crate) fn new() -> Self {
        Self(thread_local::ThreadLocal::new())
    }

    /// This thread's value, made if it has none.
    #[inline]
    pub(crate) fn get_or(&self, make: impl FnOnce() -> T) -> &T {
        self.0.get_or(make)
    }

    /// The values of all threads.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

/// The same by shuttle's own thread ids: its threads are coroutines of one thread.
#[cfg(feature = "shuttle")]
pub(crate) use by_shuttle_thread::PerThread;

#[cfg(feature = "shuttle")]
mod by_shuttle_thread {
    use std::sync::{Arc, Mutex, OnceLock, PoisonError};

    const MOST_THREADS: usize = 64;

    #[derive(Debug)]
    pub(crate) struct PerThread<T> {
        ids: Mutex<Vec<shuttle::thread::ThreadId>>,
        values: Arc<[OnceLock<T>]>,
    }

    impl<T> PerThread<T> {
        pub(crate) fn new() -> Self {
            let values = (0..MOST_THREADS).map(|_| OnceLock::new()).collect();
            Self { ids: Mutex::new(Vec::new()), values }
        }

        pub(crate) fn get_or(&self, make: impl FnOnce() -> T) -> &T {
            let me = shuttle::thread::current().id();
            let index = {
                let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
                ids.iter().position(|id| *id == me).unwrap_or_else(|| {
                    ids.push(me);
                    ids.len() - 1
                })
            };
            self.values[index].get_or_init(make)
        }

        pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
            self.values.iter().filter_map(OnceLock::get)
        }
    }
}
