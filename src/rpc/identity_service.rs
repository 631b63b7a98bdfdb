//! Owns `identity.v1.IdentityService` on the wire.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    admit::deadline_of,
    attributes, encode, origin_of,
    page::Page,
    required,
    update_mask::{UpdateMask, not_updatable},
};
use crate::{
    auth::Caller,
    identity::{
        self, Accounts, Grants, NewAccount, OwnAccount, Revocation, Sessions, ShownAttributes,
        accounts::ChosenPassword,
        clients::{ClientAuthentication, ClientCredential, ClientSlot},
        grants::{
            ClientCredentialsGrant, Grant, Granted, PasswordGrant, RefreshTokenGrant, SessionKind,
            TokenRequest,
        },
        own_account::{NewPassword, NewProfile, Reopened},
    },
    model::{CertificateNames, Error, NamedAttributes, SessionId, UserId, claims::TOKEN_TYPE},
    peer,
    proto::identity::v1::{
        self as wire, ChangePasswordRequest, ChangePasswordResponse, DeleteMeRequest, DeleteMeResponse,
        GetMeRequest, GetMeResponse, IssueTokenRequest, IssueTokenResponse, ListSessionsRequest,
        ListSessionsResponse, RevokeAllSessionsRequest, RevokeAllSessionsResponse, RevokeSessionRequest,
        RevokeSessionResponse, RevokeTokenRequest, RevokeTokenResponse, SetNewPasswordRequest,
        SetNewPasswordResponse, SignUpRequest, SignUpResponse, UpdateMeRequest, UpdateMeResponse,
        client_authentication::Credential, identity_service_server::IdentityService,
        issue_token_request::Grant as WireGrant,
    },
};

/// Serves `IdentityService`.
#[derive(Debug)]
pub(crate) struct IdentityRpc {
    accounts: Arc<Accounts>,
    own_account: Arc<OwnAccount>,
    sessions: Arc<Sessions>,
    grants: Arc<Grants>,
    revocation: Arc<Revocation>,
    attributes: Arc<ShownAttributes>,
    /// Whether passwords are exchanged for tokens.
    takes_passwords: bool,
}

impl IdentityRpc {
    pub(crate) const fn new(
        accounts: Arc<Accounts>,
        own_account: Arc<OwnAccount>,
        sessions: Arc<Sessions>,
        grants: Arc<Grants>,
        revocation: Arc<Revocation>,
        attributes: Arc<ShownAttributes>,
    ) -> Self {
        Self { accounts, own_account, sessions, grants, revocation, attributes, takes_passwords: true }
    }

    /// The same, where passwords are exchanged for tokens only if `whether` says so.
    #[must_use]
    pub(crate) fn taking_passwords(self, whether: bool) -> Self {
        Self { takes_passwords: whether, ..self }
    }
}

#[tonic::async_trait]
impl IdentityService for IdentityRpc {
    async fn sign_up(&self, request: Request<SignUpRequest>) -> Result<Response<SignUpResponse>, Status> {
        let (deadline, origin) = (deadline_of(&request), origin_of(&request));
        let SignUpRequest { username, password, email, display_name } = request.into_inner();
        let password = Zeroizing::new(password);
        let new = NewAccount {
            username: &username,
            password: &password,
            email: email.as_deref(),
            display_name: display_name.as_deref(),
        };
        let user = self.accounts.sign_up(new, &origin, deadline).await?;
        Ok(Response::new(SignUpResponse { user: Some(encode::user(&user, NamedAttributes::new())) }))
    }

    async fn issue_token(
        &self,
        request: Request<IssueTokenRequest>,
    ) -> Result<Response<IssueTokenResponse>, Status> {
        let (deadline, origin, certificate) =
            (deadline_of(&request), origin_of(&request), certificate_of(&request));
        let (hold, slot) = (request.extensions().get().cloned(), client_slot_of(&request));
        let IssueTokenRequest { grant, client, scope, audiences, user_address } = request.into_inner();
        let grant = grant.ok_or_else(|| required("grant"))?;
        let request = TokenRequest {
            grant: grant_of(grant),
            client: client.map(client_of),
            certificate,
            slot,
            scope,
            audiences,
            user_address,
            takes_passwords: self.takes_passwords,
            hold,
        };
        let Granted { access, refresh_token, .. } = self.grants.exchange(request, origin, deadline).await?;
        Ok(Response::new(IssueTokenResponse {
            access_token: access.access_token,
            token_type: TOKEN_TYPE.to_owned(),
            expires_in: access.expires_in,
            scope: access.scope,
            refresh_token: refresh_token.map(|token| token.text()),
        }))
    }

