//! Owns who sent a request, as far as can be seen of it.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts},
};

use crate::{
    auth::Authenticator,
    identity::{GoodStanding, Keyring, clients::ClientSlot},
    model::{CertificateNames, Origin},
    peer::{self, PeerAddress},
};

/// Who recognises callers by their tokens.
pub(super) type Recogniser = Arc<Authenticator<Arc<Keyring>, GoodStanding>>;

/// Who sent a request.
pub(super) struct Sender {
    pub(super) origin: Origin,
    /// The verified certificate.
    pub(super) certificate: Option<Arc<CertificateNames>>,
    /// Where its client is put.
    pub(super) slot: ClientSlot,
}

impl<S: Sync> FromRequestParts<S> for Sender {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let user_agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let address = parts.extensions.get::<PeerAddress>().map(|peer| peer.ip());
        Ok(Self {
            origin: Origin::of(user_agent, address).of_request(parts.extensions.get().copied()),
            certificate: peer::certificate(&parts.extensions, &parts.headers),
            slot: parts.extensions.get().cloned().unwrap_or_default(),
        })
    }
}

/// Whether a request shows a token, and not a client's credentials or nothing.
pub(super) fn is_bearer(headers: &HeaderMap) -> bool {
    let value = headers.get(header::AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
    value.split(|byte| *byte == b' ').next().is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"))
}
