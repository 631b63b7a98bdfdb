//! Owns what the help of each command shows: its own options whole, of the settings those that it reads, in a clause each; and all of them
//! where the service is asked for its help.

use clap::{Arg, ArgAction, Command, builder::StyledStr};

use super::remote::HEADING;

/// What is said below the settings of a command.
const WHERE_ALL_ARE: &str = "Each setting is a variable, too: SIGNET_DATA_DIR for --data-dir. The command takes all that the service has, and \
                             those above matter most: give it the service's environment. `signet serve --help` has all.";

/// What is said below the commands.
const WHERE_THE_REST_IS: &str = "`signet COMMAND --help` (or `signet help COMMAND`) shows what a command does and takes. Every setting is a flag or \
                                 an environment variable, SIGNET_GRPC_ADDR for --grpc-addr, and `signet serve --help` shows all of them.";

/// How many options of its own a command may have that are all told whole.
const MOST_WHOLE: usize = 12;

/// What of that, and of what concerns another machine, a command shows beside more options of its own.
const SHARED_BY_MANY: Read = &["data_dir", "database_url", "server"];

/// The heading of what commands share.
const SHARED: &str = "Settings";

/// The setting that every command shows.
const LOGS: Read = &["log_level"];

/// What a command reads: settings by their names, or the beginning of their names.
type Read = &'static [&'static str];

/// What whoever works on the database reads.
const ON_THE_DATABASE: Read = &["data_dir", "database_url", "master_key", "audit_log", "log_level"];

/// What a command reads besides, or in place of that.
const READ: [(&[&str], Read, Read); 22] = [
    (&["login"], LOGS, &[]),
    (&["logout"], LOGS, &[]),
    (
        &["dev"],
        LOGS,
        &[
            "grpc_addr",
            "http_addr",
            "admin_addr",
            "operations_addr",
            "ext_authz",
            "issuer",
            "signing_alg",
            "audience",
        ],
    ),
    (&["descriptor"], &[], &[]),
    (&["completions"], &[], &[]),
    (&["man"], &[], &[]),
    (&["healthcheck"], LOGS, &["operations_addr", "http_addr", "tls_cert", "tls_key"]),
    (&["top"], LOGS, &["operations_addr", "tls_cert", "tls_key"]),
    (
        &["doctor"],
        &["data_dir", "database_url", "master_key", "log_level"],
        &[
            "issuer",
            "grpc_addr",
            "http_addr",
            "operations_addr",
            "tls_cert",
            "tls_key",
            "key_publish_ahead",
            "clock_leeway",
        ],
    ),
    (&["migrate"], &["data_dir", "database_url", "master_key", "log_level"], &["database_wait"]),
    (&["apply"], ON_THE_DATABASE, &["audience"]),
    (&["export"], ON_THE_DATABASE, &["audience"]),
    (&["keys"], ON_THE_DATABASE, &["signing_alg", "key_"]),
    (&["users", "create"], ON_THE_DATABASE, &["password_min_length", "argon2_"]),
    (&["users", "set-password"], ON_THE_DATABASE, &["password_min_length", "argon2_"]),
    (&["users", "reset-password"], ON_THE_DATABASE, &["argon2_"]),
    (&["users", "import"], ON_THE_DATABASE, &["reserved_usernames", "argon2_", "audience"]),
    (&["users", "delete"], ON_THE_DATABASE, &["username_rest"]),
    (&["users", "update"], ON_THE_DATABASE, &["username_rest"]),
    (&["users", "show"], ON_THE_DATABASE, &["account_failure"]),
    (&["users", "sessions"], ON_THE_DATABASE, &["session_"]),
    (&["users", "clear-throttle"], ON_THE_DATABASE, &["account_failure"]),
];

/// `command`, whose help is to be shown: that of the command at `path` tells all of what it does, its neighbours a sentence.
pub(super) fn of_commands(command: Command, path: &[String]) -> Command {
    let help =
        Arg::new("help").short('h').long("help").help("Print help").action(ArgAction::HelpShort).global(true);
    let help = help.help_heading(None);
    let mut command = command.disable_help_flag(true).disable_help_subcommand(true).arg(help);
    // The settings are given to every command here: before that there is nothing to hide.
    command.build();
    let command = command.mut_subcommands(|inner| match inner.get_name() {
        "serve" => {
            inner.mut_args(|arg| if arg.get_id() == "help" { arg.action(ArgAction::HelpLong) } else { arg })
        }
        _ => shortened(inner, &[], path),
    });
    command.mut_args(|arg| if is_setting(&arg) { arg.hide(true) } else { arg }).after_help(WHERE_THE_REST_IS)
}

