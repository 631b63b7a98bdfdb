//! Owns saying in one sentence what is wrong with a command line or the environment.

use std::{
    error::Error as StdError,
    ffi::OsString,
    num::{IntErrorKind, ParseIntError},
};

use clap::{
    Arg, Args, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{
    Failure, arguments,
    failure::{NamedFailure, Violation},
    remote::WorksAt,
};
use crate::{
    config::Config,
    errors::{CommandReason, Row, field_reason},
    model::{Error, FieldReason, RuleViolation},
};

/// How many values are named that an argument can have.
const MOST_NAMED: usize = 12;

/// What is wrong with the command line `words` of `command`, as `error` says: the sentence, and for programs which argument it is about.
pub(super) fn failure(error: &clap::Error, command: &Command, words: &[OsString]) -> Failure {
    let about = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
    let rule = error.source().and_then(|problem| problem.downcast_ref::<RuleViolation>());
    let sentence = sentence(error, command, words);
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
fn sentence(error: &clap::Error, program: &Command, words: &[OsString]) -> String {
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
                (None, Some(valid)) => {
                    // clap names no aliases.
                    let valid = if valid == "on, off" { "on, off, true, false" } else { &valid };
                    format!("{name}: `{value}` cannot be used: must be one of {valid}")
                }
                (None, None) => format!("{name}: needs a value"),
            }
        }
        (ErrorKind::MissingRequiredArgument, Some(missing)) => {
            format!("{} must be given; see `{}`", ways(&missing, find(program, &help(error))), help(error))
        }
        (ErrorKind::MissingSubcommand, _) => {
            let shown = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            let own: Vec<_> = find(program, &shown).get_subcommands().map(Command::get_name).collect();
            format!("`{shown}` needs a command of its own: {}", own.join(", "))
        }
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let word = context(ContextKind::InvalidSubcommand);
            let switch = word.and_then(|word| arguments::after_switch(program, words, &word));
            let hint = match (suggestion(error), switch) {
                (Some(nearest), _) => format!("; the nearest is {nearest}"),
                (None, Some(switch)) => format!(", and no value of {switch}, which is on or off"),
                (None, None) => String::new(),
            };
            format!("{first}{hint}; see `{}`", help(error))
        }
    }
}

/// What clap suggests in the place of what `error` is about.
fn suggestion(error: &clap::Error) -> Option<String> {
    let kinds = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    let names = kinds.iter().find_map(|kind| match error.get(*kind)? {
        ContextValue::String(name) => Some(vec![name.clone()]),
        ContextValue::Strings(names) => Some(names.clone()),
        _ => None,
    })?;
    // The last is the one that is nearest by clap's measure.
    let name = names.last()?;
    // An option comes with its value's name: `--grpc-addr <IP:PORT>`.
    Some(format!("`{}`", name.split(' ').next().unwrap_or(name)))
}

/// The command of `program` that is shown as `signet users list`, with options after it or not.
fn find<'a>(program: &'a Command, shown: &str) -> &'a Command {
    shown.split(' ').skip(1).fold(program, |at, word| at.find_subcommand(word).unwrap_or(at))
}

/// All ways to say what is `missing`, an argument of `command` as it is shown, or several of them.
fn ways(missing: &str, command: &Command) -> String {
    let arguments = || command.get_arguments().filter(|arg| !arg.is_hide_set());
    let of = |shown: &str| {
        // It stands in other brackets where it is not always needed.
        let name = |shown: &str| shown.trim_matches(['<', '>', '[', ']']).to_owned();
        let Some(arg) = arguments().find(|arg| name(&arg.to_string()) == name(shown)) else {
            return shown.to_owned();
        };
        let variable = |arg: &Arg| arg.get_env().map(|name| name.display().to_string());
        let file = arg.get_long().map(|long| format!("{long}-file"));
        let file = file.and_then(|file| arguments().find(|other| other.get_long() == Some(&file)));
        // What it is not needed beside says the same otherwise.
        let instead = if arg.is_required_set() { Vec::new() } else { command.get_arg_conflicts_with(arg) };
        let others = instead.into_iter().chain(file);
        let others = others.flat_map(|other| [Some(other.to_string()), variable(other)]);
        let all: Vec<_> =
            [Some(shown.to_owned()), variable(arg)].into_iter().chain(others).flatten().collect();
        match all.as_slice() {
            [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => shown.to_owned(),
        }
    };
    missing.split(", ").map(of).collect::<Vec<_>>().join("; ")
}

/// What `problem`, which a parser found, wants: those of libraries tell of letters and digits.
fn rule(problem: &(dyn StdError + 'static)) -> String {
    match problem.downcast_ref::<ParseIntError>().map(ParseIntError::kind) {
        Some(IntErrorKind::PosOverflow) => "is too large".to_owned(),
        Some(_) => "must be a whole number".to_owned(),
        None if problem.is::<uuid::Error>() => "must be an id, which is a UUID".to_owned(),
        None => range(&problem.to_string()).unwrap_or_else(|| problem.to_string()),
    }
}

/// What the parser of numbers says as `4 is not in 8..=64`, in words; none if it is something else.
fn range(said: &str) -> Option<String> {
    let (_, range) = said.split_once(" is not in ")?;
    let (least, most) = range.split_once("..")?;
    Some(match most.strip_prefix('=') {
        Some(most) => format!("must be from {least} to {most}"),
        None if most.is_empty() => format!("must be at least {least}"),
        None => format!("must be at least {least}, and less than {most}"),
    })
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
    let settings = WorksAt::augment_args(Config::augment_args(clap::Command::new("signet")));
    let variable = settings.get_arguments().find(|arg| arg.get_long() == Some(long)).and_then(Arg::get_env);
    variable.map_or_else(|| format!("--{long}"), |variable| format!("--{long} ({})", variable.display()))
}
