//! Owns `signet bindings` over the admin API.

use std::collections::HashMap;

use tokio::sync::Mutex;

use super::{List, heading, tell};
use crate::{
    base::Clock,
    cli::{
        Failure, Output,
        remote::{Names, Remote, answered, each, from_the_start, read},
    },
    identity::access::{PrincipalRef, RoleRef},
    model::{AudienceName, Role},
    proto::identity::admin::v1::{self as wire, ListBindingsRequest},
};

/// What bindings tell by ids alone, found once each.
#[derive(Default)]
struct Found {
    roles: HashMap<String, Role>,
    names: Names,
}

pub(super) async fn list(list: List, remote: &Remote, output: Output) -> Result<(), Failure> {
    from_the_start("--after", list.after)?;
    let (now, limit) = (Clock::system().now(), list.limit);
    let filter = filter(list, remote).await?;
    let read = async |page_size, page_token| {
        let request = ListBindingsRequest { page_size, page_token, ..filter.clone() };
        let page = answered(remote.roles().list_bindings(request).await)?;
        if page.bindings.is_empty() && page.next_page_token.is_empty() && !filter.audience.is_empty() {
            remote.must_have(&AudienceName::from_stored(filter.audience.clone())).await?;
        }
        Ok((page.bindings, page.next_page_token))
    };
    let found = Mutex::new(Found::default());
    let show = async |binding: wire::Binding| {
        let (role, name) = found.lock().await.of(&binding, remote).await?;
        tell(&read::binding(&binding, role, name)?, now, output)
    };
    each(limit, || heading(output), read, show).await
}

/// Which bindings `list` means.
async fn filter(list: List, remote: &Remote) -> Result<ListBindingsRequest, Failure> {
    let who: Option<PrincipalRef> = list.who.into();
    let subject = match who {
        Some(who) => Some(remote.principal(&who).await?.0),
        None => None,
    };
    let audience = list.audience.if_said()?;
    let of = || audience.clone().unwrap_or_else(AudienceName::signet);
    let role_id = match list.role {
        Some(name) => remote.role(&RoleRef::Name(of(), name)).await?.id,
        None => String::new(),
    };
    // A scope is one of an audience; what a role is of is said by it.
    let audience = if list.scope.is_some() { Some(of()) } else { audience.filter(|_| role_id.is_empty()) };
    let expire_time_until =
        list.expires_within.map(|within| read::wire_time(Clock::system().now().after(within)));
    Ok(ListBindingsRequest {
        role_id,
        subject,
        scope: list.scope.unwrap_or_default(),
        audience: audience.map(|name| name.as_str().to_owned()).unwrap_or_default(),
        expire_time_until,
        ..ListBindingsRequest::default()
    })
}

impl Found {
    /// The role of `binding`, and the name of who has it; where the caller may not read them, or they have just been deleted, their ids.
    async fn of(&mut self, binding: &wire::Binding, remote: &Remote) -> Result<(Role, String), Failure> {
        let role = if let Some(role) = self.roles.get(&binding.role_id) {
            role.clone()
        } else {
            let unknown = wire::Role {
                id: binding.role_id.clone(),
                name: binding.role_id.clone(),
                audience: "-".to_owned(),
                ..wire::Role::default()
            };
            let unknown = read::role(unknown)?;
            let role = match remote.role(&RoleRef::Id(unknown.id)).await {
                Ok(role) => read::role(role)?,
                Err(failure) if failure.is_by("PERMISSION_DENIED") || failure.is_by("NOT_FOUND") => unknown,
                Err(failure) => return Err(failure),
            };
            self.roles.insert(binding.role_id.clone(), role.clone());
            role
        };
        let principal = read::principal(binding.subject.as_ref(), String::new())?.principal;
        Ok((role, self.names.of(principal, remote).await?))
    }
}
