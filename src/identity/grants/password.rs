//! Owns the password grant (RFC 6749 section 4.3): a user's name and password, for a session and its first tokens.

use zeroize::Zeroizing;

use super::{Asked, Grant, Granted, Granting, Grants, SessionKind};
use crate::{metrics::GrantType, model::Error};

/// A username and its password.
pub(crate) struct PasswordGrant {
    pub(crate) username: String,
    pub(crate) password: Zeroizing<String>,
    /// What the login opens.
    pub(crate) session: SessionKind,
}

impl Grant for PasswordGrant {
    fn kind(&self) -> GrantType {
        GrantType::Password
    }

    fn exchange(self: Box<Self>, grants: &Grants, asked: Asked) -> Granting<'_> {
        Box::pin(self.log_in(grants, asked))
    }
}

impl PasswordGrant {
    async fn log_in(self: Box<Self>, grants: &Grants, asked: Asked) -> Result<Granted, Error> {
        let Asked { proven, wish, origin, deadline } = asked;
        let opening = grants.opening(proven.requester(), &wish, origin, self.session)?;
        let origin = &opening.origin;
        grants.clients.accept(proven, origin).await?;
        let proof = grants.accounts.authenticate(&self.username, &self.password, origin, deadline).await?;
        grants.log_in(&proof, opening).await
    }
}
