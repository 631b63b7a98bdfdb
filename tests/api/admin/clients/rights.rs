//! Owns what nobody gets by a client: to write clients is not to administer the service.

use std::pin::Pin;

use signet::{
    identity::{
        Administrator,
        clients::{ClientChange, SetChange},
    },
    model::{AudienceName, Binding, BindingId, BuiltInRole, ClientId, NameSet, Principal, id::uuid_v7},
    proto::identity::admin::v1::{Client, client::Certificate, get_client_request::Which},
};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{Caller, PUBLIC_KEY, admin, deletion, named, registered, rotation, told, writer};
use crate::{
    admin::AdminApi,
    clients::operator,
    harness::assert_refused,
    operator::{by_operator, owned},
};

/// What somebody tries, by its name.
type Attempt<'a> = (&'static str, Pin<Box<dyn Future<Output = Result<(), Status>> + 'a>>);

/// What a client-writer tries to do to the client `id`.
fn attempts<'a>(by: &'a Caller, id: &'a str) -> [Attempt<'a>; 8] {
    let mine = |client: Client| Client { id: id.to_owned(), ..client };
    let keys = mine(Client { jwks: PUBLIC_KEY.to_owned(), ..Client::default() });
    let certificate = Certificate::SpiffeId("spiffe://evil.example/x".to_owned());
    let certificate = mine(Client { certificate: Some(certificate), ..Client::default() });
    [
        ("secret", Box::pin(async { by.rotate(rotation(id)).await.map(drop) })),
        ("keys", Box::pin(async move { by.update(keys, &["jwks"]).await.map(drop) })),
        ("certificate", Box::pin(async move { by.update(certificate, &["spiffe_id"]).await.map(drop) })),
        (
            "audience",
            Box::pin(
                async move { by.update(mine(named("", &[], &["stock"])), &["audiences"]).await.map(drop) },
            ),
        ),
        ("name", Box::pin(async move { by.update(mine(named("x", &[], &[])), &["name"]).await.map(drop) })),
        ("disable", Box::pin(async { by.disable(id).await.map(drop) })),
        ("enable", Box::pin(async { by.enable(id).await.map(drop) })),
        ("delete", Box::pin(async { by.delete(deletion(id)).await })),
    ]
}

#[tokio::test]
async fn whoever_writes_clients_gets_by_one_nothing_that_they_lack() {
    let api = AdminApi::start().await;
    let registry = operator(&api.server).await;
    let (_, writer) = writer(&api, &registry).await;
    let plain = registered(&registry, "plain", "orders.read", "").await;
    let more = |client: Client| Client { id: plain.id.clone(), ..client };

    // A scope of the service's own, to a new client and to one that is there.
    let taken = &["signet.users.write", "signet.clients.read"];
    let refused =
        assert_refused(writer.make(named("new", taken, &[])).await, Code::PermissionDenied, "GRANT_NOT_HELD");
    assert_eq!(told(&refused, "scope"), "signet.users.write");
    let refused = writer.update(more(named("", taken, &[])), &["scopes"]).await;
    assert_refused(refused, Code::PermissionDenied, "GRANT_NOT_HELD");
    writer.make(named("reader", &["signet.clients.read"], &[])).await.unwrap();

    // A client that holds more: by registration, active or not, there or elsewhere, and by a role.
    let boss = registered(&registry, "boss", "signet.users.write", "").await;
    let asleep = registered(&registry, "asleep", "signet.users.write", "stock").await;
    registry.set_active(&asleep.client_id().into(), false, None, &Administrator::operator()).await.unwrap();
    let bound = registered(&registry, "bound", "orders.read", "").await;
    let (id, create_time) =
        (BindingId(uuid_v7(api.server.clock.now(), api.store.entropy())), api.server.clock.now());
    let subject = Principal::Client(bound.client_id());
    let binding = Binding { id, role: BuiltInRole::Admin.id(), subject, expire_time: None, create_time };
    api.store.bind(&binding, by_operator(create_time)).await.unwrap();
    for holder in [&boss, &asleep, &bound] {
        let before = api.store.client(holder.client_id()).await.unwrap();
        for (what, attempt) in attempts(&writer, &holder.id) {
            let refused = assert_refused(attempt.await, Code::PermissionDenied, "HOLDS_MORE");
            assert!(told(&refused, "scope").contains("signet.users.write"), "{what}");
        }
        assert_eq!(api.store.client(holder.client_id()).await.unwrap(), before);
    }

    // An audience of another team, and a scope at it.
    let stock = registered(&registry, "stock-app", "stock.read", "stock").await;
    let at_stock = |client: Client| Client { id: stock.id.clone(), ..client };
    let every = async |expected: Option<&str>| {
        for done in [
            writer
                .make(named(&format!("thief-{}", Uuid::now_v7().simple()), &["stock.write"], &["stock"]))
                .await,
            writer.update(more(named("", &[], &["signet", "stock"])), &["audiences"]).await,
            writer.update(at_stock(named("", &["stock.read", "stock.write"], &[])), &["scopes"]).await,
        ] {
            match expected {
                Some(reason) => {
                    let refused = assert_refused(done, Code::PermissionDenied, reason);
                    assert_eq!(told(&refused, "audience"), "stock");
                }
                None => drop(done.unwrap()),
            }
        }
    };
    every(Some("NOT_OWNER")).await;
    // Less is not given by anybody.
    writer.update(at_stock(Client::default()), &["scopes"]).await.unwrap();
    let owner = writer.get(Which::Name("writer".to_owned())).await.unwrap();
    let owner = Principal::Client(ClientId::parse(&owner.id).unwrap());
    let stock_audience = AudienceName::parse("stock").unwrap();
    let with = owned(move |owners| owners.iter().copied().chain([owner]).collect());
    api.store.update_audience(&stock_audience, None, with, by_operator(create_time)).await.unwrap();
    every(None).await;
}

