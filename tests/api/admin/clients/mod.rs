//! Owns what administrators do to clients, and what nobody gets by one.

mod makers;
mod rights;

use std::time::Duration;

use signet::{
    identity::ClientRegistry,
    model::BuiltInRole,
    proto::identity::{
        admin::v1::{
            Client, CreateClientRequest, CreateClientResponse, DeleteClientRequest, DisableClientRequest,
            EnableClientRequest, GetClientRequest, ListClientsRequest, RotateClientSecretRequest,
            RotateClientSecretResponse, UpdateClientRequest,
            client::{Certificate, Kind},
            client_service_client::ClientServiceClient,
            get_client_request::Which,
        },
        v1::{IssueTokenRequest, IssueTokenResponse},
    },
};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::AdminApi;
use crate::{
    clients::{Registered, Wanted, operator, register},
    harness::{TestServer, assert_refused, with_token},
};

/// Of RFC 8037 appendix A.2.
const PUBLIC_KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

/// Somebody who calls `ClientService`.
#[derive(Clone)]
struct Caller {
    client: ClientServiceClient<Channel>,
    token: String,
}

impl Caller {
    async fn at(server: &TestServer, token: &str) -> Self {
        let client = ClientServiceClient::new(server.admin_channel().await);
        Self { client, token: token.to_owned() }
    }

    async fn create(&self, request: CreateClientRequest) -> Result<CreateClientResponse, Status> {
        let answer = self.client.clone().create_client(with_token(request, &self.token)).await?;
        Ok(answer.into_inner())
    }

    async fn make(&self, client: Client) -> Result<Client, Status> {
        let request = CreateClientRequest { client: Some(client), ..CreateClientRequest::default() };
        Ok(self.create(request).await?.client.unwrap())
    }

    async fn get(&self, which: Which) -> Result<Client, Status> {
        let request = with_token(GetClientRequest { which: Some(which) }, &self.token);
        Ok(self.client.clone().get_client(request).await?.into_inner().client.unwrap())
    }

    async fn by_id(&self, id: &str) -> Result<Client, Status> {
        self.get(Which::Id(id.to_owned())).await
    }

    /// The names of a page, and the token of the next.
    async fn list(&self, request: ListClientsRequest) -> Result<(Vec<String>, String), Status> {
        let answer = self.client.clone().list_clients(with_token(request, &self.token)).await?.into_inner();
        Ok((answer.clients.into_iter().map(|client| client.name).collect(), answer.next_page_token))
    }

    async fn update(&self, client: Client, paths: &[&str]) -> Result<Client, Status> {
        let paths = paths.iter().map(|&path| path.to_owned()).collect();
        let update_mask = Some(prost_types::FieldMask { paths });
        self.send(UpdateClientRequest { client: Some(client), update_mask, ..UpdateClientRequest::default() })
            .await
    }

    async fn send(&self, request: UpdateClientRequest) -> Result<Client, Status> {
        let answer = self.client.clone().update_client(with_token(request, &self.token)).await?;
        Ok(answer.into_inner().client.unwrap())
    }

    async fn rotate(&self, request: RotateClientSecretRequest) -> Result<RotateClientSecretResponse, Status> {
        let answer = self.client.clone().rotate_client_secret(with_token(request, &self.token)).await?;
        Ok(answer.into_inner())
    }

    async fn disable(&self, id: &str) -> Result<Client, Status> {
        let request = DisableClientRequest { id: id.to_owned(), ..DisableClientRequest::default() };
        let answer = self.client.clone().disable_client(with_token(request, &self.token)).await?;
        Ok(answer.into_inner().client.unwrap())
    }

    async fn enable(&self, id: &str) -> Result<Client, Status> {
        let request = EnableClientRequest { id: id.to_owned(), ..EnableClientRequest::default() };
        let answer = self.client.clone().enable_client(with_token(request, &self.token)).await?;
        Ok(answer.into_inner().client.unwrap())
    }

    async fn delete(&self, request: DeleteClientRequest) -> Result<(), Status> {
        self.client.clone().delete_client(with_token(request, &self.token)).await.map(drop)
    }
}

fn named(name: &str, scopes: &[&str], audiences: &[&str]) -> Client {
    let texts = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Client { name: name.to_owned(), scopes: texts(scopes), audiences: texts(audiences), ..Client::default() }
}

fn rotation(id: &str) -> RotateClientSecretRequest {
    RotateClientSecretRequest { id: id.to_owned(), ..RotateClientSecretRequest::default() }
}

