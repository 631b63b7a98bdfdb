//! Owns `signet keys`.

mod remote;

use std::{fmt::Write, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Failure, Output, audit, confirm,
    remote::Over,
    table::{Table, WHOLE, when},
};
use crate::{
    audit::Audit,
    base::{Clock, Timestamp},
    config::Config,
    files::read_text,
    identity::{
        Administrator, MasterKey,
        keyring::{NextKey, staged},
    },
    install::{self, Sealed, key_rotation, reseal, signing_keys},
};

/// How keys are shown. Their other times are in the JSON.
const TABLE: Table<4> = Table([("KEY ID", 43), ("ALG", 5), ("STAGE", 11), ("NEXT", WHOLE)]);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the signing keys in the order in which they sign, each with its stage and what becomes of it next.
    List,
    #[command(flatten)]
    Change(Change),
}

/// What changes the keys.
#[derive(Debug, Subcommand)]
pub(super) enum Change {
    /// Publish the next signing key. It signs after --key-publish-ahead, when those who verify have it.
    Rotate(Rotate),
    /// Delete a signing key that is compromised: every token that it signed is refused by the service within
    /// --standing-cache-max-age. Sessions go on: their refresh tokens get new access tokens.
    ///
    /// If it is the one that signs, the next one signs at once. Services that verify tokens themselves accept the revoked key until they
    /// fetch the key set again (within 5 minutes if they follow Cache-Control; Envoy with its cache of tokens until a token expires), and
    /// refuse tokens of a key that they have not got until then.
    Revoke(Revoke),
    /// Change the master key: every private key is sealed under the new one, all or none.
    ///
    /// The embedded database's own master.key is replaced; otherwise start the service with the new master key from then on. A
    /// service that runs goes on with the keys that it has open, but takes up no other and makes none until it is restarted.
    Reseal(Reseal),
    /// Begin anew where the master key is lost: delete every signing key that it sealed, and make one under a new master key.
    ///
    /// Users, clients, roles and sessions are not sealed, and stay. Without --discard it says what would end, and changes nothing; with it,
    /// it says so and asks. The embedded database makes its new master.key; for any other, --master-key is the new one. Stop the service
    /// first: with SQLite, nobody else may have the database open.
    Reset(Reset),
}

#[derive(Args, Debug)]
pub(super) struct Rotate {
    /// Sign with it at once. Services that verify tokens themselves refuse its tokens until they fetch the key set again.
    #[arg(long)]
    now: bool,
}

#[derive(Args, Debug)]
pub(super) struct Revoke {
    /// The key's id, as `signet keys list` shows it.
    #[arg(value_name = "KID", allow_hyphen_values = true)]
    kid: String,
}

#[derive(Args, Debug)]
pub(super) struct Reset {
    /// Delete what the lost master key has sealed. This cannot be undone.
    #[arg(long)]
    discard: bool,
    /// Do not ask before it is done. Where there is no terminal to ask at, it must be said.
    #[arg(long, requires = "discard")]
    yes: bool,
}

#[derive(Args, Debug)]
pub(super) struct Reseal {
    /// A file that holds the new master key: 32 bytes as 64 hexadecimal digits. Without it the embedded database makes one.
    #[arg(long, value_name = "FILE")]
    new_master_key_file: Option<PathBuf>,
}

pub(super) async fn run(
    Over { command, place }: Over<Command>,
    config: &Config,
    output: Output,
) -> Result<(), Failure> {
    if let Some(remote) = place.connect(config).await? {
        return remote::run(command, &remote, output).await;
    }
    match command {
        Command::List => list(config, output).await,
        Command::Change(Change::Reset(Reset { discard: false, .. })) => would_discard(config, output).await,
        Command::Change(command) => {
            if let Change::Reset(Reset { yes: false, .. }) = command {
                let sealed = install::sealed(config).await?;
                confirm::ending("signet keys reset --discard", &ends(&sealed))?;
            }
            let audit = audit::open(config)?;
            let result = match command {
                Change::Rotate(Rotate { now }) => rotate(now, config, &audit, output).await,
                Change::Revoke(Revoke { kid }) => revoke(&kid, config, &audit, output).await,
                Change::Reseal(Reseal { new_master_key_file }) => {
                    change_master_key(new_master_key_file, config, &audit, output).await
                }
                Change::Reset(_) => begin_anew(config, &audit, output).await,
            };
            Box::pin(audit::finish(&audit, config)).await;
            result
        }
    }
}

