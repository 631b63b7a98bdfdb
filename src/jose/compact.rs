//! Owns taking a compact JWS apart (RFC 7515 sections 4 and 7.1). Nothing that it says is believed here.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};

/// What a media type begins with that RFC 7515 section 4.1.9 lets a `typ` leave out.
const APPLICATION: &str = "application/";

/// A JWS in compact serialization, whose signature has yet to be verified. A signed JWT is one (RFC 7519 section 3).
#[derive(Debug)]
pub struct CompactJws<'t> {
    header: JoseHeader,
    signing_input: &'t str,
    payload: &'t str,
    signature: &'t str,
}

/// What is read of a JOSE header. `jwk`, `jku`, `x5u` and `x5c` are not: a signature does not bring its own key.
#[derive(Debug, Deserialize)]
pub struct JoseHeader {
    /// The algorithm that the signature is said to be made by.
    pub alg: String,
    /// The type of the whole.
    #[serde(default)]
    pub typ: Option<String>,
    /// The id of the key that the signature is said to be made with.
    #[serde(default)]
    pub kid: Option<String>,
    #[serde(default, deserialize_with = "whatever")]
    crit: Option<IgnoredAny>,
}

/// Why a text is not a JWS that says what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It does not have three parts in base64url.
    NotCompact,
    /// A part is not a JSON object with the members that were asked for.
    OtherJson,
}

impl<'t> CompactJws<'t> {
    /// Takes `text` apart and reads its header.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(text: &'t str) -> Result<Self, Malformed> {
        let (signing_input, signature) = text.rsplit_once('.').ok_or(Malformed::NotCompact)?;
        let (header, payload) = signing_input.split_once('.').ok_or(Malformed::NotCompact)?;
        Ok(Self { header: json(header)?, signing_input, payload, signature })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &JoseHeader {
        &self.header
    }

    /// What the signature is of.
    #[must_use]
    pub const fn signing_input(&self) -> &'t str {
        self.signing_input
    }

    /// What the payload says. Before the signature has been verified, anybody may have said it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, Malformed> {
        json(self.payload)
    }

    /// The bytes of the signature.
    ///
    /// # Errors
    /// [`Malformed::NotCompact`].
    pub fn signature(&self) -> Result<Vec<u8>, Malformed> {
        decode(self.signature)
    }
}

impl JoseHeader {
    /// Whether the type is said, and is `typ`: with or without `application/`, in any case (RFC 7515 section 4.1.9).
    #[must_use]
    pub fn is_of_type(&self, typ: &str) -> bool {
        self.typ.as_deref().is_some_and(|said| is_media_type(said, typ))
    }

    /// Whether it has extensions that must be understood, of which none is (RFC 7515 section 4.1.11).
    #[must_use]
    pub const fn has_critical_extensions(&self) -> bool {
        self.crit.is_some()
    }
}

fn is_media_type(said: &str, typ: &str) -> bool {
    let prefix = said.get(..APPLICATION.len());
    let said = match prefix {
        Some(prefix) if prefix.eq_ignore_ascii_case(APPLICATION) => &said[APPLICATION.len()..],
        _ => said,
    };
    said.eq_ignore_ascii_case(typ)
}

fn json<T: DeserializeOwned>(part: &str) -> Result<T, Malformed> {
    let bytes = decode(part)?;
    // Serde takes an array for a struct, too: its members in their order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Malformed::OtherJson);
    }
    serde_json::from_slice(&bytes).map_err(|_| Malformed::OtherJson)
}

/// A member that is there, whatever its value: `null` counts, too.
fn whatever<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IgnoredAny>, D::Error> {
    IgnoredAny::deserialize(deserializer).map(Some)
}

fn decode(part: &str) -> Result<Vec<u8>, Malformed> {
    Base64UrlUnpadded::decode_vec(part).map_err(|_| Malformed::NotCompact)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_taken_apart() {
        // RFC 7515 appendix A.1.
        let text = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let jws = CompactJws::parse(text).unwrap();
        assert_eq!((jws.header().alg.as_str(), jws.header().kid.as_deref()), ("HS256", None));
        assert!(jws.header().is_of_type("jwt") && !jws.header().has_critical_extensions());
        assert_eq!(text.strip_prefix(jws.signing_input()).map(str::len), Some(1 + 43));
        assert_eq!(jws.payload::<Value>().unwrap()["iss"], "joe");
        assert_eq!(jws.signature().unwrap().len(), 32);
    }

    #[test]
    fn what_is_not_three_parts_of_base64url_is_told_from_other_json() {
        let encode = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
        let header = encode(r#"{"alg":"ES256"}"#);
        for text in ["", "a", "a.b", "=.a.b", "a=.b.c"] {
            assert_eq!(CompactJws::parse(text).unwrap_err(), Malformed::NotCompact, "{text}");
        }
        for json in ["", "{}", "[]", r#"["ES256"]"#, r#"{"alg":1}"#, r#"{"alg":"ES256","kid":1}"#, "null"] {
            let text = format!("{}.e30.AA", encode(json));
            assert_eq!(CompactJws::parse(&text).unwrap_err(), Malformed::OtherJson, "{json}");
        }
        for payload in ["[]", r#" ["joe"]"#, "null", r#""joe""#, "1"] {
            let text = format!("{header}.{}.AA", encode(payload));
            let read = CompactJws::parse(&text).unwrap().payload::<Value>();
            assert_eq!(read.unwrap_err(), Malformed::OtherJson, "{payload}");
        }
        let spaced = format!("{header}.{}.AA", encode("\n\t {} "));
        assert!(CompactJws::parse(&spaced).unwrap().payload::<Value>().is_ok());
        let text = format!("{header}.e30=.A");
        let jws = CompactJws::parse(&text).unwrap();
        assert_eq!(jws.payload::<Value>().unwrap_err(), Malformed::NotCompact);
        assert_eq!(jws.signature().unwrap_err(), Malformed::NotCompact);
    }

    #[test]
    fn an_extension_is_critical_if_it_is_named_so() {
        let parse = |header: &str| {
            let text = format!("{}.e30.AA", Base64UrlUnpadded::encode_string(header.as_bytes()));
            CompactJws::parse(&text).unwrap().header().has_critical_extensions()
        };
        assert!(parse(r#"{"alg":"ES256","crit":["b64"]}"#) && parse(r#"{"alg":"ES256","crit":[]}"#));
        assert!(parse(r#"{"alg":"ES256","crit":null}"#), "it is named");
        assert!(!parse(r#"{"alg":"ES256","b64":false}"#));
    }

    #[test]
    fn the_type_is_compared_as_a_media_type() {
        for good in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
            assert!(is_media_type(good, "at+jwt"), "{good}");
        }
        for bad in
            ["", "JWT", "at+jwt2", "application/", "application/jwt", "text/at+jwt", "äpplication/at+jwt"]
        {
            assert!(!is_media_type(bad, "at+jwt"), "{bad}");
        }
    }
}
