//! Owns `signet migrate`.

use std::time::Duration;

use clap::Subcommand;
use serde_json::json;

use super::{Failure, Output};
use crate::{
    config::Config,
    server::{Missing, OpenDatabase},
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
            let applied = store.migrate().await?;
            let text = match applied.as_slice() {
                [] => "The schema is up to date.".to_owned(),
                names => format!("Applied:\n  {}", names.join("\n  ")),
            };
            output.answer(&text, &json!({ "applied": applied }))?;
            store.close().await;
        }
        Command::Status => {
            let store = OpenDatabase::open(storage, Missing::Refused, Duration::ZERO).await?.store;
            for migration in store.migrations().await? {
                let state = if migration.applied { "applied" } else { "pending" };
                let text = format!("{state:<8} {}", migration.name);
                output.answer(&text, &json!({ "name": migration.name, "applied": migration.applied }))?;
            }
            store.close().await;
        }
    }
    Ok(())
}
