//! Owns what an upgrade makes of what was there: no user loses by it what today's clients have.

use std::collections::BTreeSet;

use signet::{
    identity::access::{Unread, after_upgrade, unread as unread_by},
    model::{AudienceName, NameSet, Role, RoleName},
};
use signet_migrations::{Migrator, MigratorTrait};

use super::{Roles, applied, audience, by_operator};
use crate::{
    clients::{Wanted, operator, register},
    harness::{PASSWORD, START, TestServer},
    support::database::migrations_from,
};

#[tokio::test]
async fn an_upgrade_gives_everybody_what_clients_have_and_account_beside_profile() {
    let mut roles = Roles::start().await;
    roles.user("alice").await;
    let operator = operator(&roles.server).await;
    let mut registered = Vec::new();
    for (name, scopes, audiences) in [
        ("shop", "profile read introspect", "stock signet"),
        ("app", "profile account see", ""),
        ("depot", "write read", "stock orders"),
    ] {
        let wanted = Wanted { audiences, ..Wanted::confidential(scopes) };
        registered.push(register(&operator, name, wanted).await.unwrap());
    }
    let login = roles.client.log_in("alice", PASSWORD).await.unwrap();
    assert_eq!(login.scope, "profile account");
    let (data, clock) = roles.server.stop().await;
    let db = data.connect().await;
    // As the release before left it: no session says what was asked for, and nobody knows of roles.
    Migrator::down(&db, Some(migrations_from("_roles"))).await.unwrap();
    Migrator::up(&db, None).await.unwrap();
    db.close().await.unwrap();

    let server = TestServer::start_in(data, clock, &[]).await;
    let store = server.store().await;
    for (name, expected) in [
        ("stock", &["profile", "read", "write"][..]),
        ("orders", &["read", "write"]),
        ("signet", &["account", "profile", "read", "see"]),
    ] {
        let role = store.role_named(&audience(name), &RoleName::everyone()).await.unwrap().unwrap();
        let scopes: BTreeSet<_> = role.scopes.iter().collect();
        assert_eq!(scopes, expected.iter().copied().collect(), "{name}");
    }
    assert_eq!(store.audiences(None, 10).await.unwrap().len(), 3);
    for (client, scopes) in
        registered.iter().zip(["profile read introspect account", "profile account see", "write read"])
    {
        let read = store.client(client.client_id()).await.unwrap().unwrap();
        assert_eq!(read.scopes, NameSet::parse(scopes).unwrap());
    }
    let mut client = server.client().await;
    let refreshed = client.refresh(&login.refresh_token.unwrap()).await.unwrap();
    assert_eq!(refreshed.scope, "profile account", "its session goes on as before");
}

#[tokio::test]
async fn an_upgrade_tells_what_users_lose_where_the_service_has_another_name() {
    let (roles, name) = (Roles::start().await, "https://id.example");
    let operator = operator(&roles.server).await;
    let wanted = Wanted { audiences: name, ..Wanted::confidential("openid profile x") };
    register(&operator, "shop", wanted).await.unwrap();
    let (data, _) = roles.server.stop().await;
    let db = data.connect().await;
    Migrator::down(&db, Some(migrations_from("_roles"))).await.unwrap();
    Migrator::up(&db, None).await.unwrap();
    db.close().await.unwrap();

    let (store, own) = (data.store().await, NameSet::parse(name).unwrap());
    let told = after_upgrade(&store, &own).await.unwrap();
    let unread = Unread { audience: audience(name), scopes: NameSet::parse("openid x").unwrap() };
    assert_eq!(told.unread, Some(unread));
    assert!(told.everyone.iter().all(|role| role.audience.as_str() != name), "{told:?}");
    assert_eq!(told.left_out, []);
    // By its usual name it is another audience.
    let usual = after_upgrade(&store, &NameSet::parse("signet").unwrap()).await.unwrap();
    assert_eq!(usual.unread, None);
    assert!(usual.everyone.iter().any(|role| role.audience.as_str() == name), "{usual:?}");
    let everyone = store.role_named(&AudienceName::signet(), &RoleName::everyone()).await.unwrap().unwrap();
    let more = |role: &Role| Ok(Role { scopes: role.scopes.with(["openid", "x"]), ..role.clone() });
    applied(store.update_role(everyone.id, None, more, by_operator(START)).await.unwrap());
    assert_eq!(unread_by(&store, &own).await.unwrap(), None);
}
