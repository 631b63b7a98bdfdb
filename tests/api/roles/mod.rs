//! Owns roles as data: who has which, what is deleted with whom, what the feed says of it, and what an upgrade makes of what was there. Run
//! on every database.

mod deleted;
mod feed;
mod found;
mod races;
mod upgrade;

use signet::{
    base::{Entropy, Timestamp},
    model::{
        AudienceName, Binding, BindingId, Group, GroupId, GroupName, NameSet, Principal, Role,
        RoleDescription, RoleId, RoleName, UserId,
    },
    store::{Bound, Store},
};

use crate::{
    harness::{Client, PASSWORD, START, TestServer},
    operator::{applied, by_operator},
};

/// A server's database, and users to give roles.
struct Roles {
    server: TestServer,
    store: Store,
    client: Client,
}

impl Roles {
    async fn start() -> Self {
        let server = TestServer::start(&["--standing-cache-max-age=0s"]).await;
        let (store, client) = (server.store().await, server.client().await);
        Self { server, store, client }
    }

    async fn user(&mut self, name: &str) -> UserId {
        UserId(self.client.sign_up(name, PASSWORD).await.unwrap().id.parse().unwrap())
    }

    async fn role(&self, audience: &str, name: &str, scopes: &str) -> Role {
        let role = role(audience, name, scopes);
        self.store.add_role(&role).await.unwrap();
        role
    }

    async fn group(&self, name: &str) -> Group {
        let id = GroupId::new(START, &Entropy::system());
        let group = Group { id, name: GroupName::parse(name).unwrap(), create_time: START };
        self.store.add_group(&group).await.unwrap();
        group
    }

    async fn bind(&self, role: &Role, subject: Principal, expire_time: Option<Timestamp>) -> Bound {
        applied(self.store.bind(&binding(role, subject, expire_time), by_operator(START)).await.unwrap())
    }
}

fn audience(name: &str) -> AudienceName {
    AudienceName::parse(name).unwrap()
}

fn role(of: &str, name: &str, scopes: &str) -> Role {
    Role {
        id: RoleId::new(START, &Entropy::system()),
        name: RoleName::parse(name).unwrap(),
        audience: audience(of),
        scopes: NameSet::parse(scopes).unwrap(),
        description: RoleDescription::parse("Näht.").unwrap(),
        create_time: START,
        update_time: START,
    }
}

fn binding(role: &Role, subject: Principal, expire_time: Option<Timestamp>) -> Binding {
    let id = BindingId::new(START, &Entropy::system());
    Binding { id, role: role.id, subject, expire_time, create_time: START }
}
