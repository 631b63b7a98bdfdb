//! Owns the settings of the log.

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::observe::LoggedRequests;

/// What is logged, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub struct LogConfig {
    /// How log lines look on standard error.
    #[arg(long, env = "SIGNET_LOG_FORMAT", global = true, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What is logged: off, error, warn, info, debug, trace, or directives such as `warn,signet=debug`.
    #[arg(
        long,
        env = "SIGNET_LOG_LEVEL",
        global = true,
        value_name = "LEVEL",
        default_value = "warn,signet=info",
        value_parser = log_level
    )]
    pub log_level: Targets,

    /// Which requests have a line of their own on standard error, whatever --log-level is: off, errors (those that are refused or fail), or
    /// all. It tells method, code, reason, time, bytes, request id, peer and client; at most 1,000 requests a second have one.
    #[arg(long, env = "SIGNET_REQUEST_LOG", global = true, value_name = "WHICH", value_enum, default_value_t = RequestLogged::Off)]
    pub request_log: RequestLogged,
}

/// Which requests have a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RequestLogged {
    /// None.
    Off,
    /// Those that are refused or fail.
    Errors,
    /// All.
    All,
}

impl RequestLogged {
    /// The requests that have one; none if none has.
    #[must_use]
    pub const fn requests(self) -> Option<LoggedRequests> {
        match self {
            Self::Off => None,
            Self::Errors => Some(LoggedRequests::Errors),
            Self::All => Some(LoggedRequests::All),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// What to log. A word that is no level is refused: it would be taken for a target, and nothing else be logged.
fn log_level(text: &str) -> Result<Targets, String> {
    let level = |directive: &str| directive.rsplit('=').next().unwrap_or_default().parse::<LevelFilter>();
    text.split(',').all(|directive| level(directive).is_ok()).then(|| text.parse().ok()).flatten().ok_or_else(
        || {
            "must be off, error, warn, info, debug, trace, or directives such as `warn,signet=debug`"
                .to_owned()
        },
    )
}
