//! Owns asking the service at its operations address, on this machine.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio_rustls::rustls::{ClientConfig, Error as TlsError, crypto::aws_lc_rs::default_provider};

use super::noted_certificate::NotedCertificate;
use crate::model::error::chain;

/// The status, and the text that is told with it, if it has no more than `most_bytes`; else nothing.
pub(super) async fn ask(
    addr: SocketAddr,
    speaks_tls: bool,
    path: &str,
    most_bytes: usize,
) -> Result<(StatusCode, String), String> {
    let scheme = if speaks_tls { "https" } else { "http" };
    let uri: Uri = format!("{scheme}://{addr}{path}").parse().map_err(|error| format!("{error}"))?;
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(any_certificate().map_err(|error| chain(&error))?)
        .https_or_http()
        .enable_http1()
        .build();
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<&[u8]>>(connector);
    let answer = client.get(uri).await.map_err(|error| chain(&error))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), most_bytes).collect().await;
    // What a program says that is no Signet may be anything.
    let told = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
    Ok((status, told))
}

/// A server that listens on every address is asked on this machine's own.
pub(super) fn reachable(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    addr
}

/// TLS with a server that shows any certificate. A probe tells no secret and asks an address of its own machine. And it must not verify the
/// certificate: where the files have been replaced by some that cannot be used, the service goes on with what it has, and a probe that
/// compared would have every replica taken out at once.
fn any_certificate() -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(default_provider());
    let any = NotedCertificate::of_any(provider.clone());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(any)).with_no_client_auth())
}
