//! Owns what the environment says by names that begin with `SIGNET_`: which of them say nothing, and which mean nothing.

use std::{collections::BTreeSet, ffi::OsString};

use clap::{Arg, Command, builder::Resettable};
use strsim::osa_distance;

use super::{Failure, output::legible};

/// What the names of settings begin with.
const PREFIX: &str = "SIGNET_";

/// What is read though no argument has it.
const READ_APART: [&str; 1] = ["SIGNET_CLIENT_SECRET"];

/// Settings that decide which database and which keys are used, by how their names begin: where one of them is empty, something went wrong
/// on its way here, and a service that starts without it starts empty, with new keys.
const NEVER_EMPTY: [&str; 3] = ["SIGNET_DATABASE_URL", "SIGNET_MASTER_KEY", "SIGNET_DATA_DIR"];

/// How many letters a name is away from a real one that is taken for a slip: real ones are further away from each other.
const NEAR: usize = 2;

/// The same where one of the two has fewer than [`LONG`] letters after the prefix: almost any short name is two away from another.
const NEAR_SHORT: usize = 1;

/// From how many letters on two slips leave a name recognisable.
const LONG: usize = 6;

/// Words that others write for those of the settings.
const SYNONYMS: [(&str, &str); 6] = [
    ("DB", "DATABASE"),
    ("DSN", "URL"),
    ("URI", "URL"),
    ("DIRECTORY", "DIR"),
    ("FOLDER", "DIR"),
    ("PATH", "FILE"),
];

/// Commands that no setting concerns: a shell that starts asks for completions.
const UNCONCERNED: [&str; 3] = ["completions", "descriptor", "man"];

/// The variables that begin with `SIGNET_`.
#[derive(Debug, Default)]
pub(super) struct Environment {
    set: Vec<String>,
    empty: Vec<String>,
}

impl Environment {
    /// Those among `variables`.
    pub(super) fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            if is_of_kubernetes(name, &value.to_string_lossy()) {
                continue;
            }
            let names = if value.is_empty() { &mut environment.empty } else { &mut environment.set };
            names.push(name.to_owned());
        }
        environment.set.sort_unstable();
        environment.empty.sort_unstable();
        environment
    }

    /// `command`, to which empty variables say nothing: `${VAR:-}` of a compose file is empty where nobody has set it.
    pub(super) fn without_empty(&self, command: Command) -> Command {
        let unset = |arg: Arg| {
            let is_empty = variable(&arg).is_some_and(|name| self.empty.contains(&name));
            if is_empty { arg.env(Resettable::Reset) } else { arg }
        };
        command.mut_args(unset).mut_subcommands(|inner| self.without_empty(inner))
    }

    /// What means nothing, if the command at `path` may do without it; `command` is the whole program, as it is declared.
    ///
    /// # Errors
    /// If a variable is empty that must not be, or is called nearly as a setting is.
    pub(super) fn unknown(&self, command: &Command, path: &[String]) -> Result<Vec<String>, Failure> {
        if path.first().is_some_and(|first| UNCONCERNED.contains(&first.as_str())) {
            return Ok(Vec::new());
        }
        if let Some(empty) =
            self.empty.iter().find(|name| NEVER_EMPTY.iter().any(|begin| name.starts_with(begin)))
        {
            let problem = "is set, and empty: set it to what it should be, or unset it to go without";
            return Err(Failure::of_variable(empty, problem));
        }
        let known = known(command);
        let unknown = self.set.iter().filter(|name| !known.contains(*name));
        let (mut far, mut near) = (Vec::new(), None);
        for name in unknown {
            match meant_by(name, &known) {
                Some(real) => near = near.or(Some((name, real))),
                None => far.push(legible(name).into_owned()),
            }
        }
        match near {
            Some((name, real)) => {
                Err(Failure::of_variable(name, &format!("is no setting; the nearest is {real}")))
            }
            None => Ok(far),
        }
    }
}

/// Refuses `unknown` variables, which mean nothing to this version.
pub(super) fn refuse(unknown: &[String]) -> Result<(), Failure> {
    match unknown {
        [] => Ok(()),
        [first, ..] => {
            Err(Failure::of_variable(first, "is no setting of this version, and --strict-settings is on"))
        }
    }
}

/// Tells the log of them: the settings of the next version must not keep this one from a roll-back.
pub(super) fn warn_of(unknown: &[String]) {
    if !unknown.is_empty() {
        let variables = unknown.join(", ");
        tracing::warn!(variables, "environment variables mean nothing to this version: they are ignored");
    }
}

