//! Owns `signet healthcheck`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{
        WebPkiSupportedAlgorithms, aws_lc_rs::default_provider, verify_tls12_signature,
        verify_tls13_signature,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{CommandReason, Failure, Output};
use crate::{config::Config, model::error::chain};

/// How long the answer may take: container probes give a second or a few.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How much of the answer is read.
const MOST_TOLD_BYTES: usize = 1_024;

/// Asks `/readyz`. Not `grpc.health.v1`, which says the same: with `--tls-client-ca` that takes a certificate, which a probe does not
/// have.
pub(super) async fn run(config: &Config, output: Output) -> Result<(), Failure> {
    let speaks_tls = config.tls.files().map_err(|error| Failure::Usage(error.to_string()))?.is_some();
    let addrs = addrs(config);
    let share = TIMEOUT / u32::try_from(addrs.len()).unwrap_or(1);
    let mut problems = Vec::new();
    for addr in addrs.into_iter().map(reachable) {
        let until = Instant::now() + share;
        let status = timeout_at(until, ask(addr, speaks_tls))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {share:?}")));
        let problem = match status {
            Ok((StatusCode::OK, _)) => {
                return output.answer(&format!("{addr} serves."), &json!({ "status": "SERVING" }));
            }
            Ok((StatusCode::SERVICE_UNAVAILABLE, told)) => {
                let cause =
                    told.strip_prefix("not ready: ").map_or_else(String::new, |cause| format!(": {cause}"));
                return Err(Failure::because(
                    CommandReason::NotServing,
                    format!("{addr} does not serve: it is not ready{cause}"),
                ));
            }
            Ok((other, _)) => format!("it answers {other}"),
            Err(_) if matches!(timeout_at(until, ask(addr, !speaks_tls)).await, Ok(Ok(_))) => {
                let differs = if speaks_tls {
                    "it speaks plaintext, and the settings here have --tls-cert"
                } else {
                    "it speaks TLS, and the settings here have no --tls-cert"
                };
                differs.to_owned()
            }
            Err(problem) => problem,
        };
        problems.push(format!("{addr} does not serve: {problem}"));
    }
    let problems = problems.join("; ");
    Err(Failure::because(
        CommandReason::NotServing,
        format!("{problems} (this command needs the service's settings: where it listens, and TLS)"),
    ))
}

/// Where to ask, one after the other until one says whether it serves. Where nothing is set, the service may have had to start
/// without its operations address; and where it took any free port, nobody here knows which.
fn addrs(config: &Config) -> Vec<SocketAddr> {
    let operations = config.operations.addr().filter(|addr| addr.port() != 0);
    let http = if config.operations.operations_addr.is_some() && operations.is_some() {
        None
    } else {
        Some(config.http_addr)
    };
    operations.into_iter().chain(http).collect()
}

/// The status, and the first line of what is told with it.
async fn ask(addr: SocketAddr, speaks_tls: bool) -> Result<(StatusCode, String), String> {
    let scheme = if speaks_tls { "https" } else { "http" };
    let uri: Uri = format!("{scheme}://{addr}/readyz").parse().map_err(|error| format!("{error}"))?;
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(any_certificate().map_err(|error| chain(&error))?)
        .https_or_http()
        .enable_http1()
        .build();
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<&[u8]>>(connector);
    let answer = client.get(uri).await.map_err(|error| chain(&error))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MOST_TOLD_BYTES).collect().await;
    // What it says besides, a program that is no Signet may not say.
    let told = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
    Ok((status, told.lines().next().unwrap_or_default().to_owned()))
}

/// A server that listens on every address is asked on this machine's own.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    addr
}

/// TLS with a server that shows any certificate.
fn any_certificate() -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(default_provider());
    let any = AnyCertificate(provider.signature_verification_algorithms);
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(any)).with_no_client_auth())
}

/// Accepts whatever certificate is shown. A probe tells no secret and asks an address of its own machine. And it must not verify the
/// certificate: where the files have been replaced by some that cannot be used, the service goes on with what it has, and a probe that
/// compared would have every replica taken out at once.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
