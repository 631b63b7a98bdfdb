//! Owns the settings of TLS: the server's certificate, and whose certificates are believed.

use std::path::PathBuf;

use clap::Args;

use super::ConfigError;
use crate::model::CertificateSubject;

/// TLS on every address, or none.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS")]
pub struct TlsConfig {
    /// The certificate that every address shows, in PEM, its own first and then its issuers'. Turns TLS 1.2 and 1.3 on. This file, and
    /// the two below, are read again when they change, without a restart.
    #[arg(long, env = "SIGNET_TLS_CERT", global = true, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// The private key of --tls-cert, in PEM, not encrypted.
    #[arg(long, env = "SIGNET_TLS_KEY", global = true, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// The certification authorities whose certificates clients may show, in PEM. With it --grpc-addr, --admin-addr and --ext-authz-addr
    /// take nobody without such a certificate; --http-addr and --operations-addr ask for one and do without. Certificates can then stand
    /// for clients: `signet clients create --spiffe-id`.
    #[arg(long, env = "SIGNET_TLS_CLIENT_CA", global = true, value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,

    /// A proxy, by the SPIFFE ID or a DNS name in its certificate, whose header `x-forwarded-client-cert` is believed; repeat for more,
    /// or separate them by commas. The header of anybody else is ignored. Only for proxies that replace what their clients send (Envoy:
    /// `SANITIZE_SET`).
    #[arg(
        long = "trusted-proxy",
        env = "SIGNET_TRUSTED_PROXY",
        global = true,
        value_name = "spiffe://...|NAME",
        value_delimiter = ','
    )]
    pub trusted_proxies: Vec<CertificateSubject>,
}

/// The files that TLS is made of.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The server's certificate and its issuers'.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who vouches for clients.
    pub client_ca: Option<PathBuf>,
}

impl TlsConfig {
    /// The files, if there is to be TLS.
    ///
    /// # Errors
    /// If one is named and another, without which it means nothing, is not.
    pub fn files(&self) -> Result<Option<TlsFiles>, ConfigError> {
        let lacks =
            |setting, other: &str| Err(ConfigError::new(setting, format!("means nothing without {other}")));
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => return lacks("--tls-cert", "--tls-key"),
            (None, Some(_)) => return lacks("--tls-key", "--tls-cert"),
            (None, None) if self.tls_client_ca.is_some() => return lacks("--tls-client-ca", "--tls-cert"),
            _ => {}
        }
        if self.tls_client_ca.is_none() && !self.trusted_proxies.is_empty() {
            return lacks("--trusted-proxy", "--tls-client-ca");
        }
        let files = self.tls_cert.clone().zip(self.tls_key.clone());
        Ok(files.map(|(cert, key)| TlsFiles { cert, key, client_ca: self.tls_client_ca.clone() }))
    }
}
