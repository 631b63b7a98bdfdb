//! Owns reading `x-forwarded-client-cert`: what Envoy tells of the certificate that it has verified.

use crate::model::CertificateNames;

/// The header (Envoy's HTTP connection manager, `x-forwarded-client-cert`).
pub(super) const FORWARDED_CLIENT_CERT: &str = "x-forwarded-client-cert";

/// What the proxy that sent the header says of its client: the names in the last element. None if the header is malformed.
///
/// ```text
/// header  = element *( "," element )       one for each proxy on the way, the nearest last
/// element = pair *( ";" pair )
/// pair    = key "=" value                  keys in any case: By, Hash, Cert, Chain, Subject, URI, DNS
/// value   = quoted / *( any but "," ";" "=" DQUOTE )
/// quoted  = DQUOTE *( any but DQUOTE and "\" / "\" any ) DQUOTE
/// ```
///
/// The elements before the last are what the client sent, or its proxy: nobody here has verified them.
pub(super) fn names(header: &[u8]) -> Option<CertificateNames> {
    let text = std::str::from_utf8(header).ok()?;
    let mut rest = text;
    loop {
        let (element, after) = element(rest)?;
        match after {
            Some(after) => rest = after,
            None => return Some(element),
        }
    }
}

/// The first element of `text`, and what follows the comma behind it.
fn element(mut text: &str) -> Option<(CertificateNames, Option<&str>)> {
    let mut names = CertificateNames::default();
    loop {
        let (key, after) = text.split_once('=')?;
        let key = key.trim_matches(' ');
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let (value, after) = value(after)?;
        let kept = match key.to_ascii_lowercase().as_str() {
            "uri" => Some(&mut names.uris),
            "dns" => Some(&mut names.dns_names),
            _ => None,
        };
        // Envoy writes the key without a value where the certificate has no such name.
        if let Some(kept) = kept.filter(|_| !value.is_empty()) {
            kept.push(value);
        }
        match after.bytes().next() {
            None => return Some((names, None)),
            Some(b',') => return Some((names, Some(&after[1..]))),
            Some(b';') => text = &after[1..],
            Some(_) => return None,
        }
    }
}

