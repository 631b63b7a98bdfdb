//! Owns what an X.509 certificate says of whom it was issued to, and which of it can be registered.

use std::{fmt, str::FromStr};

use super::SpiffeId;
use crate::base::Timestamp;

/// The longest DNS name in characters, as it is written (RFC 1035 section 2.3.4).
const DNS_NAME_MAX_BYTES: usize = 253;

/// The longest label of it (the same section).
const LABEL_MAX_BYTES: usize = 63;

/// A host's name, in lower case, without a dot at its end and without wildcards (RFC 1123 section 2.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsName(String);

/// What is no DNS name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a DNS name such as `orders.example.org`: letters, digits and `-`, and no wildcard")]
pub struct MalformedDnsName;

/// The subject of a certificate, as it is expected of a client (RFC 8705 section 2.1.2) or of a proxy: one of these, exactly.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CertificateSubject {
    /// The SPIFFE ID, its only URI (`tls_client_auth_san_uri`).
    SpiffeId(SpiffeId),
    /// One of its DNS names (`tls_client_auth_san_dns`).
    DnsName(DnsName),
}

/// The subject alternative names of a certificate that a certification authority vouches for (RFC 5280 section 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateNames {
    /// Its URIs, as they are written.
    pub uris: Vec<String>,
    /// Its DNS names, as they are written.
    pub dns_names: Vec<String>,
    /// Until when it is valid.
    pub expire_time: Timestamp,
}

impl DnsName {
    /// A name that was checked before it was stored.
    pub(crate) const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DnsName {
    type Err = MalformedDnsName;

    fn from_str(text: &str) -> Result<Self, MalformedDnsName> {
        let is_label = |label: &str| {
            (1..=LABEL_MAX_BYTES).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // The last label of a host's name is no number: what ends in one is an IP address.
        let last_is_number =
            text.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        let good = text.len() <= DNS_NAME_MAX_BYTES && text.split('.').all(is_label) && !last_is_number;
        good.then(|| Self(text.to_ascii_lowercase())).ok_or(MalformedDnsName)
    }
}

impl FromStr for CertificateSubject {
    type Err = String;

    /// A SPIFFE ID by its scheme, and a DNS name otherwise.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            text.parse().map(Self::SpiffeId).map_err(|problem| problem.to_string())
        } else {
            text.parse().map(Self::DnsName).map_err(|problem| problem.to_string())
        }
    }
}

impl fmt::Display for CertificateSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SpiffeId(id) => id.as_str(),
            Self::DnsName(name) => name.as_str(),
        })
    }
}

impl CertificateNames {
    /// The SPIFFE ID of the certificate. With a second URI it has none: X.509-SVID section 2 has such a certificate refused.
    #[must_use]
    pub fn spiffe_id(&self) -> Option<SpiffeId> {
        match self.uris.as_slice() {
            [uri] => uri.parse().ok(),
            _ => None,
        }
    }

    /// Whether the certificate was issued to `subject`. A wildcard in the certificate stands for nobody.
    #[must_use]
    pub fn is_of(&self, subject: &CertificateSubject) -> bool {
        match subject {
            CertificateSubject::SpiffeId(id) => self.spiffe_id().as_ref() == Some(id),
            CertificateSubject::DnsName(name) => {
                self.dns_names.iter().any(|written| written.eq_ignore_ascii_case(name.as_str()))
            }
        }
    }

    /// Whether the certificate has expired by `now`: a connection may outlive it.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        now > self.expire_time
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(uris: &[&str], dns_names: &[&str]) -> CertificateNames {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        CertificateNames {
            uris: owned(uris),
            dns_names: owned(dns_names),
            expire_time: Timestamp::from_micros(0),
        }
    }

    #[test]
    fn a_subject_is_a_spiffe_id_or_a_dns_name_and_nothing_else() {
        let spiffe = "spiffe://example.org/billing";
        assert_eq!(spiffe.parse::<CertificateSubject>().unwrap().to_string(), spiffe);
        let dns = "Orders.Example.org".parse::<CertificateSubject>().unwrap();
        assert_eq!(dns.to_string(), "orders.example.org");
        for bad in [
            "",
            ".",
            "a..b",
            "a.",
            ".a",
            "-a.b",
            "a-.b",
            "*.example.org",
            "a b",
            "a_b",
            "é.example",
            "127.0.0.1",
            "a.1",
            "https://example.org/x",
            "spiffe://example.org",
            "example.org:443",
            "a/b",
            &format!("{}.example", "x".repeat(LABEL_MAX_BYTES + 1)),
            &["abcdefghi."; 26].concat(),
        ] {
            assert!(bad.parse::<CertificateSubject>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_certificate_is_of_whom_it_names_exactly() {
        let billing: CertificateSubject = "spiffe://example.org/billing".parse().unwrap();
        let orders: CertificateSubject = "orders.example.org".parse().unwrap();
        for (certificate, is_billing, is_orders) in [
            (names(&["spiffe://example.org/billing"], &[]), true, false),
            (names(&["spiffe://example.org/billing/x"], &[]), false, false),
            (names(&["spiffe://example.org/Billing"], &[]), false, false),
            // Two workloads at once are none.
            (names(&["spiffe://example.org/billing", "spiffe://example.org/x"], &[]), false, false),
            (names(&["spiffe://example.org/billing", "spiffe://example.org/billing"], &[]), false, false),
            (names(&[], &["spiffe://example.org/billing"]), false, false),
            (names(&[], &["x.example.org", "ORDERS.example.org"]), false, true),
            (names(&["orders.example.org"], &[]), false, false),
            (names(&[], &["*.example.org"]), false, false),
            (names(&[], &["orders.example.org."]), false, false),
            (names(&[], &["orders.example.org.evil.example"]), false, false),
            (names(&[], &[]), false, false),
        ] {
            assert_eq!(
                (certificate.is_of(&billing), certificate.is_of(&orders)),
                (is_billing, is_orders),
                "{certificate:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_dns_name_is_read_in_any_case_and_written_in_one(text in r"[a-zA-Z]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?(\.[a-zA-Z]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?){0,5}") {
            let name = text.parse::<DnsName>().unwrap();
            prop_assert_eq!(name.as_str(), text.to_ascii_lowercase());
            prop_assert_eq!(name.as_str().parse::<DnsName>().unwrap(), name.clone());
            prop_assert!(names(&[], &[&text]).is_of(&CertificateSubject::DnsName(name)));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<CertificateSubject>();
        }
    }
}
