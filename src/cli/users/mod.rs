//! Owns `signet users`.

mod collisions;
mod export;
mod import;
mod password_input;
mod passwords;
mod prehash;
mod remote;
mod report;
mod search;
mod sessions;
mod source;
mod source_problems;
mod verify_one;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

pub(super) use password_input::read_password;

use password_input::new_password;

use super::{
    Failure, Output,
    attributes::{self, SetAttribute},
    listing::{Listing, state},
    records::Records,
    remote::Over,
    table::{ID, TIME, Table, WHOLE, when},
};
use crate::{
    base::{Clock, Deadline},
    config::Config,
    identity::{
        NewAccount, Passwords, UserDirectory, UsernameRests,
        guessing::AllowanceLeft,
        passwords::{Argon2Params, PoolSize, PrehashKeys},
        users::{DeletedUser, FoundUser, NewUserFields, PasswordState, UserRef},
    },
    install::Missing,
    metrics::HashMetrics,
    model::{
        Error, NamedAttributes, User, UserId,
        profile::{DisplayName, Email},
    },
};

/// How users are shown.
const TABLE: Table<4> = Table([("ID", ID), ("STATE", 8), ("CREATED", TIME), ("USERNAME", WHOLE)]);

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
    /// Search users by how a name or an address begins, by group, or by when they were made or last logged in. The first of these that is
    /// said gives the order: they are used in the order of this list.
    Search(Box<search::Search>),
    /// Show a user, and what failed logins have left of the account's allowance.
    Show(Who),
    /// Change a user's username, e-mail address, name to show or attributes. The username that is given up rests for --username-rest, as
    /// that of a deleted user does. Sessions stay.
    Update(Update),
    /// Disable a user: no tokens from now on, and all sessions end.
    Disable(Who),
    /// Enable a user again.
    Enable(Who),
    /// List a user's sessions, the oldest first.
    Sessions(sessions::Sessions),
    /// End all sessions of a user. Its access tokens are refused at once here, and elsewhere within --standing-cache-max-age or when they
    /// expire.
    EndSessions(Who),
    /// Make the account's allowance of failed passwords full again (--account-failures).
    ClearThrottle(Who),
    /// Give a user a one-time password, which is printed this once, in the place of the password, and end all sessions. It works once, for
    /// 24 hours, by `SetNewPassword` alone, and ends if the user is given a `signet.` scope.
    ResetPassword(Who),
    /// Set the password of a user, and end all sessions. The password is asked for on a terminal, and read from standard input otherwise.
    SetPassword(passwords::Set),
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
    #[command(flatten)]
    attributes: SetAttributes,
}

/// Which attributes a user is given.
#[derive(Args, Debug)]
struct SetAttributes {
    /// Set a declared attribute (`signet attributes list`); repeat for more. A value that reads as JSON is a number, true or false, a list
    /// of texts, or a text in quotes; any other is a text as it stands.
    #[arg(long = "set-attribute", value_name = "NAME=VALUE", value_parser = SetAttribute::parse)]
    set_attributes: Vec<SetAttribute>,
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

#[derive(Args, Debug)]
pub(super) struct Update {
    #[command(flatten)]
    who: Who,
    /// The new username. A reserved one may be given, and one that rests.
    #[arg(long, value_name = "USERNAME")]
    username: Option<String>,
    /// The new e-mail address.
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Take the e-mail address away.
    #[arg(long, conflicts_with = "email")]
    no_email: bool,
    /// The new name to show to people.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Take the name to show away.
    #[arg(long, conflicts_with = "display_name")]
    no_display_name: bool,
    #[command(flatten)]
    attributes: SetAttributes,
    /// Take an attribute away; repeat for more.
    #[arg(long = "unset-attribute", value_name = "NAME")]
    unset_attributes: Vec<String>,
}

fn user_id(text: &str) -> Result<Uuid, String> {
    Uuid::parse_str(text).map_err(|_| "must be an id, which is a UUID; a username goes by --name".to_owned())
}

impl From<Who> for UserRef {
    fn from(Who { user, id, name }: Who) -> Self {
        match (id, name) {
            (Some(id), _) => Self::Id(UserId(id)),
            (None, Some(name)) => Self::Name(name),
            (None, None) => Self::IdOrName(user.unwrap_or_default()),
        }
    }
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
        Command::Create(create) => Box::pin(make(create, config, output)).await,
        Command::Import(arguments) => Box::pin(import::run(*arguments, config, output)).await,
        Command::Export(arguments) => export::run(arguments, config).await,
        Command::Existing(
            command @ (Existing::List { .. } | Existing::Search(_) | Existing::Sessions(_)),
        ) => {
            let work = async move |records: &Records| with_existing(command, config, records, output).await;
            Records::without_master_key(config, work).await
        }
        Command::Existing(command) => {
            let work = async move |records: &Records| with_existing(command, config, records, output).await;
            Records::within(config, Missing::Refused, work).await
        }
    }
}

