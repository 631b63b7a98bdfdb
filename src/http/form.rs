//! Owns reading the forms in which parameters come: `application/x-www-form-urlencoded`, as RFC 6749 has them, and `multipart/form-data`,
//! which many libraries and `FastAPI` take as well.

use axum::{
    body,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, Uri, header},
};
use percent_encoding::percent_decode;
use zeroize::Zeroizing;

use super::{
    multipart::{self, MULTIPART, Parameters},
    refusal::Refusal,
};
use crate::model::{Error, FieldReason, FieldViolation, RuleViolation};

/// The content type of a form that is encoded as in a URL.
const FORM: &str = "application/x-www-form-urlencoded";

/// How many parameters a form may have: more than any request of this API has, with all the audiences that there may be.
const MAX_PARAMETERS: usize = 256;

/// The parameters of a request, and what has been found wrong with those that were asked for.
#[derive(Default)]
pub(super) struct Form {
    parameters: Parameters,
    violations: Vec<FieldViolation>,
}

impl Form {
    /// Reads a form; none if `body` is not one, or not UTF-8, or has too many parameters.
    ///
    /// Stricter than browsers: a `%` that begins no escape, or bytes that are no UTF-8, could be read in more than one way, and
    /// what is read here are passwords.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let pieces = body.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty());
        if pieces.clone().nth(MAX_PARAMETERS).is_some() {
            return None;
        }
        let parameters = pieces.map(|piece| {
            let (name, value) = match piece.iter().position(|byte| *byte == b'=') {
                Some(at) => (&piece[..at], &piece[at + 1..]),
                None => (piece, &b""[..]),
            };
            Some((decoded(name)?, Zeroizing::new(decoded(value)?)))
        });
        Some(Self { parameters: parameters.collect::<Option<_>>()?, violations: Vec::new() })
    }

    /// All of its parameters, decoded: of a question that holds no secret.
    pub(super) fn into_parameters(self) -> Vec<(String, String)> {
        self.parameters.into_iter().map(|(name, value)| (name, value.to_string())).collect()
    }

    /// The value of `name`. A parameter without a value counts as absent, and none may come twice (RFC 6749 section 3.2).
    pub(super) fn optional(&mut self, name: &'static str) -> Option<Zeroizing<String>> {
        let mut found = self.parameters.iter().filter(|(found, _)| found == name);
        let first = found.next();
        if found.next().is_some() {
            self.refuse(name, FieldReason::Malformed, "must not come more than once");
            return None;
        }
        first.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    }

    /// The values of `name`, which may come any number of times.
    pub(super) fn any_number(&self, name: &str) -> Vec<String> {
        let values = self.parameters.iter().filter(|(found, value)| found == name && !value.is_empty());
        values.map(|(_, value)| value.to_string()).collect()
    }

    /// The value of `name`, which must be there; if it is not, an empty one, and [`Self::check`] fails.
    pub(super) fn required(&mut self, name: &'static str) -> Zeroizing<String> {
        let before = self.violations.len();
        let value = self.optional(name);
        if value.is_none() && self.violations.len() == before {
            let is_there = self.parameters.iter().any(|(found, _)| found == name);
            let rule = if is_there { "must be set: an empty one counts as absent" } else { "must be set" };
            self.refuse(name, FieldReason::Required, rule);
        }
        value.unwrap_or_default()
    }

    /// Notes that the value of `name` breaks `rule`.
    pub(super) fn refuse(&mut self, name: &'static str, reason: FieldReason, rule: &str) {
        self.violations.push(RuleViolation::new(reason, rule).at(name));
    }

    /// Whether everything that was asked for was in order.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] with every violation.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        match std::mem::take(&mut self.violations) {
            none if none.is_empty() => Ok(()),
            violations => Err(Error::InvalidFields(violations)),
        }
    }
}

impl Form {
    /// The form in the body of `request`, whatever its URL says.
    ///
    /// # Errors
    /// If the body is no form, or has too many parameters.
    pub(super) async fn read(request: Request) -> Result<Self, Refusal> {
        let (head, body) = request.into_parts();
        let Some((encoding, content_type)) = encoding(&head.headers) else {
            let error =
                Error::MalformedRequest(format!("its content type is neither `{FORM}` nor `{MULTIPART}`"));
            return Err(Refusal::with_status(error, StatusCode::UNSUPPORTED_MEDIA_TYPE));
        };
        // It has been read, and its size bounded, by `limits`.
        let body = body::to_bytes(body, usize::MAX).await.map_err(Error::internal)?;
        let read = match encoding {
            MULTIPART => {
                let parameters = multipart::parse(content_type, body, MAX_PARAMETERS).await;
                parameters.map(|parameters| Self { parameters, violations: Vec::new() })
            }
            _ => Self::parse(&body),
        };
        let malformed = || {
            Error::MalformedRequest(format!(
                "its body is not `{encoding}` in UTF-8, with at most {MAX_PARAMETERS} parameters"
            ))
        };
        Ok(read.ok_or_else(malformed)?)
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        refuse_query(request.uri())?;
        Self::read(request).await
    }
}

/// RFC 6749 section 2.3.1: what belongs in the body must not be in the URL, which is logged on its way.
fn refuse_query(uri: &Uri) -> Result<(), Error> {
    match uri.query() {
        None | Some("") => Ok(()),
        Some(_) => {
            Err(Error::MalformedRequest("its parameters belong in the body: URLs are logged".to_owned()))
        }
    }
}