/// The variable of `arg`.
fn variable(arg: &Arg) -> Option<String> {
    arg.get_env()?.to_str().map(str::to_owned)
}

/// All variables that `command`, or a command below it, reads.
fn known(command: &Command) -> BTreeSet<String> {
    let mut names: BTreeSet<_> = READ_APART.map(str::to_owned).into();
    let mut left = vec![command];
    while let Some(command) = left.pop() {
        names.extend(command.get_arguments().filter_map(variable));
        left.extend(command.get_subcommands());
    }
    names
}

/// The one of the `known` names that `name` is meant to be, most likely: a slip of the hand, or other words for the same.
fn meant_by<'a>(name: &str, known: &'a BTreeSet<String>) -> Option<&'a str> {
    let said = in_our_words(name);
    let distance = |real: &str| {
        let by_letters = osa_distance(&letters(&said), &letters(real));
        if sorted_words(&said) == sorted_words(real) { 0 } else { by_letters }
    };
    let length = |name: &str| letters(name).len().saturating_sub(letters(PREFIX).len());
    let near = |real: &str| if length(&said).min(length(real)) < LONG { NEAR_SHORT } else { NEAR };
    let slips = known.iter().map(|real| (distance(real), real));
    if let Some((_, real)) = slips.filter(|(distance, real)| *distance <= near(real)).min() {
        return Some(real);
    }
    // The beginning alone of those that matter most: SIGNET_DATABASE, SIGNET_MASTER.
    let begins = |real: &&&str| real.strip_prefix(&*said).is_some_and(|rest| rest.starts_with('_'));
    NEVER_EMPTY.iter().find(begins).and_then(|real| known.get(*real)).map(String::as_str)
}

/// `name` in upper case, with the words that settings have.
fn in_our_words(name: &str) -> String {
    name.to_ascii_uppercase().split('_').map(our_word).collect::<Vec<_>>().join("_")
}

fn our_word(word: &str) -> &str {
    SYNONYMS.iter().find(|(other, _)| *other == word).map_or(word, |(_, ours)| *ours)
}

fn letters(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}

fn sorted_words(name: &str) -> Vec<&str> {
    let mut words: Vec<_> = name.split('_').collect();
    words.sort_unstable();
    words
}

