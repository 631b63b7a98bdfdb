//! Owns the span of a request over HTTP: what a trace tells of it.

use axum::{
    extract::Request,
    http::{Method, StatusCode},
};

use crate::{
    base::{AttributeValue, Done, SpanKind, Trace},
    model::trace_request,
    peer::PeerAddress,
    traces::Traces,
};

/// The methods that have a name. What a client makes up is not told.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::OPTIONS, Method::PUT, Method::DELETE, Method::PATCH];

/// A request that is traced until its answer begins, or its client goes away.
pub(super) struct TracedRequest {
    traces: Traces,
    trace: Trace,
    method: String,
    /// None for a path that is not served.
    route: Option<String>,
    status: Option<StatusCode>,
}

/// The name of `method`, if it has one.
pub(super) fn named(method: &Method) -> Option<&str> {
    METHODS.contains(method).then(|| method.as_str())
}

impl TracedRequest {
    /// `request` to `route`, if `traces` takes it. What is done for it from now on belongs to its trace.
    pub(super) fn begin(traces: &Traces, route: Option<&str>, request: &Request) -> Option<Self> {
        let peer = request.extensions().get::<PeerAddress>();
        let is_trusted = peer.is_some_and(|peer| peer.came_by_trusted_proxy());
        let trace = traces.begin(request.headers(), is_trusted)?;
        trace_request(trace.clone());
        let method = named(request.method()).unwrap_or("_OTHER").to_owned();
        Some(Self { traces: traces.clone(), trace, method, route: route.map(str::to_owned), status: None })
    }

    /// The id of its trace.
    pub(super) fn id(&self) -> String {
        self.trace.id()
    }

    /// It is answered with `status`.
    pub(super) fn answered(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for TracedRequest {
    fn drop(&mut self) {
        let method = std::mem::take(&mut self.method);
        let name = match &self.route {
            Some(route) => format!("{method} {route}"),
            None => method.clone(),
        };
        let is_error = self.status.is_some_and(|status| status.is_server_error());
        let mut attributes = vec![("http.request.method", AttributeValue::Text(method.into()))];
        if let Some(route) = self.route.take() {
            attributes.push(("http.route", AttributeValue::Text(route.into())));
        }
        if let Some(status) = self.status {
            attributes.push(("http.response.status_code", AttributeValue::Number(status.as_u16().into())));
            if is_error {
                attributes.push(("error.type", AttributeValue::Text(status.as_str().to_owned().into())));
            }
        }
        let done = Done { name: name.into(), kind: SpanKind::Server, is_error, attributes };
        self.traces.end(&self.trace, done);
    }
}
