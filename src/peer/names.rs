//! Owns reading what a certificate says: its names and its times.

use x509_cert::{
    Certificate,
    der::{Decode, Error, ErrorKind},
    ext::pkix::{SubjectAltName, name::GeneralName},
    time::Time,
};

use crate::{base::Timestamp, model::CertificateNames};

/// How many names a certificate may have. An authority that is trusted has signed them, but each is kept for a connection, and looked at
/// for each call.
const MAX_NAMES: usize = 256;

/// How large a certificate may be whose names are read, in bytes: so many names of ordinary length fit in.
const MAX_BYTES: usize = 32 * 1_024;

/// The subject alternative names of the certificate `der`. The subject itself is not looked at: RFC 9525 section 2 gives it up.
///
/// # Errors
/// If it is no certificate of RFC 5280, or has too many names.
pub(crate) fn names(der: &[u8]) -> Result<CertificateNames, Error> {
    // Before anything is made of each of them.
    if der.len() > MAX_BYTES {
        return Err(ErrorKind::Overlength.into());
    }
    let certificate = Certificate::from_der(der)?;
    let expire_time = times(&certificate).1;
    let mut names = CertificateNames { uris: Vec::new(), dns_names: Vec::new(), expire_time };
    let found = certificate.tbs_certificate().get_extension::<SubjectAltName>()?;
    let found = found.map(|(_, SubjectAltName(names))| names).unwrap_or_default();
    if found.len() > MAX_NAMES {
        return Err(ErrorKind::Overlength.into());
    }
    for name in found {
        match name {
            GeneralName::UniformResourceIdentifier(uri) => names.uris.push(uri.to_string()),
            GeneralName::DnsName(name) => names.dns_names.push(name.to_string()),
            _ => {}
        }
    }
    Ok(names)
}

/// From when and until when the certificate `der` is valid.
///
/// # Errors
/// If it is no certificate of RFC 5280.
pub(crate) fn validity(der: &[u8]) -> Result<(Timestamp, Timestamp), Error> {
    Certificate::from_der(der).map(|certificate| times(&certificate))
}

fn times(certificate: &Certificate) -> (Timestamp, Timestamp) {
    let at = |time: Time| Timestamp::from_micros(0).after(time.to_unix_duration());
    let validity = certificate.tbs_certificate().validity();
    (at(validity.not_before), at(validity.not_after))
}

/// What must hold for any `der`: whoever has names has times.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(der: &[u8]) {
    if let Ok(names) = names(der) {
        assert!(validity(der).is_ok_and(|(_, end)| end == names.expire_time));
        let _ = names.spiffe_id();
    }
}
