//! Owns `signet audit`.

mod remote;

use std::{net::IpAddr, time::Duration};

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Failure, Output,
    principal::{OfAudience, role_name},
    records::Records,
    remote::Over,
    table::{TIME, Table, WHOLE, lines, short, when},
};
use crate::{
    audit::{Event, Field, KeptEvent, Outcome},
    base::Clock,
    config::{Config, duration_in_millis},
    identity::{
        EventFilter, KeptChange, ListedEvent,
        access::{GroupRef, RoleRef},
        users::UserRef,
    },
    install::Missing,
    model::RoleName,
};

/// How events are shown. Their ids, and those of whom they concern, are in the JSON.
const TABLE: Table<5> =
    Table([("TIME", TIME), ("EVENT", 22), ("OUTCOME", 7), ("BY", 20), ("WHOM OR WHAT", WHOLE)]);

/// Before what there is to tell of an event besides.
const INDENT: &str = "    ";

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
    /// Only those that concern the role with this id, or with this name of --audience.
    #[arg(long, value_name = "ID|ROLE", value_parser = role)]
    role: Option<Said>,
    #[command(flatten)]
    audience: OfAudience,
    /// Only those that concern the group with this id or name.
    #[arg(long, value_name = "ID|NAME")]
    group: Option<String>,
    #[arg(long, value_name = "NAME", value_parser = event_names(), hide_possible_values = true)]
    #[arg(help = format!("Only events of this name: {FORM}"))]
    event: Option<String>,
    /// Only those that came to pass (success), were refused (failure), or may be either (unknown).
    #[arg(long, value_name = "OUTCOME", value_parser = Outcome::ALL.iter().map(|outcome| outcome.name()).collect::<Vec<_>>())]
    outcome: Option<String>,
    /// Only those from this network address.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    address: Option<IpAddr>,
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

/// A role, as --role says it.
#[derive(Clone, Debug)]
enum Said {
    /// By its id: it may be deleted.
    Id(Uuid),
    /// By its name.
    Named(RoleName),
}

/// The same, with the audience that the role is of.
enum Which {
    Id(Uuid),
    Named(RoleRef),
}

fn role(text: &str) -> Result<Said, String> {
    match Uuid::try_parse(text) {
        Ok(id) => Ok(Said::Id(id)),
        Err(_) => role_name(text).map(Said::Named).map_err(|rule| rule.description),
    }
}

/// The role that is meant, if one is.
fn which_role(role: Option<Said>, audience: OfAudience) -> Result<Option<Which>, Failure> {
    match role {
        Some(Said::Id(id)) => Ok(Some(Which::Id(id))),
        Some(Said::Named(name)) => Ok(Some(Which::Named(RoleRef::Name(audience.or_signet()?, name)))),
        None if audience.if_said()?.is_some() => {
            Err(Failure::Usage("--audience: is for --role, which is not given".to_owned()))
        }
        None => Ok(None),
    }
}

fn event_names() -> PossibleValuesParser {
    Event::ALL.iter().map(|event| event.name()).into()
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "must be an IP address, such as 203.0.113.7".to_owned())
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
    let work = async move |records: &Records| listed(*list, records, output).await;
    Records::within(config, Missing::Refused, work).await
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
    output.heading(&TABLE.heading())
}

fn tell(event: &ListedEvent, output: Output) -> Result<(), Failure> {
    output.row(&text(event, output.width()), &object(event))
}

