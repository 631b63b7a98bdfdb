//! Owns `signet groups` over the admin API.

use super::{Command, Member, heading, list_member, members_heading, show, tell, tell_deleted, tell_member};
use crate::{
    cli::{
        Failure, Output,
        remote::{Remote, answered, each, from_the_start, read},
    },
    identity::{access::NamedPrincipal, users::UserRef},
    model::{Principal, UserId},
    proto::identity::admin::v1::{
        self as wire, CreateGroupRequest, CreateMembershipRequest, DeleteGroupRequest,
        DeleteMembershipRequest, ListGroupsRequest, ListMembershipsRequest, list_memberships_request::Of,
    },
};

pub(super) async fn run(command: Command, remote: &Remote, output: Output) -> Result<(), Failure> {
    let mut groups = remote.groups();
    match command {
        Command::Create { name } => {
            let group = wire::Group { name: name.as_str().to_owned(), ..wire::Group::default() };
            let request = CreateGroupRequest { group: Some(group), ..CreateGroupRequest::default() };
            let answer = answered(groups.create_group(request).await)?;
            show(&read::group(answer.group.unwrap_or_default())?, output)
        }
        Command::Add(member) => {
            let (group, user) = both(member, remote).await?;
            let membership = wire::Membership {
                group_id: group.id.clone(),
                user_id: user.id.clone(),
                ..wire::Membership::default()
            };
            let membership = Some(membership);
            let request = CreateMembershipRequest { membership, ..CreateMembershipRequest::default() };
            answered(groups.create_membership(request).await)?;
            tell_member("is in", &read::group(group)?, &named(&user)?, output)
        }
        Command::Remove(member) => {
            let (group, user) = both(member, remote).await?;
            let request = DeleteMembershipRequest {
                group_id: group.id.clone(),
                user_id: user.id.clone(),
                ..DeleteMembershipRequest::default()
            };
            answered(groups.delete_membership(request).await)?;
            tell_member("is no longer in", &read::group(group)?, &named(&user)?, output)
        }
        Command::Delete(which) => {
            let group = remote.group(&which.group).await?;
            let request = DeleteGroupRequest { id: group.id.clone(), ..DeleteGroupRequest::default() };
            answered(groups.delete_group(request).await)?;
            tell_deleted(&read::group(group)?, output)
        }
        Command::List { user, limit, after } => {
            from_the_start("--after", after)?;
            list(user, limit, remote, output).await
        }
        Command::Members { which, limit, after } => {
            from_the_start("--after", after)?;
            let id = remote.group(&which.group).await?.id;
            let read = async |page_size, page_token| {
                memberships(Of::GroupId(id.clone()), page_size, page_token, remote).await
            };
            let tell = async |member| {
                let (membership, username) = read::membership(member)?;
                list_member(&membership, &username, output)
            };
            each(limit, || members_heading(output), read, tell).await
        }
    }
}

async fn list(
    user: Option<String>,
    limit: Option<u64>,
    remote: &Remote,
    output: Output,
) -> Result<(), Failure> {
    let Some(user) = user else {
        let read = async |page_size, page_token| {
            let page =
                answered(remote.groups().list_groups(ListGroupsRequest { page_size, page_token }).await)?;
            Ok((page.groups, page.next_page_token))
        };
        return each(limit, || heading(output), read, async |group| tell(&read::group(group)?, output)).await;
    };
    let id = remote.user(&UserRef::IdOrName(user)).await?.id;
    let read = async |page_size, page_token| {
        memberships(Of::UserId(id.clone()), page_size, page_token, remote).await
    };
    let tell = async |of: wire::Membership| {
        // When the group was made, its members do not tell.
        tell(&read::group(remote.group(&of.group_id).await?)?, output)
    };
    each(limit, || heading(output), read, tell).await
}

async fn memberships(
    of: Of,
    page_size: i32,
    page_token: String,
    remote: &Remote,
) -> Result<(Vec<wire::Membership>, String), Failure> {
    let request = ListMembershipsRequest { page_size, page_token, of: Some(of) };
    let page = answered(remote.groups().list_memberships(request).await)?;
    Ok((page.memberships, page.next_page_token))
}

/// The group and the user that are meant.
async fn both(Member { which, user }: Member, remote: &Remote) -> Result<(wire::Group, wire::User), Failure> {
    Ok((remote.group(&which.group).await?, remote.user(&UserRef::IdOrName(user)).await?))
}

fn named(user: &wire::User) -> Result<NamedPrincipal, Failure> {
    let id: UserId = read::user(user)?.id;
    Ok(NamedPrincipal { principal: Principal::User(id), name: user.username.clone() })
}
