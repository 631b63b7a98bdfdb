//! Owns the message of a unary call: it may come long after the metadata by which the call was admitted, so the token is looked at again.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use signet::auth::Caller;
use tonic::{Status, body::Body};

use crate::stream::Ends;

/// What the handler of a unary call reads: an error, if the token no longer counts when it comes.
pub(crate) struct HeldBody {
    pub(crate) body: Body,
    pub(crate) ends: Arc<Ends>,
    pub(crate) caller: Caller,
    pub(crate) path: String,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else { return Poll::Pending };
        // Also at the end, for which tonic waits before it calls the handler.
        let over = self.ends.ends_now(&self.caller).map(|error| self.ends.status(error, &self.path));
        Poll::Ready(over.map_or(frame, |status| Some(Err(status))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
