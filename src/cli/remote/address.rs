//! Owns where a service is called, and how: in plaintext on this machine alone, and by TLS elsewhere.

use std::{path::Path, str::FromStr, time::Duration};

use rustls_native_certs::load_native_certs;
use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Uri};

use crate::{
    cli::{CommandReason, Failure, principal::is_said},
    files::read_text,
    model::{error::chain, is_loopback},
};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a call may take: a service takes a minute at most.
const CALL_TIMEOUT: Duration = Duration::from_secs(70);

/// The address of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Address {
    /// HOST:PORT.
    authority: String,
    speaks_tls: bool,
    is_here: bool,
}

impl FromStr for Address {
    type Err = String;

    /// Reads HOST:PORT, with `https://` or `http://` before it if wanted.
    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, authority) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), authority)) => (Some(scheme), authority),
            Some(_) => return Err("must be HOST:PORT, with https:// before it or nothing".to_owned()),
            None => (None, text),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let uri: Option<Uri> = format!("https://{authority}").parse().ok();
        let uri = uri.filter(|uri| uri.path() == "/" && uri.query().is_none() && !authority.contains('@'));
        let host = uri.as_ref().filter(|uri| uri.port_u16().is_some()).and_then(Uri::host);
        let Some(host) = host else {
            return Err("must be HOST:PORT, as 127.0.0.1:50053 or signet.example:50053".to_owned());
        };
        let is_here = is_loopback(host);
        let speaks_tls = match scheme {
            None => !is_here,
            Some(scheme) => scheme == "https",
        };
        if !speaks_tls && !is_here {
            return Err("is beyond this machine, where tokens must not pass in plaintext: it is called by TLS, without http:// \
                        before it"
                .to_owned());
        }
        Ok(Self { authority: authority.to_ascii_lowercase(), speaks_tls, is_here })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.speaks_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

impl Address {
    /// A connection to it; `authorities` is the file with those that its certificate must come from.
    ///
    /// # Errors
    /// If the file cannot be used, or nobody answers as whom it shows.
    pub(in crate::cli) async fn connect(&self, authorities: Option<&Path>) -> Result<Channel, Failure> {
        // The environment may name it for other services.
        if authorities.is_some() && !self.speaks_tls && is_said("--tls-ca") {
            let problem =
                format!("--tls-ca: {self} is called in plaintext; write https:// before the address");
            return Err(Failure::Usage(problem));
        }
        let unusable = |error: tonic::transport::Error| {
            Failure::because(CommandReason::ServerUnreachable, format!("{self}: {}", chain(&error)))
        };
        let endpoint = Endpoint::from_shared(self.to_string()).map_err(unusable)?;
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).timeout(CALL_TIMEOUT);
        let endpoint =
            endpoint.user_agent(concat!("signet/", env!("CARGO_PKG_VERSION"))).map_err(unusable)?;
        let endpoint = if self.speaks_tls {
            let tls = ClientTlsConfig::new().trust_anchors(roots(authorities)?.roots);
            endpoint.tls_config(tls).map_err(unusable)?
        } else {
            endpoint
        };
        endpoint.connect().await.map_err(|error| {
            let hint = match (self.is_here, self.speaks_tls) {
                (true, false) => ": is its --admin-addr there?",
                (_, true) => ": does it speak TLS there, with a certificate from --tls-ca or of an authority that this machine knows?",
                (false, false) => "",
            };
            Failure::because(CommandReason::ServerUnreachable, format!("{self} cannot be reached: {}{hint}", chain(&error)))
        })
    }
}

/// The authorities of `file`, or else of this machine.
pub(in crate::cli) fn roots(file: Option<&Path>) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    let Some(file) = file else {
        // Those that SSL_CERT_FILE and SSL_CERT_DIR name, where they are set.
        roots.add_parsable_certificates(load_native_certs().certs);
        return Ok(roots);
    };
    let unusable = |problem: String| Failure::Usage(format!("--tls-ca: {} {problem}", file.display()));
    let text = read_text(file).map_err(|error| Failure::of_input("--tls-ca", file, &error))?;
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let certificate = certificate.map_err(|error| unusable(format!("is not PEM: {error}")))?;
        roots.add(certificate).map_err(|error| unusable(format!("cannot be used: {error}")))?;
    }
    if roots.is_empty() { Err(unusable("holds no certificate".to_owned())) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_is_spoken_on_this_machine_alone() {
        for (text, shown) in [
            ("127.0.0.1:50053", "http://127.0.0.1:50053"),
            ("[::1]:50053", "http://[::1]:50053"),
            ("localhost:50053", "http://localhost:50053"),
            ("https://localhost:50053", "https://localhost:50053"),
            ("Signet.Example:50053", "https://signet.example:50053"),
            ("10.0.0.1:50053", "https://10.0.0.1:50053"),
            ("https://signet.example:443/", "https://signet.example:443"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for text in [
            "http://signet.example:50053",
            "http://10.0.0.1:1",
            "http://localhost.example:1",
            "http://0.0.0.0:1",
        ] {
            assert!(text.parse::<Address>().unwrap_err().contains("plaintext"), "{text}");
        }
        for text in [
            "",
            "localhost",
            "signet.example",
            "ftp://a:1",
            "a:1/path",
            "user@a:1",
            "http://localhost@a:1",
            "a b:1",
        ] {
            assert!(text.parse::<Address>().unwrap_err().contains("HOST:PORT"), "{text}");
        }
    }
}
