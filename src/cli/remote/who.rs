//! Owns finding whom a command means over the admin API, by id or by name, as the commands on the database do.

use uuid::Uuid;

use super::{Remote, answered};
use crate::{
    cli::Failure,
    identity::{
        access::{PrincipalRef, RoleRef},
        users::UserRef,
    },
    model::{ClientId, Error, Principal, UserId},
    proto::identity::admin::v1::{
        self as wire, GetClientRequest, GetGroupRequest, GetRoleRequest, GetUserRequest, get_client_request,
        get_group_request, get_role_request, get_user_request, principal::Kind,
    },
};

impl Remote {
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
    Failure::Failed("the service answers without what was asked for: is it of another release?".to_owned())
}
