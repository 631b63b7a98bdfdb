//! Owns saying in one sentence what is wrong with a command line or the environment.

use std::error::Error as _;

use clap::{
    Args,
    error::{ContextKind, ErrorKind},
};

use crate::config::{Config, environment_variable};

/// The one sentence that says what `error` is about, and names the setting.
pub(super) fn sentence(error: &clap::Error) -> String {
    let context = |kind| error.get(kind).map(ToString::to_string).filter(|text| !text.is_empty());
    match (error.kind(), context(ContextKind::InvalidArg)) {
        (ErrorKind::ValueValidation | ErrorKind::InvalidValue, Some(arg)) => {
            let name = name(&arg);
            let value = context(ContextKind::InvalidValue).unwrap_or_default();
            let valid = context(ContextKind::ValidValue);
            match (error.source(), valid) {
                (Some(problem), _) => format!("{name}: `{value}` cannot be used: {problem}"),
                (None, Some(valid)) => format!("{name}: `{value}` cannot be used: must be one of {valid}"),
                (None, None) => format!("{name}: needs a value"),
            }
        }
        (ErrorKind::MissingRequiredArgument, Some(missing)) => {
            format!("{missing} must be given; see `{}`", help(error))
        }
        (ErrorKind::MissingSubcommand, _) => {
            let command = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            let valid = context(ContextKind::ValidSubcommand).unwrap_or_default();
            format!("`{command}` needs a command of its own: {valid}")
        }
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            format!("{}; see `{}`", first.trim_start_matches("error: "), help(error))
        }
    }
}

/// How to ask for the help of the command that `error` is about: `signet users show --help`.
fn help(error: &clap::Error) -> String {
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    let words = usage.trim_start_matches("Usage:").split_whitespace();
    let is_command = |word: &&str| word.starts_with(|first: char| first.is_ascii_lowercase());
    let mut words: Vec<_> = words.take_while(is_command).collect();
    if words.is_empty() {
        words.push("signet");
    }
    format!("{} --help", words.join(" "))
}

/// The argument that is shown as `--grpc-addr <IP:PORT>`: `--grpc-addr (SIGNET_GRPC_ADDR)` if it is a setting, and without a
/// variable if it is not.
fn name(shown: &str) -> String {
    let Some(long) = shown.strip_prefix("--") else { return shown.to_owned() };
    let long = long.split([' ', '=', '[']).next().unwrap_or(long);
    let settings = Config::augment_args(clap::Command::new("signet"));
    if settings.get_arguments().any(|arg| arg.get_long() == Some(long)) {
        format!("--{long} ({})", environment_variable(long))
    } else {
        format!("--{long}")
    }
}
