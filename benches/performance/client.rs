//! Owns the benchmark's own gRPC calls, which look at every status, as h2load does not.

use std::net::{IpAddr, SocketAddr};

use signet::proto::{
    envoy::service::auth::v3::{
        AttributeContext, CheckRequest, CheckResponse,
        attribute_context::{HttpRequest, Request as CheckedRequest},
        authorization_client::AuthorizationClient,
    },
    identity::v1::{
        ClientAuthentication, ClientCredentialsGrant, GetMeRequest, GetMeResponse, IntrospectTokenRequest,
        IntrospectTokenResponse, IssueTokenRequest, IssueTokenResponse, PasswordGrant, SignUpRequest,
        client_authentication::Credential, identity_service_client::IdentityServiceClient,
        issue_token_request::Grant, token_service_client::TokenServiceClient,
    },
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use crate::Result;

pub(crate) const PASSWORD: &str = "correct horse battery staple";

pub(crate) type Client = IdentityServiceClient<Channel>;

/// The value of the header `authorization`.
pub(crate) type Authorization = MetadataValue<Ascii>;

/// Somebody's token, and somebody else who logs in again and again: of a user's sessions those end that are beyond a thousand.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) username: String,
    pub(crate) token: String,
}

pub(crate) async fn connect(addr: SocketAddr) -> Result<Client> {
    let channel = Endpoint::from_shared(format!("http://{addr}"))?.tcp_nodelay(true).connect().await?;
    Ok(IdentityServiceClient::new(channel))
}

pub(crate) fn authorization(token: &str) -> Result<Authorization> {
    Ok(format!("Bearer {token}").parse()?)
}

pub(crate) fn get_me_request(authorization: Authorization) -> Request<GetMeRequest> {
    let mut request = Request::new(GetMeRequest {});
    request.metadata_mut().insert("authorization", authorization);
    request
}

pub(crate) async fn sign_up(client: &mut Client, username: &str) -> Result<()> {
    // An e-mail address and a name to show, so that the reply is of a usual size.
    let request = SignUpRequest {
        username: username.to_owned(),
        password: PASSWORD.to_owned(),
        email: Some(format!("{username}@example.com")),
        display_name: Some("Alice Example".to_owned()),
    };
    client.sign_up(request).await?;
    Ok(())
}

/// The access token that the account's password gives.
pub(crate) async fn login(client: &mut Client, username: &str) -> std::result::Result<String, Status> {
    Ok(log_in(client, username, PASSWORD, None).await?.access_token)
}

/// The access token that `password` gives to somebody at `address`, as a trusted proxy says.
pub(crate) async fn login_from(
    client: &mut Client,
    address: IpAddr,
    username: &str,
    password: &str,
) -> std::result::Result<String, Status> {
    Ok(log_in(client, username, password, Some(address)).await?.access_token)
}

/// The refresh token that the account's password gives.
pub(crate) async fn session(client: &mut Client, username: &str) -> Result<String> {
    Ok(log_in(client, username, PASSWORD, None)
        .await?
        .refresh_token
        .ok_or("a login without a refresh token")?)
}

async fn log_in(
    client: &mut Client,
    username: &str,
    password: &str,
    address: Option<IpAddr>,
) -> std::result::Result<IssueTokenResponse, Status> {
    let grant = PasswordGrant { username: username.to_owned(), password: password.to_owned() };
    let request = IssueTokenRequest { grant: Some(Grant::Password(grant)), ..IssueTokenRequest::default() };
    let mut request = Request::new(request);
    if let Some(address) = address {
        let address = address.to_string().parse().expect("an address is ASCII");
        request.metadata_mut().insert("x-forwarded-for", address);
    }
    Ok(client.issue_token(request).await?.into_inner())
}

/// A registered client that may introspect.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Service {
    pub(crate) fn authentication(&self) -> ClientAuthentication {
        let credential = Credential::ClientSecret(self.secret.clone());
        ClientAuthentication { client_id: self.id.clone(), credential: Some(credential) }
    }

    /// A token of its own.
    pub(crate) async fn token(&self, client: &mut Client) -> Result<String> {
        let request = IssueTokenRequest {
            grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
            client: Some(self.authentication()),
            ..IssueTokenRequest::default()
        };
        Ok(client.issue_token(request).await?.into_inner().access_token)
    }
}

/// What `asking`, a service's token, is told of `token`.
pub(crate) async fn introspect(
    addr: SocketAddr,
    asking: &str,
    token: &str,
) -> Result<IntrospectTokenResponse> {
    let channel = Endpoint::from_shared(format!("http://{addr}"))?.connect().await?;
    let mut request = Request::new(IntrospectTokenRequest { token: token.to_owned() });
    request.metadata_mut().insert("authorization", authorization(asking)?);
    Ok(TokenServiceClient::new(channel).introspect_token(request).await?.into_inner())
}

/// What Envoy asks of a request with `token`, on a route that requires a scope, with the headers that
/// `examples/deploy/envoy/ext-authz.yaml` lets it send.
fn check_request(token: &str) -> CheckRequest {
    let headers = [("authorization", &*format!("Bearer {token}")), ("content-type", "application/grpc")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let http = HttpRequest { headers, ..HttpRequest::default() };
    let rule = ("signet.require_scope".to_owned(), "profile".to_owned());
    let attributes = AttributeContext {
        source: None,
        request: Some(CheckedRequest { http: Some(http) }),
        context_extensions: [rule].into(),
    };
    CheckRequest { attributes: Some(attributes) }
}

/// What Envoy asks about `token`, and what it is answered: that the request may pass.
pub(crate) async fn check(addr: SocketAddr, token: &str) -> Result<(CheckRequest, CheckResponse)> {
    let request = check_request(token);
    let channel = Endpoint::from_shared(format!("http://{addr}"))?.connect().await?;
    let answer = AuthorizationClient::new(channel).check(request.clone()).await?.into_inner();
    if answer.status.as_ref().is_some_and(|status| status.code == 0) {
        return Ok((request, answer));
    }
    Err(format!("Check at {addr} answers {answer:?}").into())
}

pub(crate) async fn get_me(addr: SocketAddr, token: &str) -> Result<GetMeResponse> {
    let request = get_me_request(authorization(token)?);
    Ok(connect(addr).await?.get_me(request).await?.into_inner())
}

/// Fails unless `GetMe` still answers `expected`.
pub(crate) async fn expect_reply(addr: SocketAddr, token: &str, expected: &GetMeResponse) -> Result<()> {
    let reply = get_me(addr, token).await?;
    if reply == *expected { Ok(()) } else { Err(format!("GetMe at {addr} answers {reply:?}").into()) }
}
