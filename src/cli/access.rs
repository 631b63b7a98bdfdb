//! Owns `signet access`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Failure, Output,
    principal::OfAudience,
    records::Records,
    remote::{Over, Remote, answered, read},
    table::{Table, WHOLE, lines, when},
};
use crate::{
    base::Clock,
    config::Config,
    identity::{
        access::{AccessDirectory, PrincipalRef, ScopeAccess, Way},
        users::UserRef,
    },
    install::Missing,
    model::{AudienceName, Error},
    proto::identity::admin::v1::GetAccessRequest,
};

/// How what somebody may do is shown.
const TABLE: Table<2> = Table([("SCOPE", SCOPE), ("GIVEN BY", WHOLE)]);

/// How wide scopes are.
const SCOPE: usize = 24;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what a user or a client may do at an audience: each scope, and all that gives it.
    Show(Show),
}

#[derive(Args, Debug)]
pub(super) struct Show {
    /// The user's id or username.
    #[arg(value_name = "ID|USERNAME", required_unless_present = "client", conflicts_with = "client")]
    user: Option<String>,
    /// The client with this id or name, in its own name.
    #[arg(long, value_name = "ID|NAME")]
    client: Option<String>,
    #[command(flatten)]
    audience: OfAudience,
}

pub(super) async fn run(
    Over { command, place }: Over<Command>,
    config: &Config,
    output: Output,
) -> Result<(), Failure> {
    let Command::Show(show) = command;
    let who = match (show.user, show.client) {
        (Some(user), _) => PrincipalRef::User(UserRef::IdOrName(user)),
        (None, client) => PrincipalRef::Client(client.unwrap_or_default().into()),
    };
    let audience = show.audience.or_signet()?;
    let access = if let Some(remote) = place.connect(config).await? {
        of_remote(&who, &audience, &remote).await?
    } else {
        let work =
            async |records: &Records| Ok(of_database(&who, &audience, &records.access_directory()).await?);
        Records::within(config, Missing::Refused, work).await?
    };
    output.heading(&TABLE.heading())?;
    access.iter().try_for_each(|access| tell(access, output))
}

/// What `who` may do at `audience`, which must be there: at one that is not, nobody may do anything.
async fn of_database(
    who: &PrincipalRef,
    audience: &AudienceName,
    directory: &AccessDirectory,
) -> Result<Vec<ScopeAccess>, Error> {
    directory.audience(audience).await?;
    directory.access(who, audience, Clock::system().now()).await
}

/// The same over the admin API.
async fn of_remote(
    who: &PrincipalRef,
    audience: &AudienceName,
    remote: &Remote,
) -> Result<Vec<ScopeAccess>, Failure> {
    let (subject, _) = remote.principal(who).await?;
    let request = GetAccessRequest { subject: Some(subject), audience: audience.as_str().to_owned() };
    let answer = answered(remote.roles().get_access(request).await)?;
    if answer.scopes.is_empty() {
        remote.must_have(audience).await?;
    }
    answer.scopes.into_iter().map(|access| read::access(access, audience)).collect()
}

fn tell(access: &ScopeAccess, output: Output) -> Result<(), Failure> {
    let ways: Vec<_> = access.ways.iter().map(in_words).collect();
    let object = json!({
        "scope": &access.scope,
        "ways": access.ways.iter().map(object).collect::<Vec<_>>(),
    });
    // A scope is never cut: it may be what is copied. What does not fit beside it goes on below.
    let ways = lines(&ways, output.width().saturating_sub(SCOPE + 2));
    let rows = ways.iter().enumerate().map(|(at, ways)| {
        let scope = if at == 0 { &*access.scope } else { "" };
        format!("{scope:<SCOPE$}  {ways}")
    });
    output.row(&rows.collect::<Vec<_>>().join("\n"), &object)
}

fn in_words(way: &Way) -> String {
    match way {
        Way::Everyone(_) => "everyone".to_owned(),
        Way::Registered => "the client's registration".to_owned(),
        Way::Role(grant) => {
            let mut text = grant.role.name.as_str().to_owned();
            if let Some(group) = &grant.group {
                text.push_str(" by the group ");
                text.push_str(group.name.as_str());
            }
            if let Some(end) = grant.expire_time {
                text.push_str(" until ");
                text.push_str(&when(end));
            }
            text
        }
    }
}

fn object(way: &Way) -> Value {
    match way {
        Way::Everyone(_) => json!({ "by": "everyone" }),
        Way::Registered => json!({ "by": "registration" }),
        Way::Role(grant) => json!({
            "by": if grant.group.is_some() { "group" } else { "binding" },
            "role": grant.role.name.as_str(),
            "role_id": grant.role.id.to_string(),
            "binding_id": grant.binding.to_string(),
            "group": grant.group.as_ref().map(|group| group.name.as_str()),
            "group_id": grant.group.as_ref().map(|group| group.id.to_string()),
            "expire_time": grant.expire_time.map(|end| end.to_string()),
        }),
    }
}
