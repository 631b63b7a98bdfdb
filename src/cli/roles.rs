//! Owns `signet roles`.

mod remote;

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Failure, Output, bindings,
    listing::Listing,
    output::moment,
    principal::{OfAudience, WhichRole, Who},
    records::Records,
    remote::Over,
    table::{Table, WHOLE},
};
use crate::{
    base::Clock,
    config::{Config, duration_in_millis},
    identity::access::{AccessDirectory, ListedBinding, NewRole, RoleChange, RoleRef, ScopeChange},
    install::Missing,
    model::{AudienceName, Description, Error, NameSet, Role, RoleId, RuleViolation, name_set::one_name},
};
pub(super) use remote::{changed, texts};

/// How roles are shown. Their ids, and what of their scopes is cut, are in the JSON.
const TABLE: Table<3> = Table([("AUDIENCE", NAMES), ("NAME", NAMES), ("SCOPES", WHOLE)]);

/// How wide the names of audiences and of roles are.
const NAMES: usize = 20;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a role: a named set of scopes of one audience.
    Create {
        #[command(flatten)]
        role: WhichRole,
        /// A scope that it gives; repeat for more.
        #[arg(long = "scope", value_name = "SCOPE", value_parser = one_name)]
        scopes: Vec<String>,
        /// What it is for.
        #[arg(long, value_name = "TEXT", value_parser = description)]
        description: Option<Description>,
    },
    /// Change what a role gives, to all who have it at once. The role `everyone` is what every user has at an audience.
    Update(Update),
    /// Delete a role and all its bindings. This cannot be undone.
    Delete(WhichRole),
    /// Show a role with all its scopes.
    Show(WhichRole),
    /// List roles in the order of their making.
    List {
        #[command(flatten)]
        audience: OfAudience,
        /// The maximum number of roles to list.
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
        /// Only those made after the role with this id, which --json shows.
        #[arg(long, value_name = "ID")]
        after: Option<Uuid>,
    },
    /// Give a role to a user, a group or a client.
    Bind {
        #[command(flatten)]
        role: WhichRole,
        #[command(flatten)]
        who: Who,
        /// For how long (1m to 10 years), from now on; without it for ever. Said again, it counts from then on.
        #[arg(long, value_name = "DURATION", value_parser = duration_in_millis::<60_000, 315_576_000_000>)]
        expires: Option<Duration>,
    },
    /// Take a role from a user, a group or a client. A user may have it by a group all the same: see `signet access show`.
    Unbind {
        #[command(flatten)]
        role: WhichRole,
        #[command(flatten)]
        who: Who,
    },
}

#[derive(Args, Debug)]
pub(super) struct Update {
    #[command(flatten)]
    role: WhichRole,
    /// A scope that it gives from now on; repeat for more.
    #[arg(long = "add-scope", value_name = "SCOPE", value_parser = one_name)]
    add: Vec<String>,
    /// A scope that it no longer gives; repeat for more.
    #[arg(long = "remove-scope", value_name = "SCOPE", value_parser = one_name)]
    remove: Vec<String>,
    /// What it is for.
    #[arg(long, value_name = "TEXT", value_parser = description)]
    description: Option<Description>,
}

pub(super) async fn run(
    Over { command, place }: Over<Command>,
    config: &Config,
    output: Output,
) -> Result<(), Failure> {
    if let Some(remote) = place.connect(config).await? {
        return remote::run(command, &remote, output).await;
    }
    let work = async move |records: &Records| with_roles(command, records, output).await;
    Records::within(config, Missing::Refused, work).await
}

