//! Work whose panic must not end the task that does it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// What `work` comes to; none if it panics, which has then been told where panics are told. Whoever calls
/// this says why what `work` leaves behind half done is no harm.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        match polled {
            Ok(polled) => polled.map(Some),
            // It is not polled again.
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer_like_another() {
        let late = |fails: bool| async move {
            tokio::task::yield_now().await;
            assert!(!fails, "as it was told");
            7
        };
        assert_eq!(caught(late(false)).await, Some(7));
        assert_eq!(caught(late(true)).await, None);
    }
}
