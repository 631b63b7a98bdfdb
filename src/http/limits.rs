//! Owns what one request over HTTP may take: its size, its time, and a place among the calls in flight.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout_at;

use super::refusal::Refusal;
use crate::{
    admission::{Places, check_headers},
    model::{Deadline, Error},
};

/// What one request may take.
#[derive(Clone, Debug)]
pub(crate) struct HttpLimits {
    calls: Places,
    /// Requests whose bodies are being read hold no place among the calls, so that who sends slowly takes none from others; but
    /// they take memory, so they are counted, too.
    reading: Places,
    request_timeout: Duration,
    max_body_bytes: usize,
    max_header_bytes: u32,
}

impl HttpLimits {
    /// Each request takes one of `calls`; as many as `reading` may be on their way.
    pub(crate) const fn new(
        calls: Places,
        reading: Places,
        request_timeout: Duration,
        max_body_bytes: usize,
        max_header_bytes: u32,
    ) -> Self {
        Self { calls, reading, request_timeout, max_body_bytes, max_header_bytes }
    }

    /// All of `body`.
    async fn read(&self, body: Body) -> Result<Bytes, Error> {
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        let _place = self.reading.take()?;
        let too_large = Error::MessageTooLarge { max_bytes: self.max_body_bytes };
        // What is announced to be too large is not waited for.
        if body.size_hint().lower() > u64::try_from(self.max_body_bytes).unwrap_or(u64::MAX) {
            return Err(too_large);
        }
        match Limited::new(body, self.max_body_bytes).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large),
            Err(_) => Err(Error::MalformedRequest("its body broke off".to_owned())),
        }
    }
}

/// Lets a request on once its body is there and it has a place, and cuts it when its time is over. If its client goes away, it is
/// dropped, and its place is free.
pub(super) async fn admit(
    State(limits): State<HttpLimits>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let deadline = Deadline::after(limits.request_timeout);
    let answered = timeout_at(deadline.instant().into(), async {
        let (mut head, body) = request.into_parts();
        let body = limits.read(body).await?;
        let _place = limits.calls.take()?;
        head.extensions.insert(deadline);
        Ok(next.run(Request::from_parts(head, body.into())).await)
    });
    answered.await.unwrap_or_else(|_| Err(Error::DeadlineExceeded.into()))
}

/// Refuses headers beyond their limit.
pub(super) async fn bound_headers(
    State(limits): State<HttpLimits>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    check_headers(&request, limits.max_header_bytes)?;
    Ok(next.run(request).await)
}
