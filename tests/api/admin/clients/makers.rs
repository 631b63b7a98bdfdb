//! Owns that whoever made a credential of a client does not come to administer the service by it once the client does.

use signet::{
    model::{Binding, BindingId, BuiltInRole, ClientId, Error, Principal, id::uuid_v7},
    proto::identity::admin::v1::{
        Binding as WireBinding, Client, CreateBindingRequest, Role, RotateClientSecretRequest,
        client::Certificate,
    },
};
use tonic::{Code, Status};

use super::{Caller, PUBLIC_KEY, admin, named, registered, rotation, told, writer};
use crate::{
    admin::{
        AdminApi,
        caller::{self, names},
    },
    clients::operator,
    harness::assert_refused,
    operator::by_operator,
};

const LACKS: &str = "MAKER_LACKS_SCOPE";

fn ending_older(id: &str) -> RotateClientSecretRequest {
    RotateClientSecretRequest { end_older: true, ..rotation(id) }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, scope: &str) {
    let refused = assert_refused(answer, Code::FailedPrecondition, LACKS);
    assert!(told(&refused, "scope").contains(scope), "{refused:?}");
}

/// Registers the client `id` with what reads users, too.
async fn give_reading(by: &Caller, id: &str) -> Result<Client, Status> {
    let client = Client { id: id.to_owned(), ..named("", &["signet.users.read"], &[]) };
    by.update(client, &["scopes"]).await
}

#[tokio::test]
async fn a_client_comes_to_administer_by_nothing_while_a_maker_of_its_secret_could_not() {
    let api = AdminApi::start().await;
    let registry = operator(&api.server).await;
    let (_, writer) = writer(&api, &registry).await;
    let (clients, roles) = (admin(&api).await, api.caller(BuiltInRole::Admin, "rosa").await);
    // One that the writer made, and one that it made a secret of.
    let made = writer.make(named("made", &[], &[])).await.unwrap().id;
    let plain = registered(&registry, "plain", "orders.read", "").await.id;
    writer.rotate(rotation(&plain)).await.unwrap();
    // Who has less makes no more of it.
    clients.rotate(rotation(&plain)).await.unwrap();

    let auditor = BuiltInRole::Auditor.id().to_string();
    let reader = roles.create_role("signet", "reader", "signet.users.read").await.unwrap();
    let empty = roles.create_role("signet", "empty", "").await.unwrap();
    for id in [&made, &plain] {
        refused(roles.bind(&auditor, caller::client(id)).await, "signet.audit.read");
        refused(roles.bind(&reader.id, caller::client(id)).await, "signet.users.read");
        let (role_id, subject) = (reader.id.clone(), Some(caller::client(id)));
        let binding = Some(WireBinding { role_id, subject, ..WireBinding::default() });
        let judged = CreateBindingRequest { binding, validate_only: true, ..CreateBindingRequest::default() };
        refused(roles.roles.clone().create_binding(roles.ask(judged)).await, "signet.users.read");
        refused(give_reading(&clients, id).await, "signet.users.read");
        // Nor at the shell, where nobody may know who made it.
        let (now, client) = (api.server.clock.now(), ClientId::parse(id).unwrap());
        let binding = Binding {
            id: BindingId(uuid_v7(now, api.store.entropy())),
            role: BuiltInRole::Admin.id(),
            subject: Principal::Client(client),
            expire_time: None,
            create_time: now,
        };
        let bound = api.store.bind(&binding, by_operator(now)).await;
        assert!(matches!(bound, Err(Error::MakerLacksScope { .. })), "{bound:?}");
        // Nor by what a role that it has comes to give.
        roles.bind(&empty.id, caller::client(id)).await.unwrap();
    }
    let wide = |scopes: &'static str| {
        let (roles, empty) = (roles.clone(), empty.clone());
        async move { roles.set_scopes(&Role { etag: String::new(), ..empty }, scopes).await }
    };
    refused(wide("signet.users.read").await, "signet.users.read");
    // What the writer has as well is nothing that it gains.
    wide("signet.clients.read").await.unwrap();
    wide("").await.unwrap();

    // Once somebody with as much has made the only one.
    for id in [&made, &plain] {
        clients.rotate(ending_older(id)).await.unwrap();
        roles.bind(&reader.id, caller::client(id)).await.unwrap();
        let given = give_reading(&clients, id).await.unwrap();
        assert_eq!(given.scopes, names("signet.users.read"));
    }
    wide("signet.users.read").await.unwrap();
}

