//! Owns which client asks, and how it proves that (RFC 6749 section 2.3).

use axum::http::{HeaderMap, header};
use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use crate::{
    http::form::{self, Form},
    identity::clients::{ClientAuthentication, ClientCredential},
    model::{Error, FieldReason},
};

/// How clients may prove who they are, by the names of RFC 8414 section 2.
pub(in crate::http) const PROVING_METHODS: [&str; 3] =
    ["client_secret_basic", "client_secret_post", "private_key_jwt"];

/// By the certificate of the connection, where there are such: the request says nothing but its `client_id` (RFC 8705 section 2.1).
pub(in crate::http) const TLS_CLIENT_AUTH: &str = "tls_client_auth";

/// The only type of assertion there is (RFC 7523 section 2.2).
pub(in crate::http) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a request says of its client in `authorization` and in its form; nothing for the first-party application.
///
/// # Errors
/// [`Error::MalformedRequest`] if it says more than one thing (section 2.3: one method in each request),
/// [`Error::InvalidFields`] if an assertion is given in part, [`Error::InvalidClient`] if `authorization` cannot be read.
pub(super) fn said(headers: &HeaderMap, form: &mut Form) -> Result<Option<ClientAuthentication>, Error> {
    let client_id = form.optional("client_id").map(|id| id.to_string());
    let secret = form.optional("client_secret");
    let assertion = assertion(form);
    form.check()?;
    if let Some((id, by_header)) = basic(headers)? {
        let says_another = client_id.is_some_and(|other| other != id);
        if says_another || secret.is_some() || assertion.is_some() {
            return Err(more_than_one());
        }
        let credential = by_header.map_or(ClientCredential::None, ClientCredential::Secret);
        return Ok(Some(ClientAuthentication { client_id: Some(id), credential }));
    }
    let credential = match (secret, assertion) {
        (Some(_), Some(_)) => return Err(more_than_one()),
        (Some(secret), None) => ClientCredential::Secret(secret),
        (None, Some(assertion)) => ClientCredential::Assertion(assertion.to_string()),
        (None, None) if client_id.is_none() => return Ok(None),
        (None, None) => ClientCredential::None,
    };
    Ok(Some(ClientAuthentication { client_id, credential }))
}

/// The request says in more than one way who asks.
pub(super) fn more_than_one() -> Error {
    Error::MalformedRequest(
        "it says in more than one way which client asks (RFC 6749 section 2.3)".to_owned(),
    )
}

/// The assertion, if there is one of a type that is known.
fn assertion(form: &mut Form) -> Option<Zeroizing<String>> {
    let kind = form.optional("client_assertion_type");
    let assertion = form.optional("client_assertion");
    match (&kind, &assertion) {
        (Some(kind), _) if kind.as_str() != JWT_BEARER => {
            form.refuse("client_assertion_type", FieldReason::Malformed, &format!("must be `{JWT_BEARER}`"));
        }
        (None, Some(_)) => form.refuse("client_assertion_type", FieldReason::Required, "must be set"),
        (Some(_), None) => form.refuse("client_assertion", FieldReason::Required, "must be set"),
        (None, None) | (Some(_), Some(_)) => {}
    }
    assertion
}

/// An id, and a secret if there is one.
type IdAndSecret = (String, Option<Zeroizing<String>>);