fn deletion(id: &str) -> DeleteClientRequest {
    DeleteClientRequest { id: id.to_owned(), ..DeleteClientRequest::default() }
}

async fn issue(api: &AdminApi, request: IssueTokenRequest) -> Result<IssueTokenResponse, Status> {
    Ok(api.server.client().await.0.issue_token(request).await?.into_inner())
}

async fn admin(api: &AdminApi) -> Caller {
    let (_, token) = api.administrator(BuiltInRole::Admin, "rita").await;
    Caller::at(&api.server, &token).await
}

/// A client that the operator has registered.
async fn registered(registry: &ClientRegistry, name: &str, scopes: &str, audiences: &str) -> Registered {
    register(registry, name, Wanted { audiences, ..Wanted::confidential(scopes) }).await.unwrap()
}

/// A client that writes clients in its own name, and may do nothing else to the service.
async fn writer(api: &AdminApi, registry: &ClientRegistry) -> (Registered, Caller) {
    let scopes = "signet.clients.read signet.clients.write";
    let writer = registered(registry, "writer", scopes, "").await;
    let asked = IssueTokenRequest { scope: scopes.to_owned(), ..writer.own_token() };
    let token = issue(api, asked).await.unwrap().access_token;
    let caller = Caller::at(&api.server, &token).await;
    (writer, caller)
}

/// The scopes, or whatever `key` names, that a refusal tells.
fn told(status: &Status, key: &str) -> String {
    status.get_details_error_info().unwrap().metadata.get(key).cloned().unwrap_or_default()
}

/// The fields that a refusal names.
fn fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().unwrap().field_violations;
    violations.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test]
async fn a_client_is_made_found_changed_and_deleted() {
    let api = AdminApi::start().await;
    let admin = admin(&api).await;
    let request = CreateClientRequest {
        client: Some(named("billing", &["orders.read", "profile"], &[])),
        ..CreateClientRequest::default()
    };
    let made = admin.create(request).await.unwrap();
    let (client, secret) = (made.client.unwrap(), made.client_secret.unwrap());
    assert_eq!((client.kind(), client.is_active, client.secrets), (Kind::Confidential, true, 1));
    assert_eq!(made.user_scopes, ["profile"], "what every user has, and no more");
    let own = Registered { id: client.id.clone(), secret };
    assert_eq!(issue(&api, own.own_token()).await.unwrap().scope, "orders.read");
    assert_eq!(admin.by_id(&client.id).await.unwrap(), client);
    assert_eq!(admin.get(Which::Name("billing".to_owned())).await.unwrap(), client);
    assert_refused(admin.make(named("billing", &[], &[])).await, Code::AlreadyExists, "CLIENT_NAME_TAKEN");

    let change =
        Client { id: client.id.clone(), etag: client.etag.clone(), ..named("bills", &["a", "b"], &["x"]) };
    let changed = admin.update(change.clone(), &["name", "scopes"]).await.unwrap();
    assert_eq!(
        (changed.name.as_str(), &changed.scopes[..], changed.audiences.len()),
        ("bills", &["a".to_owned(), "b".to_owned()][..], 0)
    );
    assert_ne!(changed.etag, client.etag);
    assert_refused(admin.update(change, &["audiences"]).await, Code::Aborted, "ETAG_MISMATCH");
    assert_eq!(issue(&api, own.own_token()).await.unwrap().scope, "a b", "nothing ended");

    let second = admin.rotate(rotation(&client.id)).await.unwrap();
    assert_eq!(second.client.unwrap().secrets, 2);
    let second = Registered { id: client.id.clone(), secret: second.client_secret };
    for valid in [&own, &second] {
        issue(&api, valid.own_token()).await.unwrap();
    }
    let third =
        admin.rotate(RotateClientSecretRequest { end_older: true, ..rotation(&client.id) }).await.unwrap();
    let third = Registered { id: client.id.clone(), secret: third.client_secret };
    for ended in [&own, &second] {
        assert_refused(issue(&api, ended.own_token()).await, Code::Unauthenticated, "INVALID_CLIENT");
    }
    assert!(!admin.disable(&client.id).await.unwrap().is_active);
    assert_refused(issue(&api, third.own_token()).await, Code::Unauthenticated, "INVALID_CLIENT");
    assert!(admin.enable(&client.id).await.unwrap().is_active);
    issue(&api, third.own_token()).await.unwrap();

    let late = DeleteClientRequest { etag: client.etag, ..deletion(&client.id) };
    assert_refused(admin.delete(late).await, Code::Aborted, "ETAG_MISMATCH");
    admin.delete(deletion(&client.id)).await.unwrap();
    assert_refused(admin.by_id(&client.id).await, Code::NotFound, "CLIENT_NOT_FOUND");
    assert_refused(admin.delete(deletion(&client.id)).await, Code::NotFound, "CLIENT_NOT_FOUND");
    assert_refused(admin.disable(&client.id).await, Code::NotFound, "CLIENT_NOT_FOUND");
}

