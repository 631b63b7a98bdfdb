//! Owns reading `x-forwarded-client-cert`: the certificate of its client that a proxy has verified, as Envoy writes it.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use percent_encoding::percent_decode_str;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::names::names;
use crate::model::CertificateNames;

/// The header (Envoy's HTTP connection manager, `x-forwarded-client-cert`).
pub(super) const FORWARDED_CLIENT_CERT: &str = "x-forwarded-client-cert";

/// The names in the certificate that the proxy tells of. None if the header is malformed, or does not tell exactly one.
///
/// ```text
/// header  = pair *( ";" pair )
/// pair    = key "=" value                  keys in any case: By, Hash, Cert, Chain, Subject, URI, DNS
/// value   = quoted / *( any but "," ";" DQUOTE )
/// quoted  = DQUOTE *( any but DQUOTE and "\" / "\" any ) DQUOTE
/// ```
///
/// Only `Cert` is believed, the whole certificate in PEM, percent-encoded, and only if `Hash` is its SHA-256. Envoy writes the names in
/// `URI` and `DNS` as the certificate has them, so a certificate with a `,` or a `;` in a name could add anything to the header;
/// nothing that stands there can change what stands before it, and a second `Hash` or `Cert` is refused. So is a second element after
/// a comma: what another proxy further away, or the client, has said is verified by nobody here.
pub(super) fn certificate(header: &[u8]) -> Option<CertificateNames> {
    let (mut hash, mut cert) = (None, None);
    let mut rest = std::str::from_utf8(header).ok()?;
    loop {
        let (key, after) = rest.split_once('=')?;
        let key = key.trim_matches(' ');
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let (value, after) = value(after)?;
        let told = match key.to_ascii_lowercase().as_str() {
            "hash" => Some(&mut hash),
            "cert" => Some(&mut cert),
            _ => None,
        };
        if told.is_some_and(|told| told.replace(value).is_some()) {
            return None;
        }
        match after.bytes().next() {
            None => break,
            Some(b';') => rest = &after[1..],
            Some(_) => return None,
        }
    }
    let pem: Vec<u8> = percent_decode_str(&cert?).collect();
    let der = CertificateDer::from_pem_slice(&pem).ok()?;
    let is_whole = hex::decode(&*hash?).ok()? == digest(&SHA256, &der).as_ref();
    is_whole.then(|| names(&der).ok())?
}

/// The value that `text` begins with, and what follows it.
fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';']).unwrap_or(text.len());
        let value = &text[..end];
        // A URI may have `=` in its query, and Envoy does not quote it.
        return (!value.contains('"')).then(|| (value.into(), &text[end..]));
    };
    let mut value = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find(['"', '\\'])?;
        value.push_str(&rest[..end]);
        let (found, after) = (rest.as_bytes()[end], &rest[end + 1..]);
        if found == b'"' {
            return Some((value.into(), after));
        }
        // A backslash takes the next character with it: Envoy's own escape is that of a quotation mark alone, but a subject comes as
        // RFC 2253 writes it, where a backslash is two.
        let escaped = after.chars().next()?;
        if escaped != '"' {
            value.push('\\');
        }
        value.push(escaped);
        rest = &after[escaped.len_utf8()..];
    }
}

/// What must hold for any `header`: the names in it are those of one certificate that can be read by itself.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(header: &[u8]) {
    if let Some(names) = certificate(header) {
        assert!(!header.is_empty(), "{names:?} come from nothing");
    }
}

