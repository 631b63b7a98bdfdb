//! Owns who is at the other end of a connection, by address and by certificate: the peer itself, or whom a trusted proxy speaks for.

mod address;
mod forwarded;
mod forwarded_client_cert;
mod hop;
mod names;
mod trusted_proxies;
mod x_forwarded_for;

use std::sync::Arc;

use http::{Extensions, HeaderMap};

use crate::model::{CertificateNames, CertificateSubject};
use forwarded_client_cert::FORWARDED_CLIENT_CERT;

pub(crate) use address::{ConnectionPeer, PeerAddress};
pub(crate) use names::{names, validity};
pub(crate) use trusted_proxies::TrustedProxies;
#[cfg(any(fuzzing, test))]
pub(crate) use {
    forwarded_client_cert::fuzz as fuzz_client_cert_header,
    names::fuzz as fuzz_certificate,
    trusted_proxies::{fuzz_forwarded, fuzz_x_forwarded_for},
};

/// Who has shown a certificate on a connection that the configured certification authorities vouch for. An extension of each
/// request of that connection.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    /// Somebody who speaks for itself.
    Itself(Arc<CertificateNames>),
    /// A proxy that is trusted to tell whose certificate it has verified.
    Proxy,
}

impl Peer {
    /// The peer that has shown a certificate of these `names`.
    pub(crate) fn of(names: CertificateNames, trusted_proxies: &[CertificateSubject]) -> Self {
        if trusted_proxies.iter().any(|proxy| names.is_of(proxy)) {
            Self::Proxy
        } else {
            Self::Itself(Arc::new(names))
        }
    }
}

/// The certificate of whoever sent the request, if one was verified.
///
/// The header `x-forwarded-client-cert` counts from a trusted proxy alone, and from anybody else it is not even read. A proxy never
/// lends its own certificate: what it forwards without that header comes from somebody who has shown none.
pub(crate) fn certificate(extensions: &Extensions, headers: &HeaderMap) -> Option<Arc<CertificateNames>> {
    match extensions.get::<Peer>()? {
        Peer::Itself(names) => Some(Arc::clone(names)),
        Peer::Proxy => {
            let mut values = headers.get_all(FORWARDED_CLIENT_CERT).iter();
            let value = values.next()?;
            // Which of several lines the proxy wrote cannot be told.
            let names = if values.next().is_some() {
                None
            } else {
                forwarded_client_cert::certificate(value.as_bytes())
            };
            if names.is_none() {
                tracing::debug!(
                    "a trusted proxy's `x-forwarded-client-cert` cannot be read: it counts as none"
                );
            }
            names.map(Arc::new)
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::base::Timestamp;

    fn names(uri: &str) -> CertificateNames {
        let expire_time = Timestamp::from_micros(i64::MAX);
        CertificateNames { uris: vec![uri.to_owned()], dns_names: Vec::new(), expire_time }
    }

    /// Whom a request is from, of a peer with the certificate of `peer`, and with these header lines.
    fn found(peer: Option<&str>, lines: &[&str]) -> Option<Vec<String>> {
        let trusted = ["spiffe://example.org/gateway".parse().unwrap()];
        let mut extensions = Extensions::new();
        if let Some(peer) = peer {
            extensions.insert(Peer::of(names(peer), &trusted));
        }
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_CLIENT_CERT, HeaderValue::from_str(line).unwrap());
        }
        certificate(&extensions, &headers).map(|names| names.uris.clone())
    }

    #[test]
    fn the_header_counts_from_a_trusted_proxy_alone() {
        let (line, billing) = forwarded_client_cert::example();
        assert_eq!(found(Some("spiffe://example.org/gateway"), &[&line]), Some(vec![billing]));
        for peer in
            ["spiffe://example.org/gateway/x", "spiffe://example.org/orders", "spiffe://other.org/gateway"]
        {
            assert_eq!(found(Some(peer), &[&line]), Some(vec![peer.to_owned()]), "{peer} speaks for itself");
        }
        assert_eq!(found(None, &[&line]), None, "nobody who has shown nothing");
    }

    #[test]
    fn a_proxy_stands_for_nobody_by_itself_and_for_nobody_if_it_is_unclear() {
        let (line, _) = forwarded_client_cert::example();
        let gateway = Some("spiffe://example.org/gateway");
        assert_eq!(found(gateway, &[]), None);
        assert_eq!(found(gateway, &[""]), None);
        assert_eq!(found(gateway, &[&line, &line]), None, "two lines");
        assert_eq!(found(gateway, &["Cert=\"unclosed"]), None);
    }
}