#[tokio::test]
async fn keys_certificates_and_what_a_client_tells_are_changed_by_the_mask() {
    let api = AdminApi::start().await;
    let admin = admin(&api).await;
    let signer =
        admin.make(Client { jwks: PUBLIC_KEY.to_owned(), ..named("signer", &[], &[]) }).await.unwrap();
    assert!(signer.jwks.contains("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"), "{}", signer.jwks);
    assert_eq!(signer.secrets, 0);
    let id = "spiffe://example.org/orders".to_owned();
    let certified = Client {
        id: signer.id.clone(),
        certificate: Some(Certificate::SpiffeId(id.clone())),
        may_claim_address: true,
        token_claims: vec!["roles".to_owned()],
        ..Client::default()
    };
    // Without a mask, all that is set.
    let request = UpdateClientRequest { client: Some(certified.clone()), ..UpdateClientRequest::default() };
    let both = admin.send(request).await.unwrap();
    assert_eq!((&both.jwks, &both.certificate), (&signer.jwks, &certified.certificate));
    assert!(both.may_claim_address && both.token_claims == ["roles"] && both.name == "signer");
    let nothing = Client { id: signer.id.clone(), ..Client::default() };
    let bare = admin
        .update(nothing.clone(), &["jwks", "spiffe_id", "may_claim_address", "token_claims"])
        .await
        .unwrap();
    assert_eq!((bare.jwks.as_str(), bare.certificate, bare.may_claim_address), ("", None, false));
    let refused = admin.update(nothing, &["is_active"]).await;
    assert_eq!(fields(&assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS")), ["update_mask"]);

    admin
        .make(Client { certificate: certified.certificate.clone(), ..named("other", &[], &[]) })
        .await
        .unwrap();
    assert_refused(admin.update(certified, &["spiffe_id"]).await, Code::AlreadyExists, "SPIFFE_ID_TAKEN");
    let app =
        admin.make(Client { kind: Kind::Public.into(), ..named("app", &["profile"], &[]) }).await.unwrap();
    let with_keys = Client { id: app.id.clone(), jwks: PUBLIC_KEY.to_owned(), ..Client::default() };
    assert_refused(admin.update(with_keys, &["jwks"]).await, Code::FailedPrecondition, "PUBLIC_CLIENT");
    assert_refused(admin.rotate(rotation(&app.id)).await, Code::FailedPrecondition, "PUBLIC_CLIENT");
}

#[tokio::test]
async fn all_that_is_wrong_with_a_client_is_told_at_once() {
    let api = AdminApi::start().await;
    let admin = admin(&api).await;
    let wrong = Client {
        kind: Kind::Public.into(),
        jwks: "no key".to_owned(),
        token_claims: vec!["email".to_owned()],
        may_claim_address: true,
        certificate: Some(Certificate::SpiffeId("x".to_owned())),
        ..named("Shop", &["a b"], &["\u{e9}"])
    };
    let refused = assert_refused(admin.make(wrong).await, Code::InvalidArgument, "INVALID_FIELDS");
    let mut found = fields(&refused);
    found.sort();
    let expected = [
        "client.audiences",
        "client.jwks",
        "client.may_claim_address",
        "client.name",
        "client.scopes",
        "client.spiffe_id",
        "client.token_claims",
    ];
    assert_eq!(found, expected);
    let refused = admin.make(named("sync", &["signet.user.read"], &[])).await;
    let refused = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refused), ["client.scopes"]);
    for refused in [
        admin.by_id("").await.map(drop),
        admin.by_id("x").await.map(drop),
        admin.disable("X").await.map(drop),
        admin.update(named("a", &[], &[]), &["name"]).await.map(drop),
        admin
            .list(ListClientsRequest { page_token: "x".to_owned(), ..ListClientsRequest::default() })
            .await
            .map(drop),
    ] {
        assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
    }
    let unknown = admin.get(Which::Name("nobody".to_owned())).await;
    assert_refused(unknown, Code::NotFound, "CLIENT_NOT_FOUND");
}

