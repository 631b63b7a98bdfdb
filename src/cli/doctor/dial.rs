//! Owns connecting to what is checked: by TLS, of which it keeps what was shown and whether that is good, or in plaintext.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{
            CryptoProvider, aws_lc_rs::default_provider, verify_tls12_signature, verify_tls13_signature,
        },
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use super::target::Target;
use crate::model::error::chain;

/// Makes connections.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    roots: Arc<RootCertStore>,
    /// How long each check may take.
    pub(super) patience: Duration,
}

/// A connection.
pub(super) struct Connected {
    pub(super) stream: Box<dyn Stream>,
    /// What TLS has shown, if it is spoken.
    pub(super) shown: Option<Shown>,
}

/// What bytes go over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

/// What the other side has shown by TLS.
#[derive(Debug)]
pub(super) struct Shown {
    /// What was agreed on by ALPN.
    pub(super) protocol: Option<String>,
    /// `TLSv1_3`, for example.
    pub(super) version: String,
    /// Its own certificate first.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// Why a client would refuse it.
    pub(super) problem: Option<TlsError>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Unreached {
    /// Nobody is there, or it is not TLS.
    Nobody(String),
    /// It took too long.
    Late(Duration),
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody(problem) => f.write_str(problem),
            Self::Late(patience) => write!(f, "no answer within {}", humantime::format_duration(*patience)),
        }
    }
}

impl Dialer {
    pub(super) fn new(roots: RootCertStore, patience: Duration) -> Self {
        Self { roots: Arc::new(roots), patience }
    }

    /// What `work` comes to, if it does so in time.
    pub(super) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, String>>,
    ) -> Result<T, Unreached> {
        match timeout(self.patience, work).await {
            Ok(done) => done.map_err(Unreached::Nobody),
            Err(_) => Err(Unreached::Late(self.patience)),
        }
    }

    /// A connection to `target`, which is offered `protocols` by ALPN.
    pub(super) async fn dial(&self, target: &Target, protocols: &[&str]) -> Result<Connected, Unreached> {
        self.in_time(self.connect(target, protocols)).await
    }

    async fn connect(&self, target: &Target, protocols: &[&str]) -> Result<Connected, String> {
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await;
        let stream = stream.map_err(|error| format!("no connection: {}", chain(&error)))?;
        // Each write is one packet, as clients of gRPC have it.
        let _ = stream.set_nodelay(true);
        if !target.speaks_tls {
            return Ok(Connected { stream: Box::new(stream), shown: None });
        }
        let name = ServerName::try_from(target.name.clone());
        let name = name.map_err(|_| format!("{} is no name of a server", target.name))?;
        let provider = Arc::new(default_provider());
        let verifier = Arc::new(Noting::new(&self.roots, provider.clone()));
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| chain(&error))?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier.clone());
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let stream = stream.map_err(|error| format!("no TLS: {}", chain(&error)))?;
        let session = stream.get_ref().1;
        let text = |protocol: &[u8]| String::from_utf8_lossy(protocol).into_owned();
        let shown = Shown {
            protocol: session.alpn_protocol().map(text),
            version: session.protocol_version().map_or_else(String::new, |version| format!("{version:?}")),
            certificates: session.peer_certificates().unwrap_or_default().to_vec(),
            problem: verifier.problem.lock().unwrap_or_else(PoisonError::into_inner).take(),
        };
        Ok(Connected { stream: Box::new(stream), shown: Some(shown) })
    }
}

/// Notes why a certificate is not good, and goes on: what else is wrong is to be seen in the same run. Nothing secret is sent over such a
/// connection.
#[derive(Debug)]
struct Noting {
    /// None if no authority is known.
    verifier: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    problem: Mutex<Option<TlsError>>,
}

impl Noting {
    fn new(roots: &Arc<RootCertStore>, provider: Arc<CryptoProvider>) -> Self {
        let builder = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone());
        Self { verifier: builder.build().ok(), provider, problem: Mutex::default() }
    }
}

impl ServerCertVerifier for Noting {
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
