//! Owns the settings of the log.

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::{LevelFilter, Targets};

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
