//! Owns taking in a message: it counts once it is there, and on its way it is bounded in number, bytes and time.

use futures_util::FutureExt;
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Bytes;
use tokio::{task::yield_now, time::timeout_at};

use super::{
    Visit,
    lanes::{FREE_BYTES, Lane},
    pool::Place,
    visit::Arrival,
};
use crate::{base::Deadline, model::Error};

/// The least room that is made for a message that comes in pieces, in bytes.
const MIN_ROOM: usize = 1_024;

/// A message that has arrived.
#[derive(Debug)]
pub(crate) struct Message {
    /// The message itself.
    pub(crate) bytes: Bytes,
    /// What its bytes take, beyond what belongs to a place.
    pub(crate) charge: Option<Place>,
}

/// What has arrived of a message.
struct Arriving<'v, 'a, B> {
    visit: &'v Visit<'a>,
    body: B,
    max_bytes: usize,
    /// What came at once: not copied.
    whole: Bytes,
    /// What came in pieces. A piece is part of a larger buffer, which would be kept with it.
    pieces: Vec<u8>,
    head_bytes: usize,
    charge: Option<Place>,
}

impl Visit<'_> {
    /// All of `body`, which has `max_bytes` at most, of a request whose headers have `head_bytes`.
    ///
    /// # Errors
    /// [`Error::MessageTooLarge`]; [`Error::Overloaded`] if too much is on its way; [`Error::DeadlineExceeded`] if it took too long; and
    /// [`Error::MalformedRequest`] if it broke off.
    pub(crate) async fn receive<B>(
        &mut self,
        body: B,
        max_bytes: usize,
        head_bytes: usize,
    ) -> Result<Message, Error>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let receive_by = Deadline::after(self.pool().bounds().call.receive_timeout).min(self.deadline());
        let mut arriving = Arriving::new(self, body, max_bytes, head_bytes)?;
        if arriving.take_what_is_there()? {
            return Ok(arriving.done());
        }
        // The rest may have been read from the connection in the meantime: nothing is done for it yet.
        yield_now().await;
        if arriving.take_what_is_there()? {
            return Ok(arriving.done());
        }
        let Arriving { body, whole, pieces, charge, .. } = arriving;
        let place = self.place(Arrival::Arriving)?;
        let mut arriving = Arriving { visit: self, body, max_bytes, whole, pieces, head_bytes, charge };
        arriving.unshare()?;
        tokio::select! {
            biased;
            all = timeout_at(receive_by.instant().into(), arriving.take_all()) => {
                all.map_err(|_| Error::DeadlineExceeded)??;
            }
            () = place.given_away() => return Err(place.pool().refuse(place.lane())),
        }
        Ok(arriving.done())
    }

    /// `message` with `bytes` in place of its own, for which there must be room as for those.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub(crate) fn hold(&self, message: Message, bytes: Bytes, head_bytes: usize) -> Result<Message, Error> {
        let mut charge = message.charge;
        self.charge(&mut charge, head_bytes + bytes.len())?;
        Ok(Message { bytes, charge })
    }

    /// Has `charge` be for `bytes`, if they are more than belong to a place.
    fn charge(&self, charge: &mut Option<Place>, bytes: usize) -> Result<(), Error> {
        if bytes <= FREE_BYTES {
            return Ok(());
        }
        let amount = u64::try_from(bytes).unwrap_or(u64::MAX);
        let fits = if let Some(charge) = charge {
            charge.grow_to(amount)
        } else {
            *charge = self.pool().take(Lane::Bytes, self.holders(), amount);
            charge.is_some()
        };
        if fits { Ok(()) } else { Err(self.pool().refuse(Lane::Bytes)) }
    }
}

impl<'v, 'a, B: Body<Data = Bytes> + Unpin> Arriving<'v, 'a, B> {
    fn new(visit: &'v Visit<'a>, body: B, max_bytes: usize, head_bytes: usize) -> Result<Self, Error> {
        // What is announced to be too large is not waited for.
        if body.size_hint().lower() > u64::try_from(max_bytes).unwrap_or(u64::MAX) {
            return Err(too_large(visit));
        }
        let mut arriving = Self {
            visit,
            body,
            max_bytes,
            whole: Bytes::new(),
            pieces: Vec::new(),
            head_bytes,
            charge: None,
        };
        arriving.charge(0)?;
        Ok(arriving)
    }

    /// Takes what can be had without waiting. Returns whether that is all.
    fn take_what_is_there(&mut self) -> Result<bool, Error> {
        while !self.body.is_end_stream() {
            let Some(frame) = self.body.frame().now_or_never() else { return Ok(false) };
            let Some(frame) = frame else { return Ok(true) };
            self.take(frame.map_err(|_| broke_off())?.into_data().unwrap_or_default())?;
        }
        Ok(true)
    }

    /// Waits for all of it.
    async fn take_all(&mut self) -> Result<(), Error> {
        while let Some(frame) = self.body.frame().await {
            self.take(frame.map_err(|_| broke_off())?.into_data().unwrap_or_default())?;
            self.unshare()?;
        }
        Ok(())
    }

    fn take(&mut self, data: Bytes) -> Result<(), Error> {
        if self.whole.len() + self.pieces.len() + data.len() > self.max_bytes {
            return Err(too_large(self.visit));
        }
        if self.whole.is_empty() && self.pieces.is_empty() {
            self.charge(data.len())?;
            self.whole = data;
            return Ok(());
        }
        self.unshare()?;
        self.append(&data)
    }

    /// Copies what came at once into a buffer of its own.
    fn unshare(&mut self) -> Result<(), Error> {
        let whole = std::mem::take(&mut self.whole);
        if whole.is_empty() { Ok(()) } else { self.append(&whole) }
    }

    fn append(&mut self, data: &[u8]) -> Result<(), Error> {
        let needed = self.pieces.len() + data.len();
        if needed > self.pieces.capacity() {
            let room = needed.max(2 * self.pieces.capacity()).max(MIN_ROOM).min(self.max_bytes.max(needed));
            self.charge(room)?;
            self.pieces.reserve_exact(room - self.pieces.len());
        }
        self.pieces.extend_from_slice(data);
        Ok(())
    }

    /// Charges `bytes` of the message, with those of the head.
    fn charge(&mut self, bytes: usize) -> Result<(), Error> {
        self.visit.charge(&mut self.charge, self.head_bytes + bytes)
    }

    fn done(self) -> Message {
        let bytes = if self.pieces.is_empty() { self.whole } else { Bytes::from(self.pieces) };
        Message { bytes, charge: self.charge }
    }
}

fn too_large(visit: &Visit<'_>) -> Error {
    Error::MessageTooLarge { max_bytes: visit.pool().bounds().call.message_bytes }
}

fn broke_off() -> Error {
    Error::MalformedRequest("its body broke off".to_owned())
}