async fn with_existing(
    command: Existing,
    config: &Config,
    records: &Records,
    output: Output,
) -> Result<(), Failure> {
    let set_active = async |who: Who, active: bool| {
        let found = records.user_registry().set_active(&who.into(), active, None, &records.operator).await?;
        show_as_it_is(&found.user, records, output).await
    };
    match command {
        Existing::List { limit: _, after, collisions: true } => {
            collisions::list(after.map(UserId), &records.user_directory(), output).await
        }
        Existing::List { limit, after, collisions: false } => {
            list(Listing { limit, after: after.map(UserId) }, &records.user_directory(), output).await
        }
        Existing::Search(search) => search::run(*search, records, output).await,
        Existing::Show(who) => show_found(&who.into(), records, output).await,
        Existing::Update(update) => change(update, records, output).await,
        Existing::Sessions(of) => sessions::list(of, records.lifetime(), records, output).await,
        Existing::EndSessions(who) => {
            let ended = records.user_registry().end_sessions(&who.into(), &records.operator).await?;
            output.answer(&format!("Ended {ended} session(s)."), &json!({ "ended": ended }))
        }
        Existing::ClearThrottle(who) => {
            let (registry, allowances) = (records.user_registry(), records.allowances().await?);
            let id = registry.clear_throttle(&who.into(), &allowances, &records.operator).await?;
            show_found(&UserRef::Id(id), records, output).await
        }
        Existing::Disable(who) => set_active(who, false).await,
        Existing::Enable(who) => set_active(who, true).await,
        Existing::ResetPassword(who) => passwords::reset(who, config, records, output).await,
        Existing::SetPassword(set) => Box::pin(passwords::set(set, config, records, output)).await,
        Existing::Delete(who) => {
            let registry = records.user_registry();
            let deleted = registry.delete(&who.into(), None, records.rests(), &records.operator).await?;
            // The operator repeats no request under an id.
            deleted.map_or(Ok(()), |deleted| show_deleted(&deleted, output))
        }
    }
}

async fn change(update: Update, records: &Records, output: Output) -> Result<(), Failure> {
    let Update { who, username, email, no_email, display_name, no_display_name, .. } = update;
    let fields = NewUserFields {
        username: username.as_deref(),
        email: (no_email || email.is_some()).then_some(email.as_deref()),
        display_name: (no_display_name || display_name.is_some()).then_some(display_name.as_deref()),
        attributes: attributes::edit(update.attributes.set_attributes, update.unset_attributes),
    };
    let who = who.into();
    let user = records.user_directory().find(&who).await?;
    // The master key is asked for where a name may begin to rest.
    let rests = if username.is_some() { records.rests().await? } else { UsernameRests::OFF };
    let registry = records.user_registry();
    let found = registry.update(&UserRef::Id(user.id), fields, None, &rests, &records.operator).await?;
    show_as_it_is(&found.user, records, output).await
}

/// Shows a user with its attributes.
async fn show_as_it_is(user: &User, records: &Records, output: Output) -> Result<(), Failure> {
    show(user, &attributes_of(user, records).await?, output)
}

/// The attributes of `user`, by their names.
async fn attributes_of(user: &User, records: &Records) -> Result<NamedAttributes, Failure> {
    Ok(records.user_directory().attributes_of(&[user]).await?.pop().unwrap_or_default())
}

/// Shows a user with what only the database knows of it.
async fn show_found(who: &UserRef, records: &Records, output: Output) -> Result<(), Failure> {
    let users = records.user_directory();
    let id = users.find(who).await?.id;
    let Some(found) = users.those_of(&[id]).await?.pop() else {
        return Err(Error::UserNotFound(who.to_string()).into());
    };
    let left = records.allowances().await?.left(&[&found.user]).await?.pop();
    let password = users.password_states(&[id], Clock::system().now()).await?.pop();
    let attributes = attributes_of(&found.user, records).await?;
    tell_found((&found, &attributes), left, password.unwrap_or(PasswordState::None), output)
}