/// How the body is a form, and its content type as a whole; none if it is not one, or compressed.
fn encoding(headers: &HeaderMap) -> Option<(&'static str, &str)> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let content_type = types.next()?.to_str().ok()?;
    if types.next().is_some() || headers.contains_key(header::CONTENT_ENCODING) {
        return None;
    }
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let encoding = [FORM, MULTIPART].into_iter().find(|known| essence.eq_ignore_ascii_case(known))?;
    Some((encoding, content_type))
}

/// A name or a value: `+` is a space, `%41` a byte.
pub(super) fn decoded(text: &[u8]) -> Option<String> {
    let text =
        Zeroizing::new(text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect::<Vec<_>>());
    let is_escape = |rest: &[u8]| rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit);
    let mut escapes = text.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    if !escapes.all(|(at, _)| is_escape(&text[at + 1..])) {
        return None;
    }
    // Room for all of it at once: a vector that grows leaves copies behind.
    let mut bytes = Vec::with_capacity(text.len());
    bytes.extend(percent_decode(&text));
    String::from_utf8(bytes).ok()
}

#[cfg(any(fuzzing, test))]
/// What must hold for any `body`: what is read at all is read as the URL standard reads it.
pub(crate) fn fuzz(body: &[u8]) {
    if let Some(mut form) = Form::parse(body) {
        let ours = form.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let theirs: Vec<_> = url::form_urlencoded::parse(body).into_owned().collect();
        assert!(ours.eq(theirs.iter().map(|(name, value)| (name.as_str(), value.as_str()))));
        let _ = (form.optional("grant_type"), form.any_number("resource"), form.required("username"));
        let _ = form.check();
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn violations(form: &mut Form) -> Vec<(String, FieldReason)> {
        match form.check() {
            Err(Error::InvalidFields(violations)) => {
                violations.iter().map(|violation| (violation.field.to_string(), violation.reason)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn values_are_decoded_and_empty_ones_are_absent() {
        let mut form = Form::parse(b"&a=1+2%263&b=&c&%64=%C3%A9&e==&").unwrap();
        let mut value = |name| form.optional(name).map(|value| value.to_string());
        assert_eq!(value("a").as_deref(), Some("1 2&3"));
        assert_eq!((value("b"), value("c"), value("nothing")), (None, None, None));
        assert_eq!(value("d").as_deref(), Some("é"));
        assert_eq!(value("e").as_deref(), Some("="));
        form.check().unwrap();
        let form = Form::parse(b"r=1&r=&s=3&r=2").unwrap();
        assert_eq!(
            (form.any_number("r"), form.any_number("t")),
            (vec!["1".to_owned(), "2".to_owned()], vec![])
        );
    }

    #[test]
    fn what_is_missing_or_repeated_is_named_all_at_once() {
        let mut form = Form::parse(b"a=1&a=1&b=&b=2&c=3&unknown=1&unknown=2").unwrap();
        assert_eq!(form.required("a").as_str(), "");
        assert_eq!(form.optional("b"), None);
        assert_eq!(form.required("c").as_str(), "3");
        assert_eq!(form.required("d").as_str(), "");
        let expected =
            [("a", FieldReason::Malformed), ("b", FieldReason::Malformed), ("d", FieldReason::Required)];
        assert_eq!(violations(&mut form), expected.map(|(field, reason)| (field.to_owned(), reason)));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_no_form() {
        for bad in
            [&b"a=%"[..], b"a=%4", b"a=%zz", b"%=a", b"a=100%25%", b"a=%FF", b"a=\xff", b"a=%C3", b"%C3=a"]
        {
            assert!(Form::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_form_has_not_more_parameters_than_any_request_needs() {
        let form = |count| Form::parse("a=&".repeat(count).as_bytes());
        assert!(form(MAX_PARAMETERS).is_some() && form(MAX_PARAMETERS + 1).is_none());
    }

    #[test]
    fn only_a_form_that_is_not_compressed_is_a_form() {
        let of = |types: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for content_type in types {
                headers.append(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            }
            encoding(&headers).map(|(encoding, _)| encoding)
        };
        for good in
            [FORM, "Application/X-WWW-Form-URLEncoded", "application/x-www-form-urlencoded ; charset=utf-8"]
        {
            assert_eq!(of(&[good]), Some(FORM), "{good}");
        }
        assert_eq!(of(&["Multipart/Form-Data; boundary=x"]), Some(MULTIPART));
        for bad in ["", "application/json", "multipart/mixed", "application/x-www-form-urlencoded2"] {
            assert_eq!(of(&[bad]), None, "{bad}");
        }
        assert_eq!((of(&[]), of(&[FORM, "application/json"])), (None, None));
    }

    proptest! {
        #[test]
        fn every_form_is_read_as_it_was_written(written in prop::collection::btree_map("[a-z]{1,3}", any::<String>(), 0..8)) {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&written).finish();
            let read = Form::parse(body.as_bytes()).unwrap();
            let read: Vec<_> = read.parameters.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
            prop_assert_eq!(read, written.into_iter().collect::<Vec<_>>());
        }

        /// What is read at all is read as the URL standard reads it.
        #[test]
        fn no_bytes_panic_or_are_read_otherwise_than_by_others(bytes in "[a%&=+4fF\u{e9}]{0,40}") {
            if let Some(read) = Form::parse(bytes.as_bytes()) {
                let theirs: Vec<_> = form_urlencoded::parse(bytes.as_bytes()).into_owned().collect();
                let ours: Vec<_> =
                    read.parameters.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
                prop_assert_eq!(ours, theirs);
            }
        }

        #[test]
        fn any_bytes_are_a_form_or_not(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Form::parse(&bytes);
        }
    }
}
