//! Owns the end of every grant that logs a user in: a session, and its first tokens.

use super::{
    Granted, Grants,
    scope::{Allowed, Terms, Wish},
};
use crate::{
    identity::{
        Proof,
        clients::Requester,
        permissions::Recipient,
        sessions::Opening,
        tokens::{TokenStamp, TokenSubject},
    },
    model::{Error, Origin},
};

/// How a session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionKind {
    /// By refresh tokens.
    Refreshed,
    /// Not at all: it ends with its only access token.
    OneAccessToken,
}

impl Grants {
    /// What a login with `requester` opens, if its client may have what `wish` asks for.
    ///
    /// # Errors
    /// [`Error::InvalidScope`], [`Error::InvalidAudience`].
    pub(super) fn opening(
        &self,
        requester: &Requester,
        wish: &Wish,
        origin: Origin,
        kind: SessionKind,
    ) -> Result<Opening, Error> {
        let own = self.tokens.audience();
        let Terms { scope: asked_scope, audience } = wish.within(&Allowed::for_user_of(requester, own))?;
        // What means the service itself goes on meaning it when its name is changed.
        let audience = (audience != *own).then_some(audience);
        let token_claims = requester.token_claims();
        let ends_after = match kind {
            SessionKind::Refreshed => None,
            SessionKind::OneAccessToken => Some(self.tokens.lifetime()),
        };
        let client_id = requester.client_id();
        Ok(Opening { client_id, asked_scope, audience, token_claims, origin, ends_after })
    }

    /// The first tokens of the session that `opening` describes, and `proof` opens.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`] if the user was changed meanwhile.
    pub(super) async fn log_in(&self, proof: &Proof, opening: Opening) -> Result<Granted, Error> {
        let audience = opening.audience.clone();
        let audience = audience.as_ref().unwrap_or(self.tokens.audience());
        let recipient = Recipient { audience, claims: &opening.token_claims };
        let mut given = self.permissions.for_user(proof.user.id, &opening.asked_scope, recipient).await?;
        given.attributes = self.attributes.in_token(&proof.user).await?;
        let (session, token) = self.sessions.open(proof, opening, &given.scope).await?;
        let stamp = TokenStamp::new(session.create_time);
        let access = self.tokens.issue(TokenSubject::User(&session), stamp, &given, audience)?;
        Ok(Granted { access, refresh_token: token, is_repeated: false })
    }
}
