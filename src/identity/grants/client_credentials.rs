//! Owns the client credentials grant (RFC 6749 section 4.4): a client's own credentials, for a token in its own name.

use super::{Asked, Grant, Granted, Granting, Grants, scope::Allowed};
use crate::{
    identity::{
        clients::Requester,
        tokens::{Holder, TokenStamp},
    },
    metrics::GrantType,
    model::{ClientKind, Error},
};

/// Nothing beside what the request says of its client.
pub(crate) struct ClientCredentialsGrant;

impl Grant for ClientCredentialsGrant {
    fn kind(&self) -> GrantType {
        GrantType::ClientCredentials
    }

    fn is_for_a_user(&self) -> bool {
        false
    }

    fn exchange(self: Box<Self>, grants: &Grants, asked: Asked) -> Granting<'_> {
        Box::pin(exchange(grants, asked))
    }
}

/// Gives no refresh token: the client can ask again (RFC 6749 section 4.4.3).
async fn exchange(grants: &Grants, asked: Asked) -> Result<Granted, Error> {
    let Asked { proven, wish, origin, .. } = asked;
    let found = match proven.requester() {
        Requester::Client(found) if found.client().kind == ClientKind::Confidential => found,
        // Who has proven nothing gets nothing.
        _ => return Err(Error::InvalidClient),
    };
    let terms = wish.within(&Allowed::for_client(found, grants.tokens.audience()))?;
    let (holder, stamp) = (Holder::Client(found.client().id), TokenStamp::new(grants.clock.now()));
    grants.clients.accept(proven, &origin).await?;
    let access = grants.tokens.issue(holder, stamp, &terms.scope, &terms.audience)?;
    Ok(Granted { access, refresh_token: None, is_repeated: false })
}