/// The client's id and its secret by the scheme `Basic`, both encoded as in a form before (section 2.3.1). An empty secret is none:
/// so libraries name a public client; and an empty id beside it names nobody, as browsers' consoles for APIs send it.
fn basic(headers: &HeaderMap) -> Result<Option<IdAndSecret>, Error> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let read = || {
        let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
        // Behind the scheme there may be more than one space (RFC 9110 section 11.4: `1*SP`).
        let credentials = Zeroizing::new(Base64::decode_vec(credentials.trim_start_matches(' ')).ok()?);
        let colon = credentials.iter().position(|byte| *byte == b':')?;
        let id = form::decoded(&credentials[..colon])?;
        let secret = Zeroizing::new(form::decoded(&credentials[colon + 1..])?);
        scheme.eq_ignore_ascii_case("basic").then_some((id, Some(secret).filter(|secret| !secret.is_empty())))
    };
    if values.next().is_some() {
        return Err(more_than_one());
    }
    match read() {
        Some((id, None)) if id.is_empty() => Ok(None),
        Some(said) => Ok(Some(said)),
        None => Err(Error::InvalidClient),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    /// What `authorization` says, and the form.
    fn read(authorization: Option<&str>, form: &str) -> Result<Option<(Option<String>, String)>, Error> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let said = said(&headers, &mut Form::parse(form.as_bytes()).unwrap())?;
        Ok(said.map(|said| match said.credential {
            ClientCredential::None => (said.client_id, "none".to_owned()),
            ClientCredential::Secret(secret) => (said.client_id, format!("secret {}", *secret)),
            ClientCredential::Assertion(text) => (said.client_id, format!("assertion {text}")),
        }))
    }

    fn basic_of(credentials: &str) -> String {
        format!("Basic {}", Base64::encode_string(credentials.as_bytes()))
    }

    #[test]
    fn each_method_is_read_alone() {
        let said = |id: &str, credential: &str| Some((Some(id.to_owned()), credential.to_owned()));
        let assertion = format!("client_assertion_type={JWT_BEARER}&client_assertion=a.b.c");
        for (authorization, form, expected) in [
            (None, "", None),
            (None, "client_id=", None),
            (None, "client_id=x", said("x", "none")),
            (None, "client_id=x&client_secret=", said("x", "none")),
            (None, "client_id=x&client_secret=y", said("x", "secret y")),
            (None, "client_secret=y", Some((None, "secret y".to_owned()))),
            (None, &assertion, Some((None, "assertion a.b.c".to_owned()))),
            (None, &format!("client_id=x&{assertion}"), said("x", "assertion a.b.c")),
            (Some(&*basic_of("x:y")), "", said("x", "secret y")),
            (Some(&*basic_of("x:y").replace("Basic", "bAsIc")), "", said("x", "secret y")),
            (Some(&*basic_of("x:y").replace("Basic ", "Basic   ")), "", said("x", "secret y")),
            (Some(&*basic_of("x:y")), "client_id=x", said("x", "secret y")),
            (Some(&*basic_of("x:")), "", said("x", "none")),
            (Some(&*basic_of(":")), "", None),
            (Some(&*basic_of(":")), "client_id=x", said("x", "none")),
            (Some(&*basic_of(":y")), "", said("", "secret y")),
            // RFC 6749 section 2.3.1: encoded as in a form, so that a colon in the id is none that separates.
            (Some(&*basic_of("a%3Ab+c:%C3%A9:%25")), "", said("a:b c", "secret é:%")),
        ] {
            assert_eq!(read(authorization, form).unwrap(), expected, "{authorization:?} {form}");
        }
    }

    #[test]
    fn more_than_one_method_at_once_is_refused() {
        let assertion = format!("client_assertion_type={JWT_BEARER}&client_assertion=a.b.c");
        let basic = basic_of("x:y");
        for (authorization, form) in [
            (Some(&*basic), "client_secret=y".to_owned()),
            (Some(&*basic), "client_id=x&client_secret=y".to_owned()),
            (Some(&*basic), "client_id=z".to_owned()),
            (Some(&*basic_of("x:")), assertion.clone()),
            (None, format!("client_secret=y&{assertion}")),
        ] {
            let refused = read(authorization, &form).unwrap_err();
            assert!(matches!(refused, Error::MalformedRequest(_)), "{authorization:?} {form}: {refused:?}");
        }
        let mut headers = HeaderMap::new();
        for _ in 0..2 {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(&basic).unwrap());
        }
        let refused = said(&headers, &mut Form::parse(b"").unwrap()).unwrap_err();
        assert!(matches!(refused, Error::MalformedRequest(_)), "{refused:?}");
    }

    #[test]
    fn an_assertion_comes_with_its_type() {
        for (form, field) in [
            ("client_assertion=a.b.c".to_owned(), "client_assertion_type"),
            (format!("client_assertion_type={JWT_BEARER}"), "client_assertion"),
            ("client_assertion_type=saml&client_assertion=x".to_owned(), "client_assertion_type"),
        ] {
            let Err(Error::InvalidFields(violations)) = read(None, &form) else { panic!("{form} is taken") };
            assert_eq!(
                violations.iter().map(|one| one.field.as_ref()).collect::<Vec<_>>(),
                [field],
                "{form}"
            );
        }
    }

    #[test]
    fn a_header_that_is_not_basic_is_refused() {
        for bad in
            ["", "Basic", "Basic ", "Basic !", "Basic eA==", "Basic eDp5=", "Bearer x", "x:y", "Basic eDr/"]
        {
            assert!(matches!(read(Some(bad), ""), Err(Error::InvalidClient)), "{bad}");
        }
        assert!(matches!(read(Some(&basic_of("x:%")), ""), Err(Error::InvalidClient)));
    }

    proptest! {
        #[test]
        fn every_id_and_secret_is_read_as_it_was_written(id in ".{1,20}", secret in ".{1,20}") {
            let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let header = basic_of(&format!("{}:{}", encoded(&id), encoded(&secret)));
            prop_assert_eq!(read(Some(&header), "").unwrap(), Some((Some(id), format!("secret {secret}"))));
        }

        #[test]
        fn no_header_panics(text in "[ -~]{0,40}") {
            let _ = read(Some(&text), "");
        }
    }
}
