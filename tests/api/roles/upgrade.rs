//! Owns what an upgrade makes of what was there: no user loses by it what today's clients have.

use std::collections::BTreeSet;

use signet::model::{NameSet, RoleName};
use signet_migrations::{Migrator, MigratorTrait};

use super::{Roles, audience};
use crate::{
    clients::{Wanted, operator, register},
    harness::{PASSWORD, TestServer},
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
