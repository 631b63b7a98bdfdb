//! Owns `identity.v1.IdentityService` on the wire.

use std::{net::SocketAddr, sync::Arc};

use tonic::{Request, Response, Status};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{encode, limits::deadline_of, paging};
use crate::{
    auth::Caller,
    identity::{
        Accounts, Grants, NewAccount, RefreshToken, Sessions,
        accounts::NewProfile,
        grants::{Grant, Granted},
    },
    model::{Error, FieldReason, Origin, RuleViolation, SessionId},
    proto::identity::v1::{
        ChangePasswordRequest, ChangePasswordResponse, DeleteMeRequest, DeleteMeResponse, GetMeRequest,
        GetMeResponse, IssueTokenRequest, IssueTokenResponse, ListSessionsRequest, ListSessionsResponse,
        PasswordGrant, RefreshTokenGrant, RevokeAllSessionsRequest, RevokeAllSessionsResponse,
        RevokeSessionRequest, RevokeSessionResponse, RevokeTokenRequest, RevokeTokenResponse, SignUpRequest,
        SignUpResponse, UpdateMeRequest, UpdateMeResponse, identity_service_server::IdentityService,
        issue_token_request::Grant as WireGrant,
    },
};

/// The only token type there is (RFC 6750).
const TOKEN_TYPE: &str = "Bearer";

/// Serves `IdentityService`.
#[derive(Debug)]
pub(crate) struct IdentityRpc {
    accounts: Arc<Accounts>,
    sessions: Arc<Sessions>,
    grants: Arc<Grants>,
}

impl IdentityRpc {
    pub(crate) const fn new(accounts: Arc<Accounts>, sessions: Arc<Sessions>, grants: Arc<Grants>) -> Self {
        Self { accounts, sessions, grants }
    }
}

#[tonic::async_trait]
impl IdentityService for IdentityRpc {
    async fn sign_up(&self, request: Request<SignUpRequest>) -> Result<Response<SignUpResponse>, Status> {
        let deadline = deadline_of(&request);
        let SignUpRequest { username, password, email, display_name } = request.into_inner();
        let password = Zeroizing::new(password);
        let new = NewAccount {
            username: &username,
            password: &password,
            email: email.as_deref(),
            display_name: display_name.as_deref(),
        };
        let user = self.accounts.sign_up(new, deadline).await?;
        Ok(Response::new(SignUpResponse { user: Some(encode::user(&user)) }))
    }

    async fn issue_token(
        &self,
        request: Request<IssueTokenRequest>,
    ) -> Result<Response<IssueTokenResponse>, Status> {
        let (deadline, origin) = (deadline_of(&request), origin_of(&request));
        let grant = match request.into_inner().grant.ok_or_else(|| required("grant"))? {
            WireGrant::Password(PasswordGrant { username, password }) => {
                Grant::Password { username, password: Zeroizing::new(password) }
            }
            WireGrant::RefreshToken(RefreshTokenGrant { refresh_token }) => {
                Grant::RefreshToken(Zeroizing::new(refresh_token))
            }
        };
        let Granted { access, refresh_token } = self.grants.exchange(grant, origin, deadline).await?;
        Ok(Response::new(IssueTokenResponse {
            access_token: access.access_token,
            token_type: TOKEN_TYPE.to_owned(),
            expires_in: access.expires_in,
            scope: access.scope,
            refresh_token: refresh_token.map(|token| token.text()),
        }))
    }

    async fn get_me(&self, request: Request<GetMeRequest>) -> Result<Response<GetMeResponse>, Status> {
        let user = self.accounts.user(caller_of(&request)?.user_id()).await?.ok_or(Error::TokenRevoked)?;
        Ok(Response::new(GetMeResponse { user: Some(encode::user(&user)) }))
    }

