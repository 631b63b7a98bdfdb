//! Owns revoking a token by whoever holds it (RFC 7009), whichever protocol asks.

use std::sync::Arc;

use super::{
    Clients, GoodStanding, Keyring, RefreshToken, Sessions,
    clients::{ClientAuthentication, ClientSlot},
};
use crate::{
    auth::Verifier,
    model::{CertificateNames, Error, Origin, SessionId, Subject, UserId},
};

/// Revokes tokens.
#[derive(Debug)]
pub struct Revocation {
    verifier: Arc<Verifier<Arc<Keyring>>>,
    clients: Arc<Clients>,
    sessions: Arc<Sessions>,
    standing: GoodStanding,
}

impl Revocation {
    /// Believes `verifier`, `clients` and `standing`, and ends the sessions in `sessions`.
    #[must_use]
    pub const fn new(
        verifier: Arc<Verifier<Arc<Keyring>>>,
        clients: Arc<Clients>,
        sessions: Arc<Sessions>,
        standing: GoodStanding,
    ) -> Self {
        Self { verifier, clients, sessions, standing }
    }

    /// Ends the session that `token` belongs to, an access or a refresh token of the client that asks, from `origin`, with
    /// `certificate` if it has shown one; that client is put into `slot`. A token that is unknown is no error (section 2.2). An access
    /// token may have expired, as long as the key that signed it is in force.
    ///
    /// # Errors
    /// [`Error::InvalidClient`]; [`Error::TokenOfAnotherClient`] (section 2.1); [`Error::UnsupportedTokenType`] for a client's own
    /// access token, which has no session to end.
    pub async fn revoke(
        &self,
        token: &str,
        client: Option<ClientAuthentication>,
        certificate: Option<&CertificateNames>,
        origin: &Origin,
        slot: &ClientSlot,
    ) -> Result<(), Error> {
        let requester = self.clients.authenticate(client, certificate, origin, slot).await?;
        let found = match RefreshToken::parse(token) {
            // It has no dot: no JWT reads like that.
            Some(token) => self.session_of_refresh(token).await?,
            None => self.session_of_access(token).await?,
        };
        let Some((user, session, client_id)) = found else { return Ok(()) };
        if client_id != requester.client_id() {
            return Err(Error::TokenOfAnotherClient);
        }
        // Old tokens of ended sessions are many, and whoever has one can show it again and again: that writes nothing.
        if !self.sessions.goes_on(session).await? {
            return Ok(());
        }
        match self.sessions.end(user, session, origin).await {
            Ok(()) | Err(Error::SessionNotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn session_of_refresh(&self, token: RefreshToken) -> Result<Option<Found>, Error> {
        match self.sessions.present(token).await {
            Ok(presented) => {
                let session = presented.session();
                Ok(Some((session.user_id, session.id, session.client_id.clone())))
            }
            Err(Error::RefreshTokenInvalid) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn session_of_access(&self, token: &str) -> Result<Option<Found>, Error> {
        // An expired one too: the signature proves whose session it is, and the session goes on by its refresh token.
        let claims = match self.verifier.verify_expired(token).await {
            Ok(claims) => claims,
            Err(Error::TokenInvalid(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        match self.standing.must_count(&claims).await {
            Ok(()) => {}
            Err(Error::TokenInvalid(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
        match claims.subject() {
            Subject::User(user, session) => Ok(Some((user, session, claims.client_id.clone()))),
            Subject::Client(_) => Err(Error::UnsupportedTokenType),
        }
    }
}

/// Whose session a token belongs to, which, and the client that it was opened with.
type Found = (UserId, SessionId, String);
