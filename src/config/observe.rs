//! Owns the settings of what the service tells its operator beside the log: metrics and the audit log.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Switch, duration};
use crate::audit::{AuditDatabase, AuditLog};

/// What the service tells beside the log.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Metrics and audit")]
pub struct ObserveConfig {
    /// Whether Prometheus can read `/metrics` at --operations-addr. It shows counts and times, and no name, id or address.
    #[arg(long, env = "SIGNET_METRICS", global = true, value_name = "WHETHER", value_enum, default_value_t = Switch::On)]
    pub metrics: Switch,

    /// Where the audit log goes, a JSON object a line for each event that matters to security: off, stderr, or the path of a file to
    /// append to, which must contain a `/` (./audit.log).
    #[arg(
        long,
        env = "SIGNET_AUDIT_LOG",
        global = true,
        value_name = "off|stderr|FILE",
        default_value = "stderr",
        value_parser = |text: &str| text.parse::<AuditLog>()
    )]
    pub audit_log: AuditLog,

    /// Which events the database keeps as well, for the admin API and `signet audit list`: all, or changes (no logins, and nothing of what
    /// strangers try; what is changed, and whom the admin API refuses, it always keeps).
    #[arg(long, env = "SIGNET_AUDIT_DATABASE", global = true, value_name = "WHICH", value_enum, default_value_t = KeptEvents::All)]
    pub audit_database: KeptEvents,

    /// How long the database keeps events (1h to 10 years).
    #[arg(long, env = "SIGNET_AUDIT_RETENTION", global = true, value_name = "DURATION", default_value = "90days", value_parser = duration::<3_600, 315_576_000>)]
    pub audit_retention: Duration,
}

/// Which events the database keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeptEvents {
    /// All.
    All,
    /// What is changed, and whom the admin API refuses.
    Changes,
}

impl From<KeptEvents> for AuditDatabase {
    fn from(kept: KeptEvents) -> Self {
        match kept {
            KeptEvents::All => Self::All,
            KeptEvents::Changes => Self::Changes,
        }
    }
}
