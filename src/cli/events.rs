//! Owns `signet audit`.

mod remote;

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Failure, Output, records::Records, remote::Over};
use crate::{
    audit::{KeptEvent, Outcome},
    base::Clock,
    config::{Config, duration_in_millis},
    identity::{EventFilter, ListedEvent, users::UserRef},
    install::Missing,
};

/// How many are listed if nothing is said.
const LIMIT: &str = "100";

/// How many are asked for at a time.
const PAGE: usize = 500;

/// With what the name of an event may be that the help tells of.
const FORM: &str = "login, user.disabled or role.bound, for example; docs/AUDIT.md has all";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the audit events in the database, the newest first. They are kept for --audit-retention.
    List(Box<List>),
}

#[derive(Args, Debug)]
pub(super) struct List {
    /// Only those by this user: an id or a username; of one that is deleted, the id.
    #[arg(long, value_name = "ID|USERNAME", conflicts_with = "by_client")]
    by_user: Option<String>,
    /// Only those by this client in its own name: an id or a name.
    #[arg(long, value_name = "ID|NAME")]
    by_client: Option<String>,
    /// Only those that concern this user.
    #[arg(long, value_name = "ID|USERNAME")]
    user: Option<String>,
    /// Only those that concern this client.
    #[arg(long, value_name = "ID|NAME")]
    client: Option<String>,
    #[arg(long, value_name = "NAME", help = format!("Only events of this name: {FORM}"))]
    event: Option<String>,
    /// Only those that came to pass (success), were refused (failure), or may be either (unknown).
    #[arg(long, value_name = "OUTCOME", value_parser = Outcome::ALL.iter().map(|outcome| outcome.name()).collect::<Vec<_>>())]
    outcome: Option<String>,
    /// Only those from this network address.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// Only those of the request with this id.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only those of the last hours or days: 24h, for example.
    #[arg(long, value_name = "DURATION", value_parser = duration_in_millis::<0, 315_576_000_000>)]
    within: Option<Duration>,
    /// Only those from before that time.
    #[arg(long, value_name = "DURATION", value_parser = duration_in_millis::<0, 315_576_000_000>)]
    older_than: Option<Duration>,
    /// The maximum number of events to list.
    #[arg(long, value_name = "COUNT", default_value = LIMIT)]
    limit: usize,
    /// Only those before the event with this id, which --json shows.
    #[arg(long, value_name = "ID")]
    before: Option<Uuid>,
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
    let records = Records::open(config, Missing::Refused).await?;
    let result = listed(*list, &records, output).await;
    records.close().await;
    result
}

async fn listed(list: List, records: &Records, output: Output) -> Result<(), Failure> {
    let (mut left, mut before) = (list.limit, list.before);
    let filter = filter(list, records).await?;
    let trail = records.audit_trail();
    heading(output)?;
    while left > 0 {
        let page = trail.list(&filter, before, left.min(PAGE)).await?;
        left -= page.events.len();
        page.events.iter().try_for_each(|event| tell(event, output))?;
        let Some(next) = page.next else { break };
        before = Some(next);
    }
    Ok(())
}

fn heading(output: Output) -> Result<(), Failure> {
    output.heading(&format!(
        "{:<27}  {:<24}  {:<8}  {:<20}  {:<20}  FROM",
        "TIME", "EVENT", "OUTCOME", "BY", "WHOM OR WHAT"
    ))
}

fn tell(event: &ListedEvent, output: Output) -> Result<(), Failure> {
    output.answer(&text(event), &object(event))
}

/// Which events `list` means.
async fn filter(list: List, records: &Records) -> Result<EventFilter, Failure> {
    let now = Clock::system().now();
    Ok(EventFilter {
        from: list.within.map(|within| now.before(within)),
        before: list.older_than.map(|older| now.before(older)),
        actor: match (list.by_user, list.by_client) {
            (Some(user), _) => user_id(Some(user), records).await?,
            (None, client) => client_id(client, records).await?,
        },
        user: user_id(list.user, records).await?,
        client: client_id(list.client, records).await?,
        event: list.event,
        outcome: list.outcome,
        address: list.address,
        request_id: list.request_id,
        ..EventFilter::default()
    })
}

