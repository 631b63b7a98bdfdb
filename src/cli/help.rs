//! Owns which settings the help of a command shows: those that it reads, and not all that the service has.

use clap::{Arg, Command};

use super::remote::HEADING;

/// What is said below the settings of a command.
const WHERE_ALL_ARE: &str = "It takes every setting of the service and reads those above: give it the environment of the service. `signet --help` has all.";

/// What a command reads: settings by their names, or the beginning of their names, and groups of them by their headings.
type Read = &'static [&'static str];

/// What whoever works on the database reads.
const ON_THE_DATABASE: Read = &["Storage", "Logs", "audit_log", "audit_database"];

/// What a command reads besides, or in place of that.
const READ: [(&[&str], Read, Read); 17] = [
    (&["login"], &["Logs"], &[]),
    (&["logout"], &["Logs"], &[]),
    (&["descriptor"], &["Logs"], &[]),
    (&["healthcheck"], &["Listening", "tls_cert", "tls_key", "Logs"], &[]),
    (&["migrate"], &["Storage", "Logs"], &[]),
    (&["apply"], ON_THE_DATABASE, &["audience"]),
    (&["export"], ON_THE_DATABASE, &["audience"]),
    (&["keys"], ON_THE_DATABASE, &["Tokens"]),
    (&["users", "create"], ON_THE_DATABASE, &["password_min_length", "argon2_"]),
    (&["users", "set-password"], ON_THE_DATABASE, &["password_min_length", "argon2_"]),
    (&["users", "reset-password"], ON_THE_DATABASE, &["argon2_"]),
    (&["users", "import"], ON_THE_DATABASE, &["reserved_usernames", "argon2_"]),
    (&["users", "delete"], ON_THE_DATABASE, &["username_rest"]),
    (&["users", "update"], ON_THE_DATABASE, &["username_rest"]),
    (&["users", "show"], ON_THE_DATABASE, &["account_failure"]),
    (&["users", "sessions"], ON_THE_DATABASE, &["session_"]),
    (&["users", "clear-throttle"], ON_THE_DATABASE, &["account_failure"]),
];

/// `command`, in whose commands' help those settings stand that they read.
pub(super) fn of_commands(mut command: Command) -> Command {
    // The settings are given to every command here: before that there is nothing to hide.
    command.build();
    command.mut_subcommands(|inner| match inner.get_name() {
        "serve" | "help" => inner,
        _ => shortened(inner, &[]),
    })
}

/// `command`, which is one of those of the command `path`.
fn shortened(command: Command, path: &[String]) -> Command {
    let path = [path, &[command.get_name().to_owned()]].concat();
    let row =
        READ.iter().find(|(of, ..)| path.iter().map(String::as_str).take(of.len()).eq(of.iter().copied()));
    let (usual, besides) = row.map_or((ON_THE_DATABASE, &[][..]), |(_, usual, besides)| (*usual, *besides));
    let is_read = |arg: &Arg| usual.iter().chain(besides).any(|of| is_of(arg, of));
    let command = command
        .mut_args(|arg| if is_setting(&arg) && !is_read(&arg) { arg.hide(true) } else { arg })
        .mut_subcommands(|inner| shortened(inner, &path));
    // Who logs in has no environment of a service.
    if matches!(&*path[0], "login" | "logout") { command } else { command.after_help(WHERE_ALL_ARE) }
}

/// Whether `arg` is one of the service's settings, and not the command's own.
fn is_setting(arg: &Arg) -> bool {
    arg.is_global_set() && arg.get_env().is_some() && !is_of(arg, HEADING)
}

/// Whether `arg` stands under the heading `of`, or its name begins so.
fn is_of(arg: &Arg, of: &str) -> bool {
    arg.get_help_heading() == Some(of) || arg.get_id().as_str().starts_with(of)
}
