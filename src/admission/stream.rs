//! Owns the life of a stream: how old it may get, how long it may be idle, how much of it may be unread, and that it ends when the
//! service does.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Bytes;
use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use super::{
    Pool,
    hold::{End, Hold, Keeper},
    pool::Place,
};
use crate::{base::Deadline, model::Error};

/// How one stream lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// When it ends at the latest.
    pub(crate) deadline: Deadline,
    /// How long it may go without an answer, if that is bounded.
    pub(crate) idle: Option<Duration>,
    /// The same before the first: its client has shown nothing yet but that it can begin a call.
    pub(crate) first: Duration,
}

/// The requests of a stream, which end with it.
pub(crate) struct StreamRequests<B> {
    inner: B,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// The answers of a stream.
pub(crate) struct StreamAnswers<B: Body> {
    inner: B,
    unread: Arc<Unread>,
    life: Life,
    /// When it ends unless something happens before.
    expiry: Pin<Box<Sleep>>,
    /// The service ends.
    ending: Pin<Box<WaitForCancellationFutureOwned>>,
    end: End<B::Error>,
    ended: bool,
    /// Ends the requests, too, once this is gone.
    _requests: DropGuard,
}

/// What has been answered and not been read yet.
pub(crate) struct Unread {
    hold: Arc<Hold>,
    limit: usize,
    /// How long the oldest of it may stay.
    patience: Duration,
    deadline: Deadline,
    bytes: Mutex<usize>,
    reader: AtomicWaker,
}

/// A piece of an answer that is not read yet.
struct Piece {
    data: Bytes,
    unread: Arc<Unread>,
    _charge: Option<Place>,
}

/// What ends the requests of a stream with its answers: to be given to both.
pub(crate) fn over() -> CancellationToken {
    CancellationToken::new()
}

impl<B> StreamRequests<B> {
    /// `inner`, which ends when `over` is cancelled.
    pub(crate) fn new(inner: B, over: &CancellationToken) -> Self {
        Self { inner, over: Box::pin(over.clone().cancelled_owned()) }
    }
}

impl<B: Body<Data = Bytes> + Unpin> StreamAnswers<B> {
    /// `inner`, of a stream of `pool` that holds `hold` and has a life of its own. `over` is cancelled with its end.
    pub(crate) fn new(
        inner: B,
        pool: &Pool,
        hold: Arc<Hold>,
        life: Life,
        over: CancellationToken,
        end: End<B::Error>,
    ) -> Self {
        let unread = Unread {
            hold,
            limit: pool.bounds().stream_unread_bytes,
            patience: pool.bounds().call.request_timeout,
            deadline: life.deadline,
            bytes: Mutex::new(0),
            reader: AtomicWaker::new(),
        };
        Self {
            inner,
            unread: Arc::new(unread),
            life,
            expiry: Box::pin(sleep_until(life.first_end().instant().into())),
            ending: Box::pin(pool.ending().clone().cancelled_owned()),
            end,
            ended: false,
            _requests: over.drop_guard(),
        }
    }

    /// What counts copies of the answers.
    pub(crate) fn keeper(&self) -> Keeper {
        Keeper::Stream(Arc::clone(&self.unread))
    }

    /// Something was answered.
    fn moved(&mut self) {
        if self.life.idle.is_some() {
            self.expiry.as_mut().reset(self.life.next_end().instant().into());
        }
    }

    fn finish(&mut self, error: Option<Error>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.ended = true;
        Poll::Ready(Some((self.end)(error)))
    }
}

impl Life {
    fn first_end(self) -> Deadline {
        self.idle.map_or(self.deadline, |_| Deadline::after(self.first).min(self.deadline))
    }

    fn next_end(self) -> Deadline {
        self.idle.map_or(self.deadline, |idle| Deadline::after(idle).min(self.deadline))
    }
}

impl Unread {
    /// `data`, counted as unread until it is written.
    pub(super) fn held(self: &Arc<Self>, data: Bytes) -> Result<Bytes, Error> {
        let charge = self.hold.charge(data.len())?;
        self.add(data.len());
        Ok(Bytes::from_owner(Piece { data, unread: Arc::clone(self), _charge: charge }))
    }

    fn add(&self, count: usize) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if *bytes == 0
            && let Some(place) = self.hold.place()
        {
            place.set_deadline(Deadline::after(self.patience).min(self.deadline));
        }
        *bytes += count;
    }

    fn written(&self, count: usize) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *bytes = bytes.saturating_sub(count);
        if let Some(place) = self.hold.place() {
            let deadline =
                if *bytes == 0 { self.deadline } else { Deadline::after(self.patience).min(self.deadline) };
            place.set_deadline(deadline);
        }
        drop(bytes);
        self.reader.wake();
    }

    fn is_full(&self) -> bool {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) >= self.limit
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for StreamRequests<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.over.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for StreamAnswers<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.life.deadline.has_passed() {
            return self.finish(Some(Error::DeadlineExceeded));
        }
        self.unread.reader.register(context.waker());
        let frame =
            if self.unread.is_full() { Poll::Pending } else { Pin::new(&mut self.inner).poll_frame(context) };
        match frame {
            Poll::Ready(Some(Ok(frame))) => {
                self.moved();
                match frame.into_data().map(|data| self.unread.held(data)) {
                    Ok(Ok(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
                    Ok(Err(error)) => self.finish(Some(error)),
                    Err(trailers) => Poll::Ready(Some(Ok(trailers))),
                }
            }
            Poll::Ready(other) => Poll::Ready(other),
            // What was to be said before the end has been said by now.
            Poll::Pending if self.ending.as_mut().poll(context).is_ready() => self.finish(None),
            Poll::Pending if self.expiry.as_mut().poll(context).is_ready() => {
                self.finish(Some(Error::DeadlineExceeded))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.unread.written(self.data.len());
    }
}
