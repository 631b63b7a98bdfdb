//! Owns asking this service over TLS, from the machine that it runs on: for `signet healthcheck`.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{
            WebPkiSupportedAlgorithms, aws_lc_rs::default_provider, verify_tls12_signature,
            verify_tls13_signature,
        },
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use super::material::{Contents, certificates, private_key};
use crate::config::{ConfigError, TlsConfig};

/// Connects to a service that has the same files.
#[derive(Clone)]
pub struct Probe(TlsConnector);

/// Believes one certificate, whatever names and times are in it: the one that the service is configured to show.
#[derive(Debug)]
struct Exactly {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Probe {
    /// How to ask the service that `config` makes; none if that speaks no TLS. Where the service asks for a certificate, its own is
    /// shown.
    ///
    /// # Errors
    /// If a setting is missing, or a file cannot be read or used.
    pub fn new(config: &TlsConfig) -> Result<Option<Self>, ConfigError> {
        let Some(files) = config.files()? else { return Ok(None) };
        let (cert, key) = Contents::read(&files)?.into_cert_and_key();
        let chain = certificates("--tls-cert", &files.cert, &cert)?;
        let provider = Arc::new(default_provider());
        let exactly =
            Exactly { certificate: chain[0].clone(), algorithms: provider.signature_verification_algorithms };
        let unusable = |error: Error| ConfigError::new("--tls-cert", format!("it cannot be used: {error}"));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(exactly));
        let mut client = match &files.client_ca {
            Some(_) => builder.with_client_auth_cert(chain, private_key(&files, &key)?).map_err(unusable)?,
            None => builder.with_no_client_auth(),
        };
        client.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Some(Self(TlsConnector::from(Arc::new(client)))))
    }

    /// A connection to `addr`.
    ///
    /// # Errors
    /// If there is none to be had, or another certificate is shown.
    pub async fn connect(&self, addr: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(addr).await?;
        self.0.connect(ServerName::IpAddress(addr.ip().into()), stream).await
    }
}

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::General("it shows another certificate than the one in --tls-cert".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
