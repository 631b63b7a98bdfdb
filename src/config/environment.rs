//! Owns the setting of what becomes of environment variables that mean nothing.

use clap::Args;

use super::Switch;

/// What becomes of environment variables that mean nothing.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Environment")]
pub struct EnvironmentConfig {
    /// Whether a variable `SIGNET_*` that this version does not know is refused, rather than warned of. One whose name is nearly a
    /// setting's is refused in any case, and what Kubernetes sets for Services is left alone. With it an older version does not start with
    /// the settings of a newer one.
    #[arg(long, env = "SIGNET_STRICT_SETTINGS", global = true, value_name = "WHETHER", value_enum, default_value_t = Switch::Off)]
    pub strict_settings: Switch,
}
