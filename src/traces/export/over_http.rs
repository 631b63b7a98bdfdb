//! Owns sending traces by HTTP.

use std::{io, sync::Arc};

use http::{HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use prost::Message;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

use super::{ANSWER_MAX_BYTES, own_roots, taken};
use crate::{
    model::error,
    proto::opentelemetry::proto::collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
    },
};

/// A collector that speaks HTTP.
pub(super) struct HttpCollector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    endpoint: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl HttpCollector {
    pub(super) fn new(
        endpoint: Uri,
        headers: Vec<(HeaderName, HeaderValue)>,
        roots: Option<RootCertStore>,
    ) -> io::Result<Self> {
        let is_tls = endpoint.scheme_str() == Some("https");
        let roots = if is_tls { roots.unwrap_or_else(own_roots) } else { RootCertStore::empty() };
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls);
        let connector = if is_tls { connector.https_only() } else { connector.https_or_http() };
        let client = Client::builder(TokioExecutor::new()).build(connector.enable_http1().build());
        Ok(Self { client, endpoint, headers })
    }

    pub(super) async fn send(&mut self, request: ExportTraceServiceRequest) -> Result<(), String> {
        let mut builder = Request::post(self.endpoint.clone())
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .header(header::USER_AGENT, concat!("signet/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        let request =
            builder.body(Full::from(request.encode_to_vec())).map_err(|problem| problem.to_string())?;
        let answer = self.client.request(request).await.map_err(|problem| error::chain(&problem))?;
        // Redirects are not followed: whoever is meant is named.
        if !answer.status().is_success() {
            return Err(format!("it answered {}", answer.status()));
        }
        // Read to its end, so that the connection can be used again.
        let read = Limited::new(answer.into_body(), ANSWER_MAX_BYTES).collect().await;
        let read = read.map_err(|problem| problem.to_string())?.to_bytes();
        // The status has said that it is taken: some answer with other words than OTLP has.
        ExportTraceServiceResponse::decode(read).map_or(Ok(()), |answered| taken(&answered))
    }
}
