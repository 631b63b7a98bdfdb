//! Owns measuring calls, and telling of them, to the log and to the client: outermost, so that what any layer refuses is
//! measured, and tells its request, too.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use ahash::HashMap;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use prost_reflect::{DescriptorPool, MethodDescriptor};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::{logged_call::LoggedCall, traced_call::TracedCall};
use crate::{
    base::Clock,
    errors::{CallFailure, FailureLog, tell_request_id, told_reason},
    metrics::{CallMetrics, MethodMetrics},
    model::{RequestId, current_request},
    observe::RequestLog,
    traces::Traces,
};

/// Measures the calls of a gRPC service.
#[derive(Clone, Debug)]
pub(crate) struct MeterLayer {
    meter: Arc<CallMeter>,
    told: Told,
}

/// Whom the calls of one listener are told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) failures: FailureLog,
    /// None if it is off.
    pub(crate) requests: Option<RequestLog>,
    /// None if no traces leave.
    pub(crate) traces: Option<Traces>,
}

#[derive(Debug)]
struct CallMeter {
    /// By path: `/package.Service/Method`.
    methods: HashMap<String, Arc<MeteredMethod>>,
    /// For every path that is none of them: what a client makes up must not make a series.
    unknown: Arc<MeteredMethod>,
    clock: Clock,
}

#[derive(Debug)]
struct MeteredMethod {
    path: String,
    metrics: MethodMetrics,
}

/// A gRPC service whose calls are measured.
#[derive(Clone, Debug)]
pub(crate) struct MeterService<Inner> {
    meter: Arc<CallMeter>,
    told: Told,
    inner: Inner,
}

/// A call that has begun. Dropped before its end is known, it was given up by the client.
#[derive(Debug)]
struct MeteredCall {
    method: Arc<MeteredMethod>,
    clock: Clock,
    begun: Duration,
    ended: bool,
    /// None in a test without a connection.
    request_id: Option<RequestId>,
    /// Why it is refused, or fails, as the client is told.
    reason: Option<&'static str>,
    logged: Option<Box<LoggedCall>>,
    traced: Option<TracedCall>,
}

/// The body of an answer whose end is the end of the call.
#[derive(Debug, Default)]
pub(crate) struct MeteredBody {
    inner: Body,
    /// None once the call has ended.
    call: Option<MeteredCall>,
}

/// What measures a call until its answer begins.
pub(crate) type MeteredFuture<E> = Pin<Box<dyn Future<Output = Result<Response<MeteredBody>, E>> + Send>>;

/// A body that another one measures, or that is of no call.
impl From<Body> for MeteredBody {
    fn from(inner: Body) -> Self {
        Self { inner, call: None }
    }
}

impl MeterLayer {
    /// Measures the methods of every service that is `described`, and tells `told` of their calls.
    pub(crate) fn new(metrics: &CallMetrics, clock: Clock, told: Told, described: &[DescriptorPool]) -> Self {
        let mut methods = HashMap::default();
        for pool in described {
            for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
                let service = method.parent_service().full_name().to_owned();
                let path = format!("/{service}/{}", method.name());
                let metrics = metrics.method(kind(&method), &service, method.name());
                methods.insert(path.clone(), Arc::new(MeteredMethod { path, metrics }));
            }
        }
        let metrics = metrics.method("unknown", "unknown", "unknown");
        let unknown = Arc::new(MeteredMethod { path: "unknown".to_owned(), metrics });
        Self { meter: Arc::new(CallMeter { methods, unknown, clock }), told }
    }

    /// The same, for another listener.
    pub(crate) fn telling(&self, told: Told) -> Self {
        Self { meter: Arc::clone(&self.meter), told }
    }
}

fn kind(method: &MethodDescriptor) -> &'static str {
    match (method.is_client_streaming(), method.is_server_streaming()) {
        (false, false) => "unary",
        (true, false) => "client_stream",
        (false, true) => "server_stream",
        (true, true) => "bidi_stream",
    }
}

