//! Owns `signet migrate`.

use std::{fmt::Write, time::Duration};

use clap::Subcommand;
use serde_json::json;

use super::{Failure, Output};
use crate::{
    config::Config,
    server::{Missing, OpenDatabase},
    store::{Migrated, MigrationState},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Apply every pending migration. Safe while others do the same.
    Up,
    /// Show which migrations are applied and which are pending.
    Status,
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), Failure> {
    let storage = &config.storage;
    match command {
        Command::Up => {
            let store = OpenDatabase::open(storage, Missing::Made, storage.database_wait).await?.store;
            let Migrated { applied, newer } = store.migrate(storage.database_wait).await?;
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
            output.answer(&text, &json!({ "applied": applied, "newer": newer }))?;
            store.close().await;
        }
        Command::Status => {
            let store = OpenDatabase::open(storage, Missing::Refused, Duration::ZERO).await?.store;
            for migration in store.migrations().await? {
                let MigrationState { name, applied, known } = migration;
                let state = match (known, applied) {
                    (false, _) => "newer",
                    (true, true) => "applied",
                    (true, false) => "pending",
                };
                output.answer(
                    &format!("{state:<8} {name}"),
                    &json!({ "name": name, "applied": applied, "known": known }),
                )?;
            }
            store.close().await;
        }
    }
    Ok(())
}