async fn list(config: &Config, output: Output) -> Result<(), Failure> {
    let keys = signing_keys(&config.storage).await?;
    heading(output)?;
    for key in staged(&keys, Clock::system().now()) {
        let shown = Shown {
            kid: &key.key.kid.0,
            alg: &key.key.alg,
            stage: key.stage.to_string(),
            create_time: key.key.create_time,
            sign_time: key.key.sign_time,
            retire_time: key.retire_time,
            expire_time: key.expire_time,
        };
        tell(&shown, output)?;
    }
    Ok(())
}

/// A key, as a list shows it.
struct Shown<'a> {
    kid: &'a str,
    alg: &'a str,
    stage: String,
    create_time: Timestamp,
    sign_time: Timestamp,
    retire_time: Option<Timestamp>,
    expire_time: Option<Timestamp>,
}

fn heading(output: Output) -> Result<(), Failure> {
    output.heading(&TABLE.heading())
}

fn tell(key: &Shown<'_>, output: Output) -> Result<(), Failure> {
    let next = match (&*key.stage, key.retire_time, key.expire_time) {
        ("published", ..) => format!("signs from {}", when(key.sign_time)),
        (_, None, None) => "-".to_owned(),
        ("signing", Some(retired), _) => format!("signs until {}", when(retired)),
        (_, Some(retired), None) => format!("signed until {}", when(retired)),
        (_, _, Some(expired)) => format!("deleted after {}", when(expired)),
    };
    let object = json!({
        "kid": key.kid,
        "alg": key.alg,
        "stage": key.stage,
        "create_time": key.create_time.to_string(),
        "sign_time": key.sign_time.to_string(),
        "retire_time": key.retire_time.map(|time| time.to_string()),
        "expire_time": key.expire_time.map(|time| time.to_string()),
    });
    output.row(&TABLE.row([key.kid, key.alg, &key.stage, &next]), &object)
}

async fn rotate(now: bool, config: &Config, audit: &Audit, output: Output) -> Result<(), Failure> {
    let rotation = key_rotation(config, audit).await?;
    let rotated = rotation.rotate(now, &Administrator::operator()).await;
    rotation.close().await;
    let NextKey { kid, sign_time } = rotated?;
    if now {
        let object = json!({ "kid": kid, "sign_time": sign_time.to_string() });
        return output.answer(&format!("{kid} signs from now on."), &object);
    }
    tell_published(&kid.0, sign_time, output)
}

fn tell_published(kid: &str, sign_time: Timestamp, output: Output) -> Result<(), Failure> {
    let text = format!("Published {kid}: it signs from {sign_time} on.");
    output.answer(&text, &json!({ "kid": kid, "sign_time": sign_time.to_string() }))
}

async fn revoke(kid: &str, config: &Config, audit: &Audit, output: Output) -> Result<(), Failure> {
    let rotation = key_rotation(config, audit).await?;
    let revoked = rotation.revoke(kid, &Administrator::operator()).await;
    rotation.close().await;
    let successor = revoked?.map(|next| next.kid.to_string());
    tell_revoked(kid, successor.as_deref(), output)
}

fn tell_revoked(kid: &str, successor: Option<&str>, output: Output) -> Result<(), Failure> {
    let signs = successor.map_or_else(String::new, |next| format!(" {next} signs from now on."));
    output.answer(&format!("Revoked {kid}.{signs}"), &json!({ "revoked": kid, "signing_key": successor }))
}

