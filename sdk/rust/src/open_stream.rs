//! Owns an open stream in both directions: once it is ended, its handler reads nothing more, and nobody takes its answer.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame};
use tokio::task::AbortHandle;
use tonic::{Status, body::Body};

/// What one stream consists of. It is ended by a task of its own: its peer may take no answer, and its handler may wait elsewhere.
#[derive(Debug, Default)]
struct Stream {
    /// By what it was ended, if it was.
    ended: OnceLock<Status>,
    request: Mutex<Direction>,
    answer: Mutex<Direction>,
}

/// The messages of one direction.
#[derive(Debug, Default)]
struct Direction {
    /// None once it has been ended, or nobody takes it any more. Of the answer, also before there is one.
    body: Option<Body>,
    /// Who waits for what comes next.
    waiting: Option<Waker>,
}

impl Stream {
    fn end(&self, status: Status) {
        // One task does this, once.
        let _ = self.ended.set(status);
        for direction in [&self.request, &self.answer] {
            let Direction { body, waiting } = std::mem::take(&mut *lock(direction));
            // With its answer goes the handler.
            drop(body);
            if let Some(waiting) = waiting {
                waiting.wake();
            }
        }
    }

    /// The status that ends `direction`; whoever polls is woken by it.
    fn poll_end(&self, direction: &mut Direction, context: &Context<'_>) -> Poll<&Status> {
        // Whoever ends the stream does so before it looks at who waits, for which it needs the lock that is held here.
        if let Some(status) = self.ended.get() {
            return Poll::Ready(status);
        }
        match &mut direction.waiting {
            Some(waiting) => waiting.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

fn lock(direction: &Mutex<Direction>) -> MutexGuard<'_, Direction> {
    direction.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream that is watched over for as long as one of its directions is held.
#[derive(Debug)]
pub(crate) struct Watched {
    stream: Arc<Stream>,
    watch: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Watched {
    /// Watches over the stream of `request` until `end` says by which status it ends, and returns what the handler is to read.
    pub(crate) fn begin(
        request: Body,
        end: impl Future<Output = Status> + Send + 'static,
    ) -> (Arc<Self>, Body) {
        let stream = Arc::new(Stream::default());
        lock(&stream.request).body = Some(request);
        let watched = Arc::clone(&stream);
        let watch = tokio::spawn(async move { watched.end(end.await) }).abort_handle();
        let this = Arc::new(Self { stream, watch });
        let request = Body::new(RequestBody(Arc::clone(&this)));
        (this, request)
    }

    /// What the peer is answered, whose handler makes `answer`: if the stream ends before that, the handler goes.
    pub(crate) async fn answer<E>(
        self: Arc<Self>,
        answer: impl Future<Output = Result<Response<Body>, E>>,
    ) -> Result<Response<Body>, E> {
        let ended = poll_fn(|context| {
            self.stream.poll_end(&mut lock(&self.stream.answer), context).map(Status::clone)
        });
        let (parts, body) = tokio::select! {
            biased;
            status = ended => return Ok(status.into_http()),
            answer = answer => answer?.into_parts(),
        };
        if body.is_end_stream() {
            return Ok(Response::from_parts(parts, body));
        }
        // If it ends at this moment, the body is let go when it is polled.
        lock(&self.stream.answer).body = Some(body);
        Ok(Response::from_parts(parts, Body::new(AnswerBody { watched: self, is_over: false })))
    }
}

/// What a handler reads: its end is an error.
struct RequestBody(Arc<Watched>);

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let stream = &self.0.stream;
        let mut direction = lock(&stream.request);
        if let Poll::Ready(status) = stream.poll_end(&mut direction, context) {
            return Poll::Ready(Some(Err(status.clone())));
        }
        direction.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        let stream = &self.0.stream;
        let direction = lock(&stream.request);
        stream.ended.get().is_none() && direction.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let unread = lock(&self.0.stream.request).body.take();
        drop(unread);
    }
}

/// What the peer is answered: its end are the trailers.
struct AnswerBody {
    watched: Arc<Watched>,
    is_over: bool,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let watched = Arc::clone(&self.watched);
        let mut direction = lock(&watched.stream.answer);
        let Poll::Ready(status) = watched.stream.poll_end(&mut direction, context) else {
            let Some(body) = &mut direction.body else { return Poll::Ready(None) };
            return Pin::new(body).poll_frame(context);
        };
        let body = direction.body.take();
        drop(direction);
        drop(body);
        self.is_over = true;
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        let stream = &self.watched.stream;
        let direction = lock(&stream.answer);
        // What was ended has its trailers still to come.
        self.is_over
            || (stream.ended.get().is_none() && direction.body.as_ref().is_none_or(HttpBody::is_end_stream))
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        let untaken = lock(&self.watched.stream.answer).body.take();
        drop(untaken);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};
    use tokio::sync::oneshot;

    use super::*;

    /// A stream that is open, what ends it, what its handler reads, and what its peer is answered.
    async fn open() -> (oneshot::Sender<Status>, Body, Response<Body>) {
        let (end, ended) = oneshot::channel();
        let message = || Body::new(Full::new(Bytes::from_static(b"message")));
        let (watched, request) = Watched::begin(message(), async { ended.await.unwrap() });
        let answer = watched.answer(std::future::ready(Ok::<_, Status>(Response::new(message()))));
        (end, request, answer.await.unwrap())
    }

    #[tokio::test]
    async fn what_is_not_ended_goes_through() {
        let (_end, request, answer) = open().await;
        for body in [request, answer.into_body()] {
            assert_eq!(body.collect().await.unwrap().to_bytes(), "message");
        }
    }

    #[tokio::test]
    async fn what_is_ended_says_so_in_both_directions_though_nothing_of_it_was_taken_yet() {
        let (end, mut request, answer) = open().await;
        end.send(Status::unavailable("")).unwrap();
        tokio::task::yield_now().await;
        let refused = request.frame().await.unwrap().unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unavailable);
        let mut answer = answer.into_body();
        assert!(!answer.is_end_stream(), "else no trailers are asked for");
        let trailers = answer.frame().await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(Status::from_header_map(&trailers).unwrap().code(), tonic::Code::Unavailable);
        assert!(answer.frame().await.is_none() && answer.is_end_stream());
    }

    #[tokio::test]
    async fn it_is_watched_over_until_both_directions_are_let_go() {
        let (mut end, request, answer) = open().await;
        drop(answer);
        tokio::task::yield_now().await;
        assert!(!end.is_closed(), "its handler reads on");
        drop(request);
        end.closed().await;
    }
}
