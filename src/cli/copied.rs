//! Owns what commands do with a database that `signet copy` has copied to another: what changes it wants `--force`, the rest only warns.

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::CopiedDatabase;

/// The option by which the old database is changed all the same.
const FORCE: &str = "force";

/// A flag with which (`true`) or without which (`false`) a command only looks.
type Looking = (&'static str, bool);

/// The commands that change the database of the settings, without those that ask for themselves (`serve`, `copy`) or put another one in its
/// place (`restore`). With them how they only look, if they can.
const CHANGING: [(&[&str], Option<Looking>); 43] = [
    (&["users", "create"], None),
    (&["users", "import"], Some(("dry_run", true))),
    (&["users", "update"], None),
    (&["users", "disable"], None),
    (&["users", "enable"], None),
    (&["users", "end-sessions"], None),
    (&["users", "clear-throttle"], None),
    (&["users", "reset-password"], None),
    (&["users", "set-password"], None),
    (&["users", "delete"], None),
    (&["clients", "create"], None),
    (&["clients", "rotate-secret"], None),
    (&["clients", "set-keys"], None),
    (&["clients", "set-certificate"], None),
    (&["clients", "set-may-claim-address"], None),
    (&["clients", "update"], None),
    (&["clients", "disable"], None),
    (&["clients", "enable"], None),
    (&["clients", "delete"], None),
    (&["roles", "create"], None),
    (&["roles", "update"], None),
    (&["roles", "delete"], None),
    (&["roles", "bind"], None),
    (&["roles", "unbind"], None),
    (&["groups", "create"], None),
    (&["groups", "add"], None),
    (&["groups", "remove"], None),
    (&["groups", "delete"], None),
    (&["attributes", "create"], None),
    (&["attributes", "update"], None),
    (&["attributes", "delete"], None),
    (&["audiences", "update"], None),
    (&["audiences", "add-owner"], None),
    (&["audiences", "remove-owner"], None),
    (&["policy", "push"], None),
    (&["policy", "activate"], None),
    (&["policy", "shadow"], None),
    (&["policy", "retire"], None),
    (&["apply"], Some(("dry_run", true))),
    (&["keys", "rotate"], None),
    (&["keys", "revoke"], None),
    (&["keys", "reseal"], None),
    (&["keys", "reset"], Some(("discard", false))),
];

/// `command`, whose commands that change the database have the option `--force`.
pub(super) fn with_force(command: Command) -> Command {
    with_force_below(command, &[])
}

fn with_force_below(command: Command, path: &[String]) -> Command {
    command.mut_subcommands(|inner| {
        let path = [path, &[inner.get_name().to_owned()]].concat();
        let inner = with_force_below(inner, &path);
        if changing(&path).is_none() {
            return inner;
        }
        let force = Arg::new(FORCE).long(FORCE).action(ArgAction::SetTrue).conflicts_with("server");
        // Among the options without a heading, whichever has been declared last.
        inner.arg(force.help("Change a database that was copied to another").help_heading(None::<&str>))
    })
}

/// The command of [`CHANGING`] at `path`.
fn changing(path: &[impl AsRef<str>]) -> Option<&'static Option<Looking>> {
    let found = CHANGING.iter().find(|(of, _)| path.iter().map(AsRef::as_ref).eq(of.iter().copied()));
    found.map(|(_, looks)| looks)
}

/// What the command that `matches` ask for does with a database that was copied to another.
pub(super) fn policy(matches: &ArgMatches) -> CopiedDatabase {
    let (mut path, mut at) = (Vec::new(), matches);
    while let Some((name, inner)) = at.subcommand() {
        path.push(name);
        at = inner;
    }
    match changing(&path) {
        Some(Some((flag, is_said))) if at.get_flag(flag) == *is_said => CopiedDatabase::Told,
        Some(_) if at.get_flag(FORCE) => CopiedDatabase::Taken,
        Some(_) => CopiedDatabase::Refused,
        None => CopiedDatabase::Told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::program;

    /// Commands that change nothing in the database of the settings, or have a way of their own.
    const OTHERS: [&str; 35] = [
        "policy lint",
        "policy list",
        "policy show",
        "policy diff",
        "policy explain",
        "serve",
        "migrate up",
        "migrate status",
        "login",
        "logout",
        "users export",
        "users list",
        "users search",
        "users show",
        "users sessions",
        "clients list",
        "clients show",
        "roles show",
        "roles list",
        "groups list",
        "groups members",
        "attributes list",
        "attributes show",
        "bindings list",
        "audiences list",
        "audiences show",
        "access show",
        "audit list",
        "export",
        "keys list",
        "jobs",
        "doctor",
        "backup",
        "restore",
        "copy",
    ];

    fn leaves(command: &Command, path: &[&str], found: &mut Vec<String>) {
        if !command.has_subcommands() {
            found.push(path.join(" "));
        }
        for inner in command.get_subcommands() {
            leaves(inner, &[path, &[inner.get_name()]].concat(), found);
        }
    }

    #[test]
    fn each_command_is_one_that_changes_the_database_or_one_that_does_not() {
        let mut found = Vec::new();
        leaves(&program(), &[], &mut found);
        let without_database = ["dev", "descriptor", "healthcheck", "top", "completions", "man"];
        let changes = |path: &str| changing(&path.split(' ').collect::<Vec<_>>()).is_some();
        let unjudged: Vec<_> = found
            .iter()
            .filter(|path| !without_database.contains(&path.as_str()))
            .filter(|path| changes(path) == OTHERS.contains(&path.as_str()))
            .collect();
        assert!(unjudged.is_empty(), "judge them: {unjudged:?}");
        for (path, _) in CHANGING {
            assert!(found.contains(&path.join(" ")), "there is no {path:?}");
        }
    }

    #[test]
    fn what_changes_a_copied_database_is_refused_unless_it_only_looks_or_is_forced() {
        let policy = |words: &[&str]| {
            let words = [&["signet"], words].concat();
            super::policy(&program().try_get_matches_from(words).unwrap())
        };
        for (words, expected) in [
            (&["users", "list"][..], CopiedDatabase::Told),
            (&["users", "disable", "alice", "--yes"], CopiedDatabase::Refused),
            (&["users", "disable", "alice", "--yes", "--force"], CopiedDatabase::Taken),
            (&["users", "import", "file"], CopiedDatabase::Refused),
            (&["users", "import", "file", "--dry-run"], CopiedDatabase::Told),
            (&["apply", "--file", "file", "--dry-run"], CopiedDatabase::Told),
            (&["apply", "--file", "file", "--force"], CopiedDatabase::Taken),
            (&["keys", "reset"], CopiedDatabase::Told),
            (&["keys", "reset", "--discard", "--yes"], CopiedDatabase::Refused),
            (&["jobs"], CopiedDatabase::Told),
        ] {
            assert_eq!(policy(words), expected, "{words:?}");
        }
    }
}
