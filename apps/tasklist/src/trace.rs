//! What one request cost: the caches' figures from the framework, and the database's queries from
//! here. Both follow the request's task, and go with work that must outlive it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use larder::{Activity, Figures};

tokio::task_local! {
    static QUERIES: Arc<Queries>;
}

#[derive(Debug, Default)]
struct Queries {
    count: AtomicU64,
    micros: AtomicU64,
}

/// Collects the cost of one request.
#[derive(Debug, Default)]
pub struct Trace {
    activity: Activity,
    queries: Arc<Queries>,
}

/// The cost of one request. Times are microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// What the caches did.
    pub cache: Figures,
    /// Queries for the list of tasks.
    pub queries: u64,
    /// Time spent in them.
    pub query_micros: u64,
}

impl Trace {
    /// Runs `work` and counts what it does.
    pub async fn scope<F: Future>(&self, work: F) -> F::Output {
        let work = self.activity.scope(work);
        QUERIES.scope(self.queries.clone(), work).await
    }

    /// The cost so far.
    pub fn cost(&self) -> Cost {
        Cost {
            cache: self.activity.figures(),
            queries: self.queries.count.load(Ordering::Relaxed),
            query_micros: self.queries.micros.load(Ordering::Relaxed),
        }
    }
}

/// Runs a query and counts it.
pub async fn query<F: Future>(work: F) -> F::Output {
    let started = Instant::now();
    let result = work.await;
    // Outside of a request there is nobody to tell.
    let _ = QUERIES.try_with(|queries| {
        queries.count.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        queries.micros.fetch_add(micros, Ordering::Relaxed);
    });
    result
}

/// Runs `work` to its end even if the request is dropped meanwhile, as it is when a visitor closes
/// the page: a change that reached the database must reach the caches too.
pub async fn to_the_end<F>(work: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    let activity = Activity::current().unwrap_or_default();
    let queries = QUERIES.try_with(Clone::clone).unwrap_or_default();
    let work = QUERIES.scope(queries, async move { activity.scope(work).await });
    match tokio::spawn(work).await {
        Ok(output) => output,
        Err(error) => match error.try_into_panic() {
            // So does the request, as it would without a task.
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down, and the request with it.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn detached_work_is_counted_and_finishes() {
        let trace = Trace::default();
        trace.scope(to_the_end(query(async {}))).await;
        assert_eq!(trace.cost().queries, 1);

        let (send, receive) = tokio::sync::oneshot::channel();
        let (go_on, wait) = tokio::sync::oneshot::channel::<()>();
        let request = tokio::spawn(to_the_end(async move {
            wait.await.unwrap();
            send.send(()).unwrap();
        }));
        tokio::task::yield_now().await;
        request.abort();
        let _ = request.await;
        go_on.send(()).unwrap();
        receive.await.unwrap();
    }
}
