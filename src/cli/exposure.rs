//! Owns what other users of the machine can see of this process: neither its memory nor a core file, and a warning of secrets among
//! its arguments.

use clap::{Arg, ArgMatches, Command, parser::ValueSource};
use url::Url;

/// Keeps the memory of this process, in which keys and passwords pass, from debuggers of the same user and from core files.
///
/// # Errors
/// What the operating system refused, in words.
pub(super) fn seal_memory() -> Result<(), String> {
    let core = rlimit::setrlimit(rlimit::Resource::CORE, 0, 0);
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .map_err(|error| format!("others can read the memory of this process: {error}"))?;
    }
    core.map_err(|error| format!("a crash may leave a core file, with secrets in it: {error}"))
}

/// A secret that was given as an argument, and how else it can be given.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExposedSecret {
    pub(super) argument: String,
    pub(super) environment_variable: String,
    /// The option that takes a file instead.
    pub(super) file_option: Option<String>,
}

/// The secrets among the arguments that `matches` were read from, by the rules of `command`: any user of the machine can list them.
///
/// Each is named once: clap repeats an argument that is `global` at the level of each subcommand.
pub(super) fn exposed_secrets(command: &Command, matches: &ArgMatches) -> Vec<ExposedSecret> {
    let mut exposed: Vec<ExposedSecret> = Vec::new();
    let mut level = Some((command, matches));
    while let Some((command, matches)) = level {
        for argument in command.get_arguments().filter(|argument| is_exposed(argument, matches)) {
            let found = describe(argument, command).filter(|found| !exposed.contains(found));
            exposed.extend(found);
        }
        level =
            matches.subcommand().and_then(|(name, matches)| Some((command.find_subcommand(name)?, matches)));
    }
    exposed
}

/// Warns of secrets among the arguments.
pub(super) fn warn_of(exposed: &[ExposedSecret]) {
    for ExposedSecret { argument, environment_variable, file_option } in exposed {
        let file = file_option.as_ref().map_or_else(String::new, |option| format!(", or {option}"));
        tracing::warn!(
            "{argument} is on the command line, where every user of this machine can see it: set {environment_variable} instead{file}"
        );
    }
}

/// Whether `argument` is a secret, as those are whose environment variable `--help` does not show, and was given as an argument.
fn is_exposed(argument: &Arg, matches: &ArgMatches) -> bool {
    let id = argument.get_id().as_str();
    argument.is_hide_env_values_set()
        && matches.ids().any(|known| known.as_str() == id)
        && matches.value_source(id) == Some(ValueSource::CommandLine)
        && matches.get_raw(id).into_iter().flatten().any(|value| value.to_str().is_none_or(has_secret))
}

/// Whether `value` is one to keep secret: any but a URL without a password.
fn has_secret(value: &str) -> bool {
    let without_password = |url: &Url| {
        url.password().is_none() && !url.query_pairs().any(|(name, _)| name.eq_ignore_ascii_case("password"))
    };
    !Url::parse(value).is_ok_and(|url| without_password(&url))
}

fn describe(argument: &Arg, command: &Command) -> Option<ExposedSecret> {
    let long = argument.get_long()?;
    let file = format!("{long}-file");
    let has_file = command.get_arguments().any(|other| other.get_long() == Some(&file));
    Some(ExposedSecret {
        argument: format!("--{long}"),
        environment_variable: argument.get_env()?.to_str()?.to_owned(),
        file_option: has_file.then(|| format!("--{file}")),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn exposed(arguments: &[&str]) -> Vec<(String, String, Option<String>)> {
        let command = Cli::command();
        let matches = command.clone().try_get_matches_from([&["signet"], arguments].concat()).unwrap();
        exposed_secrets(&command, &matches)
            .into_iter()
            .map(|secret| (secret.argument, secret.environment_variable, secret.file_option))
            .collect()
    }

    #[test]
    fn secrets_among_the_arguments_are_found_wherever_they_stand() {
        let key = "00".repeat(32);
        let master_key =
            ("--master-key".to_owned(), "SIGNET_MASTER_KEY".to_owned(), Some("--master-key-file".to_owned()));
        assert_eq!(exposed(&["--master-key", &key]), std::slice::from_ref(&master_key));
        for several in [["keys", "list", "--master-key", &key], ["--master-key", &key, "keys", "list"]] {
            assert_eq!(exposed(&several), std::slice::from_ref(&master_key), "once");
        }
        for url in ["postgres://u:hunter2@db/signet", "postgres://u@db/signet?password=hunter2"] {
            assert_eq!(exposed(&["--database-url", url])[0].0, "--database-url", "{url}");
        }
        let found = exposed(&["users", "import", "--from=mysql+pymysql://u:hunter2@db/app"]);
        assert_eq!(found[0].2.as_deref(), Some("--from-file"), "{found:?}");
        for nothing in
            [&["--database-url=sqlite:./a.db"][..], &["--database-url=postgres://u@db/signet"], &[]]
        {
            assert_eq!(exposed(nothing), [], "{nothing:?}");
        }
    }
}