#[tokio::test]
async fn who_judges_tokens_the_owners_of_the_service_itself_say() {
    let api = AdminApi::start().await;
    let registry = operator(&api.server).await;
    let (_, writer) = writer(&api, &registry).await;
    let stock = registered(&registry, "stock-app", "stock.read", "stock").await;
    let root = admin(&api).await;
    let more = |client: Client| Client { id: stock.id.clone(), ..client };
    for refused in [
        writer.make(named("gateway", &["introspect"], &[])).await,
        writer.make(named("gateway", &["profile", "introspect"], &["signet"])).await,
        writer.make(named("gateway", &["reports.read"], &[])).await,
        writer.update(more(named("", &[], &["stock", "signet"])), &["audiences"]).await,
    ] {
        let refused = assert_refused(refused, Code::PermissionDenied, "NOT_OWNER");
        assert_eq!(told(&refused, "audience"), "signet");
    }
    // By its secret a client judges tokens whomever its own ones are meant for.
    let stock_audience = AudienceName::parse("stock").unwrap();
    let owner = writer.get(Which::Name("writer".to_owned())).await.unwrap();
    let owner = Principal::Client(ClientId::parse(&owner.id).unwrap());
    let with = owned(move |owners| owners.iter().copied().chain([owner]).collect());
    let change = by_operator(api.server.clock.now());
    api.store.update_audience(&stock_audience, None, with, change).await.unwrap();
    let refused = writer.update(more(named("", &["stock.read", "introspect"], &[])), &["scopes"]).await;
    let refused = assert_refused(refused, Code::PermissionDenied, "NOT_OWNER");
    assert_eq!(told(&refused, "audience"), "signet");

    // What users have of their own accounts is nothing that anybody is given, and an admin gives the rest.
    writer.make(named("app", &["profile", "account"], &[])).await.unwrap();
    root.make(named("gateway", &["introspect"], &[])).await.unwrap();
}

#[tokio::test]
async fn what_a_writer_has_lost_counts_no_longer_and_a_user_manager_writes_no_client() {
    let api = AdminApi::start().await;
    let registry = operator(&api.server).await;
    let (registered_writer, writer) = writer(&api, &registry).await;
    let plain = registered(&registry, "plain", "a", "").await;
    let (_, token) = api.administrator(BuiltInRole::UserManager, "helper").await;
    let helper = Caller::at(&api.server, &token).await;
    for (what, attempt) in attempts(&helper, &plain.id) {
        let refused = assert_refused(attempt.await, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
        assert_eq!(told(&refused, "required_scope"), "signet.clients.write", "{what}");
    }
    assert_refused(helper.make(named("x", &[], &[])).await, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
    assert_refused(helper.by_id(&plain.id).await, Code::PermissionDenied, "INSUFFICIENT_SCOPE");

    writer.rotate(rotation(&plain.id)).await.unwrap();
    let fewer = ClientChange {
        scopes: SetChange::To(NameSet::parse("signet.clients.read").unwrap()),
        ..ClientChange::default()
    };
    let who = registered_writer.client_id().into();
    registry.update(&who, &fewer, &Administrator::operator()).await.unwrap();
    assert_refused(writer.rotate(rotation(&plain.id)).await, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
}

/// A client that owns an audience decides by its own token who has that audience's roles.
#[tokio::test]
async fn who_writes_clients_becomes_no_client_that_owns_an_audience() {
    let api = AdminApi::start().await;
    let registry = operator(&api.server).await;
    let (registered_writer, writer) = writer(&api, &registry).await;
    let [writers, owner] = [
        registered_writer.client_id(),
        registered(&registry, "stock-app", "stock.read", "stock").await.client_id(),
    ];
    let set_owners = async |owners: &[ClientId]| {
        let stock = AudienceName::parse("stock").unwrap();
        let owners: Vec<_> = owners.iter().copied().map(Principal::Client).collect();
        let change = by_operator(api.server.clock.now());
        api.store.update_audience(&stock, None, owned(|_| owners.clone()), change).await.unwrap();
    };
    set_owners(&[owner]).await;
    let (id, before) = (owner.to_string(), api.store.client(owner).await.unwrap());
    let credentials = ["secret", "keys", "certificate"];
    for (what, attempt) in attempts(&writer, &id) {
        if credentials.contains(&what) {
            let refused = assert_refused(attempt.await, Code::PermissionDenied, "NOT_OWNER");
            assert_eq!(told(&refused, "audience"), "stock", "{what}");
        }
    }
    assert_eq!(api.store.client(owner).await.unwrap(), before);
    // What gives no credential is no way to become it; and who owns it too becomes nobody who may do more.
    for (what, attempt) in attempts(&writer, &id) {
        if ["name", "disable", "enable"].contains(&what) {
            attempt.await.unwrap();
        }
    }
    set_owners(&[owner, writers]).await;
    writer.rotate(rotation(&id)).await.unwrap();
    set_owners(&[]).await;
    writer.rotate(rotation(&id)).await.unwrap();
}
