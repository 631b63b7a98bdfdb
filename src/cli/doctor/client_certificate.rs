//! Owns reading the certificate that the doctor shows where clients must show one.

use std::path::Path;

use tokio_rustls::rustls::{
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use crate::{cli::Failure, files::read_text, model::error::chain};

/// The certificate in the file `cert`, with its private key in the file `key`.
///
/// # Errors
/// If a file cannot be read, or the two do not belong together.
pub(super) fn read(cert: &Path, key: &Path) -> Result<CertifiedKey, Failure> {
    let unusable = |flag: &str, path: &Path, problem: &str| {
        Failure::Usage(format!("{flag}: {} {problem}", path.display()))
    };
    let text = |flag, path| read_text(path).map_err(|error| Failure::of_input(flag, path, &error));
    let (shown, secret) = (text("--tls-client-cert", cert)?, text("--tls-client-key", key)?);
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(shown.as_bytes()).collect();
    let certificates = read.ok().filter(|certificates| !certificates.is_empty());
    let certificates =
        certificates.ok_or_else(|| unusable("--tls-client-cert", cert, "holds no certificate in PEM"))?;
    let secret = PrivateKeyDer::from_pem_slice(secret.as_bytes())
        .map_err(|_| unusable("--tls-client-key", key, "holds no private key in PEM"))?;
    CertifiedKey::from_der(certificates, secret, &default_provider())
        .map_err(|error| unusable("--tls-client-key", key, &format!("cannot be used: {}", chain(&error))))
}
