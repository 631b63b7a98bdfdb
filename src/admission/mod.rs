//! Owns who may take a place, how many bytes, and for how long: alike for every request, whichever protocol brings it.
//!
//! A call counts once its message is there. Each listener has a [`Pool`]: places for strangers, with a share for each peer, and reserves
//! for health, for Envoy's questions and for calls with a verified token. A place is held until the answer has been read.

mod allowance;
mod bounds;
mod connection;
mod connection_places;
mod hold;
mod lanes;
mod pool;
mod protection;
mod receive;
mod recognise;
mod share;
mod source;
mod stream;
mod turns;
mod visit;

use http::Request;

use crate::model::Error;

pub(crate) use allowance::{Allowance, Allowances, Charge};
pub(crate) use bounds::{Bounds, READ_HEADERS_FACTOR, Resources, SetBounds};
use connection::{ArrivingCall, ServedCall};
pub(crate) use connection::{ConnectionHandle, Ending, OpenCall};
pub(crate) use connection_places::{ConnectionPlace, ConnectionPlaces, NoPlace, PeerShare};
pub(crate) use hold::{HeldBody, Hold, Keeper};
pub(crate) use lanes::{CallBounds, LANES, PoolBounds};
pub(crate) use pool::{Place, Pool};
pub(crate) use receive::Message;
#[cfg(test)]
pub(crate) use recognise::Nobody;
pub(crate) use recognise::Recognise;
pub(crate) use source::CallSource;
pub(crate) use stream::{Life, StreamAnswers, StreamRequests, over};
pub(crate) use turns::{Claimant, Turn, Turns};
pub(crate) use visit::{CallKind, Door, Visit};

/// What HTTP/2 adds to the size of each header (RFC 9113 section 6.5.2).
const HEADER_OVERHEAD_BYTES: usize = 32;

/// Refuses a request whose headers, the path among them, are larger than `max_bytes` as HTTP/2 counts them.
///
/// # Errors
/// [`Error::HeadersTooLarge`].
pub(crate) fn check_headers<B>(request: &Request<B>, max_bytes: u32) -> Result<(), Error> {
    let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    if header_bytes(request) > max_bytes { Err(Error::HeadersTooLarge { max_bytes }) } else { Ok(()) }
}

/// The size of the headers of `request`, the path among them, as HTTP/2 counts them.
pub(crate) fn header_bytes<B>(request: &Request<B>) -> usize {
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len() + HEADER_OVERHEAD_BYTES);
    let headers = request.headers().iter();
    path + headers
        .map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD_BYTES)
        .sum::<usize>()
}
