//! Owns what one call may take: a place among the calls in flight, and a deadline.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, Request, Response};
use tokio::time::timeout_at;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use crate::{
    admission::Places,
    model::{Deadline, Error},
};

/// The header by which a gRPC client sets its deadline.
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// Gives each call its place and its deadline, or refuses it.
#[derive(Clone, Debug)]
pub(crate) struct LimitsLayer {
    places: Places,
    request_timeout: Duration,
}

/// A gRPC service within its limits.
#[derive(Clone, Debug)]
pub(crate) struct LimitsService<Inner> {
    limits: LimitsLayer,
    inner: Inner,
}

impl LimitsLayer {
    pub(crate) const fn new(places: Places, request_timeout: Duration) -> Self {
        Self { places, request_timeout }
    }

    /// The deadline of a call: the client's, but no later than the server's own.
    fn deadline(&self, headers: &HeaderMap) -> Result<Deadline, Error> {
        let own = self.request_timeout;
        let Some(value) = headers.get(GRPC_TIMEOUT) else { return Ok(Deadline::after(own)) };
        let timeout = value.to_str().ok().and_then(parse_timeout).ok_or_else(|| {
            Error::MalformedRequest(
                "`grpc-timeout` must be 1 to 8 digits and a unit (H, M, S, m, u, n)".to_owned(),
            )
        })?;
        Ok(Deadline::after(timeout.min(own)))
    }
}

/// The deadline that the layer gave to the call.
pub(crate) fn deadline_of<T>(request: &tonic::Request<T>) -> Deadline {
    // Without the layer (it is always there) a call would have no time at all.
    request.extensions().get().copied().unwrap_or_else(|| Deadline::after(Duration::ZERO))
}

/// Reads `TimeoutValue TimeoutUnit` of the gRPC protocol: at most eight digits, and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3_600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

/// What must hold for any `text`: a timeout that can be read is at most eight digits of its unit.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(text: &[u8]) {
    if let Some(timeout) = str::from_utf8(text).ok().and_then(parse_timeout) {
        assert!(text.len() <= 9 && timeout <= Duration::from_hours(99_999_999));
    }
}

// ===== the plumbing of tower =====

impl<Inner> Layer<Inner> for LimitsLayer {
    type Service = LimitsService<Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        LimitsService { limits: self.clone(), inner }
    }
}

impl<Inner, B> Service<Request<B>> for LimitsService<Inner>
where
    B: Send + 'static,
    Inner: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    Inner::Future: Send,
{
    type Response = Response<Body>;
    type Error = Inner::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let refuse =
            |error: Error| -> Self::Future { Box::pin(async move { Ok(Status::from(error).into_http()) }) };
        let place = match self.limits.places.take() {
            Ok(place) => place,
            Err(error) => return refuse(error),
        };
        let deadline = match self.limits.deadline(request.headers()) {
            Ok(deadline) => deadline,
            Err(error) => return refuse(error),
        };
        if deadline.has_passed() {
            return refuse(Error::DeadlineExceeded);
        }
        request.extensions_mut().insert(deadline);
        // The clone takes the place of the service that was polled ready (tower's own advice).
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            // The place is free again when the call is answered, or when its client goes away.
            let _place = place;
            match timeout_at(deadline.instant().into(), inner.call(request)).await {
                Ok(response) => response,
                Err(_) => Ok(Status::from(Error::DeadlineExceeded).into_http()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn timeouts_of_every_unit_are_read_and_nothing_else() {
        assert_eq!(parse_timeout("1H"), Some(Duration::from_hours(1)));
        assert_eq!(parse_timeout("2M"), Some(Duration::from_mins(2)));
        assert_eq!(parse_timeout("3S"), Some(Duration::from_secs(3)));
        assert_eq!(parse_timeout("4m"), Some(Duration::from_millis(4)));
        assert_eq!(parse_timeout("5u"), Some(Duration::from_micros(5)));
        assert_eq!(parse_timeout("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for bad in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "999999999S", " 1S", "1é"] {
            assert_eq!(parse_timeout(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = parse_timeout(&text);
        }
    }
}
