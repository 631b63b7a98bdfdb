//! Owns what the files of TLS hold: reading them, and checking whether they belong together.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::digest::{Context, SHA256};
use tokio_rustls::rustls::{
    self, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs::default_provider},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    time_provider::TimeProvider,
};
use zeroize::Zeroizing;

use super::{Listener, files};
use crate::{
    base::{Clock, Timestamp},
    config::{ConfigError, TlsFiles},
    peer,
};

/// What ALPN (RFC 7301) offers: HTTP/2 first, and HTTP/1.1.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What checks the certificates of clients.
type ClientVerifier = Arc<dyn ClientCertVerifier>;

/// The bytes of the files.
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

/// What can be used for handshakes.
#[derive(Debug)]
pub(super) struct Material {
    grpc: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
    /// Of the files that it was made of.
    pub(super) digest: [u8; 32],
    /// From when the server's certificate is valid.
    pub(super) valid_from: Timestamp,
    /// Until when it is.
    pub(super) expire_time: Timestamp,
    /// Whether it was told that clients will refuse it.
    warned: AtomicBool,
}

/// The time by which certificates are checked.
#[derive(Debug)]
struct ClockTime(Clock);

impl Contents {
    /// Reads `files`.
    ///
    /// # Errors
    /// If one cannot be read.
    pub(super) fn read(files: &TlsFiles) -> Result<Self, ConfigError> {
        let ca = files.client_ca.as_deref();
        Ok(Self {
            cert: read("--tls-cert", &files.cert)?,
            key: read("--tls-key", &files.key)?.into(),
            client_ca: ca.map(|ca| read("--tls-client-ca", ca)).transpose()?,
        })
    }

    /// A digest, to notice changed files without keeping keys.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        for file in [&self.cert, &*self.key, self.client_ca.as_ref().unwrap_or(&Vec::new())] {
            context.update(&(file.len() as u64).to_be_bytes());
            context.update(file);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }

    /// What they give for handshakes, checked by `clock`. `files` name them in what is said.
    ///
    /// # Errors
    /// If they are not what they should be, or do not belong together.
    pub(super) fn build(self, files: &TlsFiles, clock: &Clock) -> Result<Material, ConfigError> {
        let digest = self.digest();
        let chain = certificates("--tls-cert", &files.cert, &self.cert)?;
        let (valid_from, expire_time) = peer::validity(&chain[0]).map_err(|error| {
            refused("--tls-cert", &files.cert, &format!("holds no certificate that can be read: {error}"))
        })?;
        let provider = Arc::new(default_provider());
        let verifiers = match (&files.client_ca, &self.client_ca) {
            (Some(path), Some(ca)) => Some(client_verifiers(path, ca, &provider)?),
            _ => None,
        };
        let (required, optional) = verifiers.unzip();
        let config = |verifier| {
            let key = private_key(files, &self.key)?;
            server_config(chain.clone(), key, verifier, &provider, clock).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => refused(
                    "--tls-key",
                    &files.key,
                    &format!("is not the key of the certificate in {}", files.cert.display()),
                ),
                error => refused("--tls-cert", &files.cert, &format!("and its key cannot be used: {error}")),
            })
        };
        Ok(Material {
            grpc: config(required)?,
            http: config(optional)?,
            digest,
            valid_from,
            expire_time,
            warned: AtomicBool::new(false),
        })
    }
}

impl Material {
    /// What `listener` shakes hands with.
    pub(super) fn of(&self, listener: Listener) -> Arc<ServerConfig> {
        Arc::clone(match listener {
            Listener::Grpc => &self.grpc,
            Listener::Http => &self.http,
        })
    }

    /// Warns of a certificate that clients refuse at the time `now`, once.
    pub(super) fn warn_once_of_times(&self, now: Timestamp) {
        let problem = if now > self.expire_time {
            "the TLS certificate has expired: clients will refuse it"
        } else if now < self.valid_from {
            "the TLS certificate is not valid yet: clients will refuse it"
        } else {
            return;
        };
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(valid_from = %self.valid_from, expires = %self.expire_time, "{problem}");
        }
    }
}

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let since_epoch = Duration::from_millis(self.0.now().as_millis());
        Some(UnixTime::since_unix_epoch(since_epoch))
    }
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    verifier: Option<ClientVerifier>,
    provider: &Arc<CryptoProvider>,
    clock: &Clock,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let time = Arc::new(ClockTime(clock.clone()));
    let builder = ServerConfig::builder_with_details(Arc::clone(provider), time)
        .with_safe_default_protocol_versions()?;
    let mut config = match verifier {
        Some(verifier) => {
            let mut config = builder.with_client_cert_verifier(verifier).with_single_cert(chain, key)?;
            // A session that is taken up again shows no certificate: what was believed once would be believed for hours, whatever has
            // become of it since.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            config
        }
        None => builder.with_no_client_auth().with_single_cert(chain, key)?,
    };
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}

/// What checks the certificates of clients by the authorities in `pem`: where there must be one, and where there may.
fn client_verifiers(
    path: &Path,
    pem: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<(ClientVerifier, ClientVerifier), ConfigError> {
    let refuse = |problem: &str| refused("--tls-client-ca", path, problem);
    let mut roots = RootCertStore::empty();
    for certificate in certificates("--tls-client-ca", path, pem)? {
        roots
            .add(certificate)
            .map_err(|error| refuse(&format!("holds an authority that cannot be used: {error}")))?;
    }
    let roots = Arc::new(roots);
    let builder = || WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider));
    let unusable = |error: rustls::server::VerifierBuilderError| refuse(&format!("cannot be used: {error}"));
    let required = builder().build().map_err(unusable)?;
    let optional = builder().allow_unauthenticated().build().map_err(unusable)?;
    Ok((required, optional))
}

/// The certificates of `pem`, at least one.
fn certificates(
    setting: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(refused(setting, path, "holds no certificate in PEM")),
        Err(error) => Err(refused(setting, path, &format!("is no PEM: {error}"))),
    }
}

/// The private key in `pem`: PKCS #8, SEC 1 or PKCS #1.
fn private_key(files: &TlsFiles, pem: &[u8]) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let is_encrypted = pem.windows(b"ENCRYPTED".len()).any(|window| window == b"ENCRYPTED");
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let problem = if is_encrypted {
            "is encrypted: nobody could type its passphrase when the service starts, so write it without one"
        } else {
            "holds no private key in PEM"
        };
        refused("--tls-key", &files.key, problem)
    })
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    files::read(path).map_err(|error| match error.raw_os_error() {
        Some(_) => ConfigError::unreadable(setting, path, &error),
        None => refused(setting, path, &error.to_string()),
    })
}

fn refused(setting: &'static str, path: &Path, problem: &str) -> ConfigError {
    ConfigError::new(setting, format!("{} {problem}", path.display()))
}
