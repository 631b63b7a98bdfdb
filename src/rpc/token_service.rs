//! Owns `identity.v1.TokenService` on the wire.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{connect::CacheFor, encode, required};
use crate::{
    identity::{Introspection, Keyring, introspection::ActiveToken},
    proto::identity::v1::{
        GetJwksRequest, GetJwksResponse, IntrospectTokenRequest, IntrospectTokenResponse,
        token_service_server::TokenService,
    },
    wire::attributes,
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
        let mut response = Response::new(GetJwksResponse { keys });
        // As jwks.json is, where caches read it.
        response.extensions_mut().insert(CacheFor(self.keyring.published_max_age()));
        Ok(response)
    }
}

fn describe(token: ActiveToken) -> IntrospectTokenResponse {
    IntrospectTokenResponse {
        active: true,
        scope: Some(token.scope),
        client_id: Some(token.client_id),
        username: token.username,
        token_type: token.token_type.map(str::to_owned),
        exp: Some(token.exp),
        iat: Some(token.iat),
        nbf: token.nbf,
        sub: Some(token.sub),
        aud: token.aud.map(|aud| aud.names().to_vec()).unwrap_or_default(),
        iss: Some(token.iss),
        jti: token.jti,
        amr: token.amr.iter().map(str::to_owned).collect(),
        auth_time: token.auth_time,
        acr: token.acr,
        roles: token.roles,
        groups: token.groups,
        attributes: attributes(token.attributes),
    }
}