/// The value that `text` begins with, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';']).unwrap_or(text.len());
        let value = &text[..end];
        // A URI may have `=` in its query, and Envoy does not quote it.
        return (!value.contains('"')).then(|| (value.to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find(['"', '\\'])?;
        value.push_str(&rest[..end]);
        let (found, after) = (rest.as_bytes()[end], &rest[end + 1..]);
        if found == b'"' {
            return Some((value, after));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The URIs and the DNS names that are read.
    fn read(header: &str) -> Option<(Vec<String>, Vec<String>)> {
        names(header.as_bytes()).map(|names| (names.uris, names.dns_names))
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is compared with what may be none")]
    fn some(uris: &[&str], dns_names: &[&str]) -> Option<(Vec<String>, Vec<String>)> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Some((owned(uris), owned(dns_names)))
    }

    #[test]
    fn the_examples_of_envoys_documentation_are_read() {
        let hash = "468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688";
        let frontend = "By=http://frontend.lyft.com";
        for (header, expected) in [
            (
                format!(
                    "{frontend};Hash={hash};Subject=\"/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client\";URI=http://testclient.lyft.com"
                ),
                some(&["http://testclient.lyft.com"], &[]),
            ),
            (
                format!(
                    "{frontend};Hash={hash};URI=http://testclient.lyft.com,By=http://backend.lyft.com;Hash=9ba61d6425303443c0748a02dd8de688468ed33be74eee6556d90c0149c1309e;URI=http://frontend.lyft.com"
                ),
                some(&["http://frontend.lyft.com"], &[]),
            ),
            (
                format!(
                    "By=http://frontend.lyft.com;Hash={hash};Subject=\"\";URI=http://testclient.lyft.com;DNS=lyft.com;DNS=www.lyft.com"
                ),
                some(&["http://testclient.lyft.com"], &["lyft.com", "www.lyft.com"]),
            ),
        ] {
            assert_eq!(read(&header), expected, "{header}");
        }
    }

    #[test]
    fn nothing_in_a_value_is_taken_for_the_next_one() {
        for (header, expected) in [
            (r#"Subject="CN=x,URI=spiffe://a/admin";URI=spiffe://a/b"#, some(&["spiffe://a/b"], &[])),
            (r#"Subject="CN=x;URI=spiffe://a/admin";URI=spiffe://a/b"#, some(&["spiffe://a/b"], &[])),
            (r#"Subject="CN=\"x\",URI=spiffe://a/admin";URI=spiffe://a/b"#, some(&["spiffe://a/b"], &[])),
            (r#"Subject="CN=x\",URI=spiffe://a/admin;\"";URI=spiffe://a/b"#, some(&["spiffe://a/b"], &[])),
            (r#"Subject="CN=x\\";URI=spiffe://a/b;DNS=x"#, some(&["spiffe://a/b"], &["x"])),
            (r#"Subject="CN=x\\\",URI=spiffe://a/admin";URI=spiffe://a/b"#, some(&["spiffe://a/b"], &[])),
            (r#"URI="spiffe://a/b""#, some(&["spiffe://a/b"], &[])),
            (r#"URI="a\"b\c""#, some(&[r#"a"b\c"#], &[])),
            // Only the nearest proxy is believed.
            ("URI=spiffe://a/admin,URI=spiffe://a/b", some(&["spiffe://a/b"], &[])),
            ("URI=spiffe://a/admin, Hash=0", some(&[], &[])),
            // Several are kept, and stand for nobody (`CertificateNames::spiffe_id`).
            ("URI=spiffe://a/b;URI=spiffe://a/admin", some(&["spiffe://a/b", "spiffe://a/admin"], &[])),
            ("uri=spiffe://a/b;uRi=spiffe://a/c;dns=x", some(&["spiffe://a/b", "spiffe://a/c"], &["x"])),
            ("Hash=0;URI=;DNS=", some(&[], &[])),
            ("URI=https://a/?b=c", some(&["https://a/?b=c"], &[])),
        ] {
            assert_eq!(read(header), expected, "{header}");
        }
    }

    #[test]
    fn what_is_malformed_anywhere_tells_nothing() {
        for header in [
            "",
            ",",
            ";",
            "URI",
            "=x",
            "URI=a,",
            ",URI=a",
            "URI=a;",
            ";URI=a",
            "URI=a;;DNS=b",
            "URI=a,,URI=b",
            r#"URI=""#,
            r#"URI="a"#,
            r#"URI="a\""#,
            r#"URI=a"b""#,
            r#"URI="a"b"#,
            r#"URI="a" ;DNS=b"#,
            "U RI=a",
            "URI =a,=b",
            r#"Subject="x,URI=spiffe://a/b"#,
            "spiffe://a/b",
        ] {
            assert_eq!(read(header), None, "{header}");
        }
        assert_eq!(names(b"URI=\xff"), None);
    }

    /// As Envoy writes a value that needs it.
    fn quoted(value: &str) -> String {
        format!("\"{}\"", value.replace('"', "\\\""))
    }

    proptest! {
        #[test]
        fn whatever_stands_in_other_values_and_before_the_last_element_the_names_are_read(
            subject in r"[ -\[\]-~]{0,40}",
            before in prop::collection::vec(r"[ -\[\]-~]{0,20}", 0..3),
            uri in r"[!-\[\]-~]{1,30}",
        ) {
            let before = before.iter().map(|value| format!("URI={},", quoted(value))).collect::<Vec<_>>().concat();
            let header = format!("{before}Hash=0;Subject={};URI={}", quoted(&subject), quoted(&uri));
            prop_assert_eq!(read(&header), some(&[&uri], &[]), "{}", header);
        }

        #[test]
        fn no_header_panics(header in any::<Vec<u8>>(), text in r#"([a-zA-Z]{0,3}[=,;"\\]{0,2}){0,10}"#) {
            let _ = (names(&header), names(text.as_bytes()));
        }
    }
}