/// Whether Kubernetes sets `name` to `value` in each container for a Service whose name begins with `signet`
/// (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>).
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX.trim_end_matches('_')) else { return false };
    let is_of_port = |after: &str| {
        let mut parts = after.split('_');
        let number = parts
            .next()
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()));
        number
            && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
            && matches!((parts.next(), parts.next()), (None | Some("PROTO" | "PORT" | "ADDR"), None))
    };
    rest.ends_with("_SERVICE_HOST")
        // Whoever means a port of Signet's own says a number.
        || (rest.ends_with("_PORT") && ["tcp://", "udp://", "sctp://"].iter().any(|of| value.starts_with(of)))
        || rest.match_indices("_SERVICE_PORT").any(|(at, port)| {
            let after = &rest[at + port.len()..];
            after.is_empty() || after.starts_with('_')
        })
        || rest.match_indices("_PORT_").any(|(at, port)| is_of_port(&rest[at + port.len()..]))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::{cli::Cli, config::environment_variable};

    fn refused(name: &str, value: &str) -> Option<String> {
        let environment = Environment::of([(name.into(), value.into())]);
        environment.unknown(&Cli::command(), &[]).err().map(|failure| failure.to_string())
    }

    #[test]
    fn a_name_that_is_nearly_a_setting_is_refused_with_that_setting() {
        for (name, meant) in [
            ("SIGNET_DATABSE_URL_FILE", "SIGNET_DATABASE_URL_FILE"),
            ("SIGNET_DATABASE_URL_FIL", "SIGNET_DATABASE_URL_FILE"),
            ("SIGNET_DATABASEURL", "SIGNET_DATABASE_URL"),
            ("SIGNET_DATA_BASE_URL", "SIGNET_DATABASE_URL"),
            ("SIGNET_URL_DATABASE", "SIGNET_DATABASE_URL"),
            ("SIGNET_DB_URL", "SIGNET_DATABASE_URL"),
            ("SIGNET_DATABASE_URI_PATH", "SIGNET_DATABASE_URL_FILE"),
            ("SIGNET_DATABASE", "SIGNET_DATABASE_URL"),
            ("SIGNET_MASTER", "SIGNET_MASTER_KEY"),
            ("SIGNET_MASTERKEY_FILE", "SIGNET_MASTER_KEY_FILE"),
            ("SIGNET_DATA_DIRECTORY", "SIGNET_DATA_DIR"),
            ("SIGNET_GRPC_ADRR", "SIGNET_GRPC_ADDR"),
            ("SIGNET_Issuer", "SIGNET_ISSUER"),
            ("SIGNET_SERVR", "SIGNET_SERVER"),
        ] {
            let told = refused(name, "x").unwrap_or_else(|| panic!("{name} is taken"));
            assert_eq!(told, format!("{name} is no setting; the nearest is {meant}"));
        }
        for far in [
            "SIGNET_WEB_THINGS",
            "SIGNET_VERSION",
            "SIGNET_TEST_ENVOY",
            "SIGNET_ADMIN",
            "SIGNET_METRICS_ADDR",
            // What a deployment calls its own.
            "SIGNET_LOG",
            "SIGNET_TAG",
            "SIGNET_POD",
            "SIGNET_ID",
            "SIGNET_IP",
            "SIGNET_NS",
            "SIGNET_JOB",
            "SIGNET_CA",
            "SIGNET_ENV",
            "SIGNET_APP",
            "SIGNET_TZ",
            "SIGNET_USER",
            "SIGNET_HOST",
            "SIGNET_NODE",
            "SIGNET_ZONE",
            "SIGNET_ROLE",
            "SIGNET_IMAGE",
            "SIGNET_STAGE",
            "SIGNET_TOKEN",
            // What nobody but a person sets.
            "SIGNET_GRPC_PORT",
            "SIGNET_HTTP_PORT",
            "SIGNET_PORT",
        ] {
            assert_eq!(refused(far, "x"), None, "{far}");
        }
    }

    #[test]
    fn an_option_is_told_with_the_variable_that_it_has() {
        let (command, mut left) = (Cli::command(), Vec::new());
        left.push(&command);
        while let Some(command) = left.pop() {
            for (flag, name) in
                command.get_arguments().filter_map(|arg| Some((arg.get_long()?, variable(arg)?)))
            {
                assert_eq!(environment_variable(&format!("--{flag}")), name);
            }
            left.extend(command.get_subcommands());
        }
    }

    #[test]
    fn no_setting_is_taken_for_another() {
        let command = Cli::command();
        let all = known(&command);
        for name in &all {
            let others: BTreeSet<_> = all.iter().filter(|other| *other != name).cloned().collect();
            assert_eq!(meant_by(name, &others), None, "{name}: a release without it would refuse it");
            assert!(!is_of_kubernetes(name, "tcp://10.0.0.1:1"), "{name}");
        }
    }

    #[test]
    fn what_kubernetes_sets_for_services_is_no_setting_that_somebody_misspelt() {
        for name in [
            "SIGNET_SERVICE_HOST",
            "SIGNET_SERVICE_PORT",
            "SIGNET_SERVICE_PORT_GRPC",
            "SIGNET_PORT_50051_TCP",
            "SIGNET_PORT_50051_TCP_PROTO",
            "SIGNET_ADMIN_API_SERVICE_PORT_HTTP_2",
            "SIGNET_ADMIN_PORT_53_UDP_ADDR",
            "SIGNET_ADMIN_PORT_53_UDP_PORT",
        ] {
            assert!(is_of_kubernetes(name, "1"), "{name}");
        }
        for (name, value, is) in [
            ("SIGNET_PORT", "tcp://10.96.0.7:50051", true),
            ("SIGNET_ADMIN_PORT", "udp://[fd00::7]:53", true),
            ("SIGNET_PORT", "50051", false),
            ("SIGNET_GRPC_PORT", "9000", false),
            ("SIGNET_HTTP_PORT", ":8080", false),
        ] {
            assert_eq!(is_of_kubernetes(name, value), is, "{name}={value}");
        }
        for name in [
            "SIGNET_PORTS",
            "SIGNET_PORT_TCP",
            "SIGNET_PORT_1_TCP_NAME",
            "SIGNET_SERVICE_PORTS",
            "SIGNET_HOST",
        ] {
            assert!(!is_of_kubernetes(name, "tcp://10.96.0.7:1"), "{name}");
        }
    }

    #[test]
    fn an_empty_variable_says_nothing_but_where_it_chooses_the_database_or_its_keys() {
        for name in
            ["SIGNET_DATABASE_URL", "SIGNET_DATABASE_URL_FILE", "SIGNET_MASTER_KEY_FILE", "SIGNET_DATA_DIR"]
        {
            assert!(refused(name, "").is_some_and(|told| told.contains("is set, and empty")), "{name}");
        }
        for name in ["SIGNET_ISSUER", "SIGNET_ISSUR", "SIGNET_ANYTHING"] {
            assert_eq!(refused(name, ""), None, "{name}");
        }
    }
}
