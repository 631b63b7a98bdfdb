//! Owns what is bounded alike for every request, whichever protocol brings it: the places among the calls in flight, and the
//! size of the headers.

mod allowance;
mod bounds;
mod connection;
mod connection_places;

use std::{sync::Arc, time::Duration};

use http::Request;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::Error;

pub(crate) use allowance::{Allowance, Allowances};
pub(crate) use bounds::{Bounds, READ_HEADERS_FACTOR, Resources, SetBounds};
pub(crate) use connection::{ConnectionHandle, Ending, OpenCall};
pub(crate) use connection_places::{ConnectionPlace, ConnectionPlaces, NoPlace, PeerShare};

/// When to try again after all places were taken: a call takes milliseconds.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What HTTP/2 adds to the size of each header (RFC 9113 section 6.5.2).
const HEADER_OVERHEAD_BYTES: usize = 32;

/// A fixed number of places; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Places(Arc<Semaphore>);

/// A place that is taken, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }

    /// A place, if one is free: nobody waits for one.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub(crate) fn take(&self) -> Result<Place, Error> {
        let permit = Arc::clone(&self.0).try_acquire_owned();
        permit
            .map(|permit| Place { _permit: permit })
            .map_err(|_| Error::Overloaded { what: "calls in flight", retry_after: RETRY_AFTER })
    }
}

/// Refuses a request whose headers, the path among them, are larger than `max_bytes` as HTTP/2 counts them.
///
/// # Errors
/// [`Error::HeadersTooLarge`].
pub(crate) fn check_headers<B>(request: &Request<B>, max_bytes: u32) -> Result<(), Error> {
    let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len() + HEADER_OVERHEAD_BYTES);
    let headers = request.headers().iter();
    let bytes = path
        + headers
            .map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD_BYTES)
            .sum::<usize>();
    if bytes > max_bytes { Err(Error::HeadersTooLarge { max_bytes }) } else { Ok(()) }
}
