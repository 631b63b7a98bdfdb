//! Owns the settings of who may have an account, and under what name.

use std::time::Duration;

use clap::Args;

use super::{Switch, duration};
use crate::model::ReservedNames;

/// Names by which people and programs expect whoever runs a service, RFC 2142's among them.
const RESERVED_USERNAMES: &str = "abuse,admin,administrator,hostmaster,noreply,no-reply,postmaster,root,security,signet,support,system,webmaster";

/// Who may have an account, and under what name.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Accounts")]
pub struct AccountConfig {
    /// Whether anybody may sign up. Off: `SignUp` is refused over every protocol (`SIGN_UP_OFF`), and `signet users create` and `import`
    /// make the accounts.
    #[arg(long, env = "SIGNET_SIGN_UP", global = true, value_name = "WHETHER", value_enum, default_value_t = Switch::On)]
    pub sign_up: Switch,

    /// Names that nobody may sign up with, nor with what looks like them, separated by commas. `signet users create` may have them.
    #[arg(long, env = "SIGNET_RESERVED_USERNAMES", global = true, value_name = "NAMES", default_value = RESERVED_USERNAMES)]
    pub reserved_usernames: ReservedNames,

    /// How long nobody can sign up with the username of a deleted user whose account was older than a day, so that nobody is taken for
    /// that user (0s: not at all; up to 10 years). `signet users create` may have it.
    #[arg(long, env = "SIGNET_USERNAME_REST", global = true, value_name = "DURATION", default_value = "30days", value_parser = duration::<0, 315_576_000>)]
    pub username_rest: Duration,
}