/// The id of the user that `said` names. An id need not be anybody's: its user may be deleted.
async fn user_id(said: Option<String>, records: &Records) -> Result<Option<Uuid>, Failure> {
    let Some(said) = said else { return Ok(None) };
    match Uuid::try_parse(&said) {
        Ok(id) => Ok(Some(id)),
        Err(_) => Ok(Some(records.user_directory().find(&UserRef::Name(said)).await?.id.0)),
    }
}

async fn client_id(said: Option<String>, records: &Records) -> Result<Option<Uuid>, Failure> {
    let Some(said) = said else { return Ok(None) };
    match Uuid::try_parse(&said) {
        Ok(id) => Ok(Some(id)),
        Err(_) => Ok(Some(records.client_directory().find(&said.into()).await?.id.0)),
    }
}

fn text(listed: &ListedEvent) -> String {
    let event = &listed.event;
    let outcome = event.reason.as_ref().filter(|_| event.outcome == Outcome::Failure.name());
    let why = outcome.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let more = if event.repeats > 0 { format!(" ×{}", event.repeats) } else { String::new() };
    let changes: Vec<_> = event.changes.iter().map(|change| change.field.as_str()).collect();
    let changes = if changes.is_empty() { String::new() } else { format!(" {}", changes.join(",")) };
    format!(
        "{:<27}  {:<24}  {:<8}  {:<20}  {:<20}  {}{why}{more}{changes}",
        event.time.to_string(),
        event.event,
        event.outcome,
        by(listed),
        subject(listed),
        event.address.as_deref().unwrap_or("-"),
    )
}

/// Who did it: by its name now, or else by its id.
fn by(listed: &ListedEvent) -> String {
    let KeptEvent { actor_kind, actor_id, local_uid, local_user, .. } = &listed.event;
    let name = listed.actor_name.clone().or_else(|| actor_id.map(|id| id.to_string()));
    let local = || local_user.clone().or_else(|| local_uid.map(|uid| uid.to_string()));
    match name.or_else(local) {
        Some(name) => format!("{actor_kind} {name}"),
        None => actor_kind.clone(),
    }
}

/// Whom or what it concerns first.
fn subject(listed: &ListedEvent) -> String {
    let ListedEvent { event, username, client_name, group_name, .. } = listed;
    let named = |name: &Option<String>, id: Option<Uuid>, kind: &str| {
        let name = name.clone().or_else(|| id.map(|id| id.to_string()));
        name.map(|name| format!("{kind} {name}"))
    };
    named(username, event.user_id, "user")
        .or_else(|| named(client_name, event.client_id, "client"))
        .or_else(|| named(group_name, event.group_id, "group"))
        .or_else(|| named(&None, event.role_id, "role"))
        .or_else(|| event.audience.as_ref().map(|audience| format!("audience {audience}")))
        .or_else(|| event.key_id.as_ref().map(|key| format!("key {key}")))
        .or_else(|| event.method.clone())
        .unwrap_or_else(|| "-".to_owned())
}

fn object(listed: &ListedEvent) -> Value {
    let ListedEvent { event, actor_name, username, client_name, group_name } = listed;
    let id = |id: Option<Uuid>| id.map(|id| id.to_string());
    json!({
        "id": event.id.to_string(),
        "time": event.time.to_string(),
        "event": &event.event,
        "outcome": &event.outcome,
        "reason": &event.reason,
        "method": &event.method,
        "actor": &event.actor_kind,
        "actor_id": id(event.actor_id),
        "actor_name": actor_name,
        "local_uid": event.local_uid,
        "local_user": &event.local_user,
        "user_id": id(event.user_id),
        "username": username,
        "session_id": id(event.session_id),
        "client_id": id(event.client_id),
        "client_name": client_name,
        "role_id": id(event.role_id),
        "group_id": id(event.group_id),
        "group_name": group_name,
        "key_id": &event.key_id,
        "audience": &event.audience,
        "changes": event.changes.iter().map(|change| json!(change)).collect::<Vec<_>>(),
        "address": &event.address,
        "claimed_address": &event.claimed_address,
        "user_agent": &event.user_agent,
        "request_id": &event.request_id,
        "repeats": event.repeats,
    })
}