impl CallMeter {
    fn begin<B>(&self, request: &mut Request<B>, told: &Told) -> MeteredCall {
        let path = request.uri().path();
        let method = Arc::clone(self.methods.get(path).unwrap_or(&self.unknown));
        method.metrics.begin();
        let request_id = request.extensions().get().copied();
        let traced = told.traces.as_ref().and_then(|traces| TracedCall::begin(traces, request));
        let logged = told.requests.as_ref().map(|log| Box::new(LoggedCall::begin(log, request)));
        let (clock, begun) = (self.clock.clone(), self.clock.monotonic());
        MeteredCall { method, clock, begun, ended: false, request_id, reason: None, logged, traced }
    }
}

impl MeteredCall {
    fn end(&mut self, code: Code) {
        if !std::mem::replace(&mut self.ended, true) {
            let took = self.clock.monotonic().saturating_sub(self.begun);
            self.method.metrics.end(code as usize, self.reason, took);
            if let Some(logged) = &self.logged {
                let trace_id = self.traced.as_ref().map(TracedCall::id);
                logged.tell(&self.method.path, code, took, (self.request_id, trace_id.as_deref()));
            }
            if let Some(traced) = &self.traced {
                traced.end(&self.method.path, code);
            }
        }
    }

    /// The answer begins. For Envoy's question the id is that of the request asked about by now, as in the lines of the log.
    fn answered(&mut self) {
        self.request_id = current_request().or(self.request_id);
    }

    /// The call ends with the status in `headers`, of its answer or trailers. Has the error, if there is one, tell which request it is
    /// about.
    fn ends_with(&mut self, headers: &mut HeaderMap) {
        if let Some(logged) = &mut self.logged {
            logged.ends_with(headers);
        }
        if let Some(id) = self.request_id {
            tell_request_id(headers, id.as_str());
        }
    }
}

impl Drop for MeteredCall {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// The code in headers or trailers, if they have one.
fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()))
}

impl HttpBody for MeteredBody {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let (Some(Ok(frame)), Some(call)) = (&mut frame, &mut self.call) {
            if let Some(trailers) = frame.trailers_mut() {
                call.ends_with(trailers);
            } else if let (Some(data), Some(logged)) = (frame.data_ref(), &mut call.logged) {
                logged.sent(data.len());
            }
        }
        let ended = match &frame {
            Some(Ok(frame)) => frame.trailers_ref().map(|trailers| code(trailers).unwrap_or(Code::Unknown)),
            Some(Err(_)) => Some(Code::Internal),
            None => Some(Code::Unknown),
        };
        if let Some(code) = ended
            && let Some(mut call) = self.call.take()
        {
            call.end(code);
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

// ===== the plumbing of tower =====

impl<Inner> Layer<Inner> for MeterLayer {
    type Service = MeterService<Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        MeterService { meter: Arc::clone(&self.meter), told: self.told.clone(), inner }
    }
}

impl<Inner, B> Service<Request<B>> for MeterService<Inner>
where
    Inner: Service<Request<B>, Response = Response<Body>>,
    Inner::Future: Send + 'static,
{
    type Response = Response<MeteredBody>;
    type Error = Inner::Error;
    type Future = MeteredFuture<Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let mut call = self.meter.begin(&mut request, &self.told);
        let failures = self.told.failures.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let (mut head, inner) = answer.await?.into_parts();
            let status = head.extensions.get::<Status>();
            call.reason = status.and_then(told_reason);
            if let Some(failure) = status.and_then(CallFailure::of_status) {
                failures.tell(&call.method.path, failure);
            }
            call.answered();
            // An answer without a message has its status among its headers.
            let call = match code(&head.headers) {
                Some(code) => {
                    call.ends_with(&mut head.headers);
                    call.end(code);
                    None
                }
                None => Some(call),
            };
            Ok(Response::from_parts(head, MeteredBody { inner, call }))
        })
    }
}
