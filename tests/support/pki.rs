//! Owns certificates for tests: an authority, what it issues, and connecting with it.

use std::{fs, io, net::SocketAddr, path::Path, sync::Arc};

use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
        crypto::aws_lc_rs::default_provider,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        sign::{CertifiedKey, SingleCertAndKey},
        version,
    },
};
use tonic::transport::{Channel, Endpoint, Uri};

/// The name in the certificates of servers.
pub(crate) const SERVER: &str = "signet.example";

/// A certification authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for servers and clients with `names`: those with `://` are URIs, the others DNS names. It does not expire.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_until(names, (4000, 1, 1))
    }

    /// A certificate that expires as this day of this month of this year begins.
    pub(crate) fn issue_until(&self, names: &[&str], (year, month, day): (i32, u8, u8)) -> Issued {
        self.sign(names, |params| params.not_after = date_time_ymd(year, month, day))
    }

    /// A certificate whose subject has the common name `name`.
    pub(crate) fn issue_to(&self, name: &str, names: &[&str]) -> Issued {
        self.sign(names, |params| params.distinguished_name.push(DnType::CommonName, name))
    }

    fn sign(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut params = CertificateParams::default();
        change(&mut params);
        params.subject_alt_names = names
            .iter()
            .map(|name| {
                let written = (*name).try_into().unwrap();
                if name.contains("://") { SanType::URI(written) } else { SanType::DnsName(written) }
            })
            .collect();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { cert, key: key.serialize_pem() }
    }
}

impl Issued {
    /// Writes both into `dir`: `tls.crt` and `tls.key`.
    pub(crate) fn write(&self, dir: &Path) {
        fs::write(dir.join("tls.key"), &self.key).unwrap();
        fs::write(dir.join("tls.crt"), &self.cert).unwrap();
    }

    /// What shows it to whoever connects.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let chain = vec![CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// What Envoy writes into `x-forwarded-client-cert` of a client that has shown this certificate, if it is to tell all of it.
    pub(crate) fn forwarded(&self) -> String {
        let der = CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap();
        let hash = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der));
        let escapes = [("\n", "%0A"), (" ", "%20"), ("+", "%2B"), ("/", "%2F"), ("=", "%3D")];
        let cert = escapes.iter().fold(self.cert.clone(), |pem, (from, to)| pem.replace(from, to));
        format!("By=spiffe://example.org/proxy;Hash={hash};Cert=\"{cert}\"")
    }
}

/// How somebody connects: whom it believes, what it shows, and what it speaks.
#[derive(Clone)]
pub(crate) struct Dialer(TlsConnector);

impl Dialer {
    /// One that believes `authority` and shows `own`.
    pub(crate) fn new(authority: &Authority, own: Option<&Issued>) -> Self {
        Self::speaking(authority, own, &[&version::TLS12, &version::TLS13], &["h2"])
    }

    /// One that speaks the TLS of `versions`, and offers `protocols` by ALPN.
    pub(crate) fn speaking(
        authority: &Authority,
        own: Option<&Issued>,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(Issued { cert, key }) => {
                let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                let key = default_provider().key_provider.load_private_key(key).unwrap();
                // Whether they belong together is the server's to see.
                let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
                builder.with_client_cert_resolver(Arc::new(shown))
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// A connection to `addr`, which must be [`SERVER`].
    pub(crate) async fn dial(&self, addr: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(addr).await?;
        self.0.connect(ServerName::try_from(SERVER).unwrap(), stream).await
    }

    /// A channel to `addr`, connected.
    pub(crate) async fn channel(&self, addr: SocketAddr) -> Result<Channel, tonic::transport::Error> {
        let dialer = self.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let dialer = dialer.clone();
            async move { dialer.dial(addr).await.map(TokioIo::new) }
        });
        // The scheme is what tonic would speak TLS by, on top of this.
        let endpoint = Endpoint::from_shared(format!("http://{SERVER}")).unwrap();
        endpoint.connect_with_connector(connector).await
    }
}
