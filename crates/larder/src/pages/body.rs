//! Reading a response within a limit, and the body that goes out.

use std::collections::VecDeque;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Either, Full};

use super::rules::NoCacheReason;

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// The body of a response that passed the page layer: from the cache, or the handler's own.
pub type PageBody = Either<Full<Bytes>, HandlerBody>;

/// A handler's body, of which the beginning may have been read already.
#[derive(Debug)]
pub struct HandlerBody {
    /// Frames that were read while it was not yet clear that the body is not to be stored.
    read: VecDeque<Frame<Bytes>>,
    rest: UnsyncBoxBody<Bytes, BoxError>,
}

impl HandlerBody {
    /// The body unread.
    pub(super) fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self { read: VecDeque::new(), rest: body.map_err(Into::into).boxed_unsync() }
    }

    /// Reads the whole body, if it says beforehand that it has at most `limit` bytes; otherwise
    /// gives it back, nothing lost, and says why. A stream is not waited for: its first bytes may
    /// be wanted long before its last.
    pub(super) async fn collect(mut self, limit: usize) -> Result<Bytes, (Self, NoCacheReason)> {
        let mut total = 0_usize;
        match self.rest.size_hint().upper() {
            None => return Err((self, NoCacheReason::Stream)),
            Some(len) if len > limit as u64 => return Err((self, NoCacheReason::TooLarge)),
            Some(_) => {}
        }
        while let Some(frame) = self.rest.frame().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    self.rest = Broken(Some(error)).boxed_unsync();
                    return Err((self, NoCacheReason::Body));
                }
            };
            let len = frame.data_ref().map(Bytes::len);
            self.read.push_back(frame);
            total = total.saturating_add(len.unwrap_or(0));
            if len.is_none() {
                return Err((self, NoCacheReason::Body));
            }
            if total > limit {
                return Err((self, NoCacheReason::TooLarge));
            }
        }
        Ok(join(self.read, total))
    }
}

impl Body for HandlerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.read.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.read.is_empty() { self.rest.size_hint() } else { SizeHint::default() }
    }
}

/// A body that ends with the error that was met while reading it.
struct Broken(Option<BoxError>);

impl Body for Broken {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

/// The frames as one piece; a single one is not copied.
fn join(mut frames: VecDeque<Frame<Bytes>>, total: usize) -> Bytes {
    if frames.len() == 1
        && let Some(Ok(only)) = frames.pop_front().map(Frame::into_data)
    {
        return only;
    }
    let mut whole = BytesMut::with_capacity(total);
    for data in frames.into_iter().filter_map(|frame| frame.into_data().ok()) {
        whole.extend_from_slice(&data);
    }
    whole.freeze()
}