    async fn get_me(&self, request: Request<GetMeRequest>) -> Result<Response<GetMeResponse>, Status> {
        let user = identity::user_of(Caller::of(&request)?)?;
        let attributes = self.attributes.to_oneself(user).await?;
        Ok(Response::new(GetMeResponse { user: Some(encode::user(user, attributes)) }))
    }

    async fn update_me(
        &self,
        request: Request<UpdateMeRequest>,
    ) -> Result<Response<UpdateMeResponse>, Status> {
        let (user_and_session, origin) = (user_and_session_of(&request)?, origin_of(&request));
        let UpdateMeRequest { user, update_mask } = request.into_inner();
        let user = user.ok_or_else(|| required("user"))?;
        let (email, name) = (user.email.as_deref(), user.display_name.as_deref());
        let (mut change, sent) = (NewProfile::default(), &user.attributes);
        let paths = UpdateMask::read(update_mask.as_ref())?.paths();
        if paths.is_empty() {
            let attributes = attributes::if_set(sent)?;
            change = NewProfile { email: email.map(Some), display_name: name.map(Some), attributes };
        }
        for path in paths {
            match path.as_str() {
                "email" => change.email = Some(email),
                "display_name" => change.display_name = Some(name),
                "*" => {
                    let attributes = attributes::all(sent)?;
                    change = NewProfile { email: Some(email), display_name: Some(name), attributes };
                }
                path if attributes::follow(path, sent, &mut change.attributes)? => {}
                _ => return Err(not_updatable(NOT_UPDATABLE).into()),
            }
        }
        let user = self.own_account.update(user_and_session, change, &origin).await?;
        let attributes = self.attributes.to_oneself(&user).await?;
        Ok(Response::new(UpdateMeResponse { user: Some(encode::user(&user, attributes)) }))
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Result<Response<ChangePasswordResponse>, Status> {
        let (deadline, origin) = (deadline_of(&request), origin_of(&request));
        let caller = Caller::of(&request)?.clone();
        let ChangePasswordRequest { current_password, new_password } = request.into_inner();
        let (current, new) = (Zeroizing::new(current_password), Zeroizing::new(new_password));
        let change = NewPassword { current: &current, new: &new };
        let (_, session) = caller.must_be_user()?;
        let user = (identity::user_of(&caller)?, session);
        let changed = self.own_account.change_password(caller.claims(), user, change, &origin, deadline);
        let Reopened { access, refresh_token } = changed.await?;
        Ok(Response::new(ChangePasswordResponse {
            access_token: Some(access.access_token),
            token_type: Some(TOKEN_TYPE.to_owned()),
            expires_in: Some(access.expires_in),
            scope: Some(access.scope),
            refresh_token: refresh_token.map(|token| token.text()),
        }))
    }

    async fn set_new_password(
        &self,
        request: Request<SetNewPasswordRequest>,
    ) -> Result<Response<SetNewPasswordResponse>, Status> {
        let (deadline, origin) = (deadline_of(&request), origin_of(&request));
        let SetNewPasswordRequest { username, one_time_password, new_password } = request.into_inner();
        let (one_time, new) = (Zeroizing::new(one_time_password), Zeroizing::new(new_password));
        let chosen = ChosenPassword { username: &username, one_time_password: &one_time, new_password: &new };
        self.accounts.set_new_password(chosen, &origin, deadline).await?;
        Ok(Response::new(SetNewPasswordResponse {}))
    }

    async fn delete_me(
        &self,
        request: Request<DeleteMeRequest>,
    ) -> Result<Response<DeleteMeResponse>, Status> {
        let (deadline, origin) = (deadline_of(&request), origin_of(&request));
        let caller = Caller::of(&request)?.clone();
        let password = Zeroizing::new(request.into_inner().password);
        self.own_account.delete(identity::user_of(&caller)?, &password, &origin, deadline).await?;
        Ok(Response::new(DeleteMeResponse {}))
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let (user, current) = user_and_session_of(&request)?;
        let page = Page::<Uuid>::take(&mut request.into_inner())?;
        // One more than asked for tells whether there is a next page.
        let mut found = self.sessions.list(user, page.after.map(SessionId), page.size + 1).await?;
        let next_page_token = page.next(&mut found, |session| session.id.0);
        let encode = |session| encode::session(session, current, self.sessions.lifetime());
        Ok(Response::new(ListSessionsResponse {
            sessions: found.iter().map(encode).collect(),
            next_page_token,
        }))
    }

    async fn revoke_session(
        &self,
        request: Request<RevokeSessionRequest>,
    ) -> Result<Response<RevokeSessionResponse>, Status> {
        let (user, origin) = (user_and_session_of(&request)?, origin_of(&request));
        let session_id = request.into_inner().session_id;
        if session_id.is_empty() {
            return Err(required("session_id").into());
        }
        let id = Uuid::parse_str(&session_id).map_err(|_| Error::SessionNotFound)?;
        self.own_account.end_session(user, SessionId(id), &origin).await?;
        Ok(Response::new(RevokeSessionResponse {}))
    }

    async fn revoke_all_sessions(
        &self,
        request: Request<RevokeAllSessionsRequest>,
    ) -> Result<Response<RevokeAllSessionsResponse>, Status> {
        let (user, origin) = (user_and_session_of(&request)?, origin_of(&request));
        self.own_account.end_sessions(user, request.get_ref().keep_current, &origin).await?;
        Ok(Response::new(RevokeAllSessionsResponse {}))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let (origin, certificate) = (origin_of(&request), certificate_of(&request));
        let slot = client_slot_of(&request);
        let RevokeTokenRequest { token, client } = request.into_inner();
        let token = Zeroizing::new(token);
        if token.is_empty() {
            return Err(required("token").into());
        }
        let client = client.map(client_of);
        self.revocation.revoke(&token, client, certificate.as_deref(), &origin, &slot).await?;
        Ok(Response::new(RevokeTokenResponse {}))
    }
}

const NOT_UPDATABLE: &str =
    "may name `email`, `display_name`, `attributes`, one of these or `*`, and nothing else";

/// The user that the auth layer found, and the session. The scope that these methods require keeps clients out; were one let in,
/// it would end here.
fn user_and_session_of<T>(request: &Request<T>) -> Result<(UserId, SessionId), Error> {
    Caller::of(request)?.must_be_user()
}

/// The grant that a request shows.
fn grant_of(grant: WireGrant) -> Box<dyn Grant> {
    match grant {
        WireGrant::Password(wire::PasswordGrant { username, password }) => {
            let password = Zeroizing::new(password);
            Box::new(PasswordGrant { username, password, session: SessionKind::Refreshed })
        }
        WireGrant::RefreshToken(wire::RefreshTokenGrant { refresh_token }) => {
            Box::new(RefreshTokenGrant(Zeroizing::new(refresh_token)))
        }
        WireGrant::ClientCredentials(wire::ClientCredentialsGrant {}) => Box::new(ClientCredentialsGrant),
    }
}

/// What the request says of its client. An empty id is none, as everywhere in protobuf.
fn client_of(said: wire::ClientAuthentication) -> ClientAuthentication {
    let credential = match said.credential {
        None => ClientCredential::None,
        Some(Credential::ClientSecret(secret)) => ClientCredential::Secret(Zeroizing::new(secret)),
        Some(Credential::ClientAssertion(assertion)) => ClientCredential::Assertion(assertion),
    };
    ClientAuthentication { client_id: Some(said.client_id).filter(|id| !id.is_empty()), credential }
}

/// Where the client that asks is put.
fn client_slot_of<T>(request: &Request<T>) -> ClientSlot {
    request.extensions().get().cloned().unwrap_or_default()
}

/// The verified certificate of who calls.
fn certificate_of<T>(request: &Request<T>) -> Option<Arc<CertificateNames>> {
    peer::certificate(request.extensions(), request.metadata().as_ref())
}