    async fn update_me(
        &self,
        request: Request<UpdateMeRequest>,
    ) -> Result<Response<UpdateMeResponse>, Status> {
        let id = caller_of(&request)?.user_id();
        let UpdateMeRequest { user, update_mask } = request.into_inner();
        let user = user.ok_or_else(|| required("user"))?;
        let (email, name) = (user.email.as_deref(), user.display_name.as_deref());
        let mut change = NewProfile::default();
        match update_mask.filter(|mask| !mask.paths.is_empty()) {
            None => (change.email, change.display_name) = (email.map(Some), name.map(Some)),
            Some(mask) => {
                for path in &mask.paths {
                    match path.as_str() {
                        "email" => change.email = Some(email),
                        "display_name" => change.display_name = Some(name),
                        "*" => (change.email, change.display_name) = (Some(email), Some(name)),
                        _ => {
                            return Err(
                                refused("update_mask", FieldReason::NotUpdatable, NOT_UPDATABLE).into()
                            );
                        }
                    }
                }
            }
        }
        let user = self.accounts.update(id, change).await?;
        Ok(Response::new(UpdateMeResponse { user: Some(encode::user(&user)) }))
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Result<Response<ChangePasswordResponse>, Status> {
        let deadline = deadline_of(&request);
        let caller = caller_of(&request)?;
        let ChangePasswordRequest { current_password, new_password } = request.into_inner();
        let (current, new) = (Zeroizing::new(current_password), Zeroizing::new(new_password));
        let keep = caller.session_id();
        let ended = self.accounts.change_password(caller.user_id(), &current, &new, keep, deadline).await?;
        self.sessions.forget(&ended);
        Ok(Response::new(ChangePasswordResponse {}))
    }

    async fn delete_me(
        &self,
        request: Request<DeleteMeRequest>,
    ) -> Result<Response<DeleteMeResponse>, Status> {
        let deadline = deadline_of(&request);
        let id = caller_of(&request)?.user_id();
        let password = Zeroizing::new(request.into_inner().password);
        let ended = self.accounts.delete(id, &password, deadline).await?;
        self.sessions.forget(&ended);
        Ok(Response::new(DeleteMeResponse {}))
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let caller = caller_of(&request)?;
        let ListSessionsRequest { page_size, page_token } = request.into_inner();
        let page = paging::Page::parse(page_size, &page_token)?;
        // One more than asked for tells whether there is a next page.
        let mut found =
            self.sessions.list(caller.user_id(), page.after.map(SessionId), page.size + 1).await?;
        let next_page_token = paging::next(&mut found, page.size, |session| session.id.0);
        let encode = |session| encode::session(session, caller.session_id(), self.sessions.lifetime());
        Ok(Response::new(ListSessionsResponse {
            sessions: found.iter().map(encode).collect(),
            next_page_token,
        }))
    }

    async fn revoke_session(
        &self,
        request: Request<RevokeSessionRequest>,
    ) -> Result<Response<RevokeSessionResponse>, Status> {
        let user_id = caller_of(&request)?.user_id();
        let session_id = request.into_inner().session_id;
        if session_id.is_empty() {
            return Err(required("session_id").into());
        }
        let id = Uuid::parse_str(&session_id).map_err(|_| Error::SessionNotFound)?;
        self.sessions.end(user_id, SessionId(id)).await?;
        Ok(Response::new(RevokeSessionResponse {}))
    }

    async fn revoke_all_sessions(
        &self,
        request: Request<RevokeAllSessionsRequest>,
    ) -> Result<Response<RevokeAllSessionsResponse>, Status> {
        let caller = caller_of(&request)?;
        let keep = request.get_ref().keep_current.then(|| caller.session_id());
        self.sessions.end_all(caller.user_id(), keep).await?;
        Ok(Response::new(RevokeAllSessionsResponse {}))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let token = Zeroizing::new(request.into_inner().token);
        if token.is_empty() {
            return Err(required("token").into());
        }
        if let Some(token) = RefreshToken::parse(&token) {
            self.sessions.end_by_token(&token).await?;
        }
        Ok(Response::new(RevokeTokenResponse {}))
    }
}

const NOT_UPDATABLE: &str = "may name `email`, `display_name` or `*`, and nothing else";

/// The caller that the auth layer found.
fn caller_of<T>(request: &Request<T>) -> Result<Caller, Error> {
    let found = request.extensions().get::<Caller>().cloned();
    found.ok_or_else(|| Error::internal("an authenticated method was reached without a caller"))
}

/// Where the call comes from, as far as can be seen.
fn origin_of<T>(request: &Request<T>) -> Origin {
    let user_agent = request.metadata().get("user-agent").and_then(|value| value.to_str().ok());
    Origin::of(user_agent, request.extensions().get::<SocketAddr>().copied())
}

fn required(field: &'static str) -> Error {
    refused(field, FieldReason::Required, "must be set")
}

fn refused(field: &'static str, reason: FieldReason, rule: &str) -> Error {
    Error::InvalidFields(vec![RuleViolation::new(reason, rule).at(field)])
}
