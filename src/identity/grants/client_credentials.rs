//! Owns the client credentials grant (RFC 6749 section 4.4): a client's own credentials, for a token in its own name.

use super::{Asked, Grant, Granted, Granting, Grants};
use crate::{
    identity::{
        permissions::Recipient,
        tokens::{TokenStamp, TokenSubject},
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
    let client = proven.requester().client();
    if client.kind != ClientKind::Confidential {
        // Who has proven nothing gets nothing.
        return Err(Error::InvalidClient);
    }
    let audience = wish.audience_of_client(client, grants.tokens.audience())?;
    let recipient = Recipient { audience: &audience, claims: &client.token_claims };
    let given = grants.permissions.for_client(client, wish.scope(), recipient).await?;
    let (holder, stamp) = (TokenSubject::Client(client.id), TokenStamp::new(grants.clock.now()));
    grants.clients.accept(proven, &origin).await?;
    let access = grants.tokens.issue(holder, stamp, &given, &audience)?;
    Ok(Granted { access, refresh_token: None, is_repeated: false })
}
