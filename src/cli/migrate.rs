//! Owns `signet migrate`.

use std::fmt::Write;

use clap::Subcommand;
use serde_json::json;

use super::{Failure, Output, roles};
use crate::{
    config::Config,
    identity::access::{Unread, Upgrade},
    install::{self, SchemaUpdate},
    model::{AudienceName, NameSet},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Apply every pending migration. Safe while others do the same.
    Up,
    /// Show which migrations are applied and which are pending.
    Status,
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        Command::Up => {
            let SchemaUpdate { applied, newer, access } =
                install::migrate(&config.storage, &config.tokens.issuing().audience).await?;
            let mut text = match applied.as_slice() {
                [] => "The schema is up to date.".to_owned(),
                names => format!("Applied:\n  {}", names.join("\n  ")),
            };
            if !newer.is_empty() {
                let names = newer.join("\n  ");
                let _ = write!(
                    text,
                    "\nIt is newer than this version, which can use it. What a newer one applied:\n  {names}"
                );
            }
            tell_access(&mut text, &access);
            let mut object = json!({ "applied": applied, "newer": newer });
            if !access.is_empty() {
                object["everyone"] = access.everyone.iter().map(roles::object).collect();
                let left_out = |(audience, scopes): &(AudienceName, NameSet)| {
                    let scopes: Vec<_> = scopes.iter().collect();
                    json!({ "audience": audience.as_str(), "scopes": scopes })
                };
                object["left_out"] = access.left_out.iter().map(left_out).collect();
                object["audiences_too_long"] = json!(access.too_long);
                if let Some(unread) = &access.unread {
                    let (audience, scopes) = (unread.audience.as_str(), unread.scopes.iter());
                    object["unread"] = json!({ "audience": audience, "scopes": scopes.collect::<Vec<_>>() });
                }
            }
            output.answer(&text, &object)
        }
        Command::Status => install::migrations(&config.storage).await?.iter().try_for_each(|migration| {
            let state = match (migration.known, migration.applied) {
                (false, _) => "newer",
                (true, true) => "applied",
                (true, false) => "pending",
            };
            let (name, applied, known) = (&migration.name, migration.applied, migration.known);
            let object = json!({ "name": name, "applied": applied, "known": known });
            output.answer(&format!("{state:<8} {name}"), &object)
        }),
    }
}

/// Tells what users have now that roles have come.
fn tell_access(text: &mut String, Upgrade { everyone, left_out, too_long, unread }: &Upgrade) {
    if !everyone.is_empty() {
        text.push_str("\nEvery user has from now on, until the role `everyone` of the audience is changed:");
    }
    for role in everyone {
        let _ = write!(text, "\n  {}: {}", role.audience.as_str(), role.scopes);
    }
    if !left_out.is_empty() {
        text.push_str("\nClients have these for their users, and the role `everyone` has no room for them: make another role.");
    }
    for (audience, scopes) in left_out {
        let _ = write!(text, "\n  {}: {scopes}", audience.as_str());
    }
    if !too_long.is_empty() {
        text.push_str(
            "\nThe names of these audiences of clients are longer than 512 bytes: nobody has anything there.",
        );
    }
    for audience in too_long {
        let _ = write!(text, "\n  {audience}");
    }
    if let Some(Unread { audience, scopes }) = unread {
        let _ = write!(
            text,
            "\nClients have these for their users at {}, this service's own audience, which roles know as `signet`. No user has them \
             until you run: signet roles update everyone",
            audience.as_str()
        );
        for scope in scopes.iter() {
            let _ = write!(text, " --add-scope {scope}");
        }
    }
}
