//! Owns `signet bindings`.

mod remote;

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Failure, Output,
    listing::Listing,
    principal::{IfAny, OfAudience, role_name},
    records::Records,
    remote::Over,
    table::{TIME, Table, WHOLE, when},
};
use crate::{
    base::{Clock, Timestamp},
    config::{Config, duration_in_millis},
    identity::access::{AccessDirectory, BindingFilter, ListedBinding, PrincipalRef, RoleRef},
    install::Missing,
    model::{AudienceName, BindingId, RoleName, name_set::one_name},
};

/// How bindings are shown. Their ids are in the JSON.
const TABLE: Table<4> = Table([("ROLE", 18), ("AUDIENCE", 18), ("ENDS", TIME), ("WHO", WHOLE)]);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List bindings in the order of their making: who has which role, and until when.
    List(Box<List>),
}

#[derive(Args, Debug)]
pub(super) struct List {
    /// Only of the role with this name, of --audience.
    #[arg(long, value_name = "ROLE", value_parser = role_name)]
    role: Option<RoleName>,
    #[command(flatten)]
    audience: OfAudience,
    /// Only of roles that give this scope, of --audience.
    #[arg(long, value_name = "SCOPE", conflicts_with = "role", value_parser = one_name)]
    scope: Option<String>,
    #[command(flatten)]
    who: IfAny,
    /// Only those that end within this time, or have ended.
    #[arg(long, value_name = "DURATION", value_parser = duration_in_millis::<0, 315_576_000_000>)]
    expires_within: Option<Duration>,
    /// The maximum number of bindings to list.
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// Only those made after the binding with this id, which --json shows.
    #[arg(long, value_name = "ID")]
    after: Option<Uuid>,
}

pub(super) async fn run(
    Over { command, place }: Over<Command>,
    config: &Config,
    output: Output,
) -> Result<(), Failure> {
    let Command::List(list) = command;
    if let Some(remote) = place.connect(config).await? {
        return remote::list(*list, &remote, output).await;
    }
    let work = async move |records: &Records| listed(*list, &records.access_directory(), output).await;
    Records::within(config, Missing::Refused, work).await
}

async fn listed(list: List, bindings: &AccessDirectory, output: Output) -> Result<(), Failure> {
    let now = Clock::system().now();
    let listing = Listing { limit: list.limit, after: list.after.map(BindingId) };
    let filter = filter(list, bindings, now).await?;
    heading(output)?;
    let read = async |after, limit| bindings.bindings(&filter, after, limit).await;
    listing.each(read, |listed| listed.binding.id, |listed| tell(listed, now, output)).await
}

fn heading(output: Output) -> Result<(), Failure> {
    output.heading(&TABLE.heading())
}

fn tell(listed: &ListedBinding, now: Timestamp, output: Output) -> Result<(), Failure> {
    let ListedBinding { binding, role, subject } = listed;
    let who = format!("{} {}", subject.principal.kind(), subject.name);
    let (role, audience) = (role.name.as_str(), role.audience.as_str());
    let end = match binding.expire_time {
        None => "-".to_owned(),
        Some(end) if binding.holds_at(now) => when(end),
        Some(_) => "has ended".to_owned(),
    };
    output.row(&TABLE.row([role, audience, &end, &who]), &object(listed))
}

/// Which bindings `list` means.
async fn filter(list: List, bindings: &AccessDirectory, now: Timestamp) -> Result<BindingFilter, Failure> {
    let who: Option<PrincipalRef> = list.who.into();
    let subject = match who {
        Some(who) => Some(bindings.principal(&who).await?.principal),
        None => None,
    };
    let audience = list.audience.if_said()?;
    if let Some(audience) = &audience {
        bindings.audience(audience).await?;
    }
    let of = || audience.clone().unwrap_or_else(AudienceName::signet);
    let roles = match (list.role, list.scope) {
        (Some(name), _) => Some(vec![bindings.role(&RoleRef::Name(of(), name)).await?.id]),
        (None, Some(scope)) => Some(bindings.roles_with(&of(), &scope).await?),
        (None, None) => None,
    };
    let end_by = list.expires_within.map(|within| now.after(within));
    // What the roles are of is said by them.
    let audience = audience.filter(|_| roles.is_none());
    Ok(BindingFilter { roles, subject, audience, end_by })
}

/// Shows one binding.
pub(super) fn show(listed: &ListedBinding, output: Output) -> Result<(), Failure> {
    let ListedBinding { binding, role, subject } = listed;
    let text = format!(
        "id:       {}\nrole:     {}\naudience: {}\n{:<9} {} ({})\nends:     {}\ncreated:  {}",
        binding.id,
        role.name.as_str(),
        role.audience.as_str(),
        format!("{}:", subject.principal.kind()),
        subject.name,
        subject.principal.id(),
        binding.expire_time.map_or_else(|| "-".to_owned(), |end| end.to_string()),
        binding.create_time,
    );
    output.answer(&text, &object(listed))
}

fn object(listed: &ListedBinding) -> Value {
    let ListedBinding { binding, role, subject } = listed;
    json!({
        "id": binding.id.to_string(),
        "role_id": role.id.to_string(),
        "role": role.name.as_str(),
        "audience": role.audience.as_str(),
        "scopes": role.scopes.iter().collect::<Vec<_>>(),
        "subject": subject.principal.kind(),
        "subject_id": subject.principal.id().to_string(),
        "subject_name": &subject.name,
        "expire_time": binding.expire_time.map(|end| end.to_string()),
        "create_time": binding.create_time.to_string(),
    })
}
