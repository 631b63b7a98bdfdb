//! Owns what `--quiet` leaves out: what a command says of what it has done, the log but for its errors, and progress.

use clap::{ArgMatches, parser::ValueSource};
use tracing_subscriber::filter::{LevelFilter, Targets};

/// Commands whose answer says no more than that they have done what was asked. Of `doctor` and `lint` what is wrong is told nevertheless.
/// Any other's is what was asked for, or cannot be asked for again: a secret.
const DOERS: [&str; 36] = [
    "serve",
    "login",
    "logout",
    "up",
    "import",
    "update",
    "disable",
    "enable",
    "end-sessions",
    "clear-throttle",
    "set-password",
    "set-keys",
    "set-certificate",
    "set-may-claim-address",
    "delete",
    "bind",
    "unbind",
    "add",
    "remove",
    "add-owner",
    "remove-owner",
    "apply",
    "rotate",
    "revoke",
    "reseal",
    "reset",
    "backup",
    "restore",
    "copy",
    "doctor",
    "lint",
    "push",
    "activate",
    "shadow",
    "retire",
    "man",
];

/// Nouns whose `create` gives no secret: that of a user may be a one-time password, and that of a client is one.
const CREATED_WITHOUT_SECRET: [&str; 3] = ["roles", "groups", "attributes"];

/// Whether the answer of the command that `matches` ask for is of no use to who wants to hear of what goes wrong alone.
pub(super) fn leaves_out(matches: &ArgMatches) -> bool {
    let Some((noun, inner)) = matches.subcommand() else { return true };
    match inner.subcommand_name() {
        Some("create") => CREATED_WITHOUT_SECRET.contains(&noun),
        // Otherwise it is asked what it would do.
        Some("reset") => inner.subcommand_matches("reset").is_some_and(|reset| reset.get_flag("discard")),
        verb => DOERS.contains(&verb.unwrap_or(noun)),
    }
}

/// What is logged then: errors, unless `matches` say otherwise.
pub(super) fn log_level(level: Targets, matches: &ArgMatches) -> Targets {
    match matches.value_source("log_level") {
        Some(ValueSource::DefaultValue) | None => Targets::new().with_default(LevelFilter::ERROR),
        Some(_) => level,
    }
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;
    use crate::cli::program;

    /// Commands whose answer is what was asked for, or a secret.
    const ANSWERING: [&str; 18] = [
        "create",
        "list",
        "show",
        "diff",
        "explain",
        "search",
        "sessions",
        "members",
        "export",
        "status",
        "jobs",
        "reset-password",
        "rotate-secret",
        "dev",
        "descriptor",
        "healthcheck",
        "top",
        "completions",
    ];

    #[test]
    fn each_command_either_answers_or_does_something() {
        let program = program();
        let mut left: Vec<&Command> = program.get_subcommands().collect();
        while let Some(command) = left.pop() {
            let name = command.get_name();
            if command.has_subcommands() {
                left.extend(command.get_subcommands());
            } else {
                assert!(
                    DOERS.contains(&name) != ANSWERING.contains(&name),
                    "{name}: what is it with --quiet?"
                );
            }
        }
    }
}
