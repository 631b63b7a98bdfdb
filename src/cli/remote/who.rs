//! Owns finding whom a command means over the admin API, by id or by name, as the commands on the database do.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{Remote, answered};
use crate::{
    cli::{CommandReason, Failure},
    identity::{
        access::{PrincipalRef, RoleRef},
        users::UserRef,
    },
    model::{AudienceName, ClientId, Error, Principal, UserId},
    proto::identity::admin::v1::{
        self as wire, GetAudienceRequest, GetClientRequest, GetGroupRequest, GetRoleRequest, GetUserRequest,
        get_client_request, get_group_request, get_role_request, get_user_request, principal::Kind,
    },
};

/// What those are called whom a list names by their ids, found once each.
#[derive(Default)]
pub(in crate::cli) struct Names {
    known: HashMap<Principal, String>,
    /// The kinds that the caller may not read: each question more would be one more refusal in the audit log.
    unreadable: HashSet<&'static str>,
}

impl Names {
    /// What `principal` is called; its id if the caller may not know, or if it has just been deleted.
    pub(in crate::cli) async fn of(&mut self, who: Principal, remote: &Remote) -> Result<String, Failure> {
        if let Some(name) = self.known.get(&who) {
            return Ok(name.clone());
        }
        if self.unreadable.contains(who.kind()) {
            return Ok(who.id().to_string());
        }
        let name = match remote.principal(&PrincipalRef::Id(who)).await {
            Ok((_, name)) => name,
            Err(failure) if failure.is_by("PERMISSION_DENIED") => {
                self.unreadable.insert(who.kind());
                return Ok(who.id().to_string());
            }
            Err(failure) if failure.is_by("NOT_FOUND") => who.id().to_string(),
            Err(failure) => return Err(failure),
        };
        self.known.insert(who, name.clone());
        Ok(name)
    }
}

impl Remote {
    /// Refuses an audience that is not there, as far as the caller may know: an empty list would look like an answer.
    pub(in crate::cli) async fn must_have(&self, audience: &AudienceName) -> Result<(), Failure> {
        let request = GetAudienceRequest { name: audience.as_str().to_owned() };
        match answered(self.roles().get_audience(request).await) {
            Err(failure) if !failure.is_by("PERMISSION_DENIED") => Err(failure),
            _ => Ok(()),
        }
    }

    /// The user `who`.
    pub(in crate::cli) async fn user(&self, who: &UserRef) -> Result<wire::User, Failure> {
        let by_id = |id: Uuid| get_user_request::Which::Id(id.to_string());
        let by_name = |name: &String| get_user_request::Which::Username(name.clone());
        match who {
            UserRef::Id(id) => self.user_by(by_id(id.0)).await,
            UserRef::Name(name) => self.user_by(by_name(name)).await,
            UserRef::IdOrName(said) => match Uuid::parse_str(said) {
                // Such a name comes from a time when anybody could have it: whoever chose it wants to be taken for the other.
                Ok(id) => match self.user_by(by_name(said)).await {
                    Ok(named) => {
                        let named = UserId(Uuid::parse_str(&named.id).unwrap_or_default());
                        Err(Error::UserAmbiguous { said: said.clone(), named }.into())
                    }
                    Err(_) => self.user_by(by_id(id)).await,
                },
                Err(_) => self.user_by(by_name(said)).await,
            },
        }
    }

    async fn user_by(&self, which: get_user_request::Which) -> Result<wire::User, Failure> {
        let found = answered(self.users().get_user(GetUserRequest { which: Some(which) }).await)?;
        found.user.ok_or_else(nothing)
    }

    /// The group with this id or name.
    pub(in crate::cli) async fn group(&self, said: &str) -> Result<wire::Group, Failure> {
        let which = match Uuid::parse_str(said) {
            Ok(_) => get_group_request::Which::Id(said.to_owned()),
            Err(_) => get_group_request::Which::Name(said.to_owned()),
        };
        let found = answered(self.groups().get_group(GetGroupRequest { which: Some(which) }).await)?;
        found.group.ok_or_else(nothing)
    }

    /// The client with this id or name.
    pub(in crate::cli) async fn client(&self, said: &str) -> Result<wire::Client, Failure> {
        let which = match ClientId::parse(said) {
            Some(_) => get_client_request::Which::Id(said.to_owned()),
            None => get_client_request::Which::Name(said.to_owned()),
        };
        let found = answered(self.clients().get_client(GetClientRequest { which: Some(which) }).await)?;
        found.client.ok_or_else(nothing)
    }

    /// The role `which`.
    pub(in crate::cli) async fn role(&self, which: &RoleRef) -> Result<wire::Role, Failure> {
        let which = match which {
            RoleRef::Id(id) => get_role_request::Which::Id(id.to_string()),
            RoleRef::Name(audience, name) => get_role_request::Which::Name(get_role_request::RoleName {
                audience: audience.as_str().to_owned(),
                name: name.as_str().to_owned(),
            }),
        };
        let found = answered(self.roles().get_role(GetRoleRequest { which: Some(which) }).await)?;
        found.role.ok_or_else(nothing)
    }

    /// Whom `who` names, and its name.
    pub(in crate::cli) async fn principal(
        &self,
        who: &PrincipalRef,
    ) -> Result<(wire::Principal, String), Failure> {
        let (kind, name) = match who {
            PrincipalRef::User(user) => {
                let user = self.user(user).await?;
                (Kind::UserId(user.id), user.username)
            }
            PrincipalRef::Group(group) => {
                let group = self.group(&group.0).await?;
                (Kind::GroupId(group.id), group.name)
            }
            PrincipalRef::Client(client) => self.client_principal(&client.to_string()).await?,
            PrincipalRef::Id(Principal::User(id)) => {
                let user = self.user(&UserRef::Id(*id)).await?;
                (Kind::UserId(user.id), user.username)
            }
            PrincipalRef::Id(Principal::Group(id)) => {
                let group = self.group(&id.to_string()).await?;
                (Kind::GroupId(group.id), group.name)
            }
            PrincipalRef::Id(Principal::Client(id)) => self.client_principal(&id.to_string()).await?,
        };
        Ok((wire::Principal { kind: Some(kind) }, name))
    }

    async fn client_principal(&self, said: &str) -> Result<(Kind, String), Failure> {
        let client = self.client(said).await?;
        // The built-in one's is written by its name, and meant by its UUID.
        let id = ClientId::parse(&client.id).map_or(client.id, |id| id.0.to_string());
        Ok((Kind::ClientId(id), client.name))
    }
}

/// That the service answered without what it was asked for.
pub(in crate::cli) fn nothing() -> Failure {
    Failure::because(
        CommandReason::AnswerNotUnderstood,
        "the service answers without what was asked for: is it of another release?".to_owned(),
    )
}
