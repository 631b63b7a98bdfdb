//! Owns `identity.v1.TokenService` on the wire.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{TOKEN_TYPE, encode, required};
use crate::{
    identity::{Introspection, Keyring, introspection::ActiveToken},
    proto::identity::v1::{
        GetJwksRequest, GetJwksResponse, IntrospectTokenRequest, IntrospectTokenResponse,
        token_service_server::TokenService,
    },
};

/// Serves `TokenService`.
#[derive(Debug)]
pub(crate) struct TokenRpc {
    introspection: Arc<Introspection>,
    keyring: Arc<Keyring>,
}

impl TokenRpc {
    pub(crate) const fn new(introspection: Arc<Introspection>, keyring: Arc<Keyring>) -> Self {
        Self { introspection, keyring }
    }
}

#[tonic::async_trait]
impl TokenService for TokenRpc {
    async fn introspect_token(
        &self,
        request: Request<IntrospectTokenRequest>,
    ) -> Result<Response<IntrospectTokenResponse>, Status> {
        let token = Zeroizing::new(request.into_inner().token);
        if token.is_empty() {
            return Err(required("token").into());
        }
        let active = self.introspection.introspect(&token).await?;
        Ok(Response::new(active.map_or_else(IntrospectTokenResponse::default, describe)))
    }

    async fn get_jwks(&self, _: Request<GetJwksRequest>) -> Result<Response<GetJwksResponse>, Status> {
        self.keyring.refresh().await?;
        let keys = self.keyring.published().keys.iter().filter_map(encode::json_web_key).collect();
        Ok(Response::new(GetJwksResponse { keys }))
    }
}

fn describe(token: ActiveToken) -> IntrospectTokenResponse {
    match token {
        ActiveToken::Access { claims, user } => IntrospectTokenResponse {
            active: true,
            scope: Some(claims.scope.clone()),
            client_id: Some(claims.client_id.clone()),
            username: user.map(|user| user.username.typed().to_owned()),
            token_type: Some(TOKEN_TYPE.to_owned()),
            exp: Some(claims.exp),
            iat: Some(claims.iat),
            nbf: claims.nbf,
            sub: Some(claims.sub.to_string()),
            aud: claims.aud.names().to_vec(),
            iss: Some(claims.iss.clone()),
            jti: Some(claims.jti.to_string()),
        },
        ActiveToken::Refresh { issuer, session, user, issue_time, expire_time } => IntrospectTokenResponse {
            active: true,
            scope: Some(session.scope.as_str().to_owned()),
            client_id: Some(session.client_id),
            username: Some(user.username.typed().to_owned()),
            exp: Some(expire_time.as_secs()),
            iat: Some(issue_time.as_secs()),
            sub: Some(session.user_id.to_string()),
            iss: Some(issuer),
            ..IntrospectTokenResponse::default()
        },
    }
}
