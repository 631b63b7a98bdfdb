//! Owns `signet migrate`.

use std::fmt::Write;

use clap::Subcommand;
use serde_json::json;

use super::{Failure, Output};
use crate::{config::Config, install};

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
            let migrated = install::migrate(&config.storage).await?;
            let (applied, newer) = (migrated.applied, migrated.newer);
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
            output.answer(&text, &json!({ "applied": applied, "newer": newer }))
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
