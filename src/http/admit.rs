//! Owns what one request over HTTP may take: it counts once its body is there, and holds its place until its answer has been read.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, header::AUTHORIZATION},
    middleware::Next,
    response::Response,
};
use http_body::Frame;
use tokio::time::timeout_at;

use super::{EXPLORER, OPENAPI_PATH, explorer::FILES, forward_auth::VERIFY, refusal::Refusal};
use crate::{
    admission::{CallKind, CallSource, HeldBody, Hold, Message, Pool, Visit, check_headers, header_bytes},
    auth::bearer_token,
    base::Deadline,
    model::{Error, for_caller},
    observe::ReceivedBytes,
    peer::PeerAddress,
};

/// What one request may take.
#[derive(Clone, Debug)]
pub(crate) struct HttpAdmission {
    pool: Pool,
    max_header_bytes: u32,
}

impl HttpAdmission {
    /// Requests take their places from `pool`.
    pub(crate) const fn new(pool: Pool, max_header_bytes: u32) -> Self {
        Self { pool, max_header_bytes }
    }

    /// Lets a request in: its body first, then its place.
    async fn admit(&self, request: Request, deadline: Deadline) -> Result<(Request, Arc<Hold>), Error> {
        let kind = kind(request.extensions().get::<MatchedPath>().map(MatchedPath::as_str));
        let head_bytes = header_bytes(&request);
        let (mut head, body) = request.into_parts();
        let peer = head.extensions.get::<PeerAddress>().map(|peer| peer.network());
        let source = CallSource::of(peer, &head.extensions);
        let tokens = head.headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        let token = bearer_token(tokens).ok().flatten();
        let mut visit = Visit::new(&self.pool, kind, source, deadline, token);
        let max_bytes = self.pool.bounds().call.message_bytes;
        let Message { bytes, charge } = visit.receive(body, max_bytes, head_bytes).await?;
        if let Some(received) = head.extensions.get::<ReceivedBytes>() {
            received.note(bytes.len());
        }
        let hold = Arc::new(Hold::of_message(charge));
        hold.keep(visit.enter()?);
        if let Some(token) = visit.verified() {
            head.extensions.insert(token);
        }
        head.extensions.insert(deadline);
        // Only the form may say on whose behalf it is sent.
        head.extensions.insert(Arc::clone(&hold));
        Ok((Request::from_parts(head, bytes.into()), hold))
    }
}

/// Lets a request on once its body is there and it has a place, and cuts it when its time is over. If its client goes away, it is
/// dropped, and its place is free.
pub(super) async fn admit(
    State(limits): State<HttpAdmission>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let deadline = Deadline::after(limits.pool.bounds().call.request_timeout);
    let answered = timeout_at(deadline.instant().into(), async {
        let network = request.extensions().get::<PeerAddress>().map(|peer| peer.network());
        let (request, hold) = limits.admit(request, deadline).await?;
        Ok((for_caller(network, next.run(request)).await, hold))
    });
    let (response, hold) = answered.await.unwrap_or(Err(Error::DeadlineExceeded))?;
    Ok(response.map(|body| {
        if body.is_end_stream() { body } else { Body::new(HeldBody::new(body, hold, deadline, end)) }
    }))
}

/// How a request to the route `path` is admitted; none: a path that is not served.
fn kind(path: Option<&str>) -> CallKind {
    let is_shown = |path: &str| {
        // Each may be below the issuer's path.
        let page = path.strip_suffix(FILES).unwrap_or(path);
        path.ends_with('/') || path.ends_with(OPENAPI_PATH) || page.ends_with(EXPLORER)
    };
    let is_any_of = |ends: &[&str]| path.is_some_and(|path| ends.iter().any(|end| path.ends_with(end)));
    if is_any_of(&["/livez", "/readyz"]) {
        CallKind::Health
    } else if path.is_some_and(|path| path.contains("/.well-known/"))
        || is_any_of(&["/metrics"])
        || path.is_some_and(is_shown)
    {
        CallKind::Document
    } else if path == Some(VERIFY) {
        CallKind::Check
    } else {
        CallKind::Call
    }
}

/// Breaks an answer off.
fn end(error: Option<Error>) -> Result<Frame<Bytes>, axum::Error> {
    Err(axum::Error::new(error.unwrap_or(Error::DeadlineExceeded)))
}

/// Refuses headers beyond their limit.
pub(super) async fn bound_headers(
    State(limits): State<HttpAdmission>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    check_headers(&request, limits.max_header_bytes)?;
    Ok(next.run(request).await)
}