#[tokio::test]
async fn clients_are_listed_page_by_page_and_by_what_they_have() {
    let api = AdminApi::start().await;
    let (admin, registry) = (admin(&api).await, operator(&api.server).await);
    for (name, scopes, audiences) in [("shop-a", "a b", "x"), ("till", "b", "x y"), ("shop-b", "a", "y")] {
        registered(&registry, name, scopes, audiences).await;
        // Of those that are made in one millisecond any comes first.
        api.server.clock.advance(Duration::from_millis(1));
    }
    let all = ListClientsRequest { page_size: 3, ..ListClientsRequest::default() };
    let (first, next) = admin.list(all.clone()).await.unwrap();
    assert_eq!(first, ["signet", "shop-a", "till"]);
    let (rest, end) =
        admin.list(ListClientsRequest { page_token: next.clone(), ..all.clone() }).await.unwrap();
    assert_eq!((&rest[..], end.as_str()), (&["shop-b".to_owned()][..], ""));
    let other = ListClientsRequest { page_token: next, scope: "a".to_owned(), ..all.clone() };
    assert_refused(admin.list(other).await, Code::InvalidArgument, "INVALID_FIELDS");
    let by = |name_prefix: &str, scope: &str, audience: &str| ListClientsRequest {
        name_prefix: name_prefix.to_owned(),
        scope: scope.to_owned(),
        audience: audience.to_owned(),
        ..ListClientsRequest::default()
    };
    for (filter, expected) in [
        (by("shop-", "", ""), &["shop-a", "shop-b"][..]),
        (by("", "b", ""), &["shop-a", "till"]),
        (by("", "", "y"), &["till", "shop-b"]),
        (by("shop-", "a", "y"), &["shop-b"]),
        (by("nobody", "", ""), &[]),
    ] {
        assert_eq!(admin.list(filter).await.unwrap().0, expected);
    }
}

#[tokio::test]
async fn clients_of_the_service_itself_are_found_by_its_name_whether_or_not_they_are_registered_with_it() {
    let api = AdminApi::start_with(&["--audience=https://id.example"]).await;
    let registry = operator(&api.server).await;
    let admin = admin(&api).await;
    for (name, audiences) in [("by-default", ""), ("by-name", "stock https://id.example"), ("other", "stock")]
    {
        registered(&registry, name, "a", audiences).await;
        api.server.clock.advance(Duration::from_millis(1));
    }
    for audience in ["https://id.example", "signet"] {
        let filter = ListClientsRequest { audience: audience.to_owned(), ..ListClientsRequest::default() };
        let found = admin.list(filter).await.unwrap().0;
        assert_eq!(found, ["signet", "by-default", "by-name"], "{audience}");
    }
}

#[tokio::test]
async fn of_two_updates_by_one_etag_one_is_made() {
    let api = AdminApi::start().await;
    let admin = admin(&api).await;
    let client = admin.make(named("shop", &["a"], &[])).await.unwrap();
    let update = async |scope: &str| {
        let change = Client { id: client.id.clone(), etag: client.etag.clone(), ..named("", &[scope], &[]) };
        admin.update(change, &["scopes"]).await
    };
    let (one, other) = tokio::join!(update("b"), update("c"));
    let (made, lost) = if one.is_ok() { (one, other) } else { (other, one) };
    assert_refused(lost, Code::Aborted, "ETAG_MISMATCH");
    assert_eq!(admin.by_id(&client.id).await.unwrap(), made.unwrap());
}

