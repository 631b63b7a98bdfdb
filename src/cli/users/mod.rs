//! Owns `signet users`.

mod collisions;
mod export;
mod import;
mod report;
mod source;

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Failure, Output,
    listing::{Listing, state},
    records::Records,
};
use crate::{
    audit::Event,
    config::Config,
    files::read_text,
    identity::{NewAccount, NewAccounts, Passwords, UserRegistry, passwords::PoolSize},
    metrics::HashMetrics,
    model::{
        Clock, Deadline, Error, User, UserId, Username,
        profile::{DisplayName, Email},
    },
    server::Missing,
    store::Store,
};

/// How long hashing the one password of `users create` may take, on the slowest of machines.
const HASH_TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a user. The password is asked for on a terminal, and read from standard input otherwise.
    Create(Create),
    /// Bring users over from another service, with their password hashes. Safe to be run again.
    Import(Box<import::Arguments>),
    /// Write all users, with their password hashes, as NDJSON that `users import` takes.
    Export(export::Arguments),
    #[command(flatten)]
    Existing(Existing),
}

/// What is done with users that are there.
#[derive(Debug, Subcommand)]
pub(super) enum Existing {
    /// List users in the order of their making.
    List {
        /// The maximum number of users to list.
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
        /// Only those made after the user with this id.
        #[arg(long, value_name = "ID")]
        after: Option<Uuid>,
        /// Only those whose names can be taken for another user's, and for whose: names with letters beyond ASCII that look like it, or
        /// are spellings of it.
        #[arg(long, conflicts_with = "limit")]
        collisions: bool,
    },
    /// Show a user.
    Show(Who),
    /// Disable a user: no tokens from now on, and all sessions end.
    Disable(Who),
    /// Enable a user again.
    Enable(Who),
    /// Delete a user. This cannot be undone. If the account was older than a day, nobody can sign up with the username for --username-rest;
    /// the answer says until when. `users create` can have it.
    Delete(Who),
}

#[derive(Args, Debug)]
pub(super) struct Create {
    /// The username.
    #[arg(value_name = "USERNAME")]
    username: String,
    /// The e-mail address.
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// The name to show to people.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// A file that holds the password, instead of standard input.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct Who {
    /// The user's id or username. What reads as a UUID is an id.
    #[arg(value_name = "ID|USERNAME", required_unless_present_any = ["id", "name"], conflicts_with_all = ["id", "name"])]
    user: Option<String>,
    /// The user with this id, whoever has it as a username.
    #[arg(long, value_name = "ID", conflicts_with = "name", value_parser = user_id)]
    id: Option<Uuid>,
    /// The user with this username, though it reads as an id or as an option: `--name=--help`.
    #[arg(long, value_name = "USERNAME")]
    name: Option<String>,
}

fn user_id(text: &str) -> Result<Uuid, String> {
    Uuid::parse_str(text).map_err(|_| "must be an id, which is a UUID; a username goes by --name".to_owned())
}

impl Who {
    fn is_nobody(&self) -> Failure {
        let Self { user, id, name } = self;
        let said = user.clone().or_else(|| id.map(|id| id.to_string())).or_else(|| name.clone());
        Failure::Failed(format!("there is no user `{}`", said.unwrap_or_default()))
    }
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        Command::Create(create) => Box::pin(make(create, config, output)).await,
        Command::Import(arguments) => import::run(*arguments, config, output).await,
        Command::Export(arguments) => export::run(arguments, config).await,
        Command::Existing(command) => {
            let records = Records::open(config, Missing::Refused).await?;
            let result = with_existing(command, &records, output).await;
            records.close().await;
            result
        }
    }
}

async fn with_existing(command: Existing, records: &Records, output: Output) -> Result<(), Failure> {
    let Records { store, audit, .. } = records;
    let registry = UserRegistry::new(store.clone(), Clock::system(), audit.clone());
    match command {
        Existing::List { limit: _, after, collisions: true } => {
            collisions::list(after.map(UserId), store, output).await
        }
        Existing::List { limit, after, collisions: false } => {
            list(Listing { limit, after: after.map(UserId) }, store, output).await
        }
        Existing::Show(who) => show(&find(&who, store).await?, output),
        Existing::Disable(who) => set_active(&who, false, &registry, store, output).await,
        Existing::Enable(who) => set_active(&who, true, &registry, store, output).await,
        Existing::Delete(who) => delete(&who, &registry, records, output).await,
    }
}

