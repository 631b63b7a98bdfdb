//! Owns going on with a server by TLS whose certificate is not good, and noting why it is not. Nothing secret is sent over such a
//! connection.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_rustls::rustls::{
    DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// Accepts whatever certificate a server shows that has its key.
#[derive(Debug)]
pub(super) struct NotedCertificate {
    /// None if no authority is known.
    verifier: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    problem: Mutex<Option<TlsError>>,
}

impl NotedCertificate {
    /// Of a server that should have a certificate of one of these `roots`.
    pub(super) fn verified_by(roots: &Arc<RootCertStore>, provider: Arc<CryptoProvider>) -> Self {
        let builder = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone());
        Self { verifier: builder.build().ok(), provider, problem: Mutex::default() }
    }

    /// Of a server whose certificate does not matter.
    pub(super) fn of_any(provider: Arc<CryptoProvider>) -> Self {
        Self { verifier: None, provider, problem: Mutex::default() }
    }

    /// Why the certificate that was shown is not good, told once.
    pub(super) fn problem(&self) -> Option<TlsError> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ServerCertVerifier for NotedCertificate {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let verified = match &self.verifier {
            Some(verifier) => verifier.verify_server_cert(certificate, issuers, name, ocsp, now),
            None => Err(TlsError::General("this machine knows no certification authority".to_owned())),
        };
        if let Err(problem) = verified {
            *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
