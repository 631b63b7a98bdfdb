//! Owns what machine clients are promised, and what is kept from those who are not.

mod address_claims;
mod algorithms;
pub(crate) mod assertions;
mod at_rest;
pub(crate) mod audit;
mod built_in;
mod grants;
mod introspection;
mod registry;
mod revocation;
mod scopes;

use signet::{
    identity::{
        Administrator, ClientRegistry,
        clients::{ClientChange, ClientProof, CreatedClient, NewClient, SetChange, read_public_keys},
    },
    model::{ClientId, ClientKind, ClientName, Error, NameSet},
    proto::identity::v1::{
        ClientAuthentication, ClientCredentialsGrant, IntrospectTokenRequest, IntrospectTokenResponse,
        IssueTokenRequest, IssueTokenResponse, PasswordGrant, RefreshTokenGrant,
        client_authentication::Credential, issue_token_request::Grant,
        token_service_client::TokenServiceClient,
    },
    store::Store,
};
use tonic::{Status, transport::Channel};

use crate::{
    harness::{Client, PASSWORD, TestServer, unaudited, with_token},
    permissions::Operator,
};

/// The audience of a server that says nothing else.
const OWN_AUDIENCE: &str = "signet";

/// A registered client, as the operator handed it to whoever runs it.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// What the operator asks for.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) scopes: &'a str,
    pub(crate) audiences: &'a str,
    pub(crate) kind: ClientKind,
    pub(crate) public_key: Option<&'a str>,
    pub(crate) certificate: Option<&'a str>,
    pub(crate) may_claim_address: bool,
    pub(crate) token_claims: &'a str,
}

impl Wanted<'_> {
    pub(crate) const fn confidential(scopes: &str) -> Wanted<'_> {
        Wanted {
            scopes,
            audiences: "",
            kind: ClientKind::Confidential,
            public_key: None,
            certificate: None,
            may_claim_address: false,
            token_claims: "",
        }
    }

    pub(crate) const fn public(scopes: &str) -> Wanted<'_> {
        Wanted {
            scopes,
            audiences: "",
            kind: ClientKind::Public,
            public_key: None,
            certificate: None,
            may_claim_address: false,
            token_claims: "",
        }
    }
}

/// The server and its operator, who is another process.
pub(crate) struct Service {
    pub(crate) server: TestServer,
    pub(crate) store: Store,
    pub(crate) operator: ClientRegistry,
    pub(crate) client: Client,
    tokens: TokenServiceClient<Channel>,
}

impl Service {
    /// A server that sees what the operator does at once.
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--standing-cache-max-age=0s"]).await
    }

    pub(crate) async fn start_with(args: &[&str]) -> Self {
        let server = TestServer::start(args).await;
        let store = server.store().await;
        let operator = operator(&server).await;
        let mut client = server.client().await;
        client.sign_up("alice", PASSWORD).await.unwrap();
        let tokens = TokenServiceClient::new(server.channel().await);
        Self { server, store, operator, client, tokens }
    }

    /// The new client `name`, whose users may all have what it may.
    pub(crate) async fn register(&self, name: &str, wanted: Wanted<'_>) -> Registered {
        let registered = self.register_alone(name, wanted).await;
        let audiences = if wanted.audiences.is_empty() { OWN_AUDIENCE } else { wanted.audiences };
        for audience in audiences.split(' ').filter(|_| !wanted.scopes.is_empty()) {
            Operator::of(self).give_everyone(audience, wanted.scopes).await;
        }
        registered
    }

    /// The same, whose users have no more than before.
    pub(crate) async fn register_alone(&self, name: &str, wanted: Wanted<'_>) -> Registered {
        register(&self.operator, name, wanted).await.unwrap()
    }

    pub(crate) async fn issue(&self, request: IssueTokenRequest) -> Result<IssueTokenResponse, Status> {
        Ok(self.client.clone().0.issue_token(request).await?.into_inner())
    }

    /// The token of the client itself.
    pub(crate) async fn token_of(&self, registered: &Registered) -> String {
        self.issue(registered.own_token()).await.unwrap().access_token
    }

    pub(crate) async fn introspect(
        &self,
        token: &str,
        bearer: &str,
    ) -> Result<IntrospectTokenResponse, Status> {
        let request = IntrospectTokenRequest { token: token.to_owned() };
        Ok(self.tokens.clone().introspect_token(with_token(request, bearer)).await?.into_inner())
    }

    /// Changes what `registered` may ask for to `scopes`.
    pub(crate) async fn set_scopes(&self, registered: ClientId, scopes: &str) {
        let scopes = SetChange::To(NameSet::parse(scopes).unwrap());
        let change = ClientChange { scopes, ..ClientChange::default() };
        self.operator.update(&registered.into(), &change, &Administrator::operator()).await.unwrap();
    }

    pub(crate) async fn delete(&self, registered: &Registered) {
        let (who, by) = (registered.client_id().into(), Administrator::operator());
        self.operator.delete(&who, None, &by).await.unwrap();
    }

    pub(crate) async fn set_active(&self, registered: &Registered, active: bool) {
        let (who, by) = (registered.client_id().into(), Administrator::operator());
        self.operator.set_active(&who, active, None, &by).await.unwrap();
    }
}

