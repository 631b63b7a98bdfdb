//! Owns `identity.v1.IdentityService` on the wire.

use std::sync::Arc;

use prost_types::Timestamp as WireTimestamp;
use tonic::{Request, Response, Status};

use super::limits::deadline_of;
use crate::{
    auth::Caller,
    identity::{Accounts, NewAccount, Tokens},
    model::{Error, FieldReason, RuleViolation, Timestamp, User},
    proto::identity::v1::{
        self as wire, GetMeRequest, GetMeResponse, IssueTokenRequest, IssueTokenResponse, PasswordGrant,
        SignUpRequest, SignUpResponse, identity_service_server::IdentityService, issue_token_request::Grant,
    },
};

/// The only token type there is (RFC 6750).
const TOKEN_TYPE: &str = "Bearer";

/// Serves `IdentityService`.
#[derive(Debug)]
pub(crate) struct IdentityRpc {
    accounts: Arc<Accounts>,
    tokens: Arc<Tokens>,
}

impl IdentityRpc {
    pub(crate) const fn new(accounts: Arc<Accounts>, tokens: Arc<Tokens>) -> Self {
        Self { accounts, tokens }
    }
}

#[tonic::async_trait]
impl IdentityService for IdentityRpc {
    async fn sign_up(&self, request: Request<SignUpRequest>) -> Result<Response<SignUpResponse>, Status> {
        let deadline = deadline_of(&request);
        let SignUpRequest { username, password, email, display_name } = request.into_inner();
        let password = zeroize::Zeroizing::new(password);
        let new = NewAccount {
            username: &username,
            password: &password,
            email: email.as_deref(),
            display_name: display_name.as_deref(),
        };
        let user = self.accounts.sign_up(new, deadline).await?;
        Ok(Response::new(SignUpResponse { user: Some(encode_user(&user)) }))
    }

    async fn issue_token(
        &self,
        request: Request<IssueTokenRequest>,
    ) -> Result<Response<IssueTokenResponse>, Status> {
        let deadline = deadline_of(&request);
        let user = match request.into_inner().grant {
            Some(Grant::Password(PasswordGrant { username, password })) => {
                let password = zeroize::Zeroizing::new(password);
                self.accounts.authenticate(&username, &password, deadline).await?
            }
            None => {
                let missing = RuleViolation::new(FieldReason::Required, "must be set");
                return Err(Error::InvalidFields(vec![missing.at("grant")]).into());
            }
        };
        let token = self.tokens.issue_to_user(user.id)?;
        Ok(Response::new(IssueTokenResponse {
            access_token: token.access_token,
            token_type: TOKEN_TYPE.to_owned(),
            expires_in: token.expires_in,
            scope: token.scope,
        }))
    }

    async fn get_me(&self, request: Request<GetMeRequest>) -> Result<Response<GetMeResponse>, Status> {
        let caller = request
            .extensions()
            .get::<Caller>()
            .ok_or_else(|| Error::internal("an authenticated method was reached without a caller"))?;
        let user = self.accounts.user(caller.user_id()).await?.ok_or(Error::TokenRevoked)?;
        Ok(Response::new(GetMeResponse { user: Some(encode_user(&user)) }))
    }
}

fn encode_user(user: &User) -> wire::User {
    wire::User {
        id: user.id.to_string(),
        username: user.username.typed().to_owned(),
        email: user.email.as_ref().map(|email| email.as_str().to_owned()),
        display_name: user.display_name.as_ref().map(|name| name.as_str().to_owned()),
        is_active: user.is_active,
        create_time: Some(encode_time(user.create_time)),
        update_time: Some(encode_time(user.update_time)),
    }
}

fn encode_time(time: Timestamp) -> WireTimestamp {
    WireTimestamp { seconds: time.as_secs(), nanos: time.subsec_nanos() }
}
