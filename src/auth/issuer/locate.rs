//! Owns the addresses of an issuer: what identifies one, and where its metadata may be (RFC 8414, OpenID Connect Discovery 1.0).

use http::{Uri, uri::Scheme};
use serde::Deserialize;

use crate::model::well_known::{OAUTH_AUTHORIZATION_SERVER, OPENID_CONFIGURATION};

/// An issuer's metadata, as far as they are read.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// An issuer.
#[derive(Clone, Debug)]
pub(super) struct Issuer {
    /// Letter for letter as its tokens name it.
    identifier: String,
    is_https: bool,
}

/// The issuer identifier `text`: an http or https URL without query or fragment (RFC 8414 section 2), of whose path nobody can hold
/// two opinions, since the metadata are found by it.
///
/// # Errors
/// What is wrong with it: the rest of a sentence that begins with the issuer.
pub fn issuer_identifier(text: &str) -> Result<String, String> {
    Issuer::parse(text).map(|issuer| issuer.identifier)
}

/// Whether `uri` is one of https, however its scheme is written.
pub(super) fn is_https(uri: &Uri) -> bool {
    uri.scheme() == Some(&Scheme::HTTPS)
}

/// The http or https URL `text`, without query or fragment.
///
/// # Errors
/// If it is none: the rest of a sentence that begins with the setting.
pub(super) fn web_address(text: &str) -> Result<Uri, String> {
    let parsed = text.parse::<Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some() && uri.query().is_none()
    });
    let is_plain = !text.contains(['#', '@']);
    parsed
        .filter(|_| is_plain)
        .ok_or_else(|| "must be an http or https URL without query or fragment".to_owned())
}

impl Issuer {
    /// The issuer of the [`issuer_identifier`] `text`.
    ///
    /// # Errors
    /// What is wrong with it: the rest of a sentence that begins with the issuer.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Ok(uri) = web_address(text) else {
            return Err("must be an http or https URL without query or fragment (RFC 8414)".to_owned());
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
        let path = uri.path().trim_end_matches('/');
        let mut segments = path.split('/').skip(1);
        if segments.any(|name| name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain)) {
            return Err("must have a path of letters, digits, `-`, `_`, `.` and `~`, if any".to_owned());
        }
        Ok(Self { identifier: text.to_owned(), is_https: is_https(&uri) })
    }

    /// Whether it is asked by https, unless it is told to be elsewhere.
    pub(super) const fn is_https(&self) -> bool {
        self.is_https
    }

    /// Where its metadata may be, the likeliest first: RFC 8414 section 3.1 puts the issuer's path behind the well-known one, OpenID
    /// Connect Discovery section 4 before it.
    pub(super) fn metadata_addresses(&self) -> [String; 2] {
        let trimmed = self.identifier.trim_end_matches('/');
        let after_scheme = trimmed.find("://").map_or(0, |at| at + 3);
        let path_at = trimmed[after_scheme..].find('/').map_or(trimmed.len(), |at| after_scheme + at);
        let (host, path) = trimmed.split_at(path_at);
        [format!("{host}{OAUTH_AUTHORIZATION_SERVER}{path}"), format!("{trimmed}{OPENID_CONFIGURATION}")]
    }

    /// Where its keys are, as its metadata in `document` say.
    ///
    /// # Errors
    /// If they are another issuer's (RFC 8414 section 3.3), or would lead from https to http: the rest of a sentence that begins with
    /// the document.
    pub(super) fn jwks_address(&self, document: &[u8]) -> Result<Uri, String> {
        let metadata: Metadata = serde_json::from_slice(document)
            .map_err(|error| format!("is no metadata of an issuer: {error}"))?;
        if metadata.issuer != self.identifier {
            return Err(format!("is of the issuer {:?}, and not of {:?}", metadata.issuer, self.identifier));
        }
        let address =
            web_address(&metadata.jwks_uri).map_err(|problem| format!("has a `jwks_uri` that {problem}"))?;
        if self.is_https && !is_https(&address) {
            return Err("has a `jwks_uri` that is not https, though the issuer is".to_owned());
        }
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_metadata_are_looked_for_where_both_specifications_put_them() {
        for (issuer, first, second) in [
            (
                "https://id.example",
                "https://id.example/.well-known/oauth-authorization-server",
                "https://id.example/.well-known/openid-configuration",
            ),
            (
                "http://id.example:8080/a/b/",
                "http://id.example:8080/.well-known/oauth-authorization-server/a/b",
                "http://id.example:8080/a/b/.well-known/openid-configuration",
            ),
        ] {
            assert_eq!(Issuer::parse(issuer).unwrap().metadata_addresses(), [first, second]);
        }
    }

    #[test]
    fn an_issuer_is_a_url_that_can_be_read_in_one_way() {
        for good in
            ["https://id.example", "http://127.0.0.1:8080", "https://id.example/a/b", "https://id.example/"]
        {
            assert_eq!(issuer_identifier(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "id.example",
            "ftp://id.example",
            "https://",
            "https://id.example?a",
            "https://id.example#a",
            "https://id.example/../a",
            "https://id.example//a",
            "https://id.example/%61",
            "https://user@id.example",
        ] {
            assert!(issuer_identifier(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn metadata_count_only_for_their_own_issuer_and_never_lead_out_of_https() {
        let read = |issuer: &str, said: &str, keys: &str| {
            let document = json!({ "issuer": said, "jwks_uri": keys }).to_string();
            Issuer::parse(issuer).unwrap().jwks_address(document.as_bytes())
        };
        let (https, http) = ("https://id.example", "http://id.example");
        assert_eq!(read(https, https, "https://keys.example/k").unwrap(), "https://keys.example/k");
        assert_eq!(read(http, http, "http://id.example/k").unwrap(), "http://id.example/k");
        for (issuer, said, keys, problem) in [
            (https, "https://id.example/", "https://id.example/k", "of the issuer"),
            (https, "https://evil.example", "https://id.example/k", "of the issuer"),
            (https, https, "http://id.example/k", "not https"),
            ("HTTPS://id.example", "HTTPS://id.example", "http://id.example/k", "not https"),
            (https, https, "file:///etc/passwd", "http or https URL"),
            (https, https, "/k", "http or https URL"),
        ] {
            assert!(read(issuer, said, keys).unwrap_err().contains(problem), "{said} {keys}");
        }
        for document in [&b"{}"[..], b"<html>"] {
            assert!(Issuer::parse(https).unwrap().jwks_address(document).is_err());
        }
    }
}
