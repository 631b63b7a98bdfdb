//! Owns connecting to what is checked: by TLS, of which it keeps what was shown and whether that is good, or in plaintext.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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
        ClientConfig, Error as TlsError, InvalidMessage, RootCertStore, SignatureScheme,
        client::ResolvesClientCert,
        crypto::aws_lc_rs::default_provider,
        pki_types::{CertificateDer, ServerName},
        sign::CertifiedKey,
    },
};

use super::target::Target;
use crate::{cli::noted_certificate::NotedCertificate, model::error::chain};

/// Makes connections.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    roots: Arc<RootCertStore>,
    /// What is shown to whoever asks for the certificate of a client.
    own: Option<Arc<CertifiedKey>>,
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
    /// Whether it has asked for the certificate of the client.
    pub(super) asks_certificate: bool,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Unreached {
    /// Nobody is there, or it is not TLS.
    Nobody(String),
    /// It took too long.
    Late(Duration),
    /// Clients must show a certificate, and there is none to show.
    NoCertificate,
    /// It answers TLS without TLS.
    Plaintext,
    /// It answers plaintext by TLS.
    Tls,
    /// It answers HTTP/1.1 by HTTP/2.
    Http2,
}

impl From<String> for Unreached {
    fn from(problem: String) -> Self {
        Self::Nobody(problem)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody(problem) => f.write_str(problem),
            Self::Late(patience) => write!(f, "no answer within {}", humantime::format_duration(*patience)),
            Self::NoCertificate => {
                f.write_str("clients must show a certificate there, and --tls-client-cert names none")
            }
            Self::Plaintext => f.write_str("it speaks without TLS"),
            Self::Tls => f.write_str("it speaks TLS"),
            Self::Http2 => f.write_str("it speaks HTTP/2 alone"),
        }
    }
}

impl Unreached {
    /// Whether nobody is there, as far as is known.
    pub(super) const fn is_silence(&self) -> bool {
        matches!(self, Self::Nobody(_) | Self::Late(_))
    }

    /// What mends it, where that is known of itself.
    pub(super) const fn mend(&self) -> Option<&'static str> {
        match self {
            Self::Nobody(_) | Self::Late(_) => None,
            Self::NoCertificate => {
                Some("`--tls-client-cert` and `--tls-client-key`, or no certificate asked for there")
            }
            Self::Plaintext => Some("ask by `http://`; or `--tls-cert`, or TLS at the proxy in front"),
            Self::Tls => Some("ask by `https://`"),
            Self::Http2 => Some(
                "a port of its own for HTTP/1.1: nginx does not speak both without TLS at a `listen ... http2`",
            ),
        }
    }
}

impl Dialer {
    /// One that believes `roots`, and shows `own` where a certificate is asked for.
    pub(super) fn new(roots: RootCertStore, own: Option<CertifiedKey>, patience: Duration) -> Self {
        Self { roots: Arc::new(roots), own: own.map(Arc::new), patience }
    }

    /// Whether there is a certificate to show.
    pub(super) const fn has_certificate(&self) -> bool {
        self.own.is_some()
    }

    /// What `work` comes to, if it does so in time.
    pub(super) async fn in_time<T, E: Into<Unreached>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Unreached> {
        match timeout(self.patience, work).await {
            Ok(done) => done.map_err(E::into),
            Err(_) => Err(Unreached::Late(self.patience)),
        }
    }

    /// A connection to `target`, which is offered `protocols` by ALPN.
    pub(super) async fn dial(&self, target: &Target, protocols: &[&str]) -> Result<Connected, Unreached> {
        self.in_time(self.connect(target, protocols)).await
    }

    async fn connect(&self, target: &Target, protocols: &[&str]) -> Result<Connected, Unreached> {
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
        let verifier = Arc::new(NotedCertificate::verified_by(&self.roots, provider.clone()));
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| chain(&error))?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier.clone());
        let showing = Arc::new(Showing { own: self.own.clone(), is_asked: AtomicBool::default() });
        let mut config = builder.with_client_cert_resolver(showing.clone());
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let asks_certificate = showing.is_asked.load(Ordering::Relaxed);
        let stream = match stream {
            // In TLS 1.2 nobody goes on without one who needs it; in TLS 1.3 that is seen when something is asked.
            Err(_) if asks_certificate && self.own.is_none() => return Err(Unreached::NoCertificate),
            Err(error) if is_plaintext(&error) => return Err(Unreached::Plaintext),
            stream => stream.map_err(|error| format!("no TLS: {}", chain(&error)))?,
        };
        let session = stream.get_ref().1;
        let text = |protocol: &[u8]| String::from_utf8_lossy(protocol).into_owned();
        let shown = Shown {
            protocol: session.alpn_protocol().map(text),
            version: session.protocol_version().map_or_else(String::new, |version| format!("{version:?}")),
            certificates: session.peer_certificates().unwrap_or_default().to_vec(),
            problem: verifier.problem(),
            asks_certificate,
        };
        Ok(Connected { stream: Box::new(stream), shown: Some(shown) })
    }
}

/// Whether what was answered to TLS is none.
fn is_plaintext(error: &io::Error) -> bool {
    let problem = error.get_ref().and_then(|source| source.downcast_ref::<TlsError>());
    matches!(problem, Some(TlsError::InvalidMessage(InvalidMessage::InvalidContentType)))
}

/// Shows a certificate, if there is one, and notes that it was asked for.
#[derive(Debug)]
struct Showing {
    own: Option<Arc<CertifiedKey>>,
    is_asked: AtomicBool,
}

impl ResolvesClientCert for Showing {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.is_asked.store(true, Ordering::Relaxed);
        self.own.clone()
    }

    fn has_certs(&self) -> bool {
        self.own.is_some()
    }
}
