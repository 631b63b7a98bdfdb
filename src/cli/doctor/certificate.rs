//! Owns checking what a server shows by TLS: whether clients take its certificate, and for how long they will.

use std::time::Duration;

use tokio_rustls::rustls::{CertificateError, Error as TlsError};
use x509_cert::{Certificate, der::Decode, time::Time};

use super::{
    dial::Shown,
    finding::{Check, Findings},
    target::Target,
};
use crate::base::Timestamp;

/// A certificate that is good for less than this is one that nobody has renewed.
const RENEWED_BEFORE: Duration = Duration::from_hours(14 * 24);

/// And one of which less than this part is left, if that is shorter: some live for days.
const RENEWED_BEFORE_PART: u32 = 5;

const DAY: Duration = Duration::from_hours(24);

/// Tells what `shown` is worth at the time `now`, as what `check` found at `target`.
pub(super) fn check(check: Check, target: &Target, shown: &Shown, now: Timestamp, found: &mut Findings) {
    let Some((begin, end)) = shown.certificates.first().and_then(|certificate| validity(certificate)) else {
        found.wrong(
            check,
            "the certificate cannot be read",
            "show one of X.509, in the proxy or by --tls-cert",
        );
        return;
    };
    if now > end {
        let seen = format!("the certificate expired at {end}, {} ago", days(now.since(end)));
        found.wrong(check, seen, "renew it where TLS ends (certbot renew, cert-manager), and reload that");
    } else if now < begin {
        let seen = format!("the certificate is valid from {begin} on, and here it is {now}");
        found.wrong(
            check,
            seen,
            "set this machine's clock (`chronyc makestep`), or issue the certificate anew",
        );
    } else if let Some(problem) = &shown.problem {
        let (seen, mend) = refused(problem, target, shown.certificates.len());
        found.wrong(check, seen, mend);
    } else {
        let left = end.since(now);
        let seen = format!("{}, valid until {end}, for {}", shown.version, days(left));
        if left < RENEWED_BEFORE.min(end.since(begin) / RENEWED_BEFORE_PART) {
            found.warning(check, seen, "renew it where TLS ends: what renews by itself would have done so");
        } else {
            found.ok(check, seen);
        }
    }
}

/// Why clients refuse the certificate, and what mends it.
fn refused(problem: &TlsError, target: &Target, count: usize) -> (String, String) {
    match problem {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer) if count == 1 => (
            "the certificate comes from an authority that is not known here, and no intermediate is shown".to_owned(),
            "show the whole chain (fullchain.pem; HAProxy: `crt` with both in one file), or name the authority by --tls-ca".to_owned(),
        ),
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => (
            "the certificate comes from an authority that is not known here".to_owned(),
            "name the authority by --tls-ca, and give it to whoever verifies tokens".to_owned(),
        ),
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => (
            format!("the certificate is not for {}", target.name),
            format!("issue it for {}, or ask by the name that it is for", target.name),
        ),
        other => (format!("clients refuse the certificate: {other}"), "issue one that they take".to_owned()),
    }
}

/// From when and until when the certificate `der` is valid.
fn validity(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let certificate = Certificate::from_der(der).ok()?;
    let validity = certificate.tbs_certificate().validity();
    let at = |time: Time| Timestamp::from_micros(0).after(time.to_unix_duration());
    Some((at(validity.not_before), at(validity.not_after)))
}

/// Days, or whatever is shorter.
pub(super) fn days(time: Duration) -> String {
    match time.as_secs() / DAY.as_secs() {
        0 => humantime::format_duration(Duration::from_secs(time.as_secs())).to_string(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}
