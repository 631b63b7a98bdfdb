//! Owns `signet users search`.

use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::{
        Failure, Output,
        listing::state,
        records::Records,
        table::{ID, TIME, Table, WHOLE, when_if},
    },
    object_having,
};
use crate::{
    base::Timestamp,
    identity::{
        access::GroupRef,
        users::{FoundUser, Span, UserFilter},
    },
    model::{NamedAttributes, Prefix, RuleViolation, UserId, profile::Email},
};

/// How users are shown who are not searched by their last login. When that was is in the JSON.
const BY_NAME: Table<4> = Table([("ID", ID), ("STATE", 8), ("USERNAME", 20), ("EMAIL", WHOLE)]);

/// How users are shown who are searched by their last login. Their addresses are in the JSON.
const BY_LOGIN: Table<4> = Table([("ID", ID), ("STATE", 8), ("LAST LOGIN", TIME), ("USERNAME", WHOLE)]);

/// How many users are asked for at once.
const PAGE: u64 = 500;

#[derive(Args, Debug)]
pub(in crate::cli) struct Search {
    /// Only those whose usernames begin with this, in any case.
    #[arg(long, value_name = "PREFIX", value_parser = prefix)]
    pub(super) username: Option<Prefix>,
    /// Only those whose e-mail addresses begin with this, in any case. An address is neither unique nor verified: that somebody has it
    /// proves nothing.
    #[arg(long, value_name = "PREFIX", value_parser = prefix)]
    pub(super) email: Option<Prefix>,
    /// Only those whose names to show begin with this, in any case.
    #[arg(long, value_name = "PREFIX", value_parser = prefix)]
    pub(super) display_name: Option<Prefix>,
    /// Only those in the group with this id or name.
    #[arg(long, value_name = "ID|NAME")]
    pub(super) group: Option<String>,
    /// Only those made at this time or later, such as 2026-11-29T00:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) created_from: Option<Timestamp>,
    /// Only those made before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) created_before: Option<Timestamp>,
    /// Only those who logged in at this time or later.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) last_login_from: Option<Timestamp>,
    /// Only those who have not logged in since this time; without --last-login-from also those who never have.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) last_login_before: Option<Timestamp>,
    /// Only those who are active.
    #[arg(long)]
    pub(super) active: bool,
    /// Only those who are disabled.
    #[arg(long, conflicts_with = "active")]
    pub(super) disabled: bool,
    /// The maximum number of users to list.
    #[arg(long, value_name = "COUNT")]
    pub(super) limit: Option<u64>,
    /// Only those that come after the user with this id, in the order of the list.
    #[arg(long, value_name = "ID")]
    pub(super) after: Option<Uuid>,
}

fn prefix(text: &str) -> Result<Prefix, RuleViolation> {
    Prefix::parse(text)
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "must be a time such as 2026-11-29T00:00:00Z".to_owned())
}

pub(super) async fn run(search: Search, records: &Records, output: Output) -> Result<(), Failure> {
    let by_login = search.is_by_login();
    let group = match search.group {
        Some(group) => Some(records.access_directory().group(&GroupRef(group)).await?.id),
        None => None,
    };
    let filter = UserFilter {
        username: search.username,
        email: search.email,
        display_name: search.display_name,
        group,
        created: Span { from: search.created_from, before: search.created_before },
        last_login: Span { from: search.last_login_from, before: search.last_login_before },
        is_active: (search.active || search.disabled).then_some(search.active),
    };
    let users = records.user_directory();
    let mut after = match search.after {
        Some(id) => Some(users.place(&filter, UserId(id)).await?),
        None => None,
    };
    let mut left = search.limit.unwrap_or(u64::MAX);
    heading(by_login, output)?;
    while left > 0 {
        let page = users.search(&filter, after, left.min(PAGE)).await?;
        let found: Vec<_> = page.users.iter().map(|found| &found.user).collect();
        let attributes = users.attributes_of(&found).await?;
        page.users.iter().zip(&attributes).try_for_each(|found| tell(found, by_login, output))?;
        left = left.saturating_sub(page.users.len() as u64);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(())
}

impl Search {
    /// Whether it is asked for when users last logged in.
    pub(super) const fn is_by_login(&self) -> bool {
        self.last_login_from.is_some() || self.last_login_before.is_some()
    }
}

pub(super) fn heading(by_login: bool, output: Output) -> Result<(), Failure> {
    output.heading(&if by_login { BY_LOGIN.heading() } else { BY_NAME.heading() })
}

pub(super) fn tell(
    (found, having): (&FoundUser, &NamedAttributes),
    by_login: bool,
    output: Output,
) -> Result<(), Failure> {
    let FoundUser { user, login_time } = found;
    let (id, state, name) = (user.id.to_string(), state(user.is_active), user.username.typed());
    let row = if by_login {
        BY_LOGIN.row([&id, state, &when_if(*login_time), name])
    } else {
        BY_NAME.row([&id, state, name, user.email.as_ref().map_or("-", Email::as_str)])
    };
    output.row(&row, &with_login(found, having))
}

/// A user, with its attributes and when it last logged in, for programs.
pub(super) fn with_login(FoundUser { user, login_time }: &FoundUser, having: &NamedAttributes) -> Value {
    let mut shown = object_having(user, having);
    shown["last_login_time"] = json!(login_time.map(|time| time.to_string()));
    shown
}
