//! Owns measuring the requests by HTTP, and telling the logs of them: outermost, so that what any layer refuses is measured, too.

use std::{
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{MatchedPath, Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use http_body::{Frame, SizeHint};

use super::{
    refusal::Cause,
    traced_request::{TracedRequest, named},
};
use crate::{
    auth::CallerSlot,
    base::Clock,
    errors::{CallFailure, FailureLog, Row},
    identity::clients::ClientSlot,
    metrics::HttpMetrics,
    model::RequestId,
    observe::{ReceivedBytes, RequestLine, RequestLog},
    peer::PeerAddress,
    traces::Traces,
};

/// What stands for every path that is not served: what a client makes up must not make a series, or a line.
const UNKNOWN_ROUTE: &str = "unknown";

/// What measures the requests of one listener.
#[derive(Clone)]
pub(crate) struct RequestMeter {
    pub(crate) metrics: HttpMetrics,
    pub(crate) clock: Clock,
    /// Told of the requests that fail.
    pub(crate) failures: FailureLog,
    /// Told of requests. None if it is off.
    pub(crate) requests: Option<RequestLog>,
    /// None if no traces leave.
    pub(crate) traces: Option<Traces>,
}

/// A request that the request log is to tell of once its answer was sent, or its client went away.
struct LoggedRequest {
    log: RequestLog,
    clock: Clock,
    begun: Duration,
    /// `GET /userinfo`.
    method: String,
    request_id: Option<RequestId>,
    trace_id: Option<String>,
    peer: Option<IpAddr>,
    received: ReceivedBytes,
    caller: CallerSlot,
    client: ClientSlot,
    /// None until its answer begins.
    status: Option<StatusCode>,
    reason: Option<&'static str>,
    sent_bytes: u64,
}

/// An answer that is told of when it ends.
struct LoggedBody {
    inner: Body,
    request: LoggedRequest,
}

/// `router`, its requests measured by `meter`.
pub(crate) fn measured(router: Router, meter: RequestMeter) -> Router {
    router.layer(from_fn_with_state(meter, measure))
}

async fn measure(State(meter): State<RequestMeter>, mut request: Request, next: Next) -> Response {
    let RequestMeter { metrics, clock, failures, requests, traces } = meter;
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let matched = matched.as_ref().map(MatchedPath::as_str);
    let route = matched.unwrap_or(UNKNOWN_ROUTE);
    let begun = clock.monotonic();
    let traced = traces.and_then(|traces| TracedRequest::begin(&traces, matched, &request));
    let trace_id = traced.as_ref().filter(|_| requests.is_some()).map(TracedRequest::id);
    let logged = requests.map(|log| LoggedRequest::begin(log, &clock, (route, trace_id), &mut request));
    let response = next.run(request).await;
    let took = clock.monotonic().saturating_sub(begun);
    if let Some(failure) = response.extensions().get::<CallFailure>() {
        failures.tell(route, failure);
    }
    metrics.answered(route, response.status(), told_reason(&response), took);
    if let Some(traced) = traced {
        traced.answered(response.status());
    }
    match logged {
        Some(logged) => logged.answered(response),
        None => response,
    }
}

/// The reason that `response` tells, if it tells one.
fn told_reason(response: &Response) -> Option<&'static str> {
    response.extensions().get::<Cause>().and_then(|Cause(error)| Row::of(error).reason())
}

impl LoggedRequest {
    /// `request` to `route`, with the id of its trace, of which `log` is to tell; the layers further in say what they find of it.
    fn begin(
        log: RequestLog,
        clock: &Clock,
        (route, trace_id): (&str, Option<String>),
        request: &mut Request,
    ) -> Self {
        let method = format!("{} {route}", named(request.method()).unwrap_or("unknown"));
        let extensions = request.extensions_mut();
        let (received, caller) = (ReceivedBytes::default(), CallerSlot::default());
        let client = ClientSlot::default();
        extensions.insert(received.clone());
        extensions.insert(caller.clone());
        extensions.insert(client.clone());
        Self {
            log,
            clock: clock.clone(),
            begun: clock.monotonic(),
            method,
            request_id: extensions.get().copied(),
            trace_id,
            peer: extensions.get::<PeerAddress>().map(|peer| peer.ip()),
            received,
            caller,
            client,
            status: None,
            reason: None,
            sent_bytes: 0,
        }
    }

    /// `response`, which answers it, and tells of it at its end.
    fn answered(mut self, response: Response) -> Response {
        self.status = Some(response.status());
        self.reason = told_reason(&response);
        response.map(|inner| Body::new(LoggedBody { inner, request: self }))
    }
}

impl Drop for LoggedRequest {
    fn drop(&mut self) {
        let by_token = self.caller.caller().map(|caller| caller.claims().client_id.clone());
        let client = by_token.or_else(|| self.client.client().map(|client| client.to_string()));
        self.log.tell(&RequestLine {
            method: &self.method,
            // What the log of nginx says of a client that went away.
            code: self.status.as_ref().map_or("499", StatusCode::as_str),
            is_error: self.status.is_none_or(|status| status.is_client_error() || status.is_server_error()),
            reason: self.reason,
            took: self.clock.monotonic().saturating_sub(self.begun),
            received_bytes: self.received.get(),
            sent_bytes: self.sent_bytes,
            request_id: self.request_id,
            trace_id: self.trace_id.as_deref(),
            peer: self.peer,
            client: client.as_deref(),
        });
    }
}

impl HttpBody for LoggedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
            self.request.sent_bytes = self.request.sent_bytes.saturating_add(bytes);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
