//! Owns saying in one sentence what is wrong with a command line or the environment.

use std::{
    error::Error as StdError,
    num::{IntErrorKind, ParseIntError},
};

use clap::{
    Arg, Args,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{
    Failure,
    failure::{NamedFailure, Violation},
    remote::Place,
};
use crate::{
    config::Config,
    errors::{CommandReason, Row, field_reason},
    model::{Error, FieldReason, RuleViolation},
};

/// How many values are named that an argument can have.
const MOST_NAMED: usize = 12;

/// What is wrong with a command line, as `error` says: the sentence, and for programs which argument it is about.
pub(super) fn failure(error: &clap::Error) -> Failure {
    let about = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
    let rule = error.source().and_then(|problem| problem.downcast_ref::<RuleViolation>());
    let sentence = sentence(error);
    let (reason, description) = match (error.kind(), rule) {
        (_, Some(rule)) => (rule.reason, rule.description.clone()),
        (ErrorKind::MissingRequiredArgument, None) => (FieldReason::Required, "must be given".to_owned()),
        (ErrorKind::ValueValidation | ErrorKind::InvalidValue, None) => {
            let description = sentence.split_once(": ").map_or(sentence.as_str(), |(_, rest)| rest);
            (FieldReason::Malformed, description.to_owned())
        }
        _ => return Failure::Usage(sentence),
    };
    let violation = |field| {
        let (reason, description) = (field_reason(reason).to_owned(), description.clone());
        Violation { field, reason, description }
    };
    let violations = about.split(", ").filter_map(Violation::argument).map(violation).collect();
    // A rule of the service is told as the service tells it.
    let invalid_fields = || Row::of(&Error::InvalidFields(Vec::new())).reason();
    let reason = rule.and_then(|_| invalid_fields()).unwrap_or(CommandReason::InvalidUsage.name());
    let (reason, is_usage) = (Some(reason.to_owned()), true);
    Failure::Named(Box::new(NamedFailure {
        error: sentence,
        reason,
        violations,
        is_usage,
        ..NamedFailure::default()
    }))
}

/// The one sentence that says what `error` is about, and names the setting.
fn sentence(error: &clap::Error) -> String {
    let context = |kind| error.get(kind).map(ToString::to_string).filter(|text| !text.is_empty());
    match (error.kind(), context(ContextKind::InvalidArg)) {
        (ErrorKind::ValueValidation | ErrorKind::InvalidValue, Some(arg)) => {
            let name = name(&arg);
            let value = context(ContextKind::InvalidValue).unwrap_or_default();
            let valid = context(ContextKind::ValidValue);
            match (error.source(), valid) {
                (Some(problem), _) => format!("{name}: `{value}` cannot be used: {}", rule(problem)),
                (None, Some(_)) if has_many_values(error) => match context(ContextKind::SuggestedValue) {
                    Some(nearest) => format!("{name}: `{value}` is not known; the nearest is `{nearest}`"),
                    None => format!("{name}: `{value}` is not known"),
                },
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

/// What `problem`, which a parser found, wants: those of libraries tell of letters and digits.
fn rule(problem: &(dyn StdError + 'static)) -> String {
    match problem.downcast_ref::<ParseIntError>().map(ParseIntError::kind) {
        Some(IntErrorKind::PosOverflow) => "is too large".to_owned(),
        Some(_) => "must be a whole number".to_owned(),
        None if problem.is::<uuid::Error>() => "must be an id, which is a UUID".to_owned(),
        None => problem.to_string(),
    }
}

/// Whether the argument can have more values than a sentence has room for.
fn has_many_values(error: &clap::Error) -> bool {
    matches!(error.get(ContextKind::ValidValue), Some(ContextValue::Strings(all)) if all.len() > MOST_NAMED)
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

/// The argument that is shown as `--grpc-addr <IP:PORT>`: `--grpc-addr (SIGNET_GRPC_ADDR)` if a variable can say it, too.
fn name(shown: &str) -> String {
    let Some(long) = shown.strip_prefix("--") else { return shown.to_owned() };
    let long = long.split([' ', '=', '[']).next().unwrap_or(long);
    let settings = Place::augment_args(Config::augment_args(clap::Command::new("signet")));
    let variable = settings.get_arguments().find(|arg| arg.get_long() == Some(long)).and_then(Arg::get_env);
    variable.map_or_else(|| format!("--{long}"), |variable| format!("--{long} ({})", variable.display()))
}
