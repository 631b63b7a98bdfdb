//! Owns `signet keys`.

use clap::Subcommand;
use serde_json::json;

use super::{Failure, Output};
use crate::{config::Config, server::open_database};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the signing keys, the newest last. The newest of the configured --signing-alg signs; all verify.
    List,
}

pub(super) async fn run(command: &Command, config: &Config, output: Output) -> Result<(), Failure> {
    let Command::List = command;
    let store = open_database(&config.storage, true).await?.store;
    let keys = store.signing_keys().await?;
    let signing = keys.iter().rposition(|key| key.alg == config.tokens.signing_alg);
    output.heading(&format!("{:<43}  {:<5}  {:<7}  CREATED", "KEY ID", "ALG", "STATE"))?;
    for (index, key) in keys.iter().enumerate() {
        let state = if Some(index) == signing { "signing" } else { "verify" };
        let text = format!("{:<43}  {:<5}  {state:<7}  {}", key.kid, key.alg, key.create_time);
        let object = json!({
            "kid": key.kid, "alg": key.alg, "state": state, "create_time": key.create_time.to_string(),
        });
        output.answer(&text, &object)?;
    }
    store.close().await;
    Ok(())
}
