//! What the caches did: figures for one request, and running totals.
//!
//! Every batch that a cache sends adds its [`Figures`] to the cache's own totals and to the
//! [`Activity`] of the task it runs in, if there is one. A request handler's middleware opens an
//! activity, so each response can say what it cost.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

tokio::task_local! {
    static CURRENT: Activity;
}

/// A snapshot of counters. Times are microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Keys looked up.
    pub gets: u64,
    /// Keys that had a usable value.
    pub hits: u64,
    /// Keys without one, for whatever reason.
    pub misses: u64,
    /// Of the misses, values that were there but could not be read: another format, another type.
    /// A figure that grows steadily means that something is cached and never used.
    pub undecodable: u64,
    /// Values written, including the small placeholder that guards a fill.
    pub sets: u64,
    /// Keys deleted.
    pub deletes: u64,
    /// Fills that were refused because the key was invalidated while the value was computed.
    pub refused_fills: u64,
    /// Operations that failed: they were answered as a miss, or as not stored.
    pub errors: u64,
    /// Times the caller waited for servers. The in-process cache takes none.
    pub round_trips: u64,
    /// Time spent in cache operations.
    pub micros: u64,
}

impl Figures {
    /// Hits per lookup, from 0 to 1; `None` before the first lookup.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn hit_ratio(&self) -> Option<f64> {
        (self.gets > 0).then(|| self.hits as f64 / self.gets as f64)
    }
}

/// Declares the counters once, so that adding and reading cannot forget one.
macro_rules! counters {
    ($($name:ident),* $(,)?) => {
        #[derive(Debug, Default)]
        struct Counters { $($name: AtomicU64),* }

        impl Counters {
            fn add(&self, figures: &Figures) {
                $(if figures.$name > 0 {
                    self.$name.fetch_add(figures.$name, Ordering::Relaxed);
                })*
            }

            fn figures(&self) -> Figures {
                Figures { $($name: self.$name.load(Ordering::Relaxed)),* }
            }
        }
    };
}
counters!(
    gets,
    hits,
    misses,
    undecodable,
    sets,
    deletes,
    refused_fills,
    errors,
    round_trips,
    micros
);

/// The figures of one piece of work, usually one request. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<Counters>);

impl Activity {
    /// An activity with all figures at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `work`; everything that caches do for it is counted here. An activity inside another
    /// takes the figures for itself.
    pub async fn scope<F: Future>(&self, work: F) -> F::Output {
        CURRENT.scope(self.clone(), work).await
    }

    /// The activity of the running task, to be carried into one that it spawns.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// The figures so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.0.figures()
    }

    /// Adds to the figures here and, where the running task has an activity, there.
    pub(crate) fn record(&self, figures: &Figures) {
        self.0.add(figures);
        // Outside of any scope there is nobody to tell.
        let _ = CURRENT.try_with(|current| current.0.add(figures));
    }
}

/// A duration as counted microseconds, at least one so that work never looks free.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scope_sees_its_own_work_only() {
        let totals = Activity::new();
        let one = Figures { gets: 1, hits: 1, ..Figures::default() };
        totals.record(&one);
        let request = Activity::new();
        request.scope(async { totals.record(&one) }).await;
        assert_eq!(request.figures().gets, 1);
        assert_eq!(totals.figures().gets, 2);
        assert_eq!(totals.figures().hit_ratio(), Some(1.0));
    }
}
