//! Owns what tracing is set by, as values.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};
use rustls::RootCertStore;

use super::Sampler;

/// Where traces go, and which.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// The collector: scheme, host and port, and over HTTP the path.
    pub endpoint: Uri,
    /// What it speaks.
    pub protocol: Protocol,
    /// What is sent with each request: they may be secrets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long one request may take.
    pub timeout: Duration,
    /// The authorities that its certificate must come from. None: those that this machine knows.
    pub roots: Option<RootCertStore>,
    /// Which requests are traced.
    pub sampler: Sampler,
}

/// What a collector speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP/1.1, as protobuf.
    Http,
}

/// What all traces of this process are of: names and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource(pub Vec<(String, String)>);

impl Resource {
    /// The same with `value` for `name`, unless there is one already.
    #[must_use]
    pub fn or(mut self, name: &str, value: impl Into<String>) -> Self {
        if !self.0.iter().any(|(other, _)| other == name) {
            self.0.push((name.to_owned(), value.into()));
        }
        self
    }
}