/// A header that tells of a certificate, and the URI in that.
#[cfg(test)]
pub(super) fn example() -> (String, String) {
    let (hash, cert) = tests::envoys(&[tests::BILLING]);
    (format!("By=spiffe://example.org/gateway;Hash={hash};Cert=\"{cert}\""), tests::BILLING.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    /// A certificate with the URIs `uris`, and its SHA-256, as Envoy writes both.
    pub(super) fn envoys(uris: &[&str]) -> (String, String) {
        let mut params = CertificateParams::new(vec!["x.example.org".to_owned()]).unwrap();
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        // As `Ssl::ConnectionInfo::urlEncodedPemEncodedPeerCertificate` does it.
        let escapes = [("\n", "%0A"), (" ", "%20"), ("+", "%2B"), ("/", "%2F"), ("=", "%3D")];
        let cert = escapes.iter().fold(certificate.pem(), |pem, (from, to)| pem.replace(from, to));
        (hex::encode(digest(&SHA256, certificate.der())), cert)
    }

    /// The URIs that are read.
    fn read(header: &str) -> Option<Vec<String>> {
        certificate(header.as_bytes()).map(|names| names.uris)
    }

    pub(super) const BILLING: &str = "spiffe://example.org/billing";

    #[test]
    fn the_certificate_is_read_whatever_else_the_proxy_tells() {
        let (hash, cert) = envoys(&[BILLING]);
        let billing = Some(vec![BILLING.to_owned()]);
        for header in [
            format!("Hash={hash};Cert=\"{cert}\""),
            format!("By=spiffe://example.org/gateway;Hash={hash};Cert=\"{cert}\""),
            format!("By=x;Hash={hash};Cert=\"{cert}\";Subject=\"CN=x\";URI={BILLING};DNS=a.example;DNS="),
            format!("hash={};cERT={cert};Chain=\"{cert}\"", hash.to_uppercase()),
            format!("Subject=\"CN=\\\"x\\\",Cert=\\\"y\\\";Hash=00\";Cert={cert};Hash={hash}"),
            format!("Subject=\"CN=x\\\\\";Cert={cert};Hash={hash}"),
            format!("Hash={hash};Cert={cert};URI=https://a/?b=c"),
        ] {
            assert_eq!(read(&header), billing, "{header}");
        }
        let names = certificate(format!("Hash={hash};Cert={cert}").as_bytes()).unwrap();
        assert_eq!(names.dns_names, ["x.example.org"]);
    }

    #[test]
    fn nothing_in_a_name_of_the_certificate_adds_another_certificate() {
        let (hash, cert) = envoys(&["spiffe://example.org/orders"]);
        let (other_hash, other) = envoys(&[BILLING]);
        let other = format!("Hash={other_hash};Cert=\"{other}\"");
        let own = format!("Hash={hash};Cert=\"{cert}\"");
        for header in [
            // A URI or a DNS name that goes on with what it would like to be.
            format!("{own};URI=https://x/;{other}"),
            format!("{own};URI=https://x/,{other}"),
            format!("{own};URI=https://x/;Hash={other_hash}"),
            format!("{own};DNS=x;{other}"),
            // What the client, or a proxy of its own, sent.
            format!("{other},{own}"),
            format!("{own},{other}"),
            format!("{own},"),
            // A proxy that tells no certificate, or another than it has verified.
            format!("Hash={other_hash};Cert=\"{cert}\""),
            format!("Hash={hash};URI={BILLING}"),
            format!("By=x;URI={BILLING}"),
            format!("Cert=\"{cert}\""),
            format!("Hash=;Cert=\"{cert}\""),
            format!("Hash={hash};Cert="),
            format!(
                "Hash={hash};Cert=\"-----BEGIN%20CERTIFICATE-----%0AAAAA%0A-----END%20CERTIFICATE-----%0A\""
            ),
        ] {
            assert_eq!(read(&header), None, "{header}");
        }
    }

    #[test]
    fn what_is_malformed_anywhere_tells_nothing() {
        let (hash, cert) = envoys(&[BILLING]);
        let good = format!("Hash={hash};Cert=\"{cert}\"");
        assert!(read(&good).is_some());
        for rest in [
            "",
            "URI",
            "=x",
            "URI=a;",
            "URI=a;;DNS=b",
            "URI=\"",
            "URI=\"a",
            "URI=a\"b\"",
            "URI=\"a\"b",
            "U RI=a",
            "URI=\"a\" ;DNS=b",
        ] {
            assert_eq!(read(&format!("{good};{rest}")), None, "{rest}");
        }
        for header in ["", ",", ";", "=", "spiffe://example.org/billing"] {
            assert_eq!(read(header), None, "{header}");
        }
        assert_eq!(
            certificate(format!("{good};URI=").bytes().chain([0xff]).collect::<Vec<_>>().as_slice()),
            None
        );
    }

    /// As Envoy writes a value that needs it.
    fn quoted(value: &str) -> String {
        format!("\"{}\"", value.replace('"', "\\\""))
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_subject_the_certificate_is_read(subject in r"[ -\[\]-~]{0,40}") {
            let (hash, cert) = envoys(&[BILLING]);
            let header = format!("Hash={hash};Cert=\"{cert}\";Subject={}", quoted(&subject));
            prop_assert_eq!(read(&header), Some(vec![BILLING.to_owned()]), "{}", header);
        }

        #[test]
        fn whatever_stands_in_a_uri_it_is_this_certificate_or_none(uri in r"[!-~]{0,20}([,;](Hash|Cert|URI)=[!-~]{0,20}){0,3}") {
            let (hash, cert) = envoys(&[BILLING]);
            let found = read(&format!("Hash={hash};Cert=\"{cert}\";URI={uri}"));
            prop_assert!(found.is_none() || found == Some(vec![BILLING.to_owned()]), "{}", uri);
        }

        #[test]
        fn no_header_panics(header in any::<Vec<u8>>(), text in r#"([a-zA-Z]{0,3}[=,;"\\]{0,2}){0,10}"#) {
            let _ = (certificate(&header), certificate(text.as_bytes()));
        }
    }
}
