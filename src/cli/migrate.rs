//! Owns `signet migrate`.

use std::fmt::Write;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Failure, Output, roles};
use crate::{
    config::Config,
    identity::access::Upgrade,
    install::{self, SchemaUpdate},
    model::{ClientName, NameSet},
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
            let SchemaUpdate { applied, newer, access } = install::migrate(&config.storage).await?;
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
                object["losing"] = access.losing.iter().map(losing).collect();
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
fn tell_access(text: &mut String, Upgrade { everyone, losing }: &Upgrade) {
    if !everyone.is_empty() {
        text.push_str("\nEvery user has from now on, until the role `everyone` of the audience is changed:");
    }
    for role in everyone {
        let _ = write!(text, "\n  {}: {}", role.audience.as_str(), role.scopes);
    }
    if !losing.is_empty() {
        text.push_str(
            "\nOf these clients users will no longer have these scopes, since no role of the service's own audience gives them \
             (`signet roles update everyone --add-scope SCOPE`):",
        );
    }
    for (client, scopes) in losing {
        let _ = write!(text, "\n  {}: {scopes}", client.as_str());
    }
}

/// A client whose users lose scopes, for programs.
fn losing((client, scopes): &(ClientName, NameSet)) -> Value {
    json!({ "client": client.as_str(), "scopes": scopes.iter().collect::<Vec<_>>() })
}
