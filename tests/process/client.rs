//! Owns calling the service, and judging how it refuses.

use std::net::SocketAddr;

use signet::proto::identity::v1::{
    ClientAuthentication, ClientCredentialsGrant, GetJwksRequest, GetMeRequest, IssueTokenRequest,
    IssueTokenResponse, PasswordGrant, RefreshTokenGrant, RevokeAllSessionsRequest, SignUpRequest, User,
    client_authentication::Credential, identity_service_client::IdentityServiceClient,
    issue_token_request::Grant, token_service_client::TokenServiceClient,
};
use tonic::{Request, Status, metadata::MetadataValue, transport::Channel};
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

pub(crate) const PASSWORD: &str = "correct horse battery";

/// A connection of its own, and the calls that most tests make.
#[derive(Clone)]
pub(crate) struct Client(Channel);

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self(Channel::from_shared(format!("http://{addr}")).unwrap().connect().await.unwrap())
    }

    /// By a connection that is there.
    pub(crate) const fn of(channel: Channel) -> Self {
        Self(channel)
    }

    /// A token for the client that the connection's certificate stands for.
    pub(crate) async fn client_credentials(&self) -> Result<IssueTokenResponse, Status> {
        let grant = Some(Grant::ClientCredentials(ClientCredentialsGrant {}));
        self.issue(IssueTokenRequest { grant, ..IssueTokenRequest::default() }).await
    }

    /// A token for the client `id`, which proves itself by `secret`.
    pub(crate) async fn own_token(&self, id: &str, secret: &str) -> Result<IssueTokenResponse, Status> {
        let credential = Some(Credential::ClientSecret(secret.to_owned()));
        self.issue(IssueTokenRequest {
            grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
            client: Some(ClientAuthentication { client_id: id.to_owned(), credential }),
            ..IssueTokenRequest::default()
        })
        .await
    }

    fn identity(&self) -> IdentityServiceClient<Channel> {
        IdentityServiceClient::new(self.0.clone())
    }

    pub(crate) fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.0.clone())
    }

    pub(crate) async fn sign_up(&self, username: &str) -> Result<User, Status> {
        let request = SignUpRequest {
            username: username.to_owned(),
            password: PASSWORD.to_owned(),
            ..SignUpRequest::default()
        };
        Ok(self.identity().sign_up(request).await?.into_inner().user.unwrap())
    }

    /// The access token for `username` and `password`.
    pub(crate) async fn log_in(&self, username: &str, password: &str) -> Result<String, Status> {
        Ok(self.open_session(username, password).await?.access_token)
    }

    /// Both tokens for `username` and `password`.
    pub(crate) async fn open_session(
        &self,
        username: &str,
        password: &str,
    ) -> Result<IssueTokenResponse, Status> {
        let grant = PasswordGrant { username: username.to_owned(), password: password.to_owned() };
        self.issue(IssueTokenRequest { grant: Some(Grant::Password(grant)), ..IssueTokenRequest::default() })
            .await
    }

    /// What comes for the refresh token `token`.
    pub(crate) async fn refresh(&self, token: &str) -> Result<IssueTokenResponse, Status> {
        let grant = Grant::RefreshToken(RefreshTokenGrant { refresh_token: token.to_owned() });
        self.issue(IssueTokenRequest { grant: Some(grant), ..IssueTokenRequest::default() }).await
    }

    /// Ends every session of the user of the access token `token`.
    pub(crate) async fn revoke_all(&self, token: &str) -> Result<(), Status> {
        let request = with_token(RevokeAllSessionsRequest::default(), token);
        self.identity().revoke_all_sessions(request).await.map(drop)
    }

    /// The ids of the keys that others verify with.
    pub(crate) async fn published_kids(&self) -> Vec<String> {
        let mut tokens = TokenServiceClient::new(self.0.clone());
        let keys = tokens.get_jwks(GetJwksRequest {}).await.unwrap().into_inner().keys;
        keys.into_iter().map(|key| key.kid).collect()
    }

    /// What `IssueToken` answers to `request`.
    pub(crate) async fn issue(&self, request: IssueTokenRequest) -> Result<IssueTokenResponse, Status> {
        Ok(self.identity().issue_token(request).await?.into_inner())
    }

    pub(crate) async fn get_me(&self, token: &str) -> Result<User, Status> {
        let request = with_token(GetMeRequest {}, token);
        Ok(self.identity().get_me(request).await?.into_inner().user.unwrap())
    }
}

pub(crate) fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// The stable reason of a refusal; of success, "OK".
pub(crate) fn reason<T>(result: &Result<T, Status>) -> String {
    match result {
        Ok(_) => "OK".to_owned(),
        Err(status) => status
            .get_details_error_info()
            .map_or_else(|| format!("no reason: {status:?}"), |info| info.reason),
    }
}