async fn change_master_key(
    file: Option<PathBuf>,
    config: &Config,
    audit: &Audit,
    output: Output,
) -> Result<(), Failure> {
    let new = file.map(|file| {
        let flag = "--new-master-key-file";
        let refuse = |problem: String| Failure::Usage(format!("{flag}: {} {problem}", file.display()));
        let text = read_text(&file).map_err(|error| Failure::of_input(flag, &file, &error))?;
        MasterKey::from_hex(&text).map_err(refuse)?;
        Ok::<_, Failure>(text)
    });
    let resealed = reseal(config, new.transpose()?, audit).await?;
    let place = resealed.master_key_file.as_ref().map_or_else(
        || "Start the service with it from now on.".to_owned(),
        |file| format!("It is in {file}: keep a copy apart from the database."),
    );
    let text = format!(
        "Sealed {} signing key(s) under the new master key. {place} Services that run take up no other key until they are restarted.",
        resealed.keys
    );
    output.answer(&text, &json!({ "resealed": resealed.keys, "master_key_file": resealed.master_key_file }))
}

/// Says what `reset` would end, and does nothing.
async fn would_discard(config: &Config, output: Output) -> Result<(), Failure> {
    let sealed = install::sealed(config).await?;
    let (database, ends) = (&sealed.database, ends(&sealed));
    let text = format!(
        "Nothing was changed. If a copy of the master key of {database} is anywhere, put it back instead. With --discard {ends}."
    );
    let object = json!({
        "database": database,
        "would_discard_signing_keys": sealed.signing_keys,
        "would_discard_secrets": sealed.secrets,
        "users_without_key": sealed.users_without_key,
        "resting_names_to_end": sealed.resting_names,
    });
    output.answer(&text, &object)
}

/// What discarding ends, and what it does not.
fn ends(sealed: &Sealed) -> String {
    let Sealed { signing_keys, resting_names, secrets, users_without_key, .. } = sealed;
    let mut secrets = match secrets.as_slice() {
        [] => String::new(),
        names => format!(" What was sealed besides is deleted: {}.", names.join(", ")),
    };
    if *users_without_key > 0 {
        let _ = write!(
            secrets,
            " {users_without_key} user(s) with hashes of a digest cannot log in until the key of these is given again \
             (`signet users import --password-prehash`), or they have another password."
        );
    }
    format!(
        "{signing_keys} signing key(s) are deleted: access tokens that they signed are refused, here at once and elsewhere when \
         the keys are fetched next. {resting_names} name(s) of deleted users rest no longer, and failed logins are counted from \
         nothing.{secrets} Users, passwords, clients, roles and sessions stay: refresh tokens get new access tokens"
    )
}

async fn begin_anew(config: &Config, audit: &Audit, output: Output) -> Result<(), Failure> {
    let reset = install::reset(config, audit).await?;
    let place = reset.master_key_file.as_ref().map_or_else(
        || "Start the service with the new master key from now on.".to_owned(),
        |file| format!("The new master key is in {file}: keep a copy apart from the database."),
    );
    let (kid, ends) = (&reset.signing_key, ends(&reset.discarded));
    let text = format!("{kid} signs from now on. {ends}. {place} Restart services that run.");
    let object = json!({
        "signing_key": kid,
        "discarded_signing_keys": reset.discarded.signing_keys,
        "discarded_secrets": reset.discarded.secrets,
        "users_without_key": reset.discarded.users_without_key,
        "resting_names_ended": reset.discarded.resting_names,
        "master_key_file": reset.master_key_file,
    });
    output.answer(&text, &object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_is_told_in_sentences_with_one_space_between_words() {
        let told = ends(&Sealed {
            database: "signet.db".to_owned(),
            signing_keys: 2,
            resting_names: 1,
            secrets: vec!["prehash".to_owned()],
            users_without_key: 3,
        });
        assert!(told.contains("is given again (`signet users import --password-prehash`)"), "{told}");
        assert!(!told.contains("  ") && !told.contains('\n'), "{told}");
    }
}
