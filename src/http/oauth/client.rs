//! Owns which client asks, and how it proves that (RFC 6749 section 2.3).

use axum::http::{HeaderMap, header};

use crate::{
    http::form::Form,
    model::{Error, claims::FIRST_PARTY_CLIENT},
};

/// How clients may authenticate, by the names of RFC 8414 section 2.
pub(in crate::http) const METHODS: &[&str] = &["none"];

/// Lets the first-party client through, named or not; there is no other yet, and it has no secret.
///
/// # Errors
/// [`Error::InvalidClient`].
pub(super) fn identify(headers: &HeaderMap, form: &mut Form) -> Result<(), Error> {
    let client_id = form.optional("client_id");
    let is_first_party = client_id.is_none_or(|id| id.as_str() == FIRST_PARTY_CLIENT);
    if is_first_party && !headers.contains_key(header::AUTHORIZATION) {
        Ok(())
    } else {
        Err(Error::InvalidClient)
    }
}