/// Which events `list` means.
async fn filter(list: List, records: &Records) -> Result<EventFilter, Failure> {
    let now = Clock::system().now();
    let role = which_role(list.role, list.audience)?;
    Ok(EventFilter {
        from: list.within.map(|within| now.before(within)),
        before: list.older_than.map(|older| now.before(older)),
        actor: match (list.by_user, list.by_client) {
            (Some(user), _) => user_id(Some(user), records).await?,
            (None, client) => client_id(client, records).await?,
        },
        user: user_id(list.user, records).await?,
        client: client_id(list.client, records).await?,
        role: match role {
            Some(Which::Id(id)) => Some(id),
            Some(Which::Named(role)) => Some(records.access_directory().role(&role).await?.id.0),
            None => None,
        },
        group: group_id(list.group, records).await?,
        event: list.event,
        outcome: list.outcome,
        address: list.address.map(|address| address.to_string()),
        request_id: list.request_id,
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

async fn group_id(said: Option<String>, records: &Records) -> Result<Option<Uuid>, Failure> {
    let Some(said) = said else { return Ok(None) };
    match Uuid::try_parse(&said) {
        Ok(id) => Ok(Some(id)),
        Err(_) => Ok(Some(records.access_directory().group(&GroupRef(said)).await?.id.0)),
    }
}

async fn client_id(said: Option<String>, records: &Records) -> Result<Option<Uuid>, Failure> {
    let Some(said) = said else { return Ok(None) };
    match Uuid::try_parse(&said) {
        Ok(id) => Ok(Some(id)),
        Err(_) => Ok(Some(records.client_directory().find(&said.into()).await?.id.0)),
    }
}

fn text(listed: &ListedEvent, width: usize) -> String {
    let event = &listed.event;
    let row = TABLE.row([&when(event.time), &event.event, &event.outcome, &by(listed), &subject(listed)]);
    let details = lines(&details(listed), width.saturating_sub(INDENT.len()));
    details.iter().fold(row, |row, line| row + "\n" + INDENT + line)
}

/// What there is to tell of it besides: what else it concerns, what was changed, why it was refused, and from where.
fn details(listed: &ListedEvent) -> Vec<String> {
    let event = &listed.event;
    let mut details: Vec<_> = concerned(listed).skip(1).collect();
    details.extend(event.method.clone());
    details.extend(event.reason.clone());
    let told = event.changes.iter().filter(|change| change.old.is_none() || change.old != change.new);
    details.extend(told.map(|KeptChange { field, old, new }| match (old, new) {
        (None, None) => field.clone(),
        (old, new) => {
            let [old, new] = [old, new].map(|value| value.as_deref().unwrap_or("-"));
            format!("{field}: {old} → {new}")
        }
    }));
    details.extend((event.repeats > 0).then(|| format!("×{}", event.repeats)));
    details.extend(event.claimed_address.as_ref().map(|address| format!("for a user at {address}")));
    details.extend(event.address.as_ref().map(|address| format!("from {address}")));
    details
}

/// Who did it: by its name now, or else by its id.
fn by(listed: &ListedEvent) -> String {
    let KeptEvent { actor_kind, actor_id, local_uid, local_user, .. } = &listed.event;
    let name = listed.actor_name.clone().or_else(|| actor_id.map(short));
    let local = || local_user.clone().or_else(|| local_uid.map(|uid| uid.to_string()));
    match name.or_else(local) {
        Some(name) => format!("{actor_kind} {name}"),
        None => actor_kind.clone(),
    }
}

/// Whom or what it concerns first.
fn subject(listed: &ListedEvent) -> String {
    concerned(listed).next().or_else(|| listed.event.method.clone()).unwrap_or_else(|| "-".to_owned())
}

/// Whom and what it concerns: by their names now, or else by their ids.
fn concerned(listed: &ListedEvent) -> impl Iterator<Item = String> {
    let ListedEvent { event, username, client_name, role_name, group_name, .. } = listed;
    let of_change = |field: Field| {
        let change = event.changes.iter().find(|change| change.field == field.name())?;
        change.new.clone().or_else(|| change.old.clone())
    };
    let is_of = |noun: &str| event.event.starts_with(noun);
    // These have no ids among the events: their names, which never change, stand in what was changed.
    let attribute = is_of("attribute.").then(|| of_change(Field::Name)).flatten();
    let set = is_of("manifest.").then(|| of_change(Field::Set)).flatten();
    // One that is deleted has no name any more but the one that was told.
    let told = || is_of("client.").then(|| of_change(Field::Name)).flatten();
    let client_name = client_name.clone().or_else(told);
    let named = |kind: &str, name: &Option<String>, id: Option<Uuid>| {
        let name = name.clone().or_else(|| id.map(short));
        name.map(|name| format!("{kind} {name}"))
    };
    let audience = event.audience.as_ref();
    let role = named("role", role_name, event.role_id).map(|role| match audience {
        Some(audience) => format!("{role} of {audience}"),
        None => role,
    });
    let audience = audience.filter(|_| role.is_none()).map(|audience| format!("audience {audience}"));
    let key = event.key_id.as_ref().map(|key| format!("key {key}"));
    let user = named("user", username, event.user_id);
    let client = named("client", &client_name, event.client_id);
    let group = named("group", group_name, event.group_id);
    let attribute = attribute.map(|name| format!("attribute {name}"));
    let set = set.map(|name| format!("set {name}"));
    [user, client, group, role, audience, key, attribute, set].into_iter().flatten()
}

fn object(listed: &ListedEvent) -> Value {
    let ListedEvent { event, actor_name, username, client_name, role_name, group_name } = listed;
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
        "role_name": role_name,
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
