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
        AudienceName, Binding, BindingId, Description, Error, Group, GroupId, GroupName, NameSet, Principal,
        Role, RoleId, RoleName, UserId,
    },
    store::{Bound, Store, WhichBinding},
};

use crate::{
    harness::{Client, PASSWORD, START, TestServer},
    operator::{applied, by_operator, owned},
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
        applied(self.store.add_role(&role, by_operator(START)).await.unwrap());
        role
    }

    async fn group(&self, name: &str) -> Group {
        let id = GroupId::new(START, &Entropy::system());
        let group = Group { id, name: GroupName::parse(name).unwrap(), create_time: START };
        applied(self.store.add_group(&group, by_operator(START)).await.unwrap());
        group
    }

    async fn bind(&self, role: &Role, subject: Principal, expire_time: Option<Timestamp>) -> Bound {
        applied(self.store.bind(&binding(role, subject, expire_time), by_operator(START)).await.unwrap())
    }

    /// Takes `role` from `subject`; false if it does not have it.
    async fn unbind(&self, role: &Role, subject: Principal) -> Option<Binding> {
        let which = WhichBinding::Of(role.id, subject);
        applied(self.store.unbind(which, None, by_operator(START)).await.unwrap())
    }

    /// Adds `user` to `group`; false if it is in it.
    async fn add_member(&self, group: GroupId, user: UserId) -> bool {
        applied(self.store.add_member(group, user, by_operator(START)).await.unwrap()).1
    }

    /// Takes `user` out of `group`; false if it is not in it.
    async fn remove_member(&self, group: GroupId, user: UserId) -> bool {
        applied(self.store.remove_member(group, user, by_operator(START)).await.unwrap())
    }

    /// Adds `owner` to the owners of `audience`; false if it is one.
    async fn add_owner(&self, audience: &AudienceName, owner: Principal) -> Result<bool, Error> {
        let with = owned(move |owners| owners.iter().copied().chain([owner]).collect());
        let updated = self.store.update_audience(audience, None, with, by_operator(START)).await?;
        let (old, new) = applied(updated);
        Ok(old.owners != new.owners)
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
        description: Description::parse("Näht.").unwrap(),
        create_time: START,
        update_time: START,
    }
}

fn binding(role: &Role, subject: Principal, expire_time: Option<Timestamp>) -> Binding {
    let id = BindingId::new(START, &Entropy::system());
    Binding { id, role: role.id, subject, expire_time, create_time: START }
}
