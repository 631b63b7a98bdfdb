//! Owns how long a call holds what it has taken: until its answer has been read, or can be no longer.
//!
//! hyper asks a body for more only when its stream may send, and what HTTP/2 has buffered has left the body. So the place goes with
//! the data: each piece of an answer keeps it until that is written.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use hyper::body::Bytes;
use tokio::time::{Sleep, sleep_until};

use super::{
    Pool, Turn,
    lanes::{FREE_BYTES, Lane},
    pool::Place,
    share::Holders,
    stream::Unread,
};
use crate::{
    base::Deadline,
    model::{Error, Network},
};

/// What a call holds.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    place: OnceLock<Place>,
    /// The bytes of its message, beyond what belongs to the place.
    message: Option<Place>,
    /// Its turn, if it is of those of which one at a time is answered.
    _turn: Option<Turn>,
}

/// Holds what an answer has taken for copies of it, too: whoever translates a body is done with its pieces before the copies are written.
#[derive(Clone)]
pub(crate) enum Keeper {
    /// Of an answer with an end of its own.
    Call(Arc<Hold>),
    /// Of a stream.
    Stream(Arc<Unread>),
}

/// How a body says that a call ends before its own end, and with which error if that is one: by trailers, or by breaking off.
pub(crate) type End<E> = fn(Option<Error>) -> Result<Frame<Bytes>, E>;

/// The body of an answer, which holds what its call has taken until it has been read.
pub(crate) struct HeldBody<B: Body> {
    inner: B,
    hold: Arc<Hold>,
    deadline: Deadline,
    /// Made when the body keeps its reader waiting: most never do.
    expiry: Option<Pin<Box<Sleep>>>,
    end: End<B::Error>,
    ended: bool,
}

/// A piece of an answer, with what is held until it is written.
struct Piece {
    data: Bytes,
    _hold: Arc<Hold>,
    _charge: Option<Place>,
}

impl Hold {
    /// What holds the bytes of a message, and will hold a place.
    pub(crate) fn of_message(message: Option<Place>) -> Self {
        Self { message, ..Self::default() }
    }

    /// The same, and the `turn` of the call, if it needs one.
    pub(crate) fn with_turn(self, turn: Option<Turn>) -> Self {
        Self { _turn: turn, ..self }
    }

    /// Holds `place`, too: the one that its call takes.
    pub(crate) fn keep(&self, place: Place) {
        let kept = self.place.set(place);
        debug_assert!(kept.is_ok(), "a call takes one place, and would give the second one up");
    }

    /// Counts the call for `peer` from now on: the peer that has sent it asks on its behalf, as is known only now.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if `peer` has no room.
    pub(crate) fn count_for(&self, peer: Network) -> Result<(), Error> {
        self.message.iter().chain(self.place()).try_for_each(|place| place.count_for(peer))
    }

    pub(super) fn place(&self) -> Option<&Place> {
        self.place.get()
    }

    /// `data` of an answer, with what is held until it is written.
    fn held(self: &Arc<Self>, data: Bytes) -> Result<Bytes, Error> {
        let charge = self.charge(data.len())?;
        Ok(Bytes::from_owner(Piece { data, _hold: Arc::clone(self), _charge: charge }))
    }

    /// Takes bytes of an answer, if they are more than belong to a place. They are given back with what is returned.
    pub(super) fn charge(&self, bytes: usize) -> Result<Option<Place>, Error> {
        // Documents are the same bytes for everybody, and so is what watchers are told.
        let is_shared = |place: &Place| matches!(place.lane(), Lane::Documents | Lane::Watchers);
        let is_charged = |place: &&Place| bytes > FREE_BYTES && !is_shared(place);
        let Some(place) = self.place().filter(is_charged) else { return Ok(None) };
        charge(place.pool(), place.holders(), bytes).map(Some)
    }
}

fn charge(pool: &Pool, holders: Holders, bytes: usize) -> Result<Place, Error> {
    let amount = u64::try_from(bytes).unwrap_or(u64::MAX);
    pool.take(Lane::Bytes, holders, amount).ok_or_else(|| pool.refuse(Lane::Bytes))
}

impl Keeper {
    /// `copy`, which is counted until it is written.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if there is no room for its bytes.
    pub(crate) fn keep(&self, copy: Bytes) -> Result<Bytes, Error> {
        match self {
            Self::Call(hold) => hold.held(copy),
            Self::Stream(unread) => unread.held(copy),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> HeldBody<B> {
    /// `inner`, which holds `hold`, and is over at `deadline`.
    pub(crate) const fn new(inner: B, hold: Arc<Hold>, deadline: Deadline, end: End<B::Error>) -> Self {
        Self { inner, hold, deadline, expiry: None, end, ended: false }
    }

    /// Waits for the deadline.
    fn poll_expiry(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline.instant().into();
        let expiry = self.expiry.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        expiry.as_mut().poll(context)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for HeldBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.poll_expiry(context));
                self.ended = true;
                return Poll::Ready(Some((self.end)(Some(Error::DeadlineExceeded))));
            }
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Some(match self.hold.held(data) {
                    Ok(data) => Ok(Frame::data(data)),
                    Err(error) => {
                        self.ended = true;
                        (self.end)(Some(error))
                    }
                }),
                Err(trailers) => Some(Ok(trailers)),
            },
            other => other,
        })
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
