//! Owns `signet users reset-password` and `set-password`.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use serde_json::json;

use super::{HASH_TIMEOUT, Who, hash_pool, password_input::new_password, show_as_it_is};
use crate::{
    base::{Deadline, Timestamp},
    cli::{Failure, Output, records::Records},
    config::Config,
    identity::{OneTimePassword, users::Reset},
    model::User,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Set {
    #[command(flatten)]
    who: Who,
    /// A file that holds the password, instead of standard input.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Gives a user a one-time password, and shows it.
pub(super) async fn reset(
    who: Who,
    config: &Config,
    records: &Records,
    output: Output,
) -> Result<(), Failure> {
    let argon2 = config.passwords.argon2().map_err(|error| Failure::Usage(error.to_string()))?;
    let passwords = records.user_passwords(argon2);
    let Reset { user, one_time_password, expire_time } =
        passwords.reset(&who.into(), None, &records.operator).await?;
    let secret = one_time_password.as_ref().map(OneTimePassword::text);
    let secret = secret.as_ref().map_or("", |text| text.as_str());
    show_reset(&user, secret, expire_time, output)
}

/// Shows a one-time password, this once.
pub(super) fn show_reset(
    user: &User,
    secret: &str,
    expire_time: Option<Timestamp>,
    output: Output,
) -> Result<(), Failure> {
    let until = expire_time.map(|time| time.to_string());
    let text = format!(
        "one-time password: {secret}\n\nIt is shown this once. With it {} ({}) chooses a password by SetNewPassword, until {}.\n\
         The old password and every session have ended.",
        user.username.typed(),
        user.id,
        until.as_deref().unwrap_or_default(),
    );
    let object = json!({
        "id": user.id.to_string(),
        "username": user.username.typed(),
        "one_time_password": secret,
        "expire_time": until,
    });
    output.answer(&text, &object)
}

/// Sets a user's password.
pub(super) async fn set(set: Set, config: &Config, records: &Records, output: Output) -> Result<(), Failure> {
    let argon2 = config.passwords.argon2().map_err(|error| Failure::Usage(error.to_string()))?;
    let password = new_password(set.password_file.as_deref())?;
    let pool = Arc::new(hash_pool(argon2)?);
    let passwords = records.user_passwords(argon2);
    let (who, deadline) = (set.who.into(), Deadline::after(HASH_TIMEOUT));
    let rules = (&pool, config.password_rules());
    let user = passwords.set(&who, &password, rules, &records.operator, deadline).await?;
    show_as_it_is(&user, records, output).await
}