#[tokio::test]
async fn each_key_and_certificate_is_its_makers_until_it_is_gone() {
    let api = AdminApi::start().await;
    let registry = operator(&api.server).await;
    let (_, writer) = writer(&api, &registry).await;
    let clients = admin(&api).await;
    let mine = |id: &str, client: Client| Client { id: id.to_owned(), ..client };
    let keys = || Client { jwks: PUBLIC_KEY.to_owned(), ..Client::default() };
    let certificate = |name: &str| Client {
        certificate: Some(Certificate::SpiffeId(format!("spiffe://prod.example/{name}"))),
        ..Client::default()
    };

    let keyed = registered(&registry, "keyed", "", "").await.id;
    writer.update(mine(&keyed, keys()), &["jwks"]).await.unwrap();
    clients.rotate(ending_older(&keyed)).await.unwrap();
    refused(give_reading(&clients, &keyed).await, "signet.users.read");
    // To say again what is there makes nothing.
    clients.update(mine(&keyed, keys()), &["jwks"]).await.unwrap();
    refused(give_reading(&clients, &keyed).await, "signet.users.read");
    clients.update(mine(&keyed, Client::default()), &["jwks"]).await.unwrap();
    clients.rotate(ending_older(&keyed)).await.unwrap();
    give_reading(&clients, &keyed).await.unwrap();

    let certified = registered(&registry, "certified", "", "").await.id;
    writer.update(mine(&certified, certificate("a")), &["spiffe_id"]).await.unwrap();
    clients.rotate(ending_older(&certified)).await.unwrap();
    refused(give_reading(&clients, &certified).await, "signet.users.read");
    clients.update(mine(&certified, certificate("b")), &["spiffe_id"]).await.unwrap();
    clients.rotate(ending_older(&certified)).await.unwrap();
    give_reading(&clients, &certified).await.unwrap();

    // What the operator made alone, nobody else knows.
    let own = registered(&registry, "own", "", "").await.id;
    give_reading(&clients, &own).await.unwrap();
}

#[tokio::test]
async fn whoever_would_have_a_client_hold_what_a_maker_lacked_is_told_of() {
    let api = AdminApi::start().await;
    let registry = operator(&api.server).await;
    let (_, writer) = writer(&api, &registry).await;
    let root = api.caller(BuiltInRole::Admin, "rosa").await;
    let made = writer.make(named("made", &[], &[])).await.unwrap().id;
    let auditor = BuiltInRole::Auditor.id().to_string();
    refused(root.bind(&auditor, caller::client(&made)).await, "signet.audit.read");
    let line = &api.audited("admin.refused", 1).await[0];
    let actor = root.id.to_string();
    assert_eq!((&line["reason"], &line["actor_id"]), (&"maker_lacks_scope".into(), &actor.into()));
    assert_eq!(line["method"], "identity.admin.v1.RoleService/CreateBinding");
}

/// Whoever deletes a client and makes one of the same name is no owner by the next manifest that names it.
#[tokio::test]
async fn a_client_comes_to_own_an_audience_by_nothing_while_a_maker_of_its_secret_could_not() {
    let api = AdminApi::start().await;
    let registry = operator(&api.server).await;
    let (_, writer) = writer(&api, &registry).await;
    let (clients, roles) = (admin(&api).await, api.caller(BuiltInRole::Admin, "rosa").await);
    roles.create_role("stock", "picker", "").await.unwrap();
    let made = writer.make(named("robot", &[], &[])).await.unwrap().id;
    let plain = registered(&registry, "plain", "", "").await.id;
    refused(
        roles.set_owners("stock", &[caller::client(&plain), caller::client(&made)]).await,
        "signet.audiences.admin",
    );
    assert_eq!(roles.audience("stock").await.unwrap().owners, []);
    clients.rotate(ending_older(&made)).await.unwrap();
    let owned = roles.set_owners("stock", &[caller::client(&plain), caller::client(&made)]).await.unwrap();
    assert_eq!(owned.owners.len(), 2);
}
