//! Owns what somebody does to roles and groups in the tests, by the token that it shows.

use std::time::Duration;

use prost_types::FieldMask;
use signet::{
    model::{BuiltInRole, UserId},
    proto::identity::admin::v1::{
        Audience, Binding, CreateBindingRequest, CreateGroupRequest, CreateMembershipRequest,
        CreateRoleRequest, DeleteBindingRequest, DeleteGroupRequest, DeleteMembershipRequest,
        DeleteRoleRequest, GetAccessRequest, GetAudienceRequest, GetRoleRequest, Group, Membership,
        Principal, Role, ScopeAccess, UpdateAudienceRequest, UpdateRoleRequest,
        audience::TokenTyp,
        get_role_request::{RoleName, Which},
        group_service_client::GroupServiceClient,
        principal::Kind,
        role_service_client::RoleServiceClient,
    },
};
use tonic::{Request, Status, transport::Channel};
use tonic_types::StatusExt;

use super::AdminApi;
use crate::harness::with_token;

/// Somebody with a token.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) id: UserId,
    pub(super) roles: RoleServiceClient<Channel>,
    pub(super) groups: GroupServiceClient<Channel>,
    token: String,
}

impl AdminApi {
    /// The new user `username`, who has the built-in role and shows all that it gives.
    pub(super) async fn caller(&self, role: BuiltInRole, username: &str) -> Caller {
        let (id, token) = self.administrator(role, username).await;
        Caller::new(id, self.channel().await, token)
    }

    /// The new user `username`, who has no role, and shows what everybody has.
    pub(super) async fn nobody(&self, username: &str) -> Caller {
        let id = self.user(username).await;
        let token = self.log_in(username, "profile account").await.access_token;
        Caller::new(id, self.channel().await, token)
    }
}

impl Caller {
    fn new(id: UserId, channel: Channel, token: String) -> Self {
        let (roles, groups) = (RoleServiceClient::new(channel.clone()), GroupServiceClient::new(channel));
        Self { id, roles, groups, token }
    }

    /// The same, who calls on `channel` and shows `token`.
    pub(super) fn by(&self, channel: Channel, token: &str) -> Self {
        Self::new(self.id, channel, token.to_owned())
    }

    pub(super) fn ask<T>(&self, message: T) -> Request<T> {
        with_token(message, &self.token)
    }

    pub(super) fn principal(&self) -> Principal {
        user(self.id)
    }

    pub(super) async fn create_role(&self, audience: &str, name: &str, scopes: &str) -> Result<Role, Status> {
        let request = CreateRoleRequest { role: Some(role(audience, name, scopes)), ..Default::default() };
        Ok(self.roles.clone().create_role(self.ask(request)).await?.into_inner().role.unwrap())
    }

    pub(super) async fn role(&self, audience: &str, name: &str) -> Result<Role, Status> {
        let which = Which::Name(RoleName { audience: audience.to_owned(), name: name.to_owned() });
        let request = self.ask(GetRoleRequest { which: Some(which) });
        Ok(self.roles.clone().get_role(request).await?.into_inner().role.unwrap())
    }

    /// Has `role` give `scopes`, and no others.
    pub(super) async fn set_scopes(&self, role: &Role, scopes: &str) -> Result<Role, Status> {
        let role = Role { scopes: names(scopes), ..role.clone() };
        let update_mask = Some(FieldMask { paths: vec!["scopes".to_owned()] });
        let request = UpdateRoleRequest { role: Some(role), update_mask, ..Default::default() };
        Ok(self.roles.clone().update_role(self.ask(request)).await?.into_inner().role.unwrap())
    }

    pub(super) async fn delete_role(&self, id: &str) -> Result<(), Status> {
        let request = DeleteRoleRequest { id: id.to_owned(), ..Default::default() };
        self.roles.clone().delete_role(self.ask(request)).await.map(drop)
    }

    pub(super) async fn bind(&self, role: &str, subject: Principal) -> Result<Binding, Status> {
        let binding = Binding { role_id: role.to_owned(), subject: Some(subject), ..Default::default() };
        let request = CreateBindingRequest { binding: Some(binding), ..Default::default() };
        Ok(self.roles.clone().create_binding(self.ask(request)).await?.into_inner().binding.unwrap())
    }

    pub(super) async fn unbind(&self, id: &str) -> Result<(), Status> {
        let request = DeleteBindingRequest { id: id.to_owned(), ..Default::default() };
        self.roles.clone().delete_binding(self.ask(request)).await.map(drop)
    }

