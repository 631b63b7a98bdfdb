//! Owns the settings of who may have an account, and under what name.

use clap::Args;

use super::Switch;

/// Who may have an account, and under what name.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Accounts")]
pub struct AccountConfig {
    /// Whether anybody may sign up. Off: `SignUp` is refused over every protocol (`SIGN_UP_OFF`), and `signet users create` and `import` make
    /// the accounts.
    #[arg(long, env = "SIGNET_SIGN_UP", global = true, value_name = "WHETHER", value_enum, default_value_t = Switch::On)]
    pub sign_up: Switch,
}
