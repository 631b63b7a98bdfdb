//! Owns what of a request is still on its way when its answer is there. If it is little, it is read and forgotten: over HTTP/2 a stream is
//! reset whose request is not read, and plain clients then take the answer for an error.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::FutureExt;
use http::Request;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Bytes;
use tokio::time::timeout;
use tonic::{Status, body::Body};

/// How much is read, in bytes.
const MAX_BYTES: usize = 128 * 1_024;

/// For how long it is waited for, whatever the time for a request or the deadline of its call is: some round trips, and no longer, since
/// whoever never sends the rest keeps the refusal, and its connection, for as long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where a body comes that was not read to its end.
pub(super) struct LateBody(Arc<Mutex<Option<Body>>>);

/// A body that comes there.
struct Lent {
    /// None once it has ended.
    body: Option<Body>,
    home: Arc<Mutex<Option<Body>>>,
}

impl LateBody {
    /// `request`, and what will have of its body what is not read.
    pub(super) fn of(request: Request<Body>) -> (Request<Body>, Self) {
        let home = Arc::new(Mutex::new(None));
        let lent = |body: Body| {
            if body.is_end_stream() {
                body
            } else {
                Body::new(Lent { body: Some(body), home: Arc::clone(&home) })
            }
        };
        (request.map(lent), Self(home))
    }

    /// Whether there is something left.
    pub(super) fn is_left(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Reads and forgets what there is, if it is little and comes soon. Returns whether nothing is left.
    pub(super) async fn forget(self) -> bool {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut body) = left else { return true };
        // What is announced to be too much is not waited for.
        let mut room = MAX_BYTES;
        if body.size_hint().lower() > u64::try_from(room).unwrap_or(u64::MAX) {
            return false;
        }
        let mut forgotten = Box::pin(async move {
            while let Some(Ok(frame)) = body.frame().await {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if bytes > room {
                    return false;
                }
                room -= bytes;
            }
            true
        });
        match forgotten.as_mut().now_or_never() {
            Some(is_over) => is_over,
            // Whoever takes longer has the stream reset.
            None => timeout(PATIENCE, forgotten).await.unwrap_or(false),
        }
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| !body.is_end_stream());
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = left;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::StreamBody;
    use tokio::{
        sync::mpsc,
        time::{Instant, sleep},
    };

    use super::*;

    /// A request whose body comes by the sender, and what has of it what is not read.
    fn late() -> (mpsc::UnboundedSender<Bytes>, LateBody) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let frames = stream::unfold(receiver, |mut receiver| async {
            let data: Bytes = receiver.recv().await?;
            Some((Ok::<_, Infallible>(Frame::data(data)), receiver))
        });
        let (request, late) = LateBody::of(Request::new(Body::new(StreamBody::new(frames))));
        drop(request);
        (sender, late)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_waited_for_until_it_ends_or_is_too_much_and_for_a_second_at_most() {
        let begun = Instant::now();
        let (sender, body) = late();
        let sends = async {
            sleep(Duration::from_millis(900)).await;
            sender.send(Bytes::from_static(b"{}")).unwrap();
            drop(sender);
        };
        assert!(tokio::join!(body.forget(), sends).0);
        assert!((PATIENCE.mul_f32(0.9)..PATIENCE).contains(&begun.elapsed()));

        let begun = Instant::now();
        let (sender, body) = late();
        sender.send(Bytes::from(vec![0; MAX_BYTES + 1])).unwrap();
        assert!(!body.forget().await);
        assert_eq!(begun.elapsed(), Duration::ZERO);

        let (_sender, body) = late();
        assert!(!body.forget().await);
        assert!((PATIENCE..PATIENCE * 2).contains(&begun.elapsed()));
    }
}