    pub(super) async fn audience(&self, name: &str) -> Result<Audience, Status> {
        let request = self.ask(GetAudienceRequest { name: name.to_owned() });
        Ok(self.roles.clone().get_audience(request).await?.into_inner().audience.unwrap())
    }

    pub(super) async fn set_owners(&self, name: &str, owners: &[Principal]) -> Result<Audience, Status> {
        let audience = Audience { name: name.to_owned(), owners: owners.to_vec(), ..Default::default() };
        let update_mask = Some(FieldMask { paths: vec!["owners".to_owned()] });
        let request = UpdateAudienceRequest { audience: Some(audience), update_mask, ..Default::default() };
        Ok(self.roles.clone().update_audience(self.ask(request)).await?.into_inner().audience.unwrap())
    }

    /// Has the tokens for the audience `name` alone be called `typ`, if its etag is `etag`, or that is empty.
    pub(super) async fn set_token_typ(
        &self,
        name: &str,
        typ: TokenTyp,
        etag: &str,
    ) -> Result<Audience, Status> {
        let (name, etag) = (name.to_owned(), etag.to_owned());
        let audience = Audience { name, etag, token_typ: typ.into(), ..Default::default() };
        let update_mask = Some(FieldMask { paths: vec!["token_typ".to_owned()] });
        let request = UpdateAudienceRequest { audience: Some(audience), update_mask, ..Default::default() };
        Ok(self.roles.clone().update_audience(self.ask(request)).await?.into_inner().audience.unwrap())
    }

    pub(super) async fn access(
        &self,
        subject: Principal,
        audience: &str,
    ) -> Result<Vec<ScopeAccess>, Status> {
        let request = GetAccessRequest { subject: Some(subject), audience: audience.to_owned() };
        Ok(self.roles.clone().get_access(self.ask(request)).await?.into_inner().scopes)
    }

    pub(super) async fn create_group(&self, name: &str) -> Result<Group, Status> {
        let group = Group { name: name.to_owned(), ..Default::default() };
        let request = CreateGroupRequest { group: Some(group), ..Default::default() };
        Ok(self.groups.clone().create_group(self.ask(request)).await?.into_inner().group.unwrap())
    }

    pub(super) async fn delete_group(&self, id: &str) -> Result<(), Status> {
        let request = DeleteGroupRequest { id: id.to_owned(), ..Default::default() };
        self.groups.clone().delete_group(self.ask(request)).await.map(drop)
    }

    pub(super) async fn join(&self, group: &str, user: UserId) -> Result<Membership, Status> {
        let membership =
            Membership { group_id: group.to_owned(), user_id: user.to_string(), ..Default::default() };
        let request = CreateMembershipRequest { membership: Some(membership), ..Default::default() };
        Ok(self.groups.clone().create_membership(self.ask(request)).await?.into_inner().membership.unwrap())
    }

    pub(super) async fn leave(&self, group: &str, user: UserId) -> Result<(), Status> {
        let (group_id, user_id) = (group.to_owned(), user.to_string());
        let request = DeleteMembershipRequest { group_id, user_id, ..Default::default() };
        self.groups.clone().delete_membership(self.ask(request)).await.map(drop)
    }
}

pub(super) fn role(audience: &str, name: &str, scopes: &str) -> Role {
    let (audience, name) = (audience.to_owned(), name.to_owned());
    Role { audience, name, scopes: names(scopes), ..Default::default() }
}

pub(super) fn names(scopes: &str) -> Vec<String> {
    scopes.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

pub(super) fn user(id: UserId) -> Principal {
    Principal { kind: Some(Kind::UserId(id.to_string())) }
}

pub(super) fn group(id: &str) -> Principal {
    Principal { kind: Some(Kind::GroupId(id.to_owned())) }
}

pub(super) fn client(id: &str) -> Principal {
    Principal { kind: Some(Kind::ClientId(id.to_owned())) }
}

/// What the metadata of `refused` say of `key`.
pub(super) fn told(refused: &Status, key: &str) -> String {
    refused.get_details_error_info().unwrap().metadata.get(key).cloned().unwrap_or_default()
}

/// `time` after the moment of the server's clock.
pub(super) fn in_the_future(api: &AdminApi, time: Duration) -> prost_types::Timestamp {
    let end = api.server.clock.now().after(time);
    prost_types::Timestamp { seconds: end.as_secs(), nanos: end.subsec_nanos() }
}
