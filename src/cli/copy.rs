//! Owns `signet copy`.

use std::path::PathBuf;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{Failure, Output, audit};
use crate::{
    audit::Event,
    config::{Config, read_secret_file},
    install::{self, CopyOptions},
};

#[derive(Args, Debug)]
pub(super) struct Copy {
    /// The database server, and the database in it, as --database-url names it.
    #[arg(
        long,
        env = "SIGNET_COPY_TO",
        value_name = "URL",
        hide_env_values = true,
        required_unless_present = "to_file"
    )]
    to: Option<SecretString>,
    /// A file that holds --to.
    #[arg(long, env = "SIGNET_COPY_TO_FILE", value_name = "FILE", conflicts_with = "to")]
    to_file: Option<PathBuf>,
    /// Copy a database that was copied to another before. What that has taken since, the copy does not have.
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(command: Copy, config: &Config, output: Output) -> Result<(), Failure> {
    let to = match (command.to, command.to_file) {
        (Some(url), _) => url,
        (None, file) => read_secret_file("--to-file", &file.unwrap_or_default())?,
    };
    let audit = audit::open(config)?;
    // The target has the event when it is the service's. The source is not: nothing is written to it.
    let event = Event::DatabaseCopied.done().by_operator();
    let pending = audit.begin(event.clone());
    let options = CopyOptions { again: command.force };
    let copied = Box::pin(install::copy(&config.storage, to.expose_secret(), options, &event)).await;
    pending.done_if(copied.is_ok());
    audit::flush(&audit).await;
    let copied = copied?;
    let key = copied.master_key_file.as_ref().map_or_else(
        || "--master-key as it is".to_owned(),
        |file| format!("--master-key-file naming a copy of {file}"),
    );
    let text = format!(
        "Copied {} to {}: {} users, {} rows in all, {} sealed keys and secrets opened. Start the service there, with {key}; it no longer \
         starts on the old database.",
        copied.source, copied.target, copied.users, copied.rows, copied.sealed
    );
    output.answer(
        &text,
        &json!({
            "source": copied.source,
            "target": copied.target,
            "users": copied.users,
            "rows": copied.rows,
            "sealed": copied.sealed,
            "master_key_file": copied.master_key_file,
        }),
    )
}