fn tell_found(
    (found, attributes): (&FoundUser, &NamedAttributes),
    left: Option<AllowanceLeft>,
    password: PasswordState,
    output: Output,
) -> Result<(), Failure> {
    let login = found.login_time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    let full = left.and_then(|left| left.full_time);
    let allowance = match (left, full) {
        (Some(left), Some(full)) => format!("{} failures left, all of them at {full}", left.failures),
        (Some(left), None) => format!("{} failures left", left.failures),
        (None, _) => "-".to_owned(),
    };
    let (state, until) = match password {
        PasswordState::Set => ("set", None),
        PasswordState::OneTime { until } => ("one-time", Some(until.to_string())),
        PasswordState::None => ("none", None),
    };
    let password = until.as_ref().map_or_else(|| state.to_owned(), |until| format!("{state}, until {until}"));
    let text = format!(
        "{}\npassword:     {password}\nlast login:   {login}\nallowance:    {allowance}{}",
        text(&found.user),
        attributes::values_text(attributes),
    );
    let mut shown = search::with_login(found, attributes);
    shown["password_state"] = json!(state);
    shown["one_time_password_expire_time"] = json!(until);
    shown["failures_left"] = json!(left.map(|left| left.failures));
    shown["failures_full_time"] = json!(full.map(|time| time.to_string()));
    output.answer(&text, &shown)
}

async fn make(create: Create, config: &Config, output: Output) -> Result<(), Failure> {
    // What the command line gets wrong is told before anything is made.
    let argon2 = config.passwords.argon2().map_err(|error| Failure::Usage(error.to_string()))?;
    let password = new_password(create.password_file.as_deref())?;
    let records = Records::open(config, Missing::Made).await?;
    let accounts = records.new_accounts(hash_pool(argon2)?, config.password_rules());
    let new = NewAccount {
        username: &create.username,
        password: &password,
        email: create.email.as_deref(),
        display_name: create.display_name.as_deref(),
    };
    let edit = attributes::edit(create.attributes.set_attributes, Vec::new());
    let made = accounts.create(new, &edit, &records.operator, Deadline::after(HASH_TIMEOUT)).await;
    let shown = match &made {
        Ok(user) => attributes_of(user, &records).await,
        Err(_) => Ok(NamedAttributes::new()),
    };
    records.close().await;
    show(&made?, &shown?, output)
}

/// What hashes one password.
fn hash_pool(argon2: Argon2Params) -> Result<Passwords, Error> {
    verifying_pool(argon2, PrehashKeys::default())
}

/// The same, which also verifies hashes that need `prehash_keys`.
fn verifying_pool(argon2: Argon2Params, prehash_keys: PrehashKeys) -> Result<Passwords, Error> {
    let size = PoolSize { threads: 1, queue: 1 };
    Passwords::start(argon2, size, HashMetrics::default(), prehash_keys).map_err(Error::internal)
}

async fn list(listing: Listing<UserId>, users: &UserDirectory, output: Output) -> Result<(), Failure> {
    list_heading(output)?;
    let read = async |after, limit| {
        let page = users.page(after, limit).await?;
        let attributes = users.attributes_of(&page.iter().collect::<Vec<_>>()).await?;
        Ok(page.into_iter().zip(attributes).collect::<Vec<_>>())
    };
    listing.each(read, |(user, _)| user.id, |(user, having)| list_one(user, having, output)).await
}

fn list_heading(output: Output) -> Result<(), Failure> {
    output.heading(&TABLE.heading())
}

fn list_one(user: &User, having: &NamedAttributes, output: Output) -> Result<(), Failure> {
    output.row(&row(user), &object_having(user, having))
}

fn row(user: &User) -> String {
    let (id, created) = (user.id.to_string(), when(user.create_time));
    TABLE.row([&id, state(user.is_active), &created, user.username.typed()])
}

fn show_deleted(DeletedUser { user, name_rests_until }: &DeletedUser, output: Output) -> Result<(), Failure> {
    let until = name_rests_until.map(|until| until.to_string());
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

/// Shows a user who has these attributes.
fn show(user: &User, having: &NamedAttributes, output: Output) -> Result<(), Failure> {
    output.answer(&text_having(user, having), &object_having(user, having))
}

/// A user with its attributes, for people.
fn text_having(user: &User, having: &NamedAttributes) -> String {
    format!("{}{}", text(user), attributes::values_text(having))
}

/// The same, for programs.
fn object_having(user: &User, having: &NamedAttributes) -> Value {
    let mut shown = object(user);
    shown["attributes"] = attributes::values_object(having);
    shown
}

/// A user, for people.
fn text(user: &User) -> String {
    let optional = |value: Option<&str>| value.unwrap_or("-").to_owned();
    format!(
        "id:           {}\nusername:     {}\nstate:        {}\nemail:        {}\ndisplay name: {}\ncreated:      {}\nupdated:      {}",
        user.id,
        user.username.typed(),
        state(user.is_active),
        optional(user.email.as_ref().map(Email::as_str)),
        optional(user.display_name.as_ref().map(DisplayName::as_str)),
        user.create_time,
        user.update_time,
    )
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
