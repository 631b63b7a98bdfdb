//! Owns the settings of what the service tells its operator beside the log: metrics and the audit log.

use clap::Args;

use super::Switch;
use crate::audit::AuditLog;

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
}
