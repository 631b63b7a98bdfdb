//! Owns `signet backup` and `signet restore`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{Failure, Output, audit};
use crate::{
    audit::Event,
    config::Config,
    install::{self, RestoreOptions},
};

#[derive(Args, Debug)]
pub(super) struct Backup {
    /// The file to write. It is there whole or not at all, and this user alone can read it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace a backup that is there.
    #[arg(long)]
    replace: bool,
}

#[derive(Args, Debug)]
pub(super) struct Restore {
    /// What `signet backup` wrote.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace the database that is there. What is in it is lost.
    #[arg(long)]
    replace: bool,
    /// End every session: all users log in again. Otherwise sessions that were ended since the backup go on, among them those
    /// that were ended because a token was stolen.
    #[arg(long)]
    end_sessions: bool,
}

pub(super) async fn back_up(command: Backup, config: &Config, output: Output) -> Result<(), Failure> {
    if command.file == Path::new("-") {
        return Err(Failure::Usage("a backup must be the name of a file, and not `-`".to_owned()));
    }
    let audit = audit::open(config)?;
    let pending = audit.begin(Event::DatabaseBackedUp.done().by_operator());
    let made = install::backup(&config.storage, &command.file, command.replace).await;
    pending.done_if(made.is_ok());
    Box::pin(audit::finish(&audit, config)).await;
    let made = made?;
    let file = command.file.display().to_string();
    let apart = made.master_key_file.as_ref().map_or_else(
        || "The master key is not in it.".to_owned(),
        |key| format!("The master key is not in it: keep a copy of {key} apart."),
    );
    let text = format!(
        "Backed {} up into {file}: {} users, {} bytes. {apart}",
        made.database, made.users, made.bytes
    );
    output.answer(&text, &json!({ "file": file, "users": made.users, "bytes": made.bytes }))
}

pub(super) async fn restore(command: Restore, config: &Config, output: Output) -> Result<(), Failure> {
    let audit = audit::open(config)?;
    let pending = audit.begin(Event::DatabaseRestored.done().by_operator());
    let options = RestoreOptions { replace: command.replace, end_sessions: command.end_sessions };
    let restored = install::restore(&config.storage, &command.file, options).await;
    pending.done_if(restored.is_ok());
    Box::pin(audit::finish(&audit, config)).await;
    let restored = restored?;
    let migrations = match restored.migrations_applied.len() {
        0 => String::new(),
        count => format!(" Applied {count} migration(s)."),
    };
    let sessions = if command.end_sessions {
        format!(" Ended {} session(s).", restored.sessions_ended)
    } else {
        String::new()
    };
    let text = format!("Restored {}: {} users.{migrations}{sessions}", restored.database, restored.users);
    output.answer(
        &text,
        &json!({
            "database": restored.database,
            "users": restored.users,
            "migrations_applied": restored.migrations_applied,
            "sessions_ended": restored.sessions_ended,
        }),
    )
}