/// `command`, whose commands have the settings that they read as arguments of their own, and no others: for who writes pages of them, or
/// the completions of a shell.
pub(super) fn for_pages(command: Command) -> Command {
    let settings: Vec<_> = command.get_arguments().filter(|arg| is_setting(arg)).cloned().collect();
    let own = |arg: Arg| if is_setting(&arg) { arg.global(false) } else { arg };
    let settings: Vec<_> = settings.into_iter().map(own).collect();
    command.mut_args(own).mut_subcommands(|inner| with_settings(inner, &[], &settings))
}

/// `command`, one of those of the command `above`, with those of `settings` that it reads.
fn with_settings(command: Command, above: &[String], settings: &[Arg]) -> Command {
    let path = [above, &[command.get_name().to_owned()]].concat();
    let is_there = |of: &Arg| command.get_arguments().any(|arg| arg.get_id() == of.get_id());
    let is_its = |arg: &&Arg| path == ["serve"] || (!command.has_subcommands() && is_read(arg, &path));
    let read: Vec<_> = settings.iter().filter(is_its).filter(|arg| !is_there(arg)).cloned().collect();
    command.args(read).mut_subcommands(|inner| with_settings(inner, &path, settings))
}

/// `command`, which is one of those of the command `above`, as its help is shown where the one at `asked` is asked for.
fn shortened(command: Command, above: &[String], asked: &[String]) -> Command {
    let path = [above, &[command.get_name().to_owned()]].concat();
    let has_many = command.get_arguments().filter(|arg| !arg.is_global_set()).count() > MOST_WHOLE;
    let is_left_out = |arg: &Arg| has_many && !begins(arg, SHARED_BY_MANY);
    let arg = |arg: Arg| {
        if is_setting(&arg) {
            let is_shown = is_read(&arg, &path) && !is_left_out(&arg);
            return if is_shown { brief(arg).help_heading(SHARED) } else { arg.hide(true) };
        }
        // Of a machine that is not this one each command of a group is told the same.
        let is_shared = is_of(&arg, HEADING) && !matches!(&*path[0], "login" | "logout");
        match (is_shared, has_many) {
            (true, _) if is_left_out(&arg) => arg.hide(true),
            (true, _) => brief(arg),
            (false, true) => in_a_sentence(arg),
            (false, false) => arg,
        }
    };
    let whole = command.get_long_about().or(command.get_about()).cloned();
    let about = if path == asked { whole } else { command.get_about().map(sentence) };
    let command = command.mut_args(arg).mut_subcommands(|inner| shortened(inner, &path, asked));
    let command = command.about(about.unwrap_or_default());
    let reads_some =
        command.get_arguments().any(|arg| arg.get_help_heading() == Some(SHARED) && !arg.is_hide_set());
    // Who logs in has no environment of a service.
    let is_of_service = reads_some && !matches!(&*path[0], "login" | "logout");
    if is_of_service { command.after_help(WHERE_ALL_ARE) } else { command }
}

/// `arg` with what it is, and no more: the name of its variable follows from its own, and the page of `serve` has the rest.
fn brief(arg: Arg) -> Arg {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let end = [". ", ": ", " ("].iter().filter_map(|end| help.find(end)).min();
    let clause = help[..end.unwrap_or(help.len())].to_owned();
    arg.help(clause).hide_env(true).hide_default_value(true).hide_possible_values(true)
}

/// `arg` in a sentence, which says what may stand there.
fn in_a_sentence(arg: Arg) -> Arg {
    let help = arg.get_help().map(sentence);
    arg.help(help.unwrap_or_default()).hide_possible_values(true)
}

/// The first sentence of `text`.
fn sentence(text: &StyledStr) -> StyledStr {
    let text = text.to_string();
    text.split_once(". ").map_or(&*text, |(first, _)| first).to_owned().into()
}

/// Whether the command at `path` reads the setting `arg`.
fn is_read(arg: &Arg, path: &[String]) -> bool {
    let row =
        READ.iter().find(|(of, ..)| path.iter().map(String::as_str).take(of.len()).eq(of.iter().copied()));
    let (usual, besides) = row.map_or((ON_THE_DATABASE, &[][..]), |(_, usual, besides)| (*usual, *besides));
    begins(arg, usual) || begins(arg, besides)
}

/// Whether the name of `arg` begins as one of `names` does.
fn begins(arg: &Arg, names: Read) -> bool {
    names.iter().any(|name| arg.get_id().as_str().starts_with(name))
}

/// Whether `arg` is one of the service's settings, which stand in groups, and not the command's own.
fn is_setting(arg: &Arg) -> bool {
    arg.is_global_set() && arg.get_help_heading().is_some_and(|heading| heading != HEADING)
}

/// Whether `arg` stands under the heading `of`.
fn is_of(arg: &Arg, of: &str) -> bool {
    arg.get_help_heading() == Some(of)
}
