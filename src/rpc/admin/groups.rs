//! Owns `identity.admin.v1.GroupService` on the wire.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Page, access, administrator, at, etag, id, request_key, required};
use crate::{
    identity::{
        access::{AccessRegistry, GroupRef, PrincipalRef},
        users::UserRef,
    },
    model::{Error, Group, GroupId, GroupName, Principal, User, UserId},
    proto::identity::admin::v1::{
        CreateGroupRequest, CreateGroupResponse, CreateMembershipRequest, CreateMembershipResponse,
        DeleteGroupRequest, DeleteGroupResponse, DeleteMembershipRequest, DeleteMembershipResponse,
        GetGroupRequest, GetGroupResponse, ListGroupsRequest, ListGroupsResponse, ListMembershipsRequest,
        ListMembershipsResponse, Membership, get_group_request::Which, group_service_server::GroupService,
        list_memberships_request::Of,
    },
};

/// Serves `GroupService`.
#[derive(Debug)]
pub(crate) struct GroupRpc {
    registry: Arc<AccessRegistry>,
}

impl GroupRpc {
    pub(crate) const fn new(registry: Arc<AccessRegistry>) -> Self {
        Self { registry }
    }

    /// A page of the members of `group`, and the token of the next one.
    async fn members(&self, group: GroupId, page: &Page<Uuid>) -> Result<(Vec<Membership>, String), Error> {
        let directory = self.registry.directory();
        let name = match directory.group(&group.into()).await {
            Ok(group) => group.name,
            Err(Error::GroupNotFound(_)) => return Ok((Vec::new(), String::new())),
            Err(error) => return Err(error),
        };
        let mut found = directory.members(group, page.after.map(UserId), page.size + 1).await?;
        let next = page.next(&mut found, |(_, user)| user.id.0);
        let member = |(membership, user): &(_, User)| {
            access::encode_membership(membership, name.as_str(), user.username.typed())
        };
        Ok((found.iter().map(member).collect(), next))
    }

    /// A page of the groups of `user`, and the token of the next one.
    async fn groups_of(&self, user: UserId, page: &Page<Uuid>) -> Result<(Vec<Membership>, String), Error> {
        let directory = self.registry.directory();
        let username = match directory.principal(&PrincipalRef::Id(Principal::User(user))).await {
            Ok(user) => user.name,
            Err(Error::UserNotFound(_)) => return Ok((Vec::new(), String::new())),
            Err(error) => return Err(error),
        };
        let mut found = directory.memberships(user, page.after.map(GroupId), page.size + 1).await?;
        let next = page.next(&mut found, |(membership, _)| membership.group.0);
        let member = |(membership, group): &(_, Group)| {
            access::encode_membership(membership, group.name.as_str(), &username)
        };
        Ok((found.iter().map(member).collect(), next))
    }
}

#[tonic::async_trait]
impl GroupService for GroupRpc {
    async fn create_group(
        &self,
        request: Request<CreateGroupRequest>,
    ) -> Result<Response<CreateGroupResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "CreateGroup", &message.request_id, &message)?;
        let new = message.group.as_ref().ok_or_else(|| required("group"))?;
        let name = GroupName::parse(&new.name).map_err(|rule| at("group.name", rule))?;
        let by = by.repeatable(key).validating(message.validate_only);
        let mut group = access::encode_group(&self.registry.create_group(name, &by).await?);
        if message.validate_only {
            (group.id, group.create_time, group.etag) = Default::default();
        }
        Ok(Response::new(CreateGroupResponse { group: Some(group) }))
    }

    async fn get_group(
        &self,
        request: Request<GetGroupRequest>,
    ) -> Result<Response<GetGroupResponse>, Status> {
        let which = match request.into_inner().which.ok_or_else(|| required("which"))? {
            Which::Id(text) => GroupRef::from(GroupId(id("id", &text)?)),
            Which::Name(name) => {
                // A name that reads as an id is nobody's.
                let name = GroupName::parse(&name).map_err(|rule| at("name", rule))?;
                GroupRef(name.as_str().to_owned())
            }
        };
        let group = self.registry.directory().group(&which).await?;
        Ok(Response::new(GetGroupResponse { group: Some(access::encode_group(&group)) }))
    }

    async fn list_groups(
        &self,
        request: Request<ListGroupsRequest>,
    ) -> Result<Response<ListGroupsResponse>, Status> {
        let mut filter = request.into_inner();
        let page = Page::<Uuid>::take(&mut filter)?;
        let after = page.after.map(GroupId);
        let mut groups = self.registry.directory().groups(None, after, page.size + 1).await?;
        let next_page_token = page.next(&mut groups, |group| group.id.0);
        let groups = groups.iter().map(access::encode_group).collect();
        Ok(Response::new(ListGroupsResponse { groups, next_page_token }))
    }

    async fn delete_group(
        &self,
        request: Request<DeleteGroupRequest>,
    ) -> Result<Response<DeleteGroupResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "DeleteGroup", &message.request_id, &message)?;
        let which = GroupRef::from(GroupId(id("id", &message.id)?));
        let by = by.repeatable(key).validating(message.validate_only);
        self.registry.delete_group(&which, etag(&message.etag), &by).await?;
        Ok(Response::new(DeleteGroupResponse {}))
    }

    async fn create_membership(
        &self,
        request: Request<CreateMembershipRequest>,
    ) -> Result<Response<CreateMembershipResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "CreateMembership", &message.request_id, &message)?;
        let new = message.membership.as_ref().ok_or_else(|| required("membership"))?;
        let group = GroupRef::from(GroupId(id("membership.group_id", &new.group_id)?));
        let user = UserRef::Id(UserId(id("membership.user_id", &new.user_id)?));
        let by = by.repeatable(key).validating(message.validate_only);
        let (group, user, membership) = self.registry.add_member(&group, &user, &by).await?;
        let mut membership = access::encode_membership(&membership, group.name.as_str(), &user.name);
        if message.validate_only {
            membership.create_time = None;
        }
        Ok(Response::new(CreateMembershipResponse { membership: Some(membership) }))
    }

    async fn list_memberships(
        &self,
        request: Request<ListMembershipsRequest>,
    ) -> Result<Response<ListMembershipsResponse>, Status> {
        let mut filter = request.into_inner();
        let page = Page::<Uuid>::take(&mut filter)?;
        let (memberships, next_page_token) = match filter.of.as_ref().ok_or_else(|| required("of"))? {
            Of::GroupId(text) => self.members(GroupId(id("group_id", text)?), &page).await?,
            Of::UserId(text) => self.groups_of(UserId(id("user_id", text)?), &page).await?,
        };
        Ok(Response::new(ListMembershipsResponse { memberships, next_page_token }))
    }

    async fn delete_membership(
        &self,
        request: Request<DeleteMembershipRequest>,
    ) -> Result<Response<DeleteMembershipResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "DeleteMembership", &message.request_id, &message)?;
        let group = GroupId(id("group_id", &message.group_id)?);
        let user = UserId(id("user_id", &message.user_id)?);
        let by = by.repeatable(key).validating(message.validate_only);
        self.registry.delete_membership(group, user, &by).await?;
        Ok(Response::new(DeleteMembershipResponse {}))
    }
}
