//! Owns `signet groups`.

mod remote;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Failure, Output,
    listing::Listing,
    records::Records,
    remote::Over,
    table::{ID, TIME, Table, WHOLE, when},
};
use crate::{
    config::Config,
    identity::{
        access::{AccessDirectory, GroupRef, NamedPrincipal},
        users::UserRef,
    },
    install::Missing,
    model::{Group, GroupId, GroupName, Membership, RuleViolation, User, UserId},
};

/// How groups are shown.
const GROUPS: Table<3> = Table([("ID", ID), ("CREATED", TIME), ("NAME", WHOLE)]);

/// How the members of a group are shown.
const MEMBERS: Table<3> = Table([("ID", ID), ("SINCE", TIME), ("USERNAME", WHOLE)]);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a group: users who get roles together. Groups do not nest.
    Create {
        /// What to call it: lower-case letters, digits, `-`, `_` and `.`.
        #[arg(value_name = "NAME", value_parser = group_name)]
        name: GroupName,
    },
    /// Add a user to a group.
    Add(Member),
    /// Take a user out of a group.
    Remove(Member),
    /// Delete a group, with its bindings. Its members lose what it gave them. This cannot be undone.
    Delete(Which),
    /// List groups in the order of their making.
    List {
        /// Only those that the user with this id or username is in.
        #[arg(long, value_name = "ID|USERNAME")]
        user: Option<String>,
        /// The maximum number of groups to list.
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
        /// Only those made after the group with this id.
        #[arg(long, value_name = "ID")]
        after: Option<Uuid>,
    },
    /// List the members of a group, in the order in which the users were made.
    Members {
        #[command(flatten)]
        which: Which,
        /// The maximum number of users to list.
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
        /// Only those made after the user with this id.
        #[arg(long, value_name = "ID")]
        after: Option<Uuid>,
    },
}

#[derive(Args, Debug)]
pub(super) struct Which {
    /// The group's id or name.
    #[arg(value_name = "ID|NAME")]
    group: String,
}

#[derive(Args, Debug)]
pub(super) struct Member {
    #[command(flatten)]
    which: Which,
    /// The user's id or username.
    #[arg(long, value_name = "ID|USERNAME")]
    user: String,
}

impl From<Which> for GroupRef {
    fn from(Which { group }: Which) -> Self {
        Self(group)
    }
}

pub(super) async fn run(
    Over { command, place }: Over<Command>,
    config: &Config,
    output: Output,
) -> Result<(), Failure> {
    if let Some(remote) = place.connect(config).await? {
        return remote::run(command, &remote, output).await;
    }
    let work = async move |records: &Records| with_groups(command, records, output).await;
    Records::within(config, Missing::Refused, work).await
}

async fn with_groups(command: Command, records: &Records, output: Output) -> Result<(), Failure> {
    let (registry, directory) = (records.access_registry(), records.access_directory());
    let by = &records.operator;
    match command {
        Command::Create { name } => show(&registry.create_group(name, by).await?, output),
        Command::Add(Member { which, user }) => {
            let (group, user, _) = registry.add_member(&which.into(), &UserRef::IdOrName(user), by).await?;
            tell_member("is in", &group, &user, output)
        }
        Command::Remove(Member { which, user }) => {
            let (group, user) = registry.remove_member(&which.into(), &UserRef::IdOrName(user), by).await?;
            tell_member("is no longer in", &group, &user, output)
        }
        Command::Delete(which) => {
            // A command is nobody's repetition.
            let Some(group) = registry.delete_group(&which.into(), None, by).await? else { return Ok(()) };
            tell_deleted(&group, output)
        }
        Command::List { user, limit, after } => {
            let user = match user {
                Some(user) => Some(records.user_directory().find(&UserRef::IdOrName(user)).await?.id),
                None => None,
            };
            list(Listing { limit, after: after.map(GroupId) }, user, &directory, output).await
        }
        Command::Members { which, limit, after } => {
            let group = directory.group(&which.into()).await?;
            list_members(Listing { limit, after: after.map(UserId) }, &group, &directory, output).await
        }
    }
}

fn tell_deleted(group: &Group, output: Output) -> Result<(), Failure> {
    output.answer(
        &format!("Deleted {} ({}).", group.name.as_str(), group.id),
        &json!({ "deleted": group.id.to_string() }),
    )
}

fn tell_member(what: &str, group: &Group, user: &NamedPrincipal, output: Output) -> Result<(), Failure> {
    let text = format!("{} {what} {}.", user.name, group.name.as_str());
    let ids = json!({ "group_id": group.id.to_string(), "user_id": user.principal.id().to_string() });
    output.answer(&text, &ids)
}

async fn list(
    listing: Listing<GroupId>,
    user: Option<UserId>,
    groups: &AccessDirectory,
    output: Output,
) -> Result<(), Failure> {
    heading(output)?;
    let read = async |after, limit| groups.groups(user, after, limit).await;
    listing.each(read, |group| group.id, |group| tell(group, output)).await
}

fn heading(output: Output) -> Result<(), Failure> {
    output.heading(&GROUPS.heading())
}

fn tell(group: &Group, output: Output) -> Result<(), Failure> {
    let row = GROUPS.row([&group.id.to_string(), &when(group.create_time), group.name.as_str()]);
    output.row(&row, &object(group))
}

async fn list_members(
    listing: Listing<UserId>,
    group: &Group,
    groups: &AccessDirectory,
    output: Output,
) -> Result<(), Failure> {
    members_heading(output)?;
    let tell =
        |(membership, user): &(Membership, User)| list_member(membership, user.username.typed(), output);
    let read = async |after, limit| groups.members(group.id, after, limit).await;
    listing.each(read, |(_, user)| user.id, tell).await
}

fn members_heading(output: Output) -> Result<(), Failure> {
    output.heading(&MEMBERS.heading())
}

fn list_member(membership: &Membership, username: &str, output: Output) -> Result<(), Failure> {
    let (user, since) = (membership.user.to_string(), membership.create_time);
    let object = json!({
        "user_id": &user,
        "username": username,
        "group_id": membership.group.to_string(),
        "create_time": since.to_string(),
    });
    output.row(&MEMBERS.row([&user, &when(since), username]), &object)
}

fn group_name(text: &str) -> Result<GroupName, RuleViolation> {
    GroupName::parse(text)
}

fn show(group: &Group, output: Output) -> Result<(), Failure> {
    let (name, created) = (group.name.as_str(), group.create_time);
    output.answer(&format!("id:      {}\nname:    {name}\ncreated: {created}", group.id), &object(group))
}

fn object(group: &Group) -> Value {
    json!({
        "id": group.id.to_string(),
        "name": group.name.as_str(),
        "create_time": group.create_time.to_string(),
    })
}