/// What the operator of `server` registers clients by.
pub(crate) async fn operator(server: &TestServer) -> ClientRegistry {
    let own = NameSet::parse(OWN_AUDIENCE).unwrap();
    ClientRegistry::new(server.store().await, server.clock.clone(), unaudited(&server.clock), own)
}

/// The new client `name`.
pub(crate) async fn register(
    operator: &ClientRegistry,
    name: &str,
    wanted: Wanted<'_>,
) -> Result<Registered, Error> {
    let proof = match (wanted.kind, wanted.public_key, wanted.certificate) {
        (ClientKind::Public, ..) => None,
        (_, Some(text), _) => Some(ClientProof::Keys(read_public_keys(text).unwrap())),
        (_, None, Some(subject)) => Some(ClientProof::Certificate(subject.parse().unwrap())),
        (_, None, None) => Some(ClientProof::Secret),
    };
    let new = NewClient {
        name: ClientName::parse(name).unwrap(),
        scopes: NameSet::parse(wanted.scopes).unwrap(),
        audiences: NameSet::parse(wanted.audiences).unwrap(),
        proof,
        may_claim_address: wanted.may_claim_address,
        token_claims: NameSet::parse(wanted.token_claims).unwrap(),
    };
    let CreatedClient { client, secret, .. } = operator.register(new, &Administrator::operator()).await?;
    let secret = secret.map_or_else(String::new, |secret| secret.to_string());
    Ok(Registered { id: client.id.to_string(), secret })
}

impl Registered {
    pub(crate) fn client_id(&self) -> ClientId {
        ClientId::parse(&self.id).unwrap()
    }

    /// Says who it is, and proves it with `credential`.
    pub(crate) fn with(&self, credential: Option<Credential>) -> ClientAuthentication {
        ClientAuthentication { client_id: self.id.clone(), credential }
    }

    pub(crate) fn by_secret(&self) -> ClientAuthentication {
        self.with(Some(Credential::ClientSecret(self.secret.clone())))
    }

    pub(crate) fn own_token(&self) -> IssueTokenRequest {
        request(Grant::ClientCredentials(ClientCredentialsGrant {}), Some(self.by_secret()))
    }
}

pub(crate) fn request(grant: Grant, client: Option<ClientAuthentication>) -> IssueTokenRequest {
    IssueTokenRequest { grant: Some(grant), client, ..IssueTokenRequest::default() }
}

pub(crate) fn client_credentials(client: ClientAuthentication) -> IssueTokenRequest {
    request(Grant::ClientCredentials(ClientCredentialsGrant {}), Some(client))
}

pub(crate) fn alice() -> Grant {
    Grant::Password(PasswordGrant { username: "alice".to_owned(), password: PASSWORD.to_owned() })
}

pub(crate) fn refresh(token: &str) -> Grant {
    Grant::RefreshToken(RefreshTokenGrant { refresh_token: token.to_owned() })
}

/// The claims of a token, decoded without looking at its signature.
pub(crate) fn claims(token: &str) -> serde_json::Value {
    let payload = token.split('.').nth(1).unwrap();
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}
