//! Owns the span of a call: what a trace tells of it.

use http::Request;
use tonic::Code;

use crate::{
    base::{AttributeValue, Done, SpanKind, Trace},
    model::trace_request,
    peer::PeerAddress,
    traces::Traces,
};

/// What a method is called that is none of this service's: what a client makes up is not told.
const OTHER: &str = "_OTHER";

/// The status codes of gRPC by their numbers, as OpenTelemetry writes them.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// A call that is traced.
#[derive(Debug)]
pub(super) struct TracedCall {
    traces: Traces,
    trace: Trace,
}

impl TracedCall {
    /// `request`, if `traces` takes it. What is done for it from now on belongs to its trace.
    pub(super) fn begin<B>(traces: &Traces, request: &Request<B>) -> Option<Self> {
        let peer = request.extensions().get::<PeerAddress>();
        let is_trusted = peer.is_some_and(|peer| peer.came_by_trusted_proxy());
        let trace = traces.begin(request.headers(), is_trusted)?;
        trace_request(trace.clone());
        Some(Self { traces: traces.clone(), trace })
    }

    /// The id of its trace.
    pub(super) fn id(&self) -> String {
        self.trace.id()
    }

    /// The call of the method at `path` has ended with `code`.
    pub(super) fn end(&self, path: &str, code: Code) {
        let method = path.strip_prefix('/').map_or_else(|| OTHER.to_owned(), str::to_owned);
        let name = CODES.get(code as usize).copied().unwrap_or("UNKNOWN");
        // Of the others it is the caller that is at fault.
        let is_error = matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        );
        let text = |value: &'static str| AttributeValue::Text(value.into());
        let mut attributes = vec![
            ("rpc.system.name", text("grpc")),
            ("rpc.method", AttributeValue::Text(method.clone().into())),
            ("rpc.response.status_code", text(name)),
        ];
        if is_error {
            attributes.push(("error.type", text(name)));
        }
        let done = Done { name: method.into(), kind: SpanKind::Server, is_error, attributes };
        self.traces.end(&self.trace, done);
    }
}