async fn with_roles(command: Command, records: &Records, output: Output) -> Result<(), Failure> {
    let (registry, by) = (records.access_registry(), &records.operator);
    match command {
        Command::Create { role, scopes, description } => {
            let (scopes, description) = (set("--scope", &scopes)?, description.unwrap_or_default());
            let WhichRole { name, audience } = role;
            let new = NewRole { audience: audience.or_signet()?, name, scopes, description };
            show(&registry.create_role(new, by).await?, output)
        }
        Command::Update(Update { role, add, remove, description }) => {
            let (add, remove) = (set("--add-scope", &add)?, set("--remove-scope", &remove)?);
            let scopes = Some(ScopeChange::Some { add, remove });
            let change = RoleChange { scopes, description, etag: None };
            let updated = registry.update_role(&role.try_into()?, &change, by).await;
            show(&updated.map_err(too_many_scopes)?, output)
        }
        Command::Delete(role) => {
            let which: RoleRef = role.try_into()?;
            let deleted = registry.delete_role(&which, None, by).await?;
            // A command is nobody's repetition.
            let Some(role) = deleted else { return Ok(()) };
            tell_deleted(&role, output)
        }
        Command::Show(role) => show(&records.access_directory().role(&role.try_into()?).await?, output),
        Command::List { audience, limit, after } => {
            let listing = Listing { limit, after: after.map(RoleId) };
            let (audience, roles) = (audience.if_said()?, records.access_directory());
            if let Some(audience) = &audience {
                roles.audience(audience).await?;
            }
            list(listing, audience.as_ref(), &roles, output).await
        }
        Command::Bind { role, who, expires } => {
            let end = expires.map(|after| Clock::system().now().after(after));
            bindings::show(&registry.bind(&role.try_into()?, &who.into(), end, by).await?, output)
        }
        Command::Unbind { role, who } => {
            let taken = registry.unbind(&role.try_into()?, &who.into(), by).await?;
            tell_taken(&taken, output)
        }
    }
}

fn tell_deleted(role: &Role, output: Output) -> Result<(), Failure> {
    let (name, audience) = (role.name.as_str(), role.audience.as_str());
    output.answer(
        &format!("Deleted {name} of the audience {audience} ({}).", role.id),
        &json!({ "deleted": role.id.to_string() }),
    )
}

fn tell_taken(taken: &ListedBinding, output: Output) -> Result<(), Failure> {
    let (subject, role) = (&taken.subject, taken.role.name.as_str());
    output.answer(
        &format!("Took {role} from {subject} ({}).", taken.binding.id),
        &json!({ "deleted": taken.binding.id.to_string() }),
    )
}

async fn list(
    listing: Listing<RoleId>,
    audience: Option<&AudienceName>,
    roles: &AccessDirectory,
    output: Output,
) -> Result<(), Failure> {
    heading(output)?;
    let read = async |after, limit| roles.roles(audience, after, limit).await;
    listing.each(read, |role| role.id, |role| tell(role, output)).await
}

fn heading(output: Output) -> Result<(), Failure> {
    output.heading(&TABLE.heading())
}

fn tell(role: &Role, output: Output) -> Result<(), Failure> {
    let (audience, name) = (role.audience.as_str(), role.name.as_str());
    output.row(&TABLE.row([audience, name, role.scopes.as_str()]), &object(role))
}

/// The set of `names`, which were given by `flag`.
pub(super) fn set(flag: &str, names: &[String]) -> Result<NameSet, Failure> {
    let names = NameSet::of(names.iter().map(String::as_str));
    names.map_err(|_| Failure::Usage(format!("{flag}: all together must have at most 1024 bytes")))
}

fn description(text: &str) -> Result<Description, RuleViolation> {
    Description::parse(text)
}

fn show(role: &Role, output: Output) -> Result<(), Failure> {
    let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let text = format!(
        "id:          {}\nname:        {}\naudience:    {}\nscopes:      {}\ndescription: {}\ncreated:     {}\nupdated:     {}",
        role.id,
        role.name.as_str(),
        role.audience.as_str(),
        or_none(role.scopes.as_str()),
        or_none(role.description.as_str()),
        or_none(&moment(role.create_time).unwrap_or_default()),
        or_none(&moment(role.update_time).unwrap_or_default()),
    );
    output.answer(&text, &object(role))
}

/// A role, for programs.
pub(super) fn object(role: &Role) -> Value {
    json!({
        "id": role.id.to_string(),
        "name": role.name.as_str(),
        "audience": role.audience.as_str(),
        "scopes": role.scopes.iter().collect::<Vec<_>>(),
        "description": role.description.as_str(),
        "create_time": moment(role.create_time),
        "update_time": moment(role.update_time),
    })
}

/// The scopes together are what a role already has and what is said: that is no mistake of the command line.
fn too_many_scopes(error: Error) -> Failure {
    match error.into() {
        Failure::Named(mut named) if named.violations.len() == 1 => {
            named.error = format!("the scopes of a role {}", named.violations[0].description);
            named.is_usage = false;
            Failure::Named(named)
        }
        other => other,
    }
}
