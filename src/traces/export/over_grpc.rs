//! Owns sending traces by gRPC.

use std::io;

use http::{HeaderName, HeaderValue, Uri};
use rustls::RootCertStore;
use tonic::{
    Request,
    metadata::MetadataMap,
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use super::{ANSWER_MAX_BYTES, own_roots, taken};
use crate::{
    model::error,
    proto::opentelemetry::proto::collector::trace::v1::{
        ExportTraceServiceRequest, trace_service_client::TraceServiceClient,
    },
};

/// A collector that speaks gRPC.
pub(super) struct GrpcCollector {
    client: TraceServiceClient<Channel>,
    metadata: MetadataMap,
}

impl GrpcCollector {
    /// Nothing is connected yet: each request tries where nothing is.
    pub(super) fn new(
        endpoint: &Uri,
        headers: Vec<(HeaderName, HeaderValue)>,
        roots: Option<RootCertStore>,
    ) -> io::Result<Self> {
        let is_tls = endpoint.scheme_str() == Some("https");
        let endpoint = Endpoint::from(endpoint.clone())
            .user_agent(concat!("signet/", env!("CARGO_PKG_VERSION")))
            .map_err(io::Error::other)?;
        let endpoint = if is_tls {
            let roots = roots.unwrap_or_else(own_roots).roots;
            endpoint.tls_config(ClientTlsConfig::new().trust_anchors(roots)).map_err(io::Error::other)?
        } else {
            endpoint
        };
        let client =
            TraceServiceClient::new(endpoint.connect_lazy()).max_decoding_message_size(ANSWER_MAX_BYTES);
        Ok(Self { client, metadata: MetadataMap::from_headers(headers.into_iter().collect()) })
    }

    pub(super) async fn send(&mut self, request: ExportTraceServiceRequest) -> Result<(), String> {
        let mut request = Request::new(request);
        *request.metadata_mut() = self.metadata.clone();
        // What a collector says besides the code may be anything.
        let answered = self.client.export(request).await.map_err(|status| {
            let cause = std::error::Error::source(&status).map(error::chain);
            format!("{:?}{}", status.code(), cause.map(|cause| format!(": {cause}")).unwrap_or_default())
        })?;
        taken(answered.get_ref())
    }
}
