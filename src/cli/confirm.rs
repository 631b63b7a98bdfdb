//! Owns asking before what cannot be undone: on a terminal by a question, elsewhere by the option `--yes`.

use std::io::{self, IsTerminal, Write};

use clap::{Arg, ArgAction, ArgMatches, Command, parser::ValueSource};

use super::{Failure, output::legible};

/// The option that answers the question.
const YES: &str = "yes";

/// What cannot be undone, and the option without which it can: what is deleted, or has ended for good, no other command brings back.
/// Whoever sets a password has typed it twice, or passed it on: that is the answer. `keys reset` asks itself, by [`ending`].
const DESTRUCTIVE: [(&[&str], Option<&str>); 11] = [
    (&["users", "delete"], None),
    // What a disabled user is given back does not have the sessions.
    (&["users", "disable"], None),
    (&["users", "end-sessions"], None),
    (&["users", "reset-password"], None),
    (&["clients", "delete"], None),
    (&["clients", "rotate-secret"], Some("end_older")),
    (&["roles", "delete"], None),
    (&["groups", "delete"], None),
    (&["attributes", "delete"], None),
    (&["keys", "revoke"], None),
    (&["restore"], Some("replace")),
];

/// `command`, whose commands that destroy something have the option `--yes`.
pub(super) fn with_yes(command: Command) -> Command {
    with_yes_below(command, &[])
}

fn with_yes_below(command: Command, path: &[String]) -> Command {
    command.mut_subcommands(|inner| {
        let path = [path, &[inner.get_name().to_owned()]].concat();
        let destroys =
            DESTRUCTIVE.iter().any(|(of, _)| path.iter().map(String::as_str).eq(of.iter().copied()));
        let inner = with_yes_below(inner, &path);
        if !destroys {
            return inner;
        }
        let help = "Do not ask before it is done. Where there is no terminal to ask at, it must be said";
        inner.arg(Arg::new(YES).long(YES).help(help).action(ArgAction::SetTrue))
    })
}

/// Succeeds if what `matches` ask for can be undone, or the operator means it.
///
/// # Errors
/// If nobody says so, or somebody says otherwise.
pub(super) fn destruction(matches: &ArgMatches) -> Result<(), Failure> {
    let (mut words, mut path, mut at) = (vec!["signet".to_owned()], Vec::new(), matches);
    while let Some((name, inner)) = at.subcommand() {
        words.push(name.to_owned());
        path.push(name);
        at = inner;
    }
    let Some((_, only_with)) = DESTRUCTIVE.iter().find(|(of, _)| *of == &path[..]) else { return Ok(()) };
    if at.get_flag(YES) || only_with.is_some_and(|flag| !at.get_flag(flag)) {
        return Ok(());
    }
    let command = words.join(" ");
    let problem =
        format!("`{command}` cannot be undone, and there is no terminal to ask at: say --yes if it is meant");
    words.extend(said(at));
    ask(&format!("`{}` cannot be undone. Do it?", words.join(" ")), problem)
}

/// Succeeds if `command` is meant, of which `ends` says what it ends.
///
/// # Errors
/// As with [`destruction`].
pub(super) fn ending(command: &str, ends: &str) -> Result<(), Failure> {
    let problem = format!(
        "nothing was changed. {ends}. `{command}` cannot be undone, and there is no terminal to ask at: say --yes if it is meant"
    );
    ask(&format!("{ends}.\n`{command}` cannot be undone. Do it?"), problem)
}

/// Asks `question`, or fails by `problem` where there is nobody to ask.
fn ask(question: &str, problem: String) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(problem));
    }
    if is_answered_yes(question)? {
        return Ok(());
    }
    Err(Failure::Failed("nothing was changed: it was not answered by `yes`".to_owned()))
}

/// What is said of the command itself: no setting, since those may be secret.
fn said(matches: &ArgMatches) -> Vec<String> {
    let own = ["user", "client", "role", "group", "name", "id", "kid", "file", "audience"];
    let is_said = |id: &&str| {
        matches.ids().any(|known| known.as_str() == *id)
            && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    let raw = own.into_iter().filter(is_said).flat_map(|id| matches.get_raw(id).into_iter().flatten());
    raw.map(|value| value.to_string_lossy().into_owned()).collect()
}

/// Asks `question` on the terminal, and reads the answer.
///
/// # Errors
/// If the terminal cannot be used.
pub(super) fn is_answered_yes(question: &str) -> Result<bool, Failure> {
    // A question is no answer: it goes where what is wrong goes.
    let mut asked = io::stderr();
    write!(asked, "{} (yes/no) ", legible(question))?;
    asked.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::program;

    /// Commands that delete nothing and end nothing for good: they read or add, another command takes back what they do, or, of a password
    /// and a master key, the new one is the answer.
    const OTHERS: [&str; 71] = [
        "serve",
        "dev",
        "top",
        "doctor",
        "migrate up",
        "migrate status",
        "login",
        "logout",
        "users create",
        "users import",
        "users export",
        "users list",
        "users search",
        "users show",
        "users update",
        "users enable",
        "users sessions",
        "users clear-throttle",
        "users set-password",
        "clients create",
        "clients list",
        "clients show",
        "clients set-keys",
        "clients set-certificate",
        "clients set-may-claim-address",
        "clients update",
        "clients disable",
        "clients enable",
        "roles create",
        "roles update",
        "roles show",
        "roles list",
        "roles bind",
        "roles unbind",
        "groups create",
        "groups add",
        "groups remove",
        "groups list",
        "groups members",
        "attributes create",
        "attributes list",
        "attributes show",
        "attributes update",
        "bindings list",
        "audiences list",
        "audiences show",
        "audiences update",
        "audiences add-owner",
        "audiences remove-owner",
        "access show",
        "policy lint",
        "policy push",
        "policy list",
        "policy show",
        "policy diff",
        "policy activate",
        "policy shadow",
        "policy retire",
        "policy explain",
        "audit list",
        "export",
        "keys list",
        "keys rotate",
        "keys reseal",
        "jobs",
        "backup",
        "copy",
        "descriptor",
        "healthcheck",
        "completions",
        "man",
    ];

    fn leaves<'a>(command: &'a Command, path: &[&'a str], found: &mut Vec<(String, &'a Command)>) {
        if !command.has_subcommands() {
            found.push((path.join(" "), command));
        }
        for inner in command.get_subcommands() {
            leaves(inner, &[path, &[inner.get_name()]].concat(), found);
        }
    }

    #[test]
    fn each_command_is_one_that_asks_or_one_that_destroys_nothing() {
        let (program, mut found) = (program(), Vec::new());
        leaves(&program, &[], &mut found);
        let asks = |command: &Command| command.get_arguments().any(|arg| arg.get_id() == YES);
        let unjudged: Vec<_> = found
            .iter()
            .filter(|(path, command)| asks(command) == OTHERS.contains(&path.as_str()))
            .map(|(path, _)| path)
            .collect();
        assert!(unjudged.is_empty(), "judge them, and have them ask: {unjudged:?}");
        for path in OTHERS {
            assert!(found.iter().any(|(known, _)| known == path), "there is no `{path}`");
        }
    }
}