async fn make(create: Create, config: &Config, output: Output) -> Result<(), Failure> {
    // What the command line gets wrong is told before anything is made.
    let argon2 = config.passwords.argon2().map_err(|error| Failure::Usage(error.to_string()))?;
    let password = read_password(create.password_file.as_deref())?;
    let records = Records::open(config, Missing::Made).await?;
    let size = PoolSize { threads: 1, queue: 1 };
    let passwords = Passwords::start(argon2, size, HashMetrics::default()).map_err(Error::internal)?;
    let accounts = NewAccounts::new(
        records.store.clone(),
        Arc::new(passwords),
        config.password_rules(),
        Clock::system(),
        records.audit.clone(),
    );
    let new = NewAccount {
        username: &create.username,
        password: &password,
        email: create.email.as_deref(),
        display_name: create.display_name.as_deref(),
    };
    let event = Event::UserCreated.done().by_operator();
    let made = accounts.create(new, event, Deadline::after(HASH_TIMEOUT)).await;
    records.close().await;
    show(&made?, output)
}

/// The password: never an argument, since other users of the machine see those.
fn read_password(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    let read = match file {
        Some(file) => read_text(file),
        None if io::stdin().is_terminal() => rpassword::prompt_password("Password: ").map(Zeroizing::new),
        None => {
            let mut line = Zeroizing::new(String::new());
            io::stdin().read_line(&mut line).map(|_| line)
        }
    };
    let source =
        file.map_or("the password".to_owned(), |file| format!("--password-file: {}", file.display()));
    let text = read.map_err(|error| Failure::Usage(format!("{source} cannot be read: {error}")))?;
    // The line's end is not the password's; a space is.
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

async fn list(listing: Listing<UserId>, store: &Store, output: Output) -> Result<(), Failure> {
    output.heading(&format!("{:<36}  {:<8}  {:<27}  USERNAME", "ID", "STATE", "CREATED"))?;
    let tell = |user: &User| {
        let text = format!(
            "{}  {:<8}  {:<27}  {}",
            user.id,
            state(user.is_active),
            user.create_time.to_string(),
            user.username.typed()
        );
        output.answer(&text, &object(user))
    };
    listing.each(async |after, limit| store.users(after, limit).await, |user| user.id, tell).await
}

async fn set_active(
    who: &Who,
    active: bool,
    registry: &UserRegistry,
    store: &Store,
    output: Output,
) -> Result<(), Failure> {
    let user = find(who, store).await?;
    let user = registry.set_active(user.id, active).await?;
    show(&user.ok_or_else(|| who.is_nobody())?, output)
}

async fn delete(
    who: &Who,
    registry: &UserRegistry,
    records: &Records,
    output: Output,
) -> Result<(), Failure> {
    let user = find(who, &records.store).await?;
    let rests = records.rests().await?;
    let until = rests.after(&user, Clock::system().now()).map(|name| name.until.to_string());
    if !registry.delete(&user, &rests).await? {
        return Err(who.is_nobody());
    }
    let rest = until.as_ref().map_or_else(
        || " Anybody can sign up with the name.".to_owned(),
        |until| {
            format!(" Nobody can sign up with the name until {until}; `signet users create` can have it.")
        },
    );
    output.answer(
        &format!("Deleted {} ({}).{rest}", user.username.typed(), user.id),
        &json!({ "deleted": user.id.to_string(), "username_rests_until": until }),
    )
}

async fn find(who: &Who, store: &Store) -> Result<User, Failure> {
    let found = match who {
        Who { id: Some(id), .. } => store.user(UserId(*id)).await?,
        Who { name: Some(name), .. } => named(name, store).await?,
        Who { user: Some(said), .. } => match Uuid::parse_str(said) {
            Ok(id) => {
                // Such a name comes from a time when anybody could have it: whoever chose it wants to be taken for the other.
                if let Some(user) = named(said, store).await? {
                    let problem = format!(
                        "`{said}` is the username of the user {}, and reads as an id: say --id or --name",
                        user.id
                    );
                    return Err(Failure::Usage(problem));
                }
                store.user(UserId(id)).await?
            }
            Err(_) => named(said, store).await?,
        },
        Who { user: None, .. } => None,
    };
    found.ok_or_else(|| who.is_nobody())
}

async fn named(name: &str, store: &Store) -> Result<Option<User>, Failure> {
    let Ok(name) = Username::parse(name) else { return Ok(None) };
    Ok(store.user_named(&name).await?)
}

fn show(user: &User, output: Output) -> Result<(), Failure> {
    let optional = |value: Option<&str>| value.unwrap_or("-").to_owned();
    let text = format!(
        "id:           {}\nusername:     {}\nstate:        {}\nemail:        {}\ndisplay name: {}\ncreated:      {}\nupdated:      {}",
        user.id,
        user.username.typed(),
        state(user.is_active),
        optional(user.email.as_ref().map(Email::as_str)),
        optional(user.display_name.as_ref().map(DisplayName::as_str)),
        user.create_time,
        user.update_time,
    );
    output.answer(&text, &object(user))
}

fn object(user: &User) -> Value {
    json!({
        "id": user.id.to_string(),
        "username": user.username.typed(),
        "email": user.email.as_ref().map(Email::as_str),
        "display_name": user.display_name.as_ref().map(DisplayName::as_str),
        "is_active": user.is_active,
        "create_time": user.create_time.to_string(),
        "update_time": user.update_time.to_string(),
    })
}