#[tokio::test]
async fn a_repetition_does_nothing_and_never_shows_the_secret_whichever_replica_is_asked() {
    let api = AdminApi::start().await;
    let admin = admin(&api).await;
    let replica = api.server.replica(&["--standing-cache-max-age=0s"]).await;
    let there = Caller::at(&replica, &admin.token).await;
    let request = CreateClientRequest {
        client: Some(named("billing", &["a"], &[])),
        request_id: Uuid::now_v7().to_string(),
        ..CreateClientRequest::default()
    };
    let made = admin.create(request.clone()).await.unwrap();
    let id = made.client.as_ref().unwrap().id.clone();
    assert!(made.client_secret.is_some());
    for caller in [&admin, &there] {
        let again = caller.create(request.clone()).await.unwrap();
        assert_eq!((again.client.as_ref(), again.client_secret), (made.client.as_ref(), None));
    }
    let other = CreateClientRequest { client: Some(named("other", &[], &[])), ..request.clone() };
    assert_refused(there.create(other).await, Code::InvalidArgument, "REQUEST_ID_REUSED");

    let rotate = RotateClientSecretRequest { request_id: Uuid::now_v7().to_string(), ..rotation(&id) };
    let rotated = there.rotate(rotate.clone()).await.unwrap();
    assert_eq!(rotated.client_secret.len(), 43);
    let again = admin.rotate(rotate).await.unwrap();
    assert_eq!((again.client, again.client_secret.as_str()), (rotated.client, ""));

    // As it is now, not as it was.
    admin.update(Client { id: id.clone(), ..named("bills", &[], &[]) }, &["name"]).await.unwrap();
    assert_eq!(there.create(request.clone()).await.unwrap().client.unwrap().name, "bills");
    let delete = DeleteClientRequest { request_id: Uuid::now_v7().to_string(), ..deletion(&id) };
    admin.delete(delete.clone()).await.unwrap();
    there.delete(delete).await.unwrap();
    assert_refused(there.create(request).await, Code::NotFound, "CLIENT_NOT_FOUND");
    // Two at once: one makes it, and one alone is told the secret.
    let request = CreateClientRequest {
        client: Some(named("twice", &[], &[])),
        request_id: Uuid::now_v7().to_string(),
        ..CreateClientRequest::default()
    };
    let (one, two) = tokio::join!(admin.create(request.clone()), there.create(request));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.client, two.client);
    assert_eq!([&one, &two].iter().filter(|answer| answer.client_secret.is_some()).count(), 1);
}

#[tokio::test]
async fn what_is_only_judged_is_not_made() {
    let api = AdminApi::start().await;
    let admin = admin(&api).await;
    let request = CreateClientRequest {
        client: Some(named("billing", &["a"], &[])),
        validate_only: true,
        ..CreateClientRequest::default()
    };
    let judged = admin.create(request.clone()).await.unwrap();
    let client = judged.client.unwrap();
    assert_eq!((client.id.as_str(), client.name.as_str(), judged.client_secret), ("", "billing", None));
    let gone = admin.get(Which::Name("billing".to_owned())).await;
    assert_refused(gone, Code::NotFound, "CLIENT_NOT_FOUND");
    let client = admin.make(named("billing", &["a"], &[])).await.unwrap();
    assert_refused(admin.create(request).await, Code::AlreadyExists, "CLIENT_NAME_TAKEN");
    let update = UpdateClientRequest {
        client: Some(Client { id: client.id.clone(), ..named("other", &["b"], &[]) }),
        validate_only: true,
        ..UpdateClientRequest::default()
    };
    assert_eq!(admin.send(update).await.unwrap().name, "other");
    assert_eq!(admin.by_id(&client.id).await.unwrap(), client);
}

#[tokio::test]
async fn the_built_in_client_is_changed_and_stays() {
    let api = AdminApi::start().await;
    let admin = admin(&api).await;
    let signet = admin.by_id("signet").await.unwrap();
    assert_eq!(admin.get(Which::Name("signet".to_owned())).await.unwrap(), signet);
    assert_eq!(
        (signet.kind(), &signet.scopes[..]),
        (Kind::Public, &["profile".to_owned(), "account".to_owned()][..])
    );
    let mine = |client: Client| Client { id: "signet".to_owned(), ..client };
    let wider = admin
        .update(mine(named("", &["profile", "account", "openid"], &["stock"])), &["scopes", "audiences"])
        .await;
    assert_eq!(wider.unwrap().audiences, ["stock"]);
    for refused in [
        admin.delete(deletion("signet")).await,
        admin.disable("signet").await.map(drop),
        admin.rotate(rotation("signet")).await.map(drop),
        admin.update(mine(named("other", &[], &[])), &["name"]).await.map(drop),
        admin
            .update(mine(Client { jwks: PUBLIC_KEY.to_owned(), ..Client::default() }), &["jwks"])
            .await
            .map(drop),
    ] {
        assert_refused(refused, Code::FailedPrecondition, "BUILT_IN_CLIENT");
    }
    let own = admin.update(mine(named("", &["signet.users.read"], &[])), &["scopes"]).await;
    assert_refused(own, Code::InvalidArgument, "INVALID_FIELDS");
    // Whoever writes clients changes it: it holds nothing by itself.
    let registry = operator(&api.server).await;
    let (_, writer) = writer(&api, &registry).await;
    writer.update(mine(named("", &["profile", "account"], &[])), &["scopes"]).await.unwrap();
}
